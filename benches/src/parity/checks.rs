//! Rows of the gate, summed up for the report: one [`Check`] for each kernel and question.

use std::collections::BTreeMap;

use etalon_reference::record::{Check, SCHEMA_VERSION, Status};

use super::Row;

/// What the witness said, without particulars: `differs`, not `differs: y[3] is …`.
pub fn word(row: &Row) -> &str {
    row.witness.split(':').next().unwrap_or_default().split(" after").next().unwrap_or_default()
}

/// One check for each kernel, dtype and question, in the order in which they first come.
pub fn checks(rows: &[Row], seed: Option<u64>) -> Vec<Check> {
    let mut all: Vec<Check> = Vec::new();
    let mut places: BTreeMap<[&str; 4], usize> = BTreeMap::new();
    for row in rows {
        let place = *places.entry([&row.op, &row.kernel, &row.dtype, &row.question]).or_insert_with(|| {
            all.push(blank(row, seed));
            all.len() - 1
        });
        add(&mut all[place], row);
    }
    all
}

fn blank(row: &Row, seed: Option<u64>) -> Check {
    Check {
        schema_version: SCHEMA_VERSION,
        op: row.op.clone(),
        kernel: row.kernel.clone(),
        dtype: row.dtype.clone(),
        isa: row.isa.clone(),
        question: row.question.clone(),
        seed,
        passed: 0,
        failed: 0,
        mistrusted: 0,
        skipped: 0,
        headroom: None,
        worst: None,
        error: None,
        libtorch_error: None,
        witness: BTreeMap::new(),
    }
}

fn add(check: &mut Check, row: &Row) {
    *match row.status {
        Status::Ok => &mut check.passed,
        Status::Failed => &mut check.failed,
        Status::Mistrusted => &mut check.mistrusted,
        Status::Skipped => &mut check.skipped,
    } += 1;
    if row.headroom.is_some_and(|headroom| check.headroom.is_none_or(|most| headroom > most)) {
        (check.headroom, check.worst) = (row.headroom, Some(row.id.clone()));
    }
    let larger = |most: Option<f64>, error: Option<f64>| match (most, error.filter(|error| error.is_finite())) {
        (Some(most), Some(error)) => Some(most.max(error)),
        (most, error) => most.or(error),
    };
    check.error = larger(check.error, row.error);
    check.libtorch_error = larger(check.libtorch_error, row.libtorch_error);
    *check.witness.entry(word(row).into()).or_default() += 1;
}

#[cfg(test)]
mod tests {
    use etalon_kernels::check::suite::Question;
    use etalon_reference::{Case, ops};

    use super::*;

    fn row(seed: u64, status: Status, headroom: f64, witness: &str) -> Row {
        let id = format!("gemm/avx2/f32/m=2,n=3,k=4/t1#real-{seed}");
        let case = Case::parse(&id, ops::ALL).expect("a case");
        let blank = Row::blank(&case, Question::Parity);
        Row { status, headroom: Some(headroom), error: Some(headroom), witness: witness.into(), ..blank }
    }

    #[test]
    fn rows_of_a_question_are_counted_together() {
        let rows = [
            row(1, Status::Ok, 0.25, "agrees"),
            row(2, Status::Failed, 0.5, "differs: out[0] is 1"),
            row(3, Status::Ok, 0.125, "timed out after 60 s"),
        ];
        let checks = checks(&rows, Some(7));
        let [check] = &checks[..] else { panic!("{checks:?}") };
        assert_eq!((check.passed, check.failed, check.seed), (2, 1, Some(7)));
        assert_eq!((check.headroom, check.worst.as_deref()), (Some(0.5), Some(&*rows[1].id)));
        assert_eq!(check.witness.keys().map(String::as_str).collect::<Vec<_>>(), ["agrees", "differs", "timed out"]);
    }
}

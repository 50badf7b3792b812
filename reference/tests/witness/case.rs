//! A case that fails says how to run it again.

use etalon_reference::{Case, Data, Fill, Operator, Point, Problem, Types, ops};

/// Judges one case; an error is a complaint with its REPRO line.
pub type Check = fn(&Case) -> Result<(), String>;

/// The case of libtorch at a point.
pub fn of_case(operator: &Operator, types: Types, point: Point, fill: Fill, seed: u64) -> Case {
    let (op, kernel) = (operator.name.into(), "libtorch".into());
    Case { op, kernel, types, point, threads: 1, eager: false, fill, seed }
}

/// Makes problem and inputs of the case for `judge`, and adds the line that repeats the test to its complaint.
pub fn with_repro(
    case: &Case,
    test: &str,
    judge: impl Fn(&Operator, &dyn Problem, &[Data]) -> Result<(), String>,
) -> Result<(), String> {
    let operator = ops::find(&case.op).expect("a known operator");
    let problem = operator.problem(&case.point).map_err(|error| error.to_string())?;
    let inputs = problem.draw(case.types, case.fill, case.seed);
    judge(operator, &*problem, &inputs).map_err(|complaint| {
        format!(
            "{test}: {complaint}\nREPRO: ETALON_CASE='{case}' cargo test -p etalon-reference --features libtorch --test witness"
        )
    })
}

//! What the parity gate found: a row for each operator and types.

use std::collections::BTreeMap;

use etalon_reference::record::Check;
use minijinja::{Value, context};

use crate::numbers;

/// Sums over the kernels and questions of an operator.
#[derive(Default)]
struct Sum<'a> {
    kernels: Vec<&'a str>,
    questions: Vec<&'a str>,
    counts: [usize; 4],
    headroom: Option<(f64, &'a str)>,
    errors: [Option<f64>; 2],
    agrees: usize,
    silent: usize,
}

/// The section, or nothing if the gate was not asked.
pub fn section(checks: &[Check]) -> Option<Value> {
    let mut sums: BTreeMap<(&str, &str), Sum<'_>> = BTreeMap::new();
    for check in checks {
        add(sums.entry((&check.op, &check.dtype)).or_default(), check);
    }
    let all = |of: usize| sums.values().map(|sum| sum.counts[of]).sum::<usize>();
    let mut seeds: Vec<String> = checks.iter().filter_map(|check| check.seed).map(|seed| seed.to_string()).collect();
    seeds.sort_unstable();
    seeds.dedup();
    let rows: Vec<Value> = sums.iter().map(|((op, dtype), sum)| row(op, dtype, sum)).collect();
    (!checks.is_empty()).then(|| {
        context! {
            rows => rows, seeds => seeds.join(", "), passed => all(0), failed => all(1), mistrusted => all(2), skipped => all(3),
        }
    })
}

fn add<'a>(sum: &mut Sum<'a>, check: &'a Check) {
    for (list, name) in [(&mut sum.kernels, &check.kernel), (&mut sum.questions, &check.question)] {
        if !list.contains(&name.as_str()) {
            list.push(name);
        }
    }
    let counts = [check.passed, check.failed, check.mistrusted, check.skipped];
    sum.counts.iter_mut().zip(counts).for_each(|(sum, count)| *sum += count);
    if let (Some(headroom), Some(worst)) = (check.headroom, &check.worst)
        && sum.headroom.is_none_or(|(most, _)| headroom > most)
    {
        sum.headroom = Some((headroom, worst));
    }
    for (most, error) in sum.errors.iter_mut().zip([check.error, check.libtorch_error]) {
        *most = [*most, error].into_iter().flatten().reduce(f64::max);
    }
    sum.agrees += check.witness.get("agrees").copied().unwrap_or(0);
    let silent = ["no answer", "crashed", "timed out"];
    sum.silent += silent.iter().filter_map(|word| check.witness.get(*word)).sum::<usize>();
}

fn row(op: &str, dtype: &str, sum: &Sum<'_>) -> Value {
    context! {
        op => op, dtype => dtype, kernels => sum.kernels.len(), questions => sum.questions.len(), counts => sum.counts.to_vec(),
        headroom => sum.headroom.map(|(headroom, _)| numbers::share(headroom)), worst => sum.headroom.map(|(_, id)| id),
        error => sum.errors[0].map(numbers::error), libtorch => sum.errors[1].map(numbers::error),
        agrees => sum.agrees, silent => sum.silent,
    }
}

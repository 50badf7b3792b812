//! A bound is a number, at least 0, whatever the inputs hold: of every operator, dtype and fill.
//!
//! Where the reference is finite, an infinite bound would accept anything, and one that is NaN nothing. Where it is not, its
//! class alone decides, and the bound is 0.

use etalon_reference::operator::downcast;
use etalon_reference::ops::conv2d::{CONV2D, Conv2d};
use etalon_reference::ops::winograd;
use etalon_reference::{Fill, Problem, Tolerance, Types, arrays, ops, strategy};
use ndarray::ArrayD;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestCaseError, TestRunner};

/// Problems of each operator.
const CASES: u32 = 300;
/// Operations of a problem at most.
const FLOPS: f64 = 5e5;

/// Mostly hostile: the other fills have no trouble to offer.
fn fills() -> impl Strategy<Value = Fill> {
    prop_oneof![6 => Just(Fill::Hostile), 1 => Just(Fill::Real), 1 => Just(Fill::Exact)]
}

/// Logical inputs of a seed.
fn inputs(problem: &dyn Problem, types: Types, fill: Fill, seed: u64) -> Vec<ArrayD<f64>> {
    arrays(&problem.inputs(types), &problem.draw(types, fill, seed))
}

/// The first element whose bound is no number, or below 0.
fn check(what: &str, tolerances: &[Tolerance], expected: &[ArrayD<f64>]) -> Result<(), TestCaseError> {
    for (output, (tolerance, expected)) in tolerances.iter().zip(expected).enumerate() {
        let Tolerance::Bound { bound, formula } = tolerance else { continue };
        for ((index, bound), y) in bound.indexed_iter().zip(expected) {
            prop_assert!(
                bound.is_finite() && *bound >= 0.0,
                "{what}: output {output} at {index:?} is {y}, allowed {bound} ({formula})"
            );
        }
    }
    Ok(())
}

fn run<S: Strategy>(name: &str, drawn: S, test: impl Fn(S::Value) -> Result<(), TestCaseError>) {
    let config = Config { cases: CASES, failure_persistence: None, ..Config::default() };
    TestRunner::new(config).run(&drawn, test).unwrap_or_else(|failure| panic!("{name}: {failure}"));
}

#[test]
fn every_bound_is_a_number() {
    for &operator in ops::ALL {
        let types = proptest::sample::select(operator.types);
        let drawn = (strategy::problems(operator, FLOPS), types, fills(), any::<u32>());
        run(operator.name, drawn, |((point, problem), types, fill, seed)| {
            let inputs = inputs(&*problem, types, fill, u64::from(seed));
            let expected = problem.reference(&inputs);
            let tolerances = problem.tolerance(types, fill, &inputs, &expected);
            check(&format!("{types} {point} {fill}-{seed}"), &tolerances, &expected)
        });
    }
}

/// The bounds of Winograd's algorithms, for the inputs that these take: finite ones.
#[test]
fn every_bound_of_winograd_is_a_number() {
    let dense = |(point, _): (etalon_reference::Point, _)| {
        ["r", "s"]
            .into_iter()
            .fold(point, |p, axis| p.with(axis, 3))
            .with("sh", 1)
            .with("sw", 1)
            .with("dh", 1)
            .with("dw", 1)
    };
    let drawn = (strategy::problems(&CONV2D, FLOPS).prop_map(dense), fills(), any::<u32>());
    let judged = std::cell::Cell::new(0);
    run("winograd", drawn, |(point, fill, seed)| {
        let Ok(problem) = CONV2D.problem(&point) else { return Ok(()) };
        let conv: &Conv2d = downcast(&*problem);
        let inputs = inputs(conv, Types::F32, fill, u64::from(seed));
        if winograd::fits(conv).is_err() || inputs.iter().flatten().any(|x| !x.is_finite()) {
            return Ok(());
        }
        judged.set(judged.get() + 1);
        let expected = conv.reference(&inputs);
        for m in [2, 4, 6] {
            let tolerances = winograd::tolerance(m, conv, Types::F32, &inputs, &expected);
            check(&format!("F({m}) {point} {fill}-{seed}"), &tolerances, &expected)?;
        }
        Ok(())
    });
    assert!(judged.get() > CASES / 3, "only {} problems were judged", judged.get());
}

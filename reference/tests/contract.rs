//! What every operator promises by being in the list.

use std::collections::HashSet;

use etalon_reference::axis::Kind;
use etalon_reference::compare::{Verdict, compare};
use etalon_reference::{
    Axis, Case, DType, Fill, Operator, Point, Problem, Tolerance, Types, Workload, arrays, ops, strategy,
};
use ndarray::{ArrayD, IxDyn};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestCaseError, TestRunner};

/// Operations of a drawn problem at most.
const FLOPS: f64 = 5e5;

/// Runs `property` on drawn values, for each operator.
fn for_each<S: Strategy>(
    cases: u32,
    strategy: impl Fn(&'static Operator) -> S,
    property: impl Fn(&'static Operator, S::Value) -> Result<(), TestCaseError>,
) {
    for operator in ops::ALL {
        let config = Config { cases, failure_persistence: None, ..Config::default() };
        let judged = TestRunner::new(config).run(&strategy(operator), |value| property(operator, value));
        judged.unwrap_or_else(|failure| panic!("{}: {failure}", operator.name));
    }
}

fn types(operator: &Operator) -> impl Strategy<Value = Types> + use<> {
    proptest::sample::select(operator.types)
}

fn fills() -> impl Strategy<Value = Fill> {
    proptest::sample::select(&Fill::ALL[..])
}

#[test]
fn names_are_unique() {
    let mut seen = HashSet::new();
    for operator in ops::ALL {
        let name = operator.name;
        assert!(seen.insert(name), "{name} stands twice");
        assert!(ops::find(name).is_some_and(|found| found.name == name));
        assert!(!operator.types.is_empty() && !operator.summary.is_empty() && !operator.special_values.is_empty());
        assert!(name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_'), "{name}");
    }
}

#[test]
fn axes_are_distinct_and_their_defaults_valid() {
    for operator in ops::ALL {
        let mut seen = HashSet::new();
        for Axis { name, kind, default, .. } in operator.axes {
            assert!(seen.insert(name), "{}: axis {name} stands twice", operator.name);
            assert!(!name.contains(['=', ',', '/', '#']), "{name} does not fit a case id");
            if let Kind::Choice(names) = kind {
                assert!((0..names.len() as i64).contains(default));
                assert!(names.iter().all(|n| !n.contains(['=', ',', '/', '#'])), "{names:?}");
                assert_eq!(names.iter().collect::<HashSet<_>>().len(), names.len(), "{names:?}");
            }
        }
        if let Some(axis) = operator.batch {
            assert!(seen.contains(&axis));
        }
        assert!(operator.problem(&Point::default_of(operator.axes)).is_ok(), "{}: defaults", operator.name);
    }
}

#[test]
fn workloads_are_problems() {
    for operator in ops::ALL {
        let mut seen = HashSet::new();
        for workload in operator.workloads {
            let name = format!("{}/{}", operator.name, workload.name);
            assert!(seen.insert(workload.name), "{name} stands twice");
            assert!(workload.name.len() <= Workload::LONGEST_NAME, "{name}: longer than {}", Workload::LONGEST_NAME);
            assert!(!workload.source.is_empty(), "{name}");
            let point = Point::parse(operator.axes, workload.point).unwrap_or_else(|e| panic!("{name}: {e}"));
            let problem = operator.problem(&point).unwrap_or_else(|e| panic!("{name}: {e}"));
            let work = problem.work(operator.types[0]);
            assert!(work.operations >= 0.0 && work.bytes() > 0.0, "{name}: {work:?}");
        }
        assert!(operator.workloads.iter().any(|w| w.smoke), "{}: no smoke workload", operator.name);
    }
}

#[test]
fn points_are_read_back() {
    for_each(200, strategy::points, |operator, point| {
        prop_assert_eq!(Point::parse(operator.axes, &point.format()), Ok(point));
        Ok(())
    });
}

#[test]
fn cases_are_read_back() {
    let drawn = |operator: &'static Operator| {
        (strategy::points(operator), types(operator), fills(), any::<u64>(), 1..99usize, any::<bool>())
    };
    for_each(200, drawn, |operator, (point, types, fill, seed, threads, eager)| {
        let (op, kernel) = (operator.name.to_owned(), "avx512-14x32".to_owned());
        let case = Case { op, kernel, types, point, threads, eager, fill, seed };
        prop_assert_eq!(Case::parse(&case.to_string(), ops::ALL), Ok(case));
        Ok(())
    });
}

/// Any point is a problem or an error. A problem's shapes and work can be asked for, however large it is.
#[test]
fn no_point_panics() {
    let bytes = |_| proptest::collection::vec(any::<u8>(), 0..160);
    for_each(2000, bytes, |operator, bytes| {
        for wide in [true, false] {
            let point = Point::decode(operator.axes, &bytes, wide);
            let Ok(problem) = operator.problem(&point) else { continue };
            for &types in operator.types {
                for port in problem.inputs(types).iter().chain(&problem.outputs(types)) {
                    prop_assert!(port.layout.span() <= isize::MAX as usize / 8, "{} {point}", port.name);
                    prop_assert!(port.layout.len() <= isize::MAX as usize / 8, "{} {point}", port.name);
                }
                prop_assert!(problem.work(types).bytes().is_finite());
            }
        }
        Ok(())
    });
}

/// Choices outside the list and negative sizes are errors, one axis at a time.
#[test]
fn values_outside_an_axis_are_errors() {
    for operator in ops::ALL {
        for axis in operator.axes {
            for value in [-1, i64::MIN, i64::MAX] {
                let point = Point::default_of(operator.axes).with(axis.name, value);
                let problem = operator.problem(&point);
                assert!(problem.is_err(), "{} {point}: {problem:?}", operator.name);
            }
        }
    }
}

/// Logical inputs of a seed.
fn inputs(problem: &dyn Problem, types: Types, fill: Fill, seed: u64) -> Vec<ArrayD<f64>> {
    arrays(&problem.inputs(types), &problem.draw(types, fill, seed))
}

#[test]
fn references_and_tolerances_have_the_outputs_shapes() {
    let drawn = |operator| (strategy::problems(operator, FLOPS), types(operator), fills(), any::<u16>());
    for_each(100, drawn, |_, ((point, problem), types, fill, seed)| {
        let inputs = inputs(&*problem, types, fill, u64::from(seed));
        let expected = problem.reference(&inputs);
        let tolerances = problem.tolerance(types, fill, &inputs, &expected);
        let ports = problem.outputs(types);
        prop_assert_eq!((expected.len(), tolerances.len()), (ports.len(), ports.len()));
        for ((port, expected), tolerance) in ports.iter().zip(&expected).zip(&tolerances) {
            let name = port.name;
            prop_assert_eq!(expected.shape(), &port.layout.shape[..], "{} {}", name, point);
            prop_assert!(!tolerance.formula().is_empty());
            let Tolerance::Bound { bound, .. } = tolerance else { continue };
            prop_assert_eq!(bound.shape(), expected.shape(), "{} {}", name, point);
        }
        Ok(())
    });
}

#[test]
fn reference_agrees_with_itself_in_its_dtype() {
    let drawn = |operator| (strategy::problems(operator, FLOPS), types(operator), any::<u16>());
    for_each(100, drawn, |_, ((point, problem), types, seed)| {
        for fill in [Fill::Exact, Fill::Real] {
            let inputs = inputs(&*problem, types, fill, u64::from(seed));
            let expected = problem.reference(&inputs);
            let tolerances = problem.tolerance(types, fill, &inputs, &expected);
            let rounded: Vec<_> =
                problem.outputs(types).iter().zip(&expected).map(|(port, y)| y.mapv(|y| port.dtype.round(y))).collect();
            for found in problem.judge(types, &inputs, &expected, &tolerances, &rounded) {
                prop_assert!(found.verdict != Verdict::Fail, "{point} {fill}: {found:?}");
            }
        }
        Ok(())
    });
}

#[test]
fn a_seed_decides_the_inputs() {
    let drawn = |operator| (strategy::problems(operator, FLOPS), types(operator), fills(), any::<u64>());
    for_each(50, drawn, |_, ((point, problem), types, fill, seed)| {
        let bits = |seed| problem.draw(types, fill, seed).iter().map(|d| d.bits()).collect::<Vec<_>>();
        prop_assert_eq!(bits(seed), bits(seed), "{}", &point);
        // Without the gaps between elements, which hold the same for every seed. Few elements may be equal by chance.
        let elements: usize = problem.inputs(types).iter().map(|port| port.layout.len()).sum();
        // Fills of the same trouble, so that only the values can differ.
        prop_assert!(elements < 32 || bits(seed) != bits(seed.wrapping_add(6)), "{point}: seeds give the same inputs");
        Ok(())
    });
}

/// Twenty different numbers.
fn numbers() -> ArrayD<f64> {
    ArrayD::from_shape_fn(IxDyn(&[4, 5]), |i| i[0] as f64 + 0.25 * i[1] as f64 - 1.0)
}

fn bound(value: f64) -> Tolerance {
    Tolerance::Bound { formula: "test", bound: ArrayD::from_elem(IxDyn(&[4, 5]), value) }
}

fn verdict(expected: &ArrayD<f64>, tolerance: &Tolerance, got: &ArrayD<f64>) -> Verdict {
    compare(DType::F32, expected, tolerance, got).verdict
}

#[test]
fn comparison_finds_a_wrong_element() {
    let expected = numbers();
    for tolerance in [Tolerance::Exact, bound(1e-6)] {
        assert_eq!(verdict(&expected, &tolerance, &expected), Verdict::Pass);
        for index in 0..expected.len() {
            let mut got = expected.clone();
            *got.iter_mut().nth(index).expect("an element") += 1e-3;
            let found = compare(DType::F32, &expected, &tolerance, &got);
            assert_eq!(found.verdict, Verdict::Fail);
            assert_eq!(found.worst, [index / 5, index % 5]);
            assert!(found.headroom > 1.0 && (found.max_abs - 1e-3).abs() < 1e-9);
        }
    }
}

#[test]
fn comparison_finds_a_lost_or_invented_special_value() {
    for special in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        let mut with = numbers();
        with[[1, 2]] = special;
        // Whatever the bound, a special value must be met by the same one.
        for tolerance in [Tolerance::Exact, bound(1e-6), bound(f64::MAX), bound(f64::INFINITY)] {
            assert_eq!(verdict(&with, &tolerance, &with), Verdict::Pass, "{special}");
            let lost = compare(DType::F32, &with, &tolerance, &numbers());
            assert_eq!((lost.verdict, lost.class_mismatches), (Verdict::Fail, 1), "{special} was lost");
            let mut other = with.clone();
            other[[1, 2]] = if special.is_nan() { f64::INFINITY } else { -special };
            assert_eq!(verdict(&with, &tolerance, &other), Verdict::Fail, "{special} became another");
        }
        for tolerance in [Tolerance::Exact, bound(1e-6)] {
            assert_eq!(verdict(&numbers(), &tolerance, &with), Verdict::Fail, "{special} was invented");
        }
    }
}

#[test]
fn comparison_fails_on_a_bound_that_is_no_bound() {
    let mut off = numbers();
    off[[0, 0]] += 1e-3;
    for got in [off, numbers()] {
        for no_bound in [f64::NAN, -1.0] {
            assert_eq!(verdict(&numbers(), &bound(no_bound), &got), Verdict::Fail, "{no_bound}");
        }
    }
}

#[test]
fn comparison_tells_overflow_from_a_wrong_infinity() {
    // Half a unit in the last place above the largest f32 rounds to ∞; its neighbour does not.
    let max = f64::from(f32::MAX);
    let half = max * f64::from(f32::EPSILON) / 4.0;
    let all = |value: f64| ArrayD::from_elem(IxDyn(&[4, 5]), value);
    assert_ne!(verdict(&all(max), &bound(2.0 * half), &all(f64::INFINITY)), Verdict::Fail);
    assert_eq!(verdict(&all(max / 2.0), &bound(2.0 * half), &all(f64::INFINITY)), Verdict::Fail);
    assert_eq!(verdict(&all(max), &bound(2.0 * half), &all(f64::NEG_INFINITY)), Verdict::Fail);
}

#[test]
fn comparison_mistrusts_what_proves_little() {
    let constant = ArrayD::from_elem(IxDyn(&[4, 5]), 3.0);
    assert_eq!(verdict(&constant, &Tolerance::Exact, &constant), Verdict::Mistrusted);
    let mut sparse = ArrayD::zeros(IxDyn(&[4, 5]));
    sparse[[3, 3]] = 1.0;
    assert_eq!(verdict(&sparse, &Tolerance::Exact, &sparse), Verdict::Mistrusted);
    let wrong = ArrayD::from_elem(IxDyn(&[4, 5]), 4.0);
    assert_eq!(verdict(&constant, &Tolerance::Exact, &wrong), Verdict::Fail);
}

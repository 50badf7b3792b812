//! Gradient operators against central differences and the adjoint test; and those tests against wrong gradients.

use std::collections::BTreeSet;

use etalon_reference::gradient::{check_adjoint, check_differences};
use etalon_reference::ops::gemm_backward::GEMM_BACKWARD;
use etalon_reference::{
    Axis, Fill, Operator, Point, Port, Problem, ProblemError, Tolerance, Types, Unit, ops, strategy,
};
use ndarray::ArrayD;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

/// Elements of the inputs at most: each costs two evaluations of the forward reference.
const ELEMENTS: usize = 200;

fn small(problem: &dyn Problem) -> bool {
    problem.inputs(Types::F64).iter().map(|port| port.layout.len()).sum::<usize>() <= ELEMENTS
}

/// Runs `check` on small problems of each gradient operator, and counts how often it applied.
fn on_small_problems(
    check: impl Fn(&Operator, &Point, u64) -> Result<Option<usize>, String>,
) -> Vec<(&'static str, usize)> {
    let gradients = ops::ALL.iter().filter(|operator| operator.gradient.is_some());
    let count = |operator: &&'static Operator| {
        let config = Config { cases: 64, failure_persistence: None, max_global_rejects: 100_000, ..Config::default() };
        let applied = std::cell::Cell::new(0);
        let drawn = (shrunk_points(operator), any::<u64>());
        let judged = TestRunner::new(config).run(&drawn, |(point, seed)| {
            let Ok(problem) = operator.problem(&point) else { return Err(TestCaseError::reject("no problem")) };
            if !small(&*problem) {
                return Err(TestCaseError::reject("too large"));
            }
            let compared = check(operator, &point, seed).map_err(TestCaseError::fail)?;
            applied.set(applied.get() + compared.unwrap_or(0));
            Ok(())
        });
        judged.unwrap_or_else(|failure| panic!("{}: {failure}", operator.name));
        (operator.name, applied.get())
    };
    gradients.map(count).collect()
}

/// Points whose sizes are small: few drawn ones are.
fn shrunk_points(operator: &'static Operator) -> impl Strategy<Value = Point> {
    strategy::points(operator).prop_map(move |point| {
        let shrunk = |(axis, &value): (&Axis, &i64)| match axis.kind {
            etalon_reference::axis::Kind::Int { .. } => value % 7,
            etalon_reference::axis::Kind::Choice(_) => value,
        };
        Point::from_values(operator.axes, operator.axes.iter().zip(point.values()).map(shrunk).collect())
    })
}

#[test]
fn gradients_are_those_of_differences() {
    for (operator, elements) in on_small_problems(check_differences) {
        // An operator with a single extent has three elements per problem on average.
        assert!(elements > 100, "{operator}: only {elements} elements were compared");
    }
}

#[test]
fn gradients_are_adjoint() {
    let applied: usize = on_small_problems(check_adjoint).iter().map(|(_, inputs)| inputs).sum();
    assert!(applied > 50, "only {applied} inputs were compared");
}

/// What autograd is a witness of is the forward problem at the same point.
#[test]
fn autograd_is_of_the_forward_problem() {
    let compared = on_small_problems(|operator, point, _| {
        let of = operator.gradient.expect("a gradient operator");
        let (Some(autograd), Ok(gradient)) = (of.autograd, operator.problem(point)) else { return Ok(None) };
        let forward = of.forward_problem(point).ok_or("no forward problem")?;
        let (theirs, ours) = (format!("{:?}", autograd(&*gradient)), format!("{forward:?}"));
        if theirs == ours { Ok(Some(1)) } else { Err(format!("{theirs} is not {ours}")) }
    });
    assert!(compared.iter().filter(|(_, problems)| *problems > 0).count() >= 2, "{compared:?}");
}

/// No differentiable input is left without a gradient operator.
#[test]
fn gradients_cover_their_forward_operators() {
    let gradients = || ops::ALL.iter().filter_map(|operator| Some((operator, operator.gradient?)));
    for (_, of) in gradients() {
        let name = of.forward.name;
        let (mut wanted, mut given) = (BTreeSet::new(), BTreeSet::new());
        for (operator, of) in gradients().filter(|(_, of)| of.forward.name == name) {
            // With everything optional there.
            let with_all = |point: Point, axis: &Axis| match axis.kind {
                etalon_reference::axis::Kind::Choice(names) => match names.iter().position(|n| *n == "none") {
                    Some(0) => point.with(axis.name, 1),
                    _ => point,
                },
                etalon_reference::axis::Kind::Int { .. } => point,
            };
            let point = operator.axes.iter().fold(Point::default_of(operator.axes), with_all);
            // Of a family, all members that have a forward problem.
            let members = operator.axes.iter().find(|axis| axis.variant).map_or(vec![point.clone()], |axis| {
                let etalon_reference::axis::Kind::Choice(names) = axis.kind else { panic!("names") };
                (0..names.len() as i64).map(|member| point.clone().with(axis.name, member)).collect()
            });
            for point in members {
                let gradient = operator.problem(&point).expect("a problem");
                let Some(forward) = of.forward_problem(&point) else { continue };
                wanted.extend(forward.differentiable());
                given.extend(of.given(&*gradient).into_iter().map(|(_, input)| input));
            }
            assert!(!wanted.is_empty(), "{name}: no problem");
        }
        assert_eq!(given, wanted, "{name}");
    }
}

/// How a gradient is made wrong.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fault {
    /// It is right.
    None,
    /// dA has the other sign.
    Sign,
    /// The last term of each sum of dB is missing.
    Term,
    /// dbias is that of the row before.
    Stale,
    /// The activation's derivative is left out.
    Gate,
}

#[derive(Debug)]
struct FaultyProblem(Fault, Box<dyn Problem>);

impl Problem for FaultyProblem {
    fn inputs(&self, types: Types) -> Vec<Port> {
        self.1.inputs(types)
    }

    fn outputs(&self, types: Types) -> Vec<Port> {
        self.1.outputs(types)
    }

    fn reference(&self, inputs: &[ArrayD<f64>]) -> Vec<ArrayD<f64>> {
        let mut inputs = inputs.to_vec();
        if self.0 == Fault::Gate {
            inputs[3].fill(1.0);
        }
        let mut outputs = self.1.reference(&inputs);
        match self.0 {
            Fault::None | Fault::Gate => {}
            Fault::Sign => outputs[1].mapv_inplace(|x| -x),
            Fault::Term => {
                let rows = inputs[0].shape()[1];
                inputs[0].index_axis_mut(ndarray::Axis(1), rows - 1).fill(0.0);
                outputs[2] = self.1.reference(&inputs).swap_remove(2);
            }
            Fault::Stale => {
                let columns = outputs[3].len();
                outputs[3] =
                    ArrayD::from_shape_fn(outputs[3].raw_dim(), |i| outputs[3][[(i[0] + columns - 1) % columns]]);
            }
        }
        outputs
    }

    fn tolerance(&self, types: Types, fill: Fill, inputs: &[ArrayD<f64>], expected: &[ArrayD<f64>]) -> Vec<Tolerance> {
        self.1.tolerance(types, fill, inputs, expected)
    }

    fn operations(&self) -> (f64, Unit) {
        self.1.operations()
    }
}

/// `gemm_backward` with a fault.
fn faulty(fault: Fault) -> Operator {
    fn wrapped(fault: Fault, point: &Point) -> Result<Box<dyn Problem>, ProblemError> {
        Ok(Box::new(FaultyProblem(fault, GEMM_BACKWARD.problem(point)?)))
    }
    let make: fn(&Point) -> Result<Box<dyn Problem>, ProblemError> = match fault {
        Fault::None => |point| wrapped(Fault::None, point),
        Fault::Sign => |point| wrapped(Fault::Sign, point),
        Fault::Term => |point| wrapped(Fault::Term, point),
        Fault::Stale => |point| wrapped(Fault::Stale, point),
        Fault::Gate => |point| wrapped(Fault::Gate, point),
    };
    Operator { name: "faulty", make, ..GEMM_BACKWARD }
}

#[test]
fn wrong_gradients_are_found() {
    let point = |text| Point::parse(GEMM_BACKWARD.axes, text).expect("a point");
    let plain = point("m=3,n=4,k=2,batch=2,bias=row");
    let gated = point("m=3,n=4,k=2,batch=2,bias=row,act=gelu");
    for (fault, point) in [(Fault::None, &plain), (Fault::None, &gated)] {
        assert!(matches!(check_differences(&faulty(fault), point, 1), Ok(Some(_))), "the right one is refused");
    }
    for (fault, point) in [(Fault::Sign, &plain), (Fault::Term, &plain), (Fault::Stale, &plain), (Fault::Gate, &gated)]
    {
        let found = check_differences(&faulty(fault), point, 1);
        assert!(found.is_err(), "{fault:?} passes the differences: {found:?}");
    }
    assert!(matches!(check_adjoint(&faulty(Fault::None), &plain, 1), Ok(Some(3))));
    for fault in [Fault::Sign, Fault::Term] {
        assert!(check_adjoint(&faulty(fault), &plain, 1).is_err(), "{fault:?} passes the adjoint test");
    }
}

//! libtorch against the reference: forward, gradients by autograd, and the ways that are timed.
//!
//! libtorch sums in orders of its own: `torch::tolerance` widens the operators' bounds by the length of one chain.
#![cfg(feature = "libtorch")]

#[path = "witness/case.rs"]
mod case;

use std::env;
use std::process::{Command, Stdio};
use std::time::Duration;

use etalon_reference::compare::{Comparison, Verdict};
use etalon_reference::torch::deviations::{self, Conduct, Deviation};
use etalon_reference::{Case, Data, Fill, Operator, Point, Problem, Types, Witness, arrays, ops, strategy, torch};
use ndarray::ArrayD;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestError, TestRunner};
use wait_timeout::ChildExt;

use case::{Check, of_case};

/// Problems for each operator, dtype and fill.
const CASES: u32 = 48;
/// Operations of a problem at most.
const FLOPS: f64 = 2e6;

/// Runs `check` on drawn problems of every operator, or on the one that `ETALON_CASE` names.
fn on_drawn(name: &str, types: fn(&Operator) -> Vec<Types>, fills: &[Fill], check: Check) {
    torch::set_threads(1);
    if let Ok(id) = env::var("ETALON_CASE") {
        let case = Case::parse(&id, ops::ALL).expect("ETALON_CASE is a case id");
        return check(&case).unwrap_or_else(|complaint| panic!("{complaint}"));
    }
    let mut failures = Vec::new();
    for operator in ops::ALL.iter().filter(|operator| operator.witness == Witness::Libtorch) {
        for types in types(operator) {
            for &fill in fills {
                let config = Config { cases: CASES, failure_persistence: None, ..Config::default() };
                let drawn = (strategy::problems(operator, FLOPS), any::<u16>());
                let judged = TestRunner::new(config).run(&drawn, |((point, problem), seed)| {
                    let case = of_case(operator, types, point, fill, u64::from(seed));
                    let inputs = problem.draw(types, fill, case.seed);
                    if deviations::known(&case.op, &*problem, &inputs).is_some() {
                        return Ok(());
                    }
                    check(&case).map_err(TestCaseError::fail)
                });
                if let Err(error) = judged {
                    failures.push(match error {
                        TestError::Fail(reason, _) => reason.to_string(),
                        TestError::Abort(reason) => format!("{name}: {} drew too little: {reason}", operator.name),
                    });
                }
            }
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

/// Inputs, and what the reference and its tolerance say of libtorch's answer `got`.
fn judge(
    case: &Case,
    operator: &Operator,
    problem: &dyn Problem,
    inputs: &[Data],
    got: &[ArrayD<f64>],
) -> Result<(), String> {
    let arrays = arrays(&problem.inputs(case.types), inputs);
    let expected = problem.reference(&arrays);
    let tolerances = torch::tolerance(operator, problem, case.types, case.fill, &arrays, &expected);
    if got.len() != expected.len() {
        return Err(format!("{} outputs, expected {}", got.len(), expected.len()));
    }
    let ports = problem.outputs(case.types);
    for ((port, expected), got) in ports.iter().zip(&expected).zip(got) {
        if expected.shape() != got.shape() {
            return Err(format!("{}: shape {:?}, expected {:?}", port.name, got.shape(), expected.shape()));
        }
    }
    let comparisons = problem.judge(case.types, &arrays, &expected, &tolerances, got);
    let failed = ports.iter().zip(&comparisons).find(|(_, comparison)| comparison.verdict == Verdict::Fail);
    failed.map_or(Ok(()), |(port, comparison)| Err(complaint(port.name, comparison)))
}

fn complaint(output: &str, found: &Comparison) -> String {
    format!("{output}{:?} is {}, expected {} ± {}", found.worst, found.got, found.expected, found.bound)
}

fn forward(case: &Case) -> Result<(), String> {
    case::with_repro(case, "forward", |operator, problem, inputs| {
        judge(case, operator, problem, inputs, &torch::outputs(operator, problem, case.types, inputs)?)
    })
}

fn ways(case: &Case) -> Result<(), String> {
    case::with_repro(case, "ways", |operator, problem, inputs| {
        for way in torch::ways(operator, problem, case.types, inputs, 1)? {
            judge(case, operator, problem, inputs, &way.outputs()?)
                .map_err(|complaint| format!("{}: {complaint}", way.name))?;
        }
        Ok(())
    })
}

/// Autograd in f64, with one upstream gradient, against the gradient operator's reference.
fn autograd(case: &Case) -> Result<(), String> {
    case::with_repro(case, "autograd", |operator, gradient, _| {
        let Some(of) = operator.gradient.filter(|of| of.forward.witness == Witness::Libtorch) else { return Ok(()) };
        let Some(problem) = of.forward_problem(&case.point) else { return Ok(()) };
        let data = problem.draw(Types::F64, case.fill, case.seed);
        let inputs = arrays(&problem.inputs(Types::F64), &data);
        if (of.near_kink)(&*problem, &inputs, 1e-9) {
            return Ok(());
        }
        let upstreams = of.draw_upstreams(gradient, &*problem, Types::F64, case.fill, case.seed);
        let ours = of.gradients(gradient, &of.inputs(gradient, &*problem, &inputs, &upstreams));
        let mut theirs = torch::gradients(of.forward, &*problem, Types::F64, &data, &upstreams)?;
        theirs.retain(|(input, _)| ours.iter().any(|(given, _)| given == input));
        if ours.len() != theirs.len() {
            return Err(format!("{} gradients, libtorch has {}", ours.len(), theirs.len()));
        }
        for ((input, ours), (theirs_input, theirs)) in ours.into_iter().zip(theirs) {
            if (input, ours.shape()) != (theirs_input, theirs.shape()) {
                return Err(format!("input {input} {:?}, libtorch {theirs_input} {:?}", ours.shape(), theirs.shape()));
            }
            for ((index, ours), theirs) in ours.indexed_iter().zip(&theirs) {
                // libtorch's own table for f64: 1e-7 relative, 1e-7 absolute.
                let off = (ours - theirs).abs();
                if off > 1e-7 + 1e-7 * theirs.abs() || off.is_nan() {
                    return Err(format!("gradient of input {input} at {index:?}: {ours}, autograd {theirs}"));
                }
            }
        }
        Ok(())
    })
}

#[test]
fn who_has_libtorch_as_witness_has_a_twin() {
    for operator in ops::ALL {
        let twin = torch::twin(operator.name).is_some();
        assert_eq!(twin, operator.witness == Witness::Libtorch, "{}: {:?}", operator.name, operator.witness);
    }
}

#[test]
fn libtorch_agrees_with_the_reference() {
    on_drawn("forward", |operator| operator.types.to_vec(), &[Fill::Exact, Fill::Real], forward);
}

#[test]
fn libtorch_treats_special_values_alike() {
    on_drawn("special values", |operator| operator.types.to_vec(), &[Fill::Hostile], forward);
}

#[test]
fn what_is_timed_agrees_with_the_reference() {
    on_drawn("ways", |operator| operator.types.to_vec(), &[Fill::Exact, Fill::Real], ways);
}

/// Ways that drawn problems seldom have, each by its name: what it is asked for is also that it is there.
#[test]
fn ways_for_special_shapes_agree_with_the_reference() {
    let gradient = "convolution_backward";
    let table: &[(&str, &str, &[&str])] = &[
        ("conv2d", "c=3,h=4,w=5,k=2", &["conv2d", "mm_out"]),
        ("conv2d", "n=3,c=3,h=4,w=5,k=2,bias=channel,relu=yes", &["mkldnn._convolution_pointwise", "bmm_out"]),
        ("conv2d", "n=3,c=3,h=4,w=5,k=2,bias=channel,scale=channel,relu=yes,layout=nhwc", &["mm_out"]),
        ("conv2d", "c=3,h=5,w=5,k=4,r=3,s=3,sh=2,pt=1,relu=yes", &["conv2d", "mkldnn._convolution_pointwise"]),
        ("conv2d_backward_data", "c=3,h=4,w=5,k=2", &[gradient, "mm_out"]),
        ("conv2d_backward_data", "n=3,c=3,h=4,w=5,k=2", &[gradient, "bmm_out"]),
        ("conv2d_backward_data", "n=3,c=3,h=4,w=5,k=2,layout=nhwc", &[gradient, "mm_out"]),
        ("conv2d_backward_weights", "c=3,h=4,w=5,k=2,bias=channel", &[gradient, "mm_out"]),
        ("conv2d_backward_weights", "n=3,c=3,h=4,w=5,k=2", &[gradient]),
        ("conv2d_backward_weights", "n=3,c=3,h=4,w=5,k=2,bias=channel,layout=nhwc", &[gradient, "mm_out"]),
        (
            "conv_transpose2d",
            "c=3,h=4,w=5,k=2,r=3,s=2,sh=2,bias=channel",
            &["conv_transpose2d", "slow_conv_transpose2d_out", gradient],
        ),
        ("conv_transpose2d", "n=2,c=2,h=4,w=5,k=4,r=3,s=2,g=2,pt=1,bias=channel", &["conv_transpose2d", gradient]),
        ("batchnorm_relu", "n=2,c=3,h=2,residual=add", &["native_batch_norm_out", "native_batch_norm"]),
        (
            "batchnorm_relu",
            "mode=infer,n=2,c=3,h=2,residual=add",
            &["native_batch_norm_out", "native_batch_norm", "batch_norm"],
        ),
    ];
    torch::set_threads(1);
    for (op, point, names) in table {
        let operator = ops::find(op).expect("the operator");
        let point = Point::parse(operator.axes, point).unwrap_or_else(|error| panic!("{op}: {point}: {error}"));
        let case = of_case(operator, Types::F32, point, Fill::Real, 1);
        ways(&case).unwrap_or_else(|complaint| panic!("{complaint}"));
        let problem = operator.problem(&case.point).expect("a problem");
        let inputs = problem.draw(case.types, case.fill, case.seed);
        let found = torch::ways(operator, &*problem, case.types, &inputs, 1).expect("ways");
        let found: Vec<&str> = found.iter().map(|way| way.name).collect();
        assert!(names.iter().all(|name| found.contains(name)), "{case}: {found:?} of {names:?}");
    }
}

#[test]
fn autograd_agrees_with_the_gradient_operators() {
    on_drawn("autograd", |operator| operator.types[..1].to_vec(), &[Fill::Exact, Fill::Real], autograd);
}

/// In a child process, because libtorch may end it.
#[test]
fn known_deviations_are_still_there() {
    for row in deviations::ALL {
        // What is overwritten depends on what lies there, and a busy machine may take too long: once in three runs is
        // enough.
        let mut seen = Vec::new();
        let shown = (0..3).any(|_| {
            seen.push(conduct_of(row));
            seen.last().is_some_and(|(conduct, _)| *conduct == Some(row.conduct))
        });
        assert!(shown, "{} ({}) is {:?}, observed {seen:?}", row.what, row.issue, row.conduct);
    }
}

/// What has spoilt its own memory may never end.
const LONGEST: Duration = Duration::from_secs(60);

/// What libtorch does with the row's example in a process of its own, and what that prints. Of a process that is ended
/// after a while nothing is known.
fn conduct_of(row: &Deviation) -> (Option<Conduct>, String) {
    let mut child = Command::new(env::current_exe().expect("a path"))
        .args(["--exact", "libtorch_answers_the_case", "--ignored", "--test-threads=1"])
        .env("ETALON_CASE", row.example)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("this test runs again");
    if child.wait_timeout(LONGEST).expect("a child of this process").is_none() {
        child.kill().expect("a child that runs");
        child.wait().expect("an ended child");
        return (None, format!("no answer within {} s", LONGEST.as_secs()));
    }
    let child = child.wait_with_output().expect("an ended child");
    let text = String::from_utf8_lossy(&child.stdout).into_owned();
    let conduct = match child.status.code() {
        Some(0) => None,
        // The example is none.
        Some(_) if text.contains("no row of the table") => None,
        None => Some(Conduct::Crashes),
        Some(_) if text.contains("torch error") => Some(Conduct::Refuses),
        Some(_) => Some(Conduct::Differs),
    };
    (conduct, text)
}

#[test]
#[ignore = "run by known_deviations_are_still_there, with ETALON_CASE"]
fn libtorch_answers_the_case() {
    let Ok(id) = env::var("ETALON_CASE") else { return };
    let case = Case::parse(&id, ops::ALL).expect("ETALON_CASE is a case id");
    let answer = case::with_repro(&case, "answer", |operator, problem, inputs| {
        let row = deviations::known(&case.op, problem, inputs);
        assert!(row.is_some(), "no row of the table applies to {id}");
        let twin = torch::twin(operator.name).ok_or("no twin")?;
        judge(&case, operator, problem, inputs, &torch::outputs_of(twin, problem, case.types, inputs)?)
    });
    answer.unwrap_or_else(|complaint| panic!("{complaint}"));
}

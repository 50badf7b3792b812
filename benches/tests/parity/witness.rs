//! libtorch in a process of its own.

use std::time::Duration;

use etalon_benches::witness::{Answer, Witness};
use etalon_benches::worker::Program;
use etalon_kernels::registry;
use etalon_reference::{Case, gather};

fn witness(limit: Duration) -> Witness {
    Witness::new(Program { path: env!("CARGO_BIN_EXE_etalon-parity").into(), through: None }, limit)
}

fn case(id: &str) -> Case {
    Case::parse(id, &registry::operators()).expect("a case id")
}

const MINUTE: Duration = Duration::from_secs(60);
const PRODUCT: &str = "gemm/scalar/f64/m=3,n=5,k=7/t1#exact-1";
/// A gradient without channels, by which libtorch divides.
const DEADLY: &str = "batchnorm_relu_backward/scalar/f32/c=0/t1#real-0";

#[test]
fn outputs_come_back_as_they_are() {
    let case = case(PRODUCT);
    let operator = registry::find("gemm").expect("an entry").operator;
    let problem = operator.problem(&case.point).expect("a problem");
    let inputs = problem.draw(case.types, case.fill, case.seed);
    let ports = problem.inputs(case.types);
    let arrays: Vec<_> = ports.iter().zip(&inputs).map(|(port, data)| gather(&port.layout, data)).collect();
    // Sums of small integers.
    assert_eq!(witness(MINUTE).ask(&case), Answer::Outputs(problem.reference(&arrays)));
}

#[test]
fn what_is_known_to_crash_is_not_asked_and_would_be_survived() {
    let mut witness = witness(MINUTE);
    let refused = witness.ask(&case(DEADLY));
    assert!(matches!(&refused, Answer::Refused(why) if why.contains("libtorch is not asked")), "{refused:?}");
    let crashed = witness.ask_at_any_price(&case(DEADLY));
    assert!(matches!(&crashed, Answer::Crashed(how) if how.starts_with("signal 8")), "{crashed:?}");
    assert!(matches!(witness.ask(&case(PRODUCT)), Answer::Outputs(_)));
}

#[test]
fn what_takes_too_long_is_ended() {
    let mut witness = witness(Duration::from_millis(1));
    let late = witness.ask(&case("gemm/scalar/f32/m=1000,n=1000,k=100/t1#real-1"));
    assert_eq!(late, Answer::TimedOut(Duration::from_millis(1)));
}

#[test]
fn a_question_may_be_begun_before_it_is_asked() {
    let mut witness = witness(MINUTE);
    let (one, other) = (case(PRODUCT), case("gemm/scalar/f64/m=2,n=2,k=2/t1#exact-1"));
    witness.begin(&one);
    let shape = |answer: Answer| match answer {
        Answer::Outputs(arrays) => arrays[0].shape().to_vec(),
        other => panic!("{other:?}"),
    };
    assert_eq!(shape(witness.ask(&one)), [1, 3, 5]);
    // One that is asked something else does not answer what was begun.
    witness.begin(&one);
    assert_eq!(shape(witness.ask(&other)), [1, 2, 2]);
}

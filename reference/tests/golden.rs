//! The reference against libtorch's frozen answers.

use std::collections::HashSet;
use std::fs;

use etalon_reference::compare::{Verdict, compare};
use etalon_reference::{Fill, Operator, Witness, arrays, golden, ops};

/// The operators that libtorch computes, too.
fn answered() -> impl Iterator<Item = &'static Operator> {
    ops::ALL.iter().copied().filter(|operator| operator.witness == Witness::Libtorch)
}

#[test]
fn every_operator_has_answers() {
    for operator in answered() {
        let cases = golden::cases(operator.name).unwrap_or_else(|error| panic!("{error}"));
        assert!(cases.len() >= 10, "{}: {} cases", operator.name, cases.len());
        assert!(cases.iter().all(|golden| golden.case.op == operator.name));
        for &types in operator.types {
            for fill in [Fill::Exact, Fill::Real] {
                let there = cases.iter().any(|golden| golden.case.types == types && golden.case.fill == fill);
                assert!(there, "{}: none of {types} and {fill}", operator.name);
            }
        }
        let ids: HashSet<String> = cases.iter().map(|golden| golden.case.to_string()).collect();
        assert_eq!(ids.len(), cases.len(), "{}: a case stands twice", operator.name);
    }
}

#[test]
fn the_reference_agrees_with_them() {
    for operator in answered() {
        for golden in golden::cases(operator.name).unwrap_or_else(|error| panic!("{error}")) {
            let (types, fill) = (golden.case.types, golden.case.fill);
            let problem = golden.problem().unwrap_or_else(|error| panic!("{}: {error}", golden.case));
            let inputs = arrays(&problem.inputs(types), &golden.inputs(&*problem));
            let expected = problem.reference(&inputs);
            let tolerances = problem.witness_tolerance(types, fill, &inputs, &expected);
            for found in problem.judge(types, &inputs, &expected, &tolerances, &golden.outputs) {
                assert_ne!(found.verdict, Verdict::Fail, "{}: {found:?}", golden.case);
            }
        }
    }
}

/// A changed answer is noticed: the test is not blind.
#[test]
fn a_changed_answer_disagrees() {
    let golden = golden::cases("gemm").unwrap_or_else(|error| panic!("{error}"));
    let golden = golden.iter().find(|golden| golden.case.fill == Fill::Exact).expect("an exact case");
    let mut changed = golden.outputs[0].clone();
    *changed.iter_mut().last().expect("an element") += 1.0;
    let found = compare(golden.case.types.of("out"), &golden.outputs[0], &etalon_reference::Tolerance::Exact, &changed);
    assert_eq!(found.verdict, Verdict::Fail);
}

#[test]
fn the_files_are_small_and_of_one_libtorch() {
    let mut versions = HashSet::new();
    for entry in fs::read_dir(golden::folder()).expect("the folder is there") {
        let path = entry.expect("an entry").path();
        let text = fs::read_to_string(&path).expect("a text");
        assert!(text.len() <= 10 * 1024, "{}: {} bytes", path.display(), text.len());
        versions.insert(golden::read(&text).expect("of the format").0.libtorch);
    }
    assert_eq!(versions.len(), 1, "{versions:?}");
}

//! Two runs held against each other.

use std::ffi::OsStr;
use std::process::Output;

use etalon_reports::compare::{Word, compare, mean};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{fixture, paired, program, run_of, write_records};

/// A record of `case` with this median and half the width of its interval, in nanoseconds.
fn timed(case: &str, median: f64, half: f64) -> Value {
    let mut record = paired();
    record["id"] = json!(format!("gemm/{case}/f32/m=1/t1#real-1"));
    record["time"]["median_ns"] = json!(median);
    record["time"]["low_ns"] = json!(median - half);
    record["time"]["high_ns"] = json!(median + half);
    record
}

fn words(a: &[Value], b: &[Value]) -> Vec<Word> {
    compare(&run_of(a), &run_of(b), 1.05).iter().map(|c| c.word).collect()
}

#[test]
fn each_word_from_a_pair() {
    let before = [timed("x", 100.0, 1.0)];
    assert_eq!(words(&before, &[timed("x", 101.0, 1.0)]), [Word::Same]);
    assert_eq!(words(&before, &[timed("x", 80.0, 1.0)]), [Word::Faster]);
    assert_eq!(words(&before, &[timed("x", 125.0, 1.0)]), [Word::Slower]);
    assert_eq!(words(&before, &[timed("x", 105.0, 4.0)]), [Word::Ambiguous]);
    assert_eq!(words(&before, &before), [Word::Same]);
}

#[test]
fn the_mean_is_geometric_and_over_what_both_have() {
    let a = [timed("x", 400.0, 1.0), timed("y", 100.0, 1.0), timed("only-a", 1.0, 0.1)];
    let b = [timed("x", 100.0, 1.0), timed("y", 400.0, 1.0), timed("only-b", 9.0, 0.1)];
    let cases = compare(&run_of(&a), &run_of(&b), 1.05);
    assert_eq!(cases.len(), 2);
    assert!((mean(&cases).unwrap().value - 1.0).abs() < 1e-12);
}

#[test]
fn untimed_records_do_not_count() {
    let mut skipped = timed("x", 1.0, 0.1);
    (skipped["time"], skipped["status"], skipped["reason"]) = (Value::Null, json!("skipped"), json!("no AVX-512"));
    let cases = compare(&run_of(&[skipped]), &run_of(&[timed("x", 1.0, 0.1)]), 1.05);
    assert!(cases.is_empty() && mean(&cases).is_none());
}

#[test]
fn a_run_is_the_same_as_itself() {
    // Intervals as wide as these would decide nothing between two runs.
    let wide = [timed("x", 100.0, 50.0), timed("y", 3.0, 2.0)];
    assert_eq!(words(&wide, &wide), [Word::Same, Word::Same]);
    let output = answer(&wide, &wide);
    assert_eq!(output.status.code(), Some(0));
    assert!(String::from_utf8(output.stdout).unwrap().starts_with("SAME       1.00 × [1.00–1.00]"));
    assert_eq!(words(&wide, &[timed("x", 100.0, 49.0)]), [Word::Ambiguous], "one like it is another one");
}

/// Runs the program on two record files.
fn answer(a: &[Value], b: &[Value]) -> Output {
    let folder = TempDir::new().unwrap();
    let paths = ["a.jsonl", "b.jsonl"].map(|name| folder.path().join(name));
    write_records(&paths[0], a);
    write_records(&paths[1], b);
    program(env!("CARGO_BIN_EXE_etalon-compare"), &paths)
}

#[test]
fn exit_codes() {
    let before = [timed("x", 100.0, 1.0), timed("y", 100.0, 1.0)];
    let (fine, slower) = (timed("x", 80.0, 1.0), timed("y", 125.0, 1.0));
    let unclear = timed("x", 105.0, 4.0);
    let code = |b: &[Value]| answer(&before, b).status.code();
    assert_eq!(code(&before), Some(0));
    assert_eq!(code(std::slice::from_ref(&fine)), Some(0));
    assert_eq!(code(&[fine.clone(), slower.clone()]), Some(1));
    assert_eq!(code(&[unclear.clone(), slower]), Some(1), "a regression is one, whatever else is unclear");
    assert_eq!(code(&[unclear]), Some(3));
    assert_eq!(code(&[timed("z", 100.0, 1.0)]), Some(3), "no case in common is no success");
}

#[test]
fn usage_errors() {
    let binary = env!("CARGO_BIN_EXE_etalon-compare");
    let records = fixture("records.jsonl");
    let code = |arguments: &[&OsStr]| program(binary, arguments).status.code();
    assert_eq!(code(&[records.as_ref()]), Some(2));
    assert_eq!(code(&[records.as_ref(), "absent.jsonl".as_ref()]), Some(2));
    assert_eq!(code(&[records.as_ref(), records.as_ref(), "--threshold".as_ref(), "0.9".as_ref()]), Some(2));
    assert_eq!(code(&[records.as_ref(), records.as_ref(), "--threshold".as_ref(), "2".as_ref()]), Some(0));
}

#[test]
fn the_answer_names_each_case_and_the_mean() {
    let output = answer(&[timed("x", 100.0, 1.0)], &[timed("x", 50.0, 0.5)]);
    let text = String::from_utf8(output.stdout).unwrap();
    let case = text.lines().next().unwrap();
    assert!(
        case.starts_with("FASTER") && case.contains("2.00 ×") && case.ends_with("gemm/x/f32/m=1/t1#real-1"),
        "{case}"
    );
    assert!(
        text.contains("1 cases: 0 same, 1 faster, 0 slower, 0 ambiguous; geometric mean of A / B 2.00 ×"),
        "{text}"
    );
}

//! `etalon-ulp`: every function within its budget at some arguments, and what it says.

use std::process::{Command, Output};

fn ulp(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_etalon-ulp")).args(arguments).output().expect("the program runs")
}

#[test]
fn every_function_is_within_its_budget() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("ulp.jsonl");
    let output = ulp(&["--stride", "65537", "--json", file.to_str().expect("text")]);
    let text = String::from_utf8(output.stdout).expect("text");
    assert_eq!(output.status.code(), Some(0), "{text}");
    let found = std::fs::read_to_string(&file).expect("the file");
    for name in ["exp", "log", "erf", "tanh", "sigmoid'", "gelu_erf", "guided_relu'"] {
        assert!(text.contains(&format!("\n{name} ")), "{name} in {text}");
        let line = found.lines().find(|line| line.contains(&format!("\"function\":\"{name}\""))).expect("a line");
        let value: serde_json::Value = serde_json::from_str(line).expect("JSON");
        assert!(value["share"].as_f64().is_some_and(|share| share <= 1.0) && value["fault"].is_null(), "{line}");
    }
}

#[test]
fn one_function_comes_with_its_derivative() {
    let output = ulp(&["tanh", "--stride", "1000003", "--threads", "1"]);
    let text = String::from_utf8(output.stdout).expect("text");
    let rows: Vec<&str> = text.lines().skip(1).filter_map(|line| line.split_whitespace().next()).collect();
    assert_eq!((output.status.code(), &rows[..]), (Some(0), &["tanh", "tanh'"][..]));
}

#[test]
fn an_unknown_function_is_a_fault_of_the_command_line() {
    let output = ulp(&["sine"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("expected one of exp, "));
}

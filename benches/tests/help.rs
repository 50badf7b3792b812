//! `cargo xtask COMMAND --help` tells every option of the program that it hands over to.

use std::collections::BTreeSet;
use std::process::Command;

const HELP: &str = include_str!("../../xtask/src/help.rs");

/// What `cargo xtask` says of a command.
fn told(name: &str) -> &'static str {
    let start = format!("pub const {name}: &str = ");
    HELP.split_once(&start).and_then(|(_, rest)| rest.split_once("\";")).map(|(text, _)| text).expect("a text")
}

/// The options in a program's own help.
fn options(program: &str) -> BTreeSet<String> {
    let output = Command::new(program).arg("--help").output().expect("the program runs");
    let text = String::from_utf8(output.stdout).expect("text");
    let words = text.split(|c: char| !(c.is_ascii_lowercase() || c == '-'));
    words.filter(|word| word.starts_with("--") && word.len() > 2 && *word != "--help").map(str::to_owned).collect()
}

fn complete(name: &str, program: &str) {
    let options = options(program);
    assert!(options.len() > 2, "{name}: {options:?}");
    let told = told(name);
    for option in options {
        assert!(told.contains(&option), "`cargo xtask` says nothing of {option} in the help of {name}");
    }
}

#[test]
fn of_bench() {
    complete("BENCH", env!("CARGO_BIN_EXE_etalon-bench"));
    let own = Command::new(env!("CARGO_BIN_EXE_etalon-bench")).arg("--help").output().expect("the program runs");
    let own = String::from_utf8(own.stdout).expect("text");
    for promised in ["two to three minutes", "half an hour"] {
        assert!(own.contains(promised) && told("BENCH").contains(promised), "{promised}");
    }
}

#[test]
fn of_versus() {
    complete("VERSUS", env!("CARGO_BIN_EXE_etalon-versus"));
}

#[test]
fn of_audit() {
    complete("AUDIT", env!("CARGO_BIN_EXE_etalon-audit"));
}

#[test]
fn of_ulp() {
    complete("ULP", env!("CARGO_BIN_EXE_etalon-ulp"));
}

#[test]
fn of_parity() {
    complete("PARITY", env!("CARGO_BIN_EXE_etalon-parity"));
}

//! What is told, held against the records it is told from.

mod audit;
mod compare;
mod exports;
mod gate;
mod load;
mod networks;
mod page;
mod pictures;
mod programs;
mod schema;
mod splice;
mod states;
mod unusable;
mod winograd;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use etalon_reports::load::Run;
use serde_json::Value;
use tempfile::TempDir;

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

/// The fixture's records as JSON.
fn records() -> Vec<Value> {
    let text = fs::read_to_string(fixture("records.jsonl")).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The fixture's first record that was timed beside peers.
fn paired() -> Value {
    records().into_iter().find(|r| r["peers"].as_array().is_some_and(|p| !p.is_empty())).unwrap()
}

/// The fixture, read.
fn run() -> Run {
    Run::read(&[fixture("records.jsonl"), fixture("environment.json")]).unwrap()
}

/// Writes a record file.
fn write_records(path: &Path, records: &[Value]) {
    let lines: String = records.iter().map(|r| format!("{r}\n")).collect();
    fs::write(path, lines).unwrap();
}

/// Reads records that never were in a file of their own.
fn run_of(records: &[Value]) -> Run {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("records.jsonl");
    write_records(&path, records);
    Run::read(&[path]).unwrap()
}

/// Runs one of the programs.
fn program<S: AsRef<std::ffi::OsStr>>(path: &str, arguments: &[S]) -> Output {
    Command::new(path).args(arguments).env_remove("ETALON_CWD").output().unwrap()
}

//! The programs as their users meet them: without arguments, from another folder, in a closed pipe, on a full disk.
#![cfg(target_os = "linux")]

use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime};

use tempfile::TempDir;

use crate::{fixture, paired, write_records};

const REPORT: &str = env!("CARGO_BIN_EXE_etalon-report");
const COMPARE: &str = env!("CARGO_BIN_EXE_etalon-compare");

/// A program at this root.
fn at(root: &Path, program: &str) -> Command {
    let mut command = Command::new(program);
    command.current_dir(root).env_remove("ETALON_CWD").stdin(Stdio::null());
    command
}

/// A run with a record, written so many seconds ago.
fn make_run(root: &Path, name: &str, seconds: u64) {
    let folder = root.join("target/etalon").join(name);
    fs::create_dir_all(&folder).unwrap();
    let path = folder.join("records.jsonl");
    write_records(&path, &[paired()]);
    File::options()
        .append(true)
        .open(path)
        .unwrap()
        .set_modified(SystemTime::now() - Duration::from_secs(seconds))
        .unwrap();
}

/// Standard error of a report without arguments, after its exit code was as expected.
fn told(root: &Path, code: i32) -> String {
    let output = at(root, REPORT).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(code), "{said}");
    said
}

#[test]
fn the_run_that_is_told_of_is_named_and_a_newer_one_offered() {
    let root = TempDir::new().unwrap();
    assert!(told(root.path(), 2).contains("no record in target/etalon"));
    make_run(root.path(), "run-smoke-1", 50);
    let said = told(root.path(), 2);
    assert!(
        said.contains("no finished run") && said.contains("`cargo xtask report target/etalon/run-smoke-1`"),
        "{said}"
    );

    symlink("run-smoke-1", root.path().join("target/etalon/latest")).unwrap();
    make_run(root.path(), "run-smoke-0", 90);
    fs::create_dir(root.path().join("target/etalon/run-smoke-9")).unwrap();
    let said = told(root.path(), 0);
    assert_eq!(said, "report of target/etalon/run-smoke-1\n", "neither an older run nor an empty one is offered");
    assert!(root.path().join("target/etalon/run-smoke-1/report/index.html").is_file());

    make_run(root.path(), "run-smoke-2", 20);
    let said = told(root.path(), 0);
    assert!(said.starts_with("report of target/etalon/run-smoke-1\n"), "{said}");
    assert!(
        said.contains("a newer run has not come to its end: `cargo xtask report target/etalon/run-smoke-2`"),
        "{said}"
    );
}

#[test]
fn paths_are_taken_from_where_the_user_stands() {
    let root = TempDir::new().unwrap();
    let stands = root.path().join("sub");
    fs::create_dir(&stands).unwrap();
    for name in ["a.jsonl", "b.jsonl"] {
        write_records(&stands.join(name), &[paired()]);
    }
    let output = at(root.path(), COMPARE).args(["a.jsonl", "b.jsonl"]).env("ETALON_CWD", &stands).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let output = at(root.path(), REPORT).args(["a.jsonl", "-o", "out"]).env("ETALON_CWD", &stands).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let page = stands.join("out/index.html");
    assert!(page.is_file());
    assert_eq!(String::from_utf8(output.stdout).unwrap().trim(), page.display().to_string(), "a path that works there");
}

#[test]
fn a_closed_pipe_is_quiet_and_a_full_disk_an_error() {
    let root = TempDir::new().unwrap();
    let records = fixture("records.jsonl");
    let commands = || {
        let mut compare = at(root.path(), COMPARE);
        compare.args([&records, &records]);
        let mut report = at(root.path(), REPORT);
        report.arg(&records).arg("-o").arg(root.path().join("out"));
        [compare, report]
    };
    for mut command in commands() {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        assert_eq!((output.status.code(), output.stderr.len()), (Some(0), 0), "{output:?}");
    }
    for mut command in commands() {
        let output = command.stdout(File::create("/dev/full").unwrap()).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.starts_with("error: cannot write to standard output: No space left"), "{said}");
    }
}

#[test]
fn a_page_that_does_not_fit_leaves_the_old_one() {
    let root = TempDir::new().unwrap();
    let records = fixture("records.jsonl");
    let old = root.path().join("out/index.html");
    fs::create_dir(root.path().join("out")).unwrap();
    fs::write(&old, "old").unwrap();
    let limited = "trap '' XFSZ; ulimit -f 16; exec \"$@\"";
    let mut command = at(root.path(), "sh");
    command.args(["-c", limited, "sh", REPORT]).arg(&records).args(["-o", "out"]);
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("error: the report: cannot write out/") && said.contains("File too large"), "{said}");
    assert_eq!(fs::read_to_string(&old).unwrap(), "old");
    let mut command = Command::new("find");
    let left = command.arg(root.path()).args(["-name", "*.partial"]).output().unwrap();
    assert!(left.stdout.is_empty(), "{left:?}");
}

#[test]
fn xtask_tells_every_option() {
    let told = include_str!("../../../xtask/src/help.rs");
    for (name, program) in [("REPORT", REPORT), ("COMPARE", COMPARE)] {
        let start = format!("pub const {name}: &str = ");
        let told = told.split_once(&start).and_then(|(_, rest)| rest.split_once("\";")).unwrap().0;
        let own = String::from_utf8(Command::new(program).arg("--help").output().unwrap().stdout).unwrap();
        let words = own.split(|c: char| !(c.is_ascii_lowercase() || c == '-'));
        let options: Vec<&str> = words.filter(|word| word.starts_with("--") && *word != "--help").collect();
        assert!(!options.is_empty());
        for option in options {
            assert!(told.contains(option), "`cargo xtask` says nothing of {option} in the help of {name}");
        }
    }
}

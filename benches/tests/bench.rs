//! The program `etalon-bench` as its users meet it: several at once, interrupted, on a full disk, in a closed pipe.
#![cfg(target_os = "linux")]

use std::collections::HashSet;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

/// Its own arguments after those of a launcher, in this folder.
fn bench(folder: &Path, launcher: &[&str], arguments: &[&str]) -> Command {
    let mut words =
        launcher.iter().copied().chain([env!("CARGO_BIN_EXE_etalon-bench")]).chain(arguments.iter().copied());
    let mut command = Command::new(words.next().unwrap());
    command.args(words).current_dir(folder).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    for name in ["ETALON_CWD", "ETALON_ISA", "ETALON_REQUIRE_ISA"] {
        command.env_remove(name);
    }
    command
}

/// A few cases of one thread.
const FEW: [&str; 5] = ["gemm/square.8/f32", "--profile", "smoke", "--threads", "1,1"];

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The records of a file; every line is a whole one.
fn records(path: &Path) -> Vec<Value> {
    let text = fs::read_to_string(path).unwrap();
    assert!(text.is_empty() || text.ends_with('\n'), "the last line of {} has no end", path.display());
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The folders of runs below this one, without `latest`.
fn runs(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder.join("target/etalon")) else { return Vec::new() };
    entries.map(|entry| entry.unwrap().path()).filter(|path| !path.is_symlink()).collect()
}

/// Waits until something holds.
fn until(what: &str, holds: impl Fn() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < Duration::from_secs(300), "{what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn interrupt(child: Child) -> Output {
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    child.wait_with_output().unwrap()
}

#[test]
fn three_at_once_keep_their_records_wherever_they_print() {
    let folder = TempDir::new().unwrap();
    let bound = bench(folder.path(), &["taskset", "-c", "0"], &FEW).spawn().unwrap();
    let full = bench(folder.path(), &[], &FEW).stdout(File::create("/dev/full").unwrap()).spawn().unwrap();
    let mut closed = bench(folder.path(), &[], &FEW).spawn().unwrap();
    drop(closed.stdout.take());

    let bound = bound.wait_with_output().unwrap();
    assert_eq!(bound.status.code(), Some(0), "{bound:?}");
    let said = text(&bound.stdout);
    let path = said.lines().find_map(|line| line.strip_prefix("records: ")).expect("where the records are");
    let environment = folder.path().join(path).with_file_name("environment.json");
    let environment: Value = serde_json::from_str(&fs::read_to_string(environment).unwrap()).unwrap();
    assert_eq!(environment["facts"]["os.affinity"], "0");
    if std::thread::available_parallelism().unwrap().get() > 1 {
        let said = text(&bound.stderr);
        assert!(said.contains("CPUs may be used here (affinity 0): more threads are not timed"), "{said}");
    }

    let full = full.wait_with_output().unwrap();
    assert_eq!(full.status.code(), Some(1), "{full:?}");
    let said = text(&full.stderr);
    assert!(said.contains("cannot write to standard output: No space left"), "{said}");
    let closed = closed.wait_with_output().unwrap();
    assert_eq!(closed.status.code(), Some(0), "{closed:?}");
    assert!(!said.contains("panicked") && !text(&closed.stderr).contains("panicked"));

    let runs = runs(folder.path());
    assert_eq!(runs.len(), 3);
    let mut run_ids = HashSet::new();
    for run in &runs {
        let records = records(&run.join("records.jsonl"));
        let ids: HashSet<&str> = records.iter().map(|r| r["id"].as_str().unwrap()).collect();
        assert!(!records.is_empty());
        assert_eq!(ids.len(), records.len(), "--threads 1,1 is one thread, once");
        run_ids.extend(records.iter().map(|r| r["run_id"].as_str().unwrap().to_owned()));
    }
    assert_eq!(run_ids.len(), 3);
    let latest = fs::canonicalize(folder.path().join("target/etalon/latest")).unwrap();
    assert!(runs.iter().any(|run| fs::canonicalize(run).unwrap() == latest));
}

#[test]
fn an_unknown_filter_is_answered_at_once() {
    let folder = TempDir::new().unwrap();
    let start = Instant::now();
    let output = bench(folder.path(), &[], &["nosuch"]).output().unwrap();
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("contains `nosuch`; the operators are gemm") && !said.contains("measuring"), "{said}");
    assert!(start.elapsed() < Duration::from_secs(10));
    assert!(runs(folder.path()).is_empty() && !folder.path().join("target/etalon/latest").exists());
}

#[test]
fn an_interrupt_says_where_the_records_are() {
    let folder = TempDir::new().unwrap();
    let child = bench(folder.path(), &[], &["", "--profile", "smoke", "--threads", "1"]).spawn().unwrap();
    let file = || runs(folder.path()).first().map(|run| run.join("records.jsonl"));
    until("the first record", || file().is_some_and(|path| fs::metadata(path).is_ok_and(|meta| meta.len() > 0)));
    let output = interrupt(child);
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(130), "{said}");
    let run = runs(folder.path()).pop().unwrap();
    let name = run.file_name().unwrap().to_string_lossy().into_owned();
    assert!(said.contains("interrupted: ") && said.contains(&format!("target/etalon/{name}/records.jsonl")), "{said}");
    assert!(said.contains(&format!("`cargo xtask report target/etalon/{name}`")), "{said}");
    assert!(!records(&run.join("records.jsonl")).is_empty());
    assert!(!folder.path().join("target/etalon/latest").exists(), "latest leads to a finished run");
}

#[test]
fn an_interrupt_before_the_first_record_leaves_nothing() {
    let folder = TempDir::new().unwrap();
    let mut child = bench(folder.path(), &[], &FEW).spawn().unwrap();
    let mut errors = std::io::BufReader::new(child.stderr.take().unwrap());
    let mut said = String::new();
    // Limits are measured when the handler is there.
    while !said.contains("measuring the limits") {
        assert!(std::io::BufRead::read_line(&mut errors, &mut said).unwrap() > 0, "{said}");
    }
    let output = interrupt(child);
    std::io::Read::read_to_string(&mut errors, &mut said).unwrap();
    assert_eq!(output.status.code(), Some(130), "{said}");
    assert!(said.contains("interrupted before the first record"), "{said}");
    assert!(runs(folder.path()).is_empty());
}

#[test]
fn a_full_disk_is_named_and_leaves_whole_records() {
    let folder = TempDir::new().unwrap();
    // Files of at most 48 × 512 bytes (or 1024, as the shell counts) hold the environment and some records.
    let limited = ["sh", "-c", "trap '' XFSZ; ulimit -f 48; exec \"$@\"", "sh"];
    let wanted = ["gemm/", "--profile", "smoke", "--threads", "1", "-o", "out"];
    let output = bench(folder.path(), &limited, &wanted).output().unwrap();
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("error: cannot write out/records.jsonl (it holds "), "{said}");
    let records = records(&folder.path().join("out/records.jsonl"));
    assert!(!records.is_empty());
    assert!(said.contains(&format!("(it holds {} whole records)", records.len())), "{said}");
}

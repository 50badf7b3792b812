//! What is printed and written.

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::process::Stdio;

use crate::{Folder, parity, rows, run};

/// One case, all questions of it.
const CASE: &str = "gemm/scalar/f32/m=3,n=5,k=7/t2#real-1";

#[test]
fn a_closed_pipe_ends_it_quietly() {
    let mut child =
        (parity().args(["gemm", "--list"]).stdout(Stdio::piped()).stderr(Stdio::piped())).spawn().expect("it runs");
    let mut first = String::new();
    BufReader::new(child.stdout.take().expect("a pipe")).read_line(&mut first).expect("a line");
    let ended = child.wait_with_output().expect("it ends");
    assert!(first.contains('#'), "{first}");
    assert_eq!((ended.status.code(), String::from_utf8_lossy(&ended.stderr).as_ref()), (Some(0), ""));
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_device_is_an_error() {
    let full = || File::options().write(true).open("/dev/full").expect("/dev/full");
    for arguments in [["gemm/scalar/f32", "--list"], [CASE, "--shrink=0"]] {
        let (code, _, err) = run(parity().args(arguments).stdout(full()));
        assert_eq!(code, 1, "{err}");
        assert!(err.contains("cannot write to standard output: No space left"), "{err}");
    }
    for option in ["--json", "--junit"] {
        let (code, _, err) = run(parity().args([CASE, option, "/dev/full"]));
        assert_eq!(code, 1, "{err}");
        assert!(err.contains("cannot write /dev/full: No space left"), "{err}");
    }
}

#[test]
fn a_file_that_cannot_be_made_is_named() {
    let folder = Folder::new("named");
    let path = folder.join("missing").join("rows.jsonl");
    let (code, _, err) = run(parity().args([CASE, "--json"]).arg(&path));
    assert_eq!(code, 1, "{err}");
    assert!(err.contains("missing/rows.jsonl"), "{err}");
}

#[test]
fn rows_and_junit_are_written_where_the_user_stands() {
    let folder = Folder::new("files");
    let mut command = parity();
    command.args([CASE, "--json", "rows.jsonl", "--junit", "junit.xml"]).env("ETALON_CWD", &folder.0);
    let (code, out, err) = run(&mut command);
    assert_eq!(code, 0, "{err}");
    let rows = rows(&folder.join("rows.jsonl"));
    let questions: Vec<&str> = rows.iter().map(|row| row.question.as_str()).collect();
    for question in ["parity", "threads", "repeat", "alignment", "pages", "batch", "short-buffer"] {
        assert_eq!(questions.iter().filter(|q| **q == question).count(), 1, "{question}: {questions:?}");
    }
    assert!(rows.iter().all(|row| row.id == CASE && row.isa == "scalar" && row.threads == 2));
    assert!(rows[0].headroom.is_some_and(|headroom| headroom <= 1.0), "{:?}", rows[0]);
    assert!(out.contains(&format!("{} passed, 0 failed", rows.len())), "{out}");
    let junit = fs::read_to_string(folder.join("junit.xml")).expect("written");
    assert!(junit.contains(&format!("name=\"short-buffer {CASE}\"")), "{junit}");
    assert_eq!(fs::read_dir(&folder.0).expect("a folder").count(), 2, "nothing is left beside them");
}

#[test]
fn the_same_cases_are_drawn_again_and_a_filter_with_a_slash_is_exact() {
    let list = |filter: &str| run(parity().args([filter, "--list", "--cases", "2"])).1;
    let (all, gemm) = (list("gemm"), list("gemm/"));
    assert_eq!(all, list("gemm"));
    assert!(all.contains("gemm_backward/") && !gemm.contains("gemm_backward/"));
    assert!(gemm.lines().all(|id| id.starts_with("gemm/") && all.contains(id)));
}

#[test]
fn rows_come_in_the_order_of_the_cases() {
    let folder = Folder::new("order");
    let of = |jobs: &str| {
        let path = folder.join(jobs);
        let arguments = ["batchnorm_relu/scalar/f32", "--cases", "2", "--jobs", jobs, "--json"];
        let (code, _, err) = run(parity().args(arguments).arg(&path));
        assert_eq!(code, 0, "{err}");
        rows(&path)
    };
    let (one, three) = (of("1"), of("3"));
    assert!(one.len() > 10);
    assert_eq!(one, three);
}

#[test]
fn workloads_are_cases() {
    let (code, out, err) = run(parity().args(["conv2d/", "--workloads", "--list"]));
    assert_eq!(code, 0, "{err}");
    assert!(out.lines().count() > 50 && out.lines().all(|id| id.starts_with("conv2d/") && id.ends_with("#real-1")));
}

//! Kernels that crash and hang, as a script in the worker's place does.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use etalon_benches::parity::Row;
use etalon_reference::record::Status;

use crate::{Folder, parity, rows, run};

const CASE: &str = "gemm/scalar/f32/m=3,n=5,k=7/t2#real-1";

/// A program that starts workers: `kernel` and `witness` are what a worker of that kind does with a request, in `$line`, before the
/// real one answers it.
pub fn script(folder: &Folder, kernel: &str, witness: &str) -> PathBuf {
    let path = folder.join("through.sh");
    let text = format!(
        "#!/bin/sh\ncount=0\nwhile read -r line; do\ncount=$((count + 1))\ncase \"$3\" in\nkernel)\n{kernel}\n;;\nwitness)\n{witness}\n;;\nesac\n\
         printf '%s\\n' \"$line\" | \"$@\"\ndone\n"
    );
    fs::write(&path, text).expect("written");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("executable");
    path
}

/// Does `what` when the question is asked, as a kernel would.
fn when(question: &str, what: &str) -> String {
    format!("case \"$line\" in *'\"question\":\"{question}\"'*) echo '{{\"At\":\"Kernel\"}}'; {what};; esac")
}

/// Exit code, rows and standard error of the case with such a kernel.
fn with(test: &str, kernel: &str, arguments: &[&str]) -> (i32, Vec<Row>, String) {
    let folder = Folder::new(test);
    let json = folder.join("rows.jsonl");
    let mut command = parity();
    command.arg(CASE).args(arguments).arg("--json").arg(&json);
    let (code, _, err) = run(command.arg("--through").arg(script(&folder, kernel, ":")));
    (code, rows(&json), err)
}

fn reason<'a>(rows: &'a [Row], question: &str) -> &'a str {
    let row = rows.iter().find(|row| row.question == question).expect("a row");
    assert_eq!(row.status, Status::Failed, "{row:?}");
    row.reason.as_deref().expect("a reason")
}

#[test]
fn a_kernel_that_crashes_or_hangs_fails_and_the_run_goes_on() {
    let kernel = [when("threads", "kill -SEGV $$"), when("repeat", "exec sleep 1000")].join("\n");
    let (code, rows, err) = with("crash", &kernel, &["--limit", "3", "--shrink", "0"]);
    assert_eq!(code, 1);
    assert_eq!(reason(&rows, "threads"), "the kernel crashed: signal 11");
    assert_eq!(reason(&rows, "repeat"), "the kernel timed out after 3 s");
    let failed = rows.iter().filter(|row| row.status == Status::Failed).count();
    assert_eq!((failed, rows.len()), (2, 7), "{err}");
    assert_eq!(err.matches(&format!("REPRO: cargo xtask parity '{CASE}'")).count(), 2, "{err}");
}

#[test]
fn a_crash_that_a_case_before_caused_is_told() {
    let kernel = when("threads", "[ $count -eq 1 ] || kill -ABRT $$");
    let (code, rows, _) = with("late", &kernel, &["--shrink", "0"]);
    assert_eq!(code, 1);
    assert!(reason(&rows, "threads").starts_with("the kernel crashed: signal 6; it does not in a fresh process"));
}

#[test]
fn fail_fast_ends_at_the_first_failure() {
    let (code, rows, err) = with("fast", &when("threads", "kill -SEGV $$"), &["--fail-fast"]);
    let asked: Vec<&str> = rows.iter().map(|row| row.question.as_str()).collect();
    assert_eq!((code, asked), (1, vec!["parity", "threads"]), "{err}");
    assert_eq!(err.matches("REPRO:").count(), 1, "{err}");
}

#[test]
fn crashes_shrink_to_the_smallest_case() {
    let (code, rows, err) = with("shrink", &when("threads", "kill -SEGV $$"), &["--shrink", "100"]);
    assert_eq!(code, 1);
    let smallest = "gemm/scalar/f32/m=0,n=0,k=0,batch=0/t1#exact-1";
    let row = rows.iter().find(|row| row.question == "threads").expect("a row");
    assert_eq!(row.smallest.as_deref(), Some(smallest), "{err}");
    let lines: Vec<&str> = err.lines().filter(|line| line.starts_with("REPRO:")).collect();
    assert_eq!(lines, [CASE, smallest].map(|id| format!("REPRO: cargo xtask parity '{id}'")), "{err}");
}

#[cfg(feature = "libtorch")]
#[test]
fn a_witness_that_crashes_or_hangs_fails_nothing() {
    for (what, says) in [("kill -SEGV $$", "crashed: signal 11"), ("exec sleep 1000", "timed out after 2 s")] {
        let folder = Folder::new("witness");
        let json = folder.join("rows.jsonl");
        let mut command = parity();
        command.args([CASE, "--limit", "2", "--json"]).arg(&json);
        let (code, out, err) = run(command.arg("--through").arg(script(&folder, ":", what)));
        let rows = rows(&json);
        assert_eq!((code, rows[0].witness.as_str(), rows[0].status), (0, says, Status::Ok), "{err}");
        assert!(rows.iter().all(|row| row.status == Status::Ok), "{rows:?}");
        assert!(out.contains(&format!("libtorch {}", &says[..7])), "{out}");
    }
}

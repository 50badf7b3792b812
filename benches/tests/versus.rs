//! What `etalon-versus` says where it cannot do what it is asked.

use std::process::{Command, Output, Stdio};

fn command(arguments: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_etalon-versus"));
    command.args(arguments.split(' ')).args(["--profile", "smoke"]);
    command.env_remove("ETALON_ISA").env_remove("ETALON_REQUIRE_ISA").env_remove("ETALON_CWD");
    command
}

fn versus(arguments: &str) -> Output {
    command(arguments).output().expect("the program runs")
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn what_cannot_be_timed_is_a_usage_error_with_its_reason() {
    let table = [
        ("gemm/square.8/ --kernel nosuch", "no kernel `nosuch` in gemm, which has scalar"),
        ("gemm/square.8/ --dtype i8", "does not compute i8"),
        ("nosuch", "contains `nosuch`"),
        ("--point gemm:m=1,n=1,k=1 --dtype i8", "gemm does not compute i8"),
        ("gemm/square.8/ --peer nosuch", "unknown peer `nosuch`"),
        ("gemm/square.8/ --threads 0", "above 0"),
        ("gemm/square.8/ --cache hot", "warm"),
    ];
    for (arguments, reason) in table {
        let output = versus(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments}: {}", said(&output));
        assert!(said(&output).contains(reason), "{arguments}: {}", said(&output));
    }
    let forbidden = command("gemm/square.8/ --kernel avx2").env("ETALON_ISA", "scalar").output().expect("runs");
    assert_eq!(forbidden.status.code(), Some(2));
    assert!(said(&forbidden).contains("ETALON_ISA=scalar forbids avx2"), "{}", said(&forbidden));
}

#[test]
fn a_named_peer_without_a_match_is_a_usage_error() {
    let output = versus("--point conv2d:c=2,h=3,w=3,k=2 --dtype f32 --peer faer");
    assert_eq!(output.status.code(), Some(2), "{}", said(&output));
    let reason = "no problem was timed beside `faer`: faer: faer multiplies matrices and nothing else";
    assert!(said(&output).contains(reason), "{}", said(&output));
}

#[test]
fn rows_appear_once_and_states_have_their_own() {
    let output = versus("--point gemm:m=8,n=8,k=8 --dtype f32 --peer faer --threads 1,1 --cache warm,cold,warm,named");
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    let text = String::from_utf8(output.stdout).expect("text");
    let rows: Vec<&str> = text.lines().filter(|line| line.starts_with("gemm/point/f32")).collect();
    assert_eq!(rows.len(), 2, "{text}");
    assert!(rows[1].starts_with("gemm/point/f32 cold "), "{text}");
    assert!(text.contains("faer: geometric mean") && text.contains("faer cold: geometric mean"), "{text}");
}

#[test]
fn a_closed_pipe_ends_it_quietly() {
    let mut child = command("--point gemm:m=8,n=8,k=8 --dtype f32 --peer faer")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program runs");
    drop(child.stdout.take());
    let output = child.wait_with_output().expect("it ends");
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    assert!(!said(&output).contains("panicked"), "{}", said(&output));
}

#[test]
fn a_file_that_cannot_be_written_is_named() {
    let output = versus("--point gemm:m=8,n=8,k=8 --dtype f32 --peer faer --json missing/rows.jsonl");
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    assert!(said(&output).contains("missing/rows.jsonl"), "{}", said(&output));
}

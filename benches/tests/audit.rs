//! `etalon-audit` from its command line to its file.

use std::process::Command;

use etalon_reference::record::Audit;

fn audit(arguments: &[&str]) -> std::process::Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_etalon-audit"));
    command.args(arguments).env_remove("ETALON_ISA").env_remove("ETALON_CWD").output().expect("the program runs")
}

#[test]
fn a_case_is_timed_in_rounds_and_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("audit.jsonl");
    let path = file.to_str().expect("text");
    let point = ["--point", "gemm:m=48,n=48,k=48", "--dtype", "f32", "--profile", "smoke"];
    let output = audit(&[&point[..], &["--peer", "faer,matrixmultiply", "--launches", "2", "--json", path]].concat());
    let said = String::from_utf8_lossy(&output.stderr);
    // On a machine that does much else the bar may be missed.
    assert!(matches!(output.status.code(), Some(0 | 1)), "{said}");
    let text = std::fs::read_to_string(&file).expect("the file");
    let rows: Vec<Audit> = text.lines().map(|line| serde_json::from_str(line).expect("a row")).collect();
    assert_eq!(rows.iter().map(|row| row.peer.as_str()).collect::<Vec<_>>(), ["faer", "matrixmultiply"]);
    for row in &rows {
        // Two launches, and as many again, twice at most, where they disagree with the rounds without a reason.
        let launches = row.ours_alone_ns.len();
        assert!([2, 4, 6].contains(&launches) && row.peer_alone_ns.len() == launches, "{row:?}");
        assert!(row.alone_low <= row.alone && row.alone <= row.alone_high, "{row:?}");
        assert!((0.05..20.0).contains(&row.alone) && (0.05..20.0).contains(&row.paired), "{row:?}");
    }
}

#[test]
fn a_process_that_times_one_subject_prints_one_object() {
    let case = "gemm/scalar/f32/m=8,n=8,k=8/t1#real-1";
    let output = audit(&["--alone", "ours", case]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let alone: etalon_benches::audit::Alone = serde_json::from_slice(&output.stdout).expect("an object");
    assert!(alone.median_ns > 0.0 && alone.n >= 5 && alone.way.is_none());
    assert_eq!(audit(&["--alone", "nosuch", case]).status.code(), Some(2));
}

#[test]
fn what_cannot_be_audited_is_a_usage_error() {
    for (arguments, reason) in [
        (&["nosuch"][..], "`nosuch`"),
        (&["gemm/square.8/", "--peer", "nosuch"], "unknown peer"),
        (&["gemm/square.8/", "--launches", "0"], "--launches 0"),
        (&["--point", "conv2d:c=1,h=2,w=2,k=1", "--dtype", "f32", "--peer", "faer"], "nothing else"),
    ] {
        let output = audit(arguments);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {said}");
        assert!(said.contains(reason), "{arguments:?}: {said}");
    }
}

//! `cargo bench -- OPTIONS` as its users type it: the options reach criterion and no other harness, what the filter leaves out
//! is not prepared, and what criterion refuses is an error.
//!
//! It builds with what `cargo xtask test` has built, which says by a variable what that is; alone it does nothing.

use std::process::{Command, Output};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// Where `cargo xtask test` says which packages it tests.
const SELECTION: &str = "ETALON_TEST_SELECTION";

fn bench(selection: &str, home: &TempDir, options: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO"));
    command.args(["bench", "--profile", "dev", "--offline"]).args(selection.split(' '));
    if cfg!(all(feature = "libtorch", feature = "openblas")) {
        command.args(["--features", "libtorch,openblas"]);
    }
    // Build scripts must not take this test's package for theirs.
    let of_a_package =
        |name: &String| ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_"].iter().any(|p| name.starts_with(p));
    for name in std::env::vars().map(|(name, _)| name).filter(of_a_package) {
        command.env_remove(name);
    }
    command.current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/..")).env("CRITERION_HOME", home.path());
    command.arg("--").args(options).output().expect("cargo runs")
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[test]
fn options_are_criterions() {
    let Ok(selection) = std::env::var(SELECTION) else { return eprintln!("skipped: `cargo xtask test` runs it") };
    let home = TempDir::new().expect("a folder");
    let built = bench(&selection, &home, &["--list"]);
    assert!(built.status.success() && said(&built).contains("gemm/scalar-f32/square.8-t1: benchmark"), "{built:?}");

    const CASE: &str = "gemm/scalar-f32/square.8-t1";
    for options in [&["--quick", CASE][..], &["--profile-time", "1", CASE], &["--baseline-lenient", "x", CASE]] {
        let start = Instant::now();
        let output = bench(&selection, &home, options);
        assert!(output.status.success() && said(&output).contains(CASE), "{options:?}: {}", said(&output));
        assert!(start.elapsed() < Duration::from_secs(60), "{options:?} took {:?}", start.elapsed());
    }
    for (options, complaint) in [
        (&["--baseline", "missing", CASE][..], "Baseline 'missing' must exist"),
        (&["gemm/("], "Unable to parse 'gemm/(' as a regular expression"),
        (&["nosuch"], "no case matches"),
    ] {
        let output = bench(&selection, &home, options);
        let said = said(&output);
        assert!(!output.status.success() && said.contains(&format!("error: {complaint}")), "{options:?}: {said}");
        assert!(!said.contains("panicked"), "{options:?}: {said}");
    }
}

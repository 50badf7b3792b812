//! Fuzzing finds what is planted: `cargo test -p etalon-fuzz-bodies --test planted -- --ignored --nocapture`.

use std::path::Path;
use std::process::Command;

/// `ETALON_OPERATOR=gemm cargo +nightly fuzz run kernels --features planted-bug -- -max_total_time=60`, from an empty corpus, ends with the bug.
#[test]
#[ignore = "needs cargo-fuzz and a nightly toolchain"]
fn sixty_seconds_of_fuzzing_find_the_planted_bug() {
    let corpus = std::env::temp_dir().join(format!("etalon-planted-{}", std::process::id()));
    std::fs::create_dir_all(&corpus).expect("a folder for the corpus");
    let run = Command::new("cargo")
        // Cargo sets these for tests; the toolchain of `+nightly` must not inherit them.
        .env_remove("RUSTUP_TOOLCHAIN")
        .env_remove("RUSTC")
        .env_remove("CARGO")
        .env(etalon_fuzz_bodies::target::OPERATOR, "gemm")
        .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(".."))
        .args(["+nightly", "fuzz", "run", "kernels", "--features", "planted-bug"])
        .arg(&corpus)
        .args(["--", "-max_total_time=60"])
        .arg(format!("-artifact_prefix={}/", corpus.display()))
        .output()
        .expect("cargo runs");
    std::fs::remove_dir_all(&corpus).expect("the corpus can be removed");
    let log = String::from_utf8_lossy(&run.stderr);
    let of_interest = |line: &&str| line.contains("REPRO") || line.contains("allowed") || line.starts_with('#');
    let end: Vec<&str> = log.lines().filter(of_interest).collect();
    println!("{}", end[end.len().saturating_sub(3)..].join("\n"));
    assert!(!run.status.success() && log.contains("REPRO: cargo xtask parity 'gemm/"), "the bug was not found:\n{log}");
}

//! `etalon-parity` as its users meet it: what it refuses, prints and writes, and what it survives.
#![cfg(unix)]

mod output;
mod refusals;
mod survival;
#[cfg(feature = "libtorch")]
mod witness;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use etalon_benches::parity::Row;

/// The program, without what the caller's environment says.
fn parity() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_etalon-parity"));
    for name in ["ETALON_ISA", "ETALON_REQUIRE_ISA", "ETALON_CWD"] {
        command.env_remove(name);
    }
    command
}

/// Runs it to its end. Whatever it is asked, it does not panic.
fn run(command: &mut Command) -> (i32, String, String) {
    let Output { status, stdout, stderr } = command.output().expect("the program runs");
    let [out, err] = [stdout, stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
    assert!(!err.contains("panicked") && !err.contains("RUST_BACKTRACE"), "{command:?}: {err}");
    (status.code().unwrap_or_else(|| panic!("{command:?} ended with {status}: {err}")), out, err)
}

/// An empty folder that goes with its test.
struct Folder(PathBuf);

impl Folder {
    fn new(test: &str) -> Folder {
        let path = std::env::temp_dir().join(format!("etalon-parity-{}-{test}", std::process::id()));
        std::fs::create_dir_all(&path).expect("a folder");
        Folder(path)
    }

    fn join(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// The rows of a JSON file.
fn rows(path: &Path) -> Vec<Row> {
    let text = std::fs::read_to_string(path).expect("the rows");
    text.lines().map(|line| serde_json::from_str(line).expect("a row")).collect()
}

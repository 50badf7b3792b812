//! `test`: sets up, then every test, and the kernels' tests again on each weaker instruction set.

use clap::Args;

use crate::cpu;
use crate::process::{self, FEATURES, step};
use crate::setup::{self, Provision};
use crate::workspace::Workspace;

/// Arguments of `test`.
#[derive(Args)]
pub struct Arguments {
    /// Without libtorch and OpenBLAS: Rust alone, against the reference and the frozen answers
    #[arg(long)]
    pub plain: bool,
}

/// Problems a question and fill on a weaker level.
const WEAKER_CASES: &str = "8";

/// Runs the command.
pub fn run(workspace: &Workspace, arguments: &Arguments) -> anyhow::Result<u8> {
    let provision = if arguments.plain { Provision::None } else { setup::ensure(workspace)? };
    let cargo_test = || {
        let mut command = process::cargo(workspace, &provision);
        command.arg("test");
        if !arguments.plain {
            command.args(["--features", FEATURES]);
        }
        command.envs(process::library_path(&provision));
        // A test that calls cargo builds what is built here.
        command.env("ETALON_TEST_SELECTION", "--workspace");
        command
    };
    // The fuzz bodies are a member: their seeds and regressions are replayed here.
    step("every test", cargo_test().arg("--workspace"))?;
    for level in weaker_levels() {
        // Of the whole workspace, whose features are built already; by their names only the kernels' tests.
        let mut command = cargo_test();
        command.args(["--workspace", "--test", "kernels", "--test", "golden", "--test", "allocations"]);
        command.env("ETALON_ISA", level);
        // The weaker kernels ran above: here the level chooses other ones by default.
        if std::env::var_os("ETALON_CASES").is_none() {
            command.env("ETALON_CASES", WEAKER_CASES);
        }
        step(&format!("the kernels' tests with ETALON_ISA={level}"), &mut command)?;
    }
    note!("== every test passed");
    Ok(0)
}

/// The levels below the one that tests run on by themselves; none when the caller has already forced one.
fn weaker_levels() -> Vec<&'static str> {
    if std::env::var_os("ETALON_ISA").is_some_and(|level| !level.is_empty()) {
        return Vec::new();
    }
    let mut levels = cpu::levels();
    levels.pop();
    levels.reverse();
    levels
}

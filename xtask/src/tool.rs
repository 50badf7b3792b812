//! Commands that hand over to a program of the suite: set up, build it in release, run it, pass its exit code on.

use std::path::{Path, PathBuf};

use clap::Args;

use crate::fault;
use crate::process::{self, FEATURES};
use crate::setup::{self, Provision};
use crate::workspace::Workspace;

/// Arguments for the program, as they stand.
#[derive(Args)]
pub struct Arguments {
    /// Arguments of the program; a filter and `--help` after it show the program's own help
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "ARGS")]
    pub rest: Vec<String>,
}

/// A program of the suite.
pub struct Tool {
    package: &'static str,
    binary: &'static str,
    /// Whether it is built with libtorch and OpenBLAS.
    peers: bool,
}

const BENCH: Tool = Tool { package: "etalon-benches", binary: "etalon-bench", peers: true };
/// Paired rounds.
pub const VERSUS: Tool = Tool { package: "etalon-benches", binary: "etalon-versus", peers: true };
/// Paired ratios beside those of programs alone.
pub const AUDIT: Tool = Tool { package: "etalon-benches", binary: "etalon-audit", peers: true };
/// The numerical gate.
pub const PARITY: Tool = Tool { package: "etalon-benches", binary: "etalon-parity", peers: true };
/// The largest error of each function.
pub const ULP: Tool = Tool { package: "etalon-benches", binary: "etalon-ulp", peers: true };
/// Frozen answers of libtorch.
pub const GOLDEN: Tool = Tool { package: "etalon-reference", binary: "etalon-golden", peers: true };
/// HTML from records.
pub const REPORT: Tool = Tool { package: "etalon-reports", binary: "etalon-report", peers: false };
/// Two runs held against each other.
pub const COMPARE: Tool = Tool { package: "etalon-reports", binary: "etalon-compare", peers: false };
/// What one process sees of its libraries.
pub const PROBE: Tool = Tool { package: "etalon-benches", binary: "etalon-probe", peers: true };

impl Tool {
    /// Provides what the program needs, builds it and runs it.
    pub fn set_up_and_run(&self, workspace: &Workspace, arguments: &Arguments) -> anyhow::Result<u8> {
        let provision = self.provision(workspace)?;
        self.build(workspace, &provision)?;
        self.run(workspace, &provision, &arguments.rest)
    }

    fn provision(&self, workspace: &Workspace) -> anyhow::Result<Provision> {
        if self.peers { setup::ensure(workspace) } else { Ok(Provision::None) }
    }

    /// Builds the program; a program that does not compile is a fault of set-up.
    pub fn build(&self, workspace: &Workspace, provision: &Provision) -> anyhow::Result<()> {
        let mut command = process::cargo(workspace, provision);
        command.args(["build", "--release"]).args(self.selection());
        let status = process::status(&mut command)?;
        if status.success() { Ok(()) } else { Err(fault::setup(process::describe(&command, status))) }
    }

    /// Runs the built program with these arguments.
    pub fn run(&self, workspace: &Workspace, provision: &Provision, arguments: &[String]) -> anyhow::Result<u8> {
        let status = process::status(self.command(workspace, provision).args(arguments))?;
        Ok(process::passed_on(self.binary, status))
    }

    /// The same, hearing the lines that it prints.
    fn run_heard(
        &self,
        workspace: &Workspace,
        provision: &Provision,
        arguments: &[String],
        hear: impl FnMut(&str),
    ) -> anyhow::Result<u8> {
        let status = process::status_heard(self.command(workspace, provision).args(arguments), hear)?;
        Ok(process::passed_on(self.binary, status))
    }

    /// The program, ready for arguments.
    pub fn command(&self, workspace: &Workspace, provision: &Provision) -> std::process::Command {
        let mut command = process::cargo(workspace, provision);
        command.args(["run", "--quiet", "--release"]).args(self.selection()).arg("--");
        if let Ok(stands) = std::env::current_dir() {
            command.env(process::STANDS, stands);
        }
        command
    }

    fn selection(&self) -> Vec<&'static str> {
        let mut selection = vec!["--package", self.package, "--bin", self.binary];
        if self.peers {
            // The reference knows nothing of OpenBLAS.
            let features = if self.package == "etalon-reference" { "libtorch" } else { FEATURES };
            selection.extend(["--features", features]);
        }
        selection
    }
}

/// `bench`: the suite, then the report from the records it wrote, failures among them.
pub fn bench(workspace: &Workspace, arguments: &Arguments) -> anyhow::Result<u8> {
    let provision = setup::ensure(workspace)?;
    BENCH.build(workspace, &provision)?;
    REPORT.build(workspace, &Provision::None)?;
    let mut folder = None;
    let hear = |line: &str| folder = records(line).or(folder.take());
    let measured = BENCH.run_heard(workspace, &provision, &arguments.rest, hear)?;
    // A run that came to no end does not say where its records lie.
    let Some(folder) = folder.filter(|_| measured <= fault::FAILURE) else {
        return Ok(measured);
    };
    match REPORT.run(workspace, &Provision::None, &[folder.display().to_string()])? {
        0 => Ok(measured),
        code => Ok(code),
    }
}

/// The folder of the records that `etalon-bench` says it wrote; the environment lies beside them.
fn records(line: &str) -> Option<PathBuf> {
    line.strip_prefix("records: ").and_then(|path| Path::new(path).parent()).map(Path::to_path_buf)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_folder_of_the_records_is_heard() {
        assert_eq!(
            records("records: target/etalon/run-smoke-1/records.jsonl"),
            Some("target/etalon/run-smoke-1".into())
        );
        assert_eq!(records("12 cases timed, 0 skipped, 0 failed"), None);
    }
}

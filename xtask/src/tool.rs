//! Commands that hand over to a program of the suite: set up, build it in release, run it, pass its exit code on.

use std::path::PathBuf;

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
/// The numerical gate.
pub const PARITY: Tool = Tool { package: "etalon-benches", binary: "etalon-parity", peers: true };
/// Frozen answers of libtorch.
pub const GOLDEN: Tool = Tool { package: "etalon-reference", binary: "etalon-golden", peers: true };
/// HTML from records.
pub const REPORT: Tool = Tool { package: "etalon-reports", binary: "etalon-report", peers: false };
/// Two runs held against each other.
pub const COMPARE: Tool = Tool { package: "etalon-reports", binary: "etalon-compare", peers: false };
/// What one process sees of its libraries.
pub const PROBE: Tool = Tool { package: "etalon-benches", binary: "etalon-probe", peers: true };

/// Help of `bench`.
pub const BENCH_HELP: &str = "\
Usage: cargo xtask bench [FILTER] [--profile smoke|standard|paper] [--threads 1,2]

Every timed case is checked against the reference first, on the buffers that are then timed. Records are written as
one JSON object a line, the report is built from them, and its path is the last line printed.

  FILTER               the part of a case id to look for: gemm, gemm/square.512, batchnorm
  --profile smoke      a few rounds of everything, under two minutes after the build
  --profile standard   the default: intervals tight enough to compare with, under 25 minutes on two cores
  --profile paper      five processes or more, hours
  --threads 1,2        thread counts to time

Example: cargo xtask bench gemm --profile smoke --threads 1";

/// Help of `versus`.
pub const VERSUS_HELP: &str = "\
Usage: cargo xtask versus [FILTER] [--peer NAMES] [--profile P] [--threads 1,2] [--json FILE]

Our kernel and its peers take turns within each round, in rotating order. The ratio is the median of the rounds' ratios
with a 95 % bootstrap interval.

  --peer libtorch,openblas,faer   whom to race (default: all that have the operator)
  --json FILE                     one JSON object a line: id, op, workload, dtype, threads, kernel, ours_ns, peer,
                                  peer_ns, ratio, ratio_low, ratio_high, share_of_peak

Example: cargo xtask versus gemm/square.512 --peer libtorch,faer --json ratios.jsonl";

/// Help of `parity`.
pub const PARITY_HELP: &str = "\
Usage: cargo xtask parity [FILTER] [--cases N] [--seed S] [--junit FILE] [--json FILE] [--list]

Kernels × dtypes × fills × points against the f64 reference and libtorch. Each failure prints one REPRO: line that runs it
alone. Zero executed cases is a failure.

  --cases N      points per kernel, dtype and fill
  --seed S       another draw of points and inputs
  --junit FILE   results for CI; --json FILE one object a line
  --list         the cases' ids, without running them

Example: cargo xtask parity gemm --cases 200 --seed 7";

/// Help of `report`.
pub const REPORT_HELP: &str = "\
Usage: cargo xtask report [RECORDS…] [-o DIR]

One folder that opens offline: summary, table, pictures, environment, method, citation and the raw records.
Without RECORDS the newest run is taken.

Example: cargo xtask report -o my-report";

/// Help of `compare`.
pub const COMPARE_HELP: &str = "\
Usage: cargo xtask compare A B [--threshold 1.05]

SAME, FASTER, SLOWER or AMBIGUOUS for each case that both runs have, and the geometric mean over them.
Exit code 1 when a case got slower, 3 when the intervals do not decide.

Example: cargo xtask compare before.jsonl after.jsonl --threshold 1.03";

/// Help of `golden`.
pub const GOLDEN_HELP: &str = "\
Runs libtorch over the golden points and writes its answers to reference/golden/, against which builds without libtorch
check. Run it after an operator is added or the pinned libtorch changes, and commit what it writes.";

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
        Ok(process::passed_on(process::status(self.command(workspace, provision).args(arguments))?))
    }

    /// The program, ready for arguments.
    pub fn command(&self, workspace: &Workspace, provision: &Provision) -> std::process::Command {
        let mut command = process::cargo(workspace, provision);
        command.args(["run", "--quiet", "--release"]).args(self.selection()).arg("--");
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
    let measured = BENCH.run(workspace, &provision, &arguments.rest)?;
    let help = arguments.rest.iter().any(|argument| argument == "--help" || argument == "-h");
    if measured > fault::FAILURE || help {
        return Ok(measured);
    }
    // The folder, not the records in it: the environment lies beside them.
    let folder = output(&arguments.rest).map_or_else(|| LATEST.to_owned(), |folder| folder.display().to_string());
    match REPORT.run(workspace, &Provision::None, &[folder])? {
        0 => Ok(measured),
        code => Ok(code),
    }
}

/// Where `etalon-bench` leaves the records and the environment of its newest run.
const LATEST: &str = "target/etalon/latest";

/// The folder that the bench was told to write to.
fn output(arguments: &[String]) -> Option<PathBuf> {
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        if argument == "-o" || argument == "--output" {
            return rest.next().map(PathBuf::from);
        }
        if let Some(value) = argument.strip_prefix("--output=") {
            return Some(PathBuf::from(value));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_folder_of_the_records_is_found() {
        let folder = |text: &str| output(&text.split(' ').map(str::to_owned).collect::<Vec<_>>());
        assert_eq!(folder("gemm --profile smoke -o a/b"), Some("a/b".into()));
        assert_eq!(folder("--output=c"), Some("c".into()));
        assert_eq!(folder("gemm"), None);
    }
}

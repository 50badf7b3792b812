//! `doctor`: what this machine is, what is wrong with it for measuring, and a one-line cure for each fault.

mod cgroup;
mod machine;
mod probe;

use clap::Args;

use crate::setup::{self, Provision};
use crate::workspace::Workspace;
use crate::{output, process};

/// Arguments of `doctor`.
#[derive(Args)]
#[command(after_help = "\
Facts are marked `ok`, what spoils measurements `warn`, what makes results wrong or commands fail `FAULT`; each of the latter
two comes with its cure. Exit code 4 when there is a fault. Nothing is installed and no setting is changed.")]
pub struct Arguments {
    /// Leave out what needs a build: libraries as a process sees them
    #[arg(long)]
    pub no_build: bool,
}

/// How a finding is to be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grade {
    /// A fact.
    Fine,
    /// Measurements suffer.
    Warning,
    /// Results are wrong, or commands fail.
    Fault,
}

/// One line of the doctor.
#[derive(Clone, Debug)]
pub struct Finding {
    grade: Grade,
    name: &'static str,
    value: String,
    cure: &'static str,
}

impl Finding {
    /// A fact.
    pub fn fine(name: &'static str, value: impl Into<String>) -> Finding {
        Finding { grade: Grade::Fine, name, value: value.into(), cure: "" }
    }

    /// Something that spoils measurements.
    pub fn warning(name: &'static str, value: impl Into<String>, cure: &'static str) -> Finding {
        Finding { grade: Grade::Warning, name, value: value.into(), cure }
    }

    /// Something that makes results wrong or commands fail.
    pub fn fault(name: &'static str, value: impl Into<String>, cure: &'static str) -> Finding {
        Finding { grade: Grade::Fault, name, value: value.into(), cure }
    }

    /// A fact when `good`, otherwise a warning.
    pub fn judged(name: &'static str, value: impl Into<String>, good: bool, cure: &'static str) -> Finding {
        if good { Finding::fine(name, value) } else { Finding::warning(name, value, cure) }
    }

    fn print(&self) -> anyhow::Result<()> {
        let mark = match self.grade {
            Grade::Fine => "ok   ",
            Grade::Warning => "warn ",
            Grade::Fault => "FAULT",
        };
        output::line(format_args!("{mark} {:<18} {}", self.name, self.value))?;
        if !self.cure.is_empty() {
            output::line(format_args!("      {:<18} -> {}", "", self.cure))?;
        }
        Ok(())
    }
}

/// Runs the command.
pub fn run(workspace: &Workspace, arguments: &Arguments) -> anyhow::Result<u8> {
    let mut findings = toolchain(workspace);
    findings.extend(machine::findings());
    findings.extend(libraries(workspace));
    findings.iter().try_for_each(Finding::print)?;
    if !arguments.no_build && findings.iter().all(|finding| finding.grade != Grade::Fault) {
        let seen = probe::findings(workspace);
        seen.iter().try_for_each(Finding::print)?;
        findings.extend(seen);
    }
    let count = |grade| findings.iter().filter(|finding| finding.grade == grade).count();
    output::line(format_args!("{} faults, {} warnings", count(Grade::Fault), count(Grade::Warning)))?;
    Ok(if count(Grade::Fault) == 0 { 0 } else { crate::fault::SETUP })
}

/// The compilers and what fuzzing needs.
fn toolchain(workspace: &Workspace) -> Vec<Finding> {
    let mut rustc = std::process::Command::new("rustc");
    rustc.arg("--version").current_dir(workspace.root());
    let rust = match first_line(&mut rustc) {
        Some(version) => Finding::fine("rustc", version),
        None => Finding::fault("rustc", "not found", "install Rust with rustup; rust-toolchain.toml pins the version"),
    };
    let compiler = match first_line(std::process::Command::new("c++").arg("--version")) {
        Some(version) => Finding::fine("c++", version),
        None => Finding::fault("c++", "not found", "cargo xtask setup"),
    };
    let mut fuzz = process::plain_cargo(workspace);
    let fuzz = match first_line(fuzz.args(["fuzz", "--version"])) {
        Some(version) => Finding::fine("cargo-fuzz", version),
        None => Finding::fine("cargo-fuzz", "not installed; `cargo xtask fuzz` installs it"),
    };
    vec![rust, compiler, fuzz]
}

/// The libraries as files.
fn libraries(workspace: &Workspace) -> Vec<Finding> {
    let libtorch = match setup::present(workspace) {
        Ok(Provision::Libtorch(folder)) if folder == workspace.libtorch() => {
            Finding::fine("libtorch", format!("{} in {}", setup::VERSION, folder.display()))
        }
        Ok(Provision::Libtorch(folder)) => Finding::fine("libtorch", format!("LIBTORCH={}", folder.display())),
        Ok(_) => Finding::fine("libtorch", "of the Python environment"),
        Err(error) => Finding::fault("libtorch", error.to_string(), "cargo xtask setup"),
    };
    let openblas = match setup::openblas() {
        Some(path) if path.extension().is_some_and(|extension| extension == "so") => Finding::warning(
            "OpenBLAS",
            format!("{}, shared", path.display()),
            "install its static library (libopenblas.a): the shared one may answer for libtorch's BLAS",
        ),
        Some(path) => Finding::fine("OpenBLAS", path.display().to_string()),
        None => Finding::fault("OpenBLAS", "not found", "cargo xtask setup"),
    };
    vec![libtorch, openblas]
}

/// The first line a program prints, when it can be run and succeeds.
fn first_line(command: &mut std::process::Command) -> Option<String> {
    let output = command.output().ok().filter(|output| output.status.success())?;
    Some(String::from_utf8_lossy(&output.stdout).lines().next()?.to_owned())
}

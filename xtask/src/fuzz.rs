//! `fuzz`: cargo-fuzz on the targets of `fuzz/`, each for a given time.

use std::fs;
use std::process::Command;

use anyhow::Context;
use clap::Args;

use crate::fault;
use crate::process::{self, step};
use crate::workspace::Workspace;

/// Arguments of `fuzz`.
#[derive(Args)]
#[command(after_help = "\
A crash is written to fuzz/artifacts/<target>/ with the command that replays it; copy the file to fuzz/regressions/<target>/
and the stable tests replay it from then on.

Example: cargo xtask fuzz gemm --seconds 60")]
pub struct Arguments {
    /// Targets to run; all of them when none is named
    pub targets: Vec<String>,
    /// Seconds for each target
    #[arg(long, default_value_t = 60)]
    pub seconds: u64,
    /// Build with a bug planted in one GEMM kernel, which fuzzing is then expected to find
    #[arg(long)]
    pub planted_bug: bool,
}

/// Runs the command.
pub fn run(workspace: &Workspace, arguments: &Arguments) -> anyhow::Result<u8> {
    let known = targets(workspace)?;
    if let Some(unknown) = arguments.targets.iter().find(|target| !known.contains(target)) {
        note!("error: no fuzz target {unknown}; there are {}", known.join(", "));
        return Ok(2);
    }
    provide_cargo_fuzz(workspace)?;
    let chosen = if arguments.targets.is_empty() { &known } else { &arguments.targets };
    for target in chosen {
        let mut command = nightly(workspace);
        command.args(["fuzz", "run"]);
        if arguments.planted_bug {
            command.args(["--features", "planted-bug"]);
        }
        command.arg(target);
        for folder in ["corpus", "seeds", "regressions"] {
            let folder = workspace.fuzz().join(folder).join(target);
            if folder.is_dir() || folder.parent().is_some_and(|parent| parent.ends_with("corpus")) {
                fs::create_dir_all(&folder)?;
                command.arg(&folder);
            }
        }
        command.arg("--").arg(format!("-max_total_time={}", arguments.seconds)).arg("-print_final_stats=1");
        let dictionary = workspace.fuzz().join("dictionaries").join(format!("{target}.dict"));
        if dictionary.is_file() {
            command.arg(format!("-dict={}", dictionary.display()));
        }
        step(&format!("fuzzing {target} for {} s", arguments.seconds), &mut command)?;
    }
    Ok(0)
}

/// The targets' names, from the files that hold them.
fn targets(workspace: &Workspace) -> anyhow::Result<Vec<String>> {
    let folder = workspace.fuzz().join("fuzz_targets");
    let mut names = Vec::new();
    for entry in fs::read_dir(&folder).with_context(|| format!("cannot read {}", folder.display()))? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "rs") {
            names.extend(path.file_stem().map(|stem| stem.to_string_lossy().into_owned()));
        }
    }
    names.sort();
    Ok(names)
}

/// Nightly cargo in the fuzzers' workspace, freed of the pinned toolchain this program runs under.
fn nightly(workspace: &Workspace) -> Command {
    let mut command = Command::new("cargo");
    process::forget_cargo(&mut command);
    command.arg("+nightly").current_dir(workspace.fuzz()).env_remove("RUSTUP_TOOLCHAIN").env_remove("CARGO");
    command
}

/// Installs the nightly toolchain and cargo-fuzz where they are missing.
fn provide_cargo_fuzz(workspace: &Workspace) -> anyhow::Result<()> {
    let works = |command: &mut Command| command.output().is_ok_and(|output| output.status.success());
    if !works(nightly(workspace).arg("--version")) {
        install(Command::new("rustup").args(["toolchain", "install", "nightly", "--profile", "minimal"]))?;
    }
    if works(nightly(workspace).args(["fuzz", "--version"])) {
        return Ok(());
    }
    install(process::plain_cargo(workspace).args(["install", "cargo-fuzz", "--locked"]))
}

/// Installs a tool.
pub fn install(command: &mut Command) -> anyhow::Result<()> {
    note!("== {}", process::line(command));
    let status = process::status(command).map_err(|error| fault::setup(format!("{error:#}")))?;
    if status.success() { Ok(()) } else { Err(fault::setup(process::describe(command, status))) }
}

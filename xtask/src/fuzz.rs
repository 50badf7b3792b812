//! `fuzz`: cargo-fuzz on operators' kernels and their validation, each for a given time.

use std::fs;
use std::process::Command;

use anyhow::Context;
use clap::Args;

use crate::fault;
use crate::process::{self, step};
use crate::setup;
use crate::workspace::Workspace;

/// Arguments of `fuzz`.
#[derive(Args)]
#[command(after_help = "\
A target is an operator, whose kernels are fuzzed, or an operator with `_problem` behind it, whose validation is.

A crash is written to fuzz/artifacts/<target>/. `cargo run -p etalon-fuzz-bodies --example describe TARGET FILE` prints it as a
line; add that line to fuzz/regressions.txt, and the stable tests replay it from then on.

Example: cargo xtask fuzz gemm gemm_problem --seconds 60")]
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

/// A program of `fuzz/fuzz_targets` and the operator that it is told.
struct Target {
    program: String,
    operator: String,
    name: String,
}

/// Runs the command.
pub fn run(workspace: &Workspace, arguments: &Arguments) -> anyhow::Result<u8> {
    let targets = match sow(workspace, &arguments.targets)? {
        Ok(targets) => targets,
        Err(code) => return Ok(code),
    };
    provide_cargo_fuzz(workspace)?;
    for target in &targets {
        let Target { program, operator, name } = target;
        let mut command = nightly(workspace);
        command.args(["fuzz", "run"]);
        if arguments.planted_bug {
            command.args(["--features", "planted-bug"]);
        }
        let corpus = workspace.fuzz().join("corpus").join(name);
        let artifacts = workspace.fuzz().join("artifacts").join(name);
        for folder in [&corpus, &artifacts] {
            fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
        }
        command.arg(program).arg(corpus).arg(seeds(workspace).join(name));
        // An input has at most a few dozen bytes, each of which means something.
        let length = if program == "problem" { 192 } else { 64 };
        command.args(["--", "-len_control=0", "-timeout=20", "-rss_limit_mb=2048", "-print_final_stats=1"]);
        command.arg(format!("-max_len={length}")).arg(format!("-max_total_time={}", arguments.seconds));
        command.arg(format!("-artifact_prefix={}/", artifacts.display()));
        if program == "problem" {
            command.arg(format!("-dict={}", workspace.fuzz().join("problem.dict").display()));
        }
        command.env("ETALON_OPERATOR", operator);
        step(&format!("fuzzing {name} for {} s", arguments.seconds), &mut command)?;
    }
    Ok(0)
}

/// Where the seeds are written.
fn seeds(workspace: &Workspace) -> std::path::PathBuf {
    workspace.root().join("target").join("fuzz-seeds")
}

/// Writes the seeds of the targets, all if none is named, and lists those targets; the exit code if one is unknown.
fn sow(workspace: &Workspace, names: &[String]) -> anyhow::Result<Result<Vec<Target>, u8>> {
    let mut command = sower(workspace)?;
    command.arg(seeds(workspace)).args(names);
    let mut targets = Vec::new();
    let status = process::status_heard(&mut command, |line| {
        if let [program, operator, name] = line.split(' ').collect::<Vec<_>>()[..] {
            targets.push(Target { program: program.into(), operator: operator.into(), name: name.into() });
        }
    })?;
    Ok(if status.success() { Ok(targets) } else { Err(process::passed_on("seeds", status)) })
}

/// The program that writes seeds. Where libtorch is set up, what tests have built of the kernels is taken as it is: with
/// other features all of them would be compiled once more.
fn sower(workspace: &Workspace) -> anyhow::Result<Command> {
    let Ok(provision) = setup::present(workspace) else {
        let mut command = process::plain_cargo(workspace);
        command.args(["run", "--quiet", "--package", "etalon-fuzz-bodies", "--example", "seeds", "--"]);
        return Ok(command);
    };
    let mut build = process::cargo(workspace, &provision);
    build.args(["build", "--workspace", "--features", process::FEATURES, "--example", "seeds"]);
    step("the program that writes seeds", &mut build)?;
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| workspace.root().join("target"), Into::into);
    let mut command = Command::new(target.join("debug").join("examples").join("seeds"));
    command.envs(process::library_path(&provision));
    Ok(command)
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

//! Running other programs: cargo with the right environment, and what becomes of their exit codes.

use std::env;
use std::ffi::{OsStr, OsString};
use std::path::PathBuf;
use std::process::{Command, ExitStatus};

use anyhow::Context;

use crate::setup::Provision;
use crate::workspace::Workspace;
use crate::{cpu, fault};

/// The features that commands turn on.
pub const FEATURES: &str = "libtorch,openblas";

/// What cargo returns when compilation fails or a program it runs panics.
const CARGO_FAILED: i32 = 101;

/// Cargo at the root of the workspace, with the environment in which the suite runs.
///
/// Thread variables are set here, for children, and never in cargo's configuration: build scripts would read them.
pub fn cargo(workspace: &Workspace, provision: &Provision) -> Command {
    let mut command = plain_cargo(workspace);
    match provision {
        Provision::Libtorch(folder) => command.env("LIBTORCH", folder),
        Provision::Python | Provision::None => command.env_remove("LIBTORCH"),
    };
    set_unless_said(&mut command, "OPENBLAS_NUM_THREADS", "1");
    // libtorch's allocations on huge pages, without which its page faults are what one times.
    set_unless_said(&mut command, "THP_MEM_ALLOC_ENABLE", "1");
    // On several threads, workers of libgomp and of OpenBLAS wait for more work at full speed, by default for 15 to 30 ms, on
    // the CPUs of what is timed next. Within a millisecond the next call of the same library has come.
    set_unless_said(&mut command, "GOMP_SPINCOUNT", "20000");
    set_unless_said(&mut command, "OPENBLAS_THREAD_TIMEOUT", "21");
    if let Some(core) = cpu::openblas_core() {
        set_unless_said(&mut command, "OPENBLAS_CORETYPE", core);
    }
    command
}

/// Cargo at the root of the workspace.
pub fn plain_cargo(workspace: &Workspace) -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(workspace.root());
    command
}

fn set_unless_said(command: &mut Command, name: &str, value: &str) {
    if env::var_os(name).is_none() {
        command.env(name, value);
    }
}

/// The run-time path for programs that cargo links without the build scripts' arguments (documentation tests).
pub fn library_path(provision: &Provision) -> Option<(&'static str, OsString)> {
    let Provision::Libtorch(folder) = provision else {
        return None;
    };
    let name = if cfg!(target_os = "macos") { "DYLD_LIBRARY_PATH" } else { "LD_LIBRARY_PATH" };
    let inherited = env::var_os(name).unwrap_or_default();
    let paths = std::iter::once(folder.join("lib")).chain(env::split_paths(&inherited));
    env::join_paths(paths).ok().map(|value| (name, value))
}

/// Runs a step, shown as one line, and turns a bad end into a fault with exit code 1.
pub fn step(title: &str, command: &mut Command) -> anyhow::Result<()> {
    eprintln!("== {title}");
    let status = status(command)?;
    if status.success() { Ok(()) } else { Err(fault::failure(format!("{title}: {}", describe(command, status)))) }
}

/// Runs a program to its end.
pub fn status(command: &mut Command) -> anyhow::Result<ExitStatus> {
    command.status().with_context(|| format!("cannot run {}", command.get_program().display()))
}

/// The exit code this program ends with after one of the suite's programs ended so: its own, or 1 for a panic or a signal.
pub fn passed_on(status: ExitStatus) -> u8 {
    match status.code() {
        Some(CARGO_FAILED) | None => fault::FAILURE,
        Some(code) => u8::try_from(code).unwrap_or(fault::FAILURE),
    }
}

/// The command as one could type it, and how it ended.
pub fn describe(command: &Command, status: ExitStatus) -> String {
    format!("`{}` ended with {status}", line(command))
}

/// The command as one could type it.
pub fn line(command: &Command) -> String {
    let name = |program: &OsStr| PathBuf::from(program).file_name().unwrap_or(program).to_string_lossy().into_owned();
    let arguments = command.get_args().map(|argument| argument.to_string_lossy().into_owned());
    std::iter::once(name(command.get_program())).chain(arguments).collect::<Vec<_>>().join(" ")
}

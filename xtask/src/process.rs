//! Running other programs: cargo with the right environment, and what becomes of their exit codes.

use std::env;
use std::ffi::{OsStr, OsString};
use std::io::{BufRead, BufReader};
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::Once;

use anyhow::Context;
use signal_hook::low_level::signal_name;

use crate::setup::Provision;
use crate::workspace::Workspace;
use crate::{cpu, fault, interrupt, output};

/// The features that commands turn on.
pub const FEATURES: &str = "libtorch,openblas";

/// The variable by which a program learns where the user stands, who may name files from there.
pub const STANDS: &str = "ETALON_CWD";

/// Variables by which an OpenMP runtime binds threads to CPUs.
///
/// Loading libtorch with one of them binds the first thread, and with it all that it starts, to one CPU.
pub const BINDING: [&str; 4] = ["OMP_PROC_BIND", "OMP_PLACES", "GOMP_CPU_AFFINITY", "KMP_AFFINITY"];

/// What makes glibc keep the memory that it was given, on huge pages.
const KEEP_MEMORY: &str = "glibc.malloc.hugetlb=1:glibc.malloc.mmap_max=0:glibc.malloc.trim_threshold=17179869184";

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
    leave_out_binding(&mut command);
    set_unless_said(&mut command, "OPENBLAS_NUM_THREADS", "1");
    // libtorch's allocations on huge pages, without which its page faults are what one times.
    set_unless_said(&mut command, "THP_MEM_ALLOC_ENABLE", "1");
    // glibc gives blocks above 32 MiB back at once: a result that has no buffer of its own would be mapped, and its pages
    // faulted in, in each call.
    set_unless_said(&mut command, "GLIBC_TUNABLES", KEEP_MEMORY);
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
    forget_cargo(&mut command);
    command.current_dir(workspace.root());
    command
}

/// Takes away what cargo told this program about its own package.
///
/// Build scripts are run again when such a variable changes that they name, and everything after them is rebuilt: a cargo
/// under this program has to see what a cargo sees that is called from a shell.
pub fn forget_cargo(command: &mut Command) {
    for (name, _) in env::vars_os().filter(|(name, _)| is_of_a_package(name)) {
        command.env_remove(name);
    }
}

/// Whether cargo sets this variable for the program it runs or compiles, and nobody else does.
fn is_of_a_package(name: &OsStr) -> bool {
    let name = name.to_string_lossy();
    ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_", "CARGO_CRATE_"].iter().any(|prefix| name.starts_with(prefix))
        || ["CARGO_PRIMARY_PACKAGE", "OUT_DIR"].contains(&&*name)
}

/// Takes away variables that would bind the program to one CPU, and says so once.
fn leave_out_binding(command: &mut Command) {
    static SAID: Once = Once::new();
    let set: Vec<&str> = BINDING.into_iter().filter(|name| env::var_os(name).is_some()).collect();
    for name in &set {
        command.env_remove(name);
    }
    if !set.is_empty() {
        SAID.call_once(|| {
            note!("note: {} left out: loading libtorch would bind everything to one CPU", set.join(", "))
        });
    }
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
    note!("== {title}");
    let status = status(command)?;
    if status.success() { Ok(()) } else { Err(fault::failure(format!("{title}: {}", describe(command, status)))) }
}

/// Runs a program to its end.
pub fn status(command: &mut Command) -> anyhow::Result<ExitStatus> {
    let child = command.spawn().with_context(|| format!("cannot run {}", command.get_program().display()))?;
    interrupt::wait(child)
}

/// Runs a program to its end, and passes its lines on, each of which `hear` is told.
pub fn status_heard(command: &mut Command, mut hear: impl FnMut(&str)) -> anyhow::Result<ExitStatus> {
    let mut child = command
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot run {}", command.get_program().display()))?;
    let lines = child.stdout.take().map(BufReader::new);
    let told = interrupt::during(&child, || {
        for text in lines.into_iter().flat_map(BufRead::lines) {
            let text = text.context("cannot read what the program says")?;
            hear(&text);
            output::line(&text)?;
        }
        Ok(())
    });
    let status = interrupt::wait(child)?;
    told.map(|()| status)
}

/// The exit code this program ends with after one of the suite's programs ended so: its own, or 1 for a panic or a signal,
/// which is said.
pub fn passed_on(program: &str, status: ExitStatus) -> u8 {
    if let Some(end) = ended_by_signal(program, status) {
        note!("error: {end}");
    }
    match status.code() {
        Some(CARGO_FAILED) | None => fault::FAILURE,
        Some(code) => u8::try_from(code).unwrap_or(fault::FAILURE),
    }
}

/// In words, how a program came to an end that it did not choose.
fn ended_by_signal(program: &str, status: ExitStatus) -> Option<String> {
    let signal = status.signal()?;
    let name = signal_name(signal).map(|name| format!(" ({name})")).unwrap_or_default();
    let hint = match signal_name(signal) {
        Some("SIGKILL") => ": somebody killed it, or the system, out of memory",
        Some("SIGSEGV" | "SIGBUS" | "SIGABRT" | "SIGILL" | "SIGFPE") => ": it crashed",
        _ => "",
    };
    Some(format!("{program} was ended by signal {signal}{name}{hint}"))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signal_is_said_in_words() {
        let status = Command::new("sh").args(["-c", "kill -SEGV $$"]).status().unwrap();
        let words = ended_by_signal("etalon-parity", status).unwrap();
        assert_eq!(words, "etalon-parity was ended by signal 11 (SIGSEGV): it crashed");
        assert_eq!(passed_on("etalon-parity", status), fault::FAILURE);
        let status = Command::new("sh").args(["-c", "exit 3"]).status().unwrap();
        assert_eq!((ended_by_signal("x", status), passed_on("x", status)), (None, 3));
    }

    #[test]
    fn cargo_below_sees_nothing_of_this_package() {
        // These tests are run by cargo, which tells them of their package as it tells `cargo xtask`.
        assert!(env::var_os("CARGO_MANIFEST_DIR").is_some());
        let mut command = Command::new("env");
        forget_cargo(&mut command);
        let text = String::from_utf8(command.output().unwrap().stdout).unwrap();
        let left: Vec<&str> = text.lines().filter(|line| line.starts_with("CARGO_PKG_")).collect();
        assert!(left.is_empty() && !text.contains("CARGO_MANIFEST_DIR="), "{left:?}");
        assert!(!is_of_a_package("CARGO_HOME".as_ref()) && !is_of_a_package("CARGO_TARGET_DIR".as_ref()));
    }

    #[test]
    fn lines_are_heard_and_passed_on() {
        let mut heard = Vec::new();
        let mut command = Command::new("sh");
        let status = status_heard(command.args(["-c", "echo a; echo records: b"]), |line| heard.push(line.to_owned()));
        assert!(status.unwrap().success());
        assert_eq!(heard, ["a", "records: b"]);
    }
}

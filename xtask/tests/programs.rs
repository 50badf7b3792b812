//! How the suite's programs are run, with a script in the place of cargo that plays them.
#![cfg(target_os = "linux")]

use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// A folder in which `cargo` is a script: it builds without a word, and plays the program by `played`.
struct Stage {
    folder: TempDir,
}

impl Stage {
    fn new(played: &str) -> Stage {
        let folder = tempfile::tempdir().unwrap();
        let cargo = folder.path().join("cargo");
        let text =
            format!("#!/bin/sh\ncase \"$1\" in build) exit 0;; esac\ncd '{}'\n{played}\n", folder.path().display());
        fs::write(&cargo, text).unwrap();
        fs::set_permissions(&cargo, fs::Permissions::from_mode(0o755)).unwrap();
        Stage { folder }
    }

    /// `cargo xtask` with these arguments.
    fn xtask(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_etalon-xtask"));
        command.args(arguments).env("CARGO", self.folder.path().join("cargo")).stdin(Stdio::null());
        command
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn a_program_learns_where_the_user_stands_and_is_bound_to_no_cpu() {
    let stage = Stage::new("env > seen");
    let stands = stage.path("sub");
    fs::create_dir(&stands).unwrap();
    let mut command = stage.xtask(&["report", "x"]);
    command.current_dir(&stands).env("OMP_PROC_BIND", "true").env("GOMP_CPU_AFFINITY", "0");
    let output = command.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let seen = fs::read_to_string(stage.path("seen")).unwrap();
    assert!(seen.contains(&format!("ETALON_CWD={}\n", stands.display())), "{seen}");
    for name in ["OMP_PROC_BIND", "GOMP_CPU_AFFINITY", "CARGO_MANIFEST_DIR", "CARGO_PKG_NAME"] {
        assert!(!seen.contains(&format!("{name}=")), "{name} reaches the program");
    }
    let said = text(&output.stderr);
    assert_eq!(said.matches("OMP_PROC_BIND, GOMP_CPU_AFFINITY left out").count(), 1, "{said}");
}

#[test]
fn a_crash_is_said_in_words() {
    let output = Stage::new("kill -SEGV $$").xtask(&["report"]).output().unwrap();
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1));
    assert!(said.contains("etalon-report was ended by signal 11 (SIGSEGV): it crashed"), "{said}");
}

#[test]
fn an_exit_code_is_passed_on() {
    assert_eq!(Stage::new("exit 3").xtask(&["compare", "a", "b"]).status().unwrap().code(), Some(3));
    assert_eq!(Stage::new("exit 101").xtask(&["report"]).status().unwrap().code(), Some(1), "a panic is a failure");
}

#[test]
fn an_interrupt_lets_the_program_finish() {
    let played = "trap 'echo kept > kept; exit 130' INT\necho > ready\nwhile :; do sleep 0.05; done";
    let stage = Stage::new(played);
    let mut child = stage.xtask(&["report"]).stderr(Stdio::null()).spawn().unwrap();
    let start = Instant::now();
    while !stage.path("ready").exists() {
        assert!(start.elapsed() < Duration::from_secs(60), "the program does not start");
        std::thread::sleep(Duration::from_millis(10));
    }
    // Only this process is told, as by a supervisor; a terminal tells all of them.
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert!(stage.path("kept").exists(), "the program was told, and waited for");
}

#[test]
fn a_closed_pipe_is_quiet_and_a_full_disk_an_error() {
    let stage = Stage::new("");
    let mut child =
        stage.xtask(&["doctor", "--no-build"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert!(output.stderr.is_empty() && output.status.code() != Some(101), "{output:?}");

    let full = File::create("/dev/full").unwrap();
    let output = stage.xtask(&["doctor", "--no-build"]).stdout(full).stderr(Stdio::piped()).output().unwrap();
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("cannot write to standard output: No space left") && !said.contains("panicked"), "{said}");
}

#[test]
fn cargo_and_xtask_in_turn_build_nothing_again() {
    let checkout = tempfile::tempdir().unwrap();
    let package = checkout.path().join("reports");
    let write = |path: &str, text: &str| {
        fs::create_dir_all(package.join(path).parent().unwrap()).unwrap();
        fs::write(package.join(path), text).unwrap();
    };
    // As scripts of some packages do that libtorch's binding is built with.
    let script = "use std::io::Write;\nfn main() {\n\
        for name in [\"CARGO_MANIFEST_DIR\", \"CARGO_PKG_NAME\"] {\n\
        println!(\"cargo::rerun-if-env-changed={name}\"); }\n\
        std::fs::File::options().create(true).append(true).open(\"ran\").unwrap().write_all(b\"x\").unwrap();\n}\n";
    write(
        "Cargo.toml",
        "[package]\nname = \"etalon-reports\"\nedition = \"2024\"\n[[bin]]\nname = \"etalon-report\"\npath = \"main.rs\"\n",
    );
    write("main.rs", "fn main() {}\n");
    write("build.rs", script);
    fs::write(checkout.path().join("Cargo.toml"), "[workspace]\nresolver = \"3\"\nmembers = [\"reports\"]\n").unwrap();
    fs::create_dir(checkout.path().join("xtask")).unwrap();

    let shell = |program: &str| {
        let mut command = Command::new(program);
        command.current_dir(checkout.path()).env("CARGO_TARGET_DIR", checkout.path().join("target"));
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("CARGO_") && name != "CARGO_HOME") {
            if name != "CARGO_TARGET_DIR" {
                command.env_remove(name);
            }
        }
        command
    };
    let plain = || {
        let mut cargo = shell(env!("CARGO"));
        cargo.args(["build", "--release", "--offline", "-p", "etalon-reports"]).output().unwrap()
    };
    let xtask = || {
        let mut xtask = shell(env!("CARGO_BIN_EXE_etalon-xtask"));
        // What cargo tells the program that it runs.
        xtask.env("CARGO", env!("CARGO")).env("CARGO_MANIFEST_DIR", checkout.path().join("xtask"));
        xtask.env("CARGO_PKG_NAME", "etalon-xtask").arg("report").output().unwrap()
    };
    for output in [plain(), xtask(), plain(), xtask()] {
        assert!(output.status.success(), "{output:?}");
    }
    assert_eq!(fs::read_to_string(package.join("ran")).unwrap(), "x", "the build script ran once");
}

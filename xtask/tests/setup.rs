//! Set-up on machines that lack something: each failure has exit code 4, names its cure, and leaves nothing half done.
//!
//! The machines are faked by a `PATH` of small scripts.
#![cfg(unix)]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;

const TORCH: &str = "torch-2.13.0-cp311-cp311-manylinux_2_28_x86_64.whl";

/// A compiler that knows where nothing is.
const COMPILER: &str = "echo libopenblas.a";

/// A machine: a checkout, and the programs it has.
struct Machine {
    folder: TempDir,
}

impl Machine {
    /// With a compiler alone.
    fn bare() -> Machine {
        let machine = Machine { folder: TempDir::new().unwrap() };
        for folder in ["checkout/xtask", "checkout/.cargo", "bin", "blas", "wheels"] {
            fs::create_dir_all(machine.path(folder)).unwrap();
        }
        machine.with("cc", COMPILER).with("c++", COMPILER)
    }

    /// With a compiler and OpenBLAS.
    fn with_openblas() -> Machine {
        let machine = Machine::bare();
        fs::write(machine.path("blas/libopenblas.a"), "").unwrap();
        machine
    }

    /// Adds a program. Its script can use the shell's own commands alone.
    fn with(self, name: &str, script: &str) -> Machine {
        let path = self.path("bin").join(name);
        fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        self
    }

    fn path(&self, inside: &str) -> PathBuf {
        self.folder.path().join(inside)
    }

    fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_etalon-xtask"));
        command.env_clear();
        command.env("PATH", self.path("bin")).env("OPENBLAS_LIB_DIR", self.path("blas"));
        command.env("CARGO_MANIFEST_DIR", self.path("checkout/xtask")).env("FAKE", self.folder.path());
        command.arg("setup");
        command
    }

    /// Runs set-up, which is expected to fail, and returns what it says.
    fn fault(&self, arguments: &[&str]) -> String {
        let output = self.command().args(arguments).output().unwrap();
        let said = said(&output);
        assert_eq!(output.status.code(), Some(4), "{said}");
        assert!(!self.path("checkout/.etalon/libtorch-2.13.0").exists(), "half a libtorch is in place");
        assert!(!self.path("checkout/.cargo/libtorch.toml").exists(), "cargo is told of half a libtorch");
        said
    }
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

/// A script of `python3 -m pip download … --dest DIR PACKAGE` that finds DIR and goes on with the given script.
fn pip(script: &str) -> String {
    format!("while [ \"$1\" != --dest ]; do shift; done\nDIR=$2\n{script}")
}

#[test]
fn no_openblas_and_no_right_to_install_it() {
    let said = Machine::bare().fault(&[]);
    assert!(said.contains("OpenBLAS missing") && said.contains("no right to install"), "{said}");
    assert!(said.contains("libopenblas-dev"), "{said}");
}

#[test]
fn installing_can_be_forbidden() {
    let machine = Machine::bare().with("apt-get", ": > \"$FAKE/called\"").with("sudo", "shift; exec \"$@\"");
    let said = machine.fault(&["--no-install"]);
    assert!(said.contains("libopenblas-dev"), "{said}");
    assert!(!machine.path("called").exists(), "apt-get was called");
}

#[test]
fn apt_that_fails_is_quoted() {
    let machine = Machine::bare()
        .with("apt-get", "echo 'E: Unable to locate package' >&2; exit 100")
        .with("sudo", "shift; exec \"$@\"");
    let said = machine.fault(&[]);
    assert!(said.contains("Unable to locate package") && said.contains("libopenblas-dev"), "{said}");
}

#[test]
fn apt_that_installs_is_enough() {
    let script = "case \"$*\" in *libopenblas-dev*) : > \"$FAKE/blas/libopenblas.a\";; esac";
    let machine = Machine::bare().with("apt-get", script).with("true", ":").with("sudo", "shift; exec \"$@\"");
    let said = machine.fault(&[]);
    assert!(!said.contains("OpenBLAS missing") && said.contains("python3"), "{said}");
}

#[test]
fn no_python() {
    let said = Machine::with_openblas().fault(&[]);
    assert!(said.contains("python3 cannot be run") && said.contains("--wheels"), "{said}");
}

#[test]
fn no_pip() {
    let machine = Machine::with_openblas().with("python3", "echo '/usr/bin/python3: No module named pip' >&2; exit 1");
    let said = machine.fault(&[]);
    assert!(said.contains("has no pip") && said.contains("python3-pip"), "{said}");
}

#[test]
fn no_network() {
    let script = "echo \"WARNING: Retrying after connection broken by 'NewConnectionError'\" >&2; exit 1";
    let said = Machine::with_openblas().with("python3", script).fault(&[]);
    assert!(said.contains("no network") && said.contains("--wheels"), "{said}");
}

#[test]
fn disk_that_fills_up() {
    let script = "echo 'ERROR: [Errno 28] No space left on device' >&2; exit 1";
    let said = Machine::with_openblas().with("python3", script).fault(&[]);
    assert!(said.contains("disk is full") && said.contains("ETALON_HOME"), "{said}");
}

#[test]
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
fn download_with_a_wrong_sum_is_not_kept() {
    let machine = Machine::with_openblas().with("python3", &pip(&format!("echo tampered > \"$DIR/{TORCH}\"")));
    let said = machine.fault(&[]);
    assert!(said.contains("wrong checksum") && said.contains("60fcdcb2"), "{said}");
    assert!(!machine.path("checkout/.etalon/wheels").join(TORCH).exists());
}

#[test]
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
fn corrupted_wheel_in_the_folder() {
    let machine = Machine::with_openblas();
    fs::write(machine.path("wheels").join(TORCH), "half a wheel").unwrap();
    let said = machine.fault(&["--wheels", machine.path("wheels").to_str().unwrap()]);
    assert!(said.contains("wrong checksum") && said.contains(TORCH), "{said}");
}

#[test]
fn wheel_missing_from_the_folder() {
    let machine = Machine::with_openblas();
    let said = machine.fault(&["--wheels", machine.path("wheels").to_str().unwrap()]);
    assert!(said.contains("is not in the folder of wheels"), "{said}");
}

#[test]
fn the_interrupted_is_not_taken_for_finished() {
    let machine = Machine::with_openblas();
    let staging = machine.path("checkout/.etalon/staging/lib");
    fs::create_dir_all(&staging).unwrap();
    fs::write(staging.join("libtorch_cpu.so"), "half").unwrap();
    machine.fault(&[]);
    assert!(!staging.exists(), "what was left is built on");
}

#[test]
fn an_existing_libtorch_is_respected() {
    let machine = Machine::with_openblas();
    let lib = machine.path("mine/lib");
    fs::create_dir_all(&lib).unwrap();
    let name = format!("libtorch_cpu{}", std::env::consts::DLL_SUFFIX);
    let run = |folder: &Path| machine.command().env("LIBTORCH", folder).output().unwrap();
    let output = run(&machine.path("mine"));
    assert_eq!(output.status.code(), Some(4), "{}", said(&output));
    fs::write(lib.join(name), "").unwrap();
    let output = run(&machine.path("mine"));
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    assert!(said(&output).contains("/mine"), "{}", said(&output));
    let output = machine.command().env("LIBTORCH_USE_PYTORCH", "1").output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
}

#[test]
fn usage_errors_have_their_own_code() {
    let output = Machine::bare().command().arg("--no-such-option").output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{}", said(&output));
}

//! What comes from the system: a C++ compiler (for libtorch's binding) and OpenBLAS.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::fault;
use crate::process;

/// Something the system has to provide.
struct Need {
    name: &'static str,
    found: fn() -> bool,
    /// What each package manager calls it.
    apt: &'static str,
    dnf: &'static str,
    pacman: &'static str,
    brew: &'static str,
}

const NEEDS: [Need; 2] = [
    Need { name: "a C++ compiler", found: has_compiler, apt: "g++", dnf: "gcc-c++", pacman: "gcc", brew: "gcc" },
    Need {
        name: "OpenBLAS",
        found: has_openblas,
        apt: "libopenblas-dev",
        dnf: "openblas-devel openblas-static",
        pacman: "openblas",
        brew: "openblas",
    },
];

fn has_compiler() -> bool {
    which::which("c++").is_ok() && which::which("cc").is_ok()
}

fn has_openblas() -> bool {
    openblas().is_some()
}

/// The OpenBLAS that is linked: the static archive where there is one, otherwise the shared library.
///
/// Looked for where the kernels' build script looks.
pub fn openblas() -> Option<PathBuf> {
    let names: &[&str] =
        if cfg!(target_os = "macos") { &["libopenblas.dylib"] } else { &["libopenblas.a", "libopenblas.so"] };
    let said = std::env::var_os("OPENBLAS_LIB_DIR").map(PathBuf::from);
    let told = [pkg_config(), brew()];
    names.iter().find_map(|name| {
        let in_folder = |folder: &PathBuf| Some(folder.join(name)).filter(|path| path.is_file());
        let in_said = said.as_ref().and_then(in_folder);
        in_said.or_else(|| compiler_finds(name)).or_else(|| told.iter().flatten().find_map(in_folder))
    })
}

/// The library the C compiler would link by this file name; it answers with the bare name when it finds none.
fn compiler_finds(name: &str) -> Option<PathBuf> {
    let path = PathBuf::from(answer(Command::new("cc").arg(format!("-print-file-name={name}")))?);
    path.is_absolute().then(|| path.canonicalize().ok()).flatten().filter(|path| path.is_file())
}

fn pkg_config() -> Option<PathBuf> {
    answer(Command::new("pkg-config").args(["--variable=libdir", "openblas"])).map(PathBuf::from)
}

fn brew() -> Option<PathBuf> {
    if !cfg!(target_os = "macos") {
        return None;
    }
    answer(Command::new("brew").args(["--prefix", "openblas"])).map(|prefix| Path::new(&prefix).join("lib"))
}

/// What a program prints, when it can be run and succeeds.
fn answer(command: &mut Command) -> Option<String> {
    let output = command.output().ok().filter(|output| output.status.success())?;
    let text = String::from_utf8(output.stdout).ok()?.trim().to_owned();
    (!text.is_empty()).then_some(text)
}

/// Provides all needs, installing what is missing where that is wished and allowed.
pub fn provide(install: bool) -> anyhow::Result<()> {
    let missing: Vec<&Need> = NEEDS.iter().filter(|need| !(need.found)()).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let names = missing.iter().map(|need| need.name).collect::<Vec<_>>().join(" and ");
    let advice = advice(&missing);
    if !install {
        return Err(fault::setup(format!("{names} missing: {advice}")));
    }
    let Some(rights) = Rights::find() else {
        return Err(fault::setup(format!("{names} missing, and there is no right to install here: {advice}")));
    };
    let packages: Vec<&str> = missing.iter().map(|need| need.apt).collect();
    note!("installing {} with apt", packages.join(" "));
    if let Err(reason) = rights.install(&packages) {
        return Err(fault::setup(format!("{names} missing, and apt could not install it ({reason}): {advice}")));
    }
    match missing.iter().find(|need| !(need.found)()) {
        None => Ok(()),
        Some(need) => {
            Err(fault::setup(format!("apt installed {}, but {} is still not found: {advice}", need.apt, need.name)))
        }
    }
}

/// The one command that provides what is missing.
fn advice(missing: &[&Need]) -> String {
    let has = |program: &str| which::which(program).is_ok();
    let list = |name: fn(&Need) -> &'static str| missing.iter().map(|need| name(need)).collect::<Vec<_>>().join(" ");
    if cfg!(target_os = "macos") {
        format!("run `brew install {}`", list(|need| need.brew))
    } else if has("dnf") {
        format!("run `sudo dnf install -y {}`", list(|need| need.dnf))
    } else if has("pacman") {
        format!("run `sudo pacman -S --needed {}`", list(|need| need.pacman))
    } else {
        format!("run `sudo apt-get install -y {}`", list(|need| need.apt))
    }
}

/// How apt may be called by this user.
#[derive(Debug, PartialEq, Eq)]
enum Rights {
    Root,
    Sudo,
}

impl Rights {
    fn find() -> Option<Rights> {
        let sudo = || Command::new("sudo").args(["-n", "true"]).output().is_ok_and(|output| output.status.success());
        Rights::decide(which::which("apt-get").is_ok(), rustix::process::geteuid().is_root(), sudo)
    }

    fn decide(apt: bool, root: bool, sudo: impl FnOnce() -> bool) -> Option<Rights> {
        match (apt, root) {
            (false, _) => None,
            (true, true) => Some(Rights::Root),
            (true, false) => sudo().then_some(Rights::Sudo),
        }
    }

    fn apt(&self) -> Command {
        let mut command = match self {
            Rights::Root => Command::new("apt-get"),
            Rights::Sudo => {
                let mut command = Command::new("sudo");
                command.args(["-n", "apt-get"]);
                command
            }
        };
        command.env("DEBIAN_FRONTEND", "noninteractive");
        command
    }

    /// Installs, and once more with fresh package lists when the first attempt fails, as on an image that ships none.
    fn install(&self, packages: &[&str]) -> Result<(), String> {
        let attempt = || self.step(&[&["install", "-y", "--no-install-recommends"], packages].concat());
        attempt().or_else(|_| {
            self.step(&["update"])?;
            attempt()
        })
    }

    fn step(&self, arguments: &[&str]) -> Result<(), String> {
        let mut command = self.apt();
        command.args(["-qq"]).args(arguments);
        let output = command.output().map_err(|error| error.to_string())?;
        if output.status.success() {
            return Ok(());
        }
        let said = String::from_utf8_lossy(&output.stderr);
        let last = said.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("no message");
        Err(format!("{}: {last}", process::line(&command)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_may_install() {
        assert_eq!(Rights::decide(false, true, || true), None);
        assert_eq!(Rights::decide(true, true, || false), Some(Rights::Root));
        assert_eq!(Rights::decide(true, false, || true), Some(Rights::Sudo));
        assert_eq!(Rights::decide(true, false, || false), None);
    }

    #[test]
    fn advice_is_one_command() {
        let all: Vec<&Need> = NEEDS.iter().collect();
        let advice = advice(&all);
        assert!(advice.starts_with("run `") && advice.contains("openblas"), "{advice}");
    }
}

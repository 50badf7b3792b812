//! `setup`: libtorch from pinned wheels, OpenBLAS from the system, and the file that tells cargo.
//!
//! libtorch is built up in a staging folder and renamed when complete, so that an interrupted set-up is never taken for a
//! finished one; wheels already fetched and verified are kept until then, so that the next attempt goes on from there.

mod fetch;
mod pins;
mod space;
mod system;
mod unpack;

use std::env;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::Args;

use crate::workspace::Workspace;
use crate::{fault, output};

pub use pins::VERSION;
pub use system::openblas;

/// Arguments of `setup`.
#[derive(Args, Clone, Debug, Default)]
#[command(after_help = "\
libtorch is taken from three wheels of the Python package registry, fetched by `python3 -m pip download` and checked
against pinned sha256 sums (x86-64 Linux; one wheel on arm64 Linux and macOS). An existing LIBTORCH or
LIBTORCH_USE_PYTORCH is respected. OpenBLAS and a C++ compiler come from the system's package manager, installed where
this user may; otherwise the one command to run is printed.

ETALON_HOME moves what is provided away from .etalon/ in the checkout.")]
pub struct Arguments {
    /// A folder that holds the wheels, for machines without a network
    #[arg(long, env = "ETALON_WHEELS", value_name = "DIR")]
    pub wheels: Option<PathBuf>,
    /// Never install system packages; say the command instead
    #[arg(long)]
    pub no_install: bool,
}

/// Where libtorch comes from, for the programs that cargo builds and runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Provision {
    /// A folder with `include/` and `lib/`.
    Libtorch(PathBuf),
    /// The PyTorch of a Python environment (`LIBTORCH_USE_PYTORCH`).
    Python,
    /// None is needed.
    None,
}

/// Runs the command.
pub fn run(workspace: &Workspace, arguments: &Arguments) -> anyhow::Result<u8> {
    let provision = provide(workspace, arguments)?;
    match provision {
        Provision::Libtorch(folder) => output::line(format_args!("libtorch {VERSION}: {}", folder.display()))?,
        Provision::Python => {
            output::line("libtorch: that of the Python environment (LIBTORCH_USE_PYTORCH)")?;
        }
        Provision::None => {}
    }
    output::line(format_args!("OpenBLAS: {}", openblas().context("OpenBLAS vanished")?.display()))?;
    Ok(0)
}

/// Set-up as every command does it first; returns at once when everything is there.
pub fn ensure(workspace: &Workspace) -> anyhow::Result<Provision> {
    let wheels = env::var_os("ETALON_WHEELS").filter(|folder| !folder.is_empty()).map(PathBuf::from);
    provide(workspace, &Arguments { wheels, no_install: false })
}

/// What is there already, without providing anything.
///
/// # Errors
/// With exit code 4 when libtorch is not set up.
pub fn present(workspace: &Workspace) -> anyhow::Result<Provision> {
    if let Some(provision) = existing(workspace)? {
        return Ok(provision);
    }
    let folder = workspace.libtorch();
    if is_finished(&folder) { Ok(Provision::Libtorch(folder)) } else { Err(fault::setup("libtorch is not set up")) }
}

fn provide(workspace: &Workspace, arguments: &Arguments) -> anyhow::Result<Provision> {
    system::provide(!arguments.no_install)?;
    if let Ok(provision) = present(workspace) {
        if provision == Provision::Libtorch(workspace.libtorch()) {
            tell_cargo(workspace, &workspace.libtorch())?;
        }
        return Ok(provision);
    }
    // A choice that does not work is said, not replaced.
    existing(workspace)?;
    let folder = workspace.libtorch();
    build(workspace, &folder, arguments.wheels.as_deref())?;
    tell_cargo(workspace, &folder)?;
    Ok(Provision::Libtorch(folder))
}

/// The libtorch the user has chosen, if any.
///
/// Cargo hands the `LIBTORCH` of `.cargo/libtorch.toml` to this program, too; that one is ours, not a choice.
fn existing(workspace: &Workspace) -> anyhow::Result<Option<Provision>> {
    if env::var_os("LIBTORCH_USE_PYTORCH").is_some() {
        return Ok(Some(Provision::Python));
    }
    let Some(said) = env::var_os("LIBTORCH").filter(|folder| !folder.is_empty()).map(PathBuf::from) else {
        return Ok(None);
    };
    let told = fs::read_to_string(workspace.libtorch_toml()).ok().and_then(|text| told_folder(&text));
    if said == workspace.libtorch() || told.is_some_and(|told| told == said) {
        return Ok(None);
    }
    let library = said.join("lib").join(pins::shared("libtorch_cpu"));
    if !library.is_file() {
        return Err(fault::setup(format!(
            "LIBTORCH is {}, where there is no {}: correct it, or unset it to have libtorch {VERSION} provided",
            said.display(),
            library.display()
        )));
    }
    Ok(Some(Provision::Libtorch(said)))
}

/// Whether a folder holds a finished libtorch of the pinned version.
pub fn is_finished(folder: &Path) -> bool {
    fs::read_to_string(folder.join(unpack::VERSION_FILE)).is_ok_and(|version| version.trim() == VERSION)
        && folder.join("lib").join(pins::shared("libtorch_cpu")).is_file()
}

/// Builds libtorch in a staging folder and puts it in place.
fn build(workspace: &Workspace, folder: &Path, wheels: Option<&Path>) -> anyhow::Result<()> {
    let platform = pins::platform()?;
    let home = workspace.home();
    fs::create_dir_all(home).map_err(|error| space::explain(error, &format!("cannot create {}", home.display())))?;
    let lock = File::create(home.join("lock")).map_err(|error| space::explain(error, "cannot create the lock file"))?;
    if lock.try_lock().is_err() {
        note!("waiting for another set-up to finish");
        lock.lock().context("cannot lock the set-up folder")?;
    }
    // Whoever held the lock may have finished the work.
    if is_finished(folder) {
        return Ok(());
    }
    let store = home.join("wheels");
    let staging = home.join("staging");
    if staging.exists() {
        fs::remove_dir_all(&staging).context("cannot remove what an interrupted set-up left")?;
    }
    fetch::check_space(&platform, home, &store, wheels)?;
    let wheels = fetch::wheels(&platform, &store, wheels)?;
    unpack::unpack(&platform, &wheels, &staging)?;
    if folder.exists() {
        fs::remove_dir_all(folder).context("cannot remove the old libtorch")?;
    }
    fs::rename(&staging, folder).context("cannot put libtorch in place")?;
    if store.exists() {
        fs::remove_dir_all(&store).context("cannot remove the fetched wheels")?;
    }
    Ok(())
}

/// Writes `.cargo/libtorch.toml`, so that plain cargo and editors find libtorch; left alone when it says so already.
fn tell_cargo(workspace: &Workspace, folder: &Path) -> anyhow::Result<()> {
    let folder = folder.to_str().context("the path of libtorch is not UTF-8, which cargo's configuration needs")?;
    let mut text = String::from("# Written by `cargo xtask setup` for this machine.\n[env]\n");
    text += &format!("LIBTORCH = {{ value = {} }}\n", quoted(folder));
    if let Some(core) = crate::cpu::openblas_core() {
        text += &format!("OPENBLAS_CORETYPE = {{ value = {} }}\n", quoted(core));
    }
    let path = workspace.libtorch_toml();
    if fs::read_to_string(&path).is_ok_and(|old| old == text) {
        return Ok(());
    }
    let partial = path.with_extension("toml.partial");
    fs::create_dir_all(path.parent().context("no folder for cargo's configuration")?)?;
    fs::write(&partial, text).map_err(|error| space::explain(error, "cannot write .cargo/libtorch.toml"))?;
    fs::rename(&partial, &path).context("cannot put .cargo/libtorch.toml in place")
}

/// A TOML basic string.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

/// The folder that a `libtorch.toml` names.
fn told_folder(text: &str) -> Option<PathBuf> {
    let line = text.lines().find(|line| line.starts_with("LIBTORCH ="))?;
    let value = line.split_once("value = \"")?.1.rsplit_once('"')?.0;
    Some(PathBuf::from(value.replace("\\\"", "\"").replace("\\\\", "\\")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_told_folder_is_read_back() {
        for folder in ["/a b/libtorch", "C:\\x \"y\""] {
            let text = format!("# x\n[env]\nLIBTORCH = {{ value = {} }}\n", quoted(folder));
            assert_eq!(told_folder(&text), Some(PathBuf::from(folder)));
        }
        assert_eq!(told_folder("[env]\n"), None);
    }

    #[test]
    fn half_a_libtorch_is_not_finished() {
        let folder = tempfile::tempdir().unwrap();
        assert!(!is_finished(folder.path()));
        fs::create_dir(folder.path().join("lib")).unwrap();
        fs::write(folder.path().join("lib").join(pins::shared("libtorch_cpu")), "").unwrap();
        assert!(!is_finished(folder.path()));
        fs::write(folder.path().join(unpack::VERSION_FILE), "2.12.0\n").unwrap();
        assert!(!is_finished(folder.path()));
        fs::write(folder.path().join(unpack::VERSION_FILE), format!("{VERSION}\n")).unwrap();
        assert!(is_finished(folder.path()));
    }
}

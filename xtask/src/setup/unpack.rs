//! From wheels to a folder as `torch-sys` wants it: `include/`, `lib/` and `build-version`.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context;
use indicatif::{ProgressBar, ProgressStyle};
use zip::ZipArchive;

use super::fetch::Verified;
use super::pins::{Keep, Platform, VERSION};
use super::space;
use crate::fault;

/// The file from which `torch-sys` takes the version; written last.
pub const VERSION_FILE: &str = "build-version";

/// Unpacks what is kept of the wheels into `folder`, which is made.
pub fn unpack(platform: &Platform, wheels: &[Verified], folder: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(folder.join("lib"))
        .map_err(|error| space::explain(error, "cannot create the staging folder"))?;
    note!("unpacking libtorch {VERSION} ({})", space::megabytes(platform.unpacked));
    let bar = ProgressBar::new(platform.unpacked);
    bar.set_style(
        ProgressStyle::with_template("{bar:40} {bytes}/{total_bytes}, {eta} left")
            .context("the template of the bar")?,
    );
    for verified in wheels {
        extract(verified, folder, &bar)?;
    }
    bar.finish_and_clear();
    if platform.stub {
        make_stub(&folder.join("lib"))?;
    }
    fs::write(folder.join(VERSION_FILE), format!("{VERSION}\n"))
        .map_err(|error| space::explain(error, "cannot write the version"))
}

fn extract(verified: &Verified, folder: &Path, bar: &ProgressBar) -> anyhow::Result<()> {
    let what = || format!("cannot unpack {}", verified.path.display());
    let mut archive = ZipArchive::new(File::open(&verified.path).with_context(what)?).with_context(what)?;
    let mut kept = 0;
    for index in 0..archive.len() {
        let mut member = archive.by_index(index).with_context(what)?;
        let Some(target) = target(&verified.wheel.keep, &member.name().with_context(what)?) else {
            continue;
        };
        if member.is_dir() {
            continue;
        }
        let path = folder.join(target);
        let write = |member: &mut dyn io::Read| -> io::Result<u64> {
            fs::create_dir_all(path.parent().unwrap_or(folder))?;
            io::copy(member, &mut File::create(&path)?)
        };
        let written =
            write(&mut member).map_err(|error| space::explain(error, &format!("cannot write {}", path.display())))?;
        bar.inc(written);
        kept += 1;
    }
    let expected = match verified.wheel.keep {
        Keep::Files(files) => files.len(),
        Keep::Torch(files) => files.len() + 1,
        Keep::AllOfTorch => 2,
    };
    if kept < expected {
        return Err(fault::setup(format!("{} lacks files that libtorch needs", verified.path.display())));
    }
    Ok(())
}

/// Where a member of a wheel goes, or `None` when it is dropped. Never outside the folder.
fn target(keep: &Keep, name: &str) -> Option<PathBuf> {
    if name.split('/').any(|part| part == ".." || part.is_empty()) {
        return None;
    }
    let base = name.rsplit('/').next()?;
    let in_lib = || Path::new("lib").join(base);
    match keep {
        Keep::Files(files) => files.contains(&name).then(in_lib),
        Keep::Torch(_) | Keep::AllOfTorch if name.starts_with("torch/include/") => {
            name.strip_prefix("torch/").map(PathBuf::from)
        }
        Keep::Torch(files) => name.strip_prefix("torch/lib/").filter(|file| files.contains(file)).map(|_| in_lib()),
        Keep::AllOfTorch => {
            let direct = |prefix: &str| name.strip_prefix(prefix).is_some_and(|file| !file.contains('/'));
            (direct("torch/lib/") || direct("torch.libs/") || direct("torch/.dylibs/")).then(in_lib)
        }
    }
}

/// Puts an empty `libtorch.so` beside the CPU part: the wheel's own needs the CUDA libraries.
fn make_stub(lib: &Path) -> anyhow::Result<()> {
    let mut command = Command::new("cc");
    command.args([
        "-shared",
        "-Wl,-soname,libtorch.so",
        "-Wl,--no-as-needed",
        "-Wl,-rpath,$ORIGIN",
        "-Wl,--allow-shlib-undefined",
    ]);
    command.arg("-o").arg(lib.join("libtorch.so")).args(["-x", "c", "/dev/null", "-x", "none"]);
    command.arg("-L").arg(lib).args(["-l:libtorch_cpu.so", "-l:libc10.so"]);
    let output =
        command.output().map_err(|error| fault::setup(format!("cc cannot be run ({error}): install a C compiler")))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(fault::setup(format!("cc could not link libtorch.so: {}", said.trim())))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TORCH: Keep = Keep::Torch(&["libc10.so"]);

    #[test]
    fn what_is_kept_and_where() {
        let at = |keep: &Keep, name: &str| target(keep, name).map(|path| path.to_string_lossy().into_owned());
        assert_eq!(at(&TORCH, "torch/include/ATen/x.h").as_deref(), Some("include/ATen/x.h"));
        assert_eq!(at(&TORCH, "torch/lib/libc10.so").as_deref(), Some("lib/libc10.so"));
        assert_eq!(at(&TORCH, "torch/lib/libtorch_cuda.so"), None);
        assert_eq!(at(&TORCH, "torch/version.py"), None);
        let files = Keep::Files(&["nvidia/cu13/lib/libcudart.so.13"]);
        assert_eq!(at(&files, "nvidia/cu13/lib/libcudart.so.13").as_deref(), Some("lib/libcudart.so.13"));
        assert_eq!(at(&files, "nvidia/cu13/include/cuda.h"), None);
        assert_eq!(at(&Keep::AllOfTorch, "torch/lib/libtorch_cpu.dylib").as_deref(), Some("lib/libtorch_cpu.dylib"));
        assert_eq!(at(&Keep::AllOfTorch, "torch/lib/libshm/core.h"), None);
        assert_eq!(at(&Keep::AllOfTorch, "torch.libs/libgomp-1.so").as_deref(), Some("lib/libgomp-1.so"));
    }

    #[test]
    fn nothing_is_written_outside() {
        assert_eq!(target(&TORCH, "torch/include/../../etc/passwd"), None);
        assert_eq!(target(&TORCH, "torch/include//x"), None);
    }
}

//! Links OpenBLAS (feature `openblas`) such that it and libtorch live in one process without meeting.
//!
//! Both define `sgemm_`, `dgemm_`, … and libtorch calls its own through the dynamic linker: with a shared OpenBLAS ahead of
//! it, libtorch computes with OpenBLAS. Here the static archive is linked, whose members come into the executable only for
//! the `cblas_` names this crate calls, and `--exclude-libs` keeps even those out of the dynamic symbol table.
//! Without an archive (`openblas_static` unset) `blas-src` links the shared library, and `ffi::symbols::verify` decides at run time.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

const ARCHIVE: &str = "libopenblas.a";

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rustc-check-cfg=cfg(openblas_static)");
    // Set by torch-sys for its direct dependents, and only when the feature `libtorch` turns it on.
    if let Some(lib) = env::var_os("DEP_TCH_LIBTORCH_LIB") {
        println!("cargo::rustc-link-arg=-Wl,-rpath,{}", lib.display());
    }
    if env::var_os("CARGO_FEATURE_OPENBLAS").is_some() {
        link_openblas();
    }
}

fn link_openblas() {
    println!("cargo::rerun-if-env-changed=OPENBLAS_LIB_DIR");
    if env::var("CARGO_CFG_TARGET_OS").is_ok_and(|os| os != "linux") {
        return;
    }
    println!("cargo::rustc-link-arg=-Wl,--exclude-libs,ALL");
    match archive_folder() {
        Some(folder) => {
            println!("cargo::rerun-if-changed={}", folder.join(ARCHIVE).display());
            println!("cargo::rustc-link-search=native={}", folder.display());
            // Not bundled: the archive holds every core type, and copying it into the rlib gains nothing.
            println!("cargo::rustc-link-lib=static:-bundle=openblas");
            println!("cargo::rustc-cfg=openblas_static");
        }
        None => println!(
            "cargo::warning=no {ARCHIVE} found; linking the shared OpenBLAS, which may answer for libtorch's BLAS (see `cargo xtask doctor`)"
        ),
    }
}

/// The folder of the archive: what the user says, what the C compiler finds, what pkg-config says.
fn archive_folder() -> Option<PathBuf> {
    let said = env::var_os("OPENBLAS_LIB_DIR").map(PathBuf::from);
    let compiler = || {
        let path = answer("cc", &["-print-file-name=libopenblas.a"])?;
        Path::new(&path).parent().map(Path::to_path_buf)
    };
    let pkg_config = || answer("pkg-config", &["--variable=libdir", "openblas"]).map(PathBuf::from);
    said.or_else(|| compiler().filter(|folder| folder.join(ARCHIVE).is_absolute()))
        .filter(|folder| folder.join(ARCHIVE).is_file())
        .or_else(pkg_config)
        .filter(|folder| folder.join(ARCHIVE).is_file())
        .and_then(|folder| folder.canonicalize().ok())
}

/// What a program prints, when it can be run and succeeds.
fn answer(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).output().ok().filter(|output| output.status.success())?;
    let text = String::from_utf8(output.stdout).ok()?.trim().to_owned();
    (!text.is_empty()).then_some(text)
}

//! libtorch and OpenBLAS in one process, each computing with its own BLAS.
#![cfg(all(feature = "libtorch", feature = "openblas", target_os = "linux"))]

use std::path::PathBuf;
use std::process::Command;

use etalon_kernels::ffi::openblas::{self, GemmSizes, Op};
use etalon_kernels::ffi::symbols;
use etalon_reference::torch::about;

/// Both libraries at work, so that neither is dropped by the linker and both are initialised.
fn products() -> (f32, usize) {
    let mut c = [0.0];
    let sizes = GemmSizes::dense(Op::Plain, Op::Plain, 1, 1, 3);
    openblas::sgemm(&sizes, 1.0, &[1.0, 2.0, 3.0], &[1.0, 1.0, 1.0], 0.0, &mut c).expect("sizes fit");
    (c[0], about::threads())
}

#[test]
fn each_library_calls_its_own_blas() {
    let (product, threads) = products();
    assert_eq!(product, 6.0);
    assert!(threads >= 1);
    let torch = symbols::libtorch().expect("libtorch is mapped");
    for name in symbols::LIBTORCH_BLAS {
        let provider = symbols::provider(name);
        // Another libtorch than the one of `cargo xtask setup` may bring its BLAS in a library of its own, or none.
        let own = provider.as_deref().is_none_or(|path| path.parent() == torch.parent());
        assert!(own, "{name} is provided by {provider:?}, libtorch is {}", torch.display());
    }
    for name in symbols::OPENBLAS {
        let provider = symbols::provider(name).unwrap_or_else(|| panic!("nobody provides {name}"));
        let executable = std::env::current_exe().expect("the executable has a path");
        let ours = provider == executable || provider.to_string_lossy().contains("openblas");
        assert!(ours, "{name} is provided by {}", provider.display());
    }
    assert_ne!(symbols::provider("sgemm_"), symbols::provider("cblas_sgemm"));
    assert_eq!(symbols::verify(), Ok(()));
}

#[test]
fn one_openmp_runtime_is_mapped() {
    products();
    let runtimes = symbols::openmp_runtimes();
    assert!(runtimes.len() <= 1, "{runtimes:?}");
}

/// A shared OpenBLAS ahead of libtorch is what this guards against: the same process with one preloaded is refused.
#[test]
fn a_preloaded_openblas_is_refused() {
    if std::env::var_os("LD_PRELOAD").is_some() {
        let (_, refusal) = (products(), symbols::verify());
        println!("refusal: {refusal:?}");
        return;
    }
    let found = Command::new("cc").arg("-print-file-name=libopenblas.so").output().expect("the linker's driver runs");
    let library = PathBuf::from(String::from_utf8_lossy(&found.stdout).trim());
    if !library.is_absolute() {
        eprintln!("skipped: this machine has no shared OpenBLAS");
        return;
    }
    let executable = std::env::current_exe().expect("the executable has a path");
    let mut again = Command::new(executable);
    again.args(["--exact", "a_preloaded_openblas_is_refused", "--nocapture"]).env("LD_PRELOAD", library);
    let said = String::from_utf8_lossy(&again.output().expect("it runs again").stdout).into_owned();
    assert!(said.contains("refusal: Err(") && said.contains("sgemm_ is provided by"), "{said}");
}

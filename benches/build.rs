//! Link arguments of the programs that time: libtorch's run path, and OpenBLAS's symbols kept inside.

use std::env;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    // Set by torch-sys for its direct dependents, and only when the feature `libtorch` turns it on.
    if let Some(lib) = env::var_os("DEP_TCH_LIBTORCH_LIB") {
        println!("cargo::rustc-link-arg=-Wl,-rpath,{}", lib.display());
    }
    // An OpenBLAS in the executable must not answer for the BLAS that libtorch calls by the same names.
    let linux = env::var("CARGO_CFG_TARGET_OS").is_ok_and(|os| os == "linux");
    if linux && env::var_os("CARGO_FEATURE_OPENBLAS").is_some() {
        println!("cargo::rustc-link-arg=-Wl,--exclude-libs,ALL");
    }
}

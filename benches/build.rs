//! What the programs that time link with: libtorch's run path and inference mode, and OpenBLAS's symbols kept inside.

use std::env;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    // Set by torch-sys for its direct dependents, and only when the feature `libtorch` turns it on.
    if let Some(lib) = env::var_os("DEP_TCH_LIBTORCH_LIB") {
        println!("cargo::rustc-link-arg=-Wl,-rpath,{}", lib.display());
        #[cfg(feature = "libtorch")]
        inference(&lib);
    }
    // An OpenBLAS in the executable must not answer for the BLAS that libtorch calls by the same names.
    let linux = env::var("CARGO_CFG_TARGET_OS").is_ok_and(|os| os == "linux");
    if linux && env::var_os("CARGO_FEATURE_OPENBLAS").is_some() {
        println!("cargo::rustc-link-arg=-Wl,--exclude-libs,ALL");
    }
}

/// The two functions of libtorch's inference mode, compiled with the headers beside its library.
#[cfg(feature = "libtorch")]
fn inference(lib: &std::ffi::OsStr) {
    const SOURCE: &str = "src/peers/inference.cpp";
    println!("cargo::rerun-if-changed={SOURCE}");
    println!("cargo::rerun-if-env-changed=LIBTORCH_INCLUDE");
    let beside = || std::path::Path::new(lib).with_file_name("include");
    let headers =
        env::var_os("LIBTORCH_INCLUDE").map_or_else(beside, |root| std::path::Path::new(&root).join("include"));
    cc::Build::new().cpp(true).std("c++17").include(headers).warnings(false).file(SOURCE).compile("etalon_inference");
    println!("cargo::rustc-link-lib=c10");
}

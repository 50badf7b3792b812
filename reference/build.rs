//! Emits the run path of libtorch, so that this package's tests and binaries find the library they were linked with.

use std::env;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    // Set by torch-sys for its direct dependents, and only when the feature `libtorch` turns it on.
    if let Some(lib) = env::var_os("DEP_TCH_LIBTORCH_LIB") {
        println!("cargo::rustc-link-arg=-Wl,-rpath,{}", lib.display());
    }
}

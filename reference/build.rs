//! Emits the run path of libtorch, so that this package's tests and binaries find the library they were linked with.

use std::path::Path;
use std::{env, fs};

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    // Set by torch-sys for its direct dependents, and only when the feature `libtorch` turns it on.
    if let Some(lib) = env::var_os("DEP_TCH_LIBTORCH_LIB") {
        println!("cargo::rustc-link-arg=-Wl,-rpath,{}", lib.display());
        let version = Path::new(&lib).with_file_name("build-version");
        if let Ok(version) = fs::read_to_string(&version) {
            println!("cargo::rustc-env=ETALON_LIBTORCH_VERSION={}", version.trim());
        }
    }
}

//! What one process sees that holds libtorch and OpenBLAS: one JSON object on standard output, for `cargo xtask doctor`.
//!
//! Both libraries compute something first, so that what they load and set late is there to be seen.

use std::hint::black_box;
use std::path::{Path, PathBuf};

use etalon_kernels::ffi::openblas::{self, GemmSizes, Op};
use etalon_kernels::ffi::symbols;
use etalon_kernels::isa::Isa;
use etalon_reference::torch::about;
use serde_json::{Map, Value, json};

fn main() {
    openblas_at_work();
    about::set_threads(1);
    let (ftz, daz) = subnormals_flushed();
    let libtorch = symbols::libtorch();
    let answer = json!({
        "isa": Isa::ALL.iter().filter(|isa| isa.detected()).map(|isa| isa.name()).collect::<Vec<_>>(),
        "libtorch": {
            "file": libtorch.as_deref().map(shown),
            "version": libtorch.as_deref().and_then(version),
            "config": about::backends().join(" "),
            "threads": about::threads(),
        },
        "openblas": {
            "config": openblas::config(),
            "core": openblas::core(),
            "threads": openblas::threads(),
        },
        "symbols": providers(),
        "clash": symbols::verify().err(),
        "openmp": symbols::openmp_runtimes().iter().map(|path| shown(path)).collect::<Vec<_>>(),
        "ftz": ftz,
        "daz": daz,
    });
    println!("{answer:#}");
}

fn openblas_at_work() {
    let mut c = [0.0_f32];
    let sizes = GemmSizes::dense(Op::Plain, Op::Plain, 1, 1, 2);
    openblas::sgemm(&sizes, 1.0, &[1.0, 2.0], &[3.0, 4.0], 0.0, &mut c).expect("the sizes fit");
    assert_eq!(c, [11.0], "OpenBLAS multiplies");
}

fn providers() -> Map<String, Value> {
    symbols::table()
        .into_iter()
        .map(|(name, file)| (name.to_owned(), json!(file.map(|file: PathBuf| shown(&file)))))
        .collect()
}

/// Whether results, and operands, that are subnormal count as zero.
fn subnormals_flushed() -> (bool, bool) {
    let half_of_smallest = black_box(f32::MIN_POSITIVE) * black_box(0.5);
    let subnormal = black_box(f32::from_bits(1 << 22));
    (half_of_smallest == 0.0, subnormal * black_box(2.0) == 0.0)
}

/// The version that `cargo xtask setup` or the maker of a libtorch wrote beside it.
fn version(library: &Path) -> Option<String> {
    let file = library.parent()?.parent()?.join("build-version");
    Some(std::fs::read_to_string(file).ok()?.trim().to_owned())
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}

//! Seeds and regressions of every target, and the rule that each operator has its targets.

use std::fs;
use std::path::{Path, PathBuf};

use etalon_fuzz_bodies::{kernels, problem};
use etalon_kernels::registry;

fn fuzz() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Every operator with its two targets and what they call.
fn targets() -> Vec<(String, &'static str, &'static str)> {
    let names = registry::ALL.iter().map(|entry| entry.operator.name());
    names.flat_map(|op| [(op.to_owned(), op, "kernels"), (format!("{op}_problem"), op, "problem")]).collect()
}

#[test]
fn every_operator_has_its_targets() {
    let manifest = fs::read_to_string(fuzz().join("Cargo.toml")).expect("fuzz/Cargo.toml");
    for (target, operator, body) in targets() {
        let path = format!("fuzz_targets/{target}.rs");
        let source = fs::read_to_string(fuzz().join(&path)).unwrap_or_else(|e| panic!("fuzz/{path}: {e}"));
        let call = format!("etalon_fuzz_bodies::{body}::run(\"{operator}\"");
        assert!(source.contains(&call), "fuzz/{path} does not call {call}");
        assert!(manifest.contains(&format!("path = \"{path}\"")), "fuzz/Cargo.toml does not name {path}");
        let seeds = fuzz().join("seeds").join(&target);
        assert!(seeds.is_dir(), "fuzz/seeds/{target}: `cargo run -p etalon-fuzz-bodies --example seeds` makes it");
    }
}

#[test]
#[cfg_attr(feature = "planted-bug", ignore = "the bug is there to be found")]
fn seeds_and_regressions_pass() {
    let mut ran = 0;
    for (target, operator, body) in targets() {
        for folder in ["seeds", "regressions"] {
            let Ok(files) = fs::read_dir(fuzz().join(folder).join(&target)) else { continue };
            for file in files {
                let path = file.expect("an entry").path();
                let bytes = fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
                eprintln!("{}", path.display());
                match body {
                    "kernels" => ran += usize::from(kernels::run(operator, &bytes)),
                    _ => problem::run(operator, &bytes),
                }
            }
        }
    }
    assert!(ran > 0, "no case was executed");
}

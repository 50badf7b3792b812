//! The list of planted faults and the kernels agree.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};

use etalon_kernels::faults::ALL;
use etalon_kernels::registry;

/// The Rust files under a folder.
fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            files(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// The names that the kernels ask for, each with its file.
fn asked() -> Vec<(String, String)> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    files(&source, &mut found);
    let mut names = Vec::new();
    for path in found.iter().filter(|path| !path.ends_with("faults.rs")) {
        let text = fs::read_to_string(path).expect("a source");
        let file = path.strip_prefix(&source).expect("a source").display().to_string();
        for part in text.split("fault!(\"").skip(1) {
            let name = part.split('"').next().expect("a name");
            names.push((name.to_owned(), file.clone()));
        }
    }
    names
}

#[test]
fn each_fault_has_one_place_in_the_kernels_and_each_place_a_fault() {
    let asked = asked();
    for fault in ALL {
        let places: Vec<_> = asked.iter().filter(|(name, _)| name == fault.name).collect();
        assert_eq!(places.len(), 1, "{} is asked for at {places:?}", fault.name);
    }
    for (name, file) in &asked {
        assert!(ALL.iter().any(|fault| fault.name == name), "{file} asks for {name}, which is not in the list");
    }
}

#[test]
fn names_are_unique_and_every_operator_has_its_faults() {
    let names: HashSet<&str> = ALL.iter().map(|fault| fault.name).collect();
    assert_eq!(names.len(), ALL.len());
    assert!(ALL.len() >= 40);
    for fault in ALL {
        assert!(registry::find(fault.operator()).is_some(), "{}: no such operator", fault.name);
        assert!(!fault.what.is_empty() && !fault.kind.name().is_empty());
    }
    for entry in registry::ALL {
        let own = ALL.iter().filter(|fault| fault.operator() == entry.operator.name).count();
        assert!(own >= 2, "{} has {own} planted faults: an operator brings its own", entry.operator.name);
    }
}

/// Without the feature there is nothing to switch on, whatever the environment says.
#[cfg(not(feature = "faults"))]
#[test]
fn the_default_has_no_faults() {
    let manifest = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml")).expect("the manifest");
    assert!(manifest.contains("\ndefault = []\n"));
}

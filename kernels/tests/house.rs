//! The house rules that a test can hold: lists and folders belong together.

use std::collections::BTreeSet;
use std::path::Path;

use etalon_kernels::check::draw::Quota;
use etalon_kernels::check::suite::Question;
use etalon_kernels::isa::Isa;
use etalon_kernels::kernel::Kernel;
use etalon_kernels::registry;
use etalon_reference::draw::Draw;
use etalon_reference::{Problem, Side, ops};

#[test]
fn every_operator_has_kernels_and_a_folder() {
    let defined: Vec<&str> = ops::ALL.iter().map(|o| o.name).collect();
    let registered: Vec<&str> = registry::ALL.iter().map(|e| e.operator.name).collect();
    assert_eq!(defined, registered, "ops::ALL and registry::ALL list the same operators in the same order");
    for entry in registry::ALL {
        let name = entry.operator.name;
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src").join(name);
        assert!(folder.is_dir(), "kernels/src/{name}/ is missing");
        assert!(!entry.kernels.is_empty(), "{name} has no kernels");
        let scalar = &entry.kernels[0];
        assert_eq!(scalar.name, "scalar", "{name}: the scalar kernel comes first");
    }
}

#[test]
fn every_folder_is_listed() {
    let infrastructure = ["isa", "check", "dotted", "ffi", "math", "recurrent"];
    let listed: BTreeSet<String> = registry::ALL.iter().map(|e| e.operator.name.to_string()).collect();
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    for item in std::fs::read_dir(source).expect("the source folder") {
        let item = item.expect("an item");
        let name = item.file_name().into_string().expect("a plain name");
        if item.path().is_dir() && !infrastructure.contains(&name.as_str()) {
            assert!(listed.contains(&name), "kernels/src/{name}/ is not in registry::ALL");
        }
    }
}

#[test]
fn names_are_unique_and_short() {
    for entry in registry::ALL {
        let names: BTreeSet<&str> = entry.kernels.iter().map(|k| k.name).collect();
        assert_eq!(names.len(), entry.kernels.len(), "{}: two kernels share a name", entry.operator.name);
        for kernel in entry.kernels {
            assert!(kernel.name.len() <= Kernel::LONGEST_NAME, "{}: longer than {}", kernel.name, Kernel::LONGEST_NAME);
            assert!(!kernel.types.is_empty(), "{} computes no dtype", kernel.name);
        }
    }
}

/// Of each kernel of several paths, by problems that it supports.
#[test]
fn every_threshold_is_declared_and_reached() {
    let mut faults = Vec::new();
    for entry in registry::ALL {
        for kernel in entry.kernels.iter().filter(|k| k.usable().is_ok() && k.isa != Isa::Scalar) {
            let name = format!("{}/{}", entry.operator.name, kernel.name);
            if kernel.thresholds.is_empty() {
                faults.push(format!("{name} declares no threshold"));
            }
            for &types in kernel.types {
                let supports = |problem: &dyn Problem| kernel.applies(problem, types).is_ok();
                let quota = Quota::of(Question::Parity, 1);
                let mut draw = Draw::new(entry.operator, types, &supports, 1);
                let reached = draw.beside(kernel.thresholds, quota.far_cost);
                for threshold in kernel.thresholds {
                    let sides: Vec<Side> = reached.iter().filter(|r| r.0 == *threshold).map(|r| r.1).collect();
                    if sides.len() < Side::ALL.len() {
                        faults.push(format!("{name}/{types}: {threshold:?} is reached at {sides:?} alone"));
                    }
                }
                for path in kernel.paths {
                    let on = draw.within(std::slice::from_ref(path), 1, quota.far_cost);
                    if on.is_empty() {
                        faults.push(format!("{name}/{types}: no point on the path `{}`", path.name));
                    }
                }
                let large = draw.large(3, quota.far_cost).len();
                if large < 3 {
                    faults.push(format!("{name}/{types}: {large} points of large operands"));
                }
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn a_required_isa_is_there() {
    // `Isa::best` panics if ETALON_REQUIRE_ISA names a level that can't be used.
    eprintln!("best usable ISA: {}", etalon_kernels::isa::Isa::best());
}

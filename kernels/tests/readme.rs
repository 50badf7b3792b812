//! README's list of operators and the table in OPERATORS.md are those of the code. With `ETALON_KEEP=1` this test writes
//! them.

#![cfg(feature = "openblas")]

use std::fs;
use std::path::Path;

use etalon_kernels::isa::Extension;
use etalon_kernels::kernel::{Kernel, Maker};
use etalon_kernels::registry;

const BEGIN: &str = "<!-- operators:begin -->\n";
const END: &str = "<!-- operators:end -->";

/// Adds what is not yet there, in order.
fn add<T: PartialEq>(all: &mut Vec<T>, item: T) {
    if !all.contains(&item) {
        all.push(item);
    }
}

/// Who computes: levels with their extensions, and libraries.
fn maker(kernel: &Kernel) -> String {
    let Maker::Library(library) = kernel.maker else {
        let level = match kernel.isa.name() {
            "avx2" => "AVX2",
            "avx512" => "AVX-512",
            other => other,
        };
        let extensions = kernel.extensions.iter().map(|extension| format!(" + {}", extension.name().to_uppercase()));
        return extensions.fold(level.to_owned(), |name, extension| name + &extension);
    };
    library.to_owned()
}

/// A name without levels, libraries and packing: `winograd4` of `avx512-winograd4-prepacked`.
fn algorithm(kernel: &Kernel) -> Option<String> {
    let of_no_algorithm = |part: &&str| {
        let library = matches!(kernel.maker, Maker::Library(library) if library == *part);
        let extension = Extension::ALL.iter().any(|extension| extension.name() == *part);
        !library && !extension && ![kernel.isa.name(), "prepacked"].contains(part)
    };
    let parts: Vec<&str> = kernel.name.split('-').filter(of_no_algorithm).collect();
    (!parts.is_empty()).then(|| parts.join("-"))
}

/// What every operator has, which the documents say once.
const COMMON: [&str; 3] = ["scalar", "AVX2", "AVX-512"];

/// Each operator that is no gradient, with its gradients.
fn families() -> Vec<(&'static registry::Entry, Vec<&'static registry::Entry>)> {
    let gradients = |name: &str| {
        let of_it =
            |other: &&registry::Entry| other.operator.gradient.is_some_and(|gradient| gradient.forward.name == name);
        registry::ALL.iter().filter(of_it).collect()
    };
    let forward = registry::ALL.iter().filter(|entry| entry.operator.gradient.is_none());
    forward.map(|entry| (entry, gradients(entry.operator.name))).collect()
}

/// The operators' names; with a ∇ where there are gradients.
fn list() -> String {
    let one = |(entry, gradients): &(&registry::Entry, Vec<&registry::Entry>)| {
        format!("`{}`{}", entry.operator.name, if gradients.is_empty() { "" } else { " ∇" })
    };
    families().iter().map(one).collect::<Vec<_>>().join(", ") + ".\n"
}

/// One row for each operator that is no gradient; its gradients are listed with it.
fn table() -> String {
    let mut text = String::from("| operator | types | more kernels |\n|---|---|---|\n");
    for (entry, gradients) in families() {
        let names: Vec<String> = gradients.iter().map(|other| format!("`{}`", other.operator.name)).collect();
        let types: Vec<&str> = entry.operator.types.iter().map(|types| types.name).collect();
        let (mut makers, mut algorithms) = (Vec::new(), Vec::new());
        for kernel in gradients.iter().map(|other| other.kernels).chain([entry.kernels]).rev().flatten() {
            add(&mut makers, maker(kernel));
            algorithm(kernel).into_iter().for_each(|name| add(&mut algorithms, name));
        }
        assert!(COMMON.iter().all(|level| makers.iter().any(|maker| maker == level)), "{}", entry.operator.name);
        makers.retain(|maker| !COMMON.contains(&maker.as_str()));
        let gradients = if names.is_empty() { String::new() } else { format!("; gradient {}", names.join(", ")) };
        makers.extend(algorithms);
        let (types, makers) = (types.join(", "), makers.join(", "));
        text += &format!("| `{}`: {}{gradients} | {types} | {makers} |\n", entry.operator.name, entry.operator.summary);
    }
    text
}

/// Compares what stands between the marks of a document, or writes it.
fn hold(document: &str, wanted: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(document);
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{document}: {error}"));
    let begin = text.find(BEGIN).expect("the first mark") + BEGIN.len();
    let end = begin + text[begin..].find(END).expect("the second mark");
    if std::env::var_os("ETALON_KEEP").is_some() {
        fs::write(&path, format!("{}{wanted}{}", &text[..begin], &text[end..])).expect("the document is written");
        return;
    }
    assert!(text[begin..end] == *wanted, "{document} is old: run this test with ETALON_KEEP=1\n{wanted}");
}

#[test]
fn the_documents_list_the_operators() {
    hold("README.md", &list());
    hold("OPERATORS.md", &table());
}

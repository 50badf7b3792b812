//! Mutants: what cargo-mutants lists, of kernels and of checks, in an order that a seed decides.

use std::collections::{HashMap, HashSet};
use std::fs;

use anyhow::{Context, ensure};
use serde::Deserialize;
use sha2::{Digest, Sha256};

use super::results::Set;
use crate::process;
use crate::workspace::Workspace;

/// After so many mutants of kernels comes one of the checks.
const KERNELS_BETWEEN: usize = 4;

/// A change of the sources that makes them wrong.
#[derive(Clone, Debug)]
pub struct Mutant {
    /// Of kernels or of checks.
    pub set: Set,
    /// What it is, wherever its line stands: the beginning of a hash.
    pub key: String,
    /// File, place and change, as cargo-mutants writes them.
    pub name: String,
    /// The file.
    pub file: String,
    span: Span,
    replacement: String,
}

/// A mutant as `cargo mutants --list --json` writes it.
#[derive(Deserialize)]
struct Listed {
    name: String,
    file: String,
    function: Option<Function>,
    replacement: String,
    span: Span,
}

#[derive(Deserialize)]
struct Function {
    function_name: String,
}

/// From a place to one behind the last character.
#[derive(Clone, Copy, Debug, Deserialize)]
struct Span {
    start: Place,
    end: Place,
}

/// Counted from 1, in characters.
#[derive(Clone, Copy, Debug, Deserialize)]
struct Place {
    line: usize,
    column: usize,
}

impl Mutant {
    /// The text with this change.
    ///
    /// # Errors
    /// If the text has no such place.
    pub fn apply(&self, text: &str) -> anyhow::Result<String> {
        let (start, end) = (offset(text, self.span.start), offset(text, self.span.end));
        let (start, end) = start.zip(end).with_context(|| format!("{} has no such place", self.name))?;
        ensure!(start <= end, "{}: the place ends before it begins", self.name);
        Ok(format!("{}{}{}", &text[..start], self.replacement, &text[end..]))
    }
}

/// The byte of a place.
fn offset(text: &str, place: Place) -> Option<usize> {
    let line_start = match place.line {
        0 => return None,
        1 => 0,
        line => text.match_indices('\n').nth(line - 2)?.0 + 1,
    };
    let line = text[line_start..].split('\n').next()?;
    let ends = line.char_indices().map(|(at, _)| at).chain([line.len()]);
    Some(line_start + ends.clone().nth(place.column.checked_sub(1)?)?)
}

/// All mutants of kernels and checks, in the order of the seed.
pub fn mutants(workspace: &Workspace, seed: u64) -> anyhow::Result<Vec<Mutant>> {
    super::provide_cargo_mutants(workspace)?;
    let mut command = process::plain_cargo(workspace);
    command.args(["mutants", "--list", "--json", "--package", "etalon-kernels", "--package", "etalon-reference"]);
    let output = command.output().context("cannot run cargo mutants")?;
    ensure!(output.status.success(), "{}", process::describe(&command, output.status));
    let listed: Vec<Listed> = serde_json::from_slice(&output.stdout).context("the list of cargo mutants")?;
    let mut texts = HashMap::new();
    for listed in &listed {
        if !texts.contains_key(&listed.file) {
            let path = workspace.root().join(&listed.file);
            let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
            texts.insert(listed.file.clone(), text);
        }
    }
    Ok(in_order(listed.into_iter().filter_map(|listed| chosen(&texts[&listed.file], listed)).collect(), seed))
}

/// The mutant, if it is one of kernels or of checks and not of a planted fault.
fn chosen(text: &str, listed: Listed) -> Option<Mutant> {
    let function = listed.function.as_ref().map_or("", |function| &function.function_name);
    let set = set_of(&listed.file, function)?;
    let (first, last) = (listed.span.start.line, listed.span.end.line);
    if planted_lines(text).iter().any(|line| (first..=last).contains(line)) || declares_threshold(text, first) {
        return None;
    }
    let key = key(text, &listed, function)?;
    Some(Mutant { set, key, name: listed.name, file: listed.file, span: listed.span, replacement: listed.replacement })
}

/// The mutant by what it changes: the file, the function, the lines it stands in and the change, but not their numbers.
fn key(text: &str, listed: &Listed, function: &str) -> Option<String> {
    let lines: Vec<&str> = text.lines().skip(listed.span.start.line - 1).collect();
    let lines = lines.get(..=listed.span.end.line - listed.span.start.line)?;
    let column = listed.span.start.column.to_string();
    let parts = [&listed.file, function, &lines.join("\n"), &column, &listed.replacement];
    Some(hash(&parts.map(str::as_bytes))[..12].to_owned())
}

fn hash(parts: &[&[u8]]) -> String {
    let mut digest = Sha256::new();
    for part in parts {
        digest.update((part.len() as u64).to_le_bytes());
        digest.update(part);
    }
    digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Files of the reference that decide what passes.
const CHECKS: [&str; 7] = [
    "reference/src/compare.rs",
    "reference/src/tolerance.rs",
    "reference/src/strategy.rs",
    "reference/src/operator.rs",
    "reference/src/narrow.rs",
    "reference/src/ops/window.rs",
    "reference/src/ops/images.rs",
];

/// Functions of an operator's definition that validate, or say what is allowed.
const DECIDING: [&str; 12] = [
    "validated",
    "problem",
    "span",
    "matrix",
    "of",
    "new",
    "plain",
    "window",
    "trainable",
    "tolerance",
    "statistics_error",
    "magnitude",
];

/// Functions of a kernel's folder that say what is allowed.
const ALLOWING: [&str; 2] = ["tolerance", "adjoint_tolerance"];

/// Whether a mutant is one of kernels or of checks.
fn set_of(file: &str, function: &str) -> Option<Set> {
    let name = function.rsplit("::").next().unwrap_or_default();
    if file.starts_with("kernels/src/check/") || CHECKS.contains(&file) {
        Some(Set::Checks)
    } else if file.starts_with("kernels/src/") {
        Some(if ALLOWING.contains(&name) { Set::Checks } else { Set::Kernels })
    } else if file.starts_with("reference/src/ops/") && DECIDING.contains(&name) {
        Some(Set::Checks)
    } else {
        None
    }
}

/// Whether a line declares a threshold: a size near which tests draw. It says where to look and changes no result.
fn declares_threshold(text: &str, line: usize) -> bool {
    text.lines().nth(line - 1).is_some_and(|line| line.contains("Threshold::"))
}

/// The lines of planted faults. Without the feature nothing of them is there, so that a change of them changes nothing.
fn planted_lines(text: &str) -> HashSet<usize> {
    let mut planted = HashSet::new();
    let lines: Vec<&str> = text.lines().collect();
    let indent = |line: &str| line.len() - line.trim_start().len();
    let mut at = 0;
    while at < lines.len() {
        let first = at;
        at += 1;
        if !lines[first].contains("fault!(\"") {
            continue;
        }
        // To the end of the statement, or of the block that it opens.
        let ends = |line: &str| line.trim_end().ends_with([';', '{', ',']);
        let mut last = first;
        while !ends(lines[last]) && last + 1 < lines.len() {
            last += 1;
        }
        if lines[last].trim_end().ends_with('{') {
            let within = |line: &str| line.trim().is_empty() || indent(line) > indent(lines[first]);
            while last + 1 < lines.len() && within(lines[last + 1]) {
                last += 1;
            }
        }
        planted.extend(first + 1..=last + 1);
        at = last + 1;
    }
    planted
}

/// Shuffled by the seed; of kernels mostly, and now and then one of the checks.
fn in_order(mut mutants: Vec<Mutant>, seed: u64) -> Vec<Mutant> {
    let mut seen = HashSet::new();
    mutants.retain(|mutant| seen.insert(mutant.key.clone()));
    mutants.sort_by_cached_key(|mutant| hash(&[&seed.to_le_bytes(), mutant.key.as_bytes()]));
    let (kernels, checks): (Vec<_>, Vec<_>) = mutants.into_iter().partition(|mutant| mutant.set == Set::Kernels);
    let mut order = Vec::with_capacity(kernels.len() + checks.len());
    let (mut kernels, mut checks) = (kernels.into_iter(), checks.into_iter());
    loop {
        let before = order.len();
        order.extend(kernels.by_ref().take(KERNELS_BETWEEN));
        order.extend(checks.next());
        if order.len() == before {
            return order;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listed(text: &str, line: usize, columns: (usize, usize), replacement: &str) -> Listed {
        assert!(line <= text.lines().count());
        let span = Span { start: Place { line, column: columns.0 }, end: Place { line, column: columns.1 } };
        let function = Some(Function { function_name: "f".into() });
        Listed {
            name: format!("{line}"),
            file: "kernels/src/a.rs".into(),
            function,
            replacement: replacement.into(),
            span,
        }
    }

    #[test]
    fn a_change_is_applied_where_it_stands() {
        let text = "fn f() {\n    // γ·σ\n    let γ = a + b;\n}\n";
        let mutant = chosen(text, listed(text, 3, (15, 16), "-")).expect("a mutant");
        assert_eq!(mutant.apply(text).expect("a place"), text.replace('+', "-"));
        assert!(mutant.apply("fn f() {}\n").is_err());
    }

    #[test]
    fn a_key_stays_when_lines_move() {
        let (text, moved) = ("a + b\n", "\n\na + b\n");
        let key = |text: &str, line| chosen(text, listed(text, line, (3, 4), "-")).expect("a mutant").key;
        assert_eq!(key(text, 1), key(moved, 3));
        assert_ne!(key(text, 1), chosen(text, listed(text, 1, (3, 4), "*")).expect("a mutant").key);
    }

    #[test]
    fn planted_faults_are_not_mutated() {
        let text = "\
let a = b + c;
if fault!(\"a.b\") && x == 1 {
    return 1 + 1;
}
let wrong = fault!(\"a.c\")
    && p > 0
    && q > 0;
let d = e + f;
";
        let lines = planted_lines(text);
        assert_eq!((1..=8).filter(|line| lines.contains(line)).collect::<Vec<_>>(), [2, 3, 5, 6, 7]);
        assert!(chosen(text, listed(text, 3, (14, 15), "-")).is_none());
        assert!(chosen(text, listed(text, 8, (11, 12), "-")).is_some());
    }

    #[test]
    fn declared_thresholds_are_not_mutated() {
        let text = "const A: &[Threshold] = &[\n    Threshold::axis(\"m\", 2 * B),\n];\nlet c = 2 * B;\n";
        assert!(chosen(text, listed(text, 2, (28, 29), "+")).is_none());
        assert!(chosen(text, listed(text, 4, (11, 12), "+")).is_some());
    }

    #[test]
    fn a_seed_decides_the_order() {
        let text = "a + b\n";
        let mutants = |set: Set, n: usize| {
            (0..n).map(move |i| Mutant {
                set,
                key: format!("{set:?}{i}"),
                ..chosen(text, listed(text, 1, (3, 4), "-")).expect("a mutant")
            })
        };
        let all: Vec<Mutant> = mutants(Set::Kernels, 9).chain(mutants(Set::Checks, 5)).collect();
        let keys = |seed| in_order(all.clone(), seed).into_iter().map(|m| m.key).collect::<Vec<_>>();
        assert_eq!(keys(1), keys(1));
        assert_ne!(keys(1), keys(2));
        assert_eq!(keys(1).len(), all.len());
        let checks = keys(1).iter().map(|key| key.starts_with('C')).collect::<Vec<_>>();
        assert_eq!(checks[..10], [false, false, false, false, true, false, false, false, false, true]);
    }

    #[test]
    fn kernels_and_checks_are_told_apart() {
        assert_eq!(set_of("kernels/src/gemm/pack.rs", "copy"), Some(Set::Kernels));
        assert_eq!(set_of("kernels/src/check/mod.rs", "Prepared::run"), Some(Set::Checks));
        assert_eq!(set_of("kernels/src/conv2d_backward_data/mod.rs", "adjoint_tolerance"), Some(Set::Checks));
        assert_eq!(set_of("reference/src/compare.rs", "compare"), Some(Set::Checks));
        assert_eq!(set_of("reference/src/ops/gemm.rs", "<impl Problem for Gemm>::tolerance"), Some(Set::Checks));
        assert_eq!(set_of("reference/src/ops/gemm.rs", "gelu"), None);
        assert_eq!(set_of("reference/src/record.rs", "f"), None);
    }
}

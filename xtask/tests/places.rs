//! What CONTRIBUTING.md says that an operator, a function and a dtype cost, counted in the sources.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use walkdir::WalkDir;

const DEFINITION: &str = "reference/src/ops/conv_transpose2d_backward.rs";
const KERNELS: &str = "kernels/src/conv_transpose2d_backward/mod.rs";
const OPERATORS: &str = "reference/src/ops/mod.rs";
const MODULES: &str = "kernels/src/lib.rs";
const FAULTS: &str = "kernels/src/faults.rs";

/// Sources that name the operator, but need not for it to be there.
const ELSEWHERE: [&str; 4] = [
    // Its twin by one function, which is timed: autograd would do as a witness.
    "reference/src/torch/conv_gradients.rs",
    // Where libtorch is known to be wrong.
    "reference/src/torch/deviations.rs",
    // More wrong kernels than the generic ones.
    "kernels/tests/wrong_kernels/conv_gradients.rs",
    "xtask/src/mutants/users.rs",
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn read(file: &str) -> String {
    fs::read_to_string(root().join(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
}

/// Whether a line names the operator, its static or its type.
fn names_operator(line: &str) -> bool {
    line.to_lowercase()
        .replace("conv_transpose2d_backward", "convtranspose2dbackward")
        .contains("convtranspose2dbackward")
}

/// Lines of a file that name the operator.
fn naming(file: &str) -> usize {
    read(file).lines().filter(|line| names_operator(line)).count()
}

/// Lines from the one that `starts` to the first behind it that `ends`, both included.
fn block(file: &str, starts: impl Fn(&str) -> bool, ends: &str) -> usize {
    let text = read(file);
    let rest: Vec<&str> = text.lines().skip_while(|line| !starts(line)).collect();
    let end = rest.iter().position(|line| line.starts_with(ends));
    1 + end.unwrap_or_else(|| panic!("{file}: no such block"))
}

fn says(row: &str) {
    assert!(read("CONTRIBUTING.md").lines().any(|line| line == row), "CONTRIBUTING.md does not say\n{row}");
}

#[test]
fn an_operator_costs_what_is_said() {
    let parts = [
        ("its definition, with workloads", DEFINITION, ", new", read(DEFINITION).lines().count()),
        ("its `mod` line and its row in the list of operators", OPERATORS, "", naming(OPERATORS)),
        ("its list of kernels", KERNELS, ", new", block(KERNELS, |line| line.starts_with("pub static KERNELS"), "];")),
        ("the `mod` line of its kernels", MODULES, "", naming(MODULES)),
    ];
    for (what, file, new, lines) in parts {
        says(&format!("| {what} | `{file}`{new} | {lines} |"));
    }
    says("| its twin, fuzz model, golden answers and tests | none | 0 |");
    let sum: usize = parts.iter().map(|part| part.3).sum();
    says(&format!("| sum | 4 files, 2 of them new | {sum} |"));
    assert!(sum <= 120, "{sum} lines");
    says(&format!("| its planted faults, beside their lines in the kernels | `{FAULTS}` | {} |", naming(FAULTS)));
}

#[test]
fn no_other_source_names_the_operator() {
    let mut found = BTreeSet::new();
    for room in ["reference", "kernels", "benches", "fuzz", "reports", "xtask"] {
        let folders = WalkDir::new(root().join(room)).into_iter().filter_entry(|entry| entry.file_name() != "target");
        for entry in folders {
            let path = entry.expect("a file").into_path();
            let name = path.strip_prefix(root()).expect("a file of the checkout").display().to_string();
            let source = name.ends_with(".rs") && name != "xtask/tests/places.rs";
            if source && naming(&name) > 0 {
                found.insert(name);
            }
        }
    }
    let known = [DEFINITION, OPERATORS, KERNELS, MODULES, FAULTS].into_iter().chain(ELSEWHERE);
    assert_eq!(found, known.map(str::to_owned).collect());
}

#[test]
fn a_function_and_a_dtype_cost_what_is_said() {
    let reference = "reference/src/ops/activation_functions.rs";
    let text = read(reference);
    let rows: Vec<&str> = text.split("    Function {\n").filter(|row| row.contains("name: \"softplus\"")).collect();
    let [row] = rows[..] else { panic!("{reference}: {} rows of softplus", rows.len()) };
    let value = 2 + row.lines().position(|line| line == "    },").expect("the end of the row");
    let formula = 1 + block(reference, |line| line.starts_with("fn softplus("), "}");
    let vectors = "kernels/src/activation/functions.rs";
    let expressions = block(vectors, |line| line.trim() == "\"softplus\" Softplus", "        |dy");
    let libtorch = "reference/src/torch/activation.rs";
    let names = 1 + block(libtorch, |line| line.trim() == "\"softplus\",", "    )");
    says(&format!("| a function of activation: value, gradient, budgets | `{reference}` | {value} + {formula} |"));
    says(&format!("| its vector expressions | `{vectors}` | {expressions} |"));
    says(&format!("| libtorch's names of it | `{libtorch}` | {names} |"));

    let (table, tensors) = ("reference/src/dtype.rs", "reference/src/torch/tensors.rs");
    let row = block(table, |line| line.trim_start().starts_with("E5m2 \"e5m2\""), "                |b");
    let kind = read(tensors).lines().filter(|line| line.contains("Data::E5m2")).count();
    says(&format!("| a dtype: its row | `{table}` | {row} |"));
    says(&format!("| libtorch's kind of it | `{tensors}` | {kind} |"));
}

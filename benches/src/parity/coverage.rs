//! What every operator is checked by, and what nothing covers.

use anyhow::{Result, ensure};
use etalon_kernels::isa::Isa;
use etalon_kernels::registry::{self, Entry};
use etalon_reference::axis::Kind;
use etalon_reference::{Types, Witness};

/// One line for each operator, types and layout whose path `operator/types/layout` contains `filter`, below a line of heads;
/// then one for each gap.
///
/// # Errors
/// If the filter chooses nothing.
pub fn coverage(filter: &str) -> Result<Vec<String>> {
    let mut lines = vec![line(["operator", "types", "layout", "pass", "kernels", "witness"])];
    let mut gaps = Vec::new();
    for entry in registry::ALL {
        for &types in entry.operator.types {
            for layout in layouts(entry) {
                let name = entry.operator.name;
                if !format!("{name}/{types}/{layout}").contains(filter) {
                    continue;
                }
                let kernels = entry.kernels.iter().filter(|kernel| kernel.types.contains(&types)).count();
                let (kernels, pass) = (kernels.to_string(), pass(entry));
                lines.push(line([name, types.name, layout, pass, &kernels, &witness(entry.operator.witness)]));
            }
            if format!("{}/{types}", entry.operator.name).contains(filter) {
                gaps.extend(gap(entry, types));
            }
        }
    }
    ensure!(lines.len() > 1, "no operator/types/layout contains `{filter}`");
    Ok(lines.into_iter().chain(gaps).collect())
}

fn line([operator, types, layout, pass, kernels, witness]: [&str; 6]) -> String {
    format!("{operator:26} {types:8} {layout:7} {pass:9} {kernels:>7}  {witness}")
}

/// The names of the axis `layout`, if there is one.
fn layouts(entry: &Entry) -> Vec<&'static str> {
    let axis = entry.operator.axes.iter().find(|axis| axis.name == "layout");
    match axis.map(|axis| axis.kind) {
        Some(Kind::Choice(names)) => names.to_vec(),
        _ => vec!["any"],
    }
}

fn pass(entry: &Entry) -> &'static str {
    if entry.operator.gradient.is_some() { "backward" } else { "forward" }
}

fn witness(witness: Witness) -> String {
    match witness {
        Witness::Libtorch => "libtorch, live and frozen".into(),
        Witness::Closed(formula) => format!("closed form: {formula}"),
        Witness::Algorithm(name) => format!("another algorithm: {name}"),
        Witness::None(reason) => format!("none: {reason}"),
    }
}

/// What nothing covers.
fn gap(entry: &Entry, types: Types) -> Vec<String> {
    let name = format!("{}/{types}", entry.operator.name);
    let of = |isa: Option<Isa>| {
        entry.kernels.iter().any(|k| k.types.contains(&types) && !k.is_foreign() && isa.is_none_or(|isa| k.isa == isa))
    };
    let mut gaps = Vec::new();
    if !of(None) {
        gaps.push(format!("not covered: {name}: no kernel of ours"));
    } else if ![Isa::Avx2, Isa::Avx512].into_iter().any(|isa| of(Some(isa))) {
        gaps.push(format!("not covered: {name}: no vector kernel"));
    }
    if let Witness::None(reason) = entry.operator.witness {
        gaps.push(format!("not covered: {name}: no witness ({reason})"));
    }
    gaps
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_operator_has_its_lines() {
        let lines = coverage("").expect("operators");
        for entry in registry::ALL {
            let there = lines.iter().any(|line| line.starts_with(&format!("{:26} ", entry.operator.name)));
            assert!(there, "{}", entry.operator.name);
        }
        let conv = coverage("conv2d/f32/nhwc").expect("a layout");
        assert!(conv[1].contains("nhwc") && conv[1].contains("libtorch") && !conv[1].contains("nchw"), "{conv:?}");
        assert!(coverage("nosuch").is_err());
    }
}

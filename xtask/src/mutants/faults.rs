//! The list of our own faults, read from the table in `kernels/src/faults.rs`.

use std::fs;

use anyhow::Context;

use crate::workspace::Workspace;

/// A fault that the environment switches on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Planted {
    /// Operator, a point, and what it is.
    pub name: String,
    /// Which kind of fault.
    pub kind: String,
    /// What is wrong.
    pub what: String,
}

impl Planted {
    /// The operator in whose folder it lies.
    pub fn operator(&self) -> &str {
        self.name.split('.').next().unwrap_or_default()
    }
}

/// Where the table lies.
const FILE: &str = "kernels/src/faults.rs";

/// The table.
pub fn planted(workspace: &Workspace) -> anyhow::Result<Vec<Planted>> {
    let text = fs::read_to_string(workspace.root().join(FILE)).with_context(|| format!("cannot read {FILE}"))?;
    parse(&text).with_context(|| format!("{FILE} has no table of faults"))
}

/// Rows of name, kind and text, between `faults! {` and `};`.
fn parse(text: &str) -> Option<Vec<Planted>> {
    let table = text.split_once("= faults! {\n")?.1.split_once("\n};")?.0;
    // Every second part stands within quotes: names and texts take turns.
    let parts: Vec<&str> = table.split('"').collect();
    let rows = parts[..parts.len() - 1].chunks(4).map(|row| {
        let [_, name, kind, what] = row else { return None };
        Some(Planted { name: (*name).into(), kind: kind.trim().to_lowercase(), what: (*what).into() })
    });
    rows.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_of_the_kernels_is_read() {
        let workspace = Workspace::find().expect("this checkout");
        let all = planted(&workspace).expect("a table");
        assert!(all.len() >= 40, "{} planted faults", all.len());
        for fault in &all {
            assert!(fault.name.starts_with(&format!("{}.", fault.operator())) && !fault.operator().is_empty());
            assert!(fault.kind.chars().all(|c| c.is_ascii_lowercase()) && !fault.kind.is_empty(), "{fault:?}");
            assert!(!fault.what.is_empty() && !fault.what.contains('\n'), "{fault:?}");
        }
    }

    #[test]
    fn rows_of_two_lines_are_read() {
        let text =
            "static ALL: &[Fault] = faults! {\n    \"a.b\" Rare \"one\"\n    \"c.d\" Bits\n        \"two\"\n};\n";
        let all = parse(text).expect("a table");
        assert_eq!(all.len(), 2);
        assert_eq!((&*all[1].name, &*all[1].kind, &*all[1].what), ("c.d", "bits", "two"));
    }
}

//! Which operators a file of the kernels can spoil: its own, and those whose sources name it, directly or not.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use anyhow::Context;

use crate::files;

/// Folders that every operator uses, and that name operators at most in tests and documentation.
const EVERYWHERE: [&str; 3] = ["isa", "check", "ffi"];

/// The modules that each folder of the kernels names.
type Named = BTreeMap<String, BTreeSet<String>>;

/// The gate's filters for a fault in `file`: its operator, then the operators that use it; all of the gate, if the file
/// belongs to no folder of an operator and what it belongs to is used throughout.
///
/// # Errors
/// If the sources cannot be read.
pub fn filters(kernels: &Path, file: &str) -> anyhow::Result<Vec<String>> {
    let folder = file.strip_prefix("kernels/src/").and_then(|rest| rest.split_once('/')).map(|(folder, _)| folder);
    let named = named(kernels)?;
    // Folders that all use are not in the list.
    let Some(folder) = folder.filter(|folder| named.contains_key(*folder)) else { return Ok(vec![String::new()]) };
    let users = users(&named, folder);
    let operator = |name: &&String| kernels.join("../../reference/src/ops").join(format!("{name}.rs")).is_file();
    Ok(users.iter().filter(operator).map(|name| format!("{name}/")).collect())
}

/// The folder, then those that name it or one of its users.
fn users(named: &Named, folder: &str) -> Vec<String> {
    let mut found = vec![folder.to_owned()];
    let mut next = 0;
    while next < found.len() {
        let of = |(user, names): (&String, &BTreeSet<String>)| names.contains(&found[next]).then(|| user.clone());
        let users: Vec<String> = named.iter().filter_map(of).collect();
        found.extend(users.into_iter().filter(|user| !found.contains(user)).collect::<Vec<_>>());
        next += 1;
    }
    found
}

fn named(kernels: &Path) -> anyhow::Result<Named> {
    let mut named = Named::new();
    for entry in fs::read_dir(kernels).with_context(|| format!("cannot read {}", kernels.display()))? {
        let path = entry?.path();
        if path.is_dir() && !EVERYWHERE.iter().any(|name| path.ends_with(name)) {
            let folder = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            names_in(&path, named.entry(folder).or_default())?;
        }
    }
    Ok(named)
}

/// Adds what the files of a folder name.
fn names_in(folder: &Path, names: &mut BTreeSet<String>) -> anyhow::Result<()> {
    for path in files::under(folder, None)? {
        let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let code: Vec<&str> = text.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
        names.extend(modules(&code.join("\n")));
    }
    Ok(())
}

/// The first names behind `crate::`, of each path in braces, too.
fn modules(text: &str) -> Vec<String> {
    let identifier = |text: &str| text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>();
    let mut all = Vec::new();
    for rest in text.split("crate::").skip(1) {
        let Some(group) = rest.strip_prefix('{') else {
            all.push(identifier(rest));
            continue;
        };
        let (mut depth, mut fresh) = (1, true);
        for (at, c) in group.char_indices() {
            match c {
                '{' => depth += 1,
                '}' => depth -= 1,
                ',' if depth == 1 => fresh = true,
                _ if fresh && c.is_alphanumeric() => {
                    all.push(identifier(&group[at..]));
                    fresh = false;
                }
                _ => {}
            }
            if depth == 0 {
                break;
            }
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(file: &str) -> Vec<String> {
        let kernels = Path::new(env!("CARGO_MANIFEST_DIR")).join("../kernels/src");
        filters(&kernels, file).expect("the sources")
    }

    #[test]
    fn modules_are_those_behind_the_crate() {
        let text =
            "use crate::gemm::{DEPTH, tile::Tile};\nuse crate::{isa::{Isa, wide}, pool};\nlet x = crate::math::exp(y);";
        assert_eq!(modules(text), ["gemm", "isa", "pool", "math"]);
    }

    #[test]
    fn a_file_is_asked_of_its_operator_and_of_those_that_use_it() {
        let gemm = of("kernels/src/gemm/skinny.rs");
        assert_eq!(gemm[0], "gemm/");
        for user in ["gemm_backward/", "conv2d/", "conv2d_backward_weights/", "conv_transpose2d/"] {
            assert!(gemm.iter().any(|filter| filter == user), "{user} of {gemm:?}");
        }
        assert!(!gemm.contains(&"dropout/".to_owned()));
        for folder in ["conv2d", "conv_transpose2d_backward", "batchnorm_relu", "activation"] {
            assert_eq!(of(&format!("kernels/src/{folder}/mod.rs"))[0], format!("{folder}/"));
        }
        assert_eq!(of("kernels/src/dropout_backward/mod.rs"), ["dropout_backward/"]);
        assert!(of("kernels/src/math/exp.rs").contains(&"activation/".to_owned()));
    }

    #[test]
    fn what_all_use_is_asked_of_all() {
        for file in ["kernels/src/pool.rs", "kernels/src/isa/wide.rs", "reference/src/fill.rs"] {
            assert_eq!(of(file), [""], "{file}");
        }
    }
}

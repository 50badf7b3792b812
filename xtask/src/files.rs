//! The files under a folder.

use std::path::{Path, PathBuf};

use anyhow::Context;
use walkdir::{DirEntry, WalkDir};

/// The files under a folder, in the order of their names, without those under folders of the name `skipped`.
///
/// # Errors
/// If a folder cannot be read.
pub fn under(folder: &Path, skipped: Option<&str>) -> anyhow::Result<Vec<PathBuf>> {
    let wanted = |entry: &DirEntry| !entry.file_type().is_dir() || skipped.is_none_or(|name| entry.file_name() != name);
    let mut files = Vec::new();
    for entry in WalkDir::new(folder).sort_by_file_name().into_iter().filter_entry(wanted) {
        let entry = entry.with_context(|| format!("cannot read {}", folder.display()))?;
        if !entry.file_type().is_dir() {
            files.push(entry.into_path());
        }
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn folders_of_a_name_are_skipped() {
        let root = tempfile::tempdir().expect("a folder");
        for file in ["b/two.rs", "a/target/three.rs", "a/one.rs", "target.rs"] {
            let path = root.path().join(file);
            fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
            fs::write(path, "").expect("a file");
        }
        let names = |skipped| {
            let files = under(root.path(), skipped).expect("files");
            files.iter().map(|path| path.strip_prefix(root.path()).unwrap().display().to_string()).collect::<Vec<_>>()
        };
        assert_eq!(names(Some("target")), ["a/one.rs", "b/two.rs", "target.rs"]);
        assert_eq!(names(None), ["a/one.rs", "a/target/three.rs", "b/two.rs", "target.rs"]);
        assert!(under(&root.path().join("none"), None).is_err());
    }
}

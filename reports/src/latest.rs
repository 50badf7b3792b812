//! Which run is told of when the user names none.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::load::LoadError;

/// The runs that one would take.
#[derive(Debug, PartialEq)]
pub struct Latest {
    /// The finished run to which `latest` leads.
    pub run: PathBuf,
    /// The newest run with records that is newer: one that was interrupted, or still works.
    pub newer: Option<PathBuf>,
}

/// Looks at the runs below a folder.
///
/// # Errors
/// [`LoadError::Empty`], if `latest` leads to no record; it names the newest run that has some.
pub fn find(home: &Path) -> Result<Latest, LoadError> {
    let link = home.join("latest");
    // By its own name: `latest` may lead elsewhere a moment later.
    let name = fs::canonicalize(&link).ok().and_then(|folder| Some(folder.file_name()?.to_owned()));
    let run = name.map(|name| home.join(name)).filter(|run| run.is_dir()).unwrap_or(link);
    let since = written(&run);
    let newer = others(home)
        .filter(|other| *other != run)
        .filter_map(|other| Some((written(&other)?, other)))
        .filter(|(time, _)| since.is_none_or(|since| *time > since))
        .max()
        .map(|(_, other)| other);
    match (since, newer) {
        (Some(_), newer) => Ok(Latest { run, newer }),
        (None, Some(other)) => Err(LoadError::Unfinished(home.display().to_string(), other.display().to_string())),
        (None, None) => Err(LoadError::Empty(home.display().to_string())),
    }
}

/// When the folder's last record was written, if it has any.
fn written(folder: &Path) -> Option<SystemTime> {
    let meta = fs::metadata(folder.join("records.jsonl")).ok().filter(|meta| meta.len() > 0)?;
    meta.modified().ok()
}

/// Folders of runs.
fn others(home: &Path) -> impl Iterator<Item = PathBuf> {
    let entries = fs::read_dir(home).into_iter().flatten().flatten().map(|entry| entry.path());
    entries.filter(|path| path.is_dir() && !path.is_symlink())
}

//! The folder of a run: one that is new, and `latest`, which leads to a run with records.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::output::WriteError;

/// Where a run's files go.
#[derive(Clone, Debug)]
pub struct RunFolder {
    /// The run's id: profile, seconds since 1970, and a number where that second has seen runs before.
    pub id: String,
    /// The folder.
    pub path: PathBuf,
    /// Whether it was made for this run.
    new: bool,
}

impl RunFolder {
    /// Makes a folder under `home` that did not exist, whatever else runs.
    ///
    /// # Errors
    /// [`WriteError`] with the path.
    pub fn create(home: &Path, profile: &str) -> Result<RunFolder, WriteError> {
        fs::create_dir_all(home).map_err(|error| of(home, error))?;
        let base = id(profile);
        for attempt in 1_u32.. {
            let id = if attempt == 1 { base.clone() } else { format!("{base}-{attempt}") };
            let path = home.join(format!("run-{id}"));
            match fs::create_dir(&path) {
                Ok(()) => return Ok(RunFolder { id, path, new: true }),
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                Err(error) => return Err(of(&path, error)),
            }
        }
        unreachable!("there are fewer folders than numbers")
    }

    /// Takes the folder that the user named.
    ///
    /// # Errors
    /// [`WriteError`] with the path.
    pub fn named(path: &Path, profile: &str) -> Result<RunFolder, WriteError> {
        fs::create_dir_all(path).map_err(|error| of(path, error))?;
        Ok(RunFolder { id: id(profile), path: path.into(), new: false })
    }

    /// A file in it.
    pub fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Takes a folder away that was made for a run which has no record.
    pub fn discard(&self) {
        if self.new {
            let _ = fs::remove_dir_all(&self.path);
        }
    }

    /// Lets `latest` beside it lead to it, in one step: whoever follows the link meanwhile finds this run or the one before.
    ///
    /// # Errors
    /// [`WriteError`] with the link's path.
    pub fn make_latest(&self) -> Result<(), WriteError> {
        let latest = self.path.with_file_name("latest");
        let aside = self.path.with_file_name(format!("latest.{}", self.id));
        let name = self.path.file_name().unwrap_or_default();
        let linked = std::os::unix::fs::symlink(name, &aside).and_then(|()| fs::rename(&aside, &latest));
        linked.map_err(|error| {
            let _ = fs::remove_file(&aside);
            of(&latest, error)
        })
    }
}

fn id(profile: &str) -> String {
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs());
    format!("{profile}-{seconds}")
}

fn of(path: &Path, source: std::io::Error) -> WriteError {
    WriteError { to: path.display().to_string(), source }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn runs_of_one_second_have_folders_of_their_own() {
        let home = tempfile::tempdir().expect("a folder");
        let make = || RunFolder::create(home.path(), "smoke").expect("made").path;
        let paths: BTreeSet<PathBuf> = std::thread::scope(|scope| {
            let all: Vec<_> = (0..20).map(|_| scope.spawn(make)).collect();
            all.into_iter().map(|one| one.join().expect("no panic")).collect()
        });
        assert_eq!(paths.len(), 20);
        assert_eq!(fs::read_dir(home.path()).expect("there").count(), 20);
    }

    #[test]
    fn latest_moves_over_what_was_there() {
        let home = tempfile::tempdir().expect("a folder");
        for _ in 0..2 {
            let run = RunFolder::create(home.path(), "smoke").expect("made");
            run.make_latest().expect("linked");
            let leads = fs::canonicalize(home.path().join("latest")).expect("a link");
            assert_eq!(leads, fs::canonicalize(&run.path).expect("there"));
        }
        assert_eq!(fs::read_dir(home.path()).expect("there").count(), 3, "two runs and a link");
    }

    #[test]
    fn a_folder_that_the_user_named_is_not_taken_away() {
        let home = tempfile::tempdir().expect("a folder");
        RunFolder::named(home.path(), "smoke").expect("there").discard();
        assert!(home.path().is_dir());
        let run = RunFolder::create(home.path(), "smoke").expect("made");
        run.discard();
        assert!(!run.path.exists());
    }
}

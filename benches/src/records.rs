//! The file of records: it holds whole lines alone, whatever ends the run.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use etalon_reference::record::Record;

use crate::output::WriteError;

/// Records on their way to a file.
#[derive(Debug)]
pub struct Records {
    path: PathBuf,
    written: Mutex<Written>,
}

/// What has been written.
#[derive(Debug)]
pub struct Written {
    file: File,
    bytes: u64,
    /// Records in the file.
    pub count: usize,
}

impl Records {
    /// Opens the file.
    ///
    /// # Errors
    /// [`WriteError`] with the path.
    pub fn create(path: &Path) -> Result<Records, WriteError> {
        let file = File::create(path).map_err(|source| WriteError { to: path.display().to_string(), source })?;
        Ok(Records { path: path.into(), written: Mutex::new(Written { file, bytes: 0, count: 0 }) })
    }

    /// The file's path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Adds one, whole or not at all.
    ///
    /// # Errors
    /// [`WriteError`] with the path and the number of records that are kept.
    pub fn add(&self, record: &Record) -> Result<(), WriteError> {
        let line = serde_json::to_string(record).expect("records hold texts and numbers") + "\n";
        let mut written = self.hold();
        match written.file.write_all(line.as_bytes()) {
            Ok(()) => {
                written.bytes += line.len() as u64;
                written.count += 1;
                Ok(())
            }
            Err(source) => {
                // The part that found room goes.
                let _ = written.file.set_len(written.bytes);
                Err(self.error(written.count, source))
            }
        }
    }

    /// Makes sure that everything is on the disk.
    ///
    /// # Errors
    /// [`WriteError`] with the path.
    pub fn finish(&self) -> Result<(), WriteError> {
        let written = self.hold();
        written.file.sync_all().map_err(|source| self.error(written.count, source))
    }

    /// Lets nobody write while what is returned lives.
    pub fn hold(&self) -> MutexGuard<'_, Written> {
        self.written.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn error(&self, count: usize, source: io::Error) -> WriteError {
        WriteError { to: format!("{} (it holds {count} whole records)", self.path.display()), source }
    }
}

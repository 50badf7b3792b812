//! Room on the disk, asked before it is needed and explained when it runs out all the same.

use std::io;
use std::path::Path;

use crate::fault;

/// Left free beyond what set-up writes itself.
const MARGIN: u64 = 64 << 20;

/// Checks that a folder's file system has room.
///
/// # Errors
/// With exit code 4 when `need` bytes and a margin are not free.
pub fn require(folder: &Path, need: u64) -> anyhow::Result<()> {
    match rustix::fs::statvfs(folder) {
        Ok(state) => enough(folder, need, state.f_bavail.saturating_mul(state.f_frsize)),
        // A file system that cannot say is tried.
        Err(_) => Ok(()),
    }
}

fn enough(folder: &Path, need: u64, free: u64) -> anyhow::Result<()> {
    let need = need.saturating_add(MARGIN);
    if free >= need {
        return Ok(());
    }
    Err(fault::setup(format!(
        "the disk is too full: {} is on a file system with {} free, and set-up needs {}; make room, or set ETALON_HOME to a folder on another disk",
        folder.display(),
        megabytes(free),
        megabytes(need)
    )))
}

/// An error of writing as a fault, with the cure when the disk is full.
pub fn explain(error: io::Error, what: &str) -> anyhow::Error {
    let full = matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded);
    let cure = if full { "; make room, or set ETALON_HOME to a folder on another disk" } else { "" };
    fault::setup(format!("{what}: {error}{cure}"))
}

/// A size for people.
pub fn megabytes(bytes: u64) -> String {
    format!("{} MB", bytes.div_ceil(1_000_000))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_a_fault_of_set_up() {
        let here = Path::new("/here");
        assert!(enough(here, 100, 100 + MARGIN).is_ok());
        let error = enough(here, 500_000_000, 7_000_000).unwrap_err();
        assert_eq!(fault::code(&error), fault::SETUP);
        assert!(error.to_string().contains("too full") && error.to_string().contains("7 MB"), "{error}");
        require(&std::env::temp_dir(), 0).unwrap();
        assert_eq!(fault::code(&require(&std::env::temp_dir(), u64::MAX).unwrap_err()), fault::SETUP);
    }

    #[test]
    fn running_full_underway_is_explained() {
        let error = explain(io::Error::from(io::ErrorKind::StorageFull), "cannot write x");
        assert_eq!(fault::code(&error), fault::SETUP);
        assert!(error.to_string().contains("make room"), "{error}");
    }
}

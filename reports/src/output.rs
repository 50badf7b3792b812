//! What the programs write: lines that end quietly in a closed pipe, files that are whole or not there, and paths as the user
//! means them.

use std::fmt::Display;
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::{env, fs};

/// Something could not be written.
#[derive(Debug, thiserror::Error)]
#[error("cannot write {to}")]
pub struct WriteError {
    /// `to standard output`, or a path.
    pub to: String,
    /// What the system says.
    pub source: io::Error,
}

/// Exit code of what could not be written, and of a regression.
const FAILURE: u8 = 1;
/// Exit code of arguments and files that make no sense.
const USAGE: u8 = 2;

/// Writes a line to standard output; where nobody reads it any more, it is lost without an error.
///
/// # Errors
/// [`WriteError`] if it cannot be written for another reason, such as a full disk.
pub fn line(text: impl Display) -> Result<(), WriteError> {
    let mut out = io::stdout().lock();
    match writeln!(out, "{text}").and_then(|()| out.flush()) {
        Err(source) if source.kind() != ErrorKind::BrokenPipe => {
            Err(WriteError { to: "to standard output".into(), source })
        }
        _ => Ok(()),
    }
}

/// Writes a line to standard error, if that is possible: there is no other place to say that it is not.
pub fn note(text: impl Display) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// The exit code of a program; an error is told first.
pub fn end(result: anyhow::Result<u8>) -> ExitCode {
    ExitCode::from(result.unwrap_or_else(|error| {
        note(format_args!("error: {error:#}"));
        if error.chain().any(|cause| cause.is::<WriteError>()) { FAILURE } else { USAGE }
    }))
}

/// Writes a file aside and renames it: until it is whole, what was there before stays. A device is written to directly.
///
/// # Errors
/// [`WriteError`] with the path.
pub fn save(path: &Path, bytes: &[u8]) -> Result<(), WriteError> {
    let failed = |source| WriteError { to: path.display().to_string(), source };
    // Where a link leads is replaced, not the link.
    let target = fs::canonicalize(path).unwrap_or_else(|_| path.to_path_buf());
    if fs::metadata(&target).is_ok_and(|there| !there.is_file()) {
        return fs::write(&target, bytes).map_err(failed);
    }
    let mut name = target.file_name().unwrap_or_default().to_os_string();
    name.push(format!(".{}.partial", std::process::id()));
    let aside = target.with_file_name(name);
    fs::write(&aside, bytes).and_then(|()| fs::rename(&aside, &target)).map_err(|source| {
        let _ = fs::remove_file(&aside);
        failed(source)
    })
}

/// A path that the user gave, from the folder where the user stands: `cargo xtask` runs programs at the root and says in
/// `ETALON_CWD` where it was called.
pub fn from_user(path: &Path) -> PathBuf {
    env::var_os("ETALON_CWD").map_or_else(|| path.to_path_buf(), |folder| PathBuf::from(folder).join(path))
}

/// A path of ours as the user can use it: where the user does not stand in the folder it is relative to, it is absolute.
pub fn for_user(path: &Path) -> PathBuf {
    let stands = env::var_os("ETALON_CWD").map(PathBuf::from);
    let elsewhere = stands.is_some_and(|stands| env::current_dir().map_or(true, |here| here != stands));
    let absolute = elsewhere.then(|| std::path::absolute(path).ok()).flatten();
    absolute.unwrap_or_else(|| path.to_path_buf())
}

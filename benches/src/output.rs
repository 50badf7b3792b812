//! What programs write: lines that end quietly in a closed pipe, and files that are whole or not there.
//!
//! A program prints with [`line()`] and [`note()`] instead of `println!` and `eprintln!`, which panic where nobody reads, writes
//! files through [`Whole`], and ends with [`end`].

use std::fmt::Display;
use std::fs::{self, File};
use std::io::{self, BufWriter, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use crate::exit;

/// Something could not be written.
#[derive(Debug, thiserror::Error)]
#[error("cannot write {to}")]
pub struct WriteError {
    /// Standard output, or a path.
    pub to: String,
    /// What the system says.
    pub source: io::Error,
}

impl WriteError {
    fn of(path: &Path, source: io::Error) -> WriteError {
        WriteError { to: path.display().to_string(), source }
    }
}

/// Writes a line to standard output. `false` where nobody reads it any more, which is no error: who prints many lines stops.
///
/// # Errors
/// [`WriteError`] if it cannot be written for another reason, such as a full disk.
pub fn line(text: impl Display) -> Result<bool, WriteError> {
    line_to(&mut io::stdout().lock(), text)
}

fn line_to(out: &mut dyn Write, text: impl Display) -> Result<bool, WriteError> {
    match writeln!(out, "{text}").and_then(|()| out.flush()) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(false),
        Err(source) => Err(WriteError { to: "to standard output".into(), source }),
    }
}

/// Writes a line to standard error, if that is possible: there is no other place to say that it is not.
pub fn note(text: impl Display) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// The exit code of a program: an error is told on standard error first. One of writing is a failure, any other one of usage.
pub fn end(result: anyhow::Result<u8>) -> ExitCode {
    let code = result.unwrap_or_else(|error| {
        note(format_args!("error: {error:#}"));
        if error.downcast_ref::<WriteError>().is_some() { exit::FAILURE } else { exit::USAGE }
    });
    ExitCode::from(code)
}

/// A file that appears under its name when it is [`finish`](Whole::finish)ed: until then what was there before stays, and
/// a program that ends in between leaves nothing. What is no regular file (a pipe, a device) is written to directly.
#[derive(Debug)]
pub struct Whole {
    writer: BufWriter<File>,
    path: PathBuf,
    /// The file beside it that is renamed in the end.
    aside: Option<PathBuf>,
}

impl Whole {
    /// Opens it. Its folder must exist.
    ///
    /// # Errors
    /// [`WriteError`] with the path.
    pub fn create(path: &Path) -> Result<Whole, WriteError> {
        let failed = |error| WriteError::of(path, error);
        // Where a link leads is replaced, not the link.
        let target = fs::canonicalize(path).unwrap_or_else(|_| path.to_path_buf());
        if fs::metadata(&target).is_ok_and(|there| !there.is_file()) {
            let file = File::options().write(true).open(&target).map_err(failed)?;
            return Ok(Whole { writer: BufWriter::new(file), path: target, aside: None });
        }
        let name = target.file_name().ok_or_else(|| failed(ErrorKind::InvalidFilename.into()))?;
        let mut aside = name.to_os_string();
        aside.push(format!(".{}.partial", std::process::id()));
        let aside = target.with_file_name(aside);
        let file = File::create(&aside).map_err(failed)?;
        Ok(Whole { writer: BufWriter::new(file), path: target, aside: Some(aside) })
    }

    /// Adds a line.
    ///
    /// # Errors
    /// [`WriteError`] with the path.
    pub fn line(&mut self, text: impl Display) -> Result<(), WriteError> {
        writeln!(self.writer, "{text}").map_err(|error| WriteError::of(&self.path, error))
    }

    /// Puts it in its place.
    ///
    /// # Errors
    /// [`WriteError`] with the path; the file is then as it was before.
    pub fn finish(mut self) -> Result<(), WriteError> {
        let written = self.writer.flush().and_then(|()| match &self.aside {
            Some(aside) => self.writer.get_ref().sync_all().and_then(|()| fs::rename(aside, &self.path)),
            None => Ok(()),
        });
        written.map_err(|error| WriteError::of(&self.path, error))?;
        self.aside = None;
        Ok(())
    }
}

impl Drop for Whole {
    fn drop(&mut self) {
        if let Some(aside) = &self.aside {
            let _ = fs::remove_file(aside);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A writer that fails in one way.
    struct Failing(ErrorKind);

    impl Write for Failing {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(self.0.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// A folder of its own for each test.
    fn folder(name: &str) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("etalon-output-{}-{name}", std::process::id()));
        fs::create_dir_all(&folder).expect("a folder");
        folder
    }

    #[test]
    fn a_closed_pipe_is_no_error_and_a_full_disk_is() {
        assert!(!line_to(&mut Failing(ErrorKind::BrokenPipe), "x").expect("quiet"));
        let error = line_to(&mut Failing(ErrorKind::StorageFull), "x").expect_err("a full disk");
        assert_eq!(error.to_string(), "cannot write to standard output");
        assert!(line_to(&mut Vec::new(), "x").expect("fine"));
    }

    #[test]
    fn a_file_appears_when_it_is_finished() {
        let folder = folder("whole");
        let path = folder.join("rows.jsonl");
        fs::write(&path, "before").expect("written");
        let mut whole = Whole::create(&path).expect("created");
        whole.line("after").expect("a line");
        assert_eq!(fs::read_to_string(&path).expect("there"), "before");
        whole.finish().expect("finished");
        assert_eq!(fs::read_to_string(&path).expect("there"), "after\n");
        drop(Whole::create(&path).expect("created"));
        assert_eq!(fs::read_to_string(&path).expect("there"), "after\n");
        assert_eq!(fs::read_dir(&folder).expect("a folder").count(), 1, "nothing is left beside it");
        fs::remove_dir_all(folder).expect("removed");
    }

    #[cfg(unix)]
    #[test]
    fn a_link_stays_a_link() {
        let folder = folder("link");
        let (path, link) = (folder.join("rows"), folder.join("link"));
        fs::write(&path, "before").expect("written");
        std::os::unix::fs::symlink(&path, &link).expect("a link");
        let mut whole = Whole::create(&link).expect("created");
        whole.line("after").expect("a line");
        whole.finish().expect("finished");
        assert!(link.is_symlink());
        assert_eq!(fs::read_to_string(&path).expect("there"), "after\n");
        fs::remove_dir_all(folder).expect("removed");
    }

    #[test]
    fn errors_name_the_path() {
        let path = folder("error").join("missing").join("rows");
        let error = Whole::create(&path).expect_err("no such folder");
        assert!(error.to_string().contains("missing/rows"), "{error}");
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_full_device_is_named() {
        let mut whole = Whole::create(Path::new("/dev/full")).expect("opened");
        whole.line("x").expect("buffered");
        let error = whole.finish().expect_err("full");
        assert_eq!(error.to_string(), "cannot write /dev/full");
    }
}

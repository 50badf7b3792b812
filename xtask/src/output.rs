//! Lines for people. They end quietly in a closed pipe, where `println!` would panic.

use std::fmt::Display;
use std::io::{self, ErrorKind, Write};

use crate::fault;

/// Writes a line to standard output; where nobody reads it any more, it is lost without an error.
///
/// # Errors
/// With exit code 1 if it cannot be written for another reason, such as a full disk.
pub fn line(text: impl Display) -> anyhow::Result<()> {
    line_to(&mut io::stdout().lock(), text)
}

fn line_to(out: &mut dyn Write, text: impl Display) -> anyhow::Result<()> {
    match writeln!(out, "{text}").and_then(|()| out.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(fault::failure(format!("cannot write to standard output: {error}")))
        }
        _ => Ok(()),
    }
}

/// Writes a line to standard error, if that is possible: there is no other place to say that it is not.
pub fn note(text: impl Display) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Failing(ErrorKind);

    impl Write for Failing {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(self.0.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_closed_pipe_is_quiet_and_a_full_disk_a_failure() {
        line_to(&mut Failing(ErrorKind::BrokenPipe), "x").unwrap();
        let error = line_to(&mut Failing(ErrorKind::StorageFull), "x").unwrap_err();
        assert_eq!(fault::code(&error), fault::FAILURE);
        assert!(error.to_string().starts_with("cannot write to standard output: "), "{error}");
    }
}

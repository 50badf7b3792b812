//! Errors that know their exit code.

/// Something works, but disagrees or got slower.
pub const FAILURE: u8 = 1;
/// The machine lacks something, and set-up could not provide it.
pub const SETUP: u8 = 4;

/// An error with the exit code it ends the program with.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct Fault {
    code: u8,
    message: String,
}

/// A fault of set-up: what is missing and how to provide it.
pub fn setup(message: impl Into<String>) -> anyhow::Error {
    Fault { code: SETUP, message: message.into() }.into()
}

/// A failed check.
pub fn failure(message: impl Into<String>) -> anyhow::Error {
    Fault { code: FAILURE, message: message.into() }.into()
}

/// The exit code of an error. One that is not a [`Fault`] means that this program could not do its work, which is set-up.
pub fn code(error: &anyhow::Error) -> u8 {
    error.downcast_ref::<Fault>().map_or(SETUP, |fault| fault.code)
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::Context;

    #[test]
    fn context_keeps_the_code() {
        let error = Err::<(), _>(failure("two differ")).context("comparing").unwrap_err();
        assert_eq!(code(&error), FAILURE);
        assert_eq!(format!("{error:#}"), "comparing: two differ");
        assert_eq!(code(&anyhow::anyhow!("no such program")), SETUP);
    }
}

//! This program as a child of itself: `--worker witness` asks libtorch, `--worker kernel` runs kernels for the gate.
//!
//! A program that wants workers begins its `main` with [`asked`].

use std::io::{self, BufRead};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::atomic::{AtomicBool, Ordering};

use crate::{exit, output, parity, witness};

/// The first argument of a worker.
pub const OPTION: &str = "--worker";
/// The second argument of one that asks libtorch.
pub const WITNESS: &str = "witness";
/// The second argument of one that runs kernels.
pub const KERNEL: &str = "kernel";

/// The program that workers are.
#[derive(Clone, Debug)]
pub struct Program {
    /// One that begins with [`asked`].
    pub path: PathBuf,
    /// A program that starts it, with its command line as arguments.
    pub through: Option<PathBuf>,
}

impl Program {
    /// This program.
    ///
    /// # Errors
    /// If the system does not say where it lies.
    pub fn this() -> io::Result<Program> {
        Ok(Program { path: std::env::current_exe()?, through: None })
    }

    /// What is started.
    pub fn starter(&self) -> &Path {
        self.through.as_ref().unwrap_or(&self.path)
    }

    /// The command of a worker of this kind.
    pub fn worker(&self, kind: &str) -> Command {
        let mut command = Command::new(self.starter());
        if self.through.is_some() {
            command.arg(&self.path);
        }
        command.args([OPTION, kind]);
        command
    }
}

static AVAILABLE: AtomicBool = AtomicBool::new(false);

/// Works, if this process was started as a worker, and returns how it ended. Otherwise this program can have workers from
/// now on.
pub fn asked() -> Option<ExitCode> {
    AVAILABLE.store(true, Ordering::Relaxed);
    let mut arguments = std::env::args().skip(1);
    if arguments.next()? != OPTION {
        return None;
    }
    let served = match arguments.next().as_deref() {
        Some(WITNESS) => serve(witness::serve()),
        Some(KERNEL) => parity::work(),
        _ => Err(io::Error::other("a worker is `witness` or `kernel`")),
    };
    Some(match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            output::note(format_args!("worker: {error}"));
            ExitCode::from(exit::FAILURE)
        }
    })
}

/// Whether this program can have workers.
pub fn available() -> bool {
    AVAILABLE.load(Ordering::Relaxed)
}

/// Gives each line of standard input to `answer`.
pub(crate) fn serve(mut answer: impl FnMut(&str) -> io::Result<()>) -> io::Result<()> {
    for line in io::stdin().lock().lines() {
        answer(&line?)?;
    }
    Ok(())
}

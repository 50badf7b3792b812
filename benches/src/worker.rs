//! This program as a child of itself: `--worker witness` asks libtorch, `--worker kernel` runs kernels for the gate.
//!
//! A program that wants workers begins its `main` with [`asked`].

use std::io::{self, BufRead};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::{exit, output, parity, witness};

/// The first argument of a worker.
pub const OPTION: &str = "--worker";
/// The second argument of one that asks libtorch.
pub const WITNESS: &str = "witness";
/// The second argument of one that runs kernels.
pub const KERNEL: &str = "kernel";

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

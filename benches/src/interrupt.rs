//! What a program does at an interrupt before it ends.

use std::thread;

use anyhow::{Context, Result};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use signal_hook::low_level;

/// From here on an interrupt (Ctrl-C, the end of a batch job, a closed terminal) calls `last` and ends the program with the
/// exit code 128 + signal, whatever its other threads do.
///
/// # Errors
/// What the system says.
pub fn end_with(last: impl FnOnce() + Send + 'static) -> Result<()> {
    let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP]).context("cannot listen to signals")?;
    thread::spawn(move || {
        if let Some(signal) = signals.forever().next() {
            last();
            // Without destructors: the threads of libraries still work.
            low_level::exit(128 + signal);
        }
    });
    Ok(())
}

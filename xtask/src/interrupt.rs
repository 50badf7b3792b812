//! Interrupts go to the program that runs, which may have something to finish; this one ends when that one has.

use std::process::{Child, ExitStatus};
use std::sync::atomic::{AtomicI32, Ordering};
use std::thread;

use anyhow::Context;
use rustix::process::{Pid, Signal, kill_process};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use signal_hook::low_level;

/// The child that is waited for; 0 without one.
static CHILD: AtomicI32 = AtomicI32::new(0);
/// The signal that came; 0 without one.
static CAME: AtomicI32 = AtomicI32::new(0);

/// From here on signals are passed on. Without a child they end this program, as they do by default.
///
/// # Errors
/// What the system says.
pub fn pass_on() -> anyhow::Result<()> {
    let mut signals = Signals::new([SIGINT, SIGTERM]).context("cannot listen to signals")?;
    thread::spawn(move || {
        for signal in signals.forever() {
            CAME.store(signal, Ordering::SeqCst);
            let Some(child) = Pid::from_raw(CHILD.load(Ordering::SeqCst)) else {
                low_level::exit(code(signal));
            };
            // One from the keyboard reached the child already; whoever is told twice stops once.
            let _ = kill_process(child, if signal == SIGINT { Signal::INT } else { Signal::TERM });
        }
    });
    Ok(())
}

/// Does something while the child runs.
pub fn during<T>(child: &Child, work: impl FnOnce() -> T) -> T {
    CHILD.store(i32::try_from(child.id()).unwrap_or(0), Ordering::SeqCst);
    let done = work();
    CHILD.store(0, Ordering::SeqCst);
    done
}

/// Waits for a child. After a signal this program ends with it.
pub fn wait(mut child: Child) -> anyhow::Result<ExitStatus> {
    CHILD.store(i32::try_from(child.id()).unwrap_or(0), Ordering::SeqCst);
    let status = child.wait().context("cannot wait for a program");
    CHILD.store(0, Ordering::SeqCst);
    match CAME.load(Ordering::SeqCst) {
        0 => status,
        signal => low_level::exit(code(signal)),
    }
}

/// The exit code that shells give a program which a signal ended.
fn code(signal: i32) -> i32 {
    128 + signal
}

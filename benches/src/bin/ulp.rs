//! `etalon-ulp`: the largest error of each function over all arguments of f32.

use std::num::{NonZeroU64, NonZeroUsize};
use std::path::PathBuf;
use std::process::ExitCode;
use std::thread::available_parallelism;

use anyhow::Result;
use clap::Parser;
use etalon_benches::output::{self, Whole, line};
use etalon_benches::ulp::{Found, blocks, chosen, measure};
use etalon_benches::{exit, from_user, progress, ready};
use indicatif::ProgressBar;

/// Holds every function that kernels are made of against its exact value, at every argument of f32, on every level of
/// instructions, and asks for the same bits on all of them.
///
/// Prints the largest error in units in the last place beside its budget, and libtorch's. Exit code 1 if one is beyond
/// the budget, or two levels differ.
#[derive(Parser)]
#[command(name = "ulp")]
struct Arguments {
    /// One function and its derivative: exp, tanh, silu, …; by default all
    function: Option<String>,
    /// Every so many arguments, for a quick look
    #[arg(long, default_value = "1")]
    stride: NonZeroU64,
    /// Threads [default: the number of CPUs]
    #[arg(long)]
    threads: Option<NonZeroUsize>,
    /// Write one JSON object a line to this file
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

fn main() -> ExitCode {
    output::end(run(&Arguments::parse()))
}

fn run(arguments: &Arguments) -> Result<u8> {
    ready()?;
    #[cfg(feature = "libtorch")]
    etalon_reference::torch::set_threads(1);
    let subjects = chosen(arguments.function.as_deref())?;
    let stride = arguments.stride.get();
    let threads = arguments.threads.or(available_parallelism().ok()).map_or(1, NonZeroUsize::get);
    let mut json = arguments.json.as_ref().map(|path| Whole::create(&from_user(path))).transpose()?;
    let bar = progress(blocks(stride) * subjects.len() as u64, "ulp");
    let mut reading = line(format_args!(
        "{:12} {:18} {:>10} {:>13} {:>16} {:>11} {:>6} {:>12}",
        "function", "levels", "ulp", "at", "budget", "arguments", "share", "libtorch"
    ))?;
    let mut fine = true;
    for subject in &subjects {
        bar.set_message(subject.name.clone());
        let found = measure(subject, stride, threads, || bar.inc(1))?;
        fine &= found.is_fine();
        if let Some(json) = &mut json {
            json.line(&serde_json::to_string(&found)?)?;
        }
        reading = reading && print(&bar, &found)?;
        if !reading && json.is_none() {
            break;
        }
    }
    bar.finish_and_clear();
    json.map(Whole::finish).transpose()?;
    Ok(if fine { exit::FINE } else { exit::FAILURE })
}

/// One row, and what is wrong; `false` where nobody reads.
fn print(bar: &ProgressBar, found: &Found) -> Result<bool> {
    let theirs = found.libtorch.map_or("-".into(), |(ulps, _)| figure(ulps));
    let row = format!(
        "{:12} {:18} {:>10} {:>13} {:>16} {:>11} {:>6.2} {theirs:>12}",
        found.function,
        found.isa.join(" "),
        figure(found.ulps),
        format!("{:e}", found.at),
        found.budget,
        found.arguments,
        found.share,
    );
    let mut reading = bar.suspend(|| line(&row))?;
    if found.share > 1.0 {
        reading &= bar.suspend(|| {
            line(format_args!("FAILED: {} is beyond its budget at {:e}", found.function, found.share_at))
        })?;
    }
    if let Some(fault) = &found.fault {
        reading &= bar.suspend(|| line(format_args!("FAILED: {}: {fault}", found.function)))?;
    }
    Ok(reading)
}

/// Small errors to three digits behind the point, huge ones by their size.
fn figure(ulps: f64) -> String {
    if ulps < 1e4 { format!("{ulps:.3}") } else { format!("{ulps:.1e}") }
}

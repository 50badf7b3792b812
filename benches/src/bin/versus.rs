//! `etalon-versus`: our kernels and their peers in paired rounds.

use std::collections::BTreeSet;
use std::fmt::Display;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Result, bail};
use clap::Parser;
use etalon_benches::cache::{self, Asked};
use etalon_benches::output::{self, Whole};
use etalon_benches::profile::Profile;
use etalon_benches::row::{Run, prepare};
use etalon_benches::{environment, exit, from_user, peaks, peers, progress, ready, stats, suite, worker};
use etalon_kernels::pool::Pool;
use etalon_reference::record::{PeerTime, Record, Status, Time};
use etalon_reference::{Cache, Types};
use serde_json::{Value, json};

/// Times our kernels beside their peers in paired rounds; the ratio is peer / ours: above 1, ours is faster.
#[derive(Parser)]
#[command(name = "versus")]
struct Arguments {
    /// Part of `operator/workload/dtype`: gemm, gemm/square.512, batchnorm, /f64
    #[arg(default_value = "")]
    filter: String,
    /// Peers, separated by commas: libtorch, openblas, faer, gemm, matrixmultiply; by default all that have the operator
    #[arg(long, value_delimiter = ',')]
    peer: Option<Vec<String>>,
    /// How much time to take
    #[arg(long, value_enum, default_value = "standard")]
    profile: Profile,
    /// Numbers of threads, as in 1,2
    #[arg(long, default_value = "1")]
    threads: String,
    /// Only these types of the operands: f32, f64, u8s8s32, …
    #[arg(long)]
    dtype: Option<Types>,
    /// Only this kernel, instead of the default one
    #[arg(long)]
    kernel: Option<String>,
    /// A problem that is no workload, as in gemm:m=100,n=30,k=7
    #[arg(long)]
    point: Vec<String>,
    /// Where operands lie before each call: states, separated by commas
    #[arg(long, value_enum, default_value = "warm", value_delimiter = ',')]
    cache: Vec<Asked>,
    /// Write one JSON object a line to this file
    #[arg(long)]
    json: Option<PathBuf>,
}

fn main() -> ExitCode {
    worker::asked().unwrap_or_else(|| output::end(run(&Arguments::parse())))
}

/// Prints; `false` from the moment on when nobody reads.
struct Print(bool);

impl Print {
    fn line(&mut self, text: impl Display) -> Result<()> {
        self.0 = self.0 && output::line(text)?;
        Ok(())
    }
}

fn run(arguments: &Arguments) -> Result<u8> {
    ready()?;
    let named = arguments.peer.is_some();
    let mut peers: Vec<String> = arguments.peer.clone().unwrap_or_else(|| peers::NAMES.map(String::from).into());
    let mut seen = BTreeSet::new();
    peers.retain(|peer| seen.insert(peer.clone()));
    if let Some(unknown) = peers.iter().find(|peer| !peers::NAMES.contains(&peer.as_str())) {
        bail!("unknown peer `{unknown}`: expected {}", peers::NAMES.join(", "));
    }
    let subjects = suite::asked(&arguments.filter, &arguments.point, arguments.dtype, arguments.profile)?;
    let cases = suite::with_kernels(subjects, arguments.kernel.as_deref())?;
    let threads = suite::threads(Some(&arguments.threads))?;
    let mut json = arguments.json.as_ref().map(|path| Whole::create(&from_user(path))).transpose()?;
    let mut print = Print(true);
    let peaks = peaks::measure(&threads, arguments.profile.peak_budget(), |_| ());
    for peak in peaks.iter().filter(|p| p.kind == "fma" || p.kind == "read" || p.kind == "copy") {
        print.line(format_args!(
            "{:8} {:7} {:5} {:6} t{} {:8.1} {}",
            peak.kind, peak.isa, peak.dtype, peak.level, peak.threads, peak.value, peak.unit
        ))?;
    }
    let run = Run {
        id: "versus".into(),
        environment: environment::hex(b"")[..8].into(),
        profile: arguments.profile,
        peaks,
        peers: peers.clone(),
    };
    print.line(format_args!(
        "\n{:44} {:3} {:18} {:>11} {:>6}  peer / ours, 95 % interval",
        "problem", "t", "kernel", "time", "share"
    ))?;
    let bar = progress((cases.len() * threads.len()) as u64, "versus");
    let mut ratios: Vec<((String, Cache), f64)> = Vec::new();
    let (mut timed, mut failed, mut reasons) = (0, 0, Vec::new());
    let pools: Vec<Arc<Pool>> = threads.iter().map(|&t| Arc::new(Pool::new(t))).collect();
    for (subject, kernel) in &cases {
        bar.set_message(subject.path());
        let prepared = prepare(subject);
        for (pool, state) in pools
            .iter()
            .flat_map(|pool| cache::states(&arguments.cache, subject.cache).into_iter().map(move |state| (pool, state)))
        {
            let record = run.time(subject, &prepared, kernel, pool, state, (true, 1.0));
            bar.suspend(|| print.line(line(&subject.path(), &record)))?;
            if !print.0 && json.is_none() {
                return Ok(exit::FINE);
            }
            match record.status {
                Status::Ok => timed += 1,
                Status::Failed => failed += 1,
                _ => {}
            }
            if let Some(file) = json.as_mut() {
                rows(&record).iter().try_for_each(|row| file.line(row))?;
            }
            ratios.extend(record.peers.iter().map(|p| ((p.peer.clone(), state), p.ratio)));
            reasons.extend(record.reason);
        }
        bar.inc(1);
    }
    bar.finish_and_clear();
    json.map(Whole::finish).transpose()?;
    print.line("")?;
    for (state, peer) in Cache::ALL.iter().flat_map(|state| peers.iter().map(move |peer| (state, peer))) {
        let of: Vec<f64> =
            ratios.iter().filter(|((name, of), _)| name == peer && of == state).map(|(_, r)| *r).collect();
        if !of.is_empty() {
            let worst = of.iter().copied().fold(f64::INFINITY, f64::min);
            let (mean, cases, state) = (stats::geometric_mean(&of), of.len(), tag(state.name()));
            print.line(format_args!("{peer}{state}: geometric mean {mean:.2} over {cases} cases, worst {worst:.2}"))?;
        }
    }
    let alone: Vec<&str> = if named { absent(&peers, &ratios) } else { Vec::new() };
    for peer in &alone {
        let why = reasons.iter().find(|reason| reason.contains(*peer)).map(String::as_str).unwrap_or("no reason known");
        output::note(format_args!("no problem was timed beside `{peer}`: {why}"));
    }
    Ok(match (timed, failed) {
        (_, 1..) => exit::FAILURE,
        (0, _) => {
            output::note(format_args!("nothing was timed: {}", reasons.first().map_or("", String::as_str)));
            exit::USAGE
        }
        _ if !alone.is_empty() => exit::USAGE,
        _ => exit::FINE,
    })
}

/// The peers beside which nothing was timed.
fn absent<'a>(peers: &'a [String], ratios: &[((String, Cache), f64)]) -> Vec<&'a str> {
    peers.iter().filter(|peer| ratios.iter().all(|((name, _), _)| name != *peer)).map(String::as_str).collect()
}

/// A state other than the usual one.
fn tag(cache: &str) -> String {
    if cache == Cache::Warm.name() { String::new() } else { format!(" {cache}") }
}

/// One row a peer.
fn rows(record: &Record) -> Vec<Value> {
    let row = |time: &Time, peer: &PeerTime| {
        json!({
            "id": record.id, "op": record.op, "workload": record.workload, "dtype": record.dtype,
            "threads": record.threads, "cache": record.cache, "kernel": record.kernel, "ours_ns": time.median_ns,
            "peer": peer.peer, "way": peer.way, "peer_ns": peer.median_ns, "ratio": peer.ratio,
            "ratio_low": peer.ratio_low, "ratio_high": peer.ratio_high, "rounds": peer.rounds,
            "coverage": time.coverage, "few": time.few, "share_of_peak": record.work.share_of_peak,
        })
    };
    record.time.iter().flat_map(|time| record.peers.iter().map(move |peer| row(time, peer))).collect()
}

fn line(path: &str, record: &Record) -> String {
    let path = format!("{path}{}", tag(&record.cache));
    let Some(time) = &record.time else {
        return format!(
            "{path:44} t{:<2} {:18} {:?}: {}",
            record.threads,
            record.kernel,
            record.status,
            record.reason.as_deref().unwrap_or("")
        );
    };
    let peers: Vec<String> = (record.peers.iter())
        .map(|p| format!("{} {:.2} [{:.2}, {:.2}]", p.peer, p.ratio, p.ratio_low, p.ratio_high))
        .collect();
    let share = record.work.share_of_peak.map_or("".into(), |s| format!("{:.0} %", 100.0 * s));
    let mut note = record.reason.as_ref().map(|r| format!("  ({r})")).unwrap_or_default();
    if time.few {
        note += &format!("  few: {} rounds, interval of {:.1} %", time.n, 100.0 * time.coverage.unwrap_or(0.0));
    }
    format!(
        "{path:44} t{:<2} {:18} {:>11} {share:>6}  {}{note}",
        record.threads,
        record.kernel,
        duration(time.median_ns),
        peers.join("  ")
    )
}

fn duration(ns: f64) -> String {
    match ns {
        ..1e3 => format!("{ns:.0} ns"),
        1e3..1e6 => format!("{:.2} µs", ns / 1e3),
        1e6..1e9 => format!("{:.2} ms", ns / 1e6),
        _ => format!("{:.2} s", ns / 1e9),
    }
}

//! `etalon-versus`: our kernels and their peers in paired rounds.

use std::fs::File;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, Result};
use clap::Parser;
use etalon_benches::cache::{self, Asked};
use etalon_benches::profile::Profile;
use etalon_benches::row::{Run, prepare};
use etalon_benches::{environment, exit, peaks, peers, progress, ready, stats, suite, worker};
use etalon_kernels::pool::Pool;
use etalon_reference::record::{PeerTime, Record, Status, Time};
use etalon_reference::{Cache, DType};
use serde_json::{Value, json};

/// Times our kernels beside their peers in paired rounds; the ratio is peer / ours: above 1, ours is faster.
#[derive(Parser)]
#[command(name = "versus")]
struct Arguments {
    /// Part of `operator/workload/dtype`: gemm, gemm/square.512, batchnorm, /f64
    #[arg(default_value = "")]
    filter: String,
    /// Peers, separated by commas
    #[arg(long, default_value = "libtorch,openblas,faer,gemm,matrixmultiply", value_delimiter = ',')]
    peer: Vec<String>,
    /// How much time to take
    #[arg(long, value_enum, default_value = "standard")]
    profile: Profile,
    /// Numbers of threads, as in 1,2
    #[arg(long, default_value = "1")]
    threads: String,
    /// Only this element type
    #[arg(long)]
    dtype: Option<DType>,
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
    if let Some(code) = worker::asked() {
        return code;
    }
    match run(&Arguments::parse()) {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(exit::USAGE)
        }
    }
}

fn run(arguments: &Arguments) -> Result<u8> {
    ready()?;
    for peer in &arguments.peer {
        anyhow::ensure!(
            peers::NAMES.contains(&peer.as_str()),
            "unknown peer `{peer}`: expected {}",
            peers::NAMES.join(", ")
        );
    }
    let mut subjects = Vec::new();
    for point in &arguments.point {
        subjects.extend(suite::from_point(point, arguments.dtype)?);
    }
    if arguments.point.is_empty() {
        subjects = suite::subjects(&arguments.filter, arguments.dtype, arguments.profile)?;
    }
    let threads = suite::threads(Some(&arguments.threads))?;
    let mut json = arguments.json.as_ref().map(File::create).transpose().context("the JSON file")?;
    let peaks = peaks::measure(&threads, arguments.profile.peak_budget(), |_| ());
    for peak in peaks.iter().filter(|p| p.kind == "fma" || p.kind == "read" || p.kind == "copy") {
        println!(
            "{:8} {:7} {:5} {:6} t{} {:8.1} {}",
            peak.kind, peak.isa, peak.dtype, peak.level, peak.threads, peak.value, peak.unit
        );
    }
    let run = Run {
        id: "versus".into(),
        environment: environment::hex(b"")[..8].into(),
        profile: arguments.profile,
        peaks,
        peers: arguments.peer.clone(),
    };
    println!("\n{:44} {:3} {:18} {:>11} {:>6}  peer / ours, 95 % interval", "problem", "t", "kernel", "time", "share");
    let bar = progress((subjects.len() * threads.len()) as u64, "versus");
    let mut ratios: Vec<((String, Cache), f64)> = Vec::new();
    let (mut timed, mut failed) = (0, 0);
    let pools: Vec<Arc<Pool>> = threads.iter().map(|&t| Arc::new(Pool::new(t))).collect();
    for subject in &subjects {
        bar.set_message(subject.path());
        let prepared = prepare(subject);
        for pool in &pools {
            let named = |name: &String| subject.entry.kernel(name);
            let kernel = arguments.kernel.as_ref().map_or(subject.default_kernel(), named);
            let Some(kernel) = kernel else {
                bar.suspend(|| println!("{:44} no such kernel", subject.path()));
                continue;
            };
            for state in cache::states(&arguments.cache, subject.cache) {
                let record = run.time(subject, &prepared, kernel, pool, state, true);
                bar.suspend(|| println!("{}", line(&subject.path(), &record)));
                match record.status {
                    Status::Ok => timed += 1,
                    Status::Failed => failed += 1,
                    _ => {}
                }
                if let Some(file) = json.as_mut() {
                    for row in rows(&record) {
                        writeln!(file, "{row}").context("the JSON file")?;
                    }
                }
                ratios.extend(record.peers.iter().map(|p| ((p.peer.clone(), state), p.ratio)));
            }
            bar.inc(1);
        }
    }
    bar.finish_and_clear();
    println!();
    for (state, peer) in Cache::ALL.iter().flat_map(|state| arguments.peer.iter().map(move |peer| (state, peer))) {
        let of: Vec<f64> =
            ratios.iter().filter(|((name, of), _)| name == peer && of == state).map(|(_, r)| *r).collect();
        if !of.is_empty() {
            let worst = of.iter().copied().fold(f64::INFINITY, f64::min);
            let (mean, cases, state) = (stats::geometric_mean(&of), of.len(), tag(state.name()));
            println!("{peer}{state}: geometric mean {mean:.2} over {cases} cases, worst {worst:.2}");
        }
    }
    Ok(match (timed, failed) {
        (_, 1..) => exit::FAILURE,
        (0, _) => {
            eprintln!("nothing was timed: no workload contains `{}`", arguments.filter);
            exit::FAILURE
        }
        _ => exit::FINE,
    })
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

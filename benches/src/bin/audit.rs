//! `etalon-audit`: paired ratios beside those of processes that do nothing else.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Result, ensure};
use clap::Parser;
use etalon_benches::audit::{self, CASE_BAR, MEDIAN_BAR, Summary};
use etalon_benches::output::{self, Whole, line, note};
use etalon_benches::profile::Profile;
use etalon_benches::row::{Run, prepare};
use etalon_benches::{environment, exit, from_user, peers, progress, ready, suite, told, worker};
use etalon_kernels::pool::Pool;
use etalon_reference::record::{Audit, Status};
use etalon_reference::{Cache, Types};

/// Times ours and each peer alone, each in a process of its own, and puts that ratio beside the one of paired rounds.
///
/// Exit code 1 if the median disagreement is above 3 %, or one above 10 % has no reason.
#[derive(Parser)]
#[command(name = "audit")]
struct Arguments {
    /// Part of `operator/workload/dtype`: gemm, gemm/square.512, batchnorm, /f64
    #[arg(default_value = "")]
    filter: String,
    /// Peers, separated by commas: libtorch, openblas, faer, gemm, matrixmultiply
    #[arg(long, default_value = "libtorch", value_delimiter = ',')]
    peer: Vec<String>,
    /// Cases that a peer computes, spread over the operators; 0 for all
    #[arg(long, default_value_t = 40)]
    sample: usize,
    /// Seed of the sample
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Processes for each subject of a case, in turn
    #[arg(long, default_value_t = 3)]
    launches: usize,
    /// How much time the paired rounds take
    #[arg(long, value_enum, default_value = "standard")]
    profile: Profile,
    /// Number of threads
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
    /// Write one JSON object a line to this file; in the folder of a run, the report shows it
    #[arg(long)]
    json: Option<PathBuf>,
}

fn main() -> ExitCode {
    if let Some(code) = worker::asked() {
        return code;
    }
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    output::end(match &arguments[..] {
        [option, name, case] if option == audit::ALONE => alone(name, case),
        _ => run(&Arguments::parse()),
    })
}

fn alone(name: &str, case: &str) -> Result<u8> {
    ready()?;
    line(serde_json::to_string(&audit::alone(name, case)?)?)?;
    Ok(exit::FINE)
}

fn run(arguments: &Arguments) -> Result<u8> {
    ready()?;
    for peer in &arguments.peer {
        let known = peers::NAMES;
        ensure!(known.contains(&peer.as_str()), "unknown peer `{peer}`: expected {}", known.join(", "));
    }
    ensure!(arguments.launches > 0, "--launches 0 times nothing alone");
    let subjects = suite::asked(&arguments.filter, &arguments.point, arguments.dtype, arguments.profile)?;
    let cases = suite::with_kernels(subjects, arguments.kernel.as_deref())?;
    let cases = audit::shuffled(cases, |(subject, _)| subject, arguments.seed);
    let wanted = if arguments.sample == 0 { cases.len() } else { arguments.sample.min(cases.len()) };
    let threads = suite::threads(Some(&arguments.threads))?;
    let mut json = arguments.json.as_ref().map(|path| Whole::create(&from_user(path))).transpose()?;
    let run = Run {
        id: "audit".into(),
        environment: environment::hex(b"")[..8].into(),
        profile: arguments.profile,
        peaks: Vec::new(),
        peers: arguments.peer.clone(),
    };
    let pools: Vec<Arc<Pool>> = threads.iter().map(|&t| Arc::new(Pool::new(t))).collect();
    line(format_args!("{:48} {:3} {:34} {:>20} {:>20} {:>6}", "problem", "t", "peer", "paired", "alone", "off"))?;
    let bar = progress((wanted * pools.len()) as u64, "audit");
    let (mut rows, mut reasons, mut minutes, mut timed) = (Vec::new(), Vec::new(), 0, 0);
    let mut left = cases.iter();
    while timed < wanted {
        let Some((subject, kernel)) = left.next() else { break };
        bar.set_message(subject.path());
        let prepared = prepare(subject);
        let mut beside = false;
        for pool in &pools {
            let record = run.time(subject, &prepared, kernel, pool, Cache::Warm, (true, 1.0));
            reasons.extend(record.reason.clone());
            if record.status == Status::Failed {
                bar.suspend(|| {
                    note(format_args!("FAILED {}\nREPRO: cargo xtask parity '{}'", subject.path(), record.id))
                });
                return Ok(exit::FAILURE);
            }
            if record.peers.is_empty() {
                continue;
            }
            beside = true;
            bar.inc(1);
            let again = || run.time(subject, &prepared, kernel, pool, Cache::Warm, (true, 1.0));
            match audit::audit(&record, arguments.launches, again) {
                Ok(of_case) => {
                    for row in of_case {
                        bar.suspend(|| line(shown(&subject.path(), &row)))?;
                        if let Some(file) = json.as_mut() {
                            file.line(serde_json::to_string(&row)?)?;
                        }
                        rows.push(row);
                    }
                }
                Err(error) => bar.suspend(|| note(format_args!("{}: {error:#}", subject.path()))),
            }
            told(&bar, &mut minutes);
        }
        timed += usize::from(beside);
    }
    bar.finish_and_clear();
    json.map(Whole::finish).transpose()?;
    conclude(&rows, &arguments.peer, &reasons)
}

/// The last lines, and what they mean.
fn conclude(rows: &[Audit], peers: &[String], reasons: &[String]) -> Result<u8> {
    line("")?;
    for peer in peers {
        let of: Vec<Audit> = rows.iter().filter(|row| row.peer == *peer).cloned().collect();
        if let Some(summary) = Summary::of(&of) {
            let Summary { cases, median, largest, unexplained } = summary;
            let (median, largest) = (100.0 * median, 100.0 * largest);
            line(format_args!(
                "{peer}: {cases} cases, median disagreement {median:.1} %, largest {largest:.1} %, {unexplained} above {:.0} % without a reason",
                100.0 * CASE_BAR
            ))?;
        }
    }
    Ok(match Summary::of(rows) {
        None => {
            note(format_args!("nothing was timed beside a peer: {}", reasons.first().map_or("", String::as_str)));
            exit::USAGE
        }
        Some(summary) if summary.holds() => exit::FINE,
        Some(_) => {
            let (median, case) = (100.0 * MEDIAN_BAR, 100.0 * CASE_BAR);
            note(format_args!("the bar is a median of {median:.0} %, and none above {case:.0} % without a reason"));
            exit::FAILURE
        }
    })
}

fn shown(path: &str, row: &Audit) -> String {
    let peer = row.way.as_ref().map_or(row.peer.clone(), |way| format!("{} {way}", row.peer));
    let ratio = |value: f64, low: f64, high: f64| format!("{value:.2} [{low:.2}, {high:.2}]");
    let (paired, alone) =
        (ratio(row.paired, row.paired_low, row.paired_high), ratio(row.alone, row.alone_low, row.alone_high));
    let reason = row.reason.as_ref().map(|reason| format!("  ({reason})")).unwrap_or_default();
    let off = 100.0 * row.disagreement;
    format!("{path:48} t{:<2} {peer:34} {paired:>20} {alone:>20} {off:>4.1} %{reason}", row.threads)
}

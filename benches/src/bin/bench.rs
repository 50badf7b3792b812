//! `etalon-bench`: runs the suite and writes records.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use clap::Parser;
use etalon_benches::profile::Profile;
use etalon_benches::row::{Run, prepare};
use etalon_benches::suite::Subject;
use etalon_benches::{environment, exit, peaks, peers, progress, ready, suite, told, worker};
use etalon_kernels::pool::Pool;
use etalon_reference::DType;
use etalon_reference::record::Status;

/// Checks and times every operator × workload × dtype × kernel × threads, and writes one record a case.
#[derive(Parser)]
#[command(name = "bench")]
struct Arguments {
    /// Part of `operator/workload/dtype`: gemm, gemm/square.512, batchnorm, /f64
    #[arg(default_value = "")]
    filter: String,
    /// How much time to take: smoke under two minutes, standard under twenty, paper hours
    #[arg(long, value_enum, default_value = "standard")]
    profile: Profile,
    /// Numbers of threads, as in 1,2
    #[arg(long)]
    threads: Option<String>,
    /// Only this element type
    #[arg(long)]
    dtype: Option<DType>,
    /// Folder for the records
    #[arg(short, long)]
    output: Option<PathBuf>,
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
    let threads = suite::threads(arguments.threads.as_deref())?;
    let subjects = suite::subjects(&arguments.filter, arguments.dtype, arguments.profile)?;
    let home = Path::new("target").join("etalon");
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs());
    let id = format!("{}-{seconds}", arguments.profile.name());
    let folder = arguments.output.clone().unwrap_or_else(|| home.join(format!("run-{id}")));
    fs::create_dir_all(&folder).with_context(|| format!("the folder {}", folder.display()))?;

    eprintln!("measuring the limits of this machine");
    let measured = peaks::measure(&threads, arguments.profile.peak_budget(), |_| ());
    let command = std::env::args().skip(1).collect::<Vec<_>>().join(" ");
    let environment = environment::read(measured.clone(), format!("cargo xtask bench {command}").trim());
    let text = serde_json::to_string_pretty(&environment)?;
    fs::write(folder.join("environment.json"), &text).context("the environment")?;
    let run = Run {
        id,
        environment: environment::hex(text.as_bytes())[..16].into(),
        profile: arguments.profile,
        peaks: measured,
        peers: peers::NAMES.map(String::from).into(),
    };

    let mut file = BufWriter::new(File::create(folder.join("records.jsonl")).context("the records")?);
    let kernels = |subject: &Subject, threads| subject.kernels(arguments.profile, threads);
    let cases: usize = subjects.iter().flat_map(|s| threads.iter().map(|&t| kernels(s, t).len())).sum();
    let bar = progress(cases as u64, "bench");
    let pools: Vec<Arc<Pool>> = threads.iter().map(|&t| Arc::new(Pool::new(t))).collect();
    let (mut timed, mut failed, mut skipped, mut minutes) = (0, 0, 0, 0);
    for subject in subjects.iter().filter(|subject| threads.iter().any(|&t| !kernels(subject, t).is_empty())) {
        bar.set_message(subject.path());
        let prepared = prepare(subject);
        let default = subject.default_kernel().map(|k| k.name);
        for pool in &pools {
            for kernel in kernels(subject, pool.threads()) {
                let record = run.time(subject, &prepared, kernel, pool, default == Some(kernel.name));
                match record.status {
                    Status::Ok => timed += 1,
                    Status::Failed => {
                        failed += 1;
                        bar.suspend(|| {
                            eprintln!("FAILED {}", record.reason.as_deref().unwrap_or(""));
                            eprintln!("REPRO: cargo xtask parity '{}'", record.id);
                        });
                    }
                    Status::Skipped | Status::Mistrusted => skipped += 1,
                }
                serde_json::to_writer(&mut file, &record)?;
                file.write_all(b"\n").context("the records")?;
                bar.inc(1);
                told(&bar, &mut minutes);
            }
        }
        file.flush().context("the records")?;
    }
    bar.finish_and_clear();
    if arguments.output.is_none() {
        link(&home, &folder)?;
    }
    println!("{timed} cases timed, {skipped} skipped, {failed} failed");
    println!("records: {}", folder.join("records.jsonl").display());
    Ok(match (timed, failed) {
        (_, 1..) => exit::FAILURE,
        (0, _) => {
            eprintln!("nothing was timed: no workload contains `{}`", arguments.filter);
            exit::FAILURE
        }
        _ => exit::FINE,
    })
}

/// Makes `latest` point to the folder.
fn link(home: &Path, folder: &Path) -> Result<()> {
    let latest = home.join("latest");
    if latest.is_symlink() {
        fs::remove_file(&latest).context("the link `latest`")?;
    }
    let name = folder.file_name().context("the folder has a name")?;
    #[cfg(unix)]
    std::os::unix::fs::symlink(name, &latest).context("the link `latest`")?;
    Ok(())
}

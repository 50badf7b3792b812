//! `etalon-bench`: runs the suite and writes records.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Result, ensure};
use clap::Parser;
use etalon_benches::cache::{self, Asked};
use etalon_benches::output::{self, Whole, line, note};
use etalon_benches::profile::Profile;
use etalon_benches::purse::Purse;
use etalon_benches::records::Records;
use etalon_benches::row::{Run, prepare};
use etalon_benches::run_folder::RunFolder;
use etalon_benches::suite::Subject;
use etalon_benches::{
    choice, environment, exit, for_user, from_user, interrupt, peaks, peers, progress, ready, suite, told, worker,
};
use etalon_kernels::kernel::Kernel;
use etalon_kernels::pool::Pool;
use etalon_reference::record::Status;
use etalon_reference::{Cache, Types};

/// Checks and times every operator × workload × dtype × kernel × threads, and writes one record a case.
#[derive(Parser)]
#[command(name = "bench")]
struct Arguments {
    /// Part of `operator/workload/dtype`: gemm, gemm/square.512, batchnorm, /f64
    #[arg(default_value = "")]
    filter: String,
    /// How much time to take: smoke two to three minutes, standard half an hour or so on two cores, paper hours
    #[arg(long, value_enum, default_value = "standard")]
    profile: Profile,
    /// Numbers of threads, as in 1,2
    #[arg(long)]
    threads: Option<String>,
    /// Only these types of the operands: f32, f64, u8s8s32, …
    #[arg(long)]
    dtype: Option<Types>,
    /// Where operands lie before each call: states, separated by commas
    #[arg(long, value_enum, default_value = "warm", value_delimiter = ',')]
    cache: Vec<Asked>,
    /// Folder for the records
    #[arg(short, long, value_name = "DIR")]
    output: Option<PathBuf>,
}

fn main() -> ExitCode {
    worker::asked().unwrap_or_else(|| output::end(run(&Arguments::parse())))
}

/// What is going to be timed.
struct Plan {
    subjects: Vec<Subject>,
    threads: Vec<usize>,
    profile: Profile,
    cache: Vec<Asked>,
}

impl Plan {
    fn new(arguments: &Arguments) -> Result<Plan> {
        let profile = arguments.profile;
        if let Some(fewer) = environment::fewer_cpus() {
            note(format_args!("note: {fewer}"));
        }
        let threads = suite::threads(arguments.threads.as_deref())?;
        let subjects = suite::subjects(&arguments.filter, arguments.dtype, profile)?;
        ensure!(!subjects.is_empty(), choice::nothing(&arguments.filter, arguments.dtype, profile));
        let plan = Plan { subjects, threads, profile, cache: arguments.cache.clone() };
        ensure!(plan.cases() > 0, "no kernel for `{}` is worth timing on this CPU in this profile", arguments.filter);
        Ok(plan)
    }

    fn kernels(&self, subject: &Subject, threads: usize) -> Vec<&'static Kernel> {
        subject.kernels(self.profile, threads)
    }

    fn states(&self, subject: &Subject) -> Vec<Cache> {
        cache::states(&self.cache, subject.cache)
    }

    /// Those with peers: of the default kernels.
    fn paired(&self) -> usize {
        let of = |subject: &Subject| {
            let default = subject.default_kernel().map(|k| k.name);
            let asked = |&t: &usize| self.kernels(subject, t).iter().any(|k| default == Some(k.name));
            self.threads.iter().filter(|t| asked(t)).count() * self.states(subject).len()
        };
        self.subjects.iter().map(of).sum()
    }

    fn cases(&self) -> usize {
        let kernels = |subject| self.threads.iter().map(move |&t| self.kernels(subject, t).len()).sum::<usize>();
        let of = |subject| kernels(subject) * self.states(subject).len();
        self.subjects.iter().map(of).sum()
    }
}

fn run(arguments: &Arguments) -> Result<u8> {
    ready()?;
    let plan = Plan::new(arguments)?;
    let profile = plan.profile;
    let folder = match &arguments.output {
        Some(path) => RunFolder::named(&from_user(path), profile.name())?,
        None => RunFolder::create(&Path::new("target").join("etalon"), profile.name())?,
    };
    let records = Arc::new(Records::create(&folder.file("records.jsonl"))?);
    let bar = progress(plan.cases() as u64, "bench");
    let (kept, clear, of) = (records.clone(), bar.clone(), folder.clone());
    interrupt::end_with(move || interrupted(&kept, &clear, &of))?;
    let measured = measure(&plan, &folder, &records, &bar);
    bar.finish_and_clear();
    let tally = measured.inspect_err(|_| {
        if records.hold().count == 0 {
            folder.discard();
        }
    })?;
    if arguments.output.is_none() {
        folder.make_latest()?;
    }
    line(format_args!("{} cases timed, {} skipped, {} failed", tally.timed, tally.skipped, tally.failed))?;
    line(format_args!("records: {}", for_user(records.path()).display()))?;
    Ok(match (tally.timed, tally.failed) {
        (_, 1..) => exit::FAILURE,
        (0, _) => {
            note("nothing was timed: every case was skipped, each record says why");
            exit::FAILURE
        }
        _ => exit::FINE,
    })
}

/// Cases by what became of them.
#[derive(Default)]
struct Tally {
    timed: usize,
    skipped: usize,
    failed: usize,
}

/// Measures the limits, then every case.
fn measure(plan: &Plan, folder: &RunFolder, records: &Records, bar: &indicatif::ProgressBar) -> Result<Tally> {
    note("measuring the limits of this machine");
    let measured = peaks::measure(&plan.threads, plan.profile.peak_budget(), |_| ());
    let command = std::env::args().skip(1).collect::<Vec<_>>().join(" ");
    let environment = environment::read(measured.clone(), format!("cargo xtask bench {command}").trim());
    let text = serde_json::to_string_pretty(&environment)?;
    let mut file = Whole::create(&folder.file("environment.json"))?;
    file.line(&text)?;
    file.finish()?;
    let run = Run {
        id: folder.id.clone(),
        // As the file has it, with the end of its last line.
        environment: environment::hex(format!("{text}\n").as_bytes())[..16].into(),
        profile: plan.profile,
        peaks: measured,
        peers: peers::NAMES.map(String::from).into(),
    };
    let paired = plan.paired();
    let mut purse = Purse::new(plan.profile, plan.cases() - paired, paired);
    let pools: Vec<Arc<Pool>> = plan.threads.iter().map(|&t| Arc::new(Pool::new(t))).collect();
    let mut tally = Tally::default();
    let mut minutes = 0;
    let wanted = |subject: &&Subject| plan.threads.iter().any(|&t| !plan.kernels(subject, t).is_empty());
    bar.reset_elapsed();
    for subject in plan.subjects.iter().filter(wanted) {
        bar.set_message(subject.path());
        let prepared = prepare(subject);
        let default = subject.default_kernel().map(|k| k.name);
        for pool in &pools {
            let states = plan.states(subject);
            let kernels = plan.kernels(subject, pool.threads()).into_iter();
            for (kernel, state) in kernels.flat_map(|kernel| states.iter().map(move |state| (kernel, *state))) {
                let versus = default == Some(kernel.name);
                let record = run.time(subject, &prepared, kernel, pool, state, (versus, purse.next(versus)));
                match record.status {
                    Status::Ok => tally.timed += 1,
                    Status::Failed => {
                        tally.failed += 1;
                        bar.suspend(|| {
                            note(format_args!("FAILED {}", record.reason.as_deref().unwrap_or("")));
                            note(format_args!("REPRO: cargo xtask parity '{}'", record.id));
                        });
                    }
                    Status::Skipped | Status::Mistrusted => tally.skipped += 1,
                }
                records.add(&record)?;
                bar.inc(1);
                told(bar, &mut minutes);
            }
        }
    }
    records.finish()?;
    Ok(tally)
}

/// The last words: where the records are.
fn interrupted(records: &Records, bar: &indicatif::ProgressBar, folder: &RunFolder) {
    // Kept to the end, so that no half record follows.
    let held = records.hold();
    let (count, all) = (held.count, bar.length().unwrap_or(0));
    bar.finish_and_clear();
    if count == 0 {
        folder.discard();
        note("interrupted before the first record");
    } else {
        let path = for_user(&folder.path);
        note(format_args!("interrupted: {count} of {all} records are in {}", for_user(records.path()).display()));
        note(format_args!("`cargo xtask report {}` tells of them", path.display()));
    }
    std::mem::forget(held);
}

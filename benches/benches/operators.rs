//! `cargo bench`: absolute times of every operator × workload × dtype × kernel × threads, by criterion.
//!
//! Without the feature `libtorch` this needs nothing but Rust. Each case agrees with the reference on the very buffers that
//! are then timed. `ETALON_PROFILE=standard` adds the workloads that are not in the profile `smoke`.

use std::cell::{Cell, OnceCell};
use std::panic::{self, PanicHookInfo};
use std::process;
use std::sync::Arc;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, PlottingBackend, Throughput};
use etalon_benches::output::note;
use etalon_benches::profile::Profile;
use etalon_benches::row::prepare;
use etalon_benches::subject::{Ours, Subject, agree};
use etalon_benches::{exit, ready, suite};
use etalon_kernels::check::Prepared;
use etalon_kernels::kernel::Kernel;
use etalon_kernels::pool::Pool;
use etalon_reference::Workload;

/// Criterion cuts off the parts of an id here, and would take two cases for one.
const CUT: usize = 64;
const _: () = assert!(Kernel::LONGEST_NAME + "-bf16".len() < CUT && Workload::LONGEST_NAME + "-t65536".len() < CUT);

fn main() {
    panic::set_hook(Box::new(complain(panic::take_hook())));
    ready().unwrap_or_else(|error| end(exit::USAGE, &format!("{error:#}")));
    let profile = match std::env::var("ETALON_PROFILE").as_deref() {
        Ok("standard") => Profile::Standard,
        Ok("paper") => Profile::Paper,
        _ => Profile::Smoke,
    };
    let mut criterion = Criterion::default()
        .plotting_backend(PlottingBackend::Plotters)
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_millis(if profile == Profile::Paper { 5000 } else { 500 }))
        .sample_size(10)
        .configure_from_args();
    let subjects = suite::subjects("", None, profile).expect("the workloads are valid");
    let pools: Vec<Arc<Pool>> =
        suite::threads(None).expect("a list").into_iter().map(|t| Arc::new(Pool::new(t))).collect();
    let timed = Cell::new(false);
    for subject in &subjects {
        // Inputs and reference are made for the first case that criterion's filter lets through.
        let prepared = OnceCell::new();
        let mut group = criterion.benchmark_group(subject.entry.operator.name);
        group.throughput(Throughput::Elements(subject.problem.work(subject.types).operations as u64));
        for pool in &pools {
            for kernel in subject.kernels(profile, pool.threads()) {
                let function = format!("{}-{}", kernel.name, subject.types);
                let value = format!("{}-t{}", subject.workload, pool.threads());
                let mut ours = None;
                group.bench_function(BenchmarkId::new(function, value), |b| {
                    timed.set(true);
                    let prepared = prepared.get_or_init(|| prepare(subject));
                    let ours = ours.get_or_insert_with(|| agreed(kernel, prepared, pool));
                    b.iter(|| ours.call());
                });
            }
        }
        group.finish();
    }
    criterion.final_summary();
    let asked = |option: &str| std::env::args().any(|argument| argument == option);
    if !timed.get() && asked("--bench") && !asked("--list") {
        end(exit::USAGE, "no case matches; `cargo bench -- --list` prints all of them");
    }
}

/// The kernel on its buffers, after it agreed with the reference; else the end.
fn agreed<'a>(kernel: &'static Kernel, prepared: &'a Prepared, pool: &Arc<Pool>) -> Ours<'a> {
    let ours = Ours::new(kernel, prepared, pool.clone()).and_then(|mut ours| {
        agree(&mut ours, prepared)?;
        Ok(ours)
    });
    ours.unwrap_or_else(|complaint| {
        let case = prepared.case(kernel, pool.threads());
        end(exit::FAILURE, &format!("{complaint}\nREPRO: cargo xtask parity '{case}'"))
    })
}

fn end(code: u8, message: &str) -> ! {
    note(format_args!("error: {message}"));
    process::exit(code.into())
}

/// Criterion panics at a filter that is no expression, and at a baseline that is missing: that is told without a backtrace.
/// It also prints by `println!`, which panics in a closed pipe: that is the end, without a word.
fn complain(usual: Box<dyn Fn(&PanicHookInfo<'_>) + Sync + Send>) -> impl Fn(&PanicHookInfo<'_>) {
    move |info| {
        let message = info.payload_as_str().unwrap_or_default();
        if message.starts_with("failed printing to") && message.contains("Broken pipe") {
            process::exit(exit::FINE.into());
        }
        if info.location().is_some_and(|at| at.file().contains("/criterion-")) {
            end(exit::USAGE, message);
        }
        usual(info);
    }
}

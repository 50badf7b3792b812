//! `cargo bench`: absolute times of every operator × workload × dtype × kernel × threads, by criterion.
//!
//! Without the feature `libtorch` this needs nothing but Rust. Each case agrees with the reference on the very buffers that
//! are then timed. `ETALON_PROFILE=standard` adds the workloads that are not in the profile `smoke`.

use std::sync::Arc;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, PlottingBackend, Throughput};
use etalon_benches::profile::Profile;
use etalon_benches::row::prepare;
use etalon_benches::subject::{Ours, Subject, agree};
use etalon_benches::{ready, suite};
use etalon_kernels::pool::Pool;

fn main() {
    ready().unwrap_or_else(|error| panic!("{error:#}"));
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
    for subject in &subjects {
        let prepared = prepare(subject);
        let mut group = criterion.benchmark_group(subject.entry.operator.name());
        group.throughput(Throughput::Elements(subject.problem.work(subject.dtype).flops as u64));
        for pool in &pools {
            for kernel in subject.kernels(profile, pool.threads()) {
                let Ok(mut ours) = Ours::new(kernel, &prepared, pool.clone()) else { continue };
                if let Err(complaint) = agree(&mut ours, &prepared) {
                    panic!("{complaint}\nREPRO: cargo xtask parity '{}'", prepared.case(kernel, pool.threads()));
                }
                let function = format!("{}-{}", kernel.name, subject.dtype);
                let value = format!("{}-t{}", subject.workload, pool.threads());
                assert!(function.len() < 64 && value.len() < 64, "criterion truncates `{function}/{value}`");
                group.bench_function(BenchmarkId::new(function, value), |b| b.iter(|| ours.call()));
            }
        }
        group.finish();
    }
    criterion.final_summary();
}

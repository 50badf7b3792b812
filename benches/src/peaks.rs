//! The limits of this machine, measured: what results are a share of.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use etalon_kernels::aligned::AlignedVec;
use etalon_kernels::disjoint::chunks;
use etalon_kernels::isa::peaks;
use etalon_kernels::pool::Pool;
use etalon_reference::record::Peak;
use etalon_reference::{DType, Unit, Work};

use crate::environment::cache_sizes;

/// Distances, in f32, at which reading prefetches; the best counts.
const AHEAD: [usize; 4] = [0, 256, 512, 1024];
/// Bytes of the buffers that stand for memory, at least and at most: twice the last-level cache where that lies between.
const MEMORY_BYTES: (usize, usize) = (256 << 20, 1 << 30);
/// Bytes that a window of a bandwidth moves at least.
const WINDOW_BYTES: usize = 16 << 20;

/// Every limit, on one thread and on `threads`.
pub fn measure(threads: &[usize], budget: Duration, mut progress: impl FnMut(&str)) -> Vec<Peak> {
    let mut all = Vec::new();
    for &threads in threads {
        let pool = Pool::new(threads);
        for unit in peaks::loops() {
            progress(&format!("{} {} {} t{threads}", unit.kind, unit.isa, unit.dtype));
            let iterations = 20_000;
            let rate = fastest(budget, || pool.run(threads, |_, _| (unit.run)(iterations)))
                .map_or(0.0, |time| (unit.operations * iterations * threads as u64) as f64 / time);
            all.push(peak(
                unit.kind,
                unit.isa,
                unit.dtype,
                "",
                threads,
                rate,
                if unit.dtype == "i8" { "GOP/s" } else { "GF/s" },
            ));
        }
        for (level, bytes) in levels() {
            progress(&format!("bandwidth {level} t{threads}"));
            all.extend(bandwidth(&pool, level, bytes, budget));
        }
        progress(&format!("fork and join t{threads}"));
        if threads > 1 {
            let calls = 100;
            let time = fastest(budget, || (0..calls).for_each(|_| meet(&pool)));
            all.push(peak("fork-join", "", "", "", threads, time.unwrap_or(0.0) / f64::from(calls), "ns"));
        }
    }
    all
}

/// A fork and a join of all threads: each waits until the others have come, so that the caller can't do their tasks.
fn meet(pool: &Pool) {
    let arrived = AtomicUsize::new(0);
    pool.run(pool.threads(), |_, _| {
        arrived.fetch_add(1, Ordering::AcqRel);
        while arrived.load(Ordering::Acquire) < pool.threads() {
            std::hint::spin_loop();
        }
    });
}

fn peak(kind: &str, isa: &str, dtype: &str, level: &str, threads: usize, value: f64, unit: &str) -> Peak {
    let text = str::to_owned;
    Peak { kind: text(kind), isa: text(isa), dtype: text(dtype), level: text(level), threads, value, unit: text(unit) }
}

/// The shortest of as many windows as the budget holds, in nanoseconds. A limit is what the machine can do, so that windows
/// in which something else ran do not count.
fn fastest(budget: Duration, mut body: impl FnMut()) -> Option<f64> {
    body();
    let start = Instant::now();
    let mut best = None;
    while best.is_none() || start.elapsed() < budget {
        let window = Instant::now();
        body();
        let time = window.elapsed().as_nanos() as f64;
        best = Some(best.map_or(time, |b: f64| b.min(time)));
    }
    best
}

/// Cache levels with the bytes of a buffer that lies in each.
fn levels() -> Vec<(&'static str, usize)> {
    let caches = cache_sizes();
    let mut all = Vec::new();
    for (name, level) in [("L1", 1), ("L2", 2), ("L3", 3)] {
        if let Some(&(_, bytes)) = caches.iter().find(|(l, _)| *l == level) {
            // Half of a level holds two buffers and some of everything else; of a huge last level a part is enough.
            all.push((name, (bytes / 2).min(24 << 20)));
        }
    }
    let last = caches.iter().map(|(_, bytes)| *bytes).max().unwrap_or(0);
    all.push(("memory", (2 * last).clamp(MEMORY_BYTES.0, MEMORY_BYTES.1)));
    all
}

/// Read, write and copy rates of one level, by the best of several strategies.
fn bandwidth(pool: &Pool, level: &'static str, bytes: usize, budget: Duration) -> Vec<Peak> {
    let threads = pool.threads();
    let len = (bytes / 4 / threads).next_multiple_of(64);
    let mut x: AlignedVec<f32> = AlignedVec::zeroed(len * threads);
    x.fill(1.0);
    // Several passes between a fork and its join: the loops alone are measured.
    let passes = (WINDOW_BYTES / bytes).max(1);
    let best = |strategies: &[usize], touched: usize, body: &mut dyn FnMut(usize)| {
        let budget = budget / strategies.len() as u32;
        let times = strategies.iter().filter_map(|&strategy| fastest(budget, || body(strategy)));
        times.map(|time| (touched * passes) as f64 / time).fold(0.0, f64::max)
    };
    let read = best(&AHEAD, len * threads * 4, &mut |ahead| {
        let x = &x;
        pool.run(threads, |task, _| (0..passes).for_each(|_| peaks::read(&x[task * len..(task + 1) * len], ahead)));
    });
    let write = best(&[0, 1], len * threads * 4, &mut |stream| {
        chunks(pool, &mut x, len, |_, part| (0..passes).for_each(|_| peaks::write(part, stream == 1)));
    });
    let half = (len / 2).next_multiple_of(64).max(64);
    let source: AlignedVec<f32> = AlignedVec::from_slice(&vec![1.0; half * threads]);
    let copy = best(&[0, 1], 2 * half * threads * 4, &mut |stream| {
        chunks(pool, &mut x[..half * threads], half, |start, part| {
            (0..passes).for_each(|_| peaks::copy(&source[start..start + part.len()], part, stream == 1));
        });
    });
    [("read", read), ("write", write), ("copy", copy)]
        .map(|(kind, value)| peak(kind, "", "", level, threads, value, "GB/s"))
        .into()
}

/// The least time, in nanoseconds, that the limits allow for some work, and which limit it is.
pub struct Limit {
    /// Nanoseconds.
    pub time_ns: f64,
    /// `compute` or `memory`.
    pub bound: &'static str,
}

/// The roofline: the larger of operations over the arithmetic peak of `isa` and bytes over the bandwidth of the level that
/// holds them. Operations without a peak of their own leave the bytes as the limit. `None` where the peak was not measured.
pub fn limit(all: &[Peak], work: &Work, accumulator: DType, isa: &str, threads: usize) -> Option<Limit> {
    let find = |kind: &str, isa: &str, dtype: &str, level: &str| {
        all.iter()
            .find(|p| p.kind == kind && p.isa == isa && p.dtype == dtype && p.level == level && p.threads == threads)
            .map(|p| p.value)
    };
    let rate = match work.unit {
        Unit::Fma => Some(find("fma", isa, accumulator.name(), "")?),
        // The best that the level has, whatever the kernel uses of it.
        Unit::DotBf16 => Some(find("dpbf16", isa, "bf16", "").or_else(|| find("fma", isa, "f32", ""))?),
        Unit::DotBytes => Some(find("vnni", isa, "i8", "").or_else(|| find("maddwd", isa, "i8", ""))?),
        Unit::Integer | Unit::Transcendental => None,
    };
    let caches = cache_sizes();
    let capacity = |level: u32| caches.iter().find(|(l, _)| *l == level).map_or(0, |(_, bytes)| *bytes) as f64;
    // Private caches add up over threads.
    let scale = threads as f64;
    let level = if work.bytes() <= capacity(1) * scale {
        "L1"
    } else if work.bytes() <= capacity(2) * scale {
        "L2"
    } else if work.bytes() <= capacity(3) / 4.0 {
        "L3"
    } else {
        "memory"
    };
    // Outputs are written, but reading is most of what operators with few operations do; the faster of both is the limit.
    let bandwidth = ["read", "copy"].iter().filter_map(|kind| find(kind, "", "", level)).fold(0.0, f64::max);
    let compute = rate.map_or(0.0, |rate| work.operations / rate);
    let memory = if bandwidth > 0.0 { work.bytes() / bandwidth } else { 0.0 };
    Some(if compute >= memory {
        Limit { time_ns: compute, bound: "compute" }
    } else {
        Limit { time_ns: memory, bound: "memory" }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fma(operations: f64, bytes: f64) -> Work {
        Work { operations, unit: Unit::Fma, read: bytes, written: 0.0 }
    }

    #[test]
    fn the_nearer_limit_binds() {
        let all = vec![
            peak("fma", "avx2", "f32", "", 1, 100.0, "GF/s"),
            peak("read", "", "", "memory", 1, 10.0, "GB/s"),
            peak("read", "", "", "L1", 1, 100.0, "GB/s"),
            peak("read", "", "", "L2", 1, 50.0, "GB/s"),
            peak("read", "", "", "L3", 1, 20.0, "GB/s"),
        ];
        let dense = limit(&all, &fma(1e9, 1e3), DType::F32, "avx2", 1).expect("a limit");
        assert_eq!((dense.bound, dense.time_ns), ("compute", 1e7));
        let thin = limit(&all, &fma(1.0, 1e12), DType::F32, "avx2", 1).expect("a limit");
        assert_eq!((thin.bound, thin.time_ns), ("memory", 1e11));
        assert!(limit(&all, &fma(1.0, 1.0), DType::F64, "avx2", 1).is_none());
    }

    #[test]
    fn dot_products_of_bytes_have_the_best_rate_of_the_level() {
        let dot = Work { unit: Unit::DotBytes, ..fma(1e9, 1.0) };
        let time = |all: &[Peak]| limit(all, &dot, DType::I32, "avx512", 1).map(|limit| limit.time_ns);
        let mut all = vec![peak("fma", "avx512", "f32", "", 1, 100.0, "GF/s")];
        assert_eq!(time(&all), None);
        all.push(peak("maddwd", "avx512", "i8", "", 1, 200.0, "GOP/s"));
        assert_eq!(time(&all), Some(5e6));
        all.push(peak("vnni", "avx512", "i8", "", 1, 400.0, "GOP/s"));
        assert_eq!(time(&all), Some(2.5e6));
    }
}

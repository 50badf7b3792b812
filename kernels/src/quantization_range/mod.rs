//! [`quantization_range`](etalon_reference::ops::quantization_range): scales and zero points from data. x of f32, f16 or
//! bf16, rows×cols; scales of f32 and zero points of u8 or s8, one for all, per row or per group of neighbours.
//!
//! ```text
//! min–max:      one pass; what is not finite counts as 0, which every range holds
//! percentiles:  x as integers of the same order, what is not finite above all others;
//!               halve the interval that holds both ends, by counting what lies below its middle (at most 32 passes)
//! ```
//! Counting needs no memory but the integers, and no branch depends on the data. A group's integers lie in the memory of
//! its thread. Of a whole tensor, tasks count their parts.
//!
//! One source for all instruction sets. Ends are elements of x, and what follows is computed in f64 as the definition
//! says, so that all levels and any number of threads give equal bits. Error: none. Errors: a level that the CPU lacks.
//!
//! Workspace: for percentiles, an i32 per element of a group and thread, or of the tensor; 32 bytes per task of a tensor.

mod select;

use etalon_reference::operator::downcast;
use etalon_reference::ops::quantization_range::{QuantizationRange, TYPES};
use etalon_reference::ops::quantize::Per;
use etalon_reference::{DType, Domain, Threshold};
use half::{bf16, f16};

use crate::call::{Call, elements};
use crate::disjoint::{chunks, parts};
use crate::faults::fault;
use crate::isa::Isa;
use crate::isa::narrow::{Convert, Job, Narrow, enter, with_converters};
use crate::isa::wide::LANES;
use crate::kernel::{Kernel, KernelError};
use crate::pool::Pool;
use crate::quantize::Byte;
use crate::quantize::walk::of_row;
use crate::workspace::Workspace;
use select::{Bisection, Count, Keys, value_of};

/// Elements of a task, about.
const TASK: usize = 16 * 1024;
const THRESHOLDS: &[Threshold] = &[
    Threshold::axis("cols", LANES as i64),
    Threshold::axis("group", LANES as i64),
    Threshold::bytes("x", size_of::<f32>() * TASK),
];
/// Percentiles of many tasks, and of groups.
const PATHS: &[Domain] = &[
    Domain {
        name: "percentiles of a tensor",
        fixed: &[("per", &[0]), ("rows", &[3]), ("cols", &[9000]), ("cut", &[1, 2500])],
    },
    Domain {
        name: "percentiles of groups",
        fixed: &[("per", &[1, 2]), ("group", &[100, 128]), ("cols", &[257]), ("cut", &[100, 400, 2500])],
    },
];

/// The kernels, weakest first.
pub static KERNELS: &[Kernel] = &[
    Kernel::new("scalar", Isa::Scalar, TYPES, |call| run(call, Isa::Scalar)),
    #[cfg(target_arch = "x86_64")]
    Kernel::new("avx2", Isa::Avx2, TYPES, |call| run(call, Isa::Avx2)).with_thresholds(THRESHOLDS).with_paths(PATHS),
    #[cfg(target_arch = "x86_64")]
    Kernel::new("avx512", Isa::Avx512, TYPES, |call| run(call, Isa::Avx512))
        .with_thresholds(THRESHOLDS)
        .with_paths(PATHS),
];

struct All<'a, X, Q> {
    p: &'a QuantizationRange,
    x: &'a [X],
    scale: &'a mut [f32],
    zero: &'a mut [Q],
    pool: &'a Pool,
    workspace: &'a mut Workspace,
}

impl<X: Narrow, Q: Byte> Job for All<'_, X, Q> {
    type Output = ();
    fn run<L: Convert>(self, l: L) {
        let All { p, x, scale, zero, pool, workspace } = self;
        match p.scheme.per {
            Per::Tensor => {
                let ends =
                    if p.cut == 0 { ends_of_all(l, x, pool, workspace) } else { kept_of_all(l, p, x, pool, workspace) };
                (scale[0], zero[0]) = finished(p, ends);
            }
            _ => {
                let len = of_row(&p.scheme).min(p.scheme.cols);
                let each = (TASK / len.max(1)).max(1);
                let keys = workspace.slice::<i32>(if p.cut == 0 { 0 } else { len * pool.threads() });
                parts(pool, (scale, each), (zero, each), keys, |task, scale, zero, keys| {
                    enter(l, Groups { p, x, len, first: task * each, scale, zero, keys });
                });
            }
        }
    }
}

/// Some neighbouring groups.
struct Groups<'a, X, Q> {
    p: &'a QuantizationRange,
    x: &'a [X],
    len: usize,
    first: usize,
    scale: &'a mut [f32],
    zero: &'a mut [Q],
    keys: &'a mut [i32],
}

impl<X: Narrow, Q: Byte> Job for Groups<'_, X, Q> {
    type Output = ();
    #[inline(always)]
    fn run<L: Convert>(self, l: L) {
        let Groups { p, x, len, first, scale, zero, keys } = self;
        let (cols, of_row) = (p.scheme.cols, p.scheme.scales_of_row());
        let of_group = |group: usize| {
            let (row, start) = (group / of_row, group % of_row * len);
            &x[row * cols..][start..cols.min(start + len)]
        };
        if p.cut > 0 {
            for (i, (scale, zero)) in scale.iter_mut().zip(zero).enumerate() {
                (*scale, *zero) = finished(p, kept(l, p, of_group(first + i), keys));
            }
            return;
        }
        let (whole, last) = scale.as_chunks_mut::<LANES>();
        let (zeros, last_zeros) = zero.as_chunks_mut::<LANES>();
        let behind = first + whole.len() * LANES;
        for (batch, (scale, zero)) in whole.iter_mut().zip(zeros).enumerate() {
            // Sixteen groups, so that their ends are found and finished side by side.
            let (mut low, mut high) = ([[0f32; LANES]; LANES], [[0f32; LANES]; LANES]);
            for i in 0..LANES {
                (low[i], high[i]) = lanes(l, of_group(first + batch * LANES + i));
            }
            let (low, high) = (furthest::<L, false>(l, &low), furthest::<L, true>(l, &high));
            for i in 0..LANES {
                (scale[i], zero[i]) = finished(p, [low[i], high[i]]);
            }
        }
        for (i, (scale, zero)) in last.iter_mut().zip(last_zeros).enumerate() {
            (*scale, *zero) = finished(p, Ends { x: of_group(behind + i) }.run(l));
        }
    }
}

/// The least of each line, or the largest.
#[inline(always)]
fn furthest<L: Convert, const LARGEST: bool>(l: L, lines: &[[f32; LANES]; LANES]) -> [f32; LANES] {
    let mut vectors = [l.splat(0.0); LANES];
    for (vector, line) in vectors.iter_mut().zip(lines) {
        *vector = l.load(line);
    }
    let columns = l.transpose(vectors);
    let mut furthest = columns[0];
    for &column in &columns[1..] {
        let further = if LARGEST { l.beats(column, furthest) } else { l.beats(furthest, column) };
        furthest = l.pick(further, column, furthest);
    }
    let mut out = [0.0; LANES];
    l.store(furthest, &mut out);
    out
}

/// The least and the largest finite element, or 0 if it is beyond.
struct Ends<'a, X> {
    x: &'a [X],
}

impl<X: Narrow> Job for Ends<'_, X> {
    type Output = [f32; 2];
    #[inline(always)]
    fn run<L: Convert>(self, l: L) -> [f32; 2] {
        let (mut low, mut high) = lanes(l, self.x);
        let mut width = LANES / 2;
        while width > 0 {
            for i in 0..width {
                low[i] = if low[i + width] < low[i] { low[i + width] } else { low[i] };
                high[i] = if high[i + width] > high[i] { high[i + width] } else { high[i] };
            }
            width /= 2;
        }
        [low[0], high[0]]
    }
}

/// The ends of every sixteenth element, lane by lane.
#[inline(always)]
fn lanes<L: Convert, X: Narrow>(l: L, x: &[X]) -> ([f32; LANES], [f32; LANES]) {
    let (whole, rest) = x.as_chunks::<LANES>();
    let (mut low, mut high) = ([0f32; LANES], [0f32; LANES]);
    for x in whole {
        extend(l, x, &mut low, &mut high);
    }
    if !rest.is_empty() && !fault!("quantization_range.last-of-group") {
        let mut last = [X::default(); LANES];
        last[..rest.len()].copy_from_slice(rest);
        extend(l, &last, &mut low, &mut high);
    }
    (low, high)
}

#[inline(always)]
fn extend<L: Convert, X: Narrow>(l: L, x: &[X; LANES], low: &mut [f32; LANES], high: &mut [f32; LANES]) {
    let mut lanes = [0f32; LANES];
    l.store(X::widen(l, x), &mut lanes);
    for (x, (low, high)) in lanes.into_iter().zip(low.iter_mut().zip(high)) {
        let x = if x.abs() <= f32::MAX { x } else { 0.0 };
        *low = if x < *low { x } else { *low };
        *high = if x > *high { x } else { *high };
    }
}

/// The ends of a group behind what they leave out.
#[inline(always)]
fn kept<L: Convert, X: Narrow>(l: L, p: &QuantizationRange, x: &[X], keys: &mut [i32]) -> [f32; 2] {
    let keys = &mut keys[..x.len()];
    let found = Keys { x, magnitudes: p.symmetric, keys: &mut *keys }.run(l);
    if found.count == 0 {
        return [0.0; 2];
    }
    let m = if fault!("quantization_range.infinite-counts") { x.len() as u64 } else { found.count };
    let mut ends = Bisection::new([found.low, found.high], ranks(p, m));
    while let Some(pivots) = ends.pivots() {
        ends.narrow(Count { keys, pivots }.run(l));
    }
    ends.keys().map(value_of)
}

/// The places of both ends in the sorted list of `m` elements, which are not none.
fn ranks(p: &QuantizationRange, m: u64) -> [u64; 2] {
    let out = p.left_out(m as usize) as u64;
    [if p.symmetric { m - 1 - out } else { out }, m - 1 - out]
}

/// The ends of a tensor: numbers of each task, then of all.
fn ends_of_all<L: Convert, X: Narrow>(l: L, x: &[X], pool: &Pool, workspace: &mut Workspace) -> [f32; 2] {
    let ends = workspace.slice::<f32>(2 * x.len().div_ceil(TASK));
    chunks(pool, ends, 2, |start, ends| {
        ends.copy_from_slice(&enter(l, Ends { x: task_of(x, start / 2) }));
    });
    ends.chunks_exact(2).fold([0.0; 2], |[low, high]: [f32; 2], ends| [low.min(ends[0]), high.max(ends[1])])
}

/// The ends of a tensor behind what they leave out.
fn kept_of_all<L: Convert, X: Narrow>(
    l: L,
    p: &QuantizationRange,
    x: &[X],
    pool: &Pool,
    workspace: &mut Workspace,
) -> [f32; 2] {
    /// Numbers of a task.
    const EACH: usize = 3;
    let ([keys], [of_tasks]) = workspace.slices2::<i32, i64, 1, 1>([x.len()], [EACH * x.len().div_ceil(TASK)]);
    parts(pool, (&mut *keys, TASK), (&mut *of_tasks, EACH), &mut [(); 0], |task, keys, found, _| {
        let of = enter(l, Keys { x: task_of(x, task), magnitudes: p.symmetric, keys });
        found.copy_from_slice(&[of.count as i64, of.low.into(), of.high.into()]);
    });
    let keys = &*keys;
    let tasks = || of_tasks.chunks_exact(EACH);
    let m: u64 = tasks().map(|found| found[0] as u64).sum();
    if m == 0 {
        return [0.0; 2];
    }
    let low = tasks().map(|found| found[1] as i32).min().unwrap_or_default();
    let high = tasks().map(|found| found[2] as i32).max().unwrap_or_default();
    let mut ends = Bisection::new([low, high], ranks(p, m));
    while let Some(pivots) = ends.pivots() {
        chunks(pool, of_tasks, EACH, |start, found| {
            let keys = task_of(keys, start / EACH);
            let lost = fault!("quantization_range.second-task") && start > 0;
            let counts = enter(l, Count { keys: if lost { &[] } else { keys }, pivots });
            found[..2].copy_from_slice(&counts.map(|count| count as i64));
        });
        let sum = |i: usize| of_tasks.chunks_exact(EACH).map(|found| found[i] as u64).sum();
        ends.narrow([sum(0), sum(1)]);
    }
    ends.keys().map(value_of)
}

/// The elements of a task.
fn task_of<T>(x: &[T], task: usize) -> &[T] {
    &x[task * TASK..x.len().min((task + 1) * TASK)]
}

/// 1.5·2⁵²: what is added to it and lies between −2⁵¹ and 2⁵¹ is rounded to an integer, ties to even, in its lowest bits.
const MAGIC: f64 = 6_755_399_441_055_744.0;

/// Scale and zero point of a range that ends there, or at 0.
#[inline(always)]
fn finished<Q: Byte>(p: &QuantizationRange, [low, high]: [f32; 2]) -> (f32, Q) {
    let (low, high) = (f64::from(if low < 0.0 { low } else { 0.0 }), f64::from(if high > 0.0 { high } else { 0.0 }));
    let (most, width) = (if high > -low { high } else { -low }, high - low);
    let (scale, above) =
        if p.symmetric { (most / 127.0, 0) } else { (width / 255.0, (255.0 * -low / width + MAGIC).to_bits() as u32) };
    let none = scale < f64::from(f32::MIN_POSITIVE);
    let zero = (p.zero_of_zero() as i32 as u32).wrapping_add(if none { 0 } else { above });
    (if none { 1.0 } else { scale as f32 }, Q::low(zero))
}

fn run(call: &mut Call<'_>, isa: Isa) -> Result<(), KernelError> {
    let p: &QuantizationRange = downcast(call.problem());
    match (call.types().element, p.signed) {
        (DType::F16, true) => typed::<f16, i8>(call, isa),
        (DType::F16, false) => typed::<f16, u8>(call, isa),
        (DType::Bf16, true) => typed::<bf16, i8>(call, isa),
        (DType::Bf16, false) => typed::<bf16, u8>(call, isa),
        (_, true) => typed::<f32, i8>(call, isa),
        (_, false) => typed::<f32, u8>(call, isa),
    }
}

fn typed<X: Narrow, Q: Byte>(call: &mut Call<'_>, isa: Isa) -> Result<(), KernelError> {
    let (p, x, pool) = (downcast(call.problem()), call.input::<X>(0), call.pool());
    let ([scale, zero], workspace) = call.outputs();
    let all = All { p, x, scale: elements(scale), zero: elements::<Q>(zero), pool, workspace };
    with_converters(isa, all).map_err(KernelError::Isa)
}

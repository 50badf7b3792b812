//! [`clip_norm`](etalon_reference::ops::clip_norm): a gradient scaled down to a norm. f32 and f64; n elements, and one.
//!
//! ```text
//! for chunks of 4096, a task each:  four vectors of sums of squares; added, lanes by halves
//! norm = √ of the chunks' sums, in order;  factor = min(1, max/(norm + 10⁻⁶))
//! for chunks, a task each:          y = g·factor
//! ```
//! One source for all levels, whose vectors have equally many lanes: the same bits on each, for any number of threads.
//!
//! Error: the problem's tolerance. NaN and ∞ follow the formula. Errors: a level that the CPU lacks.
//! Workspace: a sum per chunk.

use etalon_reference::Threshold;
use etalon_reference::operator::downcast;
use etalon_reference::ops::clip_norm::{CHUNK, ClipNorm};

use crate::call::{Call, elements};
use crate::disjoint::chunks;
use crate::faults::fault;
use crate::gemm::{FLOATS, Float, with_float};
use crate::isa::Isa;
use crate::isa::wide::{Wide, Work, with_lanes};
use crate::kernel::{Kernel, KernelError};
use crate::pool::Pool;

/// Vectors of sums side by side.
const SUMS: usize = 4;
/// Chunks of a task: with one task, there is nothing to share.
const TASK: usize = 4;

const THRESHOLDS: &[Threshold] =
    &[Threshold::axis("n", 64), Threshold::axis("n", CHUNK as i64), Threshold::axis("n", (TASK * CHUNK) as i64)];

/// The kernels, weakest first.
pub static KERNELS: &[Kernel] = &[
    Kernel::new("scalar", Isa::Scalar, FLOATS, |call| run(call, Isa::Scalar)),
    Kernel::new("avx2", Isa::Avx2, FLOATS, |call| run(call, Isa::Avx2)).with_thresholds(THRESHOLDS),
    Kernel::new("avx512", Isa::Avx512, FLOATS, |call| run(call, Isa::Avx512)).with_thresholds(THRESHOLDS),
];

/// The sum of the squares of a chunk.
struct Squares<'a, T>(&'a [T]);

impl<T: Float> Work<T> for Squares<'_, T> {
    type Output = T;

    #[inline(always)]
    fn run<L: Wide<T>>(self, l: L) -> T {
        let mut sums = [l.splat(T::default()); SUMS];
        let (vectors, rest) = T::chunks(self.0);
        let blocks = vectors.chunks_exact(SUMS);
        let behind = blocks.remainder();
        for block in blocks {
            for (sum, x) in sums.iter_mut().zip(block) {
                let x = l.load(x);
                *sum = l.fma(x, x, *sum);
            }
        }
        for (sum, x) in sums.iter_mut().zip(behind) {
            let x = l.load(x);
            *sum = l.fma(x, x, *sum);
        }
        if !rest.is_empty() && !fault!("clip_norm.rest-lost") {
            let x = l.load_first(rest);
            let sum = &mut sums[behind.len()];
            *sum = l.fma(x, x, *sum);
        }
        l.sum(l.add(l.add(sums[0], sums[1]), l.add(sums[2], sums[3])))
    }
}

/// Elements times a factor.
struct Scale<'a, T> {
    from: &'a [T],
    to: &'a mut [T],
    factor: T,
}

impl<T: Float> Work<T> for Scale<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<L: Wide<T>>(self, l: L) {
        let Scale { from, to, factor } = self;
        let factor = l.splat(factor);
        let ((from, from_rest), (to, to_rest)) = (T::chunks(from), T::chunks_mut(to));
        for (from, to) in from.iter().zip(to) {
            l.store(l.mul(l.load(from), factor), to);
        }
        if !to_rest.is_empty() {
            l.store_first(l.mul(l.load_first(from_rest), factor), to_rest);
        }
    }
}

/// All of it, on the lanes of a level.
struct Clip<'a, T> {
    problem: &'a ClipNorm,
    g: &'a [T],
    y: &'a mut [T],
    norm: &'a mut [T],
    sums: &'a mut [T],
    pool: &'a Pool,
}

impl<T: Float> Work<T> for Clip<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<L: Wide<T>>(self, l: L) {
        let Clip { problem, g, y, norm, sums, pool } = self;
        chunks(pool, sums, TASK, |first, sums| {
            for (index, sum) in sums.iter_mut().enumerate() {
                let start = (first + index) * CHUNK;
                *sum = l.enter(Squares(&g[start..g.len().min(start + CHUNK)]));
            }
        });
        let known = if fault!("clip_norm.four-chunks") { sums.len().min(TASK) } else { sums.len() };
        let mut total = T::default();
        for &sum in &sums[..known] {
            total = total + sum;
        }
        // The root of an f32 in f64, rounded again, is the nearest f32.
        norm[0] = T::from_f64(total.to_f64().sqrt());
        let factor = T::from_f64(problem.factor(norm[0].to_f64()));
        chunks(pool, y, TASK * CHUNK, |start, to| {
            l.enter(Scale { from: &g[start..start + to.len()], to, factor });
        });
    }
}

fn run(call: &mut Call<'_>, isa: Isa) -> Result<(), KernelError> {
    with_float!(call.types(), T => typed::<T>(call, isa))
}

fn typed<T: Float>(call: &mut Call<'_>, isa: Isa) -> Result<(), KernelError> {
    let g = call.input::<T>(0);
    let (problem, pool) = (downcast(call.problem()), call.pool());
    let ([y, norm], workspace) = call.outputs();
    let (y, norm) = (elements(y), elements(norm));
    let sums = workspace.slice(g.len().div_ceil(CHUNK));
    with_lanes(isa, Clip { problem, g, y, norm, sums, pool }).map_err(KernelError::Isa)
}

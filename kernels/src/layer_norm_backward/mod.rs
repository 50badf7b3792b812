//! [`layer_norm_backward`](etalon_reference::ops::layer_norm_backward): the gradients of [`layer_norm`](crate::layer_norm).
//! f32 and f64; dy, x and dx n×c.
//!
//! ```text
//! a task: 64 rows
//!   for each row:  Σa, Σa·x̂;  dx;  dγ and dβ of these rows += dy·x̂, dy
//! dγ, dβ = the sums of the tasks, in order
//! ```
//! One source for all levels: the same bits on each, for any number of threads.
//!
//! Error: the problem's tolerance. NaN and ∞ follow the formula. Errors: a level that the CPU lacks.
//! Workspace: 2·c elements for each 64 rows.

use etalon_reference::Threshold;
use etalon_reference::operator::downcast;
use etalon_reference::ops::layer_norm::{LayerNorm, Of};
use etalon_reference::ops::layer_norm_backward::{CHAIN, LayerNormBackward};

use crate::call::{Call, elements};
use crate::disjoint::parts;
use crate::faults::fault;
use crate::gemm::{FLOATS, with_float};
use crate::isa::Isa;
use crate::kernel::{Kernel, KernelError};
use crate::layer_norm::rows::{Summed, sum};
use crate::math::{Beside, Calculation, Numeric};
use crate::softmax::lines::usable;

const THRESHOLDS: &[Threshold] =
    &[Threshold::axis("n", CHAIN as i64), Threshold::axis("c", 16), Threshold::axis("c", 64)];

/// The kernels, weakest first.
pub static KERNELS: &[Kernel] = &[
    Kernel::new("scalar", Isa::Scalar, FLOATS, |call| run(call, Isa::Scalar)),
    Kernel::new("avx2", Isa::Avx2, FLOATS, |call| run(call, Isa::Avx2)).with_thresholds(THRESHOLDS),
    Kernel::new("avx512", Isa::Avx512, FLOATS, |call| run(call, Isa::Avx512)).with_thresholds(THRESHOLDS),
];

fn run(call: &mut Call<'_>, isa: Isa) -> Result<(), KernelError> {
    with_float!(call.types(), T => typed::<T>(call, isa))
}

fn typed<T: Numeric>(call: &mut Call<'_>, isa: Isa) -> Result<(), KernelError> {
    let [dy, x, gain, means, factors] = [0, 1, 2, 3, 4].map(|i| call.input::<T>(i));
    let (p, pool) = (&downcast::<LayerNormBackward>(call.problem()).norm, call.pool());
    let (outputs, workspace) = call.outputs();
    let [dx, of_gain, of_bias] = outputs.map(elements::<T>);
    usable::<T>(isa)?;
    let (part, columns) = (CHAIN * p.columns, p.columns);
    let sums = workspace.slice::<T>(2 * columns * p.rows.div_ceil(CHAIN));
    sums.fill(T::default());
    parts(pool, (dx, part), (&mut *sums, 2 * columns), &mut [(); 0], |task, dx, sums, _| {
        let (start, rows) = (task * part, task * CHAIN);
        let (dy, x) = (&dy[start..start + dx.len()], &x[start..start + dx.len()]);
        let factors = &factors[rows..rows + dx.len() / columns];
        let means = if means.is_empty() { means } else { &means[rows..rows + factors.len()] };
        let (of_gain, of_bias) = sums.split_at_mut(columns);
        let work = Rows { p, dy, x, gain, means, factors, dx, of_gain, of_bias };
        T::calculate(isa, work).expect("the CPU has the instructions");
    });
    of_gain.fill(T::default());
    of_bias.fill(T::default());
    let known = if fault!("layer_norm_backward.second-chain") { 2 * columns } else { sums.len() };
    for sums in sums[..known.min(sums.len())].chunks_exact(2 * columns) {
        of_gain.iter_mut().zip(sums).for_each(|(sum, &more)| *sum = *sum + more);
        of_bias.iter_mut().zip(&sums[columns..]).for_each(|(sum, &more)| *sum = *sum + more);
    }
    Ok(())
}

/// Some rows. Means are empty where they are 0.
struct Rows<'a, T> {
    p: &'a LayerNorm,
    dy: &'a [T],
    x: &'a [T],
    gain: &'a [T],
    means: &'a [T],
    factors: &'a [T],
    dx: &'a mut [T],
    of_gain: &'a mut [T],
    of_bias: &'a mut [T],
}

/// A row: dy, x, γ, μ and r.
#[derive(Clone, Copy)]
struct Row<'a, T, V> {
    dy: &'a [T],
    x: &'a [T],
    gain: &'a [T],
    mean: V,
    factor: V,
}

impl<T: Numeric, V: Copy> Row<'_, T, V> {
    /// x̂.
    #[inline(always)]
    fn scaled<N: Beside<T, V = V>>(&self, n: N, at: usize) -> V {
        n.mul(n.sub(n.load_at(self.x, at), self.mean), self.factor)
    }

    /// dy·γ.
    #[inline(always)]
    fn a<N: Beside<T, V = V>>(&self, n: N, at: usize) -> V {
        let dy = n.load_at(self.dy, at);
        if self.gain.is_empty() { dy } else { n.mul(dy, n.load_at(self.gain, at)) }
    }
}

/// Σ dy·γ.
impl<T: Numeric, N: Beside<T>> Summed<T, N> for Row<'_, T, N::V> {
    #[inline(always)]
    fn add(&self, n: N, sum: N::V, at: usize, _: usize) -> N::V {
        n.add(sum, self.a(n, at))
    }
}

/// Σ dy·γ·x̂.
struct Products<'a, T, V>(Row<'a, T, V>);

impl<T: Numeric, N: Beside<T>> Summed<T, N> for Products<'_, T, N::V> {
    #[inline(always)]
    fn add(&self, n: N, sum: N::V, at: usize, len: usize) -> N::V {
        let scaled = self.0.scaled(n, at);
        // Behind the last element a is 0; x̂ is not, and may be no number.
        let scaled = if len == N::WIDTH { scaled } else { n.first(scaled, len) };
        n.fma(self.0.a(n, at), scaled, sum)
    }
}

impl<T: Numeric> Calculation<T> for Rows<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<N: Beside<T>>(self, n: N) {
        let Rows { p, dy, x, gain, means, factors, dx, of_gain, of_bias } = self;
        let c = p.columns;
        let rows = dy.chunks_exact(c).zip(x.chunks_exact(c)).zip(dx.chunks_exact_mut(c));
        for (row, ((dy, x), dx)) in rows.enumerate() {
            let mean = n.splat(means.get(row).copied().unwrap_or_default());
            let factor = n.splat(factors[row]);
            let of = Row { dy, x, gain, mean, factor };
            let count = c as f64;
            let of_row = |whole: T| n.splat(T::from_f64(whole.to_f64() / count));
            let first = match p.of {
                Of::Rms if !fault!("layer_norm_backward.mean-of-rms") => n.constant(0.0),
                Of::Layer | Of::Rms => of_row(sum(n, c, &of)),
            };
            let second = of_row(sum(n, c, &Products(of)));
            for at in (0..c).step_by(N::WIDTH) {
                let (scaled, a) = (of.scaled(n, at), of.a(n, at));
                let bracket = n.sub(n.sub(a, first), n.mul(scaled, second));
                n.store_at(n.mul(factor, bracket), dx, at);
                if !gain.is_empty() {
                    let dy = n.load_at(dy, at);
                    let so_far = n.load_at(of_gain, at);
                    n.store_at(n.fma(dy, scaled, so_far), of_gain, at);
                    let so_far = n.load_at(of_bias, at);
                    n.store_at(n.add(so_far, dy), of_bias, at);
                }
            }
        }
    }
}

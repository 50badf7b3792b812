//! [`rotary`](etalon_reference::ops::rotary) and its gradient, which turns the other way. f32 and f64; x and y N×S×H×D.
//!
//! Rows are tasks. Halves of a head are vectors that lie D/2 apart; of neighbours, the compiler makes vectors. One source
//! for all levels: the same bits on each, for any number of threads.
//!
//! Error: the problem's tolerance. NaN and ∞ follow the formula. Errors: a level that the CPU lacks. Workspace: none.

use etalon_reference::Threshold;
use etalon_reference::operator::downcast;
use etalon_reference::ops::rotary::Rotary;

use crate::call::{Call, elements};
use crate::disjoint::parts;
use crate::faults::fault;
use crate::gemm::{FLOATS, Float, with_float};
use crate::isa::Isa;
use crate::isa::wide::{Wide, Work, with_lanes};
use crate::kernel::{Kernel, KernelError};
use crate::pool::Pool;
use crate::softmax::lines::TASK;

pub(crate) const THRESHOLDS: &[Threshold] = &[Threshold::axis("d", 16), Threshold::bytes("cos", 4 * TASK)];

/// The kernels, weakest first.
pub static KERNELS: &[Kernel] = &[
    Kernel::new("scalar", Isa::Scalar, FLOATS, |call| run(call, Isa::Scalar)),
    Kernel::new("avx2", Isa::Avx2, FLOATS, |call| run(call, Isa::Avx2)).with_thresholds(THRESHOLDS),
    Kernel::new("avx512", Isa::Avx512, FLOATS, |call| run(call, Isa::Avx512)).with_thresholds(THRESHOLDS),
];

pub(crate) fn run(call: &mut Call<'_>, isa: Isa) -> Result<(), KernelError> {
    with_float!(call.types(), T => typed::<T>(call, isa))
}

fn typed<T: Float>(call: &mut Call<'_>, isa: Isa) -> Result<(), KernelError> {
    let [x, cos, sin] = [0, 1, 2].map(|i| call.input::<T>(i));
    let (p, pool) = (downcast(call.problem()), call.pool());
    let ([y], _) = call.outputs();
    with_lanes(isa, All { p, x, cos, sin, y: elements(y), pool }).map_err(KernelError::Isa)
}

/// All rows.
struct All<'a, T> {
    p: &'a Rotary,
    x: &'a [T],
    cos: &'a [T],
    sin: &'a [T],
    y: &'a mut [T],
    pool: &'a Pool,
}

impl<T: Float> Work<T> for All<'_, T> {
    type Output = ();

    fn run<L: Wide<T>>(self, l: L) {
        let All { p, x, cos, sin, y, pool } = self;
        let row = p.heads * 2 * p.pairs;
        if y.is_empty() {
            return;
        }
        let rows = (TASK / row).max(1);
        parts(pool, (y, rows * row), (&mut [(); 0], 1), &mut [(); 0], |task, y, _, _| {
            let first = task * rows;
            l.enter(Rows { p, first, x: &x[first * row..][..y.len()], cos, sin, y });
        });
    }
}

/// Some rows, of all sequences one after the other.
struct Rows<'a, T> {
    p: &'a Rotary,
    first: usize,
    x: &'a [T],
    cos: &'a [T],
    sin: &'a [T],
    y: &'a mut [T],
}

impl<T: Float> Work<T> for Rows<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<L: Wide<T>>(self, l: L) {
        let Rows { p, first, x, cos, sin, y } = self;
        let (head, row) = (2 * p.pairs, p.heads * 2 * p.pairs);
        for (index, (x, y)) in x.chunks_exact(row).zip(y.chunks_exact_mut(row)).enumerate() {
            let s = if fault!("rotary.second-sequence") { first + index } else { (first + index) % p.rows };
            let s = s.min(p.rows - 1);
            let [cos, sin] = [cos, sin].map(|of| &of[s * p.pairs..][..p.pairs]);
            for (x, y) in x.chunks_exact(head).zip(y.chunks_exact_mut(head)) {
                match (p.neighbours, p.back) {
                    (true, false) => neighbours::<T, false>(x, cos, sin, y),
                    (true, true) if fault!("rotary_backward.neighbours-forward") => {
                        neighbours::<T, false>(x, cos, sin, y);
                    }
                    (true, true) => neighbours::<T, true>(x, cos, sin, y),
                    (false, back) => {
                        halves(l, x, cos, sin, y, back && !fault!("rotary_backward.halves-forward"));
                    }
                }
            }
        }
    }
}

/// A head whose pairs are D/2 apart.
#[inline(always)]
fn halves<T: Float, L: Wide<T>>(l: L, x: &[T], cos: &[T], sin: &[T], y: &mut [T], back: bool) {
    let pairs = cos.len();
    let (x1, x2) = x.split_at(pairs);
    let (y1, y2) = y.split_at_mut(pairs);
    let zero = l.splat(T::default());
    let load = |from: &[T]| T::first(from).map_or_else(|| l.load_first(from), |from| l.load(from));
    let store = |x, to: &mut [T]| match T::first_mut(to) {
        Some(to) => l.store(x, to),
        None => l.store_first(x, to),
    };
    for j in (0..pairs).step_by(T::LANES) {
        let end = pairs.min(j + T::LANES);
        let end = if fault!("rotary.rest-of-halves") && end < j + T::LANES { j } else { end };
        let (a, b) = (load(&x1[j..end]), load(&x2[j..end]));
        let (cos, sin) = (load(&cos[j..end]), load(&sin[j..end]));
        let turned = l.sub(zero, sin);
        let (of_first, of_second) = if back { (sin, turned) } else { (turned, sin) };
        store(l.fma(b, of_first, l.mul(a, cos)), &mut y1[j..end]);
        store(l.fma(a, of_second, l.mul(b, cos)), &mut y2[j..end]);
    }
}

/// A head whose pairs are neighbours.
#[inline(always)]
fn neighbours<T: Float, const BACK: bool>(x: &[T], cos: &[T], sin: &[T], y: &mut [T]) {
    let minus = T::from_f64(-1.0);
    for (((x, y), &cos), &sin) in x.chunks_exact(2).zip(y.chunks_exact_mut(2)).zip(cos).zip(sin) {
        let turned = minus * sin;
        let (of_first, of_second) = if BACK { (sin, turned) } else { (turned, sin) };
        (y[0], y[1]) = (x[1].mul_add(of_first, x[0] * cos), x[0].mul_add(of_second, x[1] * cos));
    }
}

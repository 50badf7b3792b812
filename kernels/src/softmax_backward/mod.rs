//! [`softmax_backward`](etalon_reference::ops::softmax_backward): the gradient of [`softmax`](crate::softmax) and of
//! log-softmax. f32 and f64; all operands n×c×s.
//!
//! Where the dimension is the last one, a line lies in one piece; elsewhere lines lie side by side in vectors. One pass adds,
//! one computes. Tasks are lines, or planes of n.
//!
//! One source for all levels: the same bits on each, for any number of threads.
//!
//! Error: the problem's tolerance. NaN and ∞ follow the formula. Errors: a level that the CPU lacks. Workspace: none.

use etalon_reference::Threshold;
use etalon_reference::operator::downcast;
use etalon_reference::ops::softmax::{Of, Softmax};
use etalon_reference::ops::softmax_backward::SoftmaxBackward;

use crate::call::{Call, elements};
use crate::disjoint::chunks;
use crate::faults::fault;
use crate::gemm::{FLOATS, with_float};
use crate::isa::Isa;
use crate::kernel::{Kernel, KernelError};
use crate::math::{Beside, Calculation, Numeric};
use crate::softmax::lines::{TASK, parts, usable};

const THRESHOLDS: &[Threshold] =
    &[Threshold::axis("c", 16), Threshold::axis("s", 16), Threshold::bytes("dy", 4 * TASK)];

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
    let (dy, y) = (call.input::<T>(0), call.input::<T>(1));
    let (p, pool) = (&downcast::<SoftmaxBackward>(call.problem()).forward, call.pool());
    let ([dx], _) = call.outputs();
    usable::<T>(isa)?;
    let (part, plane) = parts(&p.extents);
    chunks(pool, elements::<T>(dx), part, |start, dx| {
        let (dy, y) = (&dy[start..start + dx.len()], &y[start..start + dx.len()]);
        T::calculate(isa, Gradient { p, dy, y, dx, plane }).expect("the CPU has the instructions");
    });
    Ok(())
}

/// The gradients of some planes c×s.
struct Gradient<'a, T> {
    p: &'a Softmax,
    dy: &'a [T],
    y: &'a [T],
    dx: &'a mut [T],
    plane: usize,
}

impl<T: Numeric> Calculation<T> for Gradient<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<N: Beside<T>>(self, n: N) {
        let Gradient { p, dy, y, dx, plane } = self;
        let planes = dy.chunks_exact(plane).zip(y.chunks_exact(plane)).zip(dx.chunks_exact_mut(plane));
        for ((dy, y), dx) in planes {
            if p.extents.s == 1 {
                row(n, p, dy, y, dx);
            } else {
                for column in (0..p.extents.s).step_by(N::WIDTH) {
                    columns(n, p, dy, y, dx, column);
                }
            }
        }
    }
}

/// What is added up.
#[inline(always)]
fn added<T: Numeric, N: Beside<T>>(n: N, p: &Softmax, sum: N::V, dy: N::V, y: N::V) -> N::V {
    if p.of == Of::Softmax { n.fma(dy, y, sum) } else { n.add(sum, dy) }
}

/// dx of the sum.
#[inline(always)]
fn slope<T: Numeric, N: Beside<T>>(n: N, p: &Softmax, sum: N::V, dy: N::V, y: N::V) -> N::V {
    let by_x = if p.of == Of::Softmax { n.mul(y, n.sub(dy, sum)) } else { n.sub(dy, n.mul(n.exp(y), sum)) };
    n.mul(by_x, n.constant(if fault!("softmax_backward.temperature") { 1.0 } else { p.inverse }))
}

#[inline(always)]
fn row<T: Numeric, N: Beside<T>>(n: N, p: &Softmax, dy: &[T], y: &[T], dx: &mut [T]) {
    let mut sum = n.constant(0.0);
    for (dy, y) in dy.chunks(N::WIDTH).zip(y.chunks(N::WIDTH)) {
        sum = added(n, p, sum, n.load_at(dy, 0), n.load_at(y, 0));
    }
    let sum = n.splat(n.sum(sum));
    for ((dy, y), dx) in dy.chunks(N::WIDTH).zip(y.chunks(N::WIDTH)).zip(dx.chunks_mut(N::WIDTH)) {
        n.store_at(slope(n, p, sum, n.load_at(dy, 0), n.load_at(y, 0)), dx, 0);
    }
}

#[inline(always)]
fn columns<T: Numeric, N: Beside<T>>(n: N, p: &Softmax, dy: &[T], y: &[T], dx: &mut [T], column: usize) {
    let s = p.extents.s;
    let mut sum = n.constant(0.0);
    let last = if fault!("softmax_backward.last-line") { p.extents.c.saturating_sub(1) } else { p.extents.c };
    for (dy, y) in dy.chunks_exact(s).zip(y.chunks_exact(s)).take(last) {
        sum = added(n, p, sum, n.load_at(dy, column), n.load_at(y, column));
    }
    for ((dy, y), dx) in dy.chunks_exact(s).zip(y.chunks_exact(s)).zip(dx.chunks_exact_mut(s)) {
        n.store_at(slope(n, p, sum, n.load_at(dy, column), n.load_at(y, column)), dx, column);
    }
}

//! [`avg_pool2d`](etalon_reference::ops::avg_pool2d): the mean of the elements under a window that moves over each
//! plane. f32 and f64; images are n×c×h×w in NCHW or NHWC order, without gaps.
//!
//! ```text
//! for each output:  sum = 0; for each column under its window:  sum += the sum of the column
//!                   y = sum/d
//! ```
//! NCHW adds the rows under a row of outputs to one line, and then the columns of the line, for a vector of outputs at
//! a time (`planes`). NHWC adds vectors of channels (`pixels`). Where the one window is the whole image, no window is
//! looked for (`global`).
//!
//! Divisors that are powers of two are multiplied with: the bits are those of quotients. One source for all levels: the
//! same bits on each, for any number of threads.
//!
//! Error: the problem's tolerance. NaN and ∞ follow the formula. Errors: a level that the CPU lacks. Workspace: by
//! planes, a line for each thread, and the divisors of a row.

mod global;
mod pixels;
mod planes;

use std::marker::PhantomData;

use etalon_reference::Threshold;
use etalon_reference::operator::downcast;
use etalon_reference::ops::avg_pool2d::AvgPool2d;
use etalon_reference::ops::images::ImageLayout;

use crate::call::{Call, elements};
use crate::gemm::{FLOATS, Float, with_float};
use crate::isa::Isa;
use crate::isa::arrays;
use crate::isa::wide::{Wide, Work, with_lanes};
use crate::kernel::{Kernel, KernelError};
use crate::pool::Pool;
use crate::workspace::Workspace;

/// Elements of a task, about.
pub(crate) const TASK: usize = 16 * 1024;
/// Outputs of a row, and channels, side by side.
const THRESHOLDS: &[Threshold] = &[
    Threshold::axis("w", 16),
    Threshold::axis("w", 32),
    Threshold::axis("c", 16),
    Threshold::axis("c", 64),
    Threshold::bytes("x", 4 * TASK),
];

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
    let (problem, pool, x) = (downcast(call.problem()), call.pool(), call.input(0));
    let ([y], workspace) = call.outputs();
    let operands: Operands<'_, T> = Operands { x, y: elements(y) };
    average(isa, problem, operands, pool, workspace)
}

/// The operands.
pub(crate) struct Operands<'a, T> {
    /// Images.
    pub x: &'a [T],
    /// Means.
    pub y: &'a mut [T],
}

/// The means.
///
/// # Errors
/// If the CPU lacks the level.
pub(crate) fn average<T: Float>(
    isa: Isa,
    problem: &AvgPool2d,
    operands: Operands<'_, T>,
    pool: &Pool,
    workspace: &mut Workspace,
) -> Result<(), KernelError> {
    if problem.divides_exactly() {
        added::<T, Inverse>(isa, problem, operands, pool, workspace)
    } else {
        added::<T, Quotient>(isa, problem, operands, pool, workspace)
    }
}

/// What becomes of the sums under the windows.
///
/// # Errors
/// If the CPU lacks the level.
pub(crate) fn added<T: Float, D: Form<T>>(
    isa: Isa,
    problem: &AvgPool2d,
    operands: Operands<'_, T>,
    pool: &Pool,
    workspace: &mut Workspace,
) -> Result<(), KernelError> {
    let step = Step::<T, D> { problem, operands, pool, workspace, form: PhantomData };
    with_lanes::<T, _>(isa, step).map_err(KernelError::Isa)
}

struct Step<'a, T, D> {
    problem: &'a AvgPool2d,
    operands: Operands<'a, T>,
    pool: &'a Pool,
    workspace: &'a mut Workspace,
    form: PhantomData<D>,
}

impl<T: Float, D: Form<T>> Work<T> for Step<'_, T, D> {
    type Output = ();

    #[inline(always)]
    fn run<L: Wide<T>>(self, l: L) {
        let Step { problem: p, operands, pool, workspace, .. } = self;
        match (p.is_global(), p.x.layout) {
            (true, ImageLayout::Nchw) => global::planes::<L, T, D>(l, p, operands, pool),
            (true, ImageLayout::Nhwc) => global::pixels::<L, T, D>(l, p, operands, pool),
            (false, ImageLayout::Nchw) => planes::pool::<L, T, D>(l, p, operands, pool, workspace),
            (false, ImageLayout::Nhwc) => pixels::pool::<L, T, D>(l, p, operands, pool),
        }
    }
}

/// What is added, and what becomes of the sum.
pub(crate) trait Form<T: Float> {
    /// What stands for a divisor. That of a product is the product of theirs.
    fn of(divisor: usize) -> T;
    /// What elements add.
    #[inline(always)]
    fn term<L: Wide<T>>(_: L, x: L::F) -> L::F {
        x
    }
    /// What becomes of sums, given their divisors.
    fn finish<L: Wide<T>>(l: L, sum: L::F, by: L::F) -> L::F;
}

/// By numbers of any kind.
pub(crate) struct Quotient;

impl<T: Float> Form<T> for Quotient {
    #[inline(always)]
    fn of(divisor: usize) -> T {
        T::from_f64(divisor as f64)
    }
    #[inline(always)]
    fn finish<L: Wide<T>>(l: L, sum: L::F, by: L::F) -> L::F {
        l.div(sum, by)
    }
}

/// By powers of two: their inverses are exact, and so are products with them.
pub(crate) struct Inverse;

impl<T: Float> Form<T> for Inverse {
    #[inline(always)]
    fn of(divisor: usize) -> T {
        T::from_f64(1.0 / divisor as f64)
    }
    #[inline(always)]
    fn finish<L: Wide<T>>(l: L, sum: L::F, by: L::F) -> L::F {
        l.mul(sum, by)
    }
}

/// To memory from `at` on, as far as it goes: what is behind the elements that are wanted is written afterwards.
#[inline(always)]
pub(crate) fn spill<T: Float, L: Wide<T>>(l: L, x: L::F, to: &mut [T], at: usize) {
    let to = &mut to[at..];
    match T::first_mut(to) {
        Some(lanes) => l.store(x, lanes),
        None => l.store_first(x, to),
    }
}

/// `N` vectors from memory. Of one vector, lanes behind its end are 0.
///
/// # Panics
/// If there are fewer of several.
#[inline(always)]
pub(crate) fn load<T: Float, L: Wide<T>, const N: usize>(l: L, from: &[T]) -> [L::F; N] {
    if N == 1 && from.len() < T::LANES {
        return [l.load_first(from); N];
    }
    let from = &from[..N * T::LANES];
    arrays::from_fn(|vector| l.load(T::first(&from[vector * T::LANES..]).expect("a vector")))
}

/// What `N` vectors of elements add: see [`load`].
#[inline(always)]
pub(crate) fn terms<T: Float, L: Wide<T>, D: Form<T>, const N: usize>(l: L, from: &[T]) -> [L::F; N] {
    let mut all = load::<T, L, N>(l, from);
    for x in &mut all {
        *x = D::term(l, *x);
    }
    all
}

/// Adds vectors to others.
#[inline(always)]
pub(crate) fn add_to<T: Float, L: Wide<T>, const N: usize>(l: L, sums: &mut [L::F; N], more: [L::F; N]) {
    for (sum, more) in sums.iter_mut().zip(more) {
        *sum = l.add(*sum, more);
    }
}

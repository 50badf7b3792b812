//! [`avg_pool2d_backward`](etalon_reference::ops::avg_pool2d_backward): each output's gradient, divided, goes to what
//! lies under its window. f32 and f64; images in NCHW or NHWC order, without gaps.
//!
//! Each element of dx is the sum over the windows above it: nothing is scattered. NCHW adds the rows of dy to one line,
//! and then its columns, for a vector of elements at a time (`planes`); rows under the same windows are copies. NHWC
//! adds vectors of channels (`pixels`). Under a window that is the whole image all pixels are alike (`global`).
//!
//! One source for all levels: the same bits on each, for any number of threads.
//!
//! Error: the problem's tolerance. NaN and ∞ follow the formula. Errors: a level that the CPU lacks. Workspace: 1/d of
//! each output of a plane; by planes, the windows over each column, and two lines for each thread.

mod global;
mod pixels;
mod planes;

use etalon_reference::Threshold;
use etalon_reference::operator::downcast;
use etalon_reference::ops::avg_pool2d::AvgPool2d;
use etalon_reference::ops::avg_pool2d_backward::AvgPool2dBackward;
use etalon_reference::ops::images::ImageLayout;

use crate::avg_pool2d::TASK;
use crate::call::{Call, elements};
use crate::gemm::{FLOATS, Float, with_float};
use crate::isa::Isa;
use crate::isa::wide::{Wide, Work, with_lanes};
use crate::kernel::{Kernel, KernelError};
use crate::pool::Pool;
use crate::workspace::Workspace;

/// Elements of a row, and channels, side by side.
const THRESHOLDS: &[Threshold] =
    &[Threshold::axis("w", 16), Threshold::axis("c", 16), Threshold::axis("c", 64), Threshold::bytes("dx", 4 * TASK)];

/// The kernels, weakest first.
pub static KERNELS: &[Kernel] = &[
    Kernel::new("scalar", Isa::Scalar, FLOATS, |call| run(call, Isa::Scalar)),
    Kernel::new("avx2", Isa::Avx2, FLOATS, |call| run(call, Isa::Avx2)).with_thresholds(THRESHOLDS),
    Kernel::new("avx512", Isa::Avx512, FLOATS, |call| run(call, Isa::Avx512)).with_thresholds(THRESHOLDS),
];

/// The operands.
struct Operands<'a, T> {
    /// Upstream gradient.
    dy: &'a [T],
    /// The images' gradient.
    dx: &'a mut [T],
}

struct Step<'a, T> {
    p: &'a AvgPool2d,
    operands: Operands<'a, T>,
    pool: &'a Pool,
    workspace: &'a mut Workspace,
}

impl<T: Float> Work<T> for Step<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<L: Wide<T>>(self, l: L) {
        let Step { p, operands, pool, workspace } = self;
        match (p.is_global(), p.x.layout) {
            (true, ImageLayout::Nchw) => global::planes(p, operands, pool),
            (true, ImageLayout::Nhwc) => global::pixels(p, operands, pool),
            (false, ImageLayout::Nchw) => planes::pool(l, p, operands, pool, workspace),
            (false, ImageLayout::Nhwc) => pixels::pool(l, p, operands, pool, workspace),
        }
    }
}

pub(crate) fn run(call: &mut Call<'_>, isa: Isa) -> Result<(), KernelError> {
    with_float!(call.types(), T => typed::<T>(call, isa))
}

fn typed<T: Float>(call: &mut Call<'_>, isa: Isa) -> Result<(), KernelError> {
    let (dy, pool) = (call.input(0), call.pool());
    let p = &downcast::<AvgPool2dBackward>(call.problem()).pool;
    let ([dx], workspace) = call.outputs();
    let operands: Operands<'_, T> = Operands { dy, dx: elements(dx) };
    with_lanes::<T, _>(isa, Step { p, operands, pool, workspace }).map_err(KernelError::Isa)
}

/// 1/d of output (i, j).
fn factor<T: Float>(p: &AvgPool2d, i: usize, j: usize) -> T {
    T::from_f64(1.0 / p.divisor(i, j))
}

/// 1/d of each output of a plane.
fn factors<T: Float>(p: &AvgPool2d, to: &mut [T]) {
    for (i, to) in to.chunks_exact_mut(p.y.w).enumerate() {
        to.iter_mut().enumerate().for_each(|(j, to)| *to = factor(p, i, j));
    }
}

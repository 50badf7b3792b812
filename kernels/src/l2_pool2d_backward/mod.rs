//! [`l2_pool2d_backward`](etalon_reference::ops::l2_pool2d_backward): each output's gradient goes to what lies under
//! its window, by its share of the norm. f32 and f64; images in NCHW or NHWC order, without gaps.
//!
//! ```text
//! for each element, for each output over it:  dx += dy·(x/y), or 0 where y = 0
//! ```
//! NHWC has vectors of channels, NCHW vectors of columns. Quotients are of single elements, so that nothing overflows:
//! |x| ≤ y. One source for all levels: the same bits on each, for any number of threads.
//!
//! Error: the problem's tolerance. NaN and ∞ follow the formula. Errors: a level that the CPU lacks. Workspace: by
//! planes, for each thread, dy and y of a plane, spread over the columns.

mod pixels;
mod planes;

use etalon_reference::Threshold;
use etalon_reference::operator::downcast;
use etalon_reference::ops::avg_pool2d::AvgPool2d;
use etalon_reference::ops::images::ImageLayout;
use etalon_reference::ops::l2_pool2d_backward::L2Pool2dBackward;

use crate::avg_pool2d::TASK;
use crate::call::{Call, elements};
use crate::gemm::{FLOATS, Float, with_float};
use crate::isa::Isa;
use crate::isa::wide::{Wide, Work, with_lanes};
use crate::kernel::{Kernel, KernelError};
use crate::pool::Pool;
use crate::workspace::Workspace;

/// Columns, and channels, side by side.
const THRESHOLDS: &[Threshold] = &[Threshold::axis("w", 16), Threshold::axis("c", 16), Threshold::bytes("x", 4 * TASK)];

/// The kernels, weakest first.
pub static KERNELS: &[Kernel] = &[
    Kernel::new("scalar", Isa::Scalar, FLOATS, |call| run(call, Isa::Scalar)),
    Kernel::new("avx2", Isa::Avx2, FLOATS, |call| run(call, Isa::Avx2)).with_thresholds(THRESHOLDS),
    Kernel::new("avx512", Isa::Avx512, FLOATS, |call| run(call, Isa::Avx512)).with_thresholds(THRESHOLDS),
];

/// The operands.
struct Operands<'a, T> {
    dy: &'a [T],
    x: &'a [T],
    y: &'a [T],
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
        match p.x.layout {
            ImageLayout::Nchw => planes::pool(l, p, operands, pool, workspace),
            ImageLayout::Nhwc => pixels::pool(l, p, operands, pool),
        }
    }
}

fn run(call: &mut Call<'_>, isa: Isa) -> Result<(), KernelError> {
    with_float!(call.types(), T => typed::<T>(call, isa))
}

fn typed<T: Float>(call: &mut Call<'_>, isa: Isa) -> Result<(), KernelError> {
    let [dy, x, y] = [0, 1, 2].map(|i| call.input::<T>(i));
    let p = &downcast::<L2Pool2dBackward>(call.problem()).forward.pool;
    let pool = call.pool();
    let ([dx], workspace) = call.outputs();
    let operands = Operands { dy, x, y, dx: elements(dx) };
    with_lanes::<T, _>(isa, Step { p, operands, pool, workspace }).map_err(KernelError::Isa)
}

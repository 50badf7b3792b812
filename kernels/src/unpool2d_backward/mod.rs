//! [`unpool2d_backward`](etalon_reference::ops::unpool2d_backward): what a cell gives back to its element. f32 and f64;
//! images in NCHW or NHWC order, without gaps; positions are i64.
//!
//! A cell's sum is the [`avg_pool2d`](crate::avg_pool2d) of it with a divisor of 1. Otherwise an element takes what is
//! at its position, or in the corner of its cell (`take`).
//!
//! One source for all levels: the same bits on each, for any number of threads. Error: the problem's tolerance. Errors:
//! a position outside its plane, a level that the CPU lacks. Workspace: that of `avg_pool2d`.

mod take;

use etalon_reference::Threshold;
use etalon_reference::operator::downcast;
use etalon_reference::ops::unpool2d::To;
use etalon_reference::ops::unpool2d_backward::Unpool2dBackward;

use crate::avg_pool2d::{Operands, average};
use crate::call::{Call, elements};
use crate::gemm::{FLOATS, Float, with_float};
use crate::isa::Isa;
use crate::kernel::{Kernel, KernelError};
use crate::max_pool2d_backward::Outside;

/// Channels side by side, and elements of a task.
const THRESHOLDS: &[Threshold] =
    &[Threshold::axis("c", 16), Threshold::axis("w", 16), Threshold::bytes("dx", 4 * take::TASK)];

/// The kernels, weakest first.
pub static KERNELS: &[Kernel] = &[
    Kernel::new("scalar", Isa::Scalar, FLOATS, |call| run(call, Isa::Scalar)),
    Kernel::new("avx2", Isa::Avx2, FLOATS, |call| run(call, Isa::Avx2)).with_thresholds(THRESHOLDS),
    Kernel::new("avx512", Isa::Avx512, FLOATS, |call| run(call, Isa::Avx512)).with_thresholds(THRESHOLDS),
];

fn run(call: &mut Call<'_>, isa: Isa) -> Result<(), KernelError> {
    with_float!(call.types(), T => typed::<T>(call, isa))
}

fn typed<T: Float>(call: &mut Call<'_>, isa: Isa) -> Result<(), KernelError> {
    let (dy, index) = (call.input::<T>(0), call.input::<i64>(1));
    let (p, pool): (&Unpool2dBackward, _) = (downcast(call.problem()), call.pool());
    let p = &p.forward;
    let ([dx], workspace) = call.outputs();
    let dx = elements::<T>(dx);
    match p.to {
        To::Cell => average(isa, &p.cells(), Operands { x: dy, y: dx }, pool, workspace),
        To::Corner => {
            take::corners(&p.pool, dy, dx, pool);
            Ok(())
        }
        To::Index => {
            let outside = Outside::default();
            take::found(&p.pool, dy, index, dx, pool, &outside);
            outside.judge(&p.pool)
        }
    }
}

//! [`l2_pool2d`](etalon_reference::ops::l2_pool2d): the norm of the elements under a window that moves over each plane.
//! f32 and f64; images in NCHW or NHWC order, without gaps.
//!
//! It is [`avg_pool2d`](crate::avg_pool2d), with squares that are added, and a root of their sum: the same loops, tasks
//! and workspace. One source for all levels: the same bits on each, for any number of threads.
//!
//! Error: the problem's tolerance. NaN and ∞ follow the formula. Errors: a level that the CPU lacks.

use etalon_reference::Threshold;
use etalon_reference::operator::downcast;
use etalon_reference::ops::l2_pool2d::L2Pool2d;

use crate::avg_pool2d::{Form, Operands, TASK, added};
use crate::call::{Call, elements};
use crate::faults::fault;
use crate::gemm::{FLOATS, Float, with_float};
use crate::isa::Isa;
use crate::isa::wide::Wide;
use crate::kernel::{Kernel, KernelError};

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

fn run(call: &mut Call<'_>, isa: Isa) -> Result<(), KernelError> {
    with_float!(call.types(), T => typed::<T>(call, isa))
}

fn typed<T: Float>(call: &mut Call<'_>, isa: Isa) -> Result<(), KernelError> {
    let (x, pool) = (call.input(0), call.pool());
    let p: &L2Pool2d = downcast(call.problem());
    let ([y], workspace) = call.outputs();
    let operands: Operands<'_, T> = Operands { x, y: elements(y) };
    added::<T, Norm>(isa, &p.pool, operands, pool, workspace)
}

/// The root of a sum of squares.
struct Norm;

impl<T: Float> Form<T> for Norm {
    #[inline(always)]
    fn of(_: usize) -> T {
        T::default()
    }
    #[inline(always)]
    fn term<L: Wide<T>>(l: L, x: L::F) -> L::F {
        if fault!("l2_pool2d.not-squared") { x } else { l.mul(x, x) }
    }
    #[inline(always)]
    fn finish<L: Wide<T>>(l: L, sum: L::F, _: L::F) -> L::F {
        if fault!("l2_pool2d.no-root") { sum } else { l.sqrt(sum) }
    }
}

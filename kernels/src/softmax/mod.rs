//! [`softmax`](etalon_reference::ops::softmax) and log-softmax along any dimension. f32 and f64; x and y n×c×s.
//!
//! Where the dimension is the last one, a line lies in one piece: one pass finds the largest element, one adds the
//! exponentials, which y holds meanwhile, and one scales them. Elsewhere lines lie side by side in vectors, as many at a
//! time as four vectors have lanes. Tasks are lines, or planes of n.
//!
//! One source for all levels: the same bits on each, for any number of threads.
//!
//! Error: the problem's tolerance. NaN and ∞ follow the formula. Errors: a level that the CPU lacks. Workspace: none.

pub(crate) mod lines;
mod planes;
pub(crate) mod rows;

use etalon_reference::Threshold;
use etalon_reference::operator::downcast;
use etalon_reference::ops::softmax::Softmax;

use self::lines::TASK;
use crate::call::{Call, elements};
use crate::disjoint::chunks;
use crate::gemm::{FLOATS, with_float};
use crate::isa::Isa;
use crate::kernel::{Kernel, KernelError};
use crate::math::Numeric;

const THRESHOLDS: &[Threshold] =
    &[Threshold::axis("c", 16), Threshold::axis("s", 16), Threshold::axis("s", 64), Threshold::bytes("x", 4 * TASK)];

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
    let x = call.input::<T>(0);
    let (p, pool) = (downcast::<Softmax>(call.problem()), call.pool());
    let ([y], _) = call.outputs();
    lines::usable::<T>(isa)?;
    let (part, plane) = lines::parts(&p.extents);
    chunks(pool, elements::<T>(y), part, |start, y| {
        let x = &x[start..start + y.len()];
        let done = if p.extents.s == 1 {
            T::calculate(isa, rows::Rows { p, x, y })
        } else {
            T::calculate(isa, planes::Planes { p, x, y, plane })
        };
        done.expect("the CPU has the instructions");
    });
    Ok(())
}

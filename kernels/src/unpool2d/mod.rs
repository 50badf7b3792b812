//! [`unpool2d`](etalon_reference::ops::unpool2d): each element becomes a cell. f32 and f64; images in NCHW or NHWC
//! order, without gaps; positions are i64.
//!
//! By positions, it is the scatter of [`max_pool2d_backward`](crate::max_pool2d_backward). Otherwise a row of x makes
//! the first row of its cells, and the others are copies of it, or zeros (`cells`).
//!
//! Nothing is rounded but sums of elements of one position, which are added in the order of the elements: all levels
//! and any number of threads give equal bits. Error: the problem's tolerance. Errors: a position outside its plane, a
//! level that the CPU lacks. Workspace: none.

mod cells;

use etalon_reference::Threshold;
use etalon_reference::operator::downcast;
use etalon_reference::ops::unpool2d::{To, Unpool2d};

use crate::call::Call;
use crate::gemm::{FLOATS, with_float};
use crate::isa::Isa;
use crate::isa::wide::with_lanes;
use crate::kernel::{Kernel, KernelError};
use crate::max_pool2d_backward::{Operands, Summand, scatter};

/// Channels side by side, and elements of a task.
const THRESHOLDS: &[Threshold] =
    &[Threshold::axis("c", 16), Threshold::axis("w", 16), Threshold::bytes("y", 4 * cells::TASK)];

/// The kernels, weakest first.
pub static KERNELS: &[Kernel] = &[
    Kernel::new("scalar", Isa::Scalar, FLOATS, |call| run(call, Isa::Scalar)),
    Kernel::new("avx2", Isa::Avx2, FLOATS, |call| run(call, Isa::Avx2)).with_thresholds(THRESHOLDS),
    Kernel::new("avx512", Isa::Avx512, FLOATS, |call| run(call, Isa::Avx512)).with_thresholds(THRESHOLDS),
];

fn run(call: &mut Call<'_>, isa: Isa) -> Result<(), KernelError> {
    with_float!(call.types(), T => typed::<T>(call, isa))
}

fn typed<T: Summand>(call: &mut Call<'_>, isa: Isa) -> Result<(), KernelError> {
    let (x, index) = (call.input::<T>(0), call.input::<i64>(1));
    let (p, pool): (&Unpool2d, _) = (downcast(call.problem()), call.pool());
    let y = call.output(0);
    match p.to {
        To::Index => scatter(isa, &p.pool, Operands { dy: x, index, dx: y }, pool),
        to => with_lanes::<T, _>(isa, cells::Step { p: &p.pool, zeros: to == To::Corner, x, y, pool })
            .map_err(KernelError::Isa),
    }
}

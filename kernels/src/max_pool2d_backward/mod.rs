//! [`max_pool2d_backward`](etalon_reference::ops::max_pool2d_backward): each output's gradient goes to the element that it
//! found. f32 and f64; images in NCHW or NHWC order, without gaps; positions are i64.
//!
//! `dx = 0; for each output in ascending (i, j): dx[index] += dy`. One addition per output, at a place that data decide: a
//! scatter, whose limit is memory, so that one kernel serves every level. Tasks are planes, or in NHWC bands of channels of
//! an image; each adds in the order of the outputs.
//!
//! Error: as the problem's tolerance says. Errors: a position outside its plane.

mod planes;

use etalon_reference::operator::downcast;
use etalon_reference::ops::images::ImageLayout;
use etalon_reference::ops::max_pool2d_backward::MaxPool2dBackward;
use etalon_reference::{Threshold, Types};

use crate::call::Call;
use crate::isa::Isa;
use crate::kernel::{Kernel, KernelError};
use crate::max_pool2d::Number;
use crate::pool::Pool;

const THRESHOLDS: &[Threshold] = &[Threshold::axis("c", planes::BAND as i64)];

/// The kernels, weakest first.
pub static KERNELS: &[Kernel] =
    &[Kernel::new("scalar", Isa::Scalar, &[Types::F32, Types::F64], |call| match call.types() {
        Types::F64 => typed::<f64>(call),
        _ => typed::<f32>(call),
    })
    .with_thresholds(THRESHOLDS)];

/// The operands.
struct Operands<'a, T> {
    /// Upstream gradient.
    dy: &'a [T],
    /// Positions that the forward pass found.
    index: &'a [i64],
    /// The images' gradient.
    dx: &'a mut [T],
}

/// A number that is added.
trait Summand: Number + std::ops::AddAssign {}
impl Summand for f32 {}
impl Summand for f64 {}

/// The gradient.
fn max_pool2d_backward<T: Summand>(
    problem: &MaxPool2dBackward,
    operands: Operands<'_, T>,
    pool: &Pool,
) -> Result<(), KernelError> {
    let outside = planes::Outside::default();
    let x = &problem.pool.x;
    match x.layout {
        ImageLayout::Nchw => planes::by_planes(&problem.pool, operands, pool, &outside),
        ImageLayout::Nhwc => planes::by_channels(&problem.pool, operands, pool, &outside),
    }
    let error = |found| KernelError::OutOfRange { operand: "index", found, end: x.h * x.w };
    outside.found().map_or(Ok(()), |found| Err(error(found)))
}

fn typed<T: Summand>(call: &mut Call<'_>) -> Result<(), KernelError> {
    let (dy, index) = (call.input::<T>(0), call.input::<i64>(1));
    let (problem, pool) = (downcast(call.problem()), call.pool());
    max_pool2d_backward(problem, Operands { dy, index, dx: call.output(0) }, pool)
}

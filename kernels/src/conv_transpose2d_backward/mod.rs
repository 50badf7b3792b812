//! The gradients of a transposed convolution: `dx = dy ⋆ w`, a convolution; `dw` and `dbias`.
//!
//! Shapes: dy as y of [`conv_transpose2d`](crate::conv_transpose2d), x and dx as its x, w and dw as its w. f32 and
//! f64. The problem is [`ConvTranspose2dBackward`]; its documentation fixes the order of summation. The kernels are those
//! of [`conv2d`] by its [`exact_way`](conv2d::exact_way) and of
//! [`conv2d_backward_weights`](crate::conv2d_backward_weights), and keep their promises.

use etalon_reference::operator::downcast;
use etalon_reference::ops::conv_transpose2d_backward::ConvTranspose2dBackward;
use etalon_reference::ops::images::Images;
use etalon_reference::{Element, Types};

use crate::call::{Call, elements};
use crate::conv2d::{self, Order};
use crate::conv2d_backward_data::by::{Exact, Fast};
use crate::conv2d_backward_data::spread::Convolver;
use crate::conv2d_backward_weights::{THRESHOLDS, correlate, sum_channels};
use crate::faults::fault;
use crate::gemm::{FLOATS, Float, with_float};
use crate::isa::Isa;
use crate::kernel::{Kernel, KernelError};
use crate::workspace::Workspace;

/// The kernels, weakest first.
pub static KERNELS: &[Kernel] = &[
    Kernel::new("scalar", Isa::Scalar, FLOATS, |call| run(call, Isa::Scalar)),
    #[cfg(target_arch = "x86_64")]
    Kernel::new("avx2", Isa::Avx2, FLOATS, |call| run(call, Isa::Avx2)).with_thresholds(THRESHOLDS),
    #[cfg(target_arch = "x86_64")]
    Kernel::new("avx512", Isa::Avx512, FLOATS, |call| run(call, Isa::Avx512)).with_thresholds(THRESHOLDS),
];

/// Operands, of the lengths of the problem.
struct Operands<'a, T> {
    dy: &'a [T],
    x: &'a [T],
    w: &'a [T],
    dx: &'a mut [T],
    dw: &'a mut [T],
    dbias: &'a mut [T],
}

impl<'a, T: Element> Operands<'a, T> {
    fn of(call: &'a mut Call<'_>) -> (Self, &'a mut Workspace) {
        let [dy, x, w] = [0, 1, 2].map(|i| call.input(i));
        let (outputs, workspace) = call.outputs();
        let [dx, dw, dbias] = outputs.map(elements);
        (Operands { dy, x, w, dx, dw, dbias }, workspace)
    }
}

/// Operands of the convolution that gives dx.
fn of_dx<'a, T>(dy: &'a [T], w: &'a [T], dx: &'a mut [T]) -> conv2d::Operands<'a, T> {
    conv2d::Operands { x: dy, w, order: Order::ChannelsFirst, scale: &[], bias: &[], y: dx }
}

fn run(call: &mut Call<'_>, isa: Isa) -> Result<(), KernelError> {
    if fault!("conv_transpose2d_backward.dx-by-winograd") && call.types() == Types::F32 {
        return compute::<f32>(call, isa, &Fast(isa));
    }
    with_float!(call.types(), T => compute::<T>(call, isa, &Exact(isa)))
}

fn compute<T: Float>(call: &mut Call<'_>, isa: Isa, by: &impl Convolver<T>) -> Result<(), KernelError> {
    let p = &downcast::<ConvTranspose2dBackward>(call.problem()).forward;
    let pool = call.pool();
    let (o, workspace) = Operands::<T>::of(call);
    by.convolve(&p.conv, of_dx(o.dy, o.w, o.dx), pool, workspace)?;
    correlate(&p.conv, isa, o.dy, o.x, o.dw, pool, workspace)?;
    let few = Images { n: p.conv.x.n.min(3), ..p.conv.x };
    let wrong = fault!("conv_transpose2d_backward.dbias-of-three");
    let (images, dy) = if wrong { (&few, &o.dy[..few.len()]) } else { (&p.conv.x, o.dy) };
    sum_channels(images, isa, dy, o.dbias, pool)
}

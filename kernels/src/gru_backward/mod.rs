//! [`gru_backward`](etalon_reference::ops::gru_backward): the gradients of [`gru`](crate::gru) by backpropagation
//! through time. f32 and f64; shapes and layouts are the problem's.
//!
//! ```text
//! dh = dy + (dh + past)
//! dn = dh·(1 − z)·(1 − n²)
//! dz = dn·q·r(1 − r),  dh·(h₋₁ − n)·z(1 − z),  dn
//! dr = dn·q·r(1 − r),  dh·(h₋₁ − n)·z(1 − z),  dn·r
//! past = dh·z
//! ```
//! The loop over the steps is that of all recurrent layers (`recurrent`). An absent initial state is zeros, as if
//! it were given. The biases are not read.
//!
//! Error: the problem's tolerance. NaN and ∞ follow the formula. Errors: a level that the CPU lacks.
//! Workspace: 2·T·N·3H elements for dz and dr, 3H·H for packed weights, 3·N·H for states, and what the products need.

use etalon_reference::Threshold;
use etalon_reference::operator::downcast;
use etalon_reference::ops::gru_backward::GruBackward;

use crate::call::{Call, elements};
use crate::gemm::{FLOATS, with_float};
use crate::gru::GruCell;
use crate::isa::Isa;
use crate::kernel::{Kernel, KernelError};
use crate::math::Numeric;
use crate::recurrent::backward::{Inputs, Outputs, backward};
use crate::recurrent::thresholds;

const THRESHOLDS: &[Threshold] = &thresholds("dh_n");

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
    let [dy, dh_n, x, w_ih, w_hh] = [0, 1, 2, 3, 4].map(|i| call.input::<T>(i));
    // 5 and 6 are the biases.
    let [h0, y, gates, extra] = [7, 9, 10, 11].map(|i| call.input::<T>(i));
    let lengths = call.input(8);
    let (problem, pool) = (downcast::<GruBackward>(call.problem()), call.pool());
    let (outputs, workspace) = call.outputs();
    let [dx, dw_ih, dw_hh, db_ih, db_hh, dh0] = outputs.map(elements);
    let state = (h0, y);
    let inputs = Inputs { dy, dh_n, dc_n: &[], x, w_ih, w_hh, h0, y, gates, extra, state, before: true, lengths };
    let outputs = Outputs { dx, dw_ih, dw_hh, db: [db_ih, db_hh], dh0, dc0: &mut [] };
    backward(GruCell, &problem.gru.layer, isa, inputs, outputs, pool, workspace)
}

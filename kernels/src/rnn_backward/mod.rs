//! [`rnn_backward`](etalon_reference::ops::rnn_backward): the gradients of [`rnn`](crate::rnn) by backpropagation through
//! time. f32 and f64; shapes and layouts are the problem's.
//!
//! ```text
//! dz = (dy + dh)·(1 − y²)              with tanh
//! dz = dy + dh, or 0 where y ≤ 0       with ReLU
//! ```
//! The loop over the steps is that of all recurrent layers (`recurrent`). An absent initial state is zeros, as if
//! it were given. The biases are not read.
//!
//! Error: the problem's tolerance. NaN and ∞ follow the formula. Errors: a level that the CPU lacks.
//! Workspace: T·N·H elements for dz, H·H for packed weights, 3·N·H for states, and what the products need.

use etalon_reference::Threshold;
use etalon_reference::operator::downcast;
use etalon_reference::ops::rnn_backward::RnnBackward;

use crate::call::{Call, elements};
use crate::gemm::{FLOATS, with_float};
use crate::isa::Isa;
use crate::kernel::{Kernel, KernelError};
use crate::math::Numeric;
use crate::recurrent::backward::{Inputs, Outputs, backward};
use crate::recurrent::thresholds;
use crate::rnn::RnnCell;

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
    let [h0, y] = [7, 9].map(|i| call.input::<T>(i));
    let lengths = call.input(8);
    let (problem, pool) = (downcast::<RnnBackward>(call.problem()), call.pool());
    let (outputs, workspace) = call.outputs();
    let [dx, dw_ih, dw_hh, db, dh0] = outputs.map(elements);
    let (state, none): (_, &[T]) = ((h0, y), &[]);
    let (dc_n, gates, extra, before) = (none, none, none, false);
    let inputs = Inputs { dy, dh_n, dc_n, x, w_ih, w_hh, h0, y, gates, extra, state, before, lengths };
    let outputs = Outputs { dx, dw_ih, dw_hh, db: [db, &mut []], dh0, dc0: &mut [] };
    backward(RnnCell(problem.rnn.function), &problem.rnn.layer, isa, inputs, outputs, pool, workspace)
}

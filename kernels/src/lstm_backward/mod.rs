//! [`lstm_backward`](etalon_reference::ops::lstm_backward): the gradients of [`lstm`](crate::lstm) by backpropagation
//! through time. f32 and f64; shapes and layouts are the problem's.
//!
//! ```text
//! t = tanh(c);  dh = dy + dh
//! dc = fma(dh·o, 1 − t², dc)
//! dz = dc·g·i(1 − i),  dc·c₋₁·f(1 − f),  dc·i·(1 − g²),  dh·t·o(1 − o)
//! dc = dc·f
//! ```
//! The loop over the steps is that of all recurrent layers (`recurrent`). Absent initial states are zeros, as if
//! they were given. The biases are not read.
//!
//! Error: the problem's tolerance. NaN and ∞ follow the formula. Errors: a level that the CPU lacks.
//! Workspace: T·N·4H elements for dz, 4H·H for packed weights, 3·N·H for states, and what the products need.

use etalon_reference::Threshold;
use etalon_reference::operator::downcast;
use etalon_reference::ops::lstm_backward::LstmBackward;

use crate::call::{Call, elements};
use crate::gemm::{FLOATS, with_float};
use crate::isa::Isa;
use crate::kernel::{Kernel, KernelError};
use crate::lstm::LstmCell;
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
    let [dy, dh_n, dc_n, x, w_ih, w_hh] = [0, 1, 2, 3, 4, 5].map(|i| call.input::<T>(i));
    // 6 and 7 are the biases.
    let [h0, c0, y, gates, cells] = [8, 9, 11, 12, 13].map(|i| call.input::<T>(i));
    let lengths = call.input(10);
    let (problem, pool) = (downcast::<LstmBackward>(call.problem()), call.pool());
    let (outputs, workspace) = call.outputs();
    let [dx, dw_ih, dw_hh, db, dh0, dc0] = outputs.map(elements);
    let state = (c0, cells);
    let inputs = Inputs { dy, dh_n, dc_n, x, w_ih, w_hh, h0, y, gates, extra: cells, state, before: true, lengths };
    let outputs = Outputs { dx, dw_ih, dw_hh, db: [db, &mut []], dh0, dc0 };
    backward(LstmCell, &problem.lstm.layer, isa, inputs, outputs, pool, workspace)
}

//! [`rnn`](etalon_reference::ops::rnn): one layer over a sequence. f32 and f64; shapes and layouts are the problem's.
//!
//! ```text
//! h = f(x·W_ihᵀ + b_ih + h·W_hhᵀ + b_hh)                 f = tanh or ReLU
//! ```
//! The loop over the steps is that of all recurrent layers (`recurrent`): the same bits on each level and for any
//! number of threads.
//!
//! Error: the problem's tolerance. NaN and ∞ follow the formula. Errors: a level that the CPU lacks.
//! Workspace: sums of about 1024 rows of H elements, at least of one step, H·H for packed weights, N·H, and what the
//! products need.

use etalon_reference::Threshold;
use etalon_reference::operator::downcast;
use etalon_reference::ops::recurrent::Layer;
use etalon_reference::ops::rnn::{Function, Rnn};

use crate::call::{Call, Inputs, elements};
use crate::faults::fault;
use crate::gemm::{FLOATS, with_float};
use crate::isa::Isa;
use crate::kernel::{Kernel, KernelError};
use crate::math::Numeric;
use crate::recurrent::cells::{BackGiven, BackMade, Cell, Given, Made};
use crate::recurrent::forward::{Operands, forward};
use crate::recurrent::plan::plan;
use crate::recurrent::{Numbers, prepacked, thresholds};

const THRESHOLDS: &[Threshold] = &thresholds("h_n");

/// The kernels, weakest first.
pub static KERNELS: &[Kernel] = &[
    Kernel::new("scalar", Isa::Scalar, FLOATS, |call| run(call, Isa::Scalar)),
    prepacked(
        "avx2-prepacked",
        Isa::Avx2,
        |call| run(call, Isa::Avx2),
        |inputs| plan(inputs, layer(inputs), Isa::Avx2),
    ),
    Kernel::new("avx2", Isa::Avx2, FLOATS, |call| run(call, Isa::Avx2)).with_thresholds(THRESHOLDS),
    prepacked(
        "avx512-prepacked",
        Isa::Avx512,
        |call| run(call, Isa::Avx512),
        |inputs| plan(inputs, layer(inputs), Isa::Avx512),
    ),
    Kernel::new("avx512", Isa::Avx512, FLOATS, |call| run(call, Isa::Avx512)).with_thresholds(THRESHOLDS),
];

/// Plain units: what they make of their sums. Nothing is kept.
#[derive(Clone, Copy)]
pub(crate) struct RnnCell(pub(crate) Function);

impl Cell for RnnCell {
    const GATES: usize = 1;
    const APART: bool = false;
    const CELLS: bool = false;
    const KEEPS: bool = false;

    #[inline(always)]
    fn step<N: Numbers>(self, l: N, given: Given<N::V>) -> Made<N::V> {
        let [z, ..] = given.sums;
        let h = match self.0 {
            Function::Tanh => l.tanh(z),
            Function::Relu if fault!("rnn.relu-below-0") => l.gate(z, l.add(z, l.one())),
            Function::Relu => l.relu(z),
        };
        Made { h, c: h, gates: [h; 4], extra: h }
    }

    /// See [`rnn_backward`](crate::rnn_backward).
    #[inline(always)]
    fn back<N: Numbers>(self, l: N, given: BackGiven<N::V>) -> BackMade<N::V> {
        let BackGiven { dy, dh, carry, state: y, .. } = given;
        let all = if fault!("rnn_backward.last-alone") { dh } else { l.add(dy, dh) };
        let dz = match self.0 {
            Function::Tanh => l.mul(all, l.rest_of_square(y)),
            Function::Relu if fault!("rnn_backward.relu-at-0") => l.gate(all, l.add(y, l.one())),
            Function::Relu => l.gate(all, y),
        };
        BackMade { dz: [dz; 4], apart: dz, carry }
    }
}

fn layer<'a>(inputs: &Inputs<'a>) -> &'a Layer {
    &downcast::<Rnn>(inputs.problem()).layer
}

fn run(call: &mut Call<'_>, isa: Isa) -> Result<(), KernelError> {
    with_float!(call.types(), T => typed::<T>(call, isa))
}

fn typed<T: Numeric>(call: &mut Call<'_>, isa: Isa) -> Result<(), KernelError> {
    let [x, w_ih, w_hh, b_ih, b_hh, h0] = [0, 1, 2, 3, 4, 5].map(|i| call.input::<T>(i));
    let (lengths, problem, pool) = (call.input(6), downcast::<Rnn>(call.problem()), call.pool());
    let plan = call.plan();
    let (outputs, workspace) = call.outputs();
    let [y, h_n] = outputs.map(elements);
    let (bias, c0): (_, &[T]) = ([b_ih, b_hh], &[]);
    let (c_n, gates, extra): (&mut [T], &mut [T], &mut [T]) = (&mut [], &mut [], &mut []);
    let operands = Operands { x, w_ih, w_hh, bias, h0, c0, lengths, y, h_n, c_n, gates, extra };
    forward(RnnCell(problem.function), &problem.layer, isa, operands, plan, pool, workspace)
}

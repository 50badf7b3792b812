//! [`lstm`]: one layer over a sequence. f32 and f64; shapes and layouts are the problem's.
//!
//! ```text
//! z = x·W_ihᵀ + b_ih + h·W_hhᵀ + b_hh
//! i, f, o = σ(z);  g = tanh(z)
//! c = fma(f, c, i·g)
//! h = o·tanh(c)
//! ```
//! The loop over the steps is that of all recurrent layers (`recurrent`): the same bits on each level and for any
//! number of threads.
//!
//! Error: the problem's tolerance. NaN and ∞ follow the formula. Errors: a level that the CPU lacks.
//! Workspace: sums of about 1024 rows of 4H elements, at least of one step, 4H·H for packed weights, N·H, and what the
//! products need.

use etalon_reference::Threshold;
use etalon_reference::operator::downcast;
use etalon_reference::ops::lstm::{self, Lstm};
use etalon_reference::ops::recurrent::Layer;

use crate::call::{Call, Inputs, elements};
use crate::gemm::{FLOATS, with_float};
use crate::isa::Isa;
use crate::kernel::{Kernel, KernelError};
use crate::math::Numeric;
use crate::recurrent::cells::{BackGiven, BackMade, Cell, Given, Made};
use crate::recurrent::forward::{Operands, forward};
use crate::recurrent::plan::plan;
use crate::recurrent::{Numbers, prepacked, thresholds};

const THRESHOLDS: &[Threshold] = &thresholds("c_n");

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

/// Cells of long short-term memory, with the gates i, f, g, o; c is kept beside them.
#[derive(Clone, Copy)]
pub(crate) struct LstmCell;

impl Cell for LstmCell {
    const GATES: usize = lstm::GATES;
    const APART: bool = false;
    const CELLS: bool = true;
    const KEEPS: bool = true;

    #[inline(always)]
    fn step<N: Numbers>(self, l: N, given: Given<N::V>) -> Made<N::V> {
        let [i, f, g, o] = given.sums;
        let (i, f, g, o) = (l.sigmoid(i), l.sigmoid(f), l.tanh(g), l.sigmoid(o));
        let c = l.fma(f, given.c, l.mul(i, g));
        Made { h: l.mul(o, l.tanh(c)), c, gates: [i, f, g, o], extra: c }
    }

    /// See [`lstm_backward`](crate::lstm_backward).
    #[inline(always)]
    fn back<N: Numbers>(self, l: N, given: BackGiven<N::V>) -> BackMade<N::V> {
        let BackGiven { dy, dh, carry: dc, gates: [i, f, g, o], extra: cell, state: before } = given;
        let tanh = l.tanh(cell);
        let dh = l.add(dy, dh);
        let dc = l.fma(l.mul(dh, o), l.rest_of_square(tanh), dc);
        let dz = [
            l.mul(l.mul(dc, g), l.slope(i)),
            l.mul(l.mul(dc, before), l.slope(f)),
            l.mul(l.mul(dc, i), l.rest_of_square(g)),
            l.mul(l.mul(dh, tanh), l.slope(o)),
        ];
        BackMade { dz, apart: dz[3], carry: l.mul(dc, f) }
    }
}

fn layer<'a>(inputs: &Inputs<'a>) -> &'a Layer {
    &downcast::<Lstm>(inputs.problem()).layer
}

fn run(call: &mut Call<'_>, isa: Isa) -> Result<(), KernelError> {
    with_float!(call.types(), T => typed::<T>(call, isa))
}

fn typed<T: Numeric>(call: &mut Call<'_>, isa: Isa) -> Result<(), KernelError> {
    let [x, w_ih, w_hh, b_ih, b_hh, h0, c0] = [0, 1, 2, 3, 4, 5, 6].map(|i| call.input::<T>(i));
    let (lengths, problem, pool) = (call.input(7), downcast::<Lstm>(call.problem()), call.pool());
    let plan = call.plan();
    let (outputs, workspace) = call.outputs();
    let [y, h_n, c_n, gates, extra] = outputs.map(elements);
    let operands = Operands { x, w_ih, w_hh, bias: [b_ih, b_hh], h0, c0, lengths, y, h_n, c_n, gates, extra };
    forward(LstmCell, &problem.layer, isa, operands, plan, pool, workspace)
}

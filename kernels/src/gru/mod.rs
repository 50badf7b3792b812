//! [`gru`]: one layer over a sequence. f32 and f64; shapes and layouts are the problem's.
//!
//! ```text
//! r, z = σ(x·W_ihᵀ + b_ih + h·W_hhᵀ + b_hh)
//! q = h·W_hnᵀ + b_hn
//! n = tanh(fma(r, q, x·W_inᵀ + b_in))
//! h = fma(z, h, (1 − z)·n)
//! ```
//! The loop over the steps is that of all recurrent layers (`recurrent`): the same bits on each level and for any
//! number of threads. Of the last gate, the sum over the hidden units is apart from that over the inputs.
//!
//! Error: the problem's tolerance. NaN and ∞ follow the formula. Errors: a level that the CPU lacks.
//! Workspace: sums of about 1024 rows of 4H elements, at least of one step, 3H·H for packed weights, N·H, and what the
//! products need.

use etalon_reference::Threshold;
use etalon_reference::operator::downcast;
use etalon_reference::ops::gru::{self, Gru};
use etalon_reference::ops::recurrent::Layer;

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

/// Gated recurrent units, with the gates r, z, n; q is kept beside them.
#[derive(Clone, Copy)]
pub(crate) struct GruCell;

impl Cell for GruCell {
    const GATES: usize = gru::GATES;
    const APART: bool = true;
    const CELLS: bool = false;
    const KEEPS: bool = true;

    #[inline(always)]
    fn step<N: Numbers>(self, l: N, given: Given<N::V>) -> Made<N::V> {
        let [r, z, of_x, q] = given.sums;
        let (r, z) = (l.sigmoid(r), l.sigmoid(z));
        let reset = if fault!("gru.no-reset") { l.one() } else { r };
        let n = l.tanh(l.fma(reset, q, of_x));
        let h = l.fma(z, given.h, l.mul(l.rest(z), n));
        Made { h, c: h, gates: [r, z, n, n], extra: q }
    }

    /// See [`gru_backward`](crate::gru_backward).
    #[inline(always)]
    fn back<N: Numbers>(self, l: N, given: BackGiven<N::V>) -> BackMade<N::V> {
        let BackGiven { dy, dh, carry, gates: [r, z, n, _], extra: q, state: before } = given;
        let dh = l.add(dy, l.add(dh, carry));
        let dn = l.mul(l.mul(dh, l.rest(z)), l.rest_of_square(n));
        let dr = l.mul(l.mul(dn, q), l.slope(r));
        let dz = l.mul(l.mul(dh, l.sub(before, n)), l.slope(z));
        let apart = if fault!("gru_backward.not-reset") { dn } else { l.mul(dn, r) };
        let carry = if fault!("gru_backward.no-way-past") { l.mul(dh, l.rest(l.one())) } else { l.mul(dh, z) };
        BackMade { dz: [dr, dz, dn, dn], apart, carry }
    }
}

fn layer<'a>(inputs: &Inputs<'a>) -> &'a Layer {
    &downcast::<Gru>(inputs.problem()).layer
}

fn run(call: &mut Call<'_>, isa: Isa) -> Result<(), KernelError> {
    with_float!(call.types(), T => typed::<T>(call, isa))
}

fn typed<T: Numeric>(call: &mut Call<'_>, isa: Isa) -> Result<(), KernelError> {
    let [x, w_ih, w_hh, b_ih, b_hh, h0] = [0, 1, 2, 3, 4, 5].map(|i| call.input::<T>(i));
    let (lengths, problem, pool) = (call.input(6), downcast::<Gru>(call.problem()), call.pool());
    let plan = call.plan();
    let (outputs, workspace) = call.outputs();
    let [y, h_n, gates, extra] = outputs.map(elements);
    let (bias, c0, c_n): (_, &[T], &mut [T]) = ([b_ih, b_hh], &[], &mut []);
    let operands = Operands { x, w_ih, w_hh, bias, h0, c0, lengths, y, h_n, c_n, gates, extra };
    forward(GruCell, &problem.layer, isa, operands, plan, pool, workspace)
}

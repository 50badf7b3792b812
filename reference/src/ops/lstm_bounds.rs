//! How far a kernel of [`lstm`](super::lstm) may be from the reference: a bound of each element that runs through the
//! steps.
//!
//! # Derivation
//! Let û be what a kernel has for u, and e(u) a bound of |û − u|.
//!
//! - **Sums.** Each of the sums z has I + H products and two biases, in chains of at most s = chain(I) + chain(H) + 2
//!   roundings ([`chain`](super::gemm::chain)). A kernel's factors are x, W and ĥ with |ĥ| ≤ |h| + e(h), so that
//!   e(z) = γ(s)·(Σ|x||W_ih| + Σ(|h| + e(h))·|W_hh| + |b_ih| + |b_hh|) + Σ e(h)·|W_hh|.
//! - **Gates.** σ and tanh are evaluated within 3 units in the last place. Their slopes are at most ¼ and 1, and where
//!   they saturate as small as σ(m)·σ(−m) and 1/cosh²(m), m = max(|z| − e(z), 0) being the nearest to 0 that a kernel
//!   may have: e(gate) = min(slope·e(z), range) + 3 ulp.
//! - **Cells.** f̂ĉ − fc = f̂(ĉ − c) + (f̂ − f)c with f̂ ≤ 1, so that errors of earlier steps are forgotten at the
//!   rate of f: e(c) = f̂·e(c₋₁) + e(f)·|c₋₁| + î·e(g) + e(i)·|g| and the roundings of the product and of the
//!   multiply-add.
//! - **Outputs.** e(h) = ô·e(tanh c) + e(o)·|tanh c| + u|h|, with e(tanh c) as for a gate.
//!
//! [`Running`] has these rules. The bound grows with T as much as the recurrence itself can make errors grow: where
//! gates saturate it does not at all. In f64 the reference rounds, too, and each rounding counts twice.

use ndarray::{Array2, Array3, ArrayD};

use super::lstm::{Lstm, Pass};
use super::recurrent::Sizes;
use crate::Types;
use crate::running::{Rounding, Running};

/// Units in the last place within which σ and tanh are evaluated: the budget of
/// [`FUNCTIONS`](super::activation_functions::FUNCTIONS), which functions of f64 keep, too.
pub const GATE_ULPS: f64 = 3.0;

/// Bounds of the errors of a pass.
pub struct Errors {
    /// Of h.
    pub y: Array3<f64>,
    /// Of i, f, g, o.
    pub gates: Array3<f64>,
    /// Of c.
    pub cells: Array3<f64>,
}

/// How far a gate of oneDNN is off beyond that: one that is subnormal is 0 there. It is the least normal number.
pub(super) fn flushed(types: Types) -> f64 {
    types.accumulator.underflow() / types.accumulator.unit_roundoff()
}

/// The bounds for a kernel of these types, whose x is off by so much, and whose gates are off by `lost` more.
pub fn errors(
    lstm: &Lstm,
    types: Types,
    (inputs, x_off): (&[ArrayD<f64>], Option<&Array3<f64>>),
    pass: &Pass,
    lost: f64,
) -> Errors {
    let r = Rounding::of(types);
    let operands = lstm.layer.operands(inputs);
    let (batch, hidden) = (lstm.layer.batch, lstm.layer.hidden);
    let mut errors = Errors {
        y: Array3::zeros(pass.y.raw_dim()),
        gates: Array3::zeros(pass.gates.raw_dim()),
        cells: Array3::zeros(pass.cells.raw_dim()),
    };
    let [mut h, c0] = lstm.initial(inputs);
    let mut c = c0.mapv(Running::exact);
    let mut off: Array2<f64> = Array2::zeros((batch, hidden));
    for t in operands.walk.order() {
        let Sizes { x, x_brought, h: of_h, brought } = lstm.layer.sizes(&operands, x_off, t, (&h, &off));
        let (sizes, brought) = (x + of_h, x_brought + brought);
        for (n, j) in ndarray::indices((batch, hidden)) {
            if !operands.walk.has(t, n) {
                continue;
            }
            let [i, f, g, o] = [0, 1, 2, 3].map(|gate| {
                let q = gate * hidden + j;
                let z = r.sum(pass.sums[[t, n, q]], lstm.layer.chains(), sizes[[n, q]], brought[[n, q]]);
                let value = if gate == 2 { r.tanh(z, GATE_ULPS) } else { r.sigmoid(z, GATE_ULPS) };
                let value = Running::new(value.value, value.error + lost);
                errors.gates[[t, n, q]] = value.error;
                value
            });
            c[[n, j]] = r.fma(f, c[[n, j]], r.mul(i, g));
            let y = r.mul(o, r.tanh(c[[n, j]], GATE_ULPS));
            errors.cells[[t, n, j]] = c[[n, j]].error;
            errors.y[[t, n, j]] = y.error;
            (h[[n, j]], off[[n, j]]) = (y.value, y.error);
        }
    }
    errors
}

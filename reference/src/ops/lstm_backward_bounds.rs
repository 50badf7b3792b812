//! How far a kernel of [`lstm_backward`](super::lstm_backward) may be from the reference: a bound of each element that
//! runs back through the steps.
//!
//! # Derivation
//! The formulas of a step are products and sums of what the kernel is given, and of dh and dc of the step behind;
//! [`Running`] bounds each. tanh of a cell is evaluated within 3 units in the last place. The bounds of the sums that
//! follow are those of [`recurrent_backward`](super::recurrent_backward).
//!
//! A witness that computes the forward pass anew has other gates, cells and outputs: [`Kept`] has their errors, which
//! enter every product. They matter where a gate saturates: 1 − i is exact of what a kernel is given, and off by the
//! whole error of i in a pass of its own.

use ndarray::{Array2, Array3, ArrayD};

use super::lstm::Pass;
use super::lstm_backward::{CELLS, GATES, LstmBackward, Views, Y};
use super::lstm_bounds::{Errors, GATE_ULPS};
use super::recurrent_backward::{Brought, FORMULAS, Sums, anew, errors, tolerances};
use crate::running::{Rounding, Running};
use crate::{Tolerance, Types};

/// Errors of what the forward pass kept.
pub(super) struct Kept {
    pub(super) y: Array3<f64>,
    pub(super) gates: Array3<f64>,
    pub(super) cells: Array3<f64>,
}

impl Kept {
    /// None: a kernel takes them as they are.
    pub(super) fn as_given(inputs: &[ArrayD<f64>]) -> Kept {
        let none = |i: usize| inputs[i].mapv(|_| 0.0).into_dimensionality().expect("three dimensions");
        Kept { y: none(Y), gates: none(GATES), cells: none(CELLS) }
    }

    /// Those of another pass, which is off by `errors` from `pass`.
    pub(super) fn anew(inputs: &[ArrayD<f64>], pass: &Pass, errors: &Errors) -> Kept {
        let of = |i: usize, exact, error| anew(&inputs[i], exact, error);
        Kept {
            y: of(Y, &pass.y, &errors.y),
            gates: of(GATES, &pass.gates, &errors.gates),
            cells: of(CELLS, &pass.cells, &errors.cells),
        }
    }
}

/// The bounds of the outputs.
pub(super) fn bounds(
    p: &LstmBackward,
    types: Types,
    inputs: &[ArrayD<f64>],
    kept: &Kept,
    expected: &[ArrayD<f64>],
) -> Vec<Tolerance> {
    let formulas = FORMULAS.into_iter().chain(["running error of dh", "running error of dc"]);
    tolerances(formulas, off(p, types, inputs, kept, &Brought::default()), expected)
}

/// What the outputs are off by.
pub(super) fn off(
    p: &LstmBackward,
    types: Types,
    inputs: &[ArrayD<f64>],
    kept: &Kept,
    brought: &Brought,
) -> Vec<ArrayD<f64>> {
    let r = Rounding::of(types);
    let Views { forward, h0, c0, dy, dh_n, dc_n, gates, cells, y } = p.views(inputs);
    let layer = &p.lstm.layer;
    let hidden = layer.hidden;
    // dz and its error.
    let (mut dz, mut off) = (Sums::of(layer), Sums::of(layer));
    let (mut dh, mut dc) = (dh_n.mapv(Running::exact), dc_n.mapv(Running::exact));
    let exact = Array2::zeros(c0.raw_dim());
    let walk = &forward.walk;
    for t in walk.order().rev() {
        let cells_before = walk.states_before(&cells, &c0, t);
        let before_off = walk.states_before(&kept.cells, &exact, t);
        for (n, j) in ndarray::indices((layer.batch, hidden)) {
            if !walk.has(t, n) {
                continue;
            }
            let [i, f, g, o] =
                [0, 1, 2, 3].map(|gate| [t, n, gate * hidden + j]).map(|at| Running::new(gates[at], kept.gates[at]));
            let c = Running::new(cells[[t, n, j]], kept.cells[[t, n, j]]);
            let before = Running::new(cells_before[[n, j]], before_off[[n, j]]);
            let tanh = r.tanh(c, GATE_ULPS);
            let dh = r.add(brought.dy(&dy, [t, n, j]), dh[[n, j]]);
            let dc_t = r.fma(r.mul(dh, o), r.curved(tanh), dc[[n, j]]);
            let of_gates = [
                r.mul(r.mul(dc_t, g), r.open(i)),
                r.mul(r.mul(dc_t, before), r.open(f)),
                r.mul(r.mul(dc_t, i), r.curved(g)),
                r.mul(r.mul(dh, tanh), r.open(o)),
            ];
            for (gate, of_gate) in of_gates.into_iter().enumerate() {
                let at = [t, n, gate * hidden + j];
                dz.set(at, of_gate.value, of_gate.value);
                off.set(at, of_gate.error, of_gate.error);
            }
            dc[[n, j]] = r.mul(dc_t, f);
        }
        walk.take(t, &mut dh, &dz.carried(&off, t, forward.w_hh, r));
    }
    let sums = dz.bounds(&off, layer, &forward, (&y, &kept.y, &h0), brought.x.as_ref(), r);
    p.present(sums, errors(&dh), errors(&dc))
}

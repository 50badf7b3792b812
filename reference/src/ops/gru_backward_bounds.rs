//! How far a kernel of [`gru_backward`](super::gru_backward) may be from the reference: a bound of each element that
//! runs back through the steps.
//!
//! # Derivation
//! The formulas of a step are products and sums of what the kernel is given, and of dh of the step behind; [`Running`]
//! bounds each. The bounds of the sums that follow are those of [`recurrent_backward`](super::recurrent_backward).
//!
//! A witness that computes the forward pass anew has other gates, q and outputs: [`Kept`] has their errors, which enter
//! every product. libtorch also differentiates other forms: of (h − n)·z + n it takes dh − dh·z for dn, where dh·(1 − z)
//! would cancel nothing, and of tanh 1 − n² with n² rounded, which is off by u. Both are bounded as they are.

use ndarray::{Array2, Array3, ArrayD};

use super::gru::{Errors, Pass};
use super::gru_backward::{GATES, GruBackward, RECURRENT, Views, Y};
use super::recurrent_backward::{Brought, FORMULAS, Sums, anew, errors, tolerances};
use crate::running::{Rounding, Running};
use crate::{Tolerance, Types};

/// Errors of what the forward pass kept.
pub(super) struct Kept {
    pub(super) y: Array3<f64>,
    pub(super) gates: Array3<f64>,
    pub(super) recurrent: Array3<f64>,
    /// Whether they are a witness's, which differentiates other forms.
    pub(super) anew: bool,
}

impl Kept {
    /// None: a kernel takes them as they are.
    pub(super) fn as_given(inputs: &[ArrayD<f64>]) -> Kept {
        let none = |i: usize| inputs[i].mapv(|_| 0.0).into_dimensionality().expect("three dimensions");
        Kept { y: none(Y), gates: none(GATES), recurrent: none(RECURRENT), anew: false }
    }

    /// Those of another pass, which is off by `errors` from `pass`.
    pub(super) fn anew(inputs: &[ArrayD<f64>], pass: &Pass, errors: &Errors) -> Kept {
        Kept {
            y: anew(&inputs[Y], &pass.y, &errors.y),
            gates: anew(&inputs[GATES], &pass.gates, &errors.gates),
            recurrent: anew(&inputs[RECURRENT], &pass.recurrent, &errors.recurrent),
            anew: true,
        }
    }
}

/// The bounds of the outputs.
pub(super) fn bounds(
    p: &GruBackward,
    types: Types,
    inputs: &[ArrayD<f64>],
    kept: &Kept,
    expected: &[ArrayD<f64>],
) -> Vec<Tolerance> {
    let [dx, dw_ih, dw_hh, db] = FORMULAS;
    let formulas = [dx, dw_ih, dw_hh, db, db, "running error of dh"];
    tolerances(formulas, off(p, types, inputs, kept, &Brought::default()), expected)
}

/// What the outputs are off by.
pub(super) fn off(
    p: &GruBackward,
    types: Types,
    inputs: &[ArrayD<f64>],
    kept: &Kept,
    brought: &Brought,
) -> Vec<ArrayD<f64>> {
    let rounding = Rounding::of(types);
    let u = types.accumulator.unit_roundoff();
    let Views { forward, h0, dy, dh_n, y, gates, recurrent } = p.views(inputs);
    let layer = &p.gru.layer;
    let hidden = layer.hidden;
    let (mut sums, mut off) = (Sums::of(layer), Sums::of(layer));
    let mut dh = dh_n.mapv(Running::exact);
    let exact = Array2::zeros(h0.raw_dim());
    let walk = &forward.walk;
    for t in walk.order().rev() {
        let (h, h_off) = (walk.states_before(&y, &h0, t), walk.states_before(&kept.y, &exact, t));
        let mut passed = Array2::from_elem(h0.raw_dim(), Running::default());
        for (s, j) in ndarray::indices((layer.batch, hidden)) {
            if !walk.has(t, s) {
                continue;
            }
            let [r, z, n] =
                [0, 1, 2].map(|gate| [t, s, gate * hidden + j]).map(|at| Running::new(gates[at], kept.gates[at]));
            let q = Running::new(recurrent[[t, s, j]], kept.recurrent[[t, s, j]]);
            let h = Running::new(h[[s, j]], h_off[[s, j]]);
            let dh = rounding.add(brought.dy(&dy, [t, s, j]), dh[[s, j]]);
            let mut slope = rounding.curved(n);
            let rest = if kept.anew {
                slope = Running::new(slope.value, slope.error + u);
                rounding.sub(dh, rounding.mul(dh, z))
            } else {
                rounding.mul(dh, rounding.sub(Running::exact(1.0), z))
            };
            let dn = rounding.mul(rest, slope);
            let dr = rounding.mul(rounding.mul(dn, q), rounding.open(r));
            let dz = rounding.mul(rounding.mul(dh, rounding.sub(h, n)), rounding.open(z));
            for (gate, (of_x, of_h)) in [(dr, dr), (dz, dz), (dn, rounding.mul(dn, r))].into_iter().enumerate() {
                let at = [t, s, gate * hidden + j];
                sums.set(at, of_x.value, of_h.value);
                off.set(at, of_x.error, of_h.error);
            }
            passed[[s, j]] = rounding.mul(dh, z);
        }
        let mut all = sums.carried(&off, t, forward.w_hh, rounding);
        all.zip_mut_with(&passed, |all, passed| *all = rounding.add(*all, *passed));
        walk.take(t, &mut dh, &all);
    }
    p.present(sums.bounds(&off, layer, &forward, (&y, &kept.y, &h0), brought.x.as_ref(), rounding), errors(&dh))
}

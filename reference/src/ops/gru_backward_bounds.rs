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
use super::recurrent_backward::{FORMULAS, Sums, anew, before, errors};
use crate::running::{Rounding, Running};
use crate::{Tolerance, Types};

/// Errors of what the forward pass kept.
pub(super) struct Kept {
    y: Array3<f64>,
    gates: Array3<f64>,
    recurrent: Array3<f64>,
    /// Whether they are a witness's, which differentiates other forms.
    anew: bool,
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
    let rounding = Rounding::of(types);
    let u = types.accumulator.unit_roundoff();
    let Views { forward, h0, dy, dh_n, y, gates, recurrent } = p.views(inputs);
    let layer = &p.gru.layer;
    let hidden = layer.hidden;
    let (mut sums, mut off) = (Sums::of(layer), Sums::of(layer));
    let mut dh = dh_n.mapv(Running::exact);
    let exact = Array2::zeros(h0.raw_dim());
    for t in (0..layer.steps).rev() {
        let (h, h_off) = (before(&y, &h0, t), before(&kept.y, &exact, t));
        let mut passed = Array2::from_elem(h0.raw_dim(), Running::default());
        for (s, j) in ndarray::indices((layer.batch, hidden)) {
            let [r, z, n] =
                [0, 1, 2].map(|gate| [t, s, gate * hidden + j]).map(|at| Running::new(gates[at], kept.gates[at]));
            let q = Running::new(recurrent[[t, s, j]], kept.recurrent[[t, s, j]]);
            let h = Running::new(h[[s, j]], h_off[[s, j]]);
            let dh = rounding.add(Running::exact(dy[[t, s, j]]), dh[[s, j]]);
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
        dh = sums.carried(&off, t, forward.w_hh, rounding);
        dh.zip_mut_with(&passed, |dh, passed| *dh = rounding.add(*dh, *passed));
    }
    let bounds = p.present(sums.bounds(&off, layer, &forward, (&y, &kept.y, &h0), rounding), errors(&dh));
    let [dx, dw_ih, dw_hh, db] = FORMULAS;
    let formulas = [dx, dw_ih, dw_hh, db, db, "running error of dh"];
    formulas.into_iter().zip(bounds).zip(expected).map(|((f, bound), y)| Tolerance::bound(f, bound, y)).collect()
}

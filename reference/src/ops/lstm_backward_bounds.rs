//! How far a kernel of [`lstm_backward`](super::lstm_backward) may be from the reference: a bound of each element that
//! runs back through the steps.
//!
//! # Derivation
//! The formulas of a step are products and sums of what the kernel is given, and of dh and dc of the step behind;
//! [`Running`] bounds each. tanh of a cell is evaluated within 3 units in the last place. Beyond that, with e(u) for
//! |û − u|:
//!
//! - dh of the step before has 4H products: e(dh) = Σ e(dz)·|W_hh| + γ(chain(4H))·Σ(|dz| + e(dz))·|W_hh|.
//! - dx likewise, with W_ih.
//! - dW_ih is a sum over all T·N rows: e = Σ e(dz)·|x| + γ(chain(T·N))·Σ(|dz| + e(dz))·|x|. dW_hh likewise, in two
//!   products: chain(N) + chain((T − 1)·N) + 1 roundings; db with T·N.
//!
//! A witness that computes the forward pass anew has other gates, cells and outputs: [`Kept`] has their errors, which
//! enter every product. They matter where a gate saturates: 1 − i is exact of what a kernel is given, and off by the
//! whole error of i in a pass of its own.

use ndarray::{Array2, Array3, ArrayD, Axis as NdAxis, Zip};

use super::gemm::chain;
use super::lstm::{Operands, Pass, STEPS, magnitudes};
use super::lstm_backward::{CELLS, GATES, LstmBackward, Views, Y, rows};
use super::lstm_bounds::{Errors, GATE_ULPS};
use crate::running::{Rounding, Running};
use crate::{Tolerance, Types};

/// Errors of what the forward pass kept.
pub(super) struct Kept {
    y: Array3<f64>,
    gates: Array3<f64>,
    cells: Array3<f64>,
}

impl Kept {
    /// None: a kernel takes them as they are.
    pub(super) fn as_given(inputs: &[ArrayD<f64>]) -> Kept {
        let none = |i: usize| inputs[i].mapv(|_| 0.0).into_dimensionality().expect("three dimensions");
        Kept { y: none(Y), gates: none(GATES), cells: none(CELLS) }
    }

    /// Those of another pass, which is off by `errors` from `pass`.
    pub(super) fn anew(inputs: &[ArrayD<f64>], pass: &Pass, errors: &Errors) -> Kept {
        let of = |i: usize, exact: &Array3<f64>, error: &Array3<f64>| {
            let given = inputs[i].view().into_dimensionality().expect("three dimensions");
            Zip::from(&given)
                .and(exact)
                .and(error)
                .map_collect(|given: &f64, exact, error| (given - exact).abs() + error)
        };
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
    let r = Rounding::of(types);
    let views = p.views(inputs);
    let Views { forward: Operands { x, w_ih, w_hh, h0, c0, .. }, dy, gates, cells, y, .. } = &views;
    let (steps, batch, hidden) = (p.lstm.steps, p.lstm.batch, p.lstm.hidden);
    // dz and its error.
    let (mut dz, mut off) = (Array3::zeros(gates.raw_dim()), Array3::zeros(gates.raw_dim()));
    let (mut dh, mut dc) = (views.dh_n.mapv(Running::exact), views.dc_n.mapv(Running::exact));
    for t in (0..steps).rev() {
        let before = views.before(cells, c0, t);
        let before_off = views.before(&kept.cells, &Array2::zeros((batch, hidden)), t);
        for (n, j) in ndarray::indices((batch, hidden)) {
            let [i, f, g, o] =
                [0, 1, 2, 3].map(|gate| [t, n, gate * hidden + j]).map(|at| Running::new(gates[at], kept.gates[at]));
            let c = Running::new(cells[[t, n, j]], kept.cells[[t, n, j]]);
            let before = Running::new(before[[n, j]], before_off[[n, j]]);
            let tanh = r.tanh(c, GATE_ULPS);
            let one = Running::exact(1.0);
            // s·(1 − s), and 1 − s² as (1 − s)·(1 + s), which rounds more than a multiply-add.
            let open = |s: Running| r.mul(s, r.sub(one, s));
            let curved = |s: Running| r.mul(r.sub(one, s), r.add(one, s));
            let dh = r.add(Running::exact(dy[[t, n, j]]), dh[[n, j]]);
            let dc_t = r.fma(r.mul(dh, o), curved(tanh), dc[[n, j]]);
            let of_gates = [
                r.mul(r.mul(dc_t, g), open(i)),
                r.mul(r.mul(dc_t, before), open(f)),
                r.mul(r.mul(dc_t, i), curved(g)),
                r.mul(r.mul(dh, tanh), open(o)),
            ];
            for (gate, of_gate) in of_gates.into_iter().enumerate() {
                let at = [t, n, gate * hidden + j];
                (dz[at], off[at]) = (of_gate.value, of_gate.error);
            }
            dc[[n, j]] = r.mul(dc_t, f);
        }
        let (dz, off) = (dz.index_axis(STEPS, t), off.index_axis(STEPS, t));
        let value = dz.dot(w_hh);
        let (size, brought) = (magnitudes(dz, w_hh.t()), magnitudes(off, w_hh.t()));
        dh = Array2::from_shape_fn((batch, hidden), |at| {
            r.sum(value[at], chain(4 * hidden), size[at] + brought[at], brought[at])
        });
    }
    let (dz, off) = (rows(&dz), rows(&off));
    let count = steps * batch;
    let sum = |steps: usize, size: Array2<f64>, brought: Array2<f64>| {
        Zip::from(&size).and(&brought).map_collect(|size, brought| r.sum(0.0, steps, size + brought, *brought).error)
    };
    let dx = sum(chain(4 * hidden), magnitudes(dz.view(), w_ih.t()), magnitudes(off.view(), w_ih.t()));
    let by = |factors: &Array2<f64>, of: &Array2<f64>| magnitudes(of.t(), factors.t());
    let all_x = rows(&x.to_owned());
    let dw_ih = sum(chain(count), by(&all_x, &dz), by(&all_x, &off));
    // Outputs of the steps before, and their errors.
    let (mut h, mut h_off) = (Array3::zeros(y.raw_dim()), Array3::zeros(y.raw_dim()));
    for t in 0..steps {
        h.index_axis_mut(STEPS, t).assign(&views.before(y, h0, t));
        h_off.index_axis_mut(STEPS, t).assign(&views.before(&kept.y, &Array2::zeros((batch, hidden)), t));
    }
    let (h, h_off) = (rows(&h), rows(&h_off));
    let products = chain(batch) + chain(count.saturating_sub(batch)) + 1;
    let dw_hh = sum(products, by(&h, &dz), by(&h, &off) + by(&h_off, &dz) + by(&h_off, &off));
    let column = |of: &Array2<f64>| of.mapv(f64::abs).sum_axis(NdAxis(0)).insert_axis(NdAxis(0));
    let db = sum(count, column(&dz), column(&off)).remove_axis(NdAxis(0));
    let dx = dx.into_shape_with_order(x.raw_dim()).expect("T×N×I");
    let error = |of: Array2<Running>| of.mapv(|x| x.error).into_dyn();
    let bounds = p.present([dx.into_dyn(), dw_ih.into_dyn(), dw_hh.into_dyn(), db.into_dyn(), error(dh), error(dc)]);
    let formulas = [
        "γ(chain(4H))·Σ|dz||W_ih| + Σ e(dz)|W_ih|, e the running error through all steps",
        "γ(chain(TN))·Σ|dz||x| + Σ e(dz)|x|",
        "γ(chain(N) + chain(TN − N) + 1)·Σ|dz||h| + Σ e(dz)|h|",
        "γ(TN)·Σ|dz| + Σ e(dz)",
        "running error of dh",
        "running error of dc",
    ];
    formulas.into_iter().zip(bounds).zip(expected).map(|((f, bound), y)| Tolerance::bound(f, bound, y)).collect()
}

//! What the gradients of recurrent layers share: behind the loop over the steps, sums over all of them.
//!
//! A step back leaves the gradients of its sums. Those of `x·W_ihᵀ + b_ih` and of `h₋₁·W_hhᵀ + b_hh` are the same, dz,
//! except for the gate of [`gru`](super::gru) that is reset: dz and dr then. With r = dz elsewhere:
//!
//! ```text
//! dh = r[t]·W_hh                                        in the loop, what the step before adds to its dy
//! dx = dz·W_ih
//! dW_ih = Σₜ dzᵀ·x,   dW_hh = Σₜ rᵀ·h₋₁
//! db_ih = Σ dz,       db_hh = Σ r
//! ```
//!
//! **Order of summation** (part of the definition for f32 and f64): products are those of [`gemm`](super::gemm). dW_ih
//! is one product over all T·N rows. dW_hh is the product of the layer's first step with h0, which is the C of
//! one over the other (T − 1)·N rows, in the order of t, with β = 1. A bias's gradient adds the T·N rows in order.
//!
//! # Derivation of the bounds
//! With e(u) for what a kernel's u is off by:
//!
//! - dh has G·H products: e(dh) = Σ e(r)·|W_hh| + γ(chain(G·H))·Σ(|r| + e(r))·|W_hh|. dx likewise, with dz and W_ih.
//! - dW_ih is a sum over all T·N rows: e = Σ e(dz)·|x| + γ(chain(T·N))·Σ(|dz| + e(dz))·|x|. dW_hh likewise, in two
//!   products: chain(N) + chain((T − 1)·N) + 1 roundings; a bias's gradient with T·N.
//! - What belongs to a step that a sequence lacks is 0 in all of them, and adds nothing.
//! - A witness that computes the forward pass anew has other outputs h, off by e(h): dW_hh is off by Σ(|r| + e(r))·e(h)
//!   more.

use ndarray::{Array2, Array3, ArrayD, ArrayView2, Axis as NdAxis, Zip};

use super::gemm::chain;
use super::recurrent::{Layer, Operands, STEPS, magnitudes};
use crate::Tolerance;
use crate::running::{Rounding, Running};

/// The formulas of the bounds of x, W_ih, W_hh and the biases.
pub(super) const FORMULAS: [&str; 4] = [
    "γ(chain(GH))·Σ|dz||W_ih| + Σ e(dz)|W_ih|, e the running error through all steps",
    "γ(chain(TN))·Σ|dz||x| + Σ e(dz)|x|",
    "γ(chain(N) + chain(TN − N) + 1)·Σ|dz||h| + Σ e(dz)|h|",
    "γ(TN)·Σ|dz| + Σ e(dz)",
];

/// All rows of a T×N×`width` array.
fn rows(array: &Array3<f64>) -> Array2<f64> {
    let (t, n, width) = array.dim();
    array.as_standard_layout().into_owned().into_shape_with_order((t * n, width)).expect("contiguous")
}

/// Gradients of the sums of all steps, T×N×G·H, or bounds of what they are off by.
pub(super) struct Sums {
    /// Of `x·W_ihᵀ + b_ih`.
    pub(super) of_x: Array3<f64>,
    /// Of `h₋₁·W_hhᵀ + b_hh`.
    pub(super) of_h: Array3<f64>,
}

/// What x and dy are off by, where they are what other layers compute.
#[derive(Default)]
pub(super) struct Brought {
    /// Of x, T×N×I.
    pub(super) x: Option<Array3<f64>>,
    /// Of dy, T×N×H.
    pub(super) dy: Option<Array3<f64>>,
}

impl Brought {
    /// An element of dy.
    pub(super) fn dy(&self, dy: &Array3<f64>, at: [usize; 3]) -> Running {
        Running::new(dy[at], self.dy.as_ref().map_or(0.0, |off| off[at]))
    }
}

/// Bounds of the outputs, by the formulas of the first ones and of the rest.
pub(super) fn tolerances(
    formulas: impl IntoIterator<Item = &'static str>,
    bounds: Vec<ArrayD<f64>>,
    expected: &[ArrayD<f64>],
) -> Vec<Tolerance> {
    formulas.into_iter().zip(bounds).zip(expected).map(|((f, bound), y)| Tolerance::bound(f, bound, y)).collect()
}

/// Gradients of x, W_ih, W_hh, b_ih and b_hh, or their bounds.
pub(super) type Gradients = [ArrayD<f64>; 5];

impl Sums {
    /// Zeros.
    pub(super) fn of(layer: &Layer) -> Sums {
        Sums { of_x: layer.zeros(layer.columns()), of_h: layer.zeros(layer.columns()) }
    }

    /// Of step `t`: those of a unit's gate.
    pub(super) fn set(&mut self, [t, n, q]: [usize; 3], of_x: f64, of_h: f64) {
        self.of_x[[t, n, q]] = of_x;
        self.of_h[[t, n, q]] = of_h;
    }

    /// The sums over all steps, given the outputs y and the initial one.
    pub(super) fn gradients(&self, operands: &Operands<'_>, y: &Array3<f64>, h0: &Array2<f64>) -> Gradients {
        let Operands { x, w_ih, walk, .. } = operands;
        let (of_x, of_h) = (rows(&self.of_x), rows(&self.of_h));
        let dx = walk.cleared(of_x.dot(w_ih).into_shape_with_order(x.raw_dim()).expect("T×N×I"));
        let dw_ih = of_x.t().dot(&rows(x));
        let dw_hh = of_h.t().dot(&rows(&walk.all_before(y, h0)));
        let [db_ih, db_hh] = [of_x, of_h].map(|sums| sums.sum_axis(NdAxis(0)).into_dyn());
        [dx.into_dyn(), dw_ih.into_dyn(), dw_hh.into_dyn(), db_ih, db_hh]
    }

    /// What step `t` says of the output before, with what it is off by.
    pub(super) fn carried(&self, off: &Sums, t: usize, w_hh: ArrayView2<'_, f64>, r: Rounding) -> Array2<Running> {
        let (of_h, off) = (self.of_h.index_axis(STEPS, t), off.of_h.index_axis(STEPS, t));
        let value = of_h.dot(&w_hh);
        let (size, brought) = (magnitudes(of_h, w_hh.t()), magnitudes(off, w_hh.t()));
        let steps = chain(w_hh.nrows());
        Array2::from_shape_fn(value.raw_dim(), |at| r.sum(value[at], steps, size[at] + brought[at], brought[at]))
    }

    /// Bounds of the sums over all steps, where these are off by `off`, the outputs y by `y_off`, and x by `x_off`.
    pub(super) fn bounds(
        &self,
        off: &Sums,
        layer: &Layer,
        operands: &Operands<'_>,
        (y, y_off, h0): (&Array3<f64>, &Array3<f64>, &Array2<f64>),
        x_off: Option<&Array3<f64>>,
        r: Rounding,
    ) -> Gradients {
        let Operands { x, w_ih, walk, .. } = operands;
        let count = layer.steps * layer.batch;
        let sum = |steps: usize, size: Array2<f64>, brought: Array2<f64>| {
            // 0 times an error without a bound has none either.
            let error = |size: &f64, brought: &f64| {
                let error = r.sum(0.0, steps, size + brought, *brought).error;
                if error.is_nan() { f64::INFINITY } else { error }
            };
            Zip::from(&size).and(&brought).map_collect(error)
        };
        let by = |factors: &Array2<f64>, of: &Array2<f64>| magnitudes(of.t(), factors.t());
        let ([dz, dz_off], [dr, dr_off]) =
            ([self, off].map(|sums| rows(&sums.of_x)), [self, off].map(|sums| rows(&sums.of_h)));
        let dx = sum(chain(layer.columns()), magnitudes(dz.view(), w_ih.t()), magnitudes(dz_off.view(), w_ih.t()));
        let all_x = rows(x);
        let mut of_w = by(&all_x, &dz_off);
        if let Some(x_off) = x_off.map(rows) {
            of_w += &(by(&x_off, &dz) + by(&x_off, &dz_off));
        }
        let dw_ih = sum(chain(count), by(&all_x, &dz), of_w);
        let exact = Array2::zeros(h0.raw_dim());
        let (h, h_off) = (rows(&walk.all_before(y, h0)), rows(&walk.all_before(y_off, &exact)));
        let steps = chain(layer.batch) + chain(count.saturating_sub(layer.batch)) + 1;
        let dw_hh = sum(steps, by(&h, &dr), by(&h, &dr_off) + by(&h_off, &dr) + by(&h_off, &dr_off));
        let column = |of: &Array2<f64>| of.mapv(f64::abs).sum_axis(NdAxis(0)).insert_axis(NdAxis(0));
        let bias = |of: &Array2<f64>, off: &Array2<f64>| sum(count, column(of), column(off)).remove_axis(NdAxis(0));
        let (db_ih, db_hh) = (bias(&dz, &dz_off), bias(&dr, &dr_off));
        let dx = walk.cleared(dx.into_shape_with_order(x.raw_dim()).expect("T×N×I"));
        [dx.into_dyn(), dw_ih.into_dyn(), dw_hh.into_dyn(), db_ih.into_dyn(), db_hh.into_dyn()]
    }
}

/// The errors of values.
pub(super) fn errors(of: &Array2<Running>) -> ArrayD<f64> {
    of.mapv(|x| x.error).into_dyn()
}

/// What another pass has in place of `given`: it is off by `error` from `exact`, and `given` is that rounded.
pub(super) fn anew(given: &ArrayD<f64>, exact: &Array3<f64>, error: &Array3<f64>) -> Array3<f64> {
    let given = given.view().into_dimensionality().expect("three dimensions");
    let off = |given: &f64, exact: &f64, error: &f64| (given - exact).abs() + error;
    Zip::from(&given).and(exact).and(error).map_collect(off)
}

//! `gru`: one layer of gated recurrent units, in either direction, over a sequence.
//!
//! The reset gate acts behind the product, as in libtorch and cuDNN. For each step t, with h₋₁ = h0 (zeros where the
//! problem has no initial state), and W and b of the three gates in the order r, z, n:
//!
//! ```text
//! r, z = σ(x[t]·W_ihᵀ + b_ih + h[t−1]·W_hhᵀ + b_hh)                 of the first two gates
//! q    = h[t−1]·W_hnᵀ + b_hn                                        of the third
//! n    = tanh(x[t]·W_inᵀ + b_in + r·q)
//! h[t] = (1 − z)·n + z·h[t−1]                          y[t] = h[t]
//! ```
//!
//! Operands are those of a [recurrent layer](super::recurrent) of three gates. What the gradient needs are outputs, too,
//! if wanted: the gates r, z, n, T×N×3H, and the sums q under the name `recurrent`, T×N×H.
//!
//! **Order of summation** (part of the definition for f32 and f64): `x·W_ihᵀ` is a product of [`gemm`](super::gemm) with
//! the bias b_ih. For the first two gates that is the C of the product `h·W_hhᵀ` with β = 1 and the bias b_hh; q is such a
//! product with β = 0. Then `n = tanh(fma(r, q, x·W_inᵀ + b_in))` and `h = fma(z, h, (1 − z)·n)`.
//!
//! # Derivation of the bounds
//! As those of [`lstm`](super::lstm_bounds): the sums are bounded with what h is off by, gates by their slopes, and
//! [`Running`] follows r·q and the blend of n and h. Errors of earlier steps are forgotten at the rate of z.

use ndarray::{Array2, Array3, ArrayD};

use super::gemm::{chain, choice_value};
use super::lstm_bounds::{GATE_ULPS, flushed};
use super::recurrent::{
    BIAS, DIR, DOMAINS, H, I, LENGTHS, Layer, N, Operands, STATE, STEPS, Sizes, T, kept, or_none, sigmoid,
};
use super::recurrent_backward::tolerances;
use super::walk::Walk;
use crate::running::{Rounding, Running};
use crate::tolerance::Sum;
use crate::{Axis, Fill, Operator, Point, Port, Problem, ProblemError, Tolerance, Types, Unit, Witness};

/// Gates of a unit: r, z, n.
pub const GATES: usize = 3;

const KEEP: Axis = Axis::choice("keep", "whether gates and q are outputs, too", &["no", "yes"]);

/// The last axis is not the gradient's.
pub(super) const AXES: &[Axis] = &[T, N, I, H, BIAS, STATE, DIR, LENGTHS, KEEP];

/// A validated layer.
#[derive(Clone, Debug, PartialEq)]
pub struct Gru {
    /// Sizes and operands.
    pub layer: Layer,
    /// Whether gates and q are outputs.
    pub keep: bool,
}

/// What a pass computes.
pub(super) struct Pass {
    /// The sums of r and z; for n, that over the inputs, T×N×3H.
    pub(super) sums: Array3<f64>,
    /// r, z, n, T×N×3H.
    pub(super) gates: Array3<f64>,
    /// q, T×N×H.
    pub(super) recurrent: Array3<f64>,
    /// h, T×N×H.
    pub(super) y: Array3<f64>,
}

/// What a pass is off by.
pub(super) struct Errors {
    pub(super) gates: Array3<f64>,
    pub(super) recurrent: Array3<f64>,
    pub(super) y: Array3<f64>,
}

impl Gru {
    /// Without biases, initial state, and outputs for a gradient.
    ///
    /// # Errors
    /// [`ProblemError::Overflow`] if a buffer does not fit the address space.
    pub fn new(steps: usize, batch: usize, inputs: usize, hidden: usize) -> Result<Gru, ProblemError> {
        Ok(Gru { layer: Layer::plain(GATES, [steps, batch, inputs, hidden])?, keep: false })
    }

    /// Of a point; without outputs for a gradient.
    pub(super) fn of(point: &Point) -> Result<Gru, ProblemError> {
        Ok(Gru { layer: Layer::of(point, GATES)?, keep: false })
    }

    /// The weights, biases, the initial state and the numbers of steps. Neither b_hh nor h0 is infinite or huge: a gate that underflows would
    /// decide between ∞ and NaN, and gradients have products of b_hh, x and dy.
    pub(super) fn parameters(&self, types: Types) -> [Port; 6] {
        let [w_ih, w_hh, b_ih, b_hh] = self.layer.parameters(types);
        let h0 = self.layer.state("h0", types, self.layer.state).recurrent(1);
        [w_ih, w_hh, b_ih, b_hh.recurrent(1), h0, self.layer.of_lengths(types)]
    }

    /// h0.
    pub(super) fn initial(&self, inputs: &[ArrayD<f64>]) -> Array2<f64> {
        self.layer.initial(inputs, 5)
    }

    /// All steps.
    pub(super) fn pass(&self, inputs: &[ArrayD<f64>]) -> Pass {
        let layer = &self.layer;
        let Operands { x, w_ih, w_hh, b_ih, b_hh, walk } = layer.operands(inputs);
        let hidden = layer.hidden;
        let mut pass = Pass {
            sums: layer.zeros(3 * hidden),
            gates: layer.zeros(3 * hidden),
            recurrent: layer.zeros(hidden),
            y: layer.zeros(hidden),
        };
        let mut h = self.initial(inputs);
        for t in walk.order() {
            let of_x = x.index_axis(STEPS, t).dot(&w_ih.t()) + &b_ih;
            let of_h = h.dot(&w_hh.t()) + &b_hh;
            for (s, j) in ndarray::indices((layer.batch, hidden)) {
                if !walk.has(t, s) {
                    continue;
                }
                let [at_r, at_z, at_n] = [0, 1, 2].map(|gate| [s, gate * hidden + j]);
                let (sum_r, sum_z) = (of_x[at_r] + of_h[at_r], of_x[at_z] + of_h[at_z]);
                let (r, z, q) = (sigmoid(sum_r), sigmoid(sum_z), of_h[at_n]);
                let n = (of_x[at_n] + r * q).tanh();
                h[[s, j]] = (1.0 - z) * n + z * h[[s, j]];
                pass.y[[t, s, j]] = h[[s, j]];
                pass.recurrent[[t, s, j]] = q;
                let sums = [sum_r, sum_z, of_x[at_n]];
                for (gate, (sum, value)) in sums.into_iter().zip([r, z, n]).enumerate() {
                    pass.sums[[t, s, gate * hidden + j]] = sum;
                    pass.gates[[t, s, gate * hidden + j]] = value;
                }
            }
        }
        pass
    }

    /// What a kernel of these types is off by, whose x is off by so much, and whose gates are off by `lost` more.
    pub(super) fn errors(
        &self,
        types: Types,
        (inputs, x_off): (&[ArrayD<f64>], Option<&Array3<f64>>),
        pass: &Pass,
        lost: f64,
    ) -> Errors {
        let rounding = Rounding::of(types);
        let layer = &self.layer;
        let operands = layer.operands(inputs);
        let hidden = layer.hidden;
        let mut errors =
            Errors { gates: layer.zeros(3 * hidden), recurrent: layer.zeros(hidden), y: layer.zeros(hidden) };
        let mut h = self.initial(inputs).mapv(Running::exact);
        for t in operands.walk.order() {
            let (values, off) = (h.mapv(|h| h.value), h.mapv(|h| h.error));
            let Sizes { x: of_x, x_brought, h: of_h, brought } = layer.sizes(&operands, x_off, t, (&values, &off));
            for (s, j) in ndarray::indices((layer.batch, hidden)) {
                if !operands.walk.has(t, s) {
                    continue;
                }
                let [r, z] = [0, 1].map(|gate| {
                    let at = [s, gate * hidden + j];
                    let value = pass.sums[[t, s, at[1]]];
                    let sum = rounding.sum(value, layer.chains(), of_x[at] + of_h[at], x_brought[at] + brought[at]);
                    let gate = rounding.sigmoid(sum, GATE_ULPS);
                    Running::new(gate.value, gate.error + lost)
                });
                let at = [s, 2 * hidden + j];
                let q = pass.recurrent[[t, s, j]];
                let q = rounding.sum(q, chain(hidden) + 1, of_h[at], brought[at]);
                let own = pass.sums[[t, s, at[1]]];
                let own = rounding.sum(own, chain(layer.inputs) + 1, of_x[at], x_brought[at]);
                let n = rounding.tanh(rounding.add(own, rounding.mul(r, q)), GATE_ULPS);
                h[[s, j]] = rounding.blend(z, n, h[[s, j]]);
                errors.recurrent[[t, s, j]] = q.error;
                errors.y[[t, s, j]] = h[[s, j]].error;
                for (gate, value) in [r, z, n].into_iter().enumerate() {
                    errors.gates[[t, s, gate * hidden + j]] = value.error;
                }
            }
        }
        errors
    }

    fn bounds(&self, types: Types, inputs: &[ArrayD<f64>], expected: &[ArrayD<f64>], lost: f64) -> Vec<Tolerance> {
        let formulas = [
            "running error of y: γ(chain(I) + chain(H) + 2)·Σ and 3 ulp for each gate, through all steps",
            "that of the last y",
            "running error of the gates",
            "γ(chain(H) + 1)·Σ|h||W_hn| + Σ e(h)|W_hn|",
        ];
        tolerances(formulas, self.off(types, (inputs, None), lost), expected)
    }

    /// What the outputs are off by, of a kernel whose x is off by so much and whose gates are off by `lost` more.
    pub(super) fn off(
        &self,
        types: Types,
        given: (&[ArrayD<f64>], Option<&Array3<f64>>),
        lost: f64,
    ) -> Vec<ArrayD<f64>> {
        let Errors { gates, recurrent, y } = self.errors(types, given, &self.pass(given.0), lost);
        let exact = Array2::zeros((self.layer.batch, self.layer.hidden));
        self.outputs_of(&self.layer.walk(given.0), [y, gates, recurrent], exact)
    }

    /// y, h_n, and gates and q if they are kept.
    fn outputs_of(&self, walk: &Walk, [y, gates, recurrent]: [Array3<f64>; 3], h0: Array2<f64>) -> Vec<ArrayD<f64>> {
        let h_n = walk.last(&y, h0);
        vec![y.into_dyn(), h_n, or_none(gates.into_dyn(), self.keep), or_none(recurrent.into_dyn(), self.keep)]
    }
}

impl Problem for Gru {
    fn inputs(&self, types: Types) -> Vec<Port> {
        std::iter::once(self.layer.sequence("x", types, self.layer.inputs)).chain(self.parameters(types)).collect()
    }

    fn outputs(&self, types: Types) -> Vec<Port> {
        let Layer { hidden, .. } = self.layer;
        vec![
            self.layer.sequence("y", types, hidden),
            self.layer.state("h_n", types, true),
            kept(self.layer.sequence("gates", types, 3 * hidden), self.keep),
            kept(self.layer.sequence("recurrent", types, hidden), self.keep),
        ]
    }

    fn reference(&self, inputs: &[ArrayD<f64>]) -> Vec<ArrayD<f64>> {
        let Pass { gates, recurrent, y, .. } = self.pass(inputs);
        self.outputs_of(&self.layer.walk(inputs), [y, gates, recurrent], self.initial(inputs))
    }

    fn sums(&self) -> Vec<Sum> {
        self.layer.sums()
    }

    fn tolerance(&self, types: Types, _: Fill, inputs: &[ArrayD<f64>], expected: &[ArrayD<f64>]) -> Vec<Tolerance> {
        self.bounds(types, inputs, expected, 0.0)
    }

    /// libtorch's σ is 0 where it is subnormal.
    fn witness_tolerance(
        &self,
        types: Types,
        _: Fill,
        inputs: &[ArrayD<f64>],
        expected: &[ArrayD<f64>],
    ) -> Vec<Tolerance> {
        self.bounds(types, inputs, expected, flushed(types))
    }

    fn operations(&self) -> (f64, Unit) {
        self.layer.operations()
    }

    fn differentiable(&self) -> Vec<usize> {
        self.layer.differentiable(1)
    }

    fn degenerate(&self) -> bool {
        self.layer.is_empty()
    }
}

/// The operator `gru`.
pub static GRU: Operator = Operator {
    name: "gru",
    summary: "one layer of gated recurrent units over a sequence, with what its gradient needs",
    axes: AXES,
    types: &[Types::F32, Types::F64],
    make: |point| {
        let keep = choice_value(point, "keep")? == "yes";
        Ok(Box::new(Gru { keep, ..Gru::of(point)? }))
    },
    workloads: super::recurrent_workloads::GRU,
    special_values: "NaN and ∞ follow the formula: gates are at their limits for ±∞; NaN stays in its sequence, from its step on",
    domains: DOMAINS,
    gradient: None,
    witness: Witness::Libtorch,
    batch: Some("n"),
};

#[cfg(test)]
mod tests {
    use super::*;

    fn outputs(point: &str, inputs: &[&[f64]]) -> Vec<ArrayD<f64>> {
        let problem = GRU.problem(&Point::parse(AXES, point).expect("a point")).expect("a problem");
        let arrays: Vec<ArrayD<f64>> = (problem.inputs(Types::F64).iter().zip(inputs))
            .map(|(port, values)| ArrayD::from_shape_vec(port.layout.shape.clone(), values.to_vec()).expect("all"))
            .collect();
        problem.reference(&arrays)
    }

    /// A public bug report: with b_hn alone, r = z = ½ and n = tanh(½·1). A reset before the product gives tanh(1)/2.
    #[test]
    fn the_reset_acts_behind_the_product() {
        let zeros = [0.0; 3];
        let found = outputs("t=1,i=1,h=1,bias=both", &[&[0.0], &zeros, &zeros, &zeros, &[0.0, 0.0, 1.0], &[]]);
        assert!((found[0][[0, 0, 0]] - 0.231_058_578_630_004_88).abs() < 1e-15, "{found:?}");
        assert_eq!(found[0].iter().collect::<Vec<_>>(), found[1].iter().collect::<Vec<_>>());
    }

    /// Computed by hand: the second input is 0, and only W_hn is not.
    #[test]
    fn the_second_step_sees_the_state_of_the_first() {
        let found = outputs(
            "t=2,i=2,keep=yes",
            &[&[1.0, 0.5, 0.0, 0.0], &[0.0, 0.0, 0.0, 0.0, 2.0, -1.0], &[0.0, 0.0, 3.0], &[], &[], &[]],
        );
        let h1 = 0.5 * 1.5f64.tanh();
        let h2 = 0.5 * (0.5 * 3.0 * h1).tanh() + 0.5 * h1;
        for (step, wanted) in [h1, h2].into_iter().enumerate() {
            assert!((found[0][[step, 0, 0]] - wanted).abs() < 1e-15, "{found:?}");
        }
        assert_eq!(found[3].iter().copied().collect::<Vec<_>>(), [0.0, 3.0 * h1]);
        assert_eq!(found[2].iter().take(2).copied().collect::<Vec<_>>(), [0.5, 0.5]);
    }

    #[test]
    fn absent_states_and_biases_are_zeros_and_sequences_are_apart() {
        let weights: Vec<f64> = (0..12).map(|k| f64::from(k % 5) - 2.0).collect();
        let x = [0.5, -1.0, 2.0, 0.25, -0.75, 1.5];
        let absent = outputs("n=3,i=2,h=2", &[&x, &weights, &weights, &[], &[], &[]]);
        let point = "n=3,i=2,h=2,state=given,bias=both";
        let given = outputs(point, &[&x, &weights, &weights, &[0.0; 6], &[0.0; 6], &[0.0; 6]]);
        assert_eq!(absent, given);
        let alone = outputs("n=1,i=2,h=2", &[&x[4..], &weights, &weights, &[], &[], &[]]);
        assert_eq!(absent[0].iter().skip(4).collect::<Vec<_>>(), alone[0].iter().collect::<Vec<_>>());
    }

    #[test]
    fn huge_sizes_are_errors() {
        for point in ["t=4611686018427387904,i=4", "h=9223372036854775807", "n=0,t=2147483648,h=4294967296"] {
            let point = Point::parse(AXES, point).expect("a point");
            assert!(matches!(GRU.problem(&point), Err(ProblemError::Overflow { .. })), "{point}");
        }
    }
}

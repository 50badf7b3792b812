//! `rnn`: one layer of the plain recurrent network, in either direction, over a sequence.
//!
//! For each step t, with h₋₁ = h0 (zeros where the problem has no initial state), and f tanh or ReLU:
//!
//! ```text
//! h[t] = f(x[t]·W_ihᵀ + b_ih + h[t−1]·W_hhᵀ + b_hh)                 y[t] = h[t]
//! ```
//!
//! Operands are those of a [recurrent layer](super::recurrent) of one gate. The gradient needs nothing but the outputs.
//!
//! **Order of summation** (part of the definition for f32 and f64): the sum is the product `x·W_ihᵀ` of
//! [`gemm`](super::gemm) with the bias b_ih, and that is the C of the product `h·W_hhᵀ` with β = 1 and the bias b_hh.
//!
//! # Derivation of the bounds
//! The sums are bounded as those of [`lstm`](super::lstm_bounds). tanh then is a gate. ReLU passes the error on, or none
//! where the sum is below 0 by more than that. Rows of W_hh are drawn with sums of magnitudes below 1: with ReLU, states
//! do not grow with T.

use ndarray::{Array2, Array3, ArrayD};

use super::gemm::choice_value;
use super::lstm_bounds::GATE_ULPS;
use super::recurrent::{BIAS, DIR, DOMAINS, H, I, LENGTHS, Layer, N, Operands, STATE, STEPS, Sizes, T};
use super::recurrent_backward::tolerances;
use crate::running::{Rounding, Running};
use crate::tolerance::Sum;
use crate::{Axis, Fill, Operator, Point, Port, Problem, ProblemError, Tolerance, Types, Unit, Witness};

const F: Axis = Axis::choice("f", "function", &["tanh", "relu"]).variant();

pub(super) const AXES: &[Axis] = &[F, T, N, I, H, BIAS, STATE, DIR, LENGTHS];

/// How far a sum is from 0 at least, in steps of a difference, for ReLU to have no kink there. The step of one input moves
/// a sum by as much as that input's factor, an x, an h or a W, and by less through later steps.
const KINK_STEPS: f64 = 64.0;

/// What a unit makes of its sum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Function {
    /// The hyperbolic tangent.
    Tanh,
    /// `max(z, 0)`; NaN stays.
    Relu,
}

impl Function {
    fn of(self, z: f64) -> f64 {
        match self {
            Function::Tanh => z.tanh(),
            Function::Relu if z < 0.0 => 0.0,
            Function::Relu => z,
        }
    }
}

/// A validated layer.
#[derive(Clone, Debug, PartialEq)]
pub struct Rnn {
    /// Sizes and operands.
    pub layer: Layer,
    /// What a unit makes of its sum.
    pub function: Function,
}

/// The sums and the outputs, T×N×H each.
pub(super) struct Pass {
    pub(super) sums: Array3<f64>,
    pub(super) y: Array3<f64>,
}

impl Rnn {
    /// Without biases and initial state.
    ///
    /// # Errors
    /// [`ProblemError::Overflow`] if a buffer does not fit the address space.
    pub fn new(
        function: Function,
        steps: usize,
        batch: usize,
        inputs: usize,
        hidden: usize,
    ) -> Result<Rnn, ProblemError> {
        Ok(Rnn { layer: Layer::plain(1, [steps, batch, inputs, hidden])?, function })
    }

    /// Of a point.
    pub(super) fn of(point: &Point) -> Result<Rnn, ProblemError> {
        let function = if choice_value(point, "f")? == "relu" { Function::Relu } else { Function::Tanh };
        Ok(Rnn { layer: Layer::of(point, 1)?, function })
    }

    /// The weights, biases, the initial state and the numbers of steps.
    pub(super) fn parameters(&self, types: Types) -> [Port; 6] {
        let [w_ih, w_hh, b_ih, b_hh] = self.layer.parameters(types);
        // Huge inputs stay as large as they are, so that their products in a gradient are finite.
        let (w_ih, w_hh) = (w_ih.recurrent(self.layer.inputs), w_hh.recurrent(self.layer.hidden.saturating_mul(2)));
        [w_ih, w_hh, b_ih, b_hh, self.layer.state("h0", types, self.layer.state), self.layer.of_lengths(types)]
    }

    /// h0.
    pub(super) fn initial(&self, inputs: &[ArrayD<f64>]) -> Array2<f64> {
        self.layer.initial(inputs, 5)
    }

    /// All steps.
    pub(super) fn pass(&self, inputs: &[ArrayD<f64>]) -> Pass {
        let layer = &self.layer;
        let Operands { x, w_ih, w_hh, b_ih, b_hh, walk } = layer.operands(inputs);
        let mut pass = Pass { sums: layer.zeros(layer.hidden), y: layer.zeros(layer.hidden) };
        let mut h = self.initial(inputs);
        for t in walk.order() {
            let z = x.index_axis(STEPS, t).dot(&w_ih.t()) + &b_ih + h.dot(&w_hh.t()) + &b_hh;
            walk.take(t, &mut h, &z.mapv(|z| self.function.of(z)));
            pass.sums.index_axis_mut(STEPS, t).assign(&z);
            pass.y.index_axis_mut(STEPS, t).assign(&h);
        }
        let (sums, y) = (walk.cleared(pass.sums), walk.cleared(pass.y));
        Pass { sums, y }
    }

    /// What the outputs of a kernel of these types are off by, whose x is off by so much.
    pub(super) fn errors(
        &self,
        types: Types,
        (inputs, x_off): (&[ArrayD<f64>], Option<&Array3<f64>>),
        pass: &Pass,
    ) -> Array3<f64> {
        let r = Rounding::of(types);
        let layer = &self.layer;
        let operands = layer.operands(inputs);
        let mut errors = layer.zeros(layer.hidden);
        let mut h = self.initial(inputs).mapv(Running::exact);
        for t in operands.walk.order() {
            let (values, off) = (h.mapv(|h| h.value), h.mapv(|h| h.error));
            let Sizes { x: of_x, x_brought, h: of_h, brought } = layer.sizes(&operands, x_off, t, (&values, &off));
            for at in ndarray::indices((layer.batch, layer.hidden)) {
                let (n, j) = at;
                if !operands.walk.has(t, n) {
                    continue;
                }
                let z = r.sum(pass.sums[[t, n, j]], layer.chains(), of_x[at] + of_h[at], x_brought[at] + brought[at]);
                h[at] = if self.function == Function::Tanh { r.tanh(z, GATE_ULPS) } else { r.relu(z) };
                errors[[t, n, j]] = h[at].error;
            }
        }
        errors
    }
}

impl Rnn {
    /// What the outputs are off by, of a kernel whose x is off by so much.
    pub(super) fn off(&self, types: Types, given: (&[ArrayD<f64>], Option<&Array3<f64>>)) -> Vec<ArrayD<f64>> {
        let errors = self.errors(types, given, &self.pass(given.0));
        let exact = Array2::zeros((self.layer.batch, self.layer.hidden));
        let last = self.layer.walk(given.0).last(&errors, exact);
        vec![errors.into_dyn(), last]
    }

    /// Whether ReLU has a kink within a step of these inputs.
    pub(super) fn near_kink(&self, inputs: &[ArrayD<f64>], eps: f64) -> bool {
        let pass = self.pass(inputs);
        let largest = inputs.iter().flatten().chain(&pass.y).fold(1.0, |most: f64, x| most.max(x.abs()));
        self.function == Function::Relu && pass.sums.iter().any(|z| z.abs() <= KINK_STEPS * eps * largest)
    }
}

impl Problem for Rnn {
    fn inputs(&self, types: Types) -> Vec<Port> {
        std::iter::once(self.layer.sequence("x", types, self.layer.inputs)).chain(self.parameters(types)).collect()
    }

    fn outputs(&self, types: Types) -> Vec<Port> {
        vec![self.layer.sequence("y", types, self.layer.hidden), self.layer.state("h_n", types, true)]
    }

    fn reference(&self, inputs: &[ArrayD<f64>]) -> Vec<ArrayD<f64>> {
        let Pass { y, .. } = self.pass(inputs);
        let h_n = self.layer.walk(inputs).last(&y, self.initial(inputs));
        vec![y.into_dyn(), h_n]
    }

    fn sums(&self) -> Vec<Sum> {
        self.layer.sums()
    }

    fn tolerance(&self, types: Types, _: Fill, inputs: &[ArrayD<f64>], expected: &[ArrayD<f64>]) -> Vec<Tolerance> {
        let formula = "running error of y: γ(chain(I) + chain(H) + 2)·Σ, and 3 ulp for tanh, through all steps";
        tolerances([formula, "that of the last y"], self.off(types, (inputs, None)), expected)
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

/// The operator `rnn`.
pub static RNN: Operator = Operator {
    name: "rnn",
    summary: "one layer of the plain recurrent network over a sequence, with tanh or ReLU",
    axes: AXES,
    types: &[Types::F32, Types::F64],
    make: |point| Ok(Box::new(Rnn::of(point)?)),
    workloads: super::recurrent_workloads::RNN,
    special_values: "NaN and ∞ follow the formula: tanh is ±1 for ±∞, ReLU keeps ∞; NaN stays in its sequence, from its step on",
    domains: DOMAINS,
    gradient: None,
    witness: Witness::Libtorch,
    batch: Some("n"),
};

#[cfg(test)]
mod tests {
    use super::*;

    fn outputs(point: &str, inputs: &[&[f64]]) -> Vec<ArrayD<f64>> {
        let problem = RNN.problem(&Point::parse(AXES, point).expect("a point")).expect("a problem");
        let arrays: Vec<ArrayD<f64>> = (problem.inputs(Types::F64).iter().zip(inputs))
            .map(|(port, values)| ArrayD::from_shape_vec(port.layout.shape.clone(), values.to_vec()).expect("all"))
            .collect();
        problem.reference(&arrays)
    }

    /// Computed by hand, exactly.
    #[test]
    fn the_second_step_sees_the_state_of_the_first() {
        let inputs: [&[f64]; 6] = [&[1.0, 2.0, 0.0, 0.0], &[0.5, 1.0], &[2.0], &[0.25], &[-0.5], &[4.0]];
        let found = outputs("f=relu,t=2,i=2,bias=both,state=given", &inputs);
        // 0.5 + 2 + 0.25 + 8 − 0.5, then twice that − 0.25.
        assert_eq!(found[0].iter().copied().collect::<Vec<_>>(), [10.25, 20.25]);
        assert_eq!(found[1].iter().copied().collect::<Vec<_>>(), [20.25]);
        let found = outputs("f=tanh,t=2,i=2", &[&[0.5, 0.25, 0.0, 0.0], &[1.0, 2.0], &[-3.0], &[], &[], &[]]);
        let first = 1f64.tanh();
        assert_eq!(found[0].iter().copied().collect::<Vec<_>>(), [first, (-3.0 * first).tanh()]);
    }

    #[test]
    fn relu_is_0_below_0_and_keeps_nan() {
        let found = outputs("f=relu,n=3,i=1", &[&[-1.0, f64::NAN, f64::INFINITY], &[2.0], &[1.0], &[], &[], &[]]);
        let found: Vec<f64> = found[0].iter().copied().collect();
        assert!(found[0] == 0.0 && found[1].is_nan() && found[2] == f64::INFINITY, "{found:?}");
    }

    #[test]
    fn without_steps_the_state_stays() {
        let found = outputs("t=0,h=2,state=given", &[&[], &[1.0; 2], &[1.0; 4], &[], &[], &[1.0, 2.0]]);
        assert_eq!(found[1].iter().copied().collect::<Vec<_>>(), [1.0, 2.0]);
    }

    #[test]
    fn huge_sizes_are_errors() {
        for point in ["t=4611686018427387904,i=4", "h=9223372036854775807", "n=0,t=4294967296,h=4294967296"] {
            let point = Point::parse(AXES, point).expect("a point");
            assert!(matches!(RNN.problem(&point), Err(ProblemError::Overflow { .. })), "{point}");
        }
    }
}

//! `lstm`: one layer of long short-term memory, in either direction, over a sequence.
//!
//! Time comes first: x is T×N×I, and for each step t, with h₋₁ = h0 and c₋₁ = c0 (zeros where the problem has no
//! initial state):
//!
//! ```text
//! z = x[t]·W_ihᵀ + b_ih + h[t−1]·W_hhᵀ + b_hh          N×4H, in the order i, f, g, o
//! i, f, o = σ(z),  g = tanh(z)
//! c[t] = f·c[t−1] + i·g
//! h[t] = o·tanh(c[t])                                  y[t] = h[t]
//! ```
//!
//! Operands are those of a [recurrent layer](super::recurrent) of four gates; c0 and c_n are N×H, too. What the
//! gradient needs are outputs, too, if wanted: the gates T×N×4H and the cells c T×N×H.
//!
//! **Order of summation** (part of the definition for f32 and f64): z is the product `x·W_ihᵀ` of
//! [`gemm`](super::gemm) with the bias b_ih, and that is the C of the product `h·W_hhᵀ` with β = 1 and the bias b_hh.
//! Then `c = fma(f, c, i·g)`.

use ndarray::{Array2, Array3, ArrayD};

use super::gemm::choice_value;
use super::lstm_bounds::{Errors, errors, flushed};
use super::recurrent::{
    BIAS, DIR, DOMAINS, H, I, LENGTHS, Layer, N, Operands, STATE, STEPS, T, kept, or_none, sigmoid,
};
use super::recurrent_backward::tolerances;
use super::walk::Walk;
use crate::tolerance::Sum;
use crate::{Axis, Fill, Operator, Point, Port, Problem, ProblemError, Tolerance, Types, Unit, Witness};

/// Gates of a unit: i, f, g, o.
pub const GATES: usize = 4;

const KEEP: Axis = Axis::choice("keep", "whether gates and cells are outputs, too", &["no", "yes"]);

/// The last axis is not the gradient's.
pub(super) const AXES: &[Axis] = &[T, N, I, H, BIAS, STATE, DIR, LENGTHS, KEEP];

/// A validated layer.
#[derive(Clone, Debug, PartialEq)]
pub struct Lstm {
    /// Sizes and operands.
    pub layer: Layer,
    /// Whether gates and cells are outputs.
    pub keep: bool,
}

/// What a pass computes: the sums, and of them everything that is an output.
pub struct Pass {
    /// z, T×N×4H.
    pub sums: Array3<f64>,
    /// i, f, g, o, T×N×4H.
    pub gates: Array3<f64>,
    /// c, T×N×H.
    pub cells: Array3<f64>,
    /// h, T×N×H.
    pub y: Array3<f64>,
}

impl Lstm {
    /// Without biases, initial state, and outputs for a gradient.
    ///
    /// # Errors
    /// [`ProblemError::Overflow`] if a buffer does not fit the address space.
    pub fn new(steps: usize, batch: usize, inputs: usize, hidden: usize) -> Result<Lstm, ProblemError> {
        Ok(Lstm { layer: Layer::plain(GATES, [steps, batch, inputs, hidden])?, keep: false })
    }

    /// Of a point; without outputs for a gradient.
    pub(super) fn of(point: &Point) -> Result<Lstm, ProblemError> {
        Ok(Lstm { layer: Layer::of(point, GATES)?, keep: false })
    }

    /// The weights, biases and initial states, and the numbers of steps.
    pub(super) fn parameters(&self, types: Types) -> [Port; 7] {
        let [w_ih, w_hh, b_ih, b_hh] = self.layer.parameters(types);
        let state = |name| self.layer.state(name, types, self.layer.state);
        [w_ih, w_hh, b_ih, b_hh, state("h0"), state("c0").recurrent(1), self.layer.of_lengths(types)]
    }

    /// h0 and c0.
    pub(super) fn initial(&self, inputs: &[ArrayD<f64>]) -> [Array2<f64>; 2] {
        [5, 6].map(|index| self.layer.initial(inputs, index))
    }

    /// All steps.
    pub fn pass(&self, inputs: &[ArrayD<f64>]) -> Pass {
        let layer = &self.layer;
        let Operands { x, w_ih, w_hh, b_ih, b_hh, walk } = layer.operands(inputs);
        let hidden = layer.hidden;
        let mut pass = Pass {
            sums: layer.zeros(4 * hidden),
            gates: layer.zeros(4 * hidden),
            cells: layer.zeros(hidden),
            y: layer.zeros(hidden),
        };
        let [mut h, mut c] = self.initial(inputs);
        for t in walk.order() {
            let z = x.index_axis(STEPS, t).dot(&w_ih.t()) + &b_ih + h.dot(&w_hh.t()) + &b_hh;
            for (n, j) in ndarray::indices((layer.batch, hidden)) {
                if !walk.has(t, n) {
                    continue;
                }
                let [i, f, g, o] = [0, 1, 2, 3].map(|gate| z[[n, gate * hidden + j]]);
                let [i, f, g, o] = [sigmoid(i), sigmoid(f), g.tanh(), sigmoid(o)];
                c[[n, j]] = f * c[[n, j]] + i * g;
                h[[n, j]] = o * c[[n, j]].tanh();
                for (gate, value) in [i, f, g, o].into_iter().enumerate() {
                    pass.gates[[t, n, gate * hidden + j]] = value;
                    pass.sums[[t, n, gate * hidden + j]] = z[[n, gate * hidden + j]];
                }
                pass.cells[[t, n, j]] = c[[n, j]];
                pass.y[[t, n, j]] = h[[n, j]];
            }
        }
        pass
    }

    /// The bounds of the outputs, of a kernel whose gates are off by `lost` more.
    fn bounds(&self, types: Types, inputs: &[ArrayD<f64>], expected: &[ArrayD<f64>], lost: f64) -> Vec<Tolerance> {
        let formulas = [
            "running error of y: γ(chain(I) + chain(H) + 2)·Σ and 3 ulp for each gate, through all steps",
            "that of the last y",
            "that of the last cells",
            "running error of the gates",
            "running error of the cells",
        ];
        tolerances(formulas, self.off(types, (inputs, None), lost), expected)
    }

    /// What the outputs are off by, of a kernel whose x is off by so much and whose gates are off by `lost` more.
    pub(super) fn off(
        &self,
        types: Types,
        (inputs, x_off): (&[ArrayD<f64>], Option<&Array3<f64>>),
        lost: f64,
    ) -> Vec<ArrayD<f64>> {
        let Errors { y, gates, cells } = errors(self, types, (inputs, x_off), &self.pass(inputs), lost);
        let given = || Array2::zeros((self.layer.batch, self.layer.hidden));
        self.outputs_of(&self.layer.walk(inputs), [y, gates, cells], [given(), given()])
    }

    /// y, h_n, c_n, and gates and cells if they are kept.
    fn outputs_of(
        &self,
        walk: &Walk,
        [y, gates, cells]: [Array3<f64>; 3],
        [h0, c0]: [Array2<f64>; 2],
    ) -> Vec<ArrayD<f64>> {
        let (h_n, c_n) = (walk.last(&y, h0), walk.last(&cells, c0));
        vec![y.into_dyn(), h_n, c_n, or_none(gates.into_dyn(), self.keep), or_none(cells.into_dyn(), self.keep)]
    }
}

impl Problem for Lstm {
    fn inputs(&self, types: Types) -> Vec<Port> {
        std::iter::once(self.layer.sequence("x", types, self.layer.inputs)).chain(self.parameters(types)).collect()
    }

    fn outputs(&self, types: Types) -> Vec<Port> {
        let Layer { hidden, .. } = self.layer;
        vec![
            self.layer.sequence("y", types, hidden),
            self.layer.state("h_n", types, true),
            self.layer.state("c_n", types, true),
            kept(self.layer.sequence("gates", types, 4 * hidden), self.keep),
            kept(self.layer.sequence("cells", types, hidden), self.keep),
        ]
    }

    fn reference(&self, inputs: &[ArrayD<f64>]) -> Vec<ArrayD<f64>> {
        let Pass { gates, cells, y, .. } = self.pass(inputs);
        self.outputs_of(&self.layer.walk(inputs), [y, gates, cells], self.initial(inputs))
    }

    fn sums(&self) -> Vec<Sum> {
        self.layer.sums()
    }

    /// The running error of each element: see [`lstm_bounds`](super::lstm_bounds).
    fn tolerance(&self, types: Types, _: Fill, inputs: &[ArrayD<f64>], expected: &[ArrayD<f64>]) -> Vec<Tolerance> {
        self.bounds(types, inputs, expected, 0.0)
    }

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
        self.layer.differentiable(2)
    }

    fn degenerate(&self) -> bool {
        self.layer.is_empty()
    }
}

/// The operator `lstm`.
pub static LSTM: Operator = Operator {
    name: "lstm",
    summary: "one layer of long short-term memory over a sequence, with what its gradient needs",
    axes: AXES,
    types: &[Types::F32, Types::F64],
    make: |point| {
        let keep = choice_value(point, "keep")? == "yes";
        Ok(Box::new(Lstm { keep, ..Lstm::of(point)? }))
    },
    workloads: super::recurrent_workloads::LSTM,
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
        let problem = LSTM.problem(&Point::parse(AXES, point).expect("a point")).expect("a problem");
        let arrays: Vec<ArrayD<f64>> = (problem.inputs(Types::F64).iter().zip(inputs))
            .map(|(port, values)| ArrayD::from_shape_vec(port.layout.shape.clone(), values.to_vec()).expect("all"))
            .collect();
        problem.reference(&arrays)
    }

    /// Computed by hand. The second input is 0, so that without the state of the first step the second output would be
    /// 0.
    #[test]
    fn the_second_step_sees_the_state_of_the_first() {
        let (w_ih, w_hh) = ([1.0, 0.0, 0.0, 1.0, 2.0, 0.0, 0.0, -1.0], [0.0, 1.0, 1.0, 2.0]);
        let found = outputs("t=2,i=2,keep=yes", &[&[1.0, 0.5, 0.0, 0.0], &w_ih, &w_hh, &[], &[], &[], &[]]);
        let last = |of: usize| found[of].iter().last().copied();
        // z = 1, 0.5, 2, −0.5: c = σ(1)·tanh(2), h = σ(−0.5)·tanh(c).
        let c1: f64 = 0.731_058_578_630_004_9 * 0.964_027_580_075_816_9;
        let h1 = 0.377_540_668_798_145_4 * c1.tanh();
        // z = 0, h, h, 2h.
        let c2 = sigmoid(h1) * c1 + 0.5 * h1.tanh();
        let h2 = sigmoid(2.0 * h1) * c2.tanh();
        for (output, wanted) in [(0, [h1, h2]), (4, [c1, c2])] {
            let off = found[output].iter().zip(wanted).map(|(found, wanted)| (found - wanted).abs());
            assert!(found[output].len() == 2 && off.fold(0.0, f64::max) < 1e-15, "{found:?}, expected {wanted:?}");
        }
        assert_eq!((last(1), last(2)), (last(0), last(4)));
        assert!(h2 > 0.2, "{h2}");
    }

    #[test]
    fn absent_states_are_zeros() {
        let weights: Vec<f64> = (0..16).map(|k| f64::from(k % 5) - 2.0).collect();
        let (x, zeros) = ([0.5, -1.0, 2.0, 0.25], [0.0; 2]);
        let absent = outputs("t=2,i=2,h=2", &[&x, &weights, &weights, &[], &[], &[], &[]]);
        let given = outputs("t=2,i=2,h=2,state=given", &[&x, &weights, &weights, &[], &[], &zeros, &zeros]);
        assert_eq!(absent, given);
    }

    /// A sequence of three steps of five has what it has alone, in both directions, and one without steps passes its state
    /// through. What lies behind an end is not read.
    #[test]
    fn steps_that_a_sequence_lacks_are_not_there() {
        let weights: Vec<f64> = (0..4).map(|k| f64::from(k) / 2.0 - 1.0).collect();
        let x = [0.5, -1.0, 2.0, 0.25, 1.5, -0.75];
        for (dir, lengths) in [("forward", [0, 3]), ("reverse", [0, 3]), ("forward", [3, 3]), ("reverse", [3, 3])] {
            // T×N: of both sequences, five steps.
            let at = |t: usize, n: usize| if t < lengths[n] { x[3 * n + t] } else { f64::NAN };
            let padded: Vec<f64> = (0..10).map(|i| at(i / 2, i % 2)).collect();
            let given = lengths.map(|length| length as f64);
            let point = format!("t=5,n=2,state=given,dir={dir},lengths=given,keep=yes");
            let states = [[0.5, -0.5], [0.25, 1.0]];
            let all = outputs(&point, &[&padded, &weights, &weights, &[], &[], &states[0], &states[1], &given]);
            for (n, &length) in lengths.iter().enumerate() {
                let own: Vec<f64> = (0..length).map(|t| x[3 * n + t]).collect();
                let point = format!("t={length},n=1,state=given,dir={dir},keep=yes");
                let states = states.map(|state| [state[n]]);
                let alone = outputs(&point, &[&own, &weights, &weights, &[], &[], &states[0], &states[1], &[]]);
                for output in [0, 3, 4] {
                    let (all, alone) = (all[output].index_axis(ndarray::Axis(1), n), alone[output].iter());
                    let zeros = all.len() - alone.len();
                    let wanted: Vec<f64> = alone.copied().chain(std::iter::repeat_n(0.0, zeros)).collect();
                    assert_eq!(all.iter().copied().collect::<Vec<_>>(), wanted, "{dir} {length}, output {output}");
                }
                for state in [1, 2] {
                    assert_eq!(all[state][[n, 0]], alone[state][[0, 0]], "{dir} {length}, state {state}");
                }
            }
        }
    }

    #[test]
    fn without_steps_the_state_stays() {
        let found = outputs("t=0,h=2,state=given", &[&[], &[1.0; 8], &[1.0; 16], &[], &[], &[1.0, 2.0], &[3.0, 4.0]]);
        assert_eq!(found[1].iter().chain(&found[2]).copied().collect::<Vec<_>>(), [1.0, 2.0, 3.0, 4.0]);
    }

    #[test]
    fn huge_sizes_are_errors() {
        for point in ["t=4611686018427387904,i=4", "h=4611686018427387904", "n=0,t=2147483648,h=4294967296"] {
            let point = Point::parse(AXES, point).expect("a point");
            assert!(matches!(LSTM.problem(&point), Err(ProblemError::Overflow { .. })), "{point}");
        }
    }
}

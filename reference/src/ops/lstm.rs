//! `lstm`: one layer of long short-term memory, in one direction, over a sequence.
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
//! All operands are contiguous: W_ih 4H×I, W_hh 4H×H, b_ih and b_hh 4H; h0, c0 and the last states h_n, c_n N×H; y
//! T×N×H. What the gradient needs are outputs, too, if wanted: the gates T×N×4H and the cells c T×N×H.
//!
//! **Order of summation** (part of the definition for f32 and f64): z is the product `x·W_ihᵀ` of
//! [`gemm`](super::gemm) with the bias b_ih, and that is the C of the product `h·W_hhᵀ` with β = 1 and the bias b_hh.
//! Then `c = fma(f, c, i·g)`.

use ndarray::{Array1, Array2, Array3, ArrayD, ArrayView1, ArrayView2, ArrayView3, Axis as NdAxis, Ix1, Ix2, Ix3};

use super::gemm::{chain, choice_value};
use super::lstm_bounds::{Errors, errors, flushed};
use crate::operator::{elements, size};
use crate::tolerance::Sum;
use crate::{
    Axis, Domain, Fill, Layout, Operator, Point, Port, Problem, ProblemError, Tolerance, Types, Unit, Witness,
};

const SIZES: &[i64] = &[0, 1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 32, 33, 65];

pub(super) const T: Axis = Axis::int("t", "steps", 1, 9, &[0, 1, 2, 3, 4, 5, 17, 33, 129]);
pub(super) const N: Axis = Axis::int("n", "sequences", 1, 18, &[0, 1, 2, 3, 4, 5, 7, 8, 9, 16, 17]);
pub(super) const I: Axis = Axis::int("i", "elements of an input", 1, 70, SIZES);
pub(super) const H: Axis = Axis::int("h", "hidden units", 1, 70, SIZES);
pub(super) const BIAS: Axis = Axis::choice("bias", "whether there are b_ih and b_hh", &["none", "both"]);
pub(super) const STATE: Axis =
    Axis::choice("state", "whether h0 and c0 are given; zeros otherwise", &["none", "given"]);

const AXES: &[Axis] =
    &[T, N, I, H, BIAS, STATE, Axis::choice("keep", "whether gates and cells are outputs, too", &["no", "yes"])];

/// The dimension of a sequence that its steps have.
pub(super) const STEPS: NdAxis = NdAxis(0);

/// Long sequences of few units, and steps that are products with a vector.
pub(super) const DOMAINS: &[Domain] = &[
    Domain { name: "long", fixed: &[("t", &[64, 130]), ("n", &[1, 2]), ("h", &[1, 3, 8])] },
    Domain { name: "one sequence", fixed: &[("n", &[1]), ("t", &[2, 3, 5]), ("h", &[17, 33, 64])] },
];

/// A validated layer.
#[derive(Clone, Debug, PartialEq)]
pub struct Lstm {
    /// Steps T.
    pub steps: usize,
    /// Sequences N.
    pub batch: usize,
    /// Elements I of an input.
    pub inputs: usize,
    /// Hidden units H.
    pub hidden: usize,
    /// Whether there are b_ih and b_hh.
    pub bias: bool,
    /// Whether h0 and c0 are given; they are zeros otherwise.
    pub state: bool,
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

/// Views of the inputs; absent biases and states are zeros.
pub(super) struct Operands<'a> {
    pub(super) x: ArrayView3<'a, f64>,
    pub(super) w_ih: ArrayView2<'a, f64>,
    pub(super) w_hh: ArrayView2<'a, f64>,
    pub(super) b_ih: Array1<f64>,
    pub(super) b_hh: Array1<f64>,
    pub(super) h0: Array2<f64>,
    pub(super) c0: Array2<f64>,
}

/// 1/(1 + e^−x); below 0 as e^x/(1 + e^x), so that nothing overflows.
pub(crate) fn sigmoid(x: f64) -> f64 {
    let z = (-x.abs()).exp();
    if x < 0.0 { z / (1.0 + z) } else { 1.0 / (1.0 + z) }
}

impl Lstm {
    /// Without biases, initial state, and outputs for a gradient.
    ///
    /// # Errors
    /// [`ProblemError::Overflow`] if a buffer does not fit the address space.
    pub fn new(steps: usize, batch: usize, inputs: usize, hidden: usize) -> Result<Lstm, ProblemError> {
        Lstm { steps, batch, inputs, hidden, bias: false, state: false, keep: false }.validated()
    }

    /// Checks sizes; call after changing fields.
    ///
    /// # Errors
    /// [`ProblemError::Overflow`] if a buffer does not fit the address space.
    pub fn validated(self) -> Result<Lstm, ProblemError> {
        // Strides are products of some of the extents: an extent of 0 does not excuse the others.
        let [t, n, i, h] = [self.steps, self.batch, self.inputs, self.hidden].map(|extent| extent.max(1));
        elements("t·n·i", &[t, n, i])?;
        elements("t·n·4h", &[t, n, 4, h])?;
        elements("4h·i", &[4, h, i])?;
        elements("4h·h", &[4, h, h])?;
        Ok(self)
    }

    /// Of a point; without outputs for a gradient.
    pub(super) fn of(point: &Point) -> Result<Lstm, ProblemError> {
        Lstm {
            bias: choice_value(point, "bias")? == "both",
            state: choice_value(point, "state")? == "given",
            ..Lstm::new(size(point, "t")?, size(point, "n")?, size(point, "i")?, size(point, "h")?)?
        }
        .validated()
    }

    /// Elements of h and c after a step: N·H.
    pub fn state_len(&self) -> usize {
        self.batch * self.hidden
    }

    /// Gates of a step: N·4H.
    pub fn gates_len(&self) -> usize {
        4 * self.state_len()
    }

    /// A T×N×`width` operand.
    pub(super) fn sequence(&self, name: &'static str, types: Types, width: usize) -> Port {
        Port::new(name, types, Layout::contiguous(&[self.steps, self.batch, width]))
    }

    /// An N×H operand.
    pub(super) fn state(&self, name: &'static str, types: Types, present: bool) -> Port {
        Port::optional(name, types, Layout::contiguous(&[self.batch, self.hidden]), present)
    }

    /// The weights, biases and initial states.
    pub(super) fn parameters(&self, types: Types) -> [Port; 6] {
        let rows = 4 * self.hidden;
        let bias = |name| Port::optional(name, types, Layout::contiguous(&[rows]), self.bias).weights();
        [
            Port::new("w_ih", types, Layout::contiguous(&[rows, self.inputs])).weights(),
            // In a gradient, 4H products with it are added in each step.
            Port::new("w_hh", types, Layout::contiguous(&[rows, self.hidden])).recurrent(rows).weights(),
            bias("b_ih"),
            bias("b_hh"),
            self.state("h0", types, self.state),
            self.state("c0", types, self.state).recurrent(1),
        ]
    }

    pub(super) fn operands<'a>(&self, inputs: &'a [ArrayD<f64>]) -> Operands<'a> {
        let matrix = |i: usize| inputs[i].view().into_dimensionality::<Ix2>().expect("two dimensions");
        let bias = |i: usize| match self.bias {
            true => inputs[i].clone().into_dimensionality::<Ix1>().expect("4H"),
            false => Array1::zeros(4 * self.hidden),
        };
        let state = |i: usize| match self.state {
            true => matrix(i).to_owned(),
            false => Array2::zeros((self.batch, self.hidden)),
        };
        Operands {
            x: inputs[0].view().into_dimensionality::<Ix3>().expect("T×N×I"),
            w_ih: matrix(1),
            w_hh: matrix(2),
            b_ih: bias(3),
            b_hh: bias(4),
            h0: state(5),
            c0: state(6),
        }
    }

    /// All steps.
    pub fn pass(&self, inputs: &[ArrayD<f64>]) -> Pass {
        let Operands { x, w_ih, w_hh, b_ih, b_hh, h0, c0 } = self.operands(inputs);
        let (steps, batch, hidden) = (self.steps, self.batch, self.hidden);
        let mut pass = Pass {
            sums: Array3::zeros((steps, batch, 4 * hidden)),
            gates: Array3::zeros((steps, batch, 4 * hidden)),
            cells: Array3::zeros((steps, batch, hidden)),
            y: Array3::zeros((steps, batch, hidden)),
        };
        let (mut h, mut c) = (h0, c0);
        for t in 0..steps {
            let z = x.index_axis(STEPS, t).dot(&w_ih.t()) + &b_ih + h.dot(&w_hh.t()) + &b_hh;
            for (n, j) in ndarray::indices((batch, hidden)) {
                let [i, f, g, o] = [0, 1, 2, 3].map(|gate| z[[n, gate * hidden + j]]);
                let [i, f, g, o] = [sigmoid(i), sigmoid(f), g.tanh(), sigmoid(o)];
                c[[n, j]] = f * c[[n, j]] + i * g;
                h[[n, j]] = o * c[[n, j]].tanh();
                for (gate, value) in [i, f, g, o].into_iter().enumerate() {
                    pass.gates[[t, n, gate * hidden + j]] = value;
                }
            }
            pass.sums.index_axis_mut(STEPS, t).assign(&z);
            pass.cells.index_axis_mut(STEPS, t).assign(&c);
            pass.y.index_axis_mut(STEPS, t).assign(&h);
        }
        pass
    }

    /// The bounds of the outputs, of a kernel whose gates are off by `lost` more.
    fn bounds(&self, types: Types, inputs: &[ArrayD<f64>], expected: &[ArrayD<f64>], lost: f64) -> Vec<Tolerance> {
        let Errors { y, gates, cells } = errors(self, types, inputs, &self.pass(inputs), lost);
        let given = || Array2::zeros((self.batch, self.hidden));
        let formulas = [
            "running error of y: γ(chain(I) + chain(H) + 2)·Σ and 3 ulp for each gate, through all steps",
            "that of the last y",
            "that of the last cells",
            "running error of the gates",
            "running error of the cells",
        ];
        let bounds = self.outputs_of(y, gates, cells, given(), given());
        formulas.into_iter().zip(bounds).zip(expected).map(|((f, bound), y)| Tolerance::bound(f, bound, y)).collect()
    }

    /// The last of `states`, or the initial one if there is no step.
    fn last(&self, states: &Array3<f64>, initial: Array2<f64>) -> ArrayD<f64> {
        let last = self.steps.checked_sub(1).map(|t| states.index_axis(STEPS, t).to_owned());
        last.unwrap_or(initial).into_dyn()
    }

    /// y, h_n, c_n, and gates and cells if they are kept.
    fn outputs_of(
        &self,
        y: Array3<f64>,
        gates: Array3<f64>,
        cells: Array3<f64>,
        h0: Array2<f64>,
        c0: Array2<f64>,
    ) -> Vec<ArrayD<f64>> {
        let (h_n, c_n) = (self.last(&y, h0), self.last(&cells, c0));
        let kept = |array: Array3<f64>| if self.keep { array.into_dyn() } else { ArrayD::zeros(vec![0]) };
        vec![y.into_dyn(), h_n, c_n, kept(gates), kept(cells)]
    }
}

/// Row-wise sums of magnitudes: `|rows|·|weights|ᵀ`.
pub(super) fn magnitudes(rows: ArrayView2<'_, f64>, weights: ArrayView2<'_, f64>) -> Array2<f64> {
    rows.mapv(f64::abs).dot(&weights.mapv(f64::abs).t())
}

/// The magnitudes of a vector.
pub(super) fn magnitude(vector: ArrayView1<'_, f64>) -> Array1<f64> {
    vector.mapv(f64::abs)
}

impl Problem for Lstm {
    fn inputs(&self, types: Types) -> Vec<Port> {
        std::iter::once(self.sequence("x", types, self.inputs)).chain(self.parameters(types)).collect()
    }

    fn outputs(&self, types: Types) -> Vec<Port> {
        let kept = |port: Port| if self.keep { port } else { Port { layout: Layout::absent(), ..port } };
        vec![
            self.sequence("y", types, self.hidden),
            self.state("h_n", types, true),
            self.state("c_n", types, true),
            kept(self.sequence("gates", types, 4 * self.hidden)),
            kept(self.sequence("cells", types, self.hidden)),
        ]
    }

    fn reference(&self, inputs: &[ArrayD<f64>]) -> Vec<ArrayD<f64>> {
        let Operands { h0, c0, .. } = self.operands(inputs);
        let Pass { gates, cells, y, .. } = self.pass(inputs);
        self.outputs_of(y, gates, cells, h0, c0)
    }

    /// Over all I + H products.
    fn sums(&self) -> Vec<Sum> {
        let Lstm { inputs, hidden, .. } = *self;
        vec![Sum::new(inputs + hidden + 2, chain(inputs) + chain(hidden) + 2, "running error")]
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

    /// The products; the gates' functions and the cells' updates are few beside them.
    fn operations(&self) -> (f64, Unit) {
        let [t, n, i, h] = [self.steps, self.batch, self.inputs, self.hidden].map(|x| x as f64);
        (8.0 * t * n * h * (i + h), Unit::Fma)
    }

    fn differentiable(&self) -> Vec<usize> {
        let optional = [(self.bias, 3), (self.bias, 4), (self.state, 5), (self.state, 6)];
        [0, 1, 2].into_iter().chain(optional.into_iter().filter_map(|(there, i)| there.then_some(i))).collect()
    }

    fn degenerate(&self) -> bool {
        self.steps * self.state_len() == 0
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
    workloads: super::lstm_workloads::FORWARD,
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

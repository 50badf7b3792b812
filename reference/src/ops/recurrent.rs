//! What recurrent layers share: sizes, operands, and the sums behind their gates.
//!
//! A layer has H hidden units with G gates each: G = 4 in [`lstm`](super::lstm), 3 in [`gru`](super::gru), 1 in
//! [`rnn`](super::rnn). Time comes first. All operands are contiguous:
//!
//! | operand | shape |
//! |---|---|
//! | x | T×N×I |
//! | W_ih, W_hh | G·H×I, G·H×H |
//! | b_ih, b_hh, if the layer has biases | G·H |
//! | h0, and what else is carried, if the initial state is given; zeros otherwise | N×H |
//! | lengths, if each sequence has a number of steps of its own, 0…T | N |
//! | y, and the last state h_n | T×N×H, N×H |
//!
//! A layer goes `forward` from the first step, or in `reverse` from the last one; the output of a step stays at its place.
//! The steps that a sequence lacks are at its end in both directions. There x is not read, y is 0, and the state passes
//! through; the gradient of x is 0.

use ndarray::{Array1, Array2, Array3, ArrayD, ArrayView1, ArrayView2, Axis as NdAxis, Ix1, Ix2, Ix3};

use super::gemm::{chain, choice_value};
use super::walk::Walk;
use crate::operator::{elements, size};
use crate::tensor::Values;
use crate::tolerance::Sum;
use crate::{Axis, DType, Domain, Layout, Point, Port, ProblemError, Types, Unit};

const SIZES: &[i64] = &[0, 1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 32, 33, 65];

pub(super) const T: Axis = Axis::int("t", "steps", 1, 9, &[0, 1, 2, 3, 4, 5, 17, 33, 129]);
pub(super) const N: Axis = Axis::int("n", "sequences", 1, 18, &[0, 1, 2, 3, 4, 5, 7, 8, 9, 16, 17]);
pub(super) const I: Axis = Axis::int("i", "elements of an input", 1, 70, SIZES);
pub(super) const H: Axis = Axis::int("h", "hidden units", 1, 70, SIZES);
pub(super) const BIAS: Axis = Axis::choice("bias", "whether there are b_ih and b_hh", &["none", "both"]);
pub(super) const STATE: Axis =
    Axis::choice("state", "whether the initial state is given; zeros otherwise", &["none", "given"]);
pub(super) const DIR: Axis =
    Axis::choice("dir", "whether the first or the last step comes first", &["forward", "reverse"]);
pub(super) const LENGTHS: Axis =
    Axis::choice("lengths", "whether each sequence has a number of steps of its own", &["no", "given"]);

/// The dimension of a sequence that its steps have.
pub(super) const STEPS: NdAxis = NdAxis(0);

/// Long sequences of few units, and steps that are products with a vector.
pub(super) const DOMAINS: &[Domain] = &[
    Domain { name: "long", fixed: &[("t", &[64, 130]), ("n", &[1, 2]), ("h", &[1, 3, 8])] },
    Domain { name: "lengths", fixed: &[("lengths", &[1]), ("n", &[2, 3, 9]), ("t", &[3, 5])] },
    Domain { name: "one sequence", fixed: &[("n", &[1]), ("t", &[2, 3, 5]), ("h", &[17, 33, 64])] },
];

/// Sizes of a layer, and which operands it has.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Layer {
    /// Gates G of a unit.
    pub gates: usize,
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
    /// Whether the initial state is given.
    pub state: bool,
    /// Whether the last step comes first.
    pub reverse: bool,
    /// Whether each sequence has a number of steps of its own.
    pub lengths: bool,
}

/// Views of the inputs; absent biases are zeros.
pub(super) struct Operands<'a> {
    /// Zeros at steps that a sequence lacks.
    pub(super) x: Array3<f64>,
    pub(super) w_ih: ArrayView2<'a, f64>,
    pub(super) w_hh: ArrayView2<'a, f64>,
    pub(super) b_ih: Array1<f64>,
    pub(super) b_hh: Array1<f64>,
    pub(super) walk: Walk,
}

/// What the sums of a step are bounded by.
pub(super) struct Sizes {
    /// Σ(|x| + e(x))|W_ih| + |b_ih|, N×G·H, where e(x) is what x is off by.
    pub(super) x: Array2<f64>,
    /// Σ e(x)|W_ih|.
    pub(super) x_brought: Array2<f64>,
    /// Σ(|h| + e(h))|W_hh| + |b_hh|, where e(h) is what h is off by.
    pub(super) h: Array2<f64>,
    /// Σ e(h)|W_hh|.
    pub(super) brought: Array2<f64>,
}

impl Layer {
    /// Forward over whole sequences, without biases and initial state.
    ///
    /// # Errors
    /// [`ProblemError::Overflow`] if a buffer does not fit the address space.
    pub fn plain(gates: usize, [steps, batch, inputs, hidden]: [usize; 4]) -> Result<Layer, ProblemError> {
        let (bias, state, reverse, lengths) = (false, false, false, false);
        Layer { gates, steps, batch, inputs, hidden, bias, state, reverse, lengths }.validated()
    }

    /// Checks sizes.
    ///
    /// # Errors
    /// [`ProblemError::Overflow`] if a buffer does not fit the address space.
    pub fn validated(self) -> Result<Layer, ProblemError> {
        // Strides are products of some of the extents: an extent of 0 does not excuse the others.
        let [t, n, i, h] = [self.steps, self.batch, self.inputs, self.hidden].map(|extent| extent.max(1));
        elements("t·n·i", &[t, n, i])?;
        elements("t·n·g·h", &[t, n, self.gates, h])?;
        elements("g·h·i", &[self.gates, h, i])?;
        elements("g·h·h", &[self.gates, h, h])?;
        Ok(self)
    }

    /// Of a point, for `gates` gates per unit.
    pub(super) fn of(point: &Point, gates: usize) -> Result<Layer, ProblemError> {
        let [steps, batch, inputs, hidden] =
            [size(point, "t")?, size(point, "n")?, size(point, "i")?, size(point, "h")?];
        let bias = choice_value(point, "bias")? == "both";
        let state = choice_value(point, "state")? == "given";
        let reverse = choice_value(point, "dir")? == "reverse";
        let lengths = choice_value(point, "lengths")? == "given";
        Layer { gates, steps, batch, inputs, hidden, bias, state, reverse, lengths }.validated()
    }

    /// Where the step lies that the layer computes after `index` others.
    pub fn step(&self, index: usize) -> usize {
        if self.reverse { self.steps - 1 - index } else { index }
    }

    /// Elements of h after a step: N·H.
    pub fn state_len(&self) -> usize {
        self.batch * self.hidden
    }

    /// Sums of a sequence's step: G·H.
    pub fn columns(&self) -> usize {
        self.gates * self.hidden
    }

    /// Sums of a step: N·G·H.
    pub fn gates_len(&self) -> usize {
        self.batch * self.columns()
    }

    /// A T×N×`width` operand.
    pub(super) fn sequence(&self, name: &'static str, types: Types, width: usize) -> Port {
        Port::new(name, types, Layout::contiguous(&[self.steps, self.batch, width]))
    }

    /// An N×H operand.
    pub(super) fn state(&self, name: &'static str, types: Types, present: bool) -> Port {
        Port::optional(name, types, Layout::contiguous(&[self.batch, self.hidden]), present)
    }

    /// W_ih, W_hh, b_ih and b_hh.
    pub(super) fn parameters(&self, types: Types) -> [Port; 4] {
        let rows = self.columns();
        let bias = |name| Port::optional(name, types, Layout::contiguous(&[rows]), self.bias).weights();
        [
            Port::new("w_ih", types, Layout::contiguous(&[rows, self.inputs])).weights(),
            // In a gradient, G·H products with it are added in each step.
            Port::new("w_hh", types, Layout::contiguous(&[rows, self.hidden])).recurrent(rows).weights(),
            bias("b_ih"),
            bias("b_hh"),
        ]
    }

    /// The numbers of steps, the last input of a forward pass.
    pub(super) fn of_lengths(&self, types: Types) -> Port {
        let port = Port::optional("lengths", types, Layout::contiguous(&[self.batch]), self.lengths);
        port.typed(DType::I64).drawn(Values::Below(self.steps + 1))
    }

    /// The gradients of x, W_ih, W_hh.
    pub(super) fn gradients(&self, types: Types) -> [Port; 3] {
        let of = |name, cols| Port::new(name, types, Layout::contiguous(&[self.columns(), cols]));
        [self.sequence("dx", types, self.inputs), of("dw_ih", self.inputs), of("dw_hh", self.hidden)]
    }

    /// The gradient of a bias.
    pub(super) fn bias_gradient(&self, name: &'static str, types: Types) -> Port {
        Port::optional(name, types, Layout::contiguous(&[self.columns()]), self.bias)
    }

    /// The steps of the sequences, by the inputs of a forward pass.
    pub(super) fn walk(&self, inputs: &[ArrayD<f64>]) -> Walk {
        Walk::new(self, inputs.last())
    }

    /// Of the first five inputs of a forward pass, and the last one.
    pub(super) fn operands<'a>(&self, inputs: &'a [ArrayD<f64>]) -> Operands<'a> {
        let matrix = |i: usize| inputs[i].view().into_dimensionality::<Ix2>().expect("two dimensions");
        let bias = |i: usize| match self.bias {
            true => inputs[i].clone().into_dimensionality::<Ix1>().expect("G·H"),
            false => Array1::zeros(self.columns()),
        };
        let walk = self.walk(inputs);
        let x = inputs[0].clone().into_dimensionality::<Ix3>().expect("T×N×I");
        Operands { x: walk.cleared(x), w_ih: matrix(1), w_hh: matrix(2), b_ih: bias(3), b_hh: bias(4), walk }
    }

    /// The initial state that is input `index`, or zeros.
    pub(super) fn initial(&self, inputs: &[ArrayD<f64>], index: usize) -> Array2<f64> {
        match self.state {
            true => inputs[index].clone().into_dimensionality::<Ix2>().expect("N×H"),
            false => Array2::zeros((self.batch, self.hidden)),
        }
    }

    /// Zeros, T×N×`width`.
    pub(super) fn zeros(&self, width: usize) -> Array3<f64> {
        Array3::zeros((self.steps, self.batch, width))
    }

    /// What bounds the sums of step `t`, given what x is off by, the output before and what that is off by.
    pub(super) fn sizes(
        &self,
        operands: &Operands<'_>,
        x_off: Option<&Array3<f64>>,
        t: usize,
        (h, off): (&Array2<f64>, &Array2<f64>),
    ) -> Sizes {
        let Operands { x, w_ih, w_hh, b_ih, b_hh, .. } = operands;
        let brought = magnitudes(off.view(), *w_hh);
        let x_brought = x_off
            .map_or_else(|| Array2::zeros(brought.raw_dim()), |x_off| magnitudes(x_off.index_axis(STEPS, t), *w_ih));
        Sizes {
            x: magnitudes(x.index_axis(STEPS, t), *w_ih) + magnitude(b_ih.view()) + &x_brought,
            x_brought,
            h: magnitudes(h.view(), *w_hh) + magnitude(b_hh.view()) + &brought,
            brought,
        }
    }

    /// Roundings behind a sum over the inputs and the hidden units.
    pub(super) fn chains(&self) -> usize {
        chain(self.inputs) + chain(self.hidden) + 2
    }

    /// Over all I + H products.
    pub(super) fn sums(&self) -> Vec<Sum> {
        vec![Sum::new(self.inputs + self.hidden + 2, self.chains(), "running error")]
    }

    /// Those of the forward pass, and over all gates and all rows.
    pub(super) fn sums_back(&self) -> Vec<Sum> {
        let longest = self.columns().max(self.steps * self.batch).max(1);
        let mut sums = self.sums();
        sums.push(Sum::new(longest, chain(longest), "running error"));
        sums
    }

    /// The products; the gates' functions and what follows them are few beside them.
    pub(super) fn operations(&self) -> (f64, Unit) {
        let [g, t, n, i, h] = [self.gates, self.steps, self.batch, self.inputs, self.hidden].map(|x| x as f64);
        (2.0 * g * t * n * h * (i + h), Unit::Fma)
    }

    /// Each of the products of the forward pass has two in the gradient.
    pub(super) fn operations_back(&self) -> (f64, Unit) {
        let (operations, unit) = self.operations();
        (2.0 * operations, unit)
    }

    /// x, the parameters, and `states` initial states: those of them that there are.
    pub(super) fn differentiable(&self, states: usize) -> Vec<usize> {
        let optional = [3, 4].map(|i| (self.bias, i)).into_iter().chain((5..5 + states).map(|i| (self.state, i)));
        [0, 1, 2].into_iter().chain(optional.filter_map(|(there, i)| there.then_some(i))).collect()
    }

    /// Whether no step computes anything.
    pub(super) fn is_empty(&self) -> bool {
        self.steps * self.state_len() == 0
    }
}

/// The output if `present`, an absent one otherwise.
pub(super) fn kept(port: Port, present: bool) -> Port {
    if present { port } else { Port { layout: Layout::absent(), ..port } }
}

/// The array if `present`, an empty one otherwise.
pub(super) fn or_none(array: ArrayD<f64>, present: bool) -> ArrayD<f64> {
    if present { array } else { ArrayD::zeros(vec![0]) }
}

/// Row-wise sums of magnitudes: `|rows|·|weights|ᵀ`.
pub(super) fn magnitudes(rows: ArrayView2<'_, f64>, weights: ArrayView2<'_, f64>) -> Array2<f64> {
    rows.mapv(f64::abs).dot(&weights.mapv(f64::abs).t())
}

/// The magnitudes of a vector.
fn magnitude(vector: ArrayView1<'_, f64>) -> Array1<f64> {
    vector.mapv(f64::abs)
}

/// 1/(1 + e^−x); below 0 as e^x/(1 + e^x), so that nothing overflows.
pub(crate) fn sigmoid(x: f64) -> f64 {
    let z = (-x.abs()).exp();
    if x < 0.0 { z / (1.0 + z) } else { 1.0 / (1.0 + z) }
}

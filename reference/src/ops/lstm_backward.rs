//! `lstm_backward`: the gradients of [`lstm`], by backpropagation through time.
//!
//! Upstream gradients are those of y, h_n and c_n. The forward pass keeps its gates, cells and outputs; for each step
//! t from the last to the first, with dh = dh_n and dc = dc_n before, and c₋₁, h₋₁ the states before the step:
//!
//! ```text
//! dh = dy[t] + dh
//! dc = dc + dh·o·(1 − tanh²(c))
//! dz = dc·g·i(1 − i),  dc·c₋₁·f(1 − f),  dc·i·(1 − g²),  dh·tanh(c)·o(1 − o)          N×4H
//! dh = dz·W_hh,  dc = dc·f
//! ```
//!
//! What follows from dz of all steps is common to [recurrent layers](super::recurrent_backward), with their order of
//! summation; b_ih and b_hh have the same gradient db, and dh0, dc0 are the last dh and dc. Shapes are those of `lstm`.
//! The biases are operands for those who compute the forward pass again; the formulas do not read them.

use ndarray::{Array2, Array3, ArrayD, Ix2, Ix3};

use super::lstm::{self, LSTM, Lstm};
use super::lstm_backward_bounds::{Kept, bounds};
use super::lstm_bounds::{errors, flushed};
use super::recurrent::{DOMAINS, Operands, STEPS, or_none};
use super::recurrent_backward::{Gradients, Sums};
use crate::operator::downcast;
use crate::tolerance::Sum;
use crate::{
    Axis, Data, Fill, Gradient, Operator, Point, Port, Problem, Takes, Tolerance, Types, Unit, Witness, gradient,
};

const AXES: &[Axis] = lstm::AXES.split_at(lstm::AXES.len() - 1).0;

/// A validated gradient.
#[derive(Clone, Debug, PartialEq)]
pub struct LstmBackward {
    /// The forward pass, which keeps its gates and cells.
    pub lstm: Lstm,
}

/// Positions of the inputs.
const X: usize = 3;
pub(super) const Y: usize = 11;
pub(super) const GATES: usize = 12;
pub(super) const CELLS: usize = 13;

/// Upstream gradients and what the forward pass kept.
pub(super) struct Views<'a> {
    pub(super) forward: Operands<'a>,
    pub(super) h0: Array2<f64>,
    pub(super) c0: Array2<f64>,
    pub(super) dy: Array3<f64>,
    pub(super) dh_n: Array2<f64>,
    pub(super) dc_n: Array2<f64>,
    pub(super) y: Array3<f64>,
    pub(super) gates: Array3<f64>,
    pub(super) cells: Array3<f64>,
}

impl LstmBackward {
    pub(super) fn views<'a>(&self, inputs: &'a [ArrayD<f64>]) -> Views<'a> {
        let sequence = |i: usize| inputs[i].clone().into_dimensionality::<Ix3>().expect("three dimensions");
        let state = |i: usize| inputs[i].clone().into_dimensionality::<Ix2>().expect("N×H");
        let [h0, c0] = self.lstm.initial(&inputs[X..Y]);
        Views {
            forward: self.lstm.layer.operands(&inputs[X..Y]),
            h0,
            c0,
            dy: sequence(0),
            dh_n: state(1),
            dc_n: state(2),
            y: sequence(Y),
            gates: sequence(GATES),
            cells: sequence(CELLS),
        }
    }

    /// The outputs that the problem has, of all.
    pub(super) fn present(&self, gradients: Gradients, dh0: ArrayD<f64>, dc0: ArrayD<f64>) -> Vec<ArrayD<f64>> {
        let [dx, dw_ih, dw_hh, db, _] = gradients;
        let [bias, state] = [self.lstm.layer.bias, self.lstm.layer.state];
        vec![dx, dw_ih, dw_hh, or_none(db, bias), or_none(dh0, state), or_none(dc0, state)]
    }
}

impl Problem for LstmBackward {
    fn inputs(&self, types: Types) -> Vec<Port> {
        let layer = &self.lstm.layer;
        let [w_ih, w_hh, b_ih, b_hh, h0, c0, lengths] = self.lstm.parameters(types);
        // Never infinite: a derivative that underflows would decide between ∞ and NaN.
        vec![
            layer.sequence("dy", types, layer.hidden).factor(),
            layer.state("dh_n", types, true).factor(),
            layer.state("dc_n", types, true).factor(),
            layer.sequence("x", types, layer.inputs).factor(),
            w_ih.factor(),
            w_hh,
            b_ih,
            b_hh,
            h0.factor(),
            c0,
            lengths,
            layer.sequence("y", types, layer.hidden),
            layer.sequence("gates", types, layer.columns()),
            layer.sequence("cells", types, layer.hidden),
        ]
    }

    fn outputs(&self, types: Types) -> Vec<Port> {
        let layer = &self.lstm.layer;
        let [dx, dw_ih, dw_hh] = layer.gradients(types);
        let state = |name| layer.state(name, types, layer.state);
        vec![dx, dw_ih, dw_hh, layer.bias_gradient("db", types), state("dh0"), state("dc0")]
    }

    /// Gates, cells and outputs are those of the inputs.
    fn draw(&self, types: Types, fill: Fill, seed: u64) -> Vec<Data> {
        GRADIENT.draw(self, &self.lstm, types, fill, seed)
    }

    fn reference(&self, inputs: &[ArrayD<f64>]) -> Vec<ArrayD<f64>> {
        let Views { forward, h0, c0, dy, dh_n: mut dh, dc_n: mut dc, gates, cells, y } = self.views(inputs);
        let (batch, hidden) = (self.lstm.layer.batch, self.lstm.layer.hidden);
        let mut dz = Sums::of(&self.lstm.layer);
        let walk = &forward.walk;
        for t in walk.order().rev() {
            let before = walk.states_before(&cells, &c0, t);
            for (n, j) in ndarray::indices((batch, hidden)) {
                if !walk.has(t, n) {
                    continue;
                }
                let [i, f, g, o] = [0, 1, 2, 3].map(|gate| gates[[t, n, gate * hidden + j]]);
                let tanh = cells[[t, n, j]].tanh();
                let dh = dy[[t, n, j]] + dh[[n, j]];
                let dc_t = dc[[n, j]] + dh * o * ((1.0 - tanh) * (1.0 + tanh));
                let of_gates = [
                    dc_t * g * (i * (1.0 - i)),
                    dc_t * before[[n, j]] * (f * (1.0 - f)),
                    dc_t * i * ((1.0 - g) * (1.0 + g)),
                    dh * tanh * (o * (1.0 - o)),
                ];
                for (gate, value) in of_gates.into_iter().enumerate() {
                    dz.set([t, n, gate * hidden + j], value, value);
                }
                dc[[n, j]] = dc_t * f;
            }
            walk.take(t, &mut dh, &dz.of_h.index_axis(STEPS, t).dot(&forward.w_hh));
        }
        self.present(dz.gradients(&forward, &y, &h0), dh.into_dyn(), dc.into_dyn())
    }

    /// The running error of each element: see `lstm_backward_bounds.rs`.
    fn tolerance(&self, types: Types, _: Fill, inputs: &[ArrayD<f64>], expected: &[ArrayD<f64>]) -> Vec<Tolerance> {
        bounds(self, types, inputs, &Kept::as_given(inputs), expected)
    }

    /// A witness has gates, cells and outputs of its own, off by what the forward pass is.
    fn witness_tolerance(
        &self,
        types: Types,
        _: Fill,
        inputs: &[ArrayD<f64>],
        expected: &[ArrayD<f64>],
    ) -> Vec<Tolerance> {
        let forward = &inputs[X..Y];
        let pass = self.lstm.pass(forward);
        let kept = Kept::anew(inputs, &pass, &errors(&self.lstm, types, (forward, None), &pass, flushed(types)));
        bounds(self, types, inputs, &kept, expected)
    }

    fn sums(&self) -> Vec<Sum> {
        self.lstm.layer.sums_back()
    }

    fn operations(&self) -> (f64, Unit) {
        self.lstm.layer.operations_back()
    }

    /// The biases.
    fn unread_inputs(&self) -> Vec<usize> {
        vec![X + 3, X + 4]
    }

    fn degenerate(&self) -> bool {
        self.lstm.layer.is_empty()
    }
}

/// The operator `lstm_backward`.
pub static LSTM_BACKWARD: Operator = Operator {
    name: "lstm_backward",
    summary: "gradients of lstm by backpropagation through time: dx, dW_ih, dW_hh, db, dh0, dc0",
    axes: AXES,
    types: &[Types::F32, Types::F64],
    make: |point| Ok(Box::new(LstmBackward { lstm: Lstm { keep: true, ..Lstm::of(point)? } })),
    workloads: super::recurrent_workloads::LSTM_BACKWARD,
    special_values: "NaN and ∞ follow the formula: NaN stays in its sequence up to its step, and is in all sums over sequences",
    domains: DOMAINS,
    gradient: Some(&GRADIENT),
    witness: Witness::Libtorch,
    batch: None,
};

static GRADIENT: Gradient = Gradient {
    forward: &LSTM,
    point: |point: &Point| gradient::keeping(lstm::AXES, point),
    takes: &[
        Takes::Upstream(0),
        Takes::Upstream(1),
        Takes::Upstream(2),
        Takes::Input(0),
        Takes::Input(1),
        Takes::Input(2),
        Takes::Input(3),
        Takes::Input(4),
        Takes::Input(5),
        Takes::Input(6),
        Takes::Input(7),
        Takes::Output(0),
        Takes::Output(3),
        Takes::Output(4),
    ],
    gives: &[(0, 0), (1, 1), (2, 2), (3, 3), (3, 4), (4, 5), (5, 6)],
    linear: |_| &[],
    autograd: Some(|problem| Box::new(downcast::<LstmBackward>(problem).lstm.clone())),
    near_kink: gradient::SMOOTH,
};

//! `rnn_backward`: the gradients of [`rnn`](super::rnn), by backpropagation through time.
//!
//! Upstream gradients are those of y and h_n; of the forward pass the outputs are enough. For each step t from the last
//! to the first, with dh = dh_n before:
//!
//! ```text
//! dz = (dy[t] + dh)·(1 − y[t]²)                 with tanh
//! dz = dy[t] + dh, or 0 where y[t] ≤ 0          with ReLU
//! dh = dz·W_hh
//! ```
//!
//! What follows from dz of all steps is common to [recurrent layers](super::recurrent_backward), with their order of
//! summation; b_ih and b_hh have the same gradient db, and dh0 is the last dh. Shapes are those of `rnn`. The biases are
//! operands for those who compute the forward pass again; the formulas do not read them.
//!
//! # Derivation of the bounds
//! [`Running`] bounds the formulas of a step; what follows is bounded as in
//! [`recurrent_backward`](super::recurrent_backward). A witness that computes the forward pass anew has other outputs,
//! off by e(y). With ReLU, where y − e(y) ≤ 0 < y + e(y), it may take the other side: dz is off by its whole size, or by
//! what it would be. With tanh, libtorch rounds y² before it subtracts: 1 − y² is off by u more.

use ndarray::{Array2, Array3, ArrayD, Ix2, Ix3};

use super::recurrent::{DOMAINS, Operands, STEPS, or_none};
use super::recurrent_backward::{Brought, FORMULAS, Gradients, Sums, anew, errors, tolerances};
use super::rnn::{AXES, Function, RNN, Rnn};
use crate::operator::downcast;
use crate::running::{Rounding, Running};
use crate::tolerance::Sum;
use crate::{Data, Fill, Gradient, Operator, Point, Port, Problem, Takes, Tolerance, Types, Unit, Witness};

/// A validated gradient.
#[derive(Clone, Debug, PartialEq)]
pub struct RnnBackward {
    /// The forward pass.
    pub rnn: Rnn,
}

/// Positions of the inputs.
const X: usize = 2;
const Y: usize = 9;

/// Upstream gradients and what the forward pass kept.
struct Views<'a> {
    forward: Operands<'a>,
    h0: Array2<f64>,
    dy: Array3<f64>,
    dh_n: Array2<f64>,
    y: Array3<f64>,
}

impl RnnBackward {
    fn views<'a>(&self, inputs: &'a [ArrayD<f64>]) -> Views<'a> {
        let sequence = |i: usize| inputs[i].clone().into_dimensionality::<Ix3>().expect("three dimensions");
        Views {
            forward: self.rnn.layer.operands(&inputs[X..Y]),
            h0: self.rnn.initial(&inputs[X..Y]),
            dy: sequence(0),
            dh_n: inputs[1].clone().into_dimensionality::<Ix2>().expect("N×H"),
            y: sequence(Y),
        }
    }

    /// The outputs that the problem has, of all.
    fn present(&self, gradients: Gradients, dh0: ArrayD<f64>) -> Vec<ArrayD<f64>> {
        let [dx, dw_ih, dw_hh, db, _] = gradients;
        vec![dx, dw_ih, dw_hh, or_none(db, self.rnn.layer.bias), or_none(dh0, self.rnn.layer.state)]
    }

    /// What the outputs are off by where those of the forward pass are by `kept`, or are what is given.
    pub(super) fn off(
        &self,
        types: Types,
        inputs: &[ArrayD<f64>],
        kept: Option<Array3<f64>>,
        brought: &Brought,
    ) -> Vec<ArrayD<f64>> {
        let r = Rounding::of(types);
        let rounded = kept.as_ref().map_or(0.0, |_| types.accumulator.unit_roundoff());
        let layer = &self.rnn.layer;
        let Views { forward, h0, dy, dh_n, y } = self.views(inputs);
        let kept = kept.unwrap_or_else(|| layer.zeros(layer.hidden));
        let (mut sums, mut off) = (Sums::of(layer), Sums::of(layer));
        let mut dh = dh_n.mapv(Running::exact);
        let walk = &forward.walk;
        for t in walk.order().rev() {
            for (n, j) in ndarray::indices((layer.batch, layer.hidden)) {
                if !walk.has(t, n) {
                    continue;
                }
                let at = [t, n, j];
                let y = Running::new(y[at], kept[at]);
                let all = r.add(brought.dy(&dy, at), dh[[n, j]]);
                let dz = match self.rnn.function {
                    Function::Tanh => {
                        let slope = r.curved(y);
                        r.mul(all, Running::new(slope.value, slope.error + rounded))
                    }
                    Function::Relu => {
                        let either = y.error > 0.0 && y.value <= y.error;
                        let whole = if either { all.value.abs() + all.error } else { all.error };
                        if y.value <= 0.0 {
                            Running::new(0.0, if either { whole } else { 0.0 })
                        } else {
                            Running::new(all.value, whole)
                        }
                    }
                };
                sums.set(at, dz.value, dz.value);
                off.set(at, dz.error, dz.error);
            }
            walk.take(t, &mut dh, &sums.carried(&off, t, forward.w_hh, r));
        }
        self.present(sums.bounds(&off, layer, &forward, (&y, &kept, &h0), brought.x.as_ref(), r), errors(&dh))
    }

    fn bounds(
        &self,
        types: Types,
        inputs: &[ArrayD<f64>],
        kept: Option<Array3<f64>>,
        expected: &[ArrayD<f64>],
    ) -> Vec<Tolerance> {
        let bounds = self.off(types, inputs, kept, &Brought::default());
        tolerances(FORMULAS.into_iter().chain(["running error of dh"]), bounds, expected)
    }
}

impl Problem for RnnBackward {
    fn inputs(&self, types: Types) -> Vec<Port> {
        let layer = &self.rnn.layer;
        let [w_ih, w_hh, b_ih, b_hh, h0, lengths] = self.rnn.parameters(types);
        // Never infinite: a product that underflows would decide between ∞ and NaN.
        vec![
            layer.sequence("dy", types, layer.hidden).factor(),
            layer.state("dh_n", types, true).factor(),
            layer.sequence("x", types, layer.inputs).factor(),
            w_ih,
            w_hh,
            b_ih.factor(),
            b_hh.factor(),
            h0.factor(),
            lengths,
            layer.sequence("y", types, layer.hidden),
        ]
    }

    fn outputs(&self, types: Types) -> Vec<Port> {
        let layer = &self.rnn.layer;
        let [dx, dw_ih, dw_hh] = layer.gradients(types);
        vec![dx, dw_ih, dw_hh, layer.bias_gradient("db", types), layer.state("dh0", types, layer.state)]
    }

    /// Outputs are those of the inputs.
    fn draw(&self, types: Types, fill: Fill, seed: u64) -> Vec<Data> {
        GRADIENT.draw(self, &self.rnn, types, fill, seed)
    }

    fn reference(&self, inputs: &[ArrayD<f64>]) -> Vec<ArrayD<f64>> {
        let Views { forward, h0, dy, dh_n: mut dh, y } = self.views(inputs);
        let mut sums = Sums::of(&self.rnn.layer);
        let walk = &forward.walk;
        for t in walk.order().rev() {
            for (n, j) in ndarray::indices((self.rnn.layer.batch, self.rnn.layer.hidden)) {
                if !walk.has(t, n) {
                    continue;
                }
                let (y, all) = (y[[t, n, j]], dy[[t, n, j]] + dh[[n, j]]);
                let dz = match self.rnn.function {
                    Function::Tanh => all * ((1.0 - y) * (1.0 + y)),
                    Function::Relu if y <= 0.0 => 0.0,
                    Function::Relu => all,
                };
                sums.set([t, n, j], dz, dz);
            }
            walk.take(t, &mut dh, &sums.of_h.index_axis(STEPS, t).dot(&forward.w_hh));
        }
        self.present(sums.gradients(&forward, &y, &h0), dh.into_dyn())
    }

    fn tolerance(&self, types: Types, _: Fill, inputs: &[ArrayD<f64>], expected: &[ArrayD<f64>]) -> Vec<Tolerance> {
        self.bounds(types, inputs, None, expected)
    }

    /// A witness has outputs of its own, off by what the forward pass is.
    fn witness_tolerance(
        &self,
        types: Types,
        _: Fill,
        inputs: &[ArrayD<f64>],
        expected: &[ArrayD<f64>],
    ) -> Vec<Tolerance> {
        let forward = &inputs[X..Y];
        let pass = self.rnn.pass(forward);
        let kept = anew(&inputs[Y], &pass.y, &self.rnn.errors(types, (forward, None), &pass));
        self.bounds(types, inputs, Some(kept), expected)
    }

    fn sums(&self) -> Vec<Sum> {
        self.rnn.layer.sums_back()
    }

    fn operations(&self) -> (f64, Unit) {
        self.rnn.layer.operations_back()
    }

    /// The biases.
    fn unread_inputs(&self) -> Vec<usize> {
        vec![X + 3, X + 4]
    }

    fn degenerate(&self) -> bool {
        self.rnn.layer.is_empty()
    }
}

/// The operator `rnn_backward`.
pub static RNN_BACKWARD: Operator = Operator {
    name: "rnn_backward",
    summary: "gradients of rnn by backpropagation through time: dx, dW_ih, dW_hh, db, dh0",
    axes: AXES,
    types: &[Types::F32, Types::F64],
    make: |point| Ok(Box::new(RnnBackward { rnn: Rnn::of(point)? })),
    workloads: super::recurrent_workloads::RNN_BACKWARD,
    special_values: "NaN and ∞ follow the formula: where y is NaN, ReLU passes the gradient on; NaN is in all sums over sequences",
    domains: DOMAINS,
    gradient: Some(&GRADIENT),
    witness: Witness::Libtorch,
    batch: None,
};

static GRADIENT: Gradient = Gradient {
    forward: &RNN,
    point: Point::clone,
    takes: &[
        Takes::Upstream(0),
        Takes::Upstream(1),
        Takes::Input(0),
        Takes::Input(1),
        Takes::Input(2),
        Takes::Input(3),
        Takes::Input(4),
        Takes::Input(5),
        Takes::Input(6),
        Takes::Output(0),
    ],
    gives: &[(0, 0), (1, 1), (2, 2), (3, 3), (3, 4), (4, 5)],
    linear: |_| &[],
    autograd: Some(|problem| Box::new(downcast::<RnnBackward>(problem).rnn.clone())),
    near_kink: |problem, inputs, eps| downcast::<Rnn>(problem).near_kink(inputs, eps),
};

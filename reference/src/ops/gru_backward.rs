//! `gru_backward`: the gradients of [`gru`], by backpropagation through time.
//!
//! Upstream gradients are those of y and h_n. The forward pass keeps its gates r, z, n, the sums q and the outputs; for
//! each step t from the last to the first, with dh = dh_n before, and h₋₁ the output before the step:
//!
//! ```text
//! dh = dy[t] + dh
//! dn = dh·(1 − z)·(1 − n²)
//! dz = dn·q·r(1 − r),  dh·(h₋₁ − n)·z(1 − z),  dn             of the sums over the inputs, N×3H
//! dr = dn·q·r(1 − r),  dh·(h₋₁ − n)·z(1 − z),  dn·r           of those over the hidden units
//! dh = dh·z + dr·W_hh
//! ```
//!
//! What follows from dz and dr of all steps is common to [recurrent layers](super::recurrent_backward), with their order
//! of summation; dh0 is the last dh. Shapes are those of `gru`. The biases are operands for those who compute the forward
//! pass again; the formulas do not read them.

use ndarray::{Array2, Array3, ArrayD, Ix2, Ix3};

use super::gru::{self, GRU, Gru};
use super::gru_backward_bounds::{Kept, bounds};
use super::lstm_bounds::flushed;
use super::recurrent::{DOMAINS, Operands, STEPS, or_none};
use super::recurrent_backward::{Gradients, Sums};
use crate::operator::downcast;
use crate::tolerance::Sum;
use crate::{
    Axis, Data, Fill, Gradient, Operator, Point, Port, Problem, Takes, Tolerance, Types, Unit, Witness, gradient,
};

const AXES: &[Axis] = gru::AXES.split_at(gru::AXES.len() - 1).0;

/// A validated gradient.
#[derive(Clone, Debug, PartialEq)]
pub struct GruBackward {
    /// The forward pass, which keeps its gates and q.
    pub gru: Gru,
}

/// Positions of the inputs.
const X: usize = 2;
pub(super) const Y: usize = 9;
pub(super) const GATES: usize = 10;
pub(super) const RECURRENT: usize = 11;

/// Upstream gradients and what the forward pass kept.
pub(super) struct Views<'a> {
    pub(super) forward: Operands<'a>,
    pub(super) h0: Array2<f64>,
    pub(super) dy: Array3<f64>,
    pub(super) dh_n: Array2<f64>,
    pub(super) y: Array3<f64>,
    pub(super) gates: Array3<f64>,
    pub(super) recurrent: Array3<f64>,
}

impl GruBackward {
    pub(super) fn views<'a>(&self, inputs: &'a [ArrayD<f64>]) -> Views<'a> {
        let sequence = |i: usize| inputs[i].clone().into_dimensionality::<Ix3>().expect("three dimensions");
        Views {
            forward: self.gru.layer.operands(&inputs[X..Y]),
            h0: self.gru.initial(&inputs[X..Y]),
            dy: sequence(0),
            dh_n: inputs[1].clone().into_dimensionality::<Ix2>().expect("N×H"),
            y: sequence(Y),
            gates: sequence(GATES),
            recurrent: sequence(RECURRENT),
        }
    }

    /// The outputs that the problem has, of all.
    pub(super) fn present(&self, gradients: Gradients, dh0: ArrayD<f64>) -> Vec<ArrayD<f64>> {
        let [dx, dw_ih, dw_hh, db_ih, db_hh] = gradients;
        let [bias, state] = [self.gru.layer.bias, self.gru.layer.state];
        vec![dx, dw_ih, dw_hh, or_none(db_ih, bias), or_none(db_hh, bias), or_none(dh0, state)]
    }
}

impl Problem for GruBackward {
    fn inputs(&self, types: Types) -> Vec<Port> {
        let layer = &self.gru.layer;
        let [w_ih, w_hh, b_ih, b_hh, h0, lengths] = self.gru.parameters(types);
        // Never infinite: a derivative that underflows would decide between ∞ and NaN.
        vec![
            layer.sequence("dy", types, layer.hidden).factor(),
            layer.state("dh_n", types, true).factor(),
            layer.sequence("x", types, layer.inputs).factor(),
            w_ih.factor(),
            w_hh,
            b_ih,
            b_hh,
            h0,
            lengths,
            layer.sequence("y", types, layer.hidden),
            layer.sequence("gates", types, layer.columns()),
            layer.sequence("recurrent", types, layer.hidden),
        ]
    }

    fn outputs(&self, types: Types) -> Vec<Port> {
        let layer = &self.gru.layer;
        let [dx, dw_ih, dw_hh] = layer.gradients(types);
        let bias = |name| layer.bias_gradient(name, types);
        vec![dx, dw_ih, dw_hh, bias("db_ih"), bias("db_hh"), layer.state("dh0", types, layer.state)]
    }

    /// Gates, q and outputs are those of the inputs.
    fn draw(&self, types: Types, fill: Fill, seed: u64) -> Vec<Data> {
        GRADIENT.draw(self, &self.gru, types, fill, seed)
    }

    fn reference(&self, inputs: &[ArrayD<f64>]) -> Vec<ArrayD<f64>> {
        let Views { forward, h0, dy, dh_n: mut dh, y, gates, recurrent } = self.views(inputs);
        let (batch, hidden) = (self.gru.layer.batch, self.gru.layer.hidden);
        let mut sums = Sums::of(&self.gru.layer);
        let walk = &forward.walk;
        for t in walk.order().rev() {
            let before = walk.states_before(&y, &h0, t);
            for (s, j) in ndarray::indices((batch, hidden)) {
                if !walk.has(t, s) {
                    continue;
                }
                let [r, z, n] = [0, 1, 2].map(|gate| gates[[t, s, gate * hidden + j]]);
                let dh_t = dy[[t, s, j]] + dh[[s, j]];
                let dn = dh_t * (1.0 - z) * ((1.0 - n) * (1.0 + n));
                let dr = dn * recurrent[[t, s, j]] * (r * (1.0 - r));
                let dz = dh_t * (before[[s, j]] - n) * (z * (1.0 - z));
                for (gate, (of_x, of_h)) in [(dr, dr), (dz, dz), (dn, dn * r)].into_iter().enumerate() {
                    sums.set([t, s, gate * hidden + j], of_x, of_h);
                }
                dh[[s, j]] = dh_t * z;
            }
            let all = &dh + &sums.of_h.index_axis(STEPS, t).dot(&forward.w_hh);
            walk.take(t, &mut dh, &all);
        }
        self.present(sums.gradients(&forward, &y, &h0), dh.into_dyn())
    }

    /// The running error of each element: see `gru_backward_bounds.rs`.
    fn tolerance(&self, types: Types, _: Fill, inputs: &[ArrayD<f64>], expected: &[ArrayD<f64>]) -> Vec<Tolerance> {
        bounds(self, types, inputs, &Kept::as_given(inputs), expected)
    }

    /// A witness has gates, q and outputs of its own, off by what the forward pass is.
    fn witness_tolerance(
        &self,
        types: Types,
        _: Fill,
        inputs: &[ArrayD<f64>],
        expected: &[ArrayD<f64>],
    ) -> Vec<Tolerance> {
        let forward = &inputs[X..Y];
        let pass = self.gru.pass(forward);
        let kept = Kept::anew(inputs, &pass, &self.gru.errors(types, (forward, None), &pass, flushed(types)));
        bounds(self, types, inputs, &kept, expected)
    }

    fn sums(&self) -> Vec<Sum> {
        self.gru.layer.sums_back()
    }

    fn operations(&self) -> (f64, Unit) {
        self.gru.layer.operations_back()
    }

    /// The biases.
    fn unread_inputs(&self) -> Vec<usize> {
        vec![X + 3, X + 4]
    }

    fn degenerate(&self) -> bool {
        self.gru.layer.is_empty()
    }
}

/// The operator `gru_backward`.
pub static GRU_BACKWARD: Operator = Operator {
    name: "gru_backward",
    summary: "gradients of gru by backpropagation through time: dx, dW_ih, dW_hh, db_ih, db_hh, dh0",
    axes: AXES,
    types: &[Types::F32, Types::F64],
    make: |point| Ok(Box::new(GruBackward { gru: Gru { keep: true, ..Gru::of(point)? } })),
    workloads: super::recurrent_workloads::GRU_BACKWARD,
    special_values: "NaN and ∞ follow the formula: NaN stays in its sequence up to its step, and is in all sums over sequences",
    domains: DOMAINS,
    gradient: Some(&GRADIENT),
    witness: Witness::Libtorch,
    batch: None,
};

static GRADIENT: Gradient = Gradient {
    forward: &GRU,
    point: |point: &Point| gradient::keeping(gru::AXES, point),
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
        Takes::Output(2),
        Takes::Output(3),
    ],
    gives: &[(0, 0), (1, 1), (2, 2), (3, 3), (4, 4), (5, 5)],
    linear: |_| &[],
    autograd: Some(|problem| Box::new(downcast::<GruBackward>(problem).gru.clone())),
    near_kink: gradient::SMOOTH,
};

//! `lstm_backward`: the gradients of [`lstm`](super::lstm), by backpropagation through time.
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
//! Then `dx = dz·W_ih`, `dW_ih = Σₜ dzᵀ·x`, `dW_hh = Σₜ dzᵀ·h₋₁`, `db = Σ dz` (of b_ih and of b_hh alike), and dh0,
//! dc0 are the last dh and dc. Shapes are those of `lstm`. The biases are operands for those who compute the forward
//! pass again; the formulas do not read them.
//!
//! **Order of summation** (part of the definition for f32 and f64): products are those of [`gemm`](super::gemm). dW_ih
//! is one product over all T·N rows. dW_hh is the product of the first step with h0, which is the C of one over the
//! other (T − 1)·N rows with β = 1. db adds the T·N rows in order.

use ndarray::{Array2, Array3, ArrayD, Axis as NdAxis, Ix2, Ix3};

use super::gemm::chain;
use super::lstm::{BIAS, DOMAINS, H, I, LSTM, Lstm, N, Operands, STATE, STEPS, T};
use super::lstm_backward_bounds::{Kept, bounds};
use super::lstm_bounds::{errors, flushed};
use crate::operator::downcast;
use crate::tolerance::Sum;
use crate::{
    Axis, Data, Fill, Gradient, Layout, Operator, Point, Port, Problem, Takes, Tolerance, Types, Unit, Witness,
    gradient,
};

const AXES: &[Axis] = &[T, N, I, H, BIAS, STATE];

/// A validated gradient.
#[derive(Clone, Debug, PartialEq)]
pub struct LstmBackward {
    /// The forward pass, which keeps its gates and cells.
    pub lstm: Lstm,
}

/// Positions of the inputs.
const X: usize = 3;
pub(super) const Y: usize = 10;
pub(super) const GATES: usize = 11;
pub(super) const CELLS: usize = 12;

/// Upstream gradients and what the forward pass kept.
pub(super) struct Views<'a> {
    pub(super) forward: Operands<'a>,
    pub(super) dy: Array3<f64>,
    pub(super) dh_n: Array2<f64>,
    pub(super) dc_n: Array2<f64>,
    pub(super) y: Array3<f64>,
    pub(super) gates: Array3<f64>,
    pub(super) cells: Array3<f64>,
}

impl Views<'_> {
    /// Of `states`, that before step `t`.
    pub(super) fn before(&self, states: &Array3<f64>, initial: &Array2<f64>, t: usize) -> Array2<f64> {
        t.checked_sub(1).map_or(initial.clone(), |t| states.index_axis(STEPS, t).to_owned())
    }
}

/// All rows of a T×N×`width` array.
pub(super) fn rows(array: &Array3<f64>) -> Array2<f64> {
    let (t, n, width) = array.dim();
    array.to_owned().into_shape_with_order((t * n, width)).expect("contiguous")
}

impl LstmBackward {
    pub(super) fn views<'a>(&self, inputs: &'a [ArrayD<f64>]) -> Views<'a> {
        let sequence = |i: usize| inputs[i].clone().into_dimensionality::<Ix3>().expect("three dimensions");
        let state = |i: usize| inputs[i].clone().into_dimensionality::<Ix2>().expect("N×H");
        Views {
            forward: self.lstm.operands(&inputs[X..Y]),
            dy: sequence(0),
            dh_n: state(1),
            dc_n: state(2),
            y: sequence(Y),
            gates: sequence(GATES),
            cells: sequence(CELLS),
        }
    }

    /// The outputs that the problem has, of all six arrays.
    pub(super) fn present(&self, [dx, dw_ih, dw_hh, db, dh0, dc0]: [ArrayD<f64>; 6]) -> Vec<ArrayD<f64>> {
        let or_none = |there: bool, array| if there { array } else { ArrayD::zeros(vec![0]) };
        let Lstm { bias, state, .. } = self.lstm;
        vec![dx, dw_ih, dw_hh, or_none(bias, db), or_none(state, dh0), or_none(state, dc0)]
    }
}

impl Problem for LstmBackward {
    fn inputs(&self, types: Types) -> Vec<Port> {
        let Lstm { inputs, hidden, .. } = self.lstm;
        let [w_ih, w_hh, b_ih, b_hh, h0, c0] = self.lstm.parameters(types);
        // Never infinite: a derivative that underflows would decide between ∞ and NaN.
        vec![
            self.lstm.sequence("dy", types, hidden).factor(),
            self.lstm.state("dh_n", types, true).factor(),
            self.lstm.state("dc_n", types, true).factor(),
            self.lstm.sequence("x", types, inputs).factor(),
            w_ih.factor(),
            w_hh,
            b_ih,
            b_hh,
            h0.factor(),
            c0,
            self.lstm.sequence("y", types, hidden),
            self.lstm.sequence("gates", types, 4 * hidden),
            self.lstm.sequence("cells", types, hidden),
        ]
    }

    fn outputs(&self, types: Types) -> Vec<Port> {
        let Lstm { inputs, hidden, bias, state, .. } = self.lstm;
        let of = |name, shape: &[usize]| Port::new(name, types, Layout::contiguous(shape));
        vec![
            self.lstm.sequence("dx", types, inputs),
            of("dw_ih", &[4 * hidden, inputs]),
            of("dw_hh", &[4 * hidden, hidden]),
            Port::optional("db", types, Layout::contiguous(&[4 * hidden]), bias),
            self.lstm.state("dh0", types, state),
            self.lstm.state("dc0", types, state),
        ]
    }

    /// Gates, cells and outputs are those of the inputs.
    fn draw(&self, types: Types, fill: Fill, seed: u64) -> Vec<Data> {
        GRADIENT.draw(self, &self.lstm, types, fill, seed)
    }

    fn reference(&self, inputs: &[ArrayD<f64>]) -> Vec<ArrayD<f64>> {
        let views = self.views(inputs);
        let Views { forward: Operands { x, w_ih, w_hh, h0, c0, .. }, dy, gates, cells, y, .. } = &views;
        let (batch, hidden) = (self.lstm.batch, self.lstm.hidden);
        let mut all = Array3::zeros(gates.raw_dim());
        let mut dw_hh = Array2::zeros(w_hh.raw_dim());
        let (mut dh, mut dc) = (views.dh_n.clone(), views.dc_n.clone());
        for t in (0..self.lstm.steps).rev() {
            let before = views.before(cells, c0, t);
            let mut dz = all.index_axis_mut(STEPS, t);
            for (n, j) in ndarray::indices((batch, hidden)) {
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
                    dz[[n, gate * hidden + j]] = value;
                }
                dc[[n, j]] = dc_t * f;
            }
            dh = dz.dot(w_hh);
            dw_hh += &dz.t().dot(&views.before(y, h0, t));
        }
        let dz = rows(&all);
        let dx = dz.dot(w_ih).into_shape_with_order(x.raw_dim()).expect("T×N×I");
        let dw_ih = dz.t().dot(&rows(&x.to_owned()));
        self.present([
            dx.into_dyn(),
            dw_ih.into_dyn(),
            dw_hh.into_dyn(),
            dz.sum_axis(NdAxis(0)).into_dyn(),
            dh.into_dyn(),
            dc.into_dyn(),
        ])
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
        let kept = Kept::anew(inputs, &pass, &errors(&self.lstm, types, forward, &pass, flushed(types)));
        bounds(self, types, inputs, &kept, expected)
    }

    /// Over all gates and all rows, beside those of the forward pass.
    fn sums(&self) -> Vec<Sum> {
        let Lstm { hidden, steps, batch, .. } = self.lstm;
        let longest = (4 * hidden).max(steps * batch).max(1);
        let mut sums = self.lstm.sums();
        sums.push(Sum::new(longest, chain(longest), "running error"));
        sums
    }

    /// Each of the products of the forward pass has two in the gradient.
    fn operations(&self) -> (f64, Unit) {
        let (operations, unit) = self.lstm.operations();
        (2.0 * operations, unit)
    }

    /// The biases.
    fn unread_inputs(&self) -> Vec<usize> {
        vec![X + 3, X + 4]
    }

    fn degenerate(&self) -> bool {
        self.lstm.degenerate()
    }
}

/// The operator `lstm_backward`.
pub static LSTM_BACKWARD: Operator = Operator {
    name: "lstm_backward",
    summary: "gradients of lstm by backpropagation through time: dx, dW_ih, dW_hh, db, dh0, dc0",
    axes: AXES,
    types: &[Types::F32, Types::F64],
    make: |point| Ok(Box::new(LstmBackward { lstm: Lstm { keep: true, ..Lstm::of(point)? } })),
    workloads: super::lstm_workloads::BACKWARD,
    special_values: "NaN and ∞ follow the formula: NaN stays in its sequence up to its step, and is in all sums over sequences",
    domains: DOMAINS,
    gradient: Some(&GRADIENT),
    witness: Witness::Libtorch,
    batch: None,
};

static GRADIENT: Gradient = Gradient {
    forward: &LSTM,
    point: |point: &Point| {
        AXES.iter()
            .fold(Point::default_of(LSTM.axes).with("keep", 1), |to, axis| to.with(axis.name, point.get(axis.name)))
    },
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
        Takes::Output(0),
        Takes::Output(3),
        Takes::Output(4),
    ],
    gives: &[(0, 0), (1, 1), (2, 2), (3, 3), (3, 4), (4, 5), (5, 6)],
    linear: |_| &[],
    autograd: Some(|problem| Box::new(downcast::<LstmBackward>(problem).lstm.clone())),
    near_kink: gradient::SMOOTH,
};

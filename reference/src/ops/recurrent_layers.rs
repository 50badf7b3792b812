//! `recurrent_layers`: layers of recurrent cells, one upon the other, in one direction or in both.
//!
//! Each layer is an [`lstm`], a [`gru`] or an [`rnn`](super::rnn) with tanh or ReLU over the
//! outputs of the layer below. With both directions, D = 2, a layer has a second one beside it that goes in reverse, and
//! its outputs are those of both, the forward ones first. For L layers:
//!
//! | operand | shape |
//! |---|---|
//! | x, y | T×N×I, T×N×D·H |
//! | parameters | for each layer, for each direction: W_ih, W_hh, and b_ih, b_hh if there are biases, as they lie in a layer |
//! | h0, h_n; c0, c_n of `lstm` | L·D×N×H, the directions of a layer side by side |
//! | lengths, if each sequence has a number of steps of its own, 0…T | N |
//!
//! Layers above the first have D·H inputs. The order of summation is that of the layers.
//!
//! # Derivation of the bounds
//! Those of a layer, whose x is off by what the outputs below are off by: its sums are off by Σ e(x)·|W_ih| more.

use std::ops::Range;

use ndarray::{Array3, ArrayD, Axis as NdAxis, Ix3, Slice, concatenate};

use super::gemm::choice_value;
use super::gru::{self, Gru};
use super::lstm::{self, Lstm};
use super::lstm_bounds::flushed;
use super::recurrent::{BIAS, H, I, LENGTHS, Layer, N, STATE, T, kept};
use super::recurrent_backward::tolerances;
use super::rnn::{Function, Rnn};
use crate::operator::{elements, size};
use crate::tolerance::Sum;
use crate::{
    Axis, Domain, Fill, Layout, Operator, Point, Port, Problem, ProblemError, Tolerance, Types, Unit, Witness, Workload,
};

pub(super) const AXES: &[Axis] = &[
    Axis::choice("cell", "kind of the cells", &["lstm", "gru", "tanh", "relu"]).variant(),
    Axis::int("l", "layers", 1, 4, &[1, 2, 3]).positive().bounded(),
    Axis::choice("dirs", "whether there is a layer in reverse beside each", &["one", "both"]),
    // Long sequences are asked of a single layer.
    T.bounded(),
    N,
    I,
    H,
    BIAS,
    STATE,
    LENGTHS,
];

pub(super) const DOMAINS: &[Domain] =
    &[Domain { name: "lengths", fixed: &[("lengths", &[1]), ("n", &[2, 3, 9]), ("t", &[3, 5])] }];

/// The kind of the cells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cells {
    /// Long short-term memory.
    Lstm,
    /// Gated recurrent units.
    Gru,
    /// Plain units.
    Plain(Function),
}

/// Validated layers.
#[derive(Clone, Debug, PartialEq)]
pub struct RecurrentLayers {
    /// The kind of the cells.
    pub cells: Cells,
    /// Layers L.
    pub layers: usize,
    /// Directions D, 1 or 2.
    pub directions: usize,
    /// The first layer, forward.
    pub first: Layer,
}

/// One layer in one direction.
pub(super) enum One {
    Lstm(Lstm),
    Gru(Gru),
    Rnn(Rnn),
}

/// The inputs of one layer in one direction, its outputs with what is kept, and what these are off by.
pub(super) struct Passed {
    pub(super) inputs: Vec<ArrayD<f64>>,
    pub(super) outputs: Vec<ArrayD<f64>>,
    pub(super) off: Vec<ArrayD<f64>>,
    /// Of x.
    pub(super) x_off: Array3<f64>,
}

/// The columns of a direction, of D·H.
pub(super) fn columns(all: &Array3<f64>, direction: usize, hidden: usize) -> Array3<f64> {
    all.slice_axis(NdAxis(2), Slice::from(direction * hidden..(direction + 1) * hidden)).to_owned()
}

impl One {
    pub(super) fn problem(&self) -> &dyn Problem {
        match self {
            One::Lstm(lstm) => lstm,
            One::Gru(gru) => gru,
            One::Rnn(rnn) => rnn,
        }
    }

    /// What the outputs of a kernel are off by.
    fn off(
        &self,
        types: Types,
        (inputs, x_off): (&[ArrayD<f64>], Option<&Array3<f64>>),
        lost: f64,
    ) -> Vec<ArrayD<f64>> {
        match self {
            One::Lstm(lstm) => lstm.off(types, (inputs, x_off), lost),
            One::Gru(gru) => gru.off(types, (inputs, x_off), lost),
            One::Rnn(rnn) => rnn.off(types, (inputs, x_off)),
        }
    }
}

impl RecurrentLayers {
    /// Of a point.
    fn of(point: &Point) -> Result<RecurrentLayers, ProblemError> {
        let (cells, gates) = match choice_value(point, "cell")? {
            "lstm" => (Cells::Lstm, lstm::GATES),
            "gru" => (Cells::Gru, gru::GATES),
            "tanh" => (Cells::Plain(Function::Tanh), 1),
            _ => (Cells::Plain(Function::Relu), 1),
        };
        let sizes = [size(point, "t")?, size(point, "n")?, size(point, "i")?, size(point, "h")?];
        let first = Layer {
            bias: choice_value(point, "bias")? == "both",
            state: choice_value(point, "state")? == "given",
            lengths: choice_value(point, "lengths")? == "given",
            ..Layer::plain(gates, sizes)?
        };
        let directions = if choice_value(point, "dirs")? == "both" { 2 } else { 1 };
        RecurrentLayers { cells, layers: size(point, "l")?, directions, first }.validated()
    }

    /// The same, if its sizes are possible.
    ///
    /// # Errors
    /// [`ProblemError`] if there is no layer, or if a buffer does not fit the address space.
    pub fn validated(self) -> Result<RecurrentLayers, ProblemError> {
        if self.layers == 0 {
            return Err(ProblemError::OutOfRange { axis: "l", value: 0, rule: "at least 1" });
        }
        let Layer { gates, steps, batch, inputs, hidden, .. } = self.first.validated()?;
        let [t, n, i, h] = [steps, batch, inputs, hidden].map(|extent| extent.max(1));
        let (l, d) = (self.layers, self.directions);
        // Of one row: its weights, and its biases.
        let row = i.saturating_add(h.saturating_mul(3)).saturating_add(2);
        elements("l·d·g·h·(i + 3·h + 2)", &[l, d, gates, h, row])?;
        elements("l·d·n·h", &[l, d, n, h])?;
        elements("t·n·d·g·h", &[t, n, d, gates, h])?;
        Ok(self)
    }

    /// Columns of the outputs, D·H.
    pub fn width(&self) -> usize {
        self.directions * self.first.hidden
    }

    /// A layer in a direction.
    pub fn layer(&self, layer: usize, direction: usize) -> Layer {
        let inputs = if layer == 0 { self.first.inputs } else { self.width() };
        Layer { inputs, reverse: direction == 1, ..self.first }
    }

    /// Where W_ih, W_hh, b_ih and b_hh of a layer lie.
    pub fn places(&self, layer: usize, direction: usize) -> [Range<usize>; 4] {
        let lens = |layer: usize| {
            let of = self.layer(layer, 0);
            let bias = if of.bias { of.columns() } else { 0 };
            [of.columns() * of.inputs, of.columns() * of.hidden, bias, bias]
        };
        let [first, above] = [0, 1].map(|layer| lens(layer).iter().sum::<usize>());
        let before = layer * self.directions + direction;
        let of_first = before.min(self.directions);
        let mut end = of_first * first + (before - of_first) * above;
        lens(layer).map(|len| {
            end += len;
            end - len..end
        })
    }

    /// Elements of the parameters.
    fn parameters_len(&self) -> usize {
        self.places(self.layers - 1, self.directions - 1)[3].end
    }

    /// x, the parameters, the initial states and the numbers of steps.
    pub(super) fn operands(&self, types: Types) -> [Port; 5] {
        let Layer { inputs, state, .. } = self.first;
        let rows = inputs.max(self.width()).saturating_mul(2).max(self.first.columns());
        let parameters = Port::new("parameters", types, Layout::contiguous(&[self.parameters_len()]));
        let lstm = self.cells == Cells::Lstm;
        let plain = matches!(self.cells, Cells::Plain(_));
        let h0 = self.states("h0", types, state);
        [
            self.first.sequence("x", types, inputs),
            parameters.recurrent(rows).weights(),
            if plain { h0 } else { h0.recurrent(1) },
            self.states("c0", types, state && lstm).recurrent(1),
            self.first.of_lengths(types),
        ]
    }

    /// An L·D×N×H operand.
    pub(super) fn states(&self, name: &'static str, types: Types, present: bool) -> Port {
        let shape = [self.layers * self.directions, self.first.batch, self.first.hidden];
        Port::optional(name, types, Layout::contiguous(&shape), present)
    }

    /// The same of an output.
    pub(super) fn last_states(&self, name: &'static str, types: Types, present: bool) -> Port {
        kept(self.states(name, types, true), present)
    }

    pub(super) fn one(&self, layer: usize, direction: usize) -> One {
        let layer = self.layer(layer, direction);
        match self.cells {
            Cells::Lstm => One::Lstm(Lstm { layer, keep: true }),
            Cells::Gru => One::Gru(Gru { layer, keep: true }),
            Cells::Plain(function) => One::Rnn(Rnn { layer, function }),
        }
    }

    /// The inputs of one layer in one direction.
    fn inputs_of(&self, layer: usize, direction: usize, x: &Array3<f64>, inputs: &[ArrayD<f64>]) -> Vec<ArrayD<f64>> {
        let Layer { inputs: columns, hidden, .. } = self.layer(layer, direction);
        let rows = self.first.columns();
        let shapes = [vec![rows, columns], vec![rows, hidden], vec![rows], vec![rows]];
        let parameter = |(range, shape): (Range<usize>, Vec<usize>)| {
            let empty = range.is_empty() && !self.first.bias && shape.len() == 1;
            let values: Vec<f64> = inputs[1].iter().skip(range.start).take(range.len()).copied().collect();
            ArrayD::from_shape_vec(if empty { vec![0] } else { shape }, values).expect("as many")
        };
        let state = |index: usize| match self.first.state {
            true => inputs[index].index_axis(NdAxis(0), layer * self.directions + direction).to_owned(),
            false => ArrayD::zeros(vec![0]),
        };
        let mut all = vec![x.clone().into_dyn()];
        all.extend(self.places(layer, direction).into_iter().zip(shapes).map(parameter));
        all.push(state(2));
        if self.cells == Cells::Lstm {
            all.push(state(3));
        }
        all.push(inputs[4].clone());
        all
    }

    /// All layers, the lowest first, with what a kernel of `bounds`' types, whose gates are off by so much more, is off by.
    pub(super) fn pass(&self, inputs: &[ArrayD<f64>], bounds: Option<(Types, f64)>) -> Vec<Vec<Passed>> {
        let mut x = inputs[0].clone().into_dimensionality::<Ix3>().expect("T×N×I");
        let mut x_off = Array3::zeros(x.raw_dim());
        let mut all = Vec::new();
        for layer in 0..self.layers {
            let directions: Vec<Passed> = (0..self.directions)
                .map(|direction| {
                    let one = self.one(layer, direction);
                    let inputs = self.inputs_of(layer, direction, &x, inputs);
                    let outputs = one.problem().reference(&inputs);
                    let x_off = x_off.clone();
                    let of_bounds = |(types, lost)| one.off(types, (&inputs, Some(&x_off)), lost);
                    let off = bounds.map(of_bounds).unwrap_or_default();
                    Passed { inputs, outputs, off, x_off }
                })
                .collect();
            let joined = |of: fn(&Passed) -> &ArrayD<f64>| {
                let views: Vec<_> = directions.iter().map(|one| of(one).view()).collect();
                concatenate(NdAxis(2), &views).expect("T×N×H").into_dimensionality().expect("three dimensions")
            };
            x = joined(|one| &one.outputs[0]);
            if bounds.is_some() {
                x_off = joined(|one| &one.off[0]);
            }
            all.push(directions);
        }
        all
    }

    /// y, h_n and c_n, of each layer's outputs or of what they are off by.
    fn outputs_of(&self, passed: &[Vec<Passed>], of: fn(&Passed) -> &[ArrayD<f64>]) -> Vec<ArrayD<f64>> {
        let last = passed.last().expect("a layer");
        let y: Vec<_> = last.iter().map(|one| of(one)[0].view()).collect();
        let states = |output: usize| {
            let all: Vec<_> = passed.iter().flatten().map(|one| of(one)[output].view()).collect();
            ndarray::stack(NdAxis(0), &all).expect("N×H each")
        };
        let c_n = if self.cells == Cells::Lstm { states(2) } else { ArrayD::zeros(vec![0]) };
        vec![concatenate(NdAxis(2), &y).expect("T×N×H"), states(1), c_n]
    }

    fn bounds(&self, types: Types, inputs: &[ArrayD<f64>], expected: &[ArrayD<f64>], lost: f64) -> Vec<Tolerance> {
        let passed = self.pass(inputs, Some((types, lost)));
        let formulas = ["running error of y through all layers", "that of the last outputs", "that of the last cells"];
        tolerances(formulas, self.outputs_of(&passed, |one| &one.off), expected)
    }
}

impl Problem for RecurrentLayers {
    fn inputs(&self, types: Types) -> Vec<Port> {
        self.operands(types).into()
    }

    fn outputs(&self, types: Types) -> Vec<Port> {
        vec![
            self.first.sequence("y", types, self.width()),
            self.last_states("h_n", types, true),
            self.last_states("c_n", types, self.cells == Cells::Lstm),
        ]
    }

    fn reference(&self, inputs: &[ArrayD<f64>]) -> Vec<ArrayD<f64>> {
        self.outputs_of(&self.pass(inputs, None), |one| &one.outputs)
    }

    /// The longest of a layer.
    fn sums(&self) -> Vec<Sum> {
        let above = self.layer(self.layers - 1, 0);
        let longest = if above.inputs > self.first.inputs { above } else { self.first };
        longest.sums()
    }

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
        let [first, above] = [0, 1].map(|layer| self.directions as f64 * self.layer(layer, 0).operations().0);
        (first + (self.layers - 1) as f64 * above, Unit::Fma)
    }

    fn differentiable(&self) -> Vec<usize> {
        let state = self.first.state;
        let there = [true, self.parameters_len() > 0, state, state && self.cells == Cells::Lstm];
        (0..4).filter(|&input| there[input]).collect()
    }

    fn degenerate(&self) -> bool {
        self.first.is_empty()
    }
}

const fn w(name: &'static str, point: &'static str, source: &'static str) -> Workload {
    Workload::new(name, point, source)
}

/// Of the gradient, too.
pub(super) static WORKLOADS: &[Workload] = &[
    w("small.2x17", "cell=lstm,l=2,t=5,n=3,i=17,h=17,bias=both", "composed for the suite").smoke(),
    w("small.both_relu", "cell=relu,l=2,dirs=both,t=5,n=3,i=17,h=17,bias=both", "composed for the suite").smoke(),
    w("gnmt.enc0_both", "cell=lstm,l=1,dirs=both,t=30,i=1024,h=1024,bias=both", "oneDNN benchdnn rnn inputs"),
    w("char_rnn.lstm512_n32", "cell=lstm,l=3,t=50,n=32,i=64,h=512,bias=both", "three layers of a character model"),
    w("char_rnn.rnn128", "cell=tanh,l=2,t=25,i=64,h=128,bias=both", "two layers of a character model"),
    w("bilstm.2x256_n16", "cell=lstm,l=2,dirs=both,t=50,n=16,i=300,h=256,bias=both", "a sequence tagger"),
    w(
        "bilstm.packed_n16",
        "cell=lstm,l=2,dirs=both,t=50,n=16,i=300,h=256,bias=both,lengths=given",
        "a sequence tagger",
    ),
    w("bigru.2x256_n16", "cell=gru,l=2,dirs=both,t=50,n=16,i=300,h=256,bias=both", "a sequence tagger"),
];

/// The operator `recurrent_layers`.
pub static RECURRENT_LAYERS: Operator = Operator {
    name: "recurrent_layers",
    summary: "layers of LSTM, GRU or plain recurrent cells, one upon the other, in one direction or in both",
    axes: AXES,
    types: &[Types::F32, Types::F64],
    make: |point| Ok(Box::new(RecurrentLayers::of(point)?)),
    workloads: WORKLOADS,
    special_values: "as in a layer: NaN stays in its sequence, from its step on in the layer's direction",
    domains: DOMAINS,
    gradient: None,
    witness: Witness::Libtorch,
    batch: Some("n"),
};

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(point: &str) -> Box<dyn Problem> {
        RECURRENT_LAYERS.problem(&Point::parse(AXES, point).expect("a point")).expect("a problem")
    }

    /// Two layers with input ≠ hidden, both directions: the second layer is a layer over what the first ones gave.
    #[test]
    fn a_layer_sees_both_directions_below() {
        let stack = problem("cell=gru,l=2,dirs=both,t=3,n=2,i=3,h=2,bias=both,state=given");
        let inputs = crate::arrays(&stack.inputs(Types::F64), &stack.draw(Types::F64, Fill::Real, 7));
        let found = stack.reference(&inputs);
        let layers: &RecurrentLayers = crate::operator::downcast(&*stack);
        let passed = layers.pass(&inputs, None);
        let below = concatenate(NdAxis(2), &[passed[0][0].outputs[0].view(), passed[0][1].outputs[0].view()]);
        assert_eq!(passed[1][1].inputs[0], below.expect("T×N×2H"));
        assert_eq!(found[0].shape(), [3, 2, 4]);
        assert_eq!(found[1].shape(), [4, 2, 2]);
        // The last state of the layer in reverse is its output at the first step.
        let y = found[0].clone().into_dimensionality().expect("T×N×2H");
        let turned = columns(&y, 1, 2);
        assert_eq!(found[1].index_axis(NdAxis(0), 3), turned.index_axis(NdAxis(0), 0).into_dyn());
    }

    #[test]
    fn parameters_lie_one_behind_the_other() {
        let stack = problem("cell=lstm,l=2,dirs=both,t=1,n=1,i=3,h=2,bias=both");
        let layers: &RecurrentLayers = crate::operator::downcast(&*stack);
        assert_eq!(layers.places(0, 0), [0..24, 24..40, 40..48, 48..56]);
        assert_eq!(layers.places(1, 0), [112..144, 144..160, 160..168, 168..176]);
        assert_eq!(layers.parameters_len(), 112 + 128);
    }

    #[test]
    fn no_layer_is_an_error() {
        let point = Point::parse(AXES, "cell=lstm,l=0").expect("a point");
        assert!(matches!(RECURRENT_LAYERS.problem(&point), Err(ProblemError::OutOfRange { axis: "l", .. })));
    }
}

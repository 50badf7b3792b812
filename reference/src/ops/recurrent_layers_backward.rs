//! `recurrent_layers_backward`: the gradients of [`recurrent_layers`](super::recurrent_layers).
//!
//! It computes the forward pass again, and keeps nothing of it but what the gradient needs: it is a training step. Upstream
//! gradients are those of y, h_n and c_n. From the highest layer to the lowest, a layer's gradients are those of
//! [`lstm_backward`](super::lstm_backward), [`gru_backward`](super::gru_backward) or
//! [`rnn_backward`](super::rnn_backward); the dx of both directions is added, the forward one first, and is the dy of the
//! layer below. Shapes are those of the forward operands.
//!
//! # Derivation of the bounds
//! Those of a layer's gradient whose forward pass is computed anew: gates, cells and outputs are off by their running
//! errors. In all layers but the highest, dy is off by what the dx above is, and x by what the outputs below are.

use ndarray::{Array1, Array3, ArrayD, Axis as NdAxis, Ix3};

use super::gru_backward::GruBackward;
use super::gru_backward_bounds;
use super::lstm_backward::LstmBackward;
use super::lstm_backward_bounds;
use super::lstm_bounds::flushed;
use super::recurrent_backward::{Brought, tolerances};
use super::recurrent_layers::{
    AXES, Cells, DOMAINS, One, Passed, RECURRENT_LAYERS, RecurrentLayers, WORKLOADS, columns,
};
use super::rnn_backward::RnnBackward;
use crate::operator::downcast;
use crate::tolerance::Sum;
use crate::{Fill, Gradient, Operator, Point, Port, Problem, Takes, Tolerance, Types, Unit, Witness};

/// A validated gradient.
#[derive(Clone, Debug, PartialEq)]
pub struct RecurrentLayersBackward {
    /// The forward pass.
    pub layers: RecurrentLayers,
}

/// The first input of the forward pass.
const X: usize = 3;

/// The gradients of one layer in one direction, or what they are off by.
struct Back {
    dx: ArrayD<f64>,
    parameters: [ArrayD<f64>; 4],
    states: Vec<ArrayD<f64>>,
}

/// An error, or any number where 0 is multiplied with an error without a bound, and where a bound overflows.
fn bounded(error: f64) -> f64 {
    if error.is_finite() { error } else { f64::MAX }
}

impl Back {
    /// Of the outputs of a layer's gradient. Only GRU has two gradients of biases.
    fn of(cells: Cells, outputs: Vec<ArrayD<f64>>) -> Back {
        let mut outputs = outputs.into_iter();
        let mut next = || outputs.next().expect("an output");
        let (dx, dw_ih, dw_hh, db_ih) = (next(), next(), next(), next());
        let db_hh = if cells == Cells::Gru { next() } else { db_ih.clone() };
        Back { dx, parameters: [dw_ih, dw_hh, db_ih, db_hh], states: outputs.collect() }
    }
}

impl RecurrentLayersBackward {
    /// The gradient of one layer in one direction, and its inputs, given dy.
    fn one(
        &self,
        (layer, direction): (usize, usize),
        passed: &Passed,
        dy: Array3<f64>,
        inputs: &[ArrayD<f64>],
    ) -> (Box<dyn Problem>, Vec<ArrayD<f64>>) {
        let state = |index: usize| {
            let place = layer * self.layers.directions + direction;
            inputs[index].index_axis(NdAxis(0), place).to_owned()
        };
        let mut all = vec![dy.into_dyn(), state(1)];
        let problem: Box<dyn Problem> = match self.layers.one(layer, direction) {
            One::Lstm(lstm) => {
                all.push(state(2));
                Box::new(LstmBackward { lstm })
            }
            One::Gru(gru) => Box::new(GruBackward { gru }),
            One::Rnn(rnn) => Box::new(RnnBackward { rnn }),
        };
        all.extend(passed.inputs.iter().cloned());
        let kept = match self.layers.cells {
            Cells::Lstm => &[0, 3, 4][..],
            Cells::Gru => &[0, 2, 3],
            Cells::Plain(_) => &[0],
        };
        all.extend(kept.iter().map(|&output| passed.outputs[output].clone()));
        (problem, all)
    }

    /// dx, the gradients of the parameters and of the initial states; with `bounds`, what a kernel of these types whose
    /// gates are off by so much more, and which may be a witness, is off by.
    fn gradients(&self, inputs: &[ArrayD<f64>], bounds: Option<(Types, f64, bool)>) -> Vec<ArrayD<f64>> {
        let p = &self.layers;
        let passed = p.pass(&inputs[X..], bounds.map(|(types, lost, _)| (types, lost)));
        let three = |array: ArrayD<f64>| array.into_dimensionality::<Ix3>().expect("three dimensions");
        let mut dy = three(inputs[0].clone());
        let mut dy_off: Array3<f64> = Array3::zeros(dy.raw_dim());
        // Of each layer in each direction, the last one first.
        let mut all: Vec<Back> = Vec::new();
        for layer in (0..p.layers).rev() {
            let mut values: Vec<Back> = Vec::new();
            let mut offs: Vec<Back> = Vec::new();
            for direction in (0..p.directions).rev() {
                let passed = &passed[layer][direction];
                let own = columns(&dy, direction, p.first.hidden);
                let (problem, own) = self.one((layer, direction), passed, own, inputs);
                values.push(Back::of(p.cells, problem.reference(&own)));
                if let Some((types, _, anew)) = bounds {
                    let dy = columns(&dy_off, direction, p.first.hidden);
                    let brought = Brought { x: Some(passed.x_off.clone()), dy: Some(dy) };
                    let of = |index: usize| three(passed.off[index].clone());
                    let off = match p.cells {
                        Cells::Lstm => {
                            let kept = lstm_backward_bounds::Kept { y: of(0), gates: of(3), cells: of(4) };
                            lstm_backward_bounds::off(downcast(&*problem), types, &own, &kept, &brought)
                        }
                        Cells::Gru => {
                            let kept = gru_backward_bounds::Kept { y: of(0), gates: of(2), recurrent: of(3), anew };
                            gru_backward_bounds::off(downcast(&*problem), types, &own, &kept, &brought)
                        }
                        Cells::Plain(_) => downcast::<RnnBackward>(&*problem).off(types, &own, Some(of(0)), &brought),
                    };
                    offs.push(Back::of(p.cells, off));
                }
            }
            let sum = |of: &[Back]| {
                let mut sum = of[0].dx.clone();
                of[1..].iter().for_each(|other| sum += &other.dx);
                three(sum)
            };
            dy = sum(&values);
            if let Some((types, ..)) = bounds {
                // Directions are added with one rounding.
                let u = types.accumulator.unit_roundoff() * (p.directions - 1) as f64;
                dy_off = sum(&offs);
                dy_off.zip_mut_with(&dy, |off, dy| *off = bounded(*off + 2.0 * u * (dy.abs() + *off)));
                all.extend(offs);
            } else {
                all.extend(values);
            }
        }
        all.reverse();
        let dx = if bounds.is_some() { dy_off } else { dy };
        let parameters: Array1<f64> = all.iter().flat_map(|one| one.parameters.iter().flatten()).copied().collect();
        let limited = |array: ArrayD<f64>| if bounds.is_some() { array.mapv(bounded) } else { array };
        let states = |index: usize, present: bool| match present {
            true => {
                let views: Vec<_> = all.iter().map(|one| one.states[index].view()).collect();
                ndarray::stack(NdAxis(0), &views).expect("N×H each")
            }
            false => ArrayD::zeros(vec![0]),
        };
        let state = p.first.state;
        let all = [dx.into_dyn(), parameters.into_dyn(), states(0, state), states(1, state && p.cells == Cells::Lstm)];
        all.into_iter().map(limited).collect()
    }

    fn bounds(
        &self,
        (types, lost, anew): (Types, f64, bool),
        inputs: &[ArrayD<f64>],
        expected: &[ArrayD<f64>],
    ) -> Vec<Tolerance> {
        let formulas = ["running error of dx through all layers", "that of dW and db", "that of dh", "that of dc"];
        tolerances(formulas, self.gradients(inputs, Some((types, lost, anew))), expected)
    }
}

impl Problem for RecurrentLayersBackward {
    fn inputs(&self, types: Types) -> Vec<Port> {
        let p = &self.layers;
        let [x, parameters, h0, c0, lengths] = p.operands(types);
        // Never infinite: a derivative that underflows would decide between ∞ and NaN.
        vec![
            p.first.sequence("dy", types, p.width()).factor(),
            p.states("dh_n", types, true).factor(),
            p.states("dc_n", types, p.cells == Cells::Lstm).factor(),
            x.factor(),
            parameters,
            if p.cells == Cells::Gru { h0 } else { h0.factor() },
            c0,
            lengths,
        ]
    }

    fn outputs(&self, types: Types) -> Vec<Port> {
        let p = &self.layers;
        let [_, parameters, ..] = p.operands(types);
        let state = p.first.state;
        vec![
            p.first.sequence("dx", types, p.first.inputs),
            Port::new("dparameters", types, parameters.layout),
            p.last_states("dh0", types, state),
            p.last_states("dc0", types, state && p.cells == Cells::Lstm),
        ]
    }

    fn reference(&self, inputs: &[ArrayD<f64>]) -> Vec<ArrayD<f64>> {
        self.gradients(inputs, None)
    }

    fn tolerance(&self, types: Types, _: Fill, inputs: &[ArrayD<f64>], expected: &[ArrayD<f64>]) -> Vec<Tolerance> {
        self.bounds((types, 0.0, false), inputs, expected)
    }

    fn witness_tolerance(
        &self,
        types: Types,
        _: Fill,
        inputs: &[ArrayD<f64>],
        expected: &[ArrayD<f64>],
    ) -> Vec<Tolerance> {
        self.bounds((types, flushed(types), true), inputs, expected)
    }

    /// Those of the forward pass, and over all gates and all rows.
    fn sums(&self) -> Vec<Sum> {
        let mut sums = self.layers.sums();
        sums.extend(self.layers.first.sums_back());
        sums
    }

    /// The forward pass, and each of its products twice.
    fn operations(&self) -> (f64, Unit) {
        let (operations, unit) = self.layers.operations();
        (3.0 * operations, unit)
    }

    fn degenerate(&self) -> bool {
        self.layers.first.is_empty()
    }
}

/// The operator `recurrent_layers_backward`.
pub static RECURRENT_LAYERS_BACKWARD: Operator = Operator {
    name: "recurrent_layers_backward",
    summary: "training step of recurrent_layers: the forward pass again, and its gradients: dx, dW and db, dh0, dc0",
    axes: AXES,
    types: &[Types::F32, Types::F64],
    make: |point| {
        let problem = RECURRENT_LAYERS.problem(point)?;
        Ok(Box::new(RecurrentLayersBackward { layers: downcast::<RecurrentLayers>(&*problem).clone() }))
    },
    workloads: WORKLOADS,
    special_values: "NaN and ∞ follow the formulas of the layers: NaN is in all sums over sequences",
    domains: DOMAINS,
    gradient: Some(&GRADIENT),
    witness: Witness::Libtorch,
    batch: None,
};

static GRADIENT: Gradient = Gradient {
    forward: &RECURRENT_LAYERS,
    point: Point::clone,
    takes: &[
        Takes::Upstream(0),
        Takes::Upstream(1),
        Takes::Upstream(2),
        Takes::Input(0),
        Takes::Input(1),
        Takes::Input(2),
        Takes::Input(3),
        Takes::Input(4),
    ],
    gives: &[(0, 0), (1, 1), (2, 2), (3, 3)],
    linear: |_| &[],
    autograd: Some(|problem| Box::new(downcast::<RecurrentLayersBackward>(problem).layers.clone())),
    near_kink: |problem, inputs, eps| {
        let p: &RecurrentLayers = downcast(problem);
        p.pass(inputs, None).iter().enumerate().any(|(layer, directions)| {
            directions.iter().enumerate().any(|(direction, passed)| match p.one(layer, direction) {
                One::Rnn(rnn) => rnn.near_kink(&passed.inputs, eps),
                _ => false,
            })
        })
    },
};

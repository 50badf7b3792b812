//! `dropout_backward`: `dx[i] = dy[i]·(mask[i]·100/(100 − p))`, by the mask that [`dropout`](super::dropout) gave.

use ndarray::{ArrayD, Zip};

use super::dropout::{AXES, DROPOUT, Dropout, WORKLOADS, scaled};
use crate::operator::downcast;
use crate::tensor::Values;
use crate::{DType, Fill, Gradient, Layout, Operator, Port, Problem, Takes, Tolerance, Types, Unit, Witness, gradient};

/// A validated gradient.
#[derive(Clone, Debug, PartialEq)]
pub struct DropoutBackward {
    /// The dropout.
    pub dropout: Dropout,
}

impl Problem for DropoutBackward {
    fn inputs(&self, types: Types) -> Vec<Port> {
        let layout = || Layout::contiguous(&[self.dropout.n]);
        vec![
            Port::new("dy", types, layout()),
            Port::new("mask", types, layout()).typed(DType::Bool).drawn(Values::Mask),
        ]
    }

    fn outputs(&self, types: Types) -> Vec<Port> {
        vec![Port::new("dx", types, Layout::contiguous(&[self.dropout.n]))]
    }

    fn reference(&self, inputs: &[ArrayD<f64>]) -> Vec<ArrayD<f64>> {
        let scale = self.dropout.scale();
        vec![Zip::from(&inputs[0]).and(&inputs[1]).map_collect(|dy, mask| dy * (mask * scale))]
    }

    fn tolerance(&self, types: Types, _: Fill, _: &[ArrayD<f64>], expected: &[ArrayD<f64>]) -> Vec<Tolerance> {
        vec![scaled(self.dropout.percent, types, &expected[0])]
    }

    fn operations(&self) -> (f64, Unit) {
        (self.dropout.n as f64, Unit::Integer)
    }

    fn degenerate(&self) -> bool {
        self.dropout.n < 32
    }
}

/// The operator `dropout_backward`.
pub static DROPOUT_BACKWARD: Operator = Operator {
    name: "dropout_backward",
    summary: "gradient of dropout, by its mask",
    axes: AXES,
    types: &[Types::F32, Types::F64],
    make: |point| Ok(Box::new(DropoutBackward { dropout: Dropout::of(point)? })),
    workloads: WORKLOADS,
    special_values: "the gradient of a dropped element is multiplied with 0: NaN and ∞ give NaN, as in libtorch",
    domains: &[],
    gradient: Some(&GRADIENT),
    witness: Witness::Libtorch,
    batch: None,
};

static GRADIENT: Gradient = Gradient {
    forward: &DROPOUT,
    point: Clone::clone,
    takes: &[Takes::Upstream(0), Takes::Output(1)],
    gives: &[(0, 0)],
    // Where the scale is a power of two, so that products are exact.
    linear: |problem| if [0, 50].contains(&downcast::<Dropout>(problem).percent) { &[0] } else { &[] },
    autograd: None,
    near_kink: gradient::SMOOTH,
};

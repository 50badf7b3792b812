//! `unpool2d_backward`: the gradient of [`unpool2d`](super::unpool2d) with respect to its input.
//!
//! ```text
//! max      dx[n, c, i, j] = dy[n, c, index[n, c, i, j]]
//! nearest  dx[n, c, i, j] = Σ dy over the element's cell
//! nails    dx[n, c, i, j] = dy[n, c, i·r, j·s]
//! ```
//! The sum over a cell is [`avg_pool2d`](super::avg_pool2d)'s with a divisor of 1: its order of summation, and its
//! bound. Everything else is a copy. An index outside its plane is an error.

use ndarray::{Array4, ArrayD, Ix4};

use super::max_pool2d::MaxPool2d;
use super::max_pool2d_backward::draw_positions;
use super::unpool2d::{AXES, DOMAINS, To, UNPOOL2D, Unpool2d, WORKLOADS};
use crate::gradient::SMOOTH;
use crate::operator::downcast;
use crate::tolerance::Sum;
use crate::{Data, Fill, Gradient, Operator, Port, Problem, Takes, Tolerance, Types, Unit, Witness};

/// A validated gradient.
#[derive(Clone, Debug, PartialEq)]
pub struct Unpool2dBackward {
    /// The unpooling.
    pub forward: Unpool2d,
}

impl Problem for Unpool2dBackward {
    fn inputs(&self, types: Types) -> Vec<Port> {
        vec![Port::new("dy", types, self.forward.pool.x.port_layout()), self.forward.index(types)]
    }

    fn outputs(&self, types: Types) -> Vec<Port> {
        vec![Port::new("dx", types, self.forward.pool.y.port_layout())]
    }

    /// An index lies in its cell.
    fn draw(&self, types: Types, fill: Fill, seed: u64) -> Vec<Data> {
        let ports = self.inputs(types);
        let mut data = fill.make(&ports, seed);
        if self.forward.to == To::Index {
            draw_positions(&self.forward.pool, &ports[1], &mut data[1]);
        }
        data
    }

    fn reference(&self, inputs: &[ArrayD<f64>]) -> Vec<ArrayD<f64>> {
        let MaxPool2d { x: large, y: small, rows, cols, .. } = &self.forward.pool;
        if self.forward.to == To::Cell {
            return self.forward.cells().reference(&inputs[..1]);
        }
        let dy = inputs[0].view().into_dimensionality::<Ix4>().expect("images");
        let index = inputs[1].view().into_dimensionality::<Ix4>().ok();
        let dx = Array4::from_shape_fn((small.n, small.c, small.h, small.w), |(n, c, i, j)| match &index {
            Some(index) => {
                let place = index[[n, c, i, j]] as usize;
                dy[[n, c, place / large.w, place % large.w]]
            }
            None => dy[[n, c, i * rows.taps, j * cols.taps]],
        });
        vec![dx.into_dyn()]
    }

    fn sums(&self) -> Vec<Sum> {
        if self.forward.to == To::Cell { self.forward.cells().sums() } else { vec![Sum::new(1, 1, "equal bits")] }
    }

    fn tolerance(&self, types: Types, fill: Fill, inputs: &[ArrayD<f64>], expected: &[ArrayD<f64>]) -> Vec<Tolerance> {
        if self.forward.to == To::Cell {
            return self.forward.cells().tolerance(types, fill, inputs, expected);
        }
        vec![Tolerance::Exact]
    }

    fn operations(&self) -> (f64, Unit) {
        self.forward.operations()
    }
}

/// The operator `unpool2d_backward`.
pub static UNPOOL2D_BACKWARD: Operator = Operator {
    name: "unpool2d_backward",
    summary: "gradient of unpool2d with respect to its input",
    axes: AXES,
    types: &[Types::F32, Types::F64],
    make: |point| Ok(Box::new(Unpool2dBackward { forward: Unpool2d::of(point)? })),
    workloads: WORKLOADS,
    special_values: "NaN and ∞ of dy are copied, or follow the sum over a cell; an index outside its plane is an error",
    domains: DOMAINS,
    gradient: Some(&GRADIENT),
    witness: Witness::Libtorch,
    batch: Some("n"),
};

static GRADIENT: Gradient = Gradient {
    forward: &UNPOOL2D,
    point: Clone::clone,
    takes: &[Takes::Upstream(0), Takes::Input(1)],
    gives: &[(0, 0)],
    linear: |_| &[0],
    autograd: Some(|problem| Box::new(downcast::<Unpool2dBackward>(problem).forward.clone())),
    near_kink: SMOOTH,
};

//! `l2_pool2d_backward`: the gradient of [`l2_pool2d`](super::l2_pool2d) with respect to its images, from its outputs.
//!
//! `dx[n, c, row, column] = Σ dy[n, c, i, j]·(x/y[n, c, i, j])` over the outputs (i, j) whose windows the element lies
//! under. Where y is 0, all under its window is 0: it gives nothing, one of the subgradients there.
//!
//! **Order of summation**: each column of outputs from above, by fused multiply-adds; then the columns, from left to
//! right.
//!
//! # Derivation of the bound
//! A quotient x/y is rounded once, by u|x/y| or η, and the sum is a chain over the terms: γ(steps + 2)·Σ|dy||x/y| +
//! Σ|dy|η and what the chain's operations lose where they underflow. In f64 the reference rounds, too, and errors count
//! twice.

use ndarray::{Array4, ArrayD};

use super::avg_pool2d::AvgPool2d;
use super::l2_pool2d::{AXES, DOMAINS, L2_POOL2D, L2Pool2d, WORKLOADS, images};
use crate::operator::downcast;
use crate::tolerance::{Sum, gamma};
use crate::{DType, Data, Fill, Gradient, Operator, Port, Problem, Takes, Tolerance, Types, Unit, Witness};

/// A validated gradient.
#[derive(Clone, Debug, PartialEq)]
pub struct L2Pool2dBackward {
    /// The forward pass.
    pub forward: L2Pool2d,
}

impl L2Pool2dBackward {
    /// For each element, the sum of a function of dy, x and y over the outputs whose windows it lies under.
    fn over(&self, inputs: &[ArrayD<f64>], of: impl Fn(f64, f64, f64) -> f64) -> Array4<f64> {
        let [dy, x, y] = [0, 1, 2].map(|i| images(&inputs[i]));
        let AvgPool2d { rows, cols, .. } = self.forward.pool;
        Array4::from_shape_fn(x.dim(), |(n, c, row, column)| {
            let x = x[[n, c, row, column]];
            let ((top, height), (left, width)) = (rows.covering(row), cols.covering(column));
            let of_column = |j| (top..top + height).map(|i| of(dy[[n, c, i, j]], x, y[[n, c, i, j]])).sum::<f64>();
            (left..left + width).map(of_column).sum()
        })
    }
}

impl Problem for L2Pool2dBackward {
    fn inputs(&self, types: Types) -> Vec<Port> {
        let pool = &self.forward.pool;
        // Never infinite: a quotient that underflows would decide between ∞ and NaN.
        let dy = Port::new("dy", types, pool.y.port_layout()).factor();
        vec![dy, Port::new("x", types, pool.x.port_layout()), Port::new("y", types, pool.y.port_layout())]
    }

    fn outputs(&self, types: Types) -> Vec<Port> {
        vec![Port::new("dx", types, self.forward.pool.x.port_layout())]
    }

    /// Outputs of the forward pass are those of inputs.
    fn draw(&self, types: Types, fill: Fill, seed: u64) -> Vec<Data> {
        GRADIENT.draw(self, &self.forward, types, fill, seed)
    }

    fn reference(&self, inputs: &[ArrayD<f64>]) -> Vec<ArrayD<f64>> {
        vec![self.over(inputs, |dy, x, y| if y == 0.0 { 0.0 } else { dy * (x / y) }).into_dyn()]
    }

    fn sums(&self) -> Vec<Sum> {
        let (rows, columns) = (self.forward.pool.rows.shared(), self.forward.pool.cols.shared());
        vec![Sum::new(rows * columns, rows + columns, "γ(windows along both sides + 2)·Σ|dy||x/y| + Σ|dy|η")]
    }

    fn tolerance(&self, types: Types, _: Fill, inputs: &[ArrayD<f64>], expected: &[ArrayD<f64>]) -> Vec<Tolerance> {
        let sides = if types.accumulator == DType::F64 { 2.0 } else { 1.0 };
        let (u, eta) = (types.accumulator.unit_roundoff(), types.accumulator.underflow());
        let (sum, steps) = (self.sums()[0], self.sums()[0].steps + 2);
        let of_term = |dy: f64, x: f64, y: f64| dy.abs() * (gamma(steps, u) * (x / y).abs() + 2.0 * eta);
        let bound = self.over(inputs, |dy, x, y| if y == 0.0 { 0.0 } else { of_term(dy, x, y) });
        let bound = bound.mapv(|bound| sides * (bound + steps as f64 * eta));
        vec![Tolerance::bound(sum.formula, bound.into_dyn(), &expected[0])]
    }

    fn operations(&self) -> (f64, Unit) {
        self.forward.operations()
    }

    fn degenerate(&self) -> bool {
        let (x, y) = (&self.forward.pool.x, &self.forward.pool.y);
        8 * y.h * y.w < x.h * x.w
    }
}

/// The operator `l2_pool2d_backward`.
pub static L2_POOL2D_BACKWARD: Operator = Operator {
    name: "l2_pool2d_backward",
    summary: "gradient of l2_pool2d with respect to its images, from its outputs",
    axes: AXES,
    types: &[Types::F32, Types::F64],
    make: |point| Ok(Box::new(L2Pool2dBackward { forward: L2Pool2d::of(point)? })),
    workloads: WORKLOADS,
    special_values: "NaN and ∞ follow the formula, so that ∞/∞ is NaN; a window whose norm is 0 gives nothing",
    domains: DOMAINS,
    gradient: Some(&GRADIENT),
    witness: Witness::Libtorch,
    batch: Some("n"),
};

static GRADIENT: Gradient = Gradient {
    forward: &L2_POOL2D,
    point: Clone::clone,
    takes: &[Takes::Upstream(0), Takes::Input(0), Takes::Output(0)],
    gives: &[(0, 0)],
    linear: |_| &[],
    autograd: None,
    near_kink: |problem, inputs, step| {
        // A norm has a kink at 0.
        let outputs = downcast::<L2Pool2d>(problem).reference(inputs);
        outputs[0].iter().any(|&y| y < 1000.0 * step)
    },
};

//! `avg_pool2d_backward`: the gradient of [`avg_pool2d`](super::avg_pool2d) with respect to its images.
//!
//! `dx[n, c, row, column] = Σ dy[n, c, i, j]/d` over the outputs (i, j) whose windows the element lies under, each with
//! the divisor d of its window.
//!
//! **Order of summation**: each column of outputs from above, by fused multiply-adds with the rounded 1/d; then the
//! columns, from left to right.
//!
//! The bound is that of a chain: its roundings, and that of 1/d. Where every divisor is a power of two, 1/d is exact.

use ndarray::{Array4, ArrayD, Ix4};

use super::avg_pool2d::{AVG_POOL2D, AXES, AvgPool2d, DOMAINS, WORKLOADS};
use crate::gradient::SMOOTH;
use crate::operator::downcast;
use crate::tolerance::{Sum, of_chains};
use crate::{Fill, Gradient, Operator, Port, Problem, Takes, Tolerance, Types, Unit, Witness};

/// A validated gradient.
#[derive(Clone, Debug, PartialEq)]
pub struct AvgPool2dBackward {
    /// The pooling.
    pub pool: AvgPool2d,
}

impl Problem for AvgPool2dBackward {
    fn inputs(&self, types: Types) -> Vec<Port> {
        vec![Port::new("dy", types, self.pool.y.port_layout())]
    }

    fn outputs(&self, types: Types) -> Vec<Port> {
        vec![Port::new("dx", types, self.pool.x.port_layout())]
    }

    fn reference(&self, inputs: &[ArrayD<f64>]) -> Vec<ArrayD<f64>> {
        let AvgPool2d { x, y, rows, cols, .. } = &self.pool;
        let dy = inputs[0].view().into_dimensionality::<Ix4>().expect("images");
        let mut dx = Array4::zeros((x.n, x.c, x.h, x.w));
        for (n, c) in ndarray::indices((x.n, x.c)) {
            for j in 0..y.w {
                // What a column of outputs gives to each row.
                let mut column = vec![0.0; x.h];
                for i in 0..y.h {
                    let (top, height) = rows.span(i);
                    column[top..top + height]
                        .iter_mut()
                        .for_each(|sum| *sum += dy[[n, c, i, j]] / self.pool.divisor(i, j));
                }
                let (left, width) = cols.span(j);
                for (row, sum) in column.into_iter().enumerate() {
                    (left..left + width).for_each(|column| dx[[n, c, row, column]] += sum);
                }
            }
        }
        vec![dx.into_dyn()]
    }

    fn sums(&self) -> Vec<Sum> {
        let (rows, columns) = (self.pool.rows.shared(), self.pool.cols.shared());
        vec![Sum::new(rows * columns, rows + columns + 1, "γ(windows along both sides + 1)·Σ|dy|/d + u|dx|")]
    }

    fn tolerance(&self, types: Types, fill: Fill, inputs: &[ArrayD<f64>], expected: &[ArrayD<f64>]) -> Vec<Tolerance> {
        if fill == Fill::Exact && self.pool.divides_exactly() {
            return vec![Tolerance::Exact];
        }
        let sum = self.sums()[0];
        let magnitude = self.reference(&[inputs[0].mapv(f64::abs)]).remove(0);
        let bound = of_chains(sum.steps, &magnitude, types, &expected[0]);
        vec![Tolerance::bound(sum.formula, bound, &expected[0])]
    }

    fn operations(&self) -> (f64, Unit) {
        self.pool.operations()
    }

    fn degenerate(&self) -> bool {
        // Where windows are far apart, most elements lie under none; where there is one, all are alike.
        let (x, y) = (&self.pool.x, &self.pool.y);
        8 * y.h * y.w < x.h * x.w || y.len() <= 1
    }
}

/// The operator `avg_pool2d_backward`.
pub static AVG_POOL2D_BACKWARD: Operator = Operator {
    name: "avg_pool2d_backward",
    summary: "gradient of avg_pool2d with respect to its images",
    axes: AXES,
    types: &[Types::F32, Types::F64],
    make: |point| Ok(Box::new(AvgPool2dBackward { pool: AvgPool2d::of(point)? })),
    workloads: WORKLOADS,
    special_values: "NaN and ∞ of dy follow the formula; those of other windows do not reach an element",
    domains: DOMAINS,
    gradient: Some(&GRADIENT),
    witness: Witness::Libtorch,
    batch: Some("n"),
};

static GRADIENT: Gradient = Gradient {
    forward: &AVG_POOL2D,
    point: Clone::clone,
    takes: &[Takes::Upstream(0)],
    gives: &[(0, 0)],
    linear,
    autograd: None,
    near_kink: SMOOTH,
};

/// The image, where quotients are exact.
pub(super) fn linear(problem: &dyn Problem) -> &'static [usize] {
    if downcast::<AvgPool2d>(problem).divides_exactly() { &[0] } else { &[] }
}

//! `multi_margin_backward`: the gradient of [`multi_margin`](super::multi_margin) with respect to the scores.
//!
//! With z of the forward pass, w/c of the label y, and the upstream gradient g of a row's loss, dloss over n for a
//! mean:
//!
//! ```text
//! h[j] = 1 where z[j] > 0, else 0 (p = 1);  2·max(z[j], 0) (p = 2);  for j ≠ y
//! dx[j] = g·w/c·h[j],   dx[y] = −g·w/c·Σh
//! ```
//! **Order of summation**: as in the forward pass.
//!
//! # Derivation of the bounds
//! z is off by e, as there. With p = 1, h is off by 1 where |z| ≤ e and e is not 0: where a rounding may turn the sign,
//! either slope is right. With p = 2, it is off by 2e where z + e > 0. The sum is off by those and γ(c + 4) of itself,
//! a product with the rounded g·w/c by five roundings. In f64 the reference rounds, too, and errors count twice.

use ndarray::{Array2, ArrayD};

use super::cross_entropy::Reduction;
use super::layer_norm::rounding;
use super::multi_margin::{AXES, MULTI_MARGIN, MultiMargin, WORKLOADS};
use super::row_losses::{divisor, port};
use crate::operator::downcast;
use crate::tolerance::{Sum, gamma};
use crate::{Fill, Gradient, Operator, Port, Problem, Takes, Tolerance, Types, Unit, Witness};

/// A validated gradient.
#[derive(Clone, Debug, PartialEq)]
pub struct MultiMarginBackward {
    /// The forward pass.
    pub forward: MultiMargin,
}

impl MultiMarginBackward {
    /// h of z. NaN stays.
    fn slope(&self, z: f64) -> f64 {
        match (self.forward.squared, z > 0.0) {
            _ if z.is_nan() => z,
            (_, false) => 0.0,
            (true, true) => 2.0 * z,
            (false, true) => 1.0,
        }
    }

    /// How far h may be off.
    fn off(&self, z: f64, e: f64) -> f64 {
        match self.forward.squared {
            true if z + e > 0.0 => 2.0 * e,
            false if e > 0.0 && z.abs() <= e => 1.0,
            _ => 0.0,
        }
    }

    /// Each row's number, scores, label and g·w/c.
    fn each(&self, inputs: &[ArrayD<f64>], mut row: impl FnMut(usize, &[f64], usize, f64)) {
        let p = &self.forward;
        let divisor = divisor(p.rows, p.reduction);
        p.each(&inputs[1..], |i, x, label, weight| {
            let g = inputs[0][[if p.reduction == Reduction::None { i } else { 0 }]] / divisor;
            row(i, x, label, g * weight);
        });
    }
}

impl Problem for MultiMarginBackward {
    fn inputs(&self, types: Types) -> Vec<Port> {
        // Never infinite: a slope that is 0 would decide between 0 and NaN.
        let mut ports = vec![port("dloss", types, self.forward.rows, self.forward.reduction).factor()];
        ports.extend(self.forward.operands(types));
        ports
    }

    fn outputs(&self, types: Types) -> Vec<Port> {
        vec![self.forward.scores("dx", types)]
    }

    fn reference(&self, inputs: &[ArrayD<f64>]) -> Vec<ArrayD<f64>> {
        let mut dx = Array2::zeros((self.forward.rows, self.forward.classes));
        self.each(inputs, |i, x, label, g| {
            let mut sum = 0.0;
            for (j, z, _) in self.forward.excesses(x, label, 0.0) {
                dx[[i, j]] = g * self.slope(z);
                sum += self.slope(z);
            }
            dx[[i, label]] = -g * sum;
        });
        vec![dx.into_dyn()]
    }

    fn sums(&self) -> Vec<Sum> {
        vec![Sum::new(self.forward.classes, self.forward.classes, "of classes")]
    }

    fn tolerance(&self, types: Types, fill: Fill, inputs: &[ArrayD<f64>], expected: &[ArrayD<f64>]) -> Vec<Tolerance> {
        let (u, eta) = rounding(types);
        // Of small integers, z is exact.
        let of_excess = if fill == Fill::Exact { 0.0 } else { u };
        let mut bound = Array2::zeros((self.forward.rows, self.forward.classes));
        self.each(inputs, |i, x, label, g| {
            let (mut sum, mut error) = (0.0, 0.0);
            for (j, z, e) in self.forward.excesses(x, label, of_excess) {
                let (slope, off) = (self.slope(z), self.off(z, e));
                bound[[i, j]] = g.abs() * (off + 6.0 * u * (slope + off)) + 4.0 * eta * (1.0 + slope + off);
                sum += slope;
                error += off;
            }
            let of_sum = error + (gamma(self.forward.classes + 4, u) + 6.0 * u) * (sum + error);
            bound[[i, label]] = g.abs() * of_sum + 4.0 * eta * (1.0 + sum + error);
        });
        let bound = bound.mapv(|bound: f64| if bound.is_nan() { 0.0 } else { bound });
        vec![Tolerance::bound("|g|w/c·(e(h) + 6u·h), and their sum", bound.into_dyn(), &expected[0])]
    }

    fn operations(&self) -> (f64, Unit) {
        self.forward.operations()
    }

    fn degenerate(&self) -> bool {
        self.forward.degenerate()
    }
}

/// The operator `multi_margin_backward`.
pub static MULTI_MARGIN_BACKWARD: Operator = Operator {
    name: "multi_margin_backward",
    summary: "gradient of multi_margin with respect to the scores",
    axes: AXES,
    types: &[Types::F32, Types::F64],
    make: |point| Ok(Box::new(MultiMarginBackward { forward: MultiMargin::of(point)? })),
    workloads: WORKLOADS,
    special_values: "NaN stays where it is, and makes the label's gradient NaN; with p = 1 the slope of an infinite excess is 1",
    domains: &[],
    gradient: Some(&GRADIENT),
    witness: Witness::Libtorch,
    batch: None,
};

static GRADIENT: Gradient = Gradient {
    forward: &MULTI_MARGIN,
    point: Clone::clone,
    takes: &[Takes::Upstream(0), Takes::Input(0), Takes::Input(1), Takes::Input(2)],
    gives: &[(0, 0)],
    linear: |_| &[],
    autograd: Some(|problem| Box::new(downcast::<MultiMarginBackward>(problem).forward.clone())),
    near_kink: |problem, inputs, eps| {
        let p = downcast::<MultiMargin>(problem);
        let mut near = false;
        p.each(inputs, |_, x, label, _| near |= p.excesses(x, label, 0.0).any(|(_, z, _)| z.abs() <= 4.0 * eps));
        near
    },
};

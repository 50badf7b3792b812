//! `rotary_backward`: the gradient of [`rotary`](super::rotary) with respect to x: the turn the other way.
//!
//! ```text
//! dx₁ = dy₁·cos + dy₂·sin,   dx₂ = dy₂·cos − dy₁·sin
//! ```
//! Shapes, order of operations and bounds are those of `rotary`.

use super::rotary::{AXES, ROTARY, Rotary, WORKLOADS};
use crate::{Gradient, Operator, Point, Takes, Types, Witness, gradient};

/// The operator `rotary_backward`.
pub static ROTARY_BACKWARD: Operator = Operator {
    name: "rotary_backward",
    summary: "gradient of rotary: pairs turned the other way",
    axes: AXES,
    types: &[Types::F32, Types::F64],
    make: |point| Ok(Box::new(Rotary::of(point, true)?)),
    workloads: WORKLOADS,
    special_values: "NaN and ∞ follow the formula, and stay in their pair",
    domains: &[],
    gradient: Some(&GRADIENT),
    witness: Witness::Libtorch,
    batch: Some("n"),
};

static GRADIENT: Gradient = Gradient {
    forward: &ROTARY,
    point: Point::clone,
    takes: &[Takes::Upstream(0), Takes::Input(1), Takes::Input(2)],
    gives: &[(0, 0)],
    linear: |_| &[0],
    autograd: None,
    near_kink: gradient::SMOOTH,
};

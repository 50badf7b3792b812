//! `adaptive_max_pool2d_backward`: the gradient of [`adaptive_max_pool2d`](super::adaptive_max_pool2d) with respect to
//! its images. It is [`max_pool2d_backward`](super::max_pool2d_backward) with those windows: its problem, order of
//! summation and bound.

use super::adaptive_max_pool2d::{ADAPTIVE_MAX_POOL2D, AXES, DOMAINS, GEOMETRY, WORKLOADS};
use super::max_pool2d::MaxPool2d;
use super::max_pool2d_backward::{MaxPool2dBackward, near_kink};
use super::pooling::Pooling;
use crate::{Gradient, Operator, Point, Takes, Types, Witness};

/// The pooling's point with the geometry of the gradient's.
fn forward_point(point: &Point) -> Point {
    GEOMETRY.iter().fold(Point::default_of(AXES), |to, axis| to.with(axis.name, point.get(axis.name)))
}

/// The operator `adaptive_max_pool2d_backward`.
pub static ADAPTIVE_MAX_POOL2D_BACKWARD: Operator = Operator {
    name: "adaptive_max_pool2d_backward",
    summary: "gradient of adaptive_max_pool2d with respect to its images",
    axes: GEOMETRY,
    types: &[Types::F32, Types::F64],
    make: |point| Ok(Box::new(MaxPool2dBackward { pool: MaxPool2d::new(Pooling::adaptive(point)?) })),
    workloads: WORKLOADS,
    special_values: "NaN and ∞ of dy follow the formula; an index outside its plane is an error",
    domains: DOMAINS,
    gradient: Some(&GRADIENT),
    witness: Witness::Libtorch,
    batch: Some("n"),
};

static GRADIENT: Gradient = Gradient {
    forward: &ADAPTIVE_MAX_POOL2D,
    point: forward_point,
    takes: &[Takes::Upstream(0), Takes::Output(1)],
    gives: &[(0, 0)],
    linear: |_| &[],
    autograd: None,
    near_kink,
};

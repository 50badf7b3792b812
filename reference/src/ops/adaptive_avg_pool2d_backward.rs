//! `adaptive_avg_pool2d_backward`: the gradient of [`adaptive_avg_pool2d`](super::adaptive_avg_pool2d) with respect to
//! its images. It is [`avg_pool2d_backward`](super::avg_pool2d_backward) with those windows: its problem, order of
//! summation and bound.

use super::adaptive_avg_pool2d::{ADAPTIVE_AVG_POOL2D, AXES, DOMAINS, WORKLOADS};
use super::avg_pool2d::{AvgPool2d, Count};
use super::avg_pool2d_backward::{AvgPool2dBackward, linear};
use super::pooling::Pooling;
use crate::gradient::SMOOTH;
use crate::{Gradient, Operator, Takes, Types, Witness};

/// The operator `adaptive_avg_pool2d_backward`.
pub static ADAPTIVE_AVG_POOL2D_BACKWARD: Operator = Operator {
    name: "adaptive_avg_pool2d_backward",
    summary: "gradient of adaptive_avg_pool2d with respect to its images",
    axes: AXES,
    types: &[Types::F32, Types::F64],
    make: |point| Ok(Box::new(AvgPool2dBackward { pool: AvgPool2d::new(Pooling::adaptive(point)?, Count::Image) })),
    workloads: WORKLOADS,
    special_values: "NaN and ∞ of dy follow the formula; those of other windows do not reach an element",
    domains: DOMAINS,
    gradient: Some(&GRADIENT),
    witness: Witness::Libtorch,
    batch: Some("n"),
};

static GRADIENT: Gradient = Gradient {
    forward: &ADAPTIVE_AVG_POOL2D,
    point: Clone::clone,
    takes: &[Takes::Upstream(0)],
    gives: &[(0, 0)],
    linear,
    autograd: None,
    near_kink: SMOOTH,
};

//! `fractional_max_pool2d_backward`: the gradient of [`fractional_max_pool2d`](super::fractional_max_pool2d) with
//! respect to its images.
//!
//! Positions say all of it, wherever the regions were: it is [`max_pool2d_backward`](super::max_pool2d_backward), its
//! problem, order of summation and bound.

use ndarray::{ArrayD, Ix3, Ix4};

use super::fractional_max_pool2d::{AXES, DOMAINS, FRACTIONAL_MAX_POOL2D, FractionalMaxPool2d, GEOMETRY, WORKLOADS};
use super::max_pool2d::MaxPool2d;
use super::max_pool2d_backward::MaxPool2dBackward;
use super::pooling::Pooling;
use crate::operator::downcast;
use crate::{Gradient, Operator, Point, Problem, ProblemError, Takes, Types, Witness};

/// With windows of about the regions' places, from which tests draw positions.
fn make(point: &Point) -> Result<Box<dyn Problem>, ProblemError> {
    FractionalMaxPool2d::plain(point)?;
    Ok(Box::new(MaxPool2dBackward { pool: MaxPool2d::new(Pooling::adaptive(point)?) }))
}

/// The pooling's point with the geometry of the gradient's.
fn forward_point(point: &Point) -> Point {
    GEOMETRY.iter().fold(Point::default_of(AXES), |to, axis| to.with(axis.name, point.get(axis.name)))
}

/// The operator `fractional_max_pool2d_backward`.
pub static FRACTIONAL_MAX_POOL2D_BACKWARD: Operator = Operator {
    name: "fractional_max_pool2d_backward",
    summary: "gradient of fractional_max_pool2d with respect to its images",
    axes: GEOMETRY,
    types: &[Types::F32, Types::F64],
    make,
    workloads: WORKLOADS,
    special_values: "NaN and ∞ of dy follow the formula; an index outside its plane is an error",
    domains: DOMAINS,
    gradient: Some(&GRADIENT),
    witness: Witness::Libtorch,
    batch: Some("n"),
};

static GRADIENT: Gradient = Gradient {
    forward: &FRACTIONAL_MAX_POOL2D,
    point: forward_point,
    takes: &[Takes::Upstream(0), Takes::Output(1)],
    gives: &[(0, 0)],
    linear: |_| &[],
    autograd: None,
    near_kink,
};

/// Where the largest two elements of a region are close, a step changes which one is found.
fn near_kink(problem: &dyn Problem, inputs: &[ArrayD<f64>], step: f64) -> bool {
    let p: &FractionalMaxPool2d = downcast(problem);
    let x = inputs[0].view().into_dimensionality::<Ix4>().expect("images");
    let u = inputs[1].view().into_dimensionality::<Ix3>().expect("uniforms of each plane");
    ndarray::indices((p.y.n, p.y.c)).into_iter().any(|(n, c)| {
        let uniforms: Vec<f64> = (0..p.uniforms()).map(|i| u[[n, c, i]]).collect();
        let [rows, cols] = p.regions(&uniforms);
        rows.iter().flat_map(|rows| cols.iter().map(move |cols| (rows, cols))).any(|(rows, cols)| {
            let of_row = |row| (cols.0..cols.1).map(move |column| x[[n, c, row, column]]);
            let mut values: Vec<f64> = (rows.0..rows.1).flat_map(of_row).collect();
            values.sort_by(f64::total_cmp);
            matches!(values[..], [.., a, b] if b - a <= 4.0 * step)
        })
    })
}

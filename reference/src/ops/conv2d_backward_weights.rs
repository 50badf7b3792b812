//! `conv2d_backward_weights`: the gradients of [`conv2d`](super::conv2d) with respect to the weights and the bias.
//!
//! `dw[k, c, r, s] = Σ dy[n, k, i, j] · x[n, c, i·sh + r·dh − pt, j·sw + s·dw − pl]` over all images and outputs, zeros outside
//! the images included; `dbias[k] = Σ dy[n, k, i, j]`.
//!
//! **Order of summation** of dw (of the kernels that say so): the products are numbered by (i, j) within an image, and added
//! in chunks of [`CHUNK`], each by one chain of fused multiply-adds from +0; the chunks of an image in
//! order, then the images in order. Whatever the number of threads, a sum is one thread's.
//!
//! **Order of dbias:** by planes 16 interleaved chains (f64: 8) that run across all images, then a pairwise sum; by
//! pixels one chain.
//!
//! **Error.** dw: γ(min(h'w', 256) + n·⌈h'w'/256⌉)·Σ|dy||x| + u·|dw|. dbias: γ(n·h'·w')·Σ|dy| + u·|dbias|, for both
//! orders.

use ndarray::{ArrayD, Axis as NdAxis};

use super::conv_gradient_workloads as workloads;
use super::conv2d::{CONV2D, Conv2d, GEOMETRY_AND_BIAS};
use super::gemm::{CHUNK, choice_value};
use crate::tolerance::Sum;
use crate::{Gradient, Layout, Operator, Point, Port, Problem, ProblemError, Takes, Types, Unit, Witness, gradient};

/// A validated gradient of a convolution with respect to its weights.
#[derive(Clone, Debug, PartialEq)]
pub struct Conv2dBackwardWeights {
    /// The convolution, without scale, bias and ReLU.
    pub conv: Conv2d,
    /// Whether dbias is wanted.
    pub bias: bool,
}

/// The longest chain of roundings behind a sum over the outputs of all images.
pub(super) fn chain_over_images(conv: &Conv2d) -> usize {
    let pixels = conv.y.h * conv.y.w;
    pixels.min(CHUNK) + conv.y.n * pixels.div_ceil(CHUNK)
}

/// `Σ dy` of each channel; nothing if it is not wanted.
pub(super) fn sums_of_channels(dy: &ArrayD<f64>, wanted: bool) -> ArrayD<f64> {
    if !wanted {
        return ArrayD::zeros(vec![0]);
    }
    dy.sum_axis(NdAxis(3)).sum_axis(NdAxis(2)).sum_axis(NdAxis(0))
}

impl Problem for Conv2dBackwardWeights {
    fn inputs(&self, types: Types) -> Vec<Port> {
        vec![
            Port::new("dy", types, self.conv.y.port_layout()).finite(),
            Port::new("x", types, self.conv.x.port_layout()),
        ]
    }

    fn outputs(&self, types: Types) -> Vec<Port> {
        vec![
            Port::new("dw", types, Layout::contiguous(&self.conv.weights())),
            Port::optional("dbias", types, Layout::contiguous(&[self.conv.y.c]), self.bias),
        ]
    }

    fn reference(&self, inputs: &[ArrayD<f64>]) -> Vec<ArrayD<f64>> {
        let [dy, x] = inputs else { panic!("two inputs") };
        vec![self.conv.correlated(x, dy).into_dyn(), sums_of_channels(dy, self.bias)]
    }

    fn sums(&self) -> Vec<Sum> {
        let outputs = self.conv.y.count();
        vec![
            Sum::new(outputs, chain_over_images(&self.conv), "γ(min(hw,256)+n⌈hw/256⌉)·Σ|dy||x| + u|dw|"),
            Sum::new(outputs, outputs, "γ(nhw)·Σ|dy| + u|dbias|"),
        ]
    }

    fn operations(&self) -> (f64, Unit) {
        self.conv.operations()
    }

    fn degenerate(&self) -> bool {
        self.conv.correlated_is_sparse()
    }
}

/// The operator `conv2d_backward_weights`.
pub static CONV2D_BACKWARD_WEIGHTS: Operator = Operator {
    name: "conv2d_backward_weights",
    summary: "gradients of conv2d with respect to its weights and bias",
    axes: GEOMETRY_AND_BIAS,
    types: &[Types::F32, Types::F64],
    make,
    workloads: workloads::BACKWARD,
    special_values: "NaN and ∞ of x follow the formula; dy is finite, as a kernel may multiply it with the zeros of the padding",
    domains: super::conv_domains::DOMAINS,
    gradient: Some(&GRADIENT),
    witness: Witness::Libtorch,
    batch: None,
};

/// The problem at a point.
fn make(point: &Point) -> Result<Box<dyn Problem>, ProblemError> {
    let bias = choice_value(point, "bias")? == "channel";
    Ok(Box::new(Conv2dBackwardWeights { conv: Conv2d::plain(point)?, bias }))
}

static GRADIENT: Gradient = Gradient {
    forward: &CONV2D,
    point: |point| super::conv2d::with_geometry_of(point).with("bias", point.get("bias")),
    takes: &[Takes::Upstream(0), Takes::Input(0)],
    gives: &[(0, 1), (1, 3)],
    linear: |_| &[1],
    autograd: None,
    near_kink: gradient::SMOOTH,
};

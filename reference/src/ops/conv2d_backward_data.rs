//! `conv2d_backward_data`: the gradient of [`conv2d`](super::conv2d) with respect to the images.
//!
//! `dx[n, c, h, v] = Σ dy[n, k, i, j] · w[k, c, r, s]` over the outputs (i, j) whose tap (r, s) meets (h, v), and the output
//! channels k of c's group. Sizes and names are those of the convolution: dy is as large as its y, dx as its x.
//!
//! **Order of summation** (of the kernels that say so): only some taps ever meet a given (h, v): those in whose place
//! `h + pt − r·dh` is a multiple of `sh`, and likewise for columns. The products are numbered by (r, s, k), with r and s
//! descending over these taps, places outside of dy included; they are added in chunks as the convolution's are.
//!
//! **Error.** γ(min(krs, 256) + ⌈krs/256⌉)·Σ|dy||w| + u·|dx|. Where Winograd's algorithm computes a residue, its
//! tolerance is [`winograd`](super::winograd)'s, evaluated for that convolution.

use ndarray::ArrayD;

use super::conv_gradient_workloads as workloads;
use super::conv2d::{CONV2D, Conv2d, GEOMETRY};
use super::gemm::chain;
use crate::tolerance::Sum;
use crate::{Gradient, Layout, Operator, Port, Problem, Takes, Types, Unit, Witness, gradient};

/// A validated gradient of a convolution with respect to its images.
#[derive(Clone, Debug, PartialEq)]
pub struct Conv2dBackwardData {
    /// The convolution, without scale, bias and ReLU.
    pub conv: Conv2d,
}

impl Problem for Conv2dBackwardData {
    fn inputs(&self, types: Types) -> Vec<Port> {
        vec![
            Port::new("dy", types, self.conv.y.port_layout()),
            Port::new("w", types, Layout::contiguous(&self.conv.weights())).finite().weights(),
        ]
    }

    fn outputs(&self, types: Types) -> Vec<Port> {
        vec![Port::new("dx", types, self.conv.x.port_layout())]
    }

    fn reference(&self, inputs: &[ArrayD<f64>]) -> Vec<ArrayD<f64>> {
        vec![self.conv.spread(&inputs[0], &inputs[1]).into_dyn()]
    }

    /// No output meets more than all taps.
    fn sums(&self) -> Vec<Sum> {
        let depth = self.conv.spread_depth();
        vec![Sum::new(depth, chain(depth), "γ(min(krs,256)+⌈krs/256⌉)·Σ|dy||w| + u|dx|")]
    }

    fn operations(&self) -> (f64, Unit) {
        self.conv.operations()
    }

    fn degenerate(&self) -> bool {
        self.conv.spread_is_sparse()
    }
}

/// The operator `conv2d_backward_data`.
pub static CONV2D_BACKWARD_DATA: Operator = Operator {
    name: "conv2d_backward_data",
    summary: "gradient of conv2d with respect to its images",
    axes: GEOMETRY,
    types: &[Types::F32, Types::F64],
    make: |point| Ok(Box::new(Conv2dBackwardData { conv: Conv2d::plain(point)? })),
    workloads: workloads::BACKWARD,
    special_values: "NaN and ∞ of dy follow the formula; weights are finite, as a kernel may multiply them with zeros around dy",
    domains: super::conv_domains::DOMAINS,
    gradient: Some(&GRADIENT),
    witness: Witness::Libtorch,
    batch: Some("n"),
};

static GRADIENT: Gradient = Gradient {
    forward: &CONV2D,
    point: super::conv2d::with_geometry_of,
    takes: &[Takes::Upstream(0), Takes::Input(1)],
    gives: &[(0, 0)],
    linear: |_| &[0],
    autograd: None,
    near_kink: gradient::SMOOTH,
};

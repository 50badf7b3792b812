//! `conv_transpose2d_backward`: the gradients of [`conv_transpose2d`](super::conv_transpose2d).
//!
//! With the convolution whose adjoint it is: `dx = dy ⋆ w`, a convolution; `dw[c, k, r, s] = Σ x[n, c, h, v] · dy[n, k, i, j]`
//! over all images and inputs (h, v), where tap (r, s) of (h, v) meets (i, j); `dbias[k] = Σ dy[n, k, i, j]`.
//!
//! **Order of summation** (of the kernels that say so): dx as in [`conv2d`](super::conv2d), dw as in
//! [`conv2d_backward_weights`](super::conv2d_backward_weights).

use ndarray::ArrayD;

use super::conv_gradient_workloads::{OWN, smoke, w};
use super::conv_transpose2d::{AXES, CONV_TRANSPOSE2D, ConvTranspose2d};
use super::conv2d_backward_weights::{chain_over_images, sums_of_channels};
use super::gemm::chain;
use crate::operator::downcast;
use crate::tolerance::Sum;
use crate::{Gradient, Layout, Operator, Point, Port, Problem, Takes, Types, Unit, Witness, Workload, gradient};

/// A validated gradient of a transposed convolution.
#[derive(Clone, Debug, PartialEq)]
pub struct ConvTranspose2dBackward {
    /// The transposed convolution.
    pub forward: ConvTranspose2d,
}

impl Problem for ConvTranspose2dBackward {
    fn inputs(&self, types: Types) -> Vec<Port> {
        let conv = &self.forward.conv;
        vec![
            Port::new("dy", types, conv.x.port_layout()),
            Port::new("x", types, conv.y.port_layout()).finite(),
            Port::new("w", types, Layout::contiguous(&conv.weights())).finite().weights(),
        ]
    }

    fn outputs(&self, types: Types) -> Vec<Port> {
        let ConvTranspose2d { conv, bias, .. } = &self.forward;
        vec![
            Port::new("dx", types, conv.y.port_layout()),
            Port::new("dw", types, Layout::contiguous(&conv.weights())),
            Port::optional("dbias", types, Layout::contiguous(&[conv.x.c]), *bias),
        ]
    }

    fn reference(&self, inputs: &[ArrayD<f64>]) -> Vec<ArrayD<f64>> {
        let [dy, x, w] = inputs else { panic!("three inputs") };
        let ConvTranspose2d { conv, bias, .. } = &self.forward;
        vec![conv.sums(dy, w).into_dyn(), conv.correlated(dy, x).into_dyn(), sums_of_channels(dy, *bias)]
    }

    fn sums(&self) -> Vec<Sum> {
        let conv = &self.forward.conv;
        let (outputs, pixels) = (conv.y.count(), conv.x.count());
        vec![
            Sum::new(conv.depth(), chain(conv.depth()), "γ(min(krs,256)+⌈krs/256⌉)·Σ|dy||w| + u|dx|"),
            Sum::new(outputs, chain_over_images(conv), "γ(min(hw,256)+n⌈hw/256⌉)·Σ|x||dy| + u|dw|"),
            Sum::new(pixels, pixels, "γ(nhw)·Σ|dy| + u|dbias|"),
        ]
    }

    fn operations(&self) -> (f64, Unit) {
        let (products, unit) = self.forward.conv.operations();
        (2.0 * products, unit)
    }

    fn degenerate(&self) -> bool {
        self.forward.conv.correlated_is_sparse()
    }
}

/// The operator `conv_transpose2d_backward`.
pub static CONV_TRANSPOSE2D_BACKWARD: Operator = Operator {
    name: "conv_transpose2d_backward",
    summary: "gradients of conv_transpose2d: dx, dw, dbias",
    axes: AXES,
    types: &[Types::F32, Types::F64],
    make: |point| Ok(Box::new(ConvTranspose2dBackward { forward: ConvTranspose2d::of(point)? })),
    workloads: WORKLOADS,
    special_values: "NaN and ∞ of dy follow the formulas; x and w are finite, as a kernel may multiply them with zeros around dy",
    domains: super::conv_domains::DOMAINS,
    gradient: Some(&GRADIENT),
    witness: Witness::Libtorch,
    batch: None,
};

static WORKLOADS: &[Workload] = &[
    smoke("k4s2.c128_h28", "c=128,h=28,w=28,k=64,r=4,s=4,sh=2,sw=2,pt=1,pl=1,pb=1,pr=1", OWN),
    w("k4s2.c256_h14", "c=256,h=14,w=14,k=128,r=4,s=4,sh=2,sw=2,pt=1,pl=1,pb=1,pr=1", OWN),
    w("k2s2.c64_h56", "c=64,h=56,w=56,k=32,r=2,s=2,sh=2,sw=2", OWN),
    w("k2s2.c128_h28", "c=128,h=28,w=28,k=64,r=2,s=2,sh=2,sw=2,bias=channel", OWN),
];

static GRADIENT: Gradient = Gradient {
    forward: &CONV_TRANSPOSE2D,
    point: Point::clone,
    takes: &[Takes::Upstream(0), Takes::Input(0), Takes::Input(1)],
    gives: &[(0, 0), (1, 1), (2, 2)],
    // With a bias, y is affine in x and in w alone: differences of two values are linear.
    linear: |_| &[0, 1],
    autograd: Some(|problem| Box::new(downcast::<ConvTranspose2dBackward>(problem).forward.clone())),
    near_kink: gradient::SMOOTH,
};

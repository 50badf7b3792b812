//! `conv_transpose2d_backward`: the gradients of [`conv_transpose2d`](super::conv_transpose2d).
//!
//! With the convolution whose adjoint it is: `dx = dy ⋆ w`, a convolution; `dw[c, k, r, s] = Σ x[n, c, h, v] · dy[n, k, i, j]`
//! over all images and inputs (h, v), where tap (r, s) of (h, v) meets (i, j); `dbias[k] = Σ dy[n, k, i, j]`.
//!
//! **Order of summation** (of the kernels that say so): dx as in [`conv2d`](super::conv2d), dw as in
//! [`conv2d_backward_weights`](super::conv2d_backward_weights).

use std::any::Any;

use ndarray::ArrayD;

use super::conv_gradient_workloads as workloads;
use super::conv_transpose2d::{AXES, ConvTranspose2d, ConvTranspose2dOperator};
use super::conv2d_backward_weights::{chain_over_images, sums_of_channels};
use super::gemm::chain;
use crate::operator::downcast;
use crate::{
    Axis, DType, Domain, Fill, GradientOf, Layout, Operator, Point, Port, Problem, ProblemError, Tolerance, Work,
    Workload, tolerance,
};

/// A validated gradient of a transposed convolution.
#[derive(Clone, Debug, PartialEq)]
pub struct ConvTranspose2dBackward {
    /// The transposed convolution.
    pub forward: ConvTranspose2d,
}

impl Problem for ConvTranspose2dBackward {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn inputs(&self, dtype: DType) -> Vec<Port> {
        let conv = &self.forward.conv;
        vec![
            Port::new("dy", dtype, conv.x.port_layout()),
            Port::new("x", dtype, conv.y.port_layout()).finite(),
            Port::new("w", dtype, Layout::contiguous(&conv.weights())).finite(),
        ]
    }

    fn outputs(&self, dtype: DType) -> Vec<Port> {
        let ConvTranspose2d { conv, bias, .. } = &self.forward;
        vec![
            Port::new("dx", dtype, conv.y.port_layout()),
            Port::new("dw", dtype, Layout::contiguous(&conv.weights())),
            Port::optional("dbias", dtype, Layout::contiguous(&[conv.x.c]), *bias),
        ]
    }

    fn reference(&self, inputs: &[ArrayD<f64>]) -> Vec<ArrayD<f64>> {
        let [dy, x, w] = inputs else { panic!("three inputs") };
        let ConvTranspose2d { conv, bias, .. } = &self.forward;
        vec![conv.sums(dy, w).into_dyn(), conv.correlated(dy, x).into_dyn(), sums_of_channels(dy, *bias)]
    }

    fn tolerance(&self, dtype: DType, fill: Fill, inputs: &[ArrayD<f64>], expected: &[ArrayD<f64>]) -> Vec<Tolerance> {
        if fill == Fill::Exact {
            return vec![Tolerance::Exact; 3];
        }
        let conv = &self.forward.conv;
        let magnitudes = self.reference(&[0, 1, 2].map(|input| inputs[input].mapv(f64::abs)));
        let steps = [chain(conv.depth()), chain_over_images(conv), conv.x.count()];
        let formulas = [
            "γ(min(krs,256)+⌈krs/256⌉)·Σ|dy||w| + u|dx|",
            "γ(min(hw,256)+n⌈hw/256⌉)·Σ|x||dy| + u|dw|",
            "γ(nhw)·Σ|dy| + u|dbias|",
        ];
        let bounds = steps.into_iter().zip(&magnitudes).zip(expected);
        let bounds = bounds.map(|((steps, sum), y)| tolerance::of_chains(steps, sum, dtype, y));
        formulas
            .into_iter()
            .zip(bounds)
            .zip(expected)
            .map(|((formula, bound), y)| Tolerance::bound(formula, bound, y))
            .collect()
    }

    fn work(&self, dtype: DType) -> Work {
        let conv = &self.forward.conv;
        let Work { flops, .. } = conv.work(dtype);
        let weights: f64 = conv.weights().iter().map(|&extent| extent as f64).product();
        let elements = conv.x.len() as f64 + 2.0 * conv.y.len() as f64 + 2.0 * weights;
        Work { flops: 2.0 * flops, bytes: elements * dtype.size() as f64 }
    }

    fn degenerate(&self) -> bool {
        self.forward.conv.correlated_is_sparse()
    }
}

/// The operator `conv_transpose2d_backward`.
pub struct ConvTranspose2dBackwardOperator;

impl Operator for ConvTranspose2dBackwardOperator {
    fn name(&self) -> &'static str {
        "conv_transpose2d_backward"
    }

    fn summary(&self) -> &'static str {
        "gradients of conv_transpose2d: dx, dw, dbias"
    }

    fn axes(&self) -> &'static [Axis] {
        AXES
    }

    fn dtypes(&self) -> &'static [DType] {
        &[DType::F32, DType::F64]
    }

    fn problem(&self, point: &Point) -> Result<Box<dyn Problem>, ProblemError> {
        Ok(Box::new(ConvTranspose2dBackward { forward: ConvTranspose2d::of(point)? }))
    }

    fn domains(&self) -> &'static [Domain] {
        super::conv_domains::DOMAINS
    }

    fn workloads(&self) -> &'static [Workload] {
        workloads::TRANSPOSED_BACKWARD
    }

    fn special_values(&self) -> &'static str {
        "NaN and ∞ of dy follow the formulas; x and w are finite, as a kernel may multiply them with zeros around dy"
    }

    fn gradient_of(&self) -> Option<&'static dyn GradientOf> {
        Some(&ConvTranspose2dBackwardOperator)
    }
}

impl GradientOf for ConvTranspose2dBackwardOperator {
    fn forward(&self) -> &'static dyn Operator {
        &ConvTranspose2dOperator
    }

    fn forward_point(&self, point: &Point) -> Point {
        point.clone()
    }

    fn inputs(
        &self,
        _gradient: &dyn Problem,
        _forward: &dyn Problem,
        inputs: &[ArrayD<f64>],
        _outputs: &[ArrayD<f64>],
        upstream: &ArrayD<f64>,
    ) -> Vec<ArrayD<f64>> {
        vec![upstream.clone(), inputs[0].clone(), inputs[1].clone()]
    }

    fn gradients(&self, gradient: &dyn Problem, outputs: &[ArrayD<f64>]) -> Vec<(usize, ArrayD<f64>)> {
        let wanted = if downcast::<ConvTranspose2dBackward>(gradient).forward.bias { 3 } else { 2 };
        outputs[..wanted].iter().cloned().enumerate().collect()
    }

    fn linear(&self, gradient: &dyn Problem) -> Vec<usize> {
        // With a bias, y is affine in x and in w alone: differences of two values are linear.
        let _ = gradient;
        vec![0, 1]
    }
}

//! `conv2d_backward_data`: the gradient of [`conv2d`](super::conv2d) with respect to the images.
//!
//! `dx[n, c, h, v] = Σ dy[n, k, i, j] · w[k, c, r, s]` over the outputs (i, j) whose tap (r, s) meets (h, v), and the output
//! channels k of c's group. Sizes and names are those of the convolution: dy is as large as its y, dx as its x.
//!
//! **Order of summation** (of the kernels that say so): only some taps ever meet a given (h, v): those in whose place
//! `h + pt − r·dh` is a multiple of `sh`, and likewise for columns. The products are numbered by (r, s, k), with r and s
//! descending over these taps, places outside of dy included; they are added in chunks as the convolution's are.

use std::any::Any;

use ndarray::ArrayD;

use super::conv_gradient_workloads as workloads;
use super::conv2d::{Conv2d, Conv2dOperator, GEOMETRY};
use super::gemm::chain;
use crate::{
    Axis, DType, Domain, Fill, GradientOf, Layout, Operator, Point, Port, Problem, ProblemError, Tolerance, Work,
    Workload, tolerance,
};

/// A validated gradient of a convolution with respect to its images.
#[derive(Clone, Debug, PartialEq)]
pub struct Conv2dBackwardData {
    /// The convolution, without scale, bias and ReLU.
    pub conv: Conv2d,
}

impl Problem for Conv2dBackwardData {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn inputs(&self, dtype: DType) -> Vec<Port> {
        vec![
            Port::new("dy", dtype, self.conv.y.port_layout()),
            Port::new("w", dtype, Layout::contiguous(&self.conv.weights())).finite(),
        ]
    }

    fn outputs(&self, dtype: DType) -> Vec<Port> {
        vec![Port::new("dx", dtype, self.conv.x.port_layout())]
    }

    fn reference(&self, inputs: &[ArrayD<f64>]) -> Vec<ArrayD<f64>> {
        vec![self.conv.spread(&inputs[0], &inputs[1]).into_dyn()]
    }

    fn tolerance(&self, dtype: DType, fill: Fill, inputs: &[ArrayD<f64>], expected: &[ArrayD<f64>]) -> Vec<Tolerance> {
        if fill == Fill::Exact {
            return vec![Tolerance::Exact];
        }
        let magnitude = self.conv.spread(&inputs[0].mapv(f64::abs), &inputs[1].mapv(f64::abs)).into_dyn();
        // No output meets more than all taps.
        let steps = chain(self.conv.spread_depth());
        let bound = tolerance::of_chains(steps, &magnitude, dtype, &expected[0]);
        vec![Tolerance::bound("γ(min(krs,256)+⌈krs/256⌉)·Σ|dy||w| + u|dx|", bound, &expected[0])]
    }

    fn work(&self, dtype: DType) -> Work {
        self.conv.work(dtype)
    }

    fn degenerate(&self) -> bool {
        self.conv.spread_is_sparse()
    }
}

/// The operator `conv2d_backward_data`.
pub struct Conv2dBackwardDataOperator;

impl Operator for Conv2dBackwardDataOperator {
    fn name(&self) -> &'static str {
        "conv2d_backward_data"
    }

    fn summary(&self) -> &'static str {
        "gradient of conv2d with respect to its images"
    }

    fn axes(&self) -> &'static [Axis] {
        GEOMETRY
    }

    fn dtypes(&self) -> &'static [DType] {
        &[DType::F32, DType::F64]
    }

    fn problem(&self, point: &Point) -> Result<Box<dyn Problem>, ProblemError> {
        Ok(Box::new(Conv2dBackwardData { conv: Conv2d::plain(point)? }))
    }

    fn domains(&self) -> &'static [Domain] {
        super::conv_domains::DOMAINS
    }

    fn workloads(&self) -> &'static [Workload] {
        workloads::BACKWARD
    }

    fn special_values(&self) -> &'static str {
        "NaN and ∞ of dy follow the formula; weights are finite, as a kernel may multiply them with zeros around dy"
    }

    fn gradient_of(&self) -> Option<&'static dyn GradientOf> {
        Some(&Conv2dBackwardDataOperator)
    }

    fn batch_axis(&self) -> Option<&'static str> {
        Some("n")
    }
}

impl GradientOf for Conv2dBackwardDataOperator {
    fn forward(&self) -> &'static dyn Operator {
        &Conv2dOperator
    }

    fn forward_point(&self, point: &Point) -> Point {
        super::conv2d::with_geometry_of(point)
    }

    fn inputs(
        &self,
        _gradient: &dyn Problem,
        _forward: &dyn Problem,
        inputs: &[ArrayD<f64>],
        _outputs: &[ArrayD<f64>],
        upstream: &ArrayD<f64>,
    ) -> Vec<ArrayD<f64>> {
        vec![upstream.clone(), inputs[1].clone()]
    }

    fn inputs_of(&self, _gradient: &dyn Problem, _forward: &dyn Problem) -> Vec<usize> {
        vec![0]
    }

    fn gradients(&self, _gradient: &dyn Problem, outputs: &[ArrayD<f64>]) -> Vec<(usize, ArrayD<f64>)> {
        vec![(0, outputs[0].clone())]
    }

    fn linear(&self, _gradient: &dyn Problem) -> Vec<usize> {
        vec![0]
    }
}

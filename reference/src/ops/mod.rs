//! The operators, one file each. A new one: its file, its `mod` line, its entry in [`ALL`].

pub mod batchnorm_relu;
pub mod batchnorm_relu_backward;
mod batchnorm_workloads;
pub mod conv2d;
mod conv_workloads;
pub mod gemm;
pub mod gemm_backward;
mod gemm_workloads;
pub mod images;
pub mod winograd;

use crate::Operator;

/// Every operator.
pub static ALL: &[&dyn Operator] = &[
    &gemm::GemmOperator,
    &gemm_backward::GemmBackwardOperator,
    &batchnorm_relu::BatchnormReluOperator,
    &batchnorm_relu_backward::BatchnormReluBackwardOperator,
    &conv2d::Conv2dOperator,
];

/// The operator of this name.
pub fn find(name: &str) -> Option<&'static dyn Operator> {
    ALL.iter().copied().find(|o| o.name() == name)
}

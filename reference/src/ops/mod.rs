//! The operators, one file each. A new one: its file, its `mod` line, its entry in [`ALL`].

pub mod batchnorm_relu;
pub mod batchnorm_relu_backward;
mod batchnorm_workloads;
pub mod conv2d;
pub mod conv2d_backward_data;
pub mod conv2d_backward_weights;
mod conv_domains;
mod conv_gradient_workloads;
mod conv_networks;
pub mod conv_transpose2d;
pub mod conv_transpose2d_backward;
mod conv_workloads;
mod correlation;
pub mod gemm;
pub mod gemm_backward;
mod gemm_workloads;
pub mod images;
pub mod window;
pub mod winograd;

use crate::Operator;

/// Every operator.
pub static ALL: &[&dyn Operator] = &[
    &gemm::GemmOperator,
    &gemm_backward::GemmBackwardOperator,
    &batchnorm_relu::BatchnormReluOperator,
    &batchnorm_relu_backward::BatchnormReluBackwardOperator,
    &conv2d::Conv2dOperator,
    &conv2d_backward_data::Conv2dBackwardDataOperator,
    &conv2d_backward_weights::Conv2dBackwardWeightsOperator,
    &conv_transpose2d::ConvTranspose2dOperator,
    &conv_transpose2d_backward::ConvTranspose2dBackwardOperator,
];

/// The operator of this name.
pub fn find(name: &str) -> Option<&'static dyn Operator> {
    ALL.iter().copied().find(|o| o.name() == name)
}

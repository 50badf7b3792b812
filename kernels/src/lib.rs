//! What is fast: hand-tuned kernels, one folder an operator, and what they stand on.
//!
//! Reading order: [`isa`] (which instructions there are), [`math`] (functions of f32), [`pool`], [`aligned`], [`workspace`] and [`disjoint`] (threads
//! and memory), [`kernel`] (an entry of a list), then the operators' folders, and [`registry`], the list of lists.
//! [`check`] judges one case; its `suite` asks every question of a kernel.

pub mod activation;
pub mod activation_backward;
pub mod aligned;
pub mod batchnorm_relu;
pub mod batchnorm_relu_backward;
pub mod call;
pub mod check;
pub mod conv2d;
pub mod conv2d_backward_data;
pub mod conv2d_backward_weights;
pub mod conv_transpose2d;
pub mod conv_transpose2d_backward;
pub mod disjoint;
pub mod dropout;
pub mod dropout_backward;
pub mod faults;
pub mod ffi;
pub mod gemm;
pub mod gemm_backward;
pub mod isa;
pub mod kernel;
pub mod lstm;
pub mod lstm_backward;
pub mod math;
pub mod matmul_int8;
pub mod max_pool2d;
pub mod max_pool2d_backward;
pub mod pool;
pub mod registry;
pub mod workspace;

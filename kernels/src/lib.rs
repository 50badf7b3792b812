//! What is fast: hand-tuned kernels, one folder an operator, and what they stand on.
//!
//! Reading order: [`isa`] (which instructions there are), [`math`] (functions of f32), [`pool`], [`aligned`],
//! [`workspace`] and [`disjoint`] (threads and memory), [`kernel`] (an entry of a list) and [`call`] (its operands), then
//! the operators' folders, and [`registry`], the list of lists.
//! [`check`] judges one case; its `suite` asks every question of a kernel.
//!
//! # Calling a kernel
//! ```
//! use etalon_kernels::{call::Signature, pool::Pool, registry, workspace::Workspace};
//! use etalon_reference::{Point, Slice, SliceMut, Types};
//!
//! // Once: a problem, a kernel, and what the problem asks of its operands.
//! let entry = registry::find("activation").ok_or("no such operator")?;
//! let problem = entry.operator.problem(&Point::parse(entry.operator.axes, "f=relu,n=2,c=3,s=4")?)?;
//! let kernel = entry.default_kernel(&*problem, Types::F32).ok_or("no kernel")?;
//! let signature = Signature::new(&*problem, Types::F32);
//! let (pool, mut workspace) = (Pool::new(1), Workspace::new());
//!
//! // As often as there are data: operands are checked, and nothing is allocated. An absent operand is empty.
//! let (x, mut y) = ([-1.0, 2.0].repeat(12), [0.0; 24]);
//! let (inputs, mut outputs) = ([Slice::F32(&x), Slice::F32(&[])], [SliceMut::F32(&mut y)]);
//! (kernel.run)(&mut signature.call(&inputs, &mut outputs, &pool, &mut workspace, None)?)?;
//! assert_eq!(y, [[0.0, 2.0]; 12].as_flattened());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//! [`gemm::sgemm`] and [`gemm::dgemm`] take slices as they are.

pub mod activation;
pub mod activation_backward;
pub mod adaptive_avg_pool2d;
pub mod adaptive_avg_pool2d_backward;
pub mod adaptive_max_pool2d;
pub mod adaptive_max_pool2d_backward;
pub mod aligned;
pub mod attention;
pub mod attention_backward;
pub mod avg_pool2d;
pub mod avg_pool2d_backward;
pub mod batchnorm_relu;
pub mod batchnorm_relu_backward;
pub mod call;
pub mod check;
pub mod clip_norm;
pub mod conv2d;
pub mod conv2d_backward_data;
pub mod conv2d_backward_weights;
pub mod conv2d_int8;
pub mod conv_transpose2d;
pub mod conv_transpose2d_backward;
pub mod cross_entropy;
pub mod cross_entropy_backward;
pub mod dequantize;
pub mod disjoint;
pub mod distillation;
pub mod distillation_backward;
#[cfg(target_arch = "x86_64")]
mod dotted;
pub mod dropout;
pub mod dropout_backward;
pub mod embedding;
pub mod embedding_backward;
pub mod faults;
pub mod ffi;
pub mod fractional_max_pool2d;
pub mod fractional_max_pool2d_backward;
pub mod gemm;
pub mod gemm_backward;
pub mod gru;
pub mod gru_backward;
pub mod isa;
pub mod kernel;
pub mod l2_pool2d;
pub mod l2_pool2d_backward;
pub mod layer_norm;
pub mod layer_norm_backward;
pub mod lstm;
pub mod lstm_backward;
pub mod math;
pub mod matmul_binary;
pub mod matmul_int8;
pub mod matmul_nbits;
pub mod max_pool2d;
pub mod max_pool2d_backward;
pub mod mixed_precision_sgd;
pub mod multi_margin;
pub mod multi_margin_backward;
pub mod pair_loss;
pub mod pair_loss_backward;
pub mod pool;
pub mod quantization_range;
pub mod quantize;
pub mod recurrent;
pub mod recurrent_layers;
pub mod recurrent_layers_backward;
pub mod reduce;
pub mod reduce_backward;
pub mod registry;
pub mod rnn;
pub mod rnn_backward;
pub mod rotary;
pub mod rotary_backward;
pub mod softmax;
pub mod softmax_backward;
pub mod triplet;
pub mod triplet_backward;
pub mod unpool2d;
pub mod unpool2d_backward;
pub mod workspace;

//! The operators, one file each. A new one: its file, its `mod` line, its row in
//! [`each_operator`](crate::each_operator).

pub mod activation;
pub mod activation_backward;
pub mod activation_functions;
mod activation_workloads;
pub mod adaptive_avg_pool2d;
pub mod adaptive_avg_pool2d_backward;
pub mod adaptive_max_pool2d;
pub mod adaptive_max_pool2d_backward;
pub mod attention;
pub mod attention_backward;
mod attention_bounds;
mod attention_rows;
mod attention_workloads;
pub mod avg_pool2d;
pub mod avg_pool2d_backward;
pub mod batchnorm_relu;
pub mod batchnorm_relu_backward;
mod batchnorm_workloads;
pub mod clip_norm;
pub mod conv2d;
pub mod conv2d_backward_data;
pub mod conv2d_backward_weights;
pub mod conv2d_int8;
mod conv_domains;
mod conv_gradient_workloads;
mod conv_networks;
pub mod conv_transpose2d;
pub mod conv_transpose2d_backward;
mod conv_workloads;
mod correlation;
pub mod cross_entropy;
pub mod cross_entropy_backward;
pub mod dequantize;
pub mod distillation;
pub mod distillation_backward;
pub mod dropout;
pub mod dropout_backward;
pub mod embedding;
pub mod embedding_backward;
pub mod fractional_max_pool2d;
pub mod fractional_max_pool2d_backward;
pub mod gemm;
pub mod gemm_backward;
mod gemm_workloads;
pub mod gru;
pub mod gru_backward;
mod gru_backward_bounds;
pub mod images;
pub mod l2_pool2d;
pub mod l2_pool2d_backward;
pub mod layer_norm;
pub mod layer_norm_backward;
pub mod lstm;
pub mod lstm_backward;
mod lstm_backward_bounds;
pub mod lstm_bounds;
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
pub mod pair_loss_functions;
pub mod philox;
mod pooling;
pub mod quantization_range;
pub mod quantize;
pub mod recurrent;
pub mod recurrent_backward;
pub mod recurrent_layers;
pub mod recurrent_layers_backward;
mod recurrent_workloads;
pub mod reduce;
pub mod reduce_backward;
pub mod rnn;
pub mod rnn_backward;
pub mod rotary;
pub mod rotary_backward;
mod row_losses;
pub mod softmax;
pub mod softmax_backward;
pub mod triplet;
pub mod triplet_backward;
pub mod unpool2d;
pub mod unpool2d_backward;
mod walk;
pub mod window;
pub mod winograd;

use crate::Operator;

/// The one list of operators: hands `module: NAME` of each to the macro that is named. `kernels` lists its kernels by
/// it.
#[macro_export]
macro_rules! each_operator {
    ($use:ident) => {
        $use! {
            gemm: GEMM,
            gemm_backward: GEMM_BACKWARD,
            matmul_int8: MATMUL_INT8,
            conv2d_int8: CONV2D_INT8,
            matmul_nbits: MATMUL_NBITS,
            matmul_binary: MATMUL_BINARY,
            quantize: QUANTIZE,
            dequantize: DEQUANTIZE,
            quantization_range: QUANTIZATION_RANGE,
            mixed_precision_sgd: MIXED_PRECISION_SGD,
            batchnorm_relu: BATCHNORM_RELU,
            batchnorm_relu_backward: BATCHNORM_RELU_BACKWARD,
            conv2d: CONV2D,
            conv2d_backward_data: CONV2D_BACKWARD_DATA,
            conv2d_backward_weights: CONV2D_BACKWARD_WEIGHTS,
            conv_transpose2d: CONV_TRANSPOSE2D,
            conv_transpose2d_backward: CONV_TRANSPOSE2D_BACKWARD,
            max_pool2d: MAX_POOL2D,
            max_pool2d_backward: MAX_POOL2D_BACKWARD,
            adaptive_max_pool2d: ADAPTIVE_MAX_POOL2D,
            adaptive_max_pool2d_backward: ADAPTIVE_MAX_POOL2D_BACKWARD,
            avg_pool2d: AVG_POOL2D,
            avg_pool2d_backward: AVG_POOL2D_BACKWARD,
            adaptive_avg_pool2d: ADAPTIVE_AVG_POOL2D,
            adaptive_avg_pool2d_backward: ADAPTIVE_AVG_POOL2D_BACKWARD,
            fractional_max_pool2d: FRACTIONAL_MAX_POOL2D,
            fractional_max_pool2d_backward: FRACTIONAL_MAX_POOL2D_BACKWARD,
            l2_pool2d: L2_POOL2D,
            l2_pool2d_backward: L2_POOL2D_BACKWARD,
            unpool2d: UNPOOL2D,
            unpool2d_backward: UNPOOL2D_BACKWARD,
            dropout: DROPOUT,
            dropout_backward: DROPOUT_BACKWARD,
            activation: ACTIVATION,
            activation_backward: ACTIVATION_BACKWARD,
            lstm: LSTM,
            lstm_backward: LSTM_BACKWARD,
            gru: GRU,
            gru_backward: GRU_BACKWARD,
            rnn: RNN,
            rnn_backward: RNN_BACKWARD,
            recurrent_layers: RECURRENT_LAYERS,
            recurrent_layers_backward: RECURRENT_LAYERS_BACKWARD,
            attention: ATTENTION,
            attention_backward: ATTENTION_BACKWARD,
            rotary: ROTARY,
            rotary_backward: ROTARY_BACKWARD,
            layer_norm: LAYER_NORM,
            layer_norm_backward: LAYER_NORM_BACKWARD,
            cross_entropy: CROSS_ENTROPY,
            cross_entropy_backward: CROSS_ENTROPY_BACKWARD,
            softmax: SOFTMAX,
            softmax_backward: SOFTMAX_BACKWARD,
            clip_norm: CLIP_NORM,
            distillation: DISTILLATION,
            distillation_backward: DISTILLATION_BACKWARD,
            triplet: TRIPLET,
            triplet_backward: TRIPLET_BACKWARD,
            multi_margin: MULTI_MARGIN,
            multi_margin_backward: MULTI_MARGIN_BACKWARD,
            pair_loss: PAIR_LOSS,
            pair_loss_backward: PAIR_LOSS_BACKWARD,
            reduce: REDUCE,
            reduce_backward: REDUCE_BACKWARD,
            embedding: EMBEDDING,
            embedding_backward: EMBEDDING_BACKWARD,
        }
    };
}

macro_rules! operators {
    ($($module:ident: $name:ident,)*) => { &[$(&$module::$name),*] };
}

/// Every operator.
pub static ALL: &[&Operator] = each_operator!(operators);

/// The operator of this name.
pub fn find(name: &str) -> Option<&'static Operator> {
    ALL.iter().copied().find(|o| o.name == name)
}

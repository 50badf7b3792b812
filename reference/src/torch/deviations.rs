//! Where libtorch is known to differ from an operator's definition.
//!
//! A test shows each row by its example; a row that is no longer needed fails there.

use ndarray::Axis;

use super::fractional_pool;
use crate::operator::downcast;
use crate::ops::activation::Activation as ActivationProblem;
use crate::ops::activation_backward::ActivationBackward;
use crate::ops::batchnorm_relu::{BatchnormRelu, Mode};
use crate::ops::batchnorm_relu_backward::BatchnormReluBackward;
use crate::ops::conv_transpose2d_backward::ConvTranspose2dBackward;
use crate::ops::conv2d::Conv2d;
use crate::ops::conv2d_backward_weights::Conv2dBackwardWeights;
use crate::ops::gemm::{Activation, Gemm};
use crate::ops::gemm_backward::GemmBackward;
use crate::ops::gru::Gru;
use crate::ops::gru_backward::GruBackward;
use crate::ops::images::ImageLayout;
use crate::ops::layer_norm;
use crate::ops::layer_norm_backward::LayerNormBackward;
use crate::ops::lstm::Lstm;
use crate::ops::lstm_backward::LstmBackward;
use crate::ops::multi_margin::MultiMargin;
use crate::ops::pair_loss::PairLoss;
use crate::ops::pair_loss_backward::PairLossBackward;
use crate::ops::recurrent_layers::{Cells, RecurrentLayers};
use crate::ops::recurrent_layers_backward::RecurrentLayersBackward;
use crate::ops::reduce::Of;
use crate::ops::reduce_backward::ReduceBackward;
use crate::ops::rnn::Rnn;
use crate::ops::rnn_backward::RnnBackward;
use crate::{DType, Data, Problem, Types, arrays};

/// What libtorch does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Conduct {
    /// It gives an error.
    Refuses,
    /// It ends the process, or overwrites memory with which a process ends later, or computes wrongly. It is not asked.
    Crashes,
    /// It gives another answer.
    Differs,
}

/// One known difference.
pub struct Deviation {
    /// The operator's name.
    pub op: &'static str,
    /// What libtorch does.
    pub conduct: Conduct,
    /// When and how.
    pub what: &'static str,
    /// Where it was reported: `pytorch#…` or `oneDNN#…`, of this or of the nearest case.
    pub issue: &'static str,
    /// A case id that shows it.
    pub example: &'static str,
    /// Whether the problem may show it with these inputs.
    applies: fn(&dyn Problem, &[Data]) -> bool,
}

impl Deviation {
    /// Whether this problem of the operator may show it with these inputs.
    pub fn applies(&self, op: &str, problem: &dyn Problem, inputs: &[Data]) -> bool {
        self.op == op && (self.applies)(problem, inputs)
    }
}

/// Whether there is an infinity; gaps hold NaN.
fn infinite(data: &Data) -> bool {
    data.to_f64().iter().any(|x| x.is_infinite())
}

/// Whether there is a NaN or an infinity, gaps included.
fn special(data: &Data) -> bool {
    data.to_f64().iter().any(|x| !x.is_finite())
}

/// Channels of a block of oneDNN's kernels for AVX-512, the widest.
const BLOCK: usize = 16;

/// Whether oneDNN computes the gradient of these weights with a workspace that it writes past: the positions that a stride
/// leaves are gathered, with room for the channels that there are, and addressed as if there were a whole block of them.
///
/// Small images overrun into memory that is there, so that nothing shows: they count, too.
fn overruns(conv: &Conv2d, inputs: &[Data]) -> bool {
    let strided = conv.rows.stride > 1 || conv.cols.stride > 1;
    let point = conv.rows.taps == 1 && conv.cols.taps == 1;
    let by_pixels = conv.x.layout == ImageLayout::Nhwc;
    inputs[0].dtype() != DType::F64 && strided && point && by_pixels && conv.group_in() < BLOCK
}

/// Whether a channel's products of dy and x − μ, or what a gradient gets of their sum, may pass the largest number.
fn overflows(norm: &BatchnormReluBackward, inputs: &[Data]) -> bool {
    let inputs = arrays(&norm.inputs(Types::F32), inputs);
    let (dy, x, count) = (&inputs[0], &inputs[1], norm.images.count() as f64);
    (0..norm.images.c).any(|c| {
        let [mean, rstd] = [3, 4].map(|i| inputs[i][[c]]);
        let (mut sum, mut farthest) = (0.0, 0.0f64);
        for (dy, x) in dy.index_axis(Axis(1), c).iter().zip(x.index_axis(Axis(1), c)) {
            let (product, distance) = ((dy * (x - mean)).abs(), (x - mean).abs());
            sum += if product.is_finite() { product } else { 0.0 };
            farthest = if distance.is_finite() { farthest.max(distance) } else { farthest };
        }
        sum.max(sum * rstd * rstd / count * farthest.max(1.0)) >= f64::from(f32::MAX)
    })
}

/// Whether oneDNN is asked for layers of LSTM without hidden units.
fn no_units(layers: &RecurrentLayers, first: &Data) -> bool {
    layers.cells == Cells::Lstm && layers.first.hidden == 0 && first.dtype() != DType::F64
}

/// Whether oneDNN is asked for a layer without hidden units: it is for inputs of f32 that have elements.
fn without_units(lstm: &Lstm, first: &Data) -> bool {
    lstm.layer.hidden == 0 && lstm.layer.steps * lstm.layer.batch * lstm.layer.inputs > 0 && first.dtype() != DType::F64
}

/// Every known difference of libtorch 2.13.
pub static ALL: &[Deviation] = &[
    Deviation {
        op: "gemm",
        conduct: Conduct::Differs,
        what: "α = 0 multiplies NaN and ∞ of A and B nevertheless",
        issue: "pytorch#96037",
        example: "gemm/libtorch/f32/n=2,k=3,batch=2,alpha=0/t1#hostile-10650",
        applies: |problem, inputs| downcast::<Gemm>(problem).alpha == 0.0 && inputs.iter().any(special),
    },
    Deviation {
        op: "gemm",
        conduct: Conduct::Differs,
        what: "GELU of ±∞ is NaN",
        issue: "pytorch#185770",
        example: "gemm/libtorch/f64/m=2,n=5,k=2,batch=2,act=gelu/t1#hostile-41341",
        applies: |problem, inputs| {
            downcast::<Gemm>(problem).activation == Activation::Gelu && inputs.iter().any(infinite)
        },
    },
    Deviation {
        op: "gemm_backward",
        conduct: Conduct::Differs,
        what: "GELU's derivative at ±∞ is NaN",
        issue: "pytorch#185770",
        example: "gemm_backward/libtorch/f32/m=13,n=7,k=0,batch=2,act=gelu/t1#hostile-16375",
        applies: |problem, inputs| {
            downcast::<GemmBackward>(problem).activation == Activation::Gelu && inputs.iter().any(infinite)
        },
    },
    Deviation {
        op: "gemm_backward",
        conduct: Conduct::Differs,
        what: "α = 0 multiplies NaN and ∞ of A and B nevertheless",
        issue: "pytorch#96037",
        example: "gemm_backward/libtorch/f32/m=2,n=2,k=3,batch=2,alpha=0/t1#hostile-0",
        applies: |problem, inputs| downcast::<GemmBackward>(problem).alpha == 0.0 && inputs.iter().any(special),
    },
    Deviation {
        op: "activation",
        conduct: Conduct::Differs,
        what: "GELU and SiLU of ±∞, and hard swish of −∞, are NaN",
        issue: "pytorch#185770",
        example: "activation/libtorch/f32/f=silu,c=100,s=3/t1#hostile-1",
        applies: |problem, inputs| {
            ["gelu_erf", "gelu_tanh", "silu", "hard_swish"]
                .contains(&downcast::<ActivationProblem>(problem).function.name)
                && infinite(&inputs[0])
        },
    },
    Deviation {
        op: "activation_backward",
        conduct: Conduct::Differs,
        what: "the derivatives of GELU and SiLU at ±∞ are NaN",
        issue: "pytorch#185770",
        example: "activation_backward/libtorch/f32/f=gelu_erf,c=31,s=2/t1#hostile-39617",
        applies: |problem, inputs| {
            ["gelu_erf", "gelu_tanh", "silu"].contains(&downcast::<ActivationBackward>(problem).function.name)
                && infinite(&inputs[1])
        },
    },
    Deviation {
        op: "activation_backward",
        conduct: Conduct::Differs,
        what: "the derivatives of ELU and hard swish at NaN are NaN in vectors, and 1 in what is left of them",
        issue: "not reported: NaN is above 0 in one loop and not in the other",
        example: "activation_backward/libtorch/f32/f=elu,s=33/t1#hostile-2783",
        applies: |problem, inputs| {
            let nan = |data: &Data| data.to_f64().iter().any(|x| x.is_nan());
            ["elu", "hard_swish"].contains(&downcast::<ActivationBackward>(problem).function.name) && nan(&inputs[1])
        },
    },
    Deviation {
        op: "attention",
        conduct: Conduct::Differs,
        what: "NaN and ∞ of what a query does not see reach its result; the logarithm of a sum with ∞ is ∞",
        issue: "not reported: masks are added, and 0 is multiplied with what is not seen",
        example: "attention/libtorch/f32/sq=170,sk=150,d=1,dv=1,causal=top/t1#hostile-27605",
        applies: |_, inputs| inputs[..4].iter().any(special),
    },
    Deviation {
        op: "attention_backward",
        conduct: Conduct::Differs,
        what: "NaN and ∞ of what a query does not see reach its gradients",
        issue: "not reported: masks are added, and 0 is multiplied with what is not seen",
        example: "attention_backward/libtorch/f32/sq=170,sk=150,d=1,dv=8,causal=top/t1#hostile-6022",
        applies: |_, inputs| inputs[..5].iter().any(special),
    },
    Deviation {
        op: "layer_norm",
        conduct: Conduct::Differs,
        what: "the mean of a row with ∞ is NaN",
        issue: "not reported: means are updated by differences",
        example: "layer_norm/libtorch/f32/c=127,keep=yes/t1#hostile-41785",
        applies: |_, inputs| infinite(&inputs[0]),
    },
    Deviation {
        op: "cross_entropy",
        conduct: Conduct::Differs,
        what: "the logarithm of a sum with ∞ is ∞, beside a loss of NaN",
        issue: "not reported: two functions that treat it in two ways",
        example: "cross_entropy/libtorch/f32/c=63,keep=yes/t1#hostile-14239",
        applies: |_, inputs| infinite(&inputs[0]),
    },
    Deviation {
        op: "cross_entropy_backward",
        conduct: Conduct::Differs,
        what: "NaN and ∞ of rows without a label are multiplied with 0",
        issue: "not reported: the gradient is that of all rows, times 0",
        example: "cross_entropy_backward/libtorch/f32/n=2,c=127/t1#hostile-51239",
        applies: |_, inputs| special(&inputs[1]),
    },
    Deviation {
        op: "multi_margin",
        conduct: Conduct::Differs,
        what: "the loss of no row is not written: it is what the memory held",
        issue: "not reported: a return before the result is set",
        example: "multi_margin/libtorch/f32/n=0,c=1/t1#exact-0",
        applies: |problem, _| downcast::<MultiMargin>(problem).rows == 0,
    },
    Deviation {
        op: "multi_margin",
        conduct: Conduct::Differs,
        what: "an excess that is NaN costs nothing",
        issue: "not reported: NaN is not above 0",
        example: "multi_margin/libtorch/f32/c=63/t1#hostile-7715",
        applies: |_, inputs| special(&inputs[0]),
    },
    Deviation {
        op: "multi_margin_backward",
        conduct: Conduct::Differs,
        what: "an excess that is NaN has the slope 0",
        issue: "not reported: NaN is not above 0",
        example: "multi_margin_backward/libtorch/f32/c=18/t1#hostile-22337",
        applies: |_, inputs| special(&inputs[1]),
    },
    Deviation {
        op: "pair_loss",
        conduct: Conduct::Differs,
        what: "binary cross entropy of the logit −∞ is NaN",
        issue: "not reported: the logit and softplus of it are added, which is −∞ + ∞",
        example: "pair_loss/libtorch/f64/f=bce,c=38,reduction=none/t1#hostile-27071",
        applies: |problem, inputs| downcast::<PairLoss>(problem).function.name == "bce" && infinite(&inputs[0]),
    },
    Deviation {
        op: "pair_loss_backward",
        conduct: Conduct::Differs,
        what: "the slope of L1 at NaN is 0",
        issue: "not reported: the sign of NaN is 0",
        example: "pair_loss_backward/libtorch/f32/c=2/t1#hostile-46667",
        applies: |problem, inputs| {
            downcast::<PairLossBackward>(problem).forward.function.name == "l1" && inputs[1..3].iter().any(special)
        },
    },
    Deviation {
        op: "reduce_backward",
        conduct: Conduct::Differs,
        what: "the slope of the L1 norm at NaN is 0",
        issue: "not reported: the sign of NaN is 0",
        example: "reduce_backward/libtorch/f32/f=l1,c=3,s=31/t1#hostile-22235",
        applies: |problem, inputs| downcast::<ReduceBackward>(problem).forward.of == Of::L1 && special(&inputs[1]),
    },
    Deviation {
        op: "triplet_backward",
        conduct: Conduct::Differs,
        what: "where one distance is NaN, the gradient of the other one is 0",
        issue: "not reported: NaN is not above 0",
        example: "triplet_backward/libtorch/f32/c=15/t1#hostile-6215",
        applies: |_, inputs| inputs[1..4].iter().any(special),
    },
    Deviation {
        op: "batchnorm_relu",
        conduct: Conduct::Refuses,
        what: "training without channels is refused: `input tensor must have at least one element`",
        issue: "pytorch#120803",
        example: "batchnorm_relu/libtorch/f32/c=0/t1#real-0",
        applies: |problem, _| {
            let norm: &BatchnormRelu = downcast(problem);
            norm.mode == Mode::Train && norm.images.c == 0
        },
    },
    Deviation {
        op: "batchnorm_relu_backward",
        conduct: Conduct::Crashes,
        what: "the gradient without channels divides by zero (SIGFPE)",
        issue: "pytorch#120803",
        example: "batchnorm_relu_backward/libtorch/f32/c=0/t1#real-0",
        applies: |problem, _| downcast::<BatchnormReluBackward>(problem).images.c == 0,
    },
    Deviation {
        op: "batchnorm_relu_backward",
        conduct: Conduct::Differs,
        what: "in f32, Σ dy·(x − μ), and what is made of it, may overflow where the gradient does not",
        issue: "not reported: sums are divided behind their end",
        example: "batchnorm_relu_backward/libtorch/f32/n=6,c=20,h=17,w=31/t1#hostile-57933",
        applies: |problem, inputs| inputs[0].dtype() == DType::F32 && overflows(downcast(problem), inputs),
    },
    Deviation {
        op: "fractional_max_pool2d",
        conduct: Conduct::Differs,
        what: "the places of windows are rounded in the type of the images, which moves some by one element",
        issue: "not reported: (i + u)·α, rounded up to an integer",
        example: "fractional_max_pool2d/libtorch/f32/c=20,h=14,w=14,oh=12,ow=12,r=1,s=1/t1#real-0",
        applies: |problem, inputs| fractional_pool::moves(downcast(problem), &inputs[1]),
    },
    Deviation {
        op: "l2_pool2d_backward",
        conduct: Conduct::Differs,
        what: "quotients by norms below the normal numbers overflow",
        issue: "not reported: dy is divided before it meets x",
        example: "l2_pool2d_backward/libtorch/f32/r=1,s=1,sh=1,sw=1/t1#hostile-2",
        applies: |_, inputs| {
            let least = if inputs[2].dtype() == DType::F64 { 1e-300 } else { 1e-30 };
            inputs[2].to_f64().iter().any(|&y| y > 0.0 && y < least)
        },
    },
    Deviation {
        op: "lstm",
        conduct: Conduct::Refuses,
        what: "a sequence without steps is refused: `Expected sequence length to be larger than 0 in RNN`",
        issue: "not reported: a check that libtorch makes on purpose",
        example: "lstm/libtorch/f32/t=0/t1#real-0",
        applies: |problem, _| downcast::<Lstm>(problem).layer.steps == 0,
    },
    Deviation {
        op: "lstm_backward",
        conduct: Conduct::Refuses,
        what: "a sequence without steps is refused: `Expected sequence length to be larger than 0 in RNN`",
        issue: "not reported: a check that libtorch makes on purpose",
        example: "lstm_backward/libtorch/f32/t=0/t1#real-0",
        applies: |problem, _| downcast::<LstmBackward>(problem).lstm.layer.steps == 0,
    },
    Deviation {
        op: "lstm",
        conduct: Conduct::Crashes,
        what: "in f32, a layer without hidden units divides by zero (SIGFPE)",
        issue: "pytorch#101211",
        example: "lstm/libtorch/f32/t=6,n=8,h=0,state=given/t1#real-0",
        applies: |problem, inputs| without_units(downcast(problem), &inputs[0]),
    },
    Deviation {
        op: "lstm_backward",
        conduct: Conduct::Refuses,
        what: "in f32, training of a layer without hidden units is refused: `could not create a primitive descriptor`",
        issue: "pytorch#101211",
        example: "lstm_backward/libtorch/f32/t=6,n=8,h=0,state=given/t1#real-0",
        applies: |problem, inputs| without_units(&downcast::<LstmBackward>(problem).lstm, &inputs[0]),
    },
    Deviation {
        op: "recurrent_layers",
        conduct: Conduct::Crashes,
        what: "in f32, layers of LSTM without hidden units divide by zero (SIGFPE)",
        issue: "pytorch#101211",
        example: "recurrent_layers/libtorch/f32/cell=lstm,t=6,n=8,h=0/t1#real-0",
        applies: |problem, inputs| no_units(downcast(problem), &inputs[0]),
    },
    Deviation {
        op: "recurrent_layers_backward",
        conduct: Conduct::Refuses,
        what: "in f32, layers of LSTM without hidden units are refused: `could not create a primitive descriptor`",
        issue: "pytorch#101211",
        example: "recurrent_layers_backward/libtorch/f32/cell=lstm,t=6,n=8,h=0/t1#real-0",
        applies: |problem, inputs| no_units(&downcast::<RecurrentLayersBackward>(problem).layers, &inputs[0]),
    },
    Deviation {
        op: "recurrent_layers",
        conduct: Conduct::Refuses,
        what: "layers over a sequence without steps are refused",
        issue: "pytorch: `_rnn_impl` checks for it",
        example: "recurrent_layers/libtorch/f32/t=0/t1#real-0",
        applies: |problem, _| downcast::<RecurrentLayers>(problem).first.steps == 0,
    },
    Deviation {
        op: "recurrent_layers_backward",
        conduct: Conduct::Refuses,
        what: "layers over a sequence without steps are refused",
        issue: "pytorch: `_rnn_impl` checks for it",
        example: "recurrent_layers_backward/libtorch/f32/t=0/t1#real-0",
        applies: |problem, _| downcast::<RecurrentLayersBackward>(problem).layers.first.steps == 0,
    },
    Deviation {
        op: "layer_norm_backward",
        conduct: Conduct::Differs,
        what: "of the gradient of rows of two elements, where all but ε cancels, roundings are left that no bound has",
        issue: "not reported: x and μ are multiplied with a slope one by one",
        example: "layer_norm_backward/libtorch/f32/n=33,c=2/t1#hostile-23443",
        applies: |problem, inputs| {
            let norm = &downcast::<LayerNormBackward>(problem).norm;
            norm.of == layer_norm::Of::Layer && norm.columns == 2 && inputs[0].dtype() != DType::F64
        },
    },
    Deviation {
        op: "gru",
        conduct: Conduct::Refuses,
        what: "a sequence without steps is refused: `Expected sequence length to be larger than 0 in RNN`",
        issue: "not reported: a check that libtorch makes on purpose",
        example: "gru/libtorch/f32/t=0/t1#real-0",
        applies: |problem, _| downcast::<Gru>(problem).layer.steps == 0,
    },
    Deviation {
        op: "gru_backward",
        conduct: Conduct::Refuses,
        what: "a sequence without steps is refused: `Expected sequence length to be larger than 0 in RNN`",
        issue: "not reported: a check that libtorch makes on purpose",
        example: "gru_backward/libtorch/f32/t=0/t1#real-0",
        applies: |problem, _| downcast::<GruBackward>(problem).gru.layer.steps == 0,
    },
    Deviation {
        op: "rnn",
        conduct: Conduct::Refuses,
        what: "a sequence without steps is refused: `Expected sequence length to be larger than 0 in RNN`",
        issue: "not reported: a check that libtorch makes on purpose",
        example: "rnn/libtorch/f32/t=0/t1#real-0",
        applies: |problem, _| downcast::<Rnn>(problem).layer.steps == 0,
    },
    Deviation {
        op: "rnn_backward",
        conduct: Conduct::Refuses,
        what: "a sequence without steps is refused: `Expected sequence length to be larger than 0 in RNN`",
        issue: "not reported: a check that libtorch makes on purpose",
        example: "rnn_backward/libtorch/f32/t=0/t1#real-0",
        applies: |problem, _| downcast::<RnnBackward>(problem).rnn.layer.steps == 0,
    },
    Deviation {
        op: "conv2d_backward_weights",
        conduct: Conduct::Crashes,
        what: "1×1 with a stride, NHWC, fewer than 16 input channels: oneDNN writes past its workspace",
        issue: "oneDNN#6035",
        example: "conv2d_backward_weights/libtorch/f32/n=32,c=4,h=128,w=128,k=8,r=1,s=1,sh=2,sw=2,layout=nhwc/t1#real-1",
        applies: |problem, inputs| overruns(&downcast::<Conv2dBackwardWeights>(problem).conv, inputs),
    },
    Deviation {
        op: "conv_transpose2d_backward",
        conduct: Conduct::Crashes,
        what: "1×1 with a stride, NHWC, fewer than 16 output channels: oneDNN writes past its workspace",
        issue: "oneDNN#6035",
        example: "conv_transpose2d_backward/libtorch/f32/n=32,c=8,h=64,w=64,k=4,r=1,s=1,sh=2,sw=2,layout=nhwc,oh=1,ow=1/t1#real-1",
        applies: |problem, inputs| overruns(&downcast::<ConvTranspose2dBackward>(problem).forward.conv, inputs),
    },
];

/// The first row that applies.
pub fn known(op: &str, problem: &dyn Problem, inputs: &[Data]) -> Option<&'static Deviation> {
    ALL.iter().find(|row| row.applies(op, problem, inputs))
}

/// The row that says that libtorch would end the process.
pub(super) fn crash(op: &str, problem: &dyn Problem, inputs: &[Data]) -> Option<&'static Deviation> {
    ALL.iter().find(|row| row.conduct == Conduct::Crashes && row.applies(op, problem, inputs))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Case, ops};

    fn known_of(id: &str) -> Option<Conduct> {
        let case = Case::parse(id, ops::ALL).expect("a case id");
        let problem = ops::find(&case.op).expect("an operator").problem(&case.point).expect("a problem");
        let inputs = problem.draw(case.types, case.fill, case.seed);
        known(&case.op, &*problem, &inputs).map(|row| row.conduct)
    }

    #[test]
    fn small_overruns_are_not_asked_either() {
        let weights =
            |dtype: &str, point: &str| known_of(&format!("conv2d_backward_weights/x/{dtype}/{point}/t1#real-1"));
        let small = "n=1,c=3,h=5,w=5,k=2,r=1,s=1,sh=2,layout=nhwc";
        assert_eq!(weights("f32", small), Some(Conduct::Crashes));
        assert_eq!(weights("f64", small), None);
        for other in [
            "c=3,k=2,r=1,s=1,layout=nhwc",
            "c=3,k=2,r=1,s=1,sh=2",
            "c=3,k=2,r=3,s=1,sh=2,layout=nhwc",
            "c=16,k=2,r=1,s=1,sh=2,layout=nhwc",
        ] {
            assert_eq!(weights("f32", other), None, "{other}");
        }
    }
}

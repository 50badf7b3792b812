//! libtorch, the independent witness and the peer. Feature `libtorch`.
//!
//! Each operator has a [`Twin`]: `forward` computes it by libtorch's differentiable operators, from which autograd also
//! gives its gradients ([`outputs`], [`gradients`], [`autograd`]); `ways` gives the fastest ways a user has, on buffers
//! that are ready ([`ways`], [`timed`]). Inputs are copied once into libtorch's own aligned memory and given as views
//! with the strides of the problem's layouts.
//!
//! Where an operator has no `out=` form, its results are fresh. glibc maps a block above 32 MiB anew each time, and its
//! page faults are then a large part of the call; smaller blocks it keeps. A peer that is to be timed at its best on large
//! results needs `THP_MEM_ALLOC_ENABLE=1` and
//! `GLIBC_TUNABLES=glibc.malloc.hugetlb=1:glibc.malloc.mmap_max=0:glibc.malloc.trim_threshold=17179869184` in the
//! environment before the process starts: `cargo xtask` sets both.

pub mod about;
mod activation;
mod attention;
pub mod autograd;
mod avg_pool;
mod batchnorm;
mod clip_norm;
mod conv;
mod conv_gradients;
mod conv_int8;
pub mod deviations;
mod distillation;
mod dropout;
mod embedding;
mod fractional_pool;
mod gemm;
mod l2_pool;
mod loss;
mod matmul_binary;
mod matmul_int8;
mod matmul_nbits;
mod mixed_precision;
mod multi_margin;
mod norm;
mod pair_loss;
mod pixels;
mod pool;
mod quantization_range;
mod quantize;
mod recurrent;
mod recurrent_layers;
mod reduce;
mod rotary;
mod script;
mod softmax;
mod tensors;
mod triplet;
mod unpool;
mod way;

use ndarray::ArrayD;
use tch::{Kind, TchError, Tensor};

pub use about::{makes_inference_tensors, set_threads};
pub use activation::Elementwise;
use autograd::Autograd;
pub use way::{Place, Way};

use crate::{Data, Fill, Operator, Port, Problem, Tolerance, Types};

/// Outputs from inputs.
pub type Forward = fn(&dyn Problem, &[Tensor]) -> Result<Vec<Tensor>, TchError>;

/// How libtorch computes an operator.
pub struct Twin {
    /// The operator's name.
    pub op: &'static str,
    /// The outputs, of the ports' logical shapes, from inputs of the ports' logical shapes; absent ones have no element.
    /// No input is changed. Differentiable where the operator is.
    pub forward: Forward,
    /// How many times longer than those of the operator's own order of summation libtorch's chains of roundings may be.
    slack: fn(&dyn Problem) -> f64,
    /// The fastest ways that libtorch has, the one that is usually fastest first.
    ways: fn(&dyn Problem, &Operands<'_>) -> Result<Vec<Way>, TchError>,
}

/// Tensors of a problem in its own layouts.
struct Operands<'a> {
    inputs: Vec<Tensor>,
    ports: Vec<Port>,
    data: &'a [Data],
}

impl Operands<'_> {
    /// Buffers for one way, with the initial values of outputs that are updated in place.
    fn outputs(&self) -> Result<Vec<Tensor>, TchError> {
        tensors::outputs(&self.ports, self.data)
    }
}

/// Every twin that has functions of its own. Gradients by autograd need none.
static TWINS: &[Twin] = &[
    gemm::GEMM,
    gemm::GEMM_BACKWARD,
    matmul_int8::MATMUL_INT8,
    matmul_nbits::MATMUL_NBITS,
    matmul_binary::MATMUL_BINARY,
    quantize::QUANTIZE,
    quantize::DEQUANTIZE,
    quantization_range::QUANTIZATION_RANGE,
    mixed_precision::MIXED_PRECISION_SGD,
    batchnorm::BATCHNORM_RELU,
    batchnorm::BATCHNORM_RELU_BACKWARD,
    conv::CONV2D,
    conv_int8::CONV2D_INT8,
    conv_gradients::BACKWARD_DATA,
    conv_gradients::BACKWARD_WEIGHTS,
    conv_gradients::TRANSPOSED,
    conv_gradients::TRANSPOSED_BACKWARD,
    pool::MAX_POOL2D,
    pool::MAX_POOL2D_BACKWARD,
    pool::ADAPTIVE,
    pool::ADAPTIVE_BACKWARD,
    avg_pool::AVG_POOL2D,
    avg_pool::AVG_POOL2D_BACKWARD,
    avg_pool::ADAPTIVE,
    avg_pool::ADAPTIVE_BACKWARD,
    fractional_pool::FRACTIONAL,
    fractional_pool::FRACTIONAL_BACKWARD,
    l2_pool::L2_POOL2D,
    l2_pool::L2_POOL2D_BACKWARD,
    unpool::UNPOOL2D,
    dropout::DROPOUT_BACKWARD,
    activation::ACTIVATION,
    activation::ACTIVATION_BACKWARD,
    recurrent::LSTM,
    recurrent::GRU,
    recurrent::RNN,
    recurrent_layers::RECURRENT_LAYERS,
    attention::ATTENTION,
    attention::ATTENTION_BACKWARD,
    rotary::ROTARY,
    rotary::ROTARY_BACKWARD,
    norm::LAYER_NORM,
    norm::LAYER_NORM_BACKWARD,
    loss::CROSS_ENTROPY,
    softmax::SOFTMAX,
    softmax::SOFTMAX_BACKWARD,
    clip_norm::CLIP_NORM,
    distillation::DISTILLATION,
    embedding::EMBEDDING,
    embedding::EMBEDDING_BACKWARD,
    multi_margin::MULTI_MARGIN,
    pair_loss::PAIR_LOSS,
    reduce::REDUCE,
    reduce::REDUCE_BACKWARD,
    triplet::TRIPLET,
];

/// By what libtorch computes an operator.
#[derive(Clone, Copy)]
pub enum By {
    /// Functions.
    Functions(&'static Twin),
    /// Autograd of the forward operator's functions.
    Autograd(Autograd),
}

impl By {
    fn outputs(self, problem: &dyn Problem, inputs: &[Tensor]) -> Result<Vec<Tensor>, TchError> {
        match self {
            By::Functions(twin) => (twin.forward)(problem, inputs),
            By::Autograd(gradient) => gradient.outputs(problem, inputs),
        }
    }

    fn slack(self, problem: &dyn Problem) -> f64 {
        match self {
            By::Functions(twin) => (twin.slack)(problem),
            By::Autograd(gradient) => gradient.slack(problem),
        }
    }

    fn ways(self, problem: &dyn Problem, operands: &Operands<'_>) -> Result<Vec<Way>, TchError> {
        match self {
            By::Functions(twin) => (twin.ways)(problem, operands),
            By::Autograd(gradient) => gradient.ways(problem, &operands.inputs),
        }
    }
}

/// By what libtorch computes the operator of this name.
pub fn twin(op: &str) -> Option<By> {
    let functions = TWINS.iter().find(|twin| twin.op == op).map(By::Functions);
    functions.or_else(|| Autograd::find(op).map(By::Autograd))
}

/// Whether the [`ways`] of the operator of this name can be made and called in inference mode, which has no backward
/// passes.
pub fn in_inference(op: &str) -> bool {
    !matches!(twin(op), Some(By::Autograd(_)))
}

/// The twin, if libtorch survives the problem.
fn find(operator: &Operator, problem: &dyn Problem, inputs: &[Data]) -> Result<By, String> {
    if let Some(row) = deviations::crash(operator.name, problem, inputs) {
        return Err(format!("libtorch is not asked: {} ({})", row.what, row.issue));
    }
    twin(operator.name).ok_or_else(|| format!("{} has no libtorch twin", operator.name))
}

/// How many times wider than the operator's bounds those of libtorch's own orders of summation are. The operator's bounds
/// count the roundings of its order, which cuts a sum of n terms into chains; libtorch may add them in one chain of n. Bounds
/// grow by the ratio of the two.
///
/// # Panics
/// If the operator has no twin.
pub fn slack(op: &str, problem: &dyn Problem) -> f64 {
    twin(op).expect("a twin").slack(problem).max(1.0)
}

/// The tolerance for libtorch's own orders of summation: a witness's bounds, [`slack`] times as wide. Equal bits stay equal bits.
///
/// # Panics
/// If the operator has no twin.
pub fn tolerance(
    operator: &Operator,
    problem: &dyn Problem,
    types: Types,
    fill: Fill,
    inputs: &[ArrayD<f64>],
    expected: &[ArrayD<f64>],
) -> Vec<Tolerance> {
    let slack = slack(operator.name, problem);
    let widened = |tolerance| match tolerance {
        Tolerance::Exact => Tolerance::Exact,
        Tolerance::Bound { formula, bound } => Tolerance::Bound { formula, bound: bound * slack },
    };
    problem.witness_tolerance(types, fill, inputs, expected).into_iter().map(widened).collect()
}

/// The first line: the others are addresses in libtorch.
fn message(error: TchError) -> String {
    error.to_string().lines().next().unwrap_or_default().to_owned()
}

/// libtorch's answer, one logical array an output, computed in `dtype` by differentiable operators.
///
/// # Errors
/// If there is no twin, an input does not fit its port, libtorch refuses, or it is known to crash.
pub fn outputs(
    operator: &Operator,
    problem: &dyn Problem,
    types: Types,
    inputs: &[Data],
) -> Result<Vec<ArrayD<f64>>, String> {
    outputs_of(find(operator, problem, inputs)?, problem, types, inputs)
}

/// [`outputs`] of a twin, even where libtorch is known to crash: for a process that may end.
///
/// # Errors
/// If an input does not fit its port, or libtorch refuses.
pub fn outputs_of(twin: By, problem: &dyn Problem, types: Types, inputs: &[Data]) -> Result<Vec<ArrayD<f64>>, String> {
    let answer = || -> Result<Vec<ArrayD<f64>>, TchError> {
        let inputs = tensors::inputs(&problem.inputs(types), &problem.unread_inputs(), inputs)?;
        let outputs = tch::no_grad(|| twin.outputs(problem, &inputs))?;
        outputs.iter().map(tensors::to_array).collect()
    };
    answer().map_err(message)
}

/// The gradients of Σ ⟨upstream, output⟩ by autograd, `upstreams` as `(output's position, array)`, with respect to each differentiable input, as
/// `(input's position, logical array)`. `operator` and `problem` are the forward ones.
///
/// # Errors
/// As [`outputs`].
pub fn gradients(
    operator: &Operator,
    problem: &dyn Problem,
    types: Types,
    inputs: &[Data],
    upstreams: &[(usize, ArrayD<f64>)],
) -> Result<Vec<(usize, ArrayD<f64>)>, String> {
    let twin = find(operator, problem, inputs)?;
    let answer = || -> Result<Vec<(usize, ArrayD<f64>)>, TchError> {
        let mut inputs = tensors::inputs(&problem.inputs(types), &problem.unread_inputs(), inputs)?;
        let positions = problem.differentiable();
        for &position in &positions {
            inputs[position] = inputs[position].f_set_requires_grad(true)?;
        }
        let outputs = twin.outputs(problem, &inputs)?;
        let mut losses = Vec::new();
        for (output, upstream) in upstreams {
            losses.push(outputs[*output].f_mul(&tensors::from_array(types.element, upstream)?)?.f_sum(None::<Kind>)?);
        }
        let variables: Vec<&Tensor> = positions.iter().map(|&position| &inputs[position]).collect();
        let gradients = Tensor::f_run_backward(&losses, &variables, false, false)?;
        positions.into_iter().zip(&gradients).map(|(position, g)| Ok((position, tensors::to_array(g)?))).collect()
    };
    answer().map_err(message)
}

/// libtorch's fastest ways to compute the problem, each on output buffers of its own and called once, so that
/// [`Way::outputs`] gives its answer. Which one is fastest depends on the machine and the size: whoever has a clock
/// measures them. Sets the threads libtorch uses from now on.
///
/// # Errors
/// As [`outputs`]. Ways that this libtorch or this processor does not have are left out.
pub fn ways(
    operator: &Operator,
    problem: &dyn Problem,
    types: Types,
    inputs: &[Data],
    threads: usize,
) -> Result<Vec<Way>, String> {
    set_threads(threads);
    about::use_one_thread_between_operators();
    let twin = find(operator, problem, inputs)?;
    let make = || {
        let ports = problem.inputs(types);
        let operands = Operands {
            inputs: tensors::inputs(&ports, &problem.unread_inputs(), inputs)?,
            ports: problem.outputs(types),
            data: inputs,
        };
        let ways = tch::no_grad(|| twin.ways(problem, &operands))?;
        Ok(ways.into_iter().map(|way| way.reading(&operands.inputs)).collect())
    };
    make().map_err(message)
}

/// One call of the first of the [`ways`].
///
/// # Errors
/// As [`ways`].
pub fn timed(
    operator: &Operator,
    problem: &dyn Problem,
    types: Types,
    inputs: &[Data],
    threads: usize,
) -> Result<Box<dyn FnMut()>, String> {
    let way = ways(operator, problem, types, inputs, threads)?.into_iter().next();
    let mut way = way.ok_or_else(|| format!("{} has no way to be timed", operator.name))?;
    Ok(Box::new(move || way.call()))
}

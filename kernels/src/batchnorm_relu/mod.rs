//! Batch normalisation with an optional residual and ReLU: `y = relu(γ·(x − μ)/√(σ² + ε) + β + residual)`.
//!
//! [`train`] takes μ and σ² from the batch, moves the running statistics, and saves μ and 1/√(σ² + ε) for the backward pass;
//! [`infer`] takes the running statistics. All f32. Images are n×c×h×w in NCHW or NHWC order, without gaps; vectors have an
//! element a channel.
//!
//! One source for all instruction sets, over [`Wide`]: the kernels are bound by memory, and so they give the
//! same bits on all of them and for any number of threads. x is read from memory once where a channel fits the second
//! cache (`planes`); statistics have the accuracy of two passes all the same (`moments`).
//!
//! Error: as the problem's tolerance says; a mean that is large beside the deviation costs nothing more than the rounding
//! of x itself. NaN: in training, a NaN or an infinity makes its channel NaN; ReLU keeps NaN. Values whose squares overflow
//! are summed again in f64.

mod channel;
mod formula;
mod map;
mod moments;
mod operands;
mod planes;
mod rows;
mod sum;

use etalon_reference::operator::downcast;
use etalon_reference::ops::batchnorm_relu::{BatchnormRelu, ImageLayout, Images, Mode};
use etalon_reference::{Element, SliceMut, Threshold, Types};

pub use self::operands::{Infer, Train};
pub(crate) use self::{
    channel::*,
    map::*,
    operands::*,
    rows::{AHEAD, Cut},
    sum::*,
};
use crate::isa::Isa;
use crate::isa::wide::{LANES, Wide, Work, with_lanes};
use crate::kernel::{Call, Kernel, KernelError};
use crate::pool::Pool;
use crate::workspace::Workspace;

/// The sizes at which a channel's sums, groups of channels, tasks and writes take another path.
pub(crate) const THRESHOLDS: &[Threshold] = &[
    Threshold::axis("n", 5),
    Threshold::axis("n", channel::PLANES as i64),
    Threshold::axis("c", channel::GROUP as i64),
    Threshold::axis("c", 8 * channel::GROUP as i64),
    Threshold::axis("w", channel::PIECE as i64),
    Threshold::axis("w", channel::CHUNK as i64),
    Threshold::bytes("x", channel::TASK * size_of::<f32>()),
    Threshold::bytes("x", rows::CHUNK * size_of::<f32>()),
    Threshold::bytes("x", STREAM_BYTES),
];

/// The kernels, weakest first.
pub static KERNELS: &[Kernel] = &[
    Kernel::new("scalar", Isa::Scalar, &[Types::F32], |call| run(call, Isa::Scalar)),
    Kernel::new("avx2", Isa::Avx2, &[Types::F32], |call| run(call, Isa::Avx2)).with_thresholds(THRESHOLDS),
    Kernel::new("avx512", Isa::Avx512, &[Types::F32], |call| run(call, Isa::Avx512)).with_thresholds(THRESHOLDS),
];

/// Bytes of an output from which on it is written past the caches.
const STREAM_BYTES: usize = 1 << 20;

/// Whether rows of all channels, not planes of one, are the unit.
pub(crate) fn by_rows(images: &Images) -> bool {
    // Planes of one pixel are a matrix of images and channels.
    images.layout == ImageLayout::Nhwc || images.h * images.w == 1
}

/// Whether outputs are written past the caches: large ones, whose rows or planes are mostly whole cache lines.
pub(crate) fn streams(images: &Images) -> bool {
    let unit = if by_rows(images) { images.c } else { images.h * images.w };
    images.len() * size_of::<f32>() >= STREAM_BYTES && (unit.is_multiple_of(LANES) || unit >= 64 * LANES)
}

/// A training step with the instructions of `isa`.
///
/// # Errors
/// [`KernelError`] if an operand is too short, the problem is one of inference, or the CPU lacks the instructions.
pub fn train(
    problem: &BatchnormRelu,
    isa: Isa,
    operands: Train<'_>,
    pool: &Pool,
    workspace: &mut Workspace,
) -> Result<(), KernelError> {
    if problem.mode != Mode::Train {
        return Err(KernelError::Unsupported("training needs a problem of training".into()));
    }
    let operands = operands.checked(problem)?;
    with_lanes(isa, Step { problem, operands: Operands::Train(operands), pool, workspace }).map_err(KernelError::Isa)
}

/// An inference with the instructions of `isa`.
///
/// # Errors
/// [`KernelError`] if an operand is too short, the problem is one of training, or the CPU lacks the instructions.
pub fn infer(
    problem: &BatchnormRelu,
    isa: Isa,
    operands: Infer<'_>,
    pool: &Pool,
    workspace: &mut Workspace,
) -> Result<(), KernelError> {
    if problem.mode != Mode::Infer {
        return Err(KernelError::Unsupported("inference needs a problem of inference".into()));
    }
    let operands = operands.checked(problem)?;
    with_lanes(isa, Step { problem, operands: Operands::Infer(operands), pool, workspace }).map_err(KernelError::Isa)
}

enum Operands<'a> {
    Train(Train<'a>),
    Infer(Infer<'a>),
}

struct Step<'a> {
    problem: &'a BatchnormRelu,
    operands: Operands<'a>,
    pool: &'a Pool,
    workspace: &'a mut Workspace,
}

impl Work for Step<'_> {
    type Output = ();

    #[inline(always)]
    fn run<L: Wide>(self, l: L) {
        let Step { problem, operands, pool, workspace } = self;
        let (stream, by_rows) = (streams(&problem.images), by_rows(&problem.images));
        match operands {
            Operands::Train(operands) if by_rows => rows::train(l, problem, operands, stream, pool, workspace),
            Operands::Train(operands) => planes::train(l, problem, operands, stream, pool),
            Operands::Infer(operands) if by_rows => rows::infer(l, problem, operands, stream, pool, workspace),
            Operands::Infer(operands) => planes::infer(l, problem, operands, stream, pool, workspace),
        }
    }
}

fn run(call: &mut Call<'_>, isa: Isa) -> Result<(), KernelError> {
    let problem: &BatchnormRelu = downcast(call.problem);
    let [x, gamma, beta, residual, old_mean, old_var] = [0, 1, 2, 3, 4, 5].map(|i| call.input::<f32>(i));
    let [y, running_mean, running_var, saved_mean, saved_rstd] = &mut *call.outputs else { panic!("five outputs") };
    let y = floats(y);
    if problem.mode == Mode::Infer {
        let operands = Infer { x, gamma, beta, residual, running_mean: old_mean, running_var: old_var, y };
        return infer(problem, isa, operands, call.pool, call.workspace);
    }
    let [running_mean, running_var, saved_mean, saved_rstd] =
        [running_mean, running_var, saved_mean, saved_rstd].map(floats);
    let operands = Train { x, gamma, beta, residual, y, running_mean, running_var, saved_mean, saved_rstd };
    train(problem, isa, operands, call.pool, call.workspace)
}

/// The output's elements.
pub(crate) fn floats<'a>(output: &'a mut SliceMut<'_>) -> &'a mut [f32] {
    f32::slice_mut(output.reborrow()).expect("the port's dtype")
}

//! Batch normalisation with an optional residual and ReLU: `y = relu(γ·(x − μ)/√(σ² + ε) + β + residual)`.
//!
//! Training takes μ and σ² from the batch, moves the running statistics, and saves μ and 1/√(σ² + ε) for the backward pass;
//! inference takes the running statistics. All f32. Images are n×c×h×w in NCHW or NHWC order, without gaps; vectors have an
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
use etalon_reference::{Threshold, Types};

pub(crate) use self::{
    channel::*,
    map::*,
    operands::*,
    rows::{AHEAD, Cut},
    sum::*,
};
use crate::call::{Call, elements};
use crate::isa::Isa;
use crate::isa::wide::{LANES, Wide, Work, with_lanes};
use crate::kernel::{Kernel, KernelError};
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
    let problem: &BatchnormRelu = downcast(call.problem());
    let [x, gamma, beta, residual, old_mean, old_var] = [0, 1, 2, 3, 4, 5].map(|i| call.input::<f32>(i));
    let pool = call.pool();
    let (outputs, workspace) = call.outputs();
    let [y, running_mean, running_var, saved_mean, saved_rstd] = outputs.map(elements);
    let operands = match problem.mode {
        Mode::Train => {
            Operands::Train(Train { x, gamma, beta, residual, y, running_mean, running_var, saved_mean, saved_rstd })
        }
        Mode::Infer => {
            Operands::Infer(Infer { x, gamma, beta, residual, running_mean: old_mean, running_var: old_var, y })
        }
    };
    with_lanes(isa, Step { problem, operands, pool, workspace }).map_err(KernelError::Isa)
}

//! One input channel a group: the taps times shifted rows, sums in registers. Bound by memory, but for the shifts.
//!
//! By planes, each plane is copied once between zeros, so that no tap needs a test; by pixels, vectors run along channels.
//!
//! Workspace: a padded plane a thread; by pixels, the weights once more and a row of zeros.

mod pixels;
mod planes;

use etalon_reference::operator::downcast;
use etalon_reference::ops::conv2d::Conv2d;
use etalon_reference::ops::gemm::CHUNK;
use etalon_reference::{DType, Problem, Threshold};

use super::by_planes;
use super::operands::Operands;
use crate::isa::Isa;
use crate::isa::wide::{LANES, Wide, Work, with_lanes};
use crate::kernel::KernelError;
use crate::pool::Pool;
use crate::workspace::Workspace;

/// The sizes at which it takes another path: vectors of a row, pixels and channels that are computed together.
pub const THRESHOLDS: &[Threshold] = &[
    Threshold::axis("n", 5),
    Threshold::axis("g", LANES as i64),
    Threshold::axis("g", 4 * LANES as i64),
    Threshold::axis("w", LANES as i64),
    Threshold::axis("w", 4 * LANES as i64),
    Threshold::bytes("x", 1 << 20),
];

/// Whether the kernel computes the problem.
pub fn supports(problem: &dyn Problem, _: DType) -> Result<(), String> {
    fits(downcast(problem)).map_err(Into::into)
}

/// Whether the kernel computes the problem.
pub fn fits(p: &Conv2d) -> Result<(), &'static str> {
    if p.group_in() != 1 {
        return Err("only one input channel a group");
    }
    if !by_planes(p) && p.group_out() != 1 {
        return Err("by pixels (NHWC), only one output channel a group");
    }
    if p.depth() > CHUNK {
        return Err("more taps than a chunk of the canonical order");
    }
    Ok(())
}

/// All outputs.
pub fn convolve(
    p: &Conv2d,
    isa: Isa,
    operands: Operands<'_, f32>,
    pool: &Pool,
    workspace: &mut Workspace,
) -> Result<(), KernelError> {
    with_lanes(isa, Step { p, operands, pool, workspace }).map_err(KernelError::Isa)
}

struct Step<'a> {
    p: &'a Conv2d,
    operands: Operands<'a, f32>,
    pool: &'a Pool,
    workspace: &'a mut Workspace,
}

impl Work for Step<'_> {
    type Output = ();

    #[inline(always)]
    fn run<L: Wide>(self, l: L) {
        let Step { p, operands, pool, workspace } = self;
        if by_planes(p) {
            planes::convolve(l, p, operands, pool, workspace)
        } else {
            pixels::convolve(l, p, operands, pool, workspace)
        }
    }
}

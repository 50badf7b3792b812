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
use etalon_reference::{Domain, Problem, Threshold, Types};

use super::by_planes;
use super::operands::Operands;
use crate::gemm::Float;
use crate::isa::Isa;
use crate::isa::wide::{LANES, LANES_64, Wide, Work, with_lanes};
use crate::kernel::KernelError;
use crate::pool::Pool;
use crate::workspace::Workspace;

/// The sizes at which it takes another path: vectors of a row, pixels and channels that are computed together.
pub const THRESHOLDS: &[Threshold] = &[
    Threshold::axis("n", 5),
    Threshold::axis("g", LANES_64 as i64),
    Threshold::axis("g", LANES as i64),
    Threshold::axis("g", 4 * LANES as i64),
    Threshold::axis("w", LANES_64 as i64),
    Threshold::axis("w", LANES as i64),
    Threshold::axis("w", 4 * LANES as i64),
    Threshold::bytes("x", 1 << 20),
];

/// The sizes that are unrolled, and what a vector of channels takes of the vectors of all channels.
pub const PATHS: &[Domain] = &[
    Domain {
        name: "3x3 by planes",
        fixed: &[
            ("r", &[3]),
            ("s", &[3]),
            ("sw", &[1]),
            ("layout", &[0]),
            UNDILATED.0,
            UNDILATED.1,
            ONE.0,
            ONE.1,
            MANY,
        ],
    },
    Domain {
        name: "3x3 by planes, stride 2",
        fixed: &[
            ("r", &[3]),
            ("s", &[3]),
            ("sw", &[2]),
            ("layout", &[0]),
            UNDILATED.0,
            UNDILATED.1,
            ONE.0,
            ONE.1,
            MANY,
        ],
    },
    Domain {
        name: "5x5 by planes",
        fixed: &[
            ("r", &[5]),
            ("s", &[5]),
            ("sw", &[1]),
            ("layout", &[0]),
            UNDILATED.0,
            UNDILATED.1,
            ONE.0,
            ONE.1,
            MANY,
        ],
    },
    Domain {
        name: "3x3 by pixels",
        fixed: &[("r", &[3]), ("s", &[3]), ("layout", &[1]), ("bias", &[1]), ONE.0, ONE.1, MANY],
    },
    Domain { name: "5x5 by pixels", fixed: &[("r", &[5]), ("s", &[5]), ("layout", &[1]), ONE.0, ONE.1, MANY] },
    Domain {
        name: "any size by pixels",
        fixed: &[("r", &[1, 2, 4]), ("s", &[3, 4]), ("layout", &[1]), ("bias", &[1]), ONE.0, ONE.1, MANY],
    },
];

/// Values of an axis.
type Values = (&'static str, &'static [i64]);

/// One channel a group.
const ONE: (Values, Values) = (("c", &[1]), ("k", &[1]));
/// More than one vector of channels, by pixels.
const MANY: Values = ("g", &[17, 33, 40, 65]);
const UNDILATED: (Values, Values) = (("dh", &[1]), ("dw", &[1]));

/// Whether the kernel computes the problem.
pub fn supports(problem: &dyn Problem, _: Types) -> Result<(), String> {
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
pub fn convolve<T: Float>(
    p: &Conv2d,
    isa: Isa,
    operands: Operands<'_, T>,
    pool: &Pool,
    workspace: &mut Workspace,
) -> Result<(), KernelError> {
    with_lanes(isa, Step { p, operands, pool, workspace }).map_err(KernelError::Isa)
}

struct Step<'a, T> {
    p: &'a Conv2d,
    operands: Operands<'a, T>,
    pool: &'a Pool,
    workspace: &'a mut Workspace,
}

impl<T: Float> Work<T> for Step<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<L: Wide<T>>(self, l: L) {
        let Step { p, operands, pool, workspace } = self;
        if by_planes(p) {
            planes::convolve(l, p, operands, pool, workspace)
        } else {
            pixels::convolve(l, p, operands, pool, workspace)
        }
    }
}

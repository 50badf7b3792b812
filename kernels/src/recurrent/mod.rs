//! What recurrent layers share: [`lstm`](crate::lstm), [`gru`](crate::gru), [`rnn`](crate::rnn), and their gradients.
//!
//! A kind of cell is a few formulas of one unit, `cells::Cell`. `forward` and `backward` are the loops over the
//! steps: products of all steps at once before and behind the loop, and in the loop products with weights that are packed
//! once, by `driver`.
//!
//! One source for all levels: products are those of [`gemm`](crate::gemm), in its canonical order, and σ and tanh
//! those of [`math`](crate::math). So all levels give the same bits, for any number of threads, and a sequence of a batch
//! those that it has alone.
//!
//! An absent initial state is zeros, as if it were given: NaN of W_hh is NaN in the first step, too.

pub(crate) mod backward;
pub(crate) mod cells;
mod driver;
pub(crate) mod forward;
pub(crate) mod layers;
pub(crate) mod plan;
mod present;
mod rows;

use etalon_reference::Threshold;
use etalon_reference::ops::gemm::CHUNK;
use etalon_reference::ops::recurrent::Layer;

pub use self::forward::BLOCK_ROWS;
use self::rows::TASK;
use crate::call::Call;
use crate::gemm::{DEPTH, FLOATS};
use crate::isa::Isa;
use crate::kernel::{Kernel, KernelError, MakePlan};
pub(crate) use crate::math::Numbers;

/// With so many sequences, a step's product reads the weights where they lie.
const FEW_SEQUENCES: usize = 8;
/// Steps from which it pays to pack the weights then.
const STEPS_OF_FEW: usize = 4;
/// Steps from which it pays with more sequences: a plain product would pack them for each.
const STEPS_OF_MANY: usize = 2;
/// Elements of a cache line of f32.
pub const GAP: usize = 16;

/// Elements between lines of `width` elements, so that lines start in different sets of a cache.
pub fn line(width: usize) -> usize {
    width.next_multiple_of(GAP) + GAP
}

/// Whether the recurrent weights are packed. Plain Rust has no tiles.
fn packs(layer: &Layer, isa: Isa) -> bool {
    let least = if layer.batch <= FEW_SEQUENCES { STEPS_OF_FEW } else { STEPS_OF_MANY };
    isa != Isa::Scalar && layer.steps >= least && layer.state_len() > 0
}

/// A kernel for passes with weights that are packed once: one step after the other, or batch after batch.
pub(crate) const fn prepacked(
    name: &'static str,
    isa: Isa,
    run: fn(&mut Call<'_>) -> Result<(), KernelError>,
    plan: MakePlan,
) -> Kernel {
    Kernel::new(name, isa, FLOATS, run).with_plan(plan).with_thresholds(OF_PLAN)
}

const OF_PLAN: &[Threshold] = &thresholds("h_n");

/// Where the products take another path, and where there is a second task of cells: by an operand of N×H.
pub(crate) const fn thresholds(state: &'static str) -> [Threshold; 10] {
    [
        Threshold::axis("t", STEPS_OF_MANY as i64),
        Threshold::axis("t", STEPS_OF_FEW as i64),
        Threshold::axis("n", FEW_SEQUENCES as i64),
        Threshold::axis("n", 12),
        Threshold::axis("i", CHUNK as i64),
        Threshold::axis("i", DEPTH as i64),
        Threshold::axis("h", 32),
        Threshold::axis("h", CHUNK as i64),
        Threshold::bytes("w_hh", 1 << 20),
        Threshold::bytes(state, TASK * size_of::<f32>()),
    ]
}

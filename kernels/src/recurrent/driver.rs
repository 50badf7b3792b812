//! Products with weights that stay the same from step to step: packed once, in the order in which tiles read them.
//!
//! ```text
//! pack: for blocks of NR units: for each gate: a panel of depth × NR
//! product, for each range of blocks, a task:
//!   for blocks of NR units, forth in one step and back in the next:
//!     for each gate: for MR rows: for chunks of the depth:
//!       C[rows, units of the gate] += A[rows, chunk]·panel[chunk]         the canonical order
//!     what follows the sums of these units, of all rows
//! ```
//! A block's sums are still in the first cache when its units are computed. Going forth and back leaves the last weights
//! of a step in the second cache for the next one, where all of them do not fit.

use std::ops::Range;

use etalon_reference::ops::gemm::{Activation, CHUNK, Matrix};

use crate::disjoint::Disjoint;
use crate::faults::fault;
use crate::gemm::ahead::{Queue, Region};
use crate::gemm::epilogue::{Along, Finish, Fold};
use crate::gemm::pack_b;
use crate::gemm::skinny::Stream;
use crate::gemm::tile::{Block, Tile, part};
use crate::gemm::{Float, Tiled};
use crate::isa::Isa;
use crate::isa::tile::Operands;
use crate::isa::wide::Wide;
use crate::kernel::KernelError;
use crate::pool::Pool;

/// Operations in a nanosecond of one thread, about.
const FLOPS_A_NS: u64 = 100;
/// Bytes of weights that one thread reads in a nanosecond, about.
const BYTES_A_NS: u64 = 20;
/// Elements of a line of memory that is brought close: two lines of the cache of f32.
const LINE: usize = 32;

/// What follows sums.
pub trait Behind: Sync {
    /// Computes units of rows whose sums are there.
    ///
    /// # Safety
    /// Nobody else computes, reads or writes these units of these rows meanwhile.
    unsafe fn part(&self, rows: Range<usize>, units: Range<usize>);

    /// Rows and units.
    fn size(&self) -> (usize, usize);
}

/// Sizes of weights.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    /// Products of a sum.
    pub depth: usize,
    /// Units of each gate.
    pub units: usize,
    /// Gates.
    pub gates: usize,
}

/// Columns of a panel.
struct Width;

impl<T: Float> Tiled<T> for Width {
    type Output = usize;
    fn run<X: Stream<T = T>, L: Wide<T>>(self, _: X, _: L) -> usize {
        X::NR
    }
}

impl Shape {
    /// Elements of the panels.
    ///
    /// # Errors
    /// If the CPU lacks the instructions, or `isa` has no tiles.
    pub fn packed_len<T: Float>(&self, isa: Isa) -> Result<usize, KernelError> {
        let width = T::with_tiles(isa, Width)?;
        Ok(self.depth * self.units.next_multiple_of(width) * self.gates)
    }

    /// Elements of a block of `nr` units.
    fn block(&self, nr: usize) -> usize {
        self.depth * nr * self.gates
    }
}

/// Weights to be packed. The columns of a gate are behind those of the gate before.
struct Pack<'a, T> {
    shape: Shape,
    from: &'a [T],
    /// Where an element lies: its row is the product, its column the unit of a gate.
    at: Matrix,
    to: &'a mut [T],
    pool: &'a Pool,
}

/// Packs weights whose element of product k and column q, the units of one gate after those of another, is at `at`.
///
/// # Errors
/// If the CPU lacks the instructions, or `isa` has no tiles.
pub fn pack<T: Float>(
    isa: Isa,
    shape: Shape,
    (from, at): (&[T], Matrix),
    to: &mut [T],
    pool: &Pool,
) -> Result<(), KernelError> {
    T::with_tiles(isa, Pack { shape, from, at, to, pool })
}

impl<T: Float> Tiled<T> for Pack<'_, T> {
    type Output = ();

    fn run<X: Stream<T = T>, L: Wide<T>>(self, tile: X, _: L) {
        let Pack { shape, from, at, to, pool } = self;
        let Shape { depth, units, gates } = shape;
        let to = Disjoint::new(to);
        let blocks = units.div_ceil(X::NR);
        let body = |block: usize| {
            // SAFETY: each block is one task's alone.
            let to = unsafe { to.part(block * shape.block(X::NR)..(block + 1) * shape.block(X::NR)) };
            let unit = block * X::NR;
            let cols = X::NR.min(units - unit);
            for (gate, panel) in to.chunks_exact_mut((depth * X::NR).max(1)).enumerate().take(gates) {
                for (k, chunk) in (0..depth).step_by(CHUNK).zip(panel.chunks_mut(CHUNK * X::NR)) {
                    pack_b(tile, from, &at, k, CHUNK.min(depth - k), gate * units + unit, cols, chunk);
                }
            }
        };
        let bytes = depth as u64 * (units * gates * size_of::<T>()) as u64;
        if pool.threads_for(bytes / BYTES_A_NS) == 1 {
            (0..blocks).for_each(body);
        } else {
            pool.run(blocks, |block, _| body(block));
        }
    }
}

/// Products of rows with packed weights.
pub struct Product<'a, T> {
    /// Sizes of the weights.
    pub shape: Shape,
    /// The weights.
    pub panels: &'a [T],
    /// Factors, rows of as many elements as there are products.
    pub a: &'a [T],
    /// Elements between these rows.
    pub a_row: usize,
    /// Sums, in rows.
    pub c: Disjoint<'a, T>,
    /// Elements between rows of sums.
    pub c_row: usize,
    /// So many gates go on from what C holds; the others begin at 0.
    pub joint: usize,
    /// So many gates are between the place of a gate that begins at 0 and that of its weights.
    pub moved: usize,
    /// A summand for each column, in the order of the weights; none if it is empty.
    pub bias: &'a [T],
    /// Whether the last block comes first.
    pub back: bool,
}

/// All sums, and what follows them.
///
/// # Errors
/// If the CPU lacks the instructions, or `isa` has no tiles.
pub fn product<T: Float>(
    isa: Isa,
    product: &mut Product<'_, T>,
    behind: Option<&mut dyn Behind>,
    rows: usize,
    pool: &Pool,
) -> Result<(), KernelError> {
    let behind = behind.map(|behind| &*behind);
    T::with_tiles(isa, Run { product, behind, rows, pool })
}

/// It borrows the product's C, and what follows, for itself.
struct Run<'a, 'b, T> {
    product: &'a mut Product<'b, T>,
    behind: Option<&'a dyn Behind>,
    rows: usize,
    pool: &'a Pool,
}

impl<T: Float> Tiled<T> for Run<'_, '_, T> {
    type Output = ();

    fn run<X: Stream<T = T>, L: Wide<T>>(self, tile: X, _: L) {
        let Run { product, behind, rows, pool } = self;
        let product = &*product;
        let Shape { depth, units, gates } = product.shape;
        let columns = (units * gates) as u64;
        let operations = [rows, depth].iter().fold(2 * columns, |all, &x| all.saturating_mul(x as u64));
        let bytes = (depth * size_of::<T>()) as u64 * columns;
        let threads = pool.threads_for((operations / FLOPS_A_NS).max(bytes / BYTES_A_NS));
        let tasks = threads.min(units.div_ceil(X::NR));
        let body = |task: usize| {
            let range = part(units, X::NR, tasks, task);
            let blocks = range.len().div_ceil(X::NR);
            for index in 0..blocks {
                let index = if product.back { blocks - 1 - index } else { index };
                let unit = range.start + index * X::NR;
                if fault!("rnn.odd-step") && product.back && index == 0 && blocks > 1 {
                    continue;
                }
                let cols = X::NR.min(range.end - unit);
                // SAFETY: tasks have different units.
                unsafe {
                    product.block(tile, rows, unit, cols);
                    if let Some(behind) = behind {
                        behind.part(0..rows, unit..unit + cols);
                    }
                }
            }
        };
        if tasks <= 1 {
            (0..tasks).for_each(body);
        } else {
            pool.run(tasks, |task, _| body(task));
        }
    }
}

impl<T: Float> Product<'_, T> {
    /// The sums of `cols` units from `unit`, at most a panel's.
    ///
    /// # Safety
    /// Nobody else reaches these sums.
    unsafe fn block<X: Tile<T = T>>(&self, tile: X, rows: usize, unit: usize, cols: usize) {
        let Shape { depth, units, gates } = self.shape;
        let start = unit / X::NR * self.shape.block(X::NR);
        let tiles = rows.div_ceil(X::MR);
        for gate in 0..gates {
            let (beta, place) = if gate < self.joint { (1.0, gate) } else { (0.0, gate + self.moved) };
            let column = place * units + unit;
            let bias = (!self.bias.is_empty()).then(|| &self.bias[gate * units + unit..][..cols]);
            let panel = start + gate * depth * X::NR;
            for k in (0..depth).step_by(CHUNK) {
                let steps = CHUNK.min(depth - k);
                let b = &self.panels[panel + k * X::NR..];
                let mut queue = Queue::new();
                queue.b = Region::new(b.as_ptr(), steps * X::NR, LINE, steps * X::NR / LINE, LINE);
                let finish = Finish { scale: None, bias, along: Along::Columns, activation: Activation::None };
                let again = fault!("gru.apart-again") && gate >= self.joint;
                let (first, last) = (k == 0 || again, k + steps == depth);
                let fold = Fold { alpha: T::from_f64(1.0), beta: T::from_f64(beta), first, last, finish };
                for index in 0..tiles {
                    // As high as each other: few rows are left to none of them.
                    let rows = part(rows, 1, tiles, index);
                    let a = &self.a[rows.start * self.a_row + k..];
                    let ahead = queue.take(steps, b);
                    let operands = Operands { a, a_row: self.a_row, a_step: 1, b, b_step: X::NR, k: steps, ahead };
                    // SAFETY: the caller's promise; C's rows do not overlap.
                    let mut block = unsafe { Block::new(&self.c, rows.start * self.c_row + column, self.c_row) };
                    tile.run(operands, rows.len(), cols, &mut block, &fold);
                }
            }
        }
    }
}

//! From a problem to tiles.
//!
//! ```text
//! cut C into one rectangle a thread, along tiles           (each thread alone from here)
//! for rows in steps of MC:
//!   for k in steps of DEPTH, two chunks:                    ascending: the canonical order
//!     for each panel of NR columns, for each chunk:
//!       pack B[chunk, panel]                                L1; or read it where it lies
//!       for each MR rows:                                   A[MC, DEPTH] stays in L2
//!         at the first panel, copy A[rows, chunk] if its stride is bad
//!         sum the tile over the chunk, fold it into C
//! ```
//! While tiles are summed, the next panel of B and of C and the next block of A come closer ([`Queue`]).
//!
//! Workspace a thread: `CHUNK·NR + MC·A_LINE` elements, 0.80 MiB.

use std::ops::Range;

use etalon_reference::ops::gemm::{CHUNK, Gemm, Matrix};

use super::Float;
use super::ahead::{Queue, Region};
use super::epilogue::Fold;
use super::pack::{A_LINE, DEPTH, PackedB, copy_a, pack_b, wants_copy};
use super::skinny::{self, Stream};
use super::tile::{Block, Tile, part};
use crate::disjoint::Disjoint;
use crate::isa::tile::Operands;
use crate::pool::Pool;
use crate::workspace::Workspace;

/// Bytes of a row of the block of A that stays in the second cache, times its rows.
const MC_BYTES: usize = 288 * 4;
/// Bytes of a row of packed B.
const NC_BYTES: usize = 384 * 4;
/// Up to this many rows, B is read where it lies.
const PACK_FROM_ROWS: usize = 64;
/// B of at most this size is read where it lies, too: it stays in the first cache.
const SMALL_B_BYTES: usize = 24 * 1024;
/// Panels of columns during which the next block of A comes close: earlier, it would drive out the present one.
const A_PANELS: usize = 2;
/// Operations in a nanosecond of one thread, about.
const FLOPS_A_NS: u64 = 100;
/// Operations from which operands are brought close ahead of time: with fewer, they lie in the second cache.
const AHEAD_FLOPS: usize = 4_000_000;

/// Rows of a block of A.
const fn mc<T>() -> usize {
    MC_BYTES / size_of::<T>()
}

/// Columns of a packed block of B.
const fn nc<T>() -> usize {
    NC_BYTES / size_of::<T>()
}

/// Elements of workspace a thread needs at most.
const fn scratch<T>() -> usize {
    DEPTH * nc::<T>() + mc::<T>() * A_LINE
}

/// Bytes of workspace for `threads` threads: `threads · (CHUNK·NR + MC·A_LINE) · size`, which is 0.80 MiB a thread for
/// every problem; nothing where no operand is packed.
pub const fn workspace_bytes<T>(threads: usize) -> usize {
    threads * scratch::<T>() * size_of::<T>()
}

/// The operands, checked by the caller.
pub struct Task<'a, T: Float> {
    /// The problem.
    pub p: &'a Gemm,
    /// A.
    pub a: &'a [T],
    /// B; not read where `packed` is there.
    pub b: &'a [T],
    /// B, packed.
    pub packed: Option<&'a PackedB<T>>,
    /// Bias of n elements.
    pub bias: Option<&'a [T]>,
}

/// All outputs.
pub fn gemm<X: Stream>(tile: X, x: &Task<'_, X::T>, c: &mut [X::T], pool: &Pool, workspace: &mut Workspace) {
    let p = x.p;
    if p.m == 0 || p.n == 0 || p.batch == 0 {
        return;
    }
    if skinny::gemm(tile, x, c, pool, workspace) {
        return;
    }
    let out = Disjoint::new(c);
    let flops = [p.batch, p.m, p.n, p.k.max(1)].iter().fold(2u64, |all, &x| all.saturating_mul(x as u64));
    let threads = pool.threads_for(flops / FLOPS_A_NS);
    // A batch is cut first; what is left of the threads cuts each matrix.
    let inner = if p.batch >= threads { 1 } else { threads.div_ceil(p.batch) };
    let (down, across) = cut::<X>(p, inner);
    let tasks = p.batch * down * across;
    let each = if packs_b::<X>(x, p.m) || wants_copy::<X::T>(&p.a) { scratch::<X::T>() } else { 0 };
    let scratch = Disjoint::new(workspace.slice::<X::T>(each * threads.min(tasks)));
    let body = |task: usize, worker: usize| {
        let (z, rest) = (task / (down * across), task % (down * across));
        let rows = part(p.m, X::MR, down, rest / across);
        let cols = part(p.n, X::NR, across, rest % across);
        // SAFETY: a worker runs one task at a time, and no other worker has its index.
        let scratch = unsafe { scratch.part(worker * each..(worker + 1) * each) };
        // SAFETY: tasks have different matrices, rows or columns, and C's rows and matrices do not overlap.
        let mut block = unsafe { Block::new(&out, z * p.c.batch + rows.start * p.c.row + cols.start, p.c.row) };
        rectangle(tile, x, z, rows, cols, &mut block, scratch);
    };
    if threads == 1 || tasks == 1 {
        (0..tasks).for_each(|task| body(task, 0));
    } else if tasks >= threads {
        pool.run(tasks, body);
    } else {
        pool.run(tasks, |task, _| body(task, task));
    }
}

/// Into how many parts the rows and the columns are cut for `threads` threads: the cut whose largest rectangle costs least,
/// with its tiles' padding and its share of packing.
fn cut<X: Tile>(p: &Gemm, threads: usize) -> (usize, usize) {
    let cost = |down: usize| {
        let across = threads / down;
        let rows = p.m.div_ceil(X::MR).div_ceil(down) * X::MR;
        let cols = p.n.div_ceil(X::NR).div_ceil(across) * X::NR;
        // Packing an element of B costs about as much as 8 multiply-adds, copying one of A about 2.
        rows * cols + 8 * cols + 2 * rows
    };
    let down = (1..=threads).filter(|d| threads.is_multiple_of(*d)).min_by_key(|&d| cost(d)).unwrap_or(1);
    (down.min(p.m.div_ceil(X::MR)), (threads / down).min(p.n.div_ceil(X::NR)))
}

fn packs_b<X: Tile>(x: &Task<'_, X::T>, rows: usize) -> bool {
    let small = x.p.k * x.p.n * size_of::<X::T>() <= SMALL_B_BYTES;
    x.packed.is_none() && (x.p.b.col != 1 || rows > PACK_FROM_ROWS && !small)
}

/// One rectangle of one matrix, by one thread.
fn rectangle<X: Tile>(
    tile: X,
    x: &Task<'_, X::T>,
    z: usize,
    rows: Range<usize>,
    cols: Range<usize>,
    out: &mut Block<'_, X::T>,
    scratch: &mut [X::T],
) {
    let p = x.p;
    let fold = Fold {
        alpha: X::T::from_f64(p.alpha),
        beta: X::T::from_f64(p.beta),
        first: true,
        last: true,
        bias: x.bias,
        activation: p.activation,
    };
    if p.k == 0 || p.alpha == 0.0 {
        return without_product(
            tile,
            &Fold { bias: x.bias.map(|bias| &bias[cols.clone()]), ..fold },
            rows.len(),
            cols.len(),
            out,
        );
    }
    let a = &x.a[(z * p.a.batch).min(x.a.len())..];
    let b = &x.b[(z * p.b.batch).min(x.b.len())..];
    let pack = packs_b::<X>(x, rows.len());
    // Few tiles of columns do not pay for a copy of rows.
    let copy = wants_copy::<X::T>(&p.a) && (cols.len() > X::NR || p.a.col != 1);
    let (b_copy, a_copy) = scratch.split_at_mut(if scratch.is_empty() { 0 } else { DEPTH * nc::<X::T>() });
    // Where the panel of a chunk and a column lies in the packed block.
    let panel = |k1: usize, j: usize| k1 * nc::<X::T>() + j * CHUNK;
    let (row_blocks, col_blocks) = (rows.len().div_ceil(mc::<X::T>()), cols.len().div_ceil(nc::<X::T>()));
    let block_of_rows = |i: usize| shifted(part(rows.len(), X::MR, row_blocks, i), rows.start);
    let far = 2 * rows.len() * cols.len() * p.k >= AHEAD_FLOPS;
    let mut queue = Queue::new();
    for col_block in 0..col_blocks {
        let block_cols = shifted(part(cols.len(), X::NR, col_blocks, col_block), cols.start);
        for k0 in (0..p.k).step_by(DEPTH) {
            let k_end = p.k.min(k0 + DEPTH);
            let chunks = (k_end - k0).div_ceil(CHUNK);
            for row_block in 0..row_blocks {
                let block_rows = block_of_rows(row_block);
                for j in block_cols.clone().step_by(X::NR) {
                    let width = X::NR.min(block_cols.end - j);
                    let panels_left = (block_cols.end - j).div_ceil(X::NR);
                    let bias = fold.bias.map(|bias| &bias[j..j + width]);
                    for k1 in (k0..k_end).step_by(CHUNK) {
                        let k = CHUNK.min(k_end - k1);
                        let fold = Fold { bias, first: k1 == 0, last: k1 + k == p.k, ..fold };
                        if pack && row_block == 0 {
                            pack_b(tile, b, &p.b, k1, k, j, width, &mut b_copy[panel(k1 - k0, j - block_cols.start)..]);
                        }
                        let (b_panel, b_step) = match x.packed {
                            Some(packed) => (packed.panel(z, k1, k, j), X::NR),
                            None if pack => (&b_copy[panel(k1 - k0, j - block_cols.start)..], X::NR),
                            None => (&b[k1 * p.b.row + j..], p.b.row),
                        };
                        if far {
                            let chunks_left = (k_end - k1).div_ceil(CHUNK);
                            let next_panel = if chunks_left > 1 { (k1 + CHUNK, j) } else { (k0, j + X::NR) };
                            queue.b = match x.packed {
                                _ if row_block > 0 || next_panel.1 >= block_cols.end => Region::empty(),
                                Some(packed) => {
                                    let depth = CHUNK.min(p.k - next_panel.0);
                                    let panel = packed.panel(z, next_panel.0, depth, next_panel.1);
                                    Region::new(panel.as_ptr(), 0, X::NR, depth, X::NR)
                                }
                                None => region(b, &p.b, next_panel.0, CHUNK.min(p.k - next_panel.0), next_panel.1, X::NR.min(block_cols.end - next_panel.1)),
                            };
                            if k1 == k0 {
                                queue.c = out.region(block_rows.start - rows.start, j + X::NR - cols.start, block_rows.len(), X::NR);
                                if panels_left == A_PANELS.min(block_cols.len().div_ceil(X::NR)) {
                                    let (k, next) = if row_block + 1 < row_blocks { (k0, row_block + 1) } else { (if k_end < p.k { k_end } else { 0 }, 0) };
                                    let next = block_of_rows(next);
                                    queue.a = region(a, &p.a, next.start, next.len(), k, DEPTH.min(p.k - k));
                                }
                            }
                        }
                        for i in block_rows.clone().step_by(X::MR) {
                            let height = X::MR.min(block_rows.end - i);
                            let (a, a_row, a_step) = if copy {
                                let strip = i - block_rows.start;
                                let (start, row, step) = if p.a.col == 1 {
                                    (strip * A_LINE + k1 - k0, A_LINE, 1)
                                } else {
                                    (strip * DEPTH + (k1 - k0) * X::MR, 1, X::MR)
                                };
                                if j == block_cols.start {
                                    copy_a(tile, a, &p.a, i, height, k1, k, &mut a_copy[start..]);
                                }
                                (&a_copy[start..], row, step)
                            } else {
                                (&a[i * p.a.row + k1 * p.a.col..], p.a.row, p.a.col)
                            };
                            let ahead = queue.take(k, b_panel);
                            let operands = Operands { a, a_row, a_step, b: b_panel, b_step, k, ahead };
                            tile.run(operands, height, width, &mut out.at(i - rows.start, j - cols.start), &fold);
                        }
                    }
                }
            }
        }
    }
}

fn shifted(range: Range<usize>, by: usize) -> Range<usize> {
    range.start + by..range.end + by
}

/// Rows `i..i+rows`, columns `j..j+cols` of an operand, along its lines; nothing if it has none.
fn region<T>(x: &[T], at: &Matrix, i: usize, rows: usize, j: usize, cols: usize) -> Region<T> {
    let start = i * at.row + j * at.col;
    if at.col == 1 {
        Region::new(x.as_ptr(), start, at.row, rows, cols)
    } else if at.row == 1 {
        Region::new(x.as_ptr(), start, at.col, cols, rows)
    } else {
        Region::empty()
    }
}

/// A rectangle for which there is nothing to multiply.
fn without_product<X: Tile>(tile: X, fold: &Fold<'_, X::T>, rows: usize, cols: usize, out: &mut Block<'_, X::T>) {
    let (zero, beta) = (X::T::default(), fold.beta);
    for i in 0..rows {
        let row = out.row(i, cols);
        row.iter_mut().for_each(|c| *c = if beta == zero { zero } else { beta * *c });
        tile.finish_row(row, fold);
    }
}

//! From a problem to tiles.
//!
//! ```text
//! cut C into one rectangle a thread, along tiles           (each thread alone from here)
//! for columns in steps of NC:
//!   for k in steps of DEPTH, two chunks:                    ascending: the canonical order
//!     pack B[depth, columns] into panels                    L2; or read it where it lies
//!     for rows in steps of MC:
//!       copy A[rows, depth] if its stride is bad            L1/L2
//!       for each panel of columns, for each chunk:          a chunk of the panel stays in L1
//!         for each MR rows:                                 A streams from L2, C's tiles too
//!           sum the tile over the chunk, fold it into C
//! ```
//! Workspace a thread: `DEPTH·NC + MC·A_LINE` elements, 0.95 MiB in f32 and f64.

use std::ops::Range;

use etalon_reference::ops::gemm::{CHUNK, Gemm};

use super::Float;
use super::epilogue::Fold;
use super::pack::{A_LINE, DEPTH, PackedB, a_wants_copy, copy_a, pack_b};
use super::tile::{Block, Tile, part};
use crate::disjoint::Disjoint;
use crate::isa::tile::Operands;
use crate::pool::Pool;
use crate::workspace::Workspace;

/// Bytes of packed B a thread.
const B_BYTES: usize = 384 * DEPTH * 4;
/// Rows of A that are copied at a time, in f32; half of it in f64.
const MC_BYTES: usize = 96 * 4;
/// Up to this many rows, B is read where it lies.
const PACK_FROM_ROWS: usize = 24;
/// B of at most this size is read where it lies, too: it stays in the first cache.
const SMALL_B_BYTES: usize = 24 * 1024;
/// Operations below which a second thread costs more than it gives.
const FORK_FLOPS: usize = 400_000;

/// Columns of a packed block of B.
const fn nc<T>() -> usize {
    B_BYTES / DEPTH / size_of::<T>()
}

/// Rows of a copied block of A.
const fn mc<T>() -> usize {
    MC_BYTES / size_of::<T>()
}

/// Elements of workspace a thread needs at most.
const fn scratch<T>() -> usize {
    DEPTH * nc::<T>() + mc::<T>() * A_LINE
}

/// Bytes of workspace for `threads` threads: `threads · (DEPTH·NC + MC·A_LINE) · size`, which is 0.95 MiB a thread for
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
pub fn gemm<X: Tile>(tile: X, x: &Task<'_, X::T>, c: &mut [X::T], pool: &Pool, workspace: &mut Workspace) {
    let p = x.p;
    if p.m == 0 || p.n == 0 || p.batch == 0 {
        return;
    }
    let out = Disjoint::new(c);
    let flops = 2 * p.m * p.n * p.k.max(1);
    let threads = if flops.saturating_mul(p.batch) < FORK_FLOPS { 1 } else { pool.threads() };
    // A batch is cut first; what is left of the threads cuts each matrix.
    let inner = if p.batch >= threads { 1 } else { threads.div_ceil(p.batch) };
    let (down, across) = cut::<X>(p, inner);
    let tasks = p.batch * down * across;
    let needs = needs_scratch::<X>(x, down);
    let each = if needs { scratch::<X::T>() } else { 0 };
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
        pool.run(tasks, |task, worker| body(task, worker));
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

fn needs_scratch<X: Tile>(x: &Task<'_, X::T>, down: usize) -> bool {
    packs_b::<X>(x, x.p.m.div_ceil(down)) || packs_b::<X>(x, x.p.m) || a_wants_copy::<X::T>(&x.p.a)
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
    let bias = x.bias.map(|bias| &bias[cols.clone()]);
    let zero = X::T::default();
    let (alpha, beta) = (X::T::from_f64(p.alpha), X::T::from_f64(p.beta));
    let fold = Fold { alpha, beta, first: true, last: true, bias, activation: p.activation };
    if p.k == 0 || p.alpha == 0.0 {
        for i in 0..rows.len() {
            let row = out.row(i, cols.len());
            row.iter_mut().for_each(|c| *c = if p.beta == 0.0 { zero } else { beta * *c });
            tile.finish_row(row, &fold);
        }
        return;
    }
    let a = &x.a[(z * p.a.batch).min(x.a.len())..];
    let b = &x.b[(z * p.b.batch).min(x.b.len())..];
    let pack = packs_b::<X>(x, rows.len());
    // Few tiles of columns do not pay for a copy of rows; a transposed A has its rows side by side already.
    let copy = a_wants_copy::<X::T>(&p.a) && (cols.len() > X::NR || p.a.row != 1) && !scratch.is_empty();
    let (b_scratch, a_scratch) = if scratch.is_empty() { (&mut [][..], &mut [][..]) } else { scratch.split_at_mut(DEPTH * nc::<X::T>()) };
    let step = mc::<X::T>() / X::MR * X::MR;
    for j0 in cols.clone().step_by(nc::<X::T>()) {
        let block_cols = nc::<X::T>().min(cols.end - j0);
        for k0 in (0..p.k).step_by(DEPTH) {
            let depth = DEPTH.min(p.k - k0);
            if pack {
                pack_b(b, &p.b, k0, depth, j0..j0 + block_cols, X::NR, b_scratch);
            }
            for i0 in rows.clone().step_by(step) {
                let block_rows = step.min(rows.end - i0);
                let (a, a_row, a_step) = if copy {
                    copy_a(a, &p.a, i0, block_rows, k0, depth, a_scratch);
                    (&*a_scratch, A_LINE, 1)
                } else {
                    (&a[i0 * p.a.row + k0 * p.a.col..], p.a.row, p.a.col)
                };
                for j in (j0..j0 + block_cols).step_by(X::NR) {
                    let width = X::NR.min(cols.end - j);
                    let (b, b_step) = match x.packed {
                        Some(packed) => (packed.panel(z, k0, depth, j), X::NR),
                        None if pack => (&b_scratch[(j - j0) * depth..], X::NR),
                        None => (&b[k0 * p.b.row + j..], p.b.row),
                    };
                    let bias = fold.bias.map(|bias| &bias[j - cols.start..]);
                    for kk in (0..depth).step_by(CHUNK) {
                        let k = CHUNK.min(depth - kk);
                        let (first, last) = (k0 + kk == 0, k0 + kk + k == p.k);
                        let fold = Fold { bias, first, last, ..fold };
                        let (a, b) = (&a[kk * a_step..], &b[kk * b_step..]);
                        for i in (0..block_rows).step_by(X::MR) {
                            let operands = Operands { a: &a[i * a_row..], a_row, a_step, b, b_step, k };
                            let height = X::MR.min(block_rows - i);
                            tile.run(operands, height, width, &mut out.at(i0 - rows.start + i, j - cols.start), &fold);
                        }
                    }
                }
            }
        }
    }
}

//! From a problem to tiles.
//!
//! ```text
//! cut C into one rectangle a thread, along tiles           (each thread alone from here)
//! for columns in steps of NC:
//!   for k in steps of DEPTH, two chunks:                    ascending: the canonical order
//!     for rows in steps of MC:
//!       for each panel of NR columns, for each chunk:
//!         at the first rows, pack B[chunk, panel]           L1, and L2 for the rows to come; or read it where it lies
//!         for each MR rows:                                 A[MC, DEPTH] stays in L2
//!           at the first panel, copy A[rows, chunk] if its stride is bad
//!           sum the tile over the chunk, fold it into C
//! ```
//! While tiles are summed, the next panel of B and of C and the next block of A come closer ([`Queue`]).
//!
//! Workspace a thread: `DEPTH·NC + MC·A_LINE` elements, 1.5 MiB, and 1 MiB where there are more than 16 threads.

use etalon_reference::Element;
use std::ops::Range;

use etalon_reference::ops::gemm::{CHUNK, Gemm, Matrix};
use etalon_reference::{Domain, Threshold};

use super::Float;
use super::ahead::{Queue, Region};
use super::epilogue::{Finish, Fold};
use super::pack::{A_LINE, DEPTH, PackedB, copy_a, pack_b, wants_copy};
use super::skinny::{self, Stream};
use super::small;
use super::tile::{Block, Tile, part};
use super::widened;
use crate::disjoint::Disjoint;
use crate::faults::{fault, read_behind};
use crate::isa::tile::Operands;
use crate::pool::{Pool, WORTH_NS};
use crate::workspace::Workspace;

/// Bytes of a column of the block of A that stays in the second cache.
const MC_BYTES: usize = 240 * 4;
/// Bytes of a row of packed B; half of it where there are more threads than `FEW_THREADS`, to bound what all take together.
const NC_BYTES: usize = 512 * 4;
const FEW_THREADS: usize = 16;
/// Up to this many rows, B is read where it lies.
const PACK_FROM_ROWS: usize = 64;
/// B of at most this size is read where it lies, too: it stays in the first cache.
const SMALL_B_BYTES: usize = 24 * 1024;
/// B of more than this size is packed row by row: its pages and the streams from memory are few at a time then.
const LARGE_B_BYTES: usize = 1024 * 1024;
/// Rows of it at a time.
const PACK_ROWS: usize = 8;
/// Panels of columns during which the next block of A comes close: earlier, it would drive out the present one.
const A_PANELS: usize = 2;
/// Operations in a nanosecond of one thread, about.
pub const FLOPS_A_NS: u64 = 100;
/// Operations from which operands are brought close ahead of time: with fewer, they lie in the second cache.
const AHEAD_FLOPS: usize = 4_000_000;

/// The sizes at which a product takes another path, here and in [`skinny`].
pub const THRESHOLDS: &[Threshold] = &[
    Threshold::axis("m", skinny::NARROW as i64),
    Threshold::axis("m", PACK_FROM_ROWS as i64),
    Threshold::axis("m", mc::<f64>() as i64),
    Threshold::axis("m", mc::<f32>() as i64),
    Threshold::axis("n", skinny::NARROW as i64),
    Threshold::axis("n", nc::<f64>(1) as i64),
    Threshold::axis("n", nc::<f32>(1) as i64),
    Threshold::axis("n", skinny::STRIP),
    Threshold::axis("k", CHUNK as i64),
    Threshold::axis("k", DEPTH as i64),
    Threshold::axis("k", skinny::X_DEPTH),
    Threshold::bytes("b", SMALL_B_BYTES),
    Threshold::bytes("b", skinny::DOTS_FROM),
    Threshold::bytes("b", LARGE_B_BYTES),
    Threshold::bytes("a", skinny::ROWS_FROM),
    Threshold::bytes("out", size_of::<half::bf16>() * widened::BLOCK),
    Threshold::operations((WORTH_NS * FLOPS_A_NS) as i64),
    Threshold::operations(AHEAD_FLOPS as i64),
];

/// Where several of its sizes together decide the path.
pub const PATHS: &[Domain] = &[
    Domain {
        name: "a large B whose last rows are fewer than are packed at a time",
        fixed: &[
            ("m", &[9, 13, 17]),
            ("n", &[1030]),
            ("k", &[257, 260, 271]),
            ("batch", &[1]),
            ("b", &[0]),
            ("alpha", &[0, 2, 3]),
        ],
    },
    Domain {
        name: "a C that is computed in several blocks of rows, where it is short",
        fixed: &[("m", &[510, 530]), ("n", &[2100]), ("k", &[1, 2, 3]), ("batch", &[1])],
    },
];

/// Rows of a block of A: a multiple of every tile's.
pub const fn mc<T>() -> usize {
    MC_BYTES / size_of::<T>()
}

/// Columns of a packed block of B.
pub const fn nc<T>(threads: usize) -> usize {
    NC_BYTES / size_of::<T>() / if threads > FEW_THREADS { 2 } else { 1 }
}

/// Elements of workspace a thread needs at most.
const fn scratch<T>(threads: usize) -> usize {
    DEPTH * nc::<T>(threads) + mc::<T>() * A_LINE
}

/// Bytes of workspace for `threads` threads: `threads · (DEPTH·NC + MC·A_LINE) · size`, at most 16 MiB + 1 MiB a thread for
/// every problem; nothing where no operand is packed.
pub const fn workspace_bytes<T>(threads: usize) -> usize {
    threads * scratch::<T>(threads) * size_of::<T>()
}

/// The operands, checked by the caller.
pub struct Task<'a, T: Float> {
    /// The problem. Its bias and activation are not looked at: the finish has them.
    pub p: &'a Gemm,
    /// A.
    pub a: Source<'a, T>,
    /// B.
    pub b: Source<'a, T>,
    /// What becomes of the sums, with vectors of m or n elements.
    pub finish: Finish<'a, T>,
}

/// Where an operand comes from.
#[derive(Clone, Copy)]
pub enum Source<'a, T: Float> {
    /// From memory, where the problem says.
    Plain(&'a [T]),
    /// B alone: packed already.
    Packed(&'a PackedB<T>),
    /// From a function that writes parts of it. The problem says that it lies row by row.
    Lowered(&'a dyn Lowered<T>),
}

impl<'a, T: Float> Source<'a, T> {
    /// The operand in memory.
    pub fn plain(&self) -> Option<&'a [T]> {
        if let Source::Plain(x) = self { Some(x) } else { None }
    }

    /// Matrix `z` of a batch.
    fn matrix(&self, z: usize, batch: usize) -> Source<'a, T> {
        match *self {
            Source::Plain(x) => Source::Plain(&x[(z * batch).min(x.len())..]),
            other => other,
        }
    }
}

/// A matrix that does not lie in memory: the driver asks for parts of it, once for each block that it packs.
pub trait Lowered<T>: Sync {
    /// Writes rows `rows`, columns `cols` of matrix `z` of the batch to lines of `line` elements: the elements, then zeros
    /// up to `width`.
    fn write(&self, z: usize, rows: Range<usize>, cols: Range<usize>, width: usize, line: usize, to: &mut [T]);
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
    if let (Some(a), Some(b)) = (x.a.plain(), x.b.plain())
        && small::pays::<X>(x, pool)
    {
        return small::gemm(tile, x, (a, b), c);
    }
    let narrow = fault!("gemm.narrow-by-tiles")
        && p.k > 0
        && p.alpha != 0.0
        && (2..=8).contains(&p.m)
        && p.n >= p.m
        && p.b.col == 1
        && x.a.plain().and(x.b.plain()).is_some();
    let out = Disjoint::new(c);
    let flops = [p.batch, p.m, p.n, p.k.max(1)].iter().fold(2u64, |all, &x| all.saturating_mul(x as u64));
    let threads = pool.threads_for(flops / FLOPS_A_NS);
    // A batch is cut first; what is left of the threads cuts each matrix.
    let inner = if p.batch >= threads { 1 } else { threads.div_ceil(p.batch) };
    let (down, across) = cut::<X>(p, inner);
    let tasks = p.batch * down * across;
    let lowered_a = matches!(x.a, Source::Lowered(_));
    let packs = packs_b::<X>(x, p.m) || wants_copy::<X::T>(&p.a) || lowered_a;
    let each = if packs { scratch::<X::T>(threads) } else { 0 };
    let scratch = Disjoint::new(workspace.slice::<X::T>(each * threads.min(tasks)));
    let body = |task: usize, worker: usize| {
        let (z, rest) = (task / (down * across), task % (down * across));
        let rows = part(p.m - usize::from(narrow), X::MR, down, rest / across);
        let mut cols = part(p.n, X::NR, across, rest % across);
        if fault!("gemm.seventeen-threads") && threads > FEW_THREADS {
            cols.end = cols.end.saturating_sub(1).max(cols.start);
        }
        x.a.plain().filter(|_| fault!("gemm.reads-behind")).into_iter().for_each(read_behind);
        // SAFETY: a worker runs one task at a time, and no other worker has its index.
        let scratch = unsafe { scratch.part(worker * each..(worker + 1) * each) };
        let batch = if fault!("gemm.batch-of-padded-c") { p.m * p.n } else { p.c.batch };
        // SAFETY: tasks have different matrices, rows or columns, and C's rows and matrices do not overlap.
        let mut block = unsafe { Block::new(&out, z * batch + rows.start * p.c.row + cols.start, p.c.row) };
        let (a, b) = (x.a.matrix(z, p.a.batch), x.b.matrix(z, p.b.batch));
        let packs_b = packs_b::<X>(x, rows.len());
        let large_b = x.b.plain().is_some() && p.k * p.n * size_of::<X::T>() > LARGE_B_BYTES;
        let far = pool.is_eager() || 2 * rows.len() * cols.len() * p.k >= AHEAD_FLOPS;
        // Few tiles of columns do not pay for a copy of rows.
        let copies_a = lowered_a || wants_copy::<X::T>(&p.a) && (cols.len() > X::NR || p.a.col != 1);
        Rectangle { tile, x, z, a, b, rows, cols, nc: nc::<X::T>(threads), packs_b, large_b, copies_a, far }
            .compute(&mut block, scratch);
    };
    if threads == 1 || tasks == 1 {
        let lost = fault!("gemm.inline-tasks") && threads < pool.threads() && tasks > 1;
        (0..tasks - usize::from(lost)).for_each(|task| body(task, 0));
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

pub fn packs_b<X: Tile>(x: &Task<'_, X::T>, rows: usize) -> bool {
    let bytes = x.p.k * x.p.n * size_of::<X::T>();
    let pays = rows > PACK_FROM_ROWS && bytes > SMALL_B_BYTES || bytes > LARGE_B_BYTES;
    match x.b {
        Source::Plain(_) => x.p.b.col != 1 || pays,
        Source::Packed(_) => false,
        Source::Lowered(_) => true,
    }
}

/// One rectangle of one matrix, by one thread.
struct Rectangle<'a, X: Tile> {
    tile: X,
    x: &'a Task<'a, X::T>,
    /// Matrix of the batch.
    z: usize,
    a: Source<'a, X::T>,
    b: Source<'a, X::T>,
    rows: Range<usize>,
    cols: Range<usize>,
    /// Columns of a block.
    nc: usize,
    packs_b: bool,
    large_b: bool,
    copies_a: bool,
    /// Whether what follows is brought close.
    far: bool,
}

/// Where the loops stand: the chunk `k1..` of a panel from column `j` of a block.
struct At {
    block_rows: Range<usize>,
    block_cols: Range<usize>,
    /// Products of the block.
    depth: Range<usize>,
    row_block: usize,
    j: usize,
    k1: usize,
}

impl<X: Tile> Rectangle<'_, X> {
    fn compute(&self, out: &mut Block<'_, X::T>, scratch: &mut [X::T]) {
        let p = self.x.p;
        let fold = Fold {
            alpha: X::T::from_f64(p.alpha),
            beta: X::T::from_f64(p.beta),
            first: true,
            last: true,
            finish: self.x.finish.part(self.rows.clone(), self.cols.clone()),
        };
        if p.k == 0 || p.alpha == 0.0 {
            return self.without_product(out, &fold);
        }
        let (b_copy, a_copy) = scratch.split_at_mut(if scratch.is_empty() { 0 } else { DEPTH * self.nc });
        let mut queue = Queue::new();
        for block_cols in blocks(&self.cols, self.nc, X::NR) {
            let shared = self.rows.len() * self.cols.len() < p.m * p.n && !matches!(self.b, Source::Packed(_));
            let step = if fault!("gemm.split-by-threads") && shared { DEPTH - 64 } else { DEPTH };
            for k0 in (0..p.k).step_by(step) {
                let depth = k0..p.k.min(k0 + step);
                for (row_block, block_rows) in blocks(&self.rows, mc::<X::T>(), X::MR).enumerate() {
                    let (block_cols, depth) = (block_cols.clone(), depth.clone());
                    let mut at = At { block_rows, block_cols, depth, row_block, j: 0, k1: 0 };
                    for j in at.block_cols.clone().step_by(X::NR) {
                        for k1 in (k0..at.depth.end).step_by(CHUNK) {
                            (at.j, at.k1) = (j, k1);
                            if self.far {
                                self.look_ahead(&at, out, &mut queue);
                            }
                            if self.packs_b && self.large_b && (row_block, j, k1) == (0, at.block_cols.start, k0) {
                                self.pack_rows(&at, b_copy);
                            }
                            self.panel(&at, out, &fold, b_copy, a_copy, &mut queue);
                        }
                    }
                }
            }
        }
    }

    /// Packs a block of B.
    fn pack_rows(&self, at: &At, b_copy: &mut [X::T]) {
        let p = self.x.p;
        let step = if p.b.col == 1 { PACK_ROWS } else { CHUNK };
        for k in at.depth.clone().step_by(step) {
            let (chunk, below) = ((k - at.depth.start) / CHUNK * CHUNK, (k - at.depth.start) % CHUNK);
            for j in at.block_cols.clone().step_by(X::NR) {
                let to = &mut b_copy[chunk * self.nc + (j - at.block_cols.start) * CHUNK + below * X::NR..];
                let depth = k..at.depth.end.min(k + step);
                if fault!("gemm.large-b-remainder") && depth.len() < PACK_ROWS {
                    continue;
                }
                self.pack_b(depth, j..at.block_cols.end.min(j + X::NR), to);
            }
        }
    }

    /// Packs rows `depth`, columns `cols` of B, at most a panel's.
    fn pack_b(&self, depth: Range<usize>, cols: Range<usize>, to: &mut [X::T]) {
        match self.b {
            Source::Plain(b) => pack_b(self.tile, b, &self.x.p.b, depth.start, depth.len(), cols.start, cols.len(), to),
            Source::Packed(_) => unreachable!("packed already"),
            Source::Lowered(b) => b.write(self.z, depth, cols, X::NR, X::NR, to),
        }
    }

    /// Copies rows `rows`, columns `depth` of A, at most a tile's and a chunk's.
    fn copy_a(&self, rows: Range<usize>, depth: Range<usize>, to: &mut [X::T]) {
        match self.a {
            Source::Plain(a) => copy_a(self.tile, a, &self.x.p.a, rows.start, rows.len(), depth.start, depth.len(), to),
            Source::Packed(_) => unreachable!("only B is packed"),
            Source::Lowered(a) => a.write(self.z, rows, depth.clone(), depth.len(), A_LINE, to),
        }
    }

    /// All tiles of a block in one panel, over one chunk.
    fn panel(
        &self,
        at: &At,
        out: &mut Block<'_, X::T>,
        fold: &Fold<'_, X::T>,
        b_copy: &mut [X::T],
        a_copy: &mut [X::T],
        queue: &mut Queue<X::T>,
    ) {
        let (p, k0) = (self.x.p, at.depth.start);
        if fault!("gemm.third-row-block") && at.row_block == 2 {
            return;
        }
        let (j, k1) = (at.j, at.k1);
        let (mut width, k) = (X::NR.min(at.block_cols.end - j), CHUNK.min(at.depth.end - k1));
        if fault!("gemm.f64-edge-column") && size_of::<X::T>() == 8 && width == X::NR - 1 {
            width -= 1;
        }
        let again = fault!("gemm.beta-again") && k1 == DEPTH && p.beta != 0.0;
        let (first, last) = (k1 == 0 || again, k1 + k == p.k);
        let left = j - self.cols.start;
        let panel = (k1 - k0) * self.nc + (j - at.block_cols.start) * CHUNK;
        let stale = fault!("gemm.second-column-block") && at.block_cols.start > self.cols.start;
        if self.packs_b && at.row_block == 0 && !self.large_b && !stale {
            self.pack_b(k1..k1 + k, j..j + width, &mut b_copy[panel..]);
        }
        let (b, b_step) = match self.b {
            Source::Packed(packed) => (packed.panel(self.z, k1, k, j), X::NR),
            Source::Plain(b) if !self.packs_b => (&b[k1 * p.b.row + j..], p.b.row),
            _ => (&b_copy[panel..], X::NR),
        };
        for i in at.block_rows.clone().step_by(X::MR) {
            let height = X::MR.min(at.block_rows.end - i);
            let (a, a_row, a_step) = if let (Source::Plain(a), false) = (self.a, self.copies_a) {
                (&a[i * p.a.row + k1 * p.a.col..], p.a.row, p.a.col)
            } else {
                let strip = i - at.block_rows.start;
                let (start, row, step) = if p.a.col == 1 {
                    (strip * A_LINE + k1 - k0, A_LINE, 1)
                } else {
                    (strip * DEPTH + (k1 - k0) * X::MR, 1, X::MR)
                };
                if j == at.block_cols.start {
                    self.copy_a(i..i + height, k1..k1 + k, &mut a_copy[start..]);
                }
                (&a_copy[start..], row, step)
            };
            let operands = Operands { a, a_row, a_step, b, b_step, k, ahead: queue.take(k, b) };
            let top = i - self.rows.start;
            let fold = Fold { first, last, finish: fold.finish.part(top..top + height, left..left + width), ..*fold };
            let mut c = out.at(top, left);
            self.tile.run(operands, height, width, &mut c, &fold);
        }
    }

    /// Puts what follows a chunk of a panel into the queue.
    fn look_ahead(&self, at: &At, out: &Block<'_, X::T>, queue: &mut Queue<X::T>) {
        let p = self.x.p;
        let (k, j) = if at.k1 + CHUNK < at.depth.end { (at.k1 + CHUNK, at.j) } else { (at.depth.start, at.j + X::NR) };
        let chunk = CHUNK.min(at.depth.end - k);
        queue.b = match self.b {
            // Later rows find the panels of B in the second cache.
            _ if self.large_b || at.row_block > 0 || j >= at.block_cols.end => Region::empty(),
            Source::Packed(packed) => Region::new(packed.panel(self.z, k, chunk, j).as_ptr(), 0, X::NR, chunk, X::NR),
            Source::Plain(b) => region(b, &p.b, k, chunk, j, X::NR.min(at.block_cols.end - j)),
            Source::Lowered(_) => Region::empty(),
        };
        if at.k1 > at.depth.start {
            return;
        }
        let (row, col) = (at.block_rows.start - self.rows.start, at.j + X::NR - self.cols.start);
        queue.c = out.region(row, col, at.block_rows.len(), X::NR);
        let panels = at.block_cols.len().div_ceil(X::NR);
        if (at.block_cols.end - at.j).div_ceil(X::NR) == A_PANELS.min(panels) {
            // The next rows, or the first ones of the next depth.
            let mut rest = blocks(&self.rows, mc::<X::T>(), X::MR).skip(at.row_block + 1);
            let (rows, k) = match rest.next() {
                Some(rows) => (rows, at.depth.start),
                None => (self.rows.start..self.rows.end.min(self.rows.start + mc::<X::T>()), at.depth.end % p.k),
            };
            if let Source::Plain(a) = self.a {
                queue.a = region(a, &p.a, rows.start, rows.len(), k, DEPTH.min(p.k - k));
            }
        }
    }

    /// There is nothing to multiply.
    fn without_product(&self, out: &mut Block<'_, X::T>, fold: &Fold<'_, X::T>) {
        let (zero, beta) = (X::T::default(), fold.beta);
        for i in 0..self.rows.len() {
            let row = out.row(i, self.cols.len());
            row.iter_mut().for_each(|c| *c = if beta == zero { zero } else { beta * *c });
            self.tile.finish_row(row, i, &fold.finish);
        }
    }
}

/// A range in blocks of at most `most`, about equally long, cut along tiles of `unit`.
fn blocks(range: &Range<usize>, most: usize, unit: usize) -> impl Iterator<Item = Range<usize>> + use<> {
    let (start, len) = (range.start, range.len());
    let count = len.div_ceil(most);
    (0..count).map(move |i| {
        let part = part(len, unit, count, i);
        start + part.start..start + part.end
    })
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workspace_is_bounded() {
        for threads in 1..1000 {
            let bound = (16 + threads) << 20;
            assert!(workspace_bytes::<f32>(threads) <= bound && workspace_bytes::<f64>(threads) <= bound, "{threads}");
        }
    }
}

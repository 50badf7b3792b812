//! Blocks of keys before panels of queries, by GEMM's tiles.

use std::ops::Range;

use etalon_reference::ops::attention::{Attention, BLOCK};
use etalon_reference::ops::gemm::{Activation, CHUNK};
use etalon_reference::{Element, Problem};

use super::few;
use super::operands::{Given, Operands, Rows};
use super::scalar::of_lse;
use super::soften::{Exclude, Finish, Panel, Soften, Unseen, add_seen};
use crate::disjoint::Disjoint;
use crate::faults::fault;
use crate::gemm::epilogue::{self, Along, Fold};
use crate::gemm::skinny::Stream;
use crate::gemm::tile::{Block, Tile};
use crate::gemm::{Float, Tiled};
use crate::isa::Isa;
use crate::isa::tile::{Ahead, Operands as Factors};
use crate::isa::wide::{Vectors, Wide};
use crate::kernel::KernelError;
use crate::math::Numeric;
use crate::pool::Pool;
use crate::workspace::Workspace;

/// Rows of queries of a task.
pub const ROWS: usize = 128;
/// Columns of a tile at most.
const COLUMNS: usize = 32;
/// Panels of a task at most.
const MOST_PANELS: usize = ROWS / 8;
/// Operations in a nanosecond of one thread, about.
const FLOPS_A_NS: f64 = 100.0;
/// Rows of K or V that lie a multiple of so many bytes apart share sets of the first cache: they are copied.
const APART: usize = 2048;

/// Elements of a cache line.
pub const fn line<T: Vectors>(elements: usize) -> usize {
    elements.next_multiple_of(T::LANES)
}

/// Elements of workspace a thread.
fn scratch<T: Vectors>(p: &Attention) -> [usize; 9] {
    [
        // Queries, transposed, and as rows.
        ROWS * p.depth,
        COLUMNS * p.depth,
        // Scores.
        BLOCK * COLUMNS,
        // Sums.
        ROWS * line::<T>(p.width),
        // The largest scores, sums of powers, corrections.
        ROWS,
        ROWS,
        COLUMNS,
        // Copies of K and V.
        copied::<T>(p, p.depth),
        copied::<T>(p, p.width),
    ]
}

/// Parts of these lengths, each a whole number of cache lines.
pub fn cut<T: Vectors, const N: usize>(scratch: &mut [T], lens: [usize; N]) -> [&mut [T]; N] {
    let mut rest = scratch;
    lens.map(|len| {
        let (part, behind) = std::mem::take(&mut rest).split_at_mut(line::<T>(len));
        rest = behind;
        part
    })
}

/// Bytes of workspace for `threads` threads: about `threads · (128·(D + Dv) + 96·(32 + D + Dv)) · size`.
pub fn workspace_bytes<T: Vectors>(p: &Attention, threads: usize) -> usize {
    threads * share::<T>(p) * size_of::<T>()
}

fn share<T: Vectors>(p: &Attention) -> usize {
    let few = few::scratch::<T>(p).into_iter().map(line::<T>).sum::<usize>();
    few.max(scratch::<T>(p).into_iter().map(line::<T>).sum())
}

/// Elements of a copy of a block of K or V with rows of `width` elements; 0 if it is read where it lies.
pub fn copied<T: Vectors>(p: &Attention, width: usize) -> usize {
    let stride = if p.by_rows { p.heads * width } else { width };
    if wants_copy::<T>(stride) { BLOCK * line::<T>(width) } else { 0 }
}

fn wants_copy<T>(stride: usize) -> bool {
    stride > 0 && (stride * size_of::<T>()).is_multiple_of(APART)
}

/// All outputs.
///
/// # Errors
/// If the CPU lacks the instructions.
pub fn attend<T: Numeric>(
    isa: Isa,
    o: &Operands<'_, T>,
    pool: &Pool,
    workspace: &mut Workspace,
) -> Result<(), KernelError> {
    T::with_tiles(isa, Attend { isa, o, pool, workspace })
}

struct Attend<'a, T> {
    isa: Isa,
    o: &'a Operands<'a, T>,
    pool: &'a Pool,
    workspace: &'a mut Workspace,
}

impl<T: Numeric> Tiled<T> for Attend<'_, T> {
    type Output = ();

    fn run<X: Stream<T = T>, L: Wide<T>>(self, tile: X, lanes: L) {
        let Attend { isa, o, pool, workspace } = self;
        let p = o.p;
        let rows = p.group * p.queries;
        let (blocks, share) = (rows.div_ceil(ROWS), share::<T>(p));
        let scratch = Disjoint::new(workspace.slice::<T>(share * pool.threads()));
        let (flops, _) = p.operations();
        let body = |task: usize, worker: usize| {
            let (head, block) = (task / blocks, task % blocks);
            // SAFETY: a worker runs one task at a time, and no other worker has its index.
            let scratch = unsafe { scratch.part(worker * share..(worker + 1) * share) };
            let rows = block * ROWS..rows.min((block + 1) * ROWS);
            let few = rows.len() <= few::ROWS;
            let task = Task { tile, isa, o, b: head / p.heads, h: head % p.heads, rows };
            if few { task.compute_few(lanes, scratch) } else { task.compute(scratch) }
        };
        let tasks = p.batch * p.heads * blocks;
        if pool.threads_for((flops / FLOPS_A_NS) as u64) == 1 {
            (0..tasks).for_each(|task| body(task, 0));
        } else {
            pool.run(tasks, body);
        }
    }
}

/// Some rows of queries that share a head of keys.
pub struct Task<'a, X: Tile> {
    pub tile: X,
    pub isa: Isa,
    pub o: &'a Operands<'a, X::T>,
    pub b: usize,
    /// Of keys.
    pub h: usize,
    /// Queries of one head after those of another.
    pub rows: Range<usize>,
}

/// Why lanes are there.
pub const CHECKED: &str = "the tiles have the same instructions";

impl<X: Stream> Task<'_, X>
where
    X::T: Numeric,
{
    /// Head of queries and query of a row.
    pub fn of_row(&self, row: usize) -> (usize, usize) {
        let (group, query) = (row / self.o.p.queries, row % self.o.p.queries);
        let group = if fault!("attention.third-of-group") { group.min(1) } else { group };
        (self.h * self.o.p.group + group, query)
    }

    /// The rows of a panel.
    fn panel(&self, index: usize) -> Range<usize> {
        let start = self.rows.start + index * X::NR;
        start..self.rows.end.min(start + X::NR)
    }

    fn compute(&self, scratch: &mut [X::T]) {
        let p = self.o.p;
        let [q, lines, scores, sums, largest, powers, corrections, k_copy, v_copy] =
            cut(scratch, self::scratch::<X::T>(p));
        let panels = self.rows.len().div_ceil(X::NR);
        // The keys before the limits of all rows of each panel.
        let mut reaches = [0; MOST_PANELS];
        for (index, (reach, q)) in reaches.iter_mut().zip(q.chunks_mut(X::NR * p.depth)).enumerate().take(panels) {
            let rows = self.panel(index);
            *reach = rows.clone().map(|row| self.o.sight.limit(self.b, self.of_row(row).1)).max().unwrap_or(0);
            self.transpose(rows, lines, q);
        }
        largest.fill(X::T::from_f64(f64::NEG_INFINITY));
        powers.fill(X::T::default());
        let sums = &mut sums[..self.rows.len() * p.width];
        sums.fill(X::T::default());
        let end = reaches.into_iter().max().unwrap_or(0);
        let (k, v) = (self.o.sight.rows_of_k(self.b, self.h), self.o.sight.rows_of_v(self.b, self.h));
        for first in (0..end).step_by(BLOCK) {
            let keys = BLOCK.min(end - first);
            let k = block(self.o.k, k, first, keys, p.depth, &mut *k_copy);
            let v = block(self.o.v, v, first, keys, p.width, &mut *v_copy);
            // Whether the block of V holds finite numbers alone, once it is asked.
            let mut finite = None;
            for (index, &reach) in reaches.iter().enumerate().take(panels) {
                let keys = reach.saturating_sub(first).min(keys);
                if keys == 0 {
                    continue;
                }
                let rows = self.panel(index);
                let place = rows.start - self.rows.start;
                let mut panel = Panel {
                    scores: &mut *scores,
                    line: X::NR,
                    columns: rows.len().next_multiple_of(<X::T as Vectors>::LANES).min(X::NR),
                    keys,
                    largest: &mut largest[place..place + X::NR.min(ROWS - place)],
                    powers: &mut powers[place..place + X::NR.min(ROWS - place)],
                    corrections: &mut *corrections,
                    sums: &mut sums[place * p.width..][..rows.len() * p.width],
                    width: p.width,
                };
                self.score(&mut panel, &q[index * X::NR * p.depth..][..X::NR * p.depth], k);
                let mut queries = [0; COLUMNS];
                let mut limits = [X::T::from_f64(keys as f64); COLUMNS];
                let mut partly = !matches!(self.o.sight.mask, Given::None);
                for ((row, query), limit) in rows.clone().zip(&mut queries).zip(&mut limits) {
                    *query = self.of_row(row).1;
                    let sees = self.o.sight.limit(self.b, *query).saturating_sub(first).min(keys);
                    let sees = if fault!("attention.diagonal-of-second-block") && first > 0 { keys } else { sees };
                    partly |= sees < keys;
                    *limit = X::T::from_f64(sees as f64);
                }
                let queries = &queries[..rows.len()];
                let unseen = Unseen { sight: &self.o.sight, queries, first, limits: &limits[..rows.len()] };
                if partly {
                    let work = Exclude { scores: &mut *panel.scores, line: X::NR, keys, unseen: &unseen };
                    X::T::calculate(self.isa, work).expect(CHECKED);
                }
                X::T::calculate(self.isa, Soften(&mut panel)).expect(CHECKED);
                let (v, stride) = v;
                if partly && !*finite.get_or_insert_with(|| all_finite(v, stride, BLOCK.min(end - first), p.width)) {
                    add_seen(&mut panel, &unseen, v, stride);
                } else {
                    self.add(&mut panel, v, stride);
                }
            }
        }
        let work = Finish { largest, powers, sums, width: p.width, logarithms: p.logarithms };
        X::T::calculate(self.isa, work).expect(CHECKED);
        self.write(sums, powers);
    }

    /// The queries of rows as columns, zeros behind them.
    fn transpose(&self, rows: Range<usize>, lines: &mut [X::T], to: &mut [X::T]) {
        let depth = self.o.p.depth;
        for (row, line) in rows.clone().zip(lines.chunks_exact_mut(depth)) {
            let (head, query) = self.of_row(row);
            line.copy_from_slice(&self.o.q[self.o.sight.rows_of_q(self.b, head).row(query)..][..depth]);
        }
        self.tile.transpose_lines(lines, depth, rows.len(), depth, X::NR, to);
    }

    /// The scores of a panel.
    fn score(&self, panel: &mut Panel<'_, X::T>, q: &[X::T], (k, stride): (&[X::T], usize)) {
        let depth = self.o.p.depth;
        let out = Disjoint::new(&mut *panel.scores);
        for chunk in (0..depth).step_by(CHUNK) {
            let deep = CHUNK.min(depth - chunk);
            let fold = fold(self.o.sight.alpha(), chunk == 0, if chunk == 0 { 0.0 } else { 1.0 });
            for j in (0..panel.keys).step_by(X::MR) {
                let rows = X::MR.min(panel.keys - j);
                let b = &q[chunk * X::NR..];
                let factors = Factors {
                    a: &k[j * stride + chunk..],
                    a_row: stride,
                    a_step: 1,
                    b,
                    b_step: X::NR,
                    k: deep,
                    ahead: Ahead::none(b),
                };
                // SAFETY: the scores are borrowed for this loop alone.
                let mut block = unsafe { Block::new(&out, j * panel.line, panel.line) };
                self.tile.run(factors, rows, panel.columns, &mut block, &fold);
            }
        }
    }

    /// The products of a panel's powers with v, to its sums.
    fn add(&self, panel: &mut Panel<'_, X::T>, v: &[X::T], stride: usize) {
        let (rows, width) = (panel.sums.len() / panel.width.max(1), panel.width);
        let out = Disjoint::new(&mut *panel.sums);
        let fold = fold(X::T::from_f64(1.0), true, 1.0);
        for j in (0..width).step_by(X::NR) {
            let columns = X::NR.min(width - j);
            for r in (0..rows).step_by(X::MR) {
                let factors = Factors {
                    a: &panel.scores[r..],
                    a_row: 1,
                    a_step: panel.line,
                    b: &v[j..],
                    b_step: stride,
                    k: panel.keys,
                    ahead: Ahead::none(v),
                };
                // SAFETY: the sums are borrowed for this loop alone.
                let mut block = unsafe { Block::new(&out, r * width + j, width) };
                self.tile.run(factors, X::MR.min(rows - r), columns, &mut block, &fold);
            }
        }
    }

    /// Results to y and lse.
    pub fn write(&self, sums: &[X::T], logarithms: &[X::T]) {
        let (p, lost) = (self.o.p, usize::from(fault!("attention.second-task") && self.rows.start > 0));
        for (index, row) in (self.rows.start..self.rows.end - lost).enumerate() {
            let (head, query) = self.of_row(row);
            let place = self.o.sight.rows_of_y(self.b, head).row(query);
            let head = self.b * p.query_heads() + head;
            // SAFETY: tasks have different rows, and each task runs once.
            let (y, lse) =
                unsafe { (self.o.y.part(place..place + p.width), self.o.lse.part(of_lse(self.o, head, query))) };
            y.copy_from_slice(&sums[index * p.width..][..p.width]);
            lse.fill(logarithms[index]);
        }
    }
}

/// Sums enter with α, what is there with β.
pub fn fold<'a, T: Float>(alpha: T, first: bool, beta: f64) -> Fold<'a, T> {
    let finish = epilogue::Finish { scale: None, bias: None, along: Along::Columns, activation: Activation::None };
    Fold { alpha, beta: T::from_f64(beta), first, last: true, finish }
}

/// Rows of K or V, and the elements from one to the next.
pub type Strided<'a, T> = (&'a [T], usize);

/// Those from `first`: a copy where they lie badly.
pub fn block<'a, T: Float>(
    x: &'a [T],
    rows: Rows,
    first: usize,
    keys: usize,
    width: usize,
    copy: &'a mut [T],
) -> (&'a [T], usize) {
    let from = &x[rows.row(first).min(x.len())..];
    if !wants_copy::<T>(rows.stride) {
        return (from, rows.stride);
    }
    let line = line::<T>(width);
    for (row, to) in copy.chunks_exact_mut(line).take(keys).enumerate() {
        to[..width].copy_from_slice(&from[row * rows.stride..][..width]);
    }
    (copy, line)
}

/// Whether all elements of rows are finite.
pub fn all_finite<T: Float>(rows: &[T], stride: usize, keys: usize, width: usize) -> bool {
    let zero = T::default();
    let sum = (0..keys).flat_map(|row| &rows[row * stride..][..width]).fold(zero, |sum, &x| sum + x * zero);
    sum == zero
}

//! Blocks of rows of queries before blocks of keys, by GEMM's tiles.

use std::ops::Range;

use etalon_reference::ops::attention::{Attention, BLOCK};
use etalon_reference::ops::gemm::CHUNK;
use etalon_reference::{Element, Problem};

use super::operands::Operands;
use super::pairs::Pairs;
use crate::attention::blocks::{CHECKED, Strided, all_finite, block, copied, cut, fold, line};
use crate::attention::operands::Given;
use crate::attention::soften::{Exclude, Unseen};
use crate::disjoint::Disjoint;
use crate::faults::fault;
use crate::gemm::Tiled;
use crate::gemm::skinny::Stream;
use crate::gemm::tile::{Block, Tile};
use crate::isa::Isa;
use crate::isa::tile::{Ahead, Operands as Factors};
use crate::isa::wide::{Vectors, Wide};
use crate::kernel::KernelError;
use crate::math::{Numbers, Numeric};
use crate::pool::Pool;
use crate::workspace::Workspace;

/// Operations in a nanosecond of one thread, about.
const FLOPS_A_NS: f64 = 100.0;
/// Elements between lines of pairs: a block and a cache line, so that lines start in different sets.
const LINE: usize = BLOCK + 16;

/// Elements of workspace a thread.
fn scratch<T: Vectors>(p: &Attention) -> [usize; 11] {
    let (depth, width) = (line::<T>(p.depth), line::<T>(p.width));
    [
        // Rows of q and dy, and their transposes.
        BLOCK * depth,
        BLOCK * width,
        BLOCK * p.depth,
        BLOCK * p.width,
        // Scores and products.
        BLOCK * LINE,
        BLOCK * LINE,
        // dq.
        BLOCK * depth,
        // Bases and δ.
        BLOCK,
        BLOCK,
        // Copies of K and V.
        copied::<T>(p, p.depth),
        copied::<T>(p, p.width),
    ]
}

fn share<T: Vectors>(p: &Attention) -> usize {
    scratch::<T>(p).into_iter().map(line::<T>).sum()
}

/// Bytes of workspace for `threads` threads: about `threads · 96·(3·D + 2·Dv + 224) · size`.
pub fn workspace_bytes<T: Vectors>(p: &Attention, threads: usize) -> usize {
    threads * share::<T>(p) * size_of::<T>()
}

/// All gradients.
///
/// # Errors
/// If the CPU lacks the instructions.
pub fn gradients<T: Numeric>(
    isa: Isa,
    o: &Operands<'_, T>,
    pool: &Pool,
    workspace: &mut Workspace,
) -> Result<(), KernelError> {
    T::with_tiles(isa, Gradients { isa, o, pool, workspace })
}

struct Gradients<'a, T> {
    isa: Isa,
    o: &'a Operands<'a, T>,
    pool: &'a Pool,
    workspace: &'a mut Workspace,
}

impl<T: Numeric> Tiled<T> for Gradients<'_, T> {
    type Output = ();

    fn run<X: Stream<T = T>, L: Wide<T>>(self, tile: X, _: L) {
        let Gradients { isa, o, pool, workspace } = self;
        let (p, share) = (o.p, share::<T>(o.p));
        let scratch = Disjoint::new(workspace.slice::<T>(share * pool.threads()));
        let body = |task: usize, worker: usize| {
            // SAFETY: a worker runs one task at a time, and no other worker has its index.
            let scratch = unsafe { scratch.part(worker * share..(worker + 1) * share) };
            Head { tile, isa, o, b: task / p.heads, h: task % p.heads }.compute(scratch);
        };
        let tasks = p.batch * p.heads;
        let (flops, _) = p.operations();
        if pool.threads_for((2.5 * flops / FLOPS_A_NS) as u64) == 1 {
            (0..tasks).for_each(|task| body(task, 0));
        } else {
            pool.run(tasks, body);
        }
    }
}

/// A head of keys.
struct Head<'a, X: Tile> {
    tile: X,
    isa: Isa,
    o: &'a Operands<'a, X::T>,
    b: usize,
    h: usize,
}

/// A block of rows of queries.
struct RowBlock<'a, T> {
    rows: Range<usize>,
    q: &'a [T],
    dy: &'a [T],
    q_transposed: &'a [T],
    dy_transposed: &'a [T],
    bases: &'a [T],
    deltas: &'a [T],
    /// Of each row.
    queries: &'a [usize],
    finite: bool,
}

impl<X: Stream> Head<'_, X>
where
    X::T: Numeric,
{
    fn compute(&self, scratch: &mut [X::T]) {
        let (o, p) = (self.o, self.o.p);
        let [q, dy, q_transposed, dy_transposed, scores, products, dq, bases, deltas, k_copy, v_copy] =
            cut(scratch, self::scratch::<X::T>(p));
        let (k, v) = (o.sight.rows_of_k(self.b, self.h), o.sight.rows_of_v(self.b, self.h));
        for first in (0..o.rows()).step_by(BLOCK) {
            let rows = first..o.rows().min(first + BLOCK);
            let mut queries = [0; BLOCK];
            self.gather(rows.clone(), (q, dy), (bases, deltas), &mut queries);
            self.transpose(q, line::<X::T>(p.depth), rows.len(), p.depth, q_transposed);
            self.transpose(dy, line::<X::T>(p.width), rows.len(), p.width, dy_transposed);
            let finite = all_finite(q, line::<X::T>(p.depth), rows.len(), p.depth)
                && all_finite(dy, line::<X::T>(p.width), rows.len(), p.width);
            let queries = &queries[..rows.len()];
            let block_of_rows =
                RowBlock { rows: rows.clone(), q, dy, q_transposed, dy_transposed, bases, deltas, queries, finite };
            dq.fill(X::T::default());
            let end = queries.iter().map(|&query| o.sight.limit(self.b, query)).max().unwrap_or(0);
            for first in (0..end).step_by(BLOCK) {
                let keys = first..end.min(first + BLOCK);
                let k = block(o.k, k, first, keys.len(), p.depth, &mut *k_copy);
                let v = block(o.v, v, first, keys.len(), p.width, &mut *v_copy);
                self.pairs(&block_of_rows, keys, (k, v), (scores, products), dq);
            }
            for (index, row) in rows.enumerate() {
                let (head, query) = o.of_row(self.h, row);
                let place = o.sight.rows_of_q(self.b, head).row(query);
                // SAFETY: tasks have different heads, and each task runs once.
                let to = unsafe { o.dq.part(place..place + p.depth) };
                to.copy_from_slice(&dq[index * line::<X::T>(p.depth)..][..p.depth]);
            }
        }
    }

    /// Rows side by side, with their bases and δ.
    fn gather(
        &self,
        rows: Range<usize>,
        (q, dy): (&mut [X::T], &mut [X::T]),
        (bases, deltas): (&mut [X::T], &mut [X::T]),
        queries: &mut [usize],
    ) {
        let (o, p) = (self.o, self.o.p);
        bases.fill(X::T::default());
        deltas.fill(X::T::default());
        for (index, row) in rows.enumerate() {
            let (head, query) = o.of_row(self.h, row);
            queries[index] = query;
            let (from_q, from_dy) =
                (o.sight.rows_of_q(self.b, head).row(query), o.sight.rows_of_y(self.b, head).row(query));
            q[index * line::<X::T>(p.depth)..][..p.depth].copy_from_slice(&o.q[from_q..][..p.depth]);
            dy[index * line::<X::T>(p.width)..][..p.width].copy_from_slice(&o.dy[from_dy..][..p.width]);
            bases[index] = o.base(self.b, head, query);
            deltas[index] = o.product(self.isa, self.b, head, query);
        }
    }

    /// Panels of as many rows as a tile has columns, transposed, zeros behind the last.
    fn transpose(&self, lines: &[X::T], line: usize, rows: usize, len: usize, to: &mut [X::T]) {
        if len == 0 {
            return;
        }
        for (panel, to) in to.chunks_mut(X::NR * len).enumerate().take(rows.div_ceil(X::NR)) {
            let first = panel * X::NR;
            self.tile.transpose_lines(&lines[first * line..], line, X::NR.min(rows - first), len, X::NR, to);
        }
    }

    /// All that a block of rows and a block of keys add to gradients.
    fn pairs(
        &self,
        r: &RowBlock<'_, X::T>,
        keys: Range<usize>,
        (k, v): (Strided<'_, X::T>, Strided<'_, X::T>),
        (scores, products): (&mut [X::T], &mut [X::T]),
        dq: &mut [X::T],
    ) {
        let (o, p) = (self.o, self.o.p);
        let (count, rows) = (keys.len(), r.rows.len());
        let mut limits = [X::T::default(); BLOCK];
        let mut partly = !matches!(o.sight.mask, Given::None);
        let mut start = rows;
        for (row, (limit, &query)) in limits.iter_mut().zip(r.queries).enumerate() {
            let sees = o.sight.limit(self.b, query).saturating_sub(keys.start).min(count);
            partly |= sees < count;
            if sees > 0 {
                start = start.min(row);
            }
            *limit = X::T::from_f64(sees as f64);
        }
        // Rows before see nothing of the block.
        let start = start / X::NR * X::NR;
        let end = rows.next_multiple_of(<X::T as Vectors>::LANES);
        let one = X::T::from_f64(1.0);
        self.by_rows(k, (r.q_transposed, p.depth), o.sight.alpha(), count, (start, end), scores);
        self.by_rows(v, (r.dy_transposed, p.width), one, count, (start, end), products);
        if partly {
            let (queries, limits) = (&r.queries[start..], &limits[start..rows]);
            let unseen = Unseen { sight: &o.sight, queries, first: keys.start, limits };
            let work = Exclude { scores: &mut scores[start..], line: LINE, keys: count, unseen: &unseen };
            X::T::calculate(self.isa, work).expect(CHECKED);
        }
        let (bases, deltas) = (r.bases, r.deltas);
        let work = Pairs {
            scores: &mut *scores,
            products: &mut *products,
            line: LINE,
            keys: count,
            columns: (start, end),
            bases,
            deltas,
        };
        X::T::calculate(self.isa, work).expect(CHECKED);
        let finite =
            !partly || r.finite && all_finite(k.0, k.1, count, p.depth) && all_finite(v.0, v.1, count, p.width);
        let scale = X::T::from_f64(p.scale);
        let (to_k, to_v) = (o.sight.rows_of_k(self.b, self.h), o.sight.rows_of_v(self.b, self.h));
        if !finite && !fault!("attention_backward.leaks") {
            return self.one_by_one(r, keys, (scores, products), k, dq);
        }
        let (depth, width) = (line::<X::T>(p.depth), line::<X::T>(p.width));
        let deep = rows - start;
        // SAFETY: tasks have different heads, whose elements differ.
        let mut dv = unsafe { Block::new(&o.dv, to_v.row(keys.start), to_v.stride) };
        let dy = &r.dy[start * width..];
        self.add((&scores[start..], LINE, 1), (dy, width), (count, p.width, deep), one, &mut dv);
        // SAFETY: as above.
        let mut dk = unsafe { Block::new(&o.dk, to_k.row(keys.start), to_k.stride) };
        let q = &r.q[start * depth..];
        let lost = usize::from(fault!("attention_backward.second-block-of-rows") && r.rows.start > 0);
        self.add((&products[start..], LINE, 1), (q, depth), (count, p.depth, deep - lost), scale, &mut dk);
        let dq = Disjoint::new(dq);
        // SAFETY: dq is this task's.
        let mut dq = unsafe { Block::new(&dq, start * depth, depth) };
        let deep =
            if fault!("attention_backward.second-block-of-keys") && keys.start > 0 { count.min(1) } else { count };
        self.add((&products[start..], 1, LINE), k, (rows - start, p.depth, deep), scale, &mut dq);
    }

    /// `x·(rows transposed)`, keys × columns from `start` to `end`, times `alpha`.
    fn by_rows(
        &self,
        (x, stride): (&[X::T], usize),
        (panels, depth): (&[X::T], usize),
        alpha: X::T,
        keys: usize,
        (start, end): (usize, usize),
        to: &mut [X::T],
    ) {
        if depth == 0 {
            to.fill(X::T::default());
            return;
        }
        let out = Disjoint::new(to);
        for first in (start..end).step_by(X::NR) {
            let panel = &panels[first * depth..];
            for chunk in (0..depth).step_by(CHUNK) {
                let deep = CHUNK.min(depth - chunk);
                let fold = fold(alpha, chunk == 0, if chunk == 0 { 0.0 } else { 1.0 });
                for j in (0..keys).step_by(X::MR) {
                    let b = &panel[chunk * X::NR..];
                    let a = &x[j * stride + chunk..];
                    let factors =
                        Factors { a, a_row: stride, a_step: 1, b, b_step: X::NR, k: deep, ahead: Ahead::none(b) };
                    // SAFETY: the lines are borrowed for this loop alone.
                    let mut block = unsafe { Block::new(&out, j * LINE + first, LINE) };
                    self.tile.run(factors, X::MR.min(keys - j), X::NR.min(end - first), &mut block, &fold);
                }
            }
        }
    }

    /// `out += alpha·(a·b)`: of a, its first element and the elements between rows and steps; of b, and the elements
    /// between its rows; rows, columns and depth.
    fn add(
        &self,
        (a, a_row, a_step): (&[X::T], usize, usize),
        (b, b_step): (&[X::T], usize),
        (rows, columns, depth): (usize, usize, usize),
        alpha: X::T,
        out: &mut Block<'_, X::T>,
    ) {
        if depth == 0 {
            return;
        }
        let fold = fold(alpha, true, 1.0);
        for j in (0..columns).step_by(X::NR) {
            for i in (0..rows).step_by(X::MR) {
                let (a, b) = (&a[i * a_row..], &b[j..]);
                let factors = Factors { a, a_row, a_step, b, b_step, k: depth, ahead: Ahead::none(b) };
                self.tile.run(factors, X::MR.min(rows - i), X::NR.min(columns - j), &mut out.at(i, j), &fold);
            }
        }
    }

    /// The sums of a block, of the pairs that count alone.
    fn one_by_one(
        &self,
        r: &RowBlock<'_, X::T>,
        keys: Range<usize>,
        (powers, slopes): (&[X::T], &[X::T]),
        (k, k_stride): (&[X::T], usize),
        dq: &mut [X::T],
    ) {
        let (o, p, n) = (self.o, self.o.p, X::T::single());
        let (depth, width) = (line::<X::T>(p.depth), line::<X::T>(p.width));
        let scale = X::T::from_f64(p.scale);
        let sees = |row: usize, key: usize| {
            let query = r.queries[row];
            key < o.sight.limit(self.b, query) && o.sight.mask_lets(query, key)
        };
        let of_rows = |key: usize, factors: &[X::T], x: &[X::T], line: usize, column: usize| {
            let at = (key - keys.start) * LINE;
            let seen = (0..r.rows.len()).filter(|&row| sees(row, key));
            seen.fold(X::T::default(), |sum, row| n.fma(factors[at + row], x[row * line + column], sum))
        };
        for key in keys.clone() {
            let (dk, dv) = (o.sight.rows_of_k(self.b, self.h).row(key), o.sight.rows_of_v(self.b, self.h).row(key));
            // SAFETY: tasks have different heads, and each task runs once.
            let (dk, dv) = unsafe { (o.dk.part(dk..dk + p.depth), o.dv.part(dv..dv + p.width)) };
            for (column, dv) in dv.iter_mut().enumerate() {
                *dv = *dv + of_rows(key, powers, r.dy, width, column);
            }
            for (column, dk) in dk.iter_mut().enumerate() {
                *dk = n.fma(scale, of_rows(key, slopes, r.q, depth, column), *dk);
            }
        }
        for row in 0..r.rows.len() {
            for (column, dq) in dq[row * depth..][..p.depth].iter_mut().enumerate() {
                let seen = keys.clone().filter(|&key| sees(row, key)).map(|key| key - keys.start);
                let sum =
                    seen.fold(X::T::default(), |sum, j| n.fma(slopes[j * LINE + row], k[j * k_stride + column], sum));
                *dq = n.fma(scale, sum, *dq);
            }
        }
    }
}

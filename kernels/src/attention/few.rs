//! Few queries before many keys, as in decoding: keys lie in lanes.
//!
//! ```text
//! for blocks of 96 keys:
//!   for keys in a vector's lanes:  squares of K transposed in registers;  scores = Σ q·kᵀ        rows × keys
//!   masks;  the largest score;  p = 2^(s − m), their sums
//!   sums = sums·2^(old − m) + P·V                       a tile's rows are queries
//! ```
//! K and V are read once, from one end to the other, and nothing else takes as long. V comes close while K is read. Each
//! score is the same chain of products as that of a tile.

use std::ops::Range;

use etalon_reference::Element;
use etalon_reference::ops::attention::{Attention, BLOCK};
use etalon_reference::ops::gemm::CHUNK;

use super::blocks::{CHECKED, Task, all_finite, cut, fold, line};
use super::operands::{Given, Rows};
use super::soften::{Finish, lowest};
use crate::disjoint::Disjoint;
use crate::faults::fault;
use crate::gemm::skinny::Stream;
use crate::gemm::tile::Block;
use crate::isa::tile::{Ahead, Operands as Factors};
use crate::isa::wide::{Vectors, Wide, Work};
use crate::math::{Beside, Calculation, Numbers, Numeric};

/// Rows at most.
pub const ROWS: usize = 8;

/// Elements of workspace: queries, scores, sums, and for each row the largest score and the sum of powers.
pub fn scratch<T: Vectors>(p: &Attention) -> [usize; 5] {
    let (depth, width) = (line::<T>(p.depth), line::<T>(p.width));
    [ROWS * depth, ROWS * BLOCK, ROWS * width, line::<T>(ROWS), line::<T>(ROWS)]
}

/// The scores of `R` rows for a block of keys.
struct Scores<'a, T, const R: usize> {
    /// Queries, a line each.
    q: &'a [T],
    line: usize,
    depth: usize,
    alpha: T,
    /// Keys from the block's first, and the elements between them.
    k: &'a [T],
    stride: usize,
    keys: usize,
    /// Rows of V that come close meanwhile.
    v: &'a [T],
    v_stride: usize,
    width: usize,
    /// Rows of `BLOCK` scores.
    scores: &'a mut [T],
}

impl<T: Numeric, const R: usize> Work<T> for Scores<'_, T, R> {
    type Output = ();

    #[inline(always)]
    fn run<L: Wide<T>>(mut self, l: L) {
        for j in (0..self.keys).step_by(T::LANES) {
            self.bring_close(l, j);
            if j + T::LANES <= self.keys { self.group::<L, true>(l, j) } else { self.group::<L, false>(l, j) }
        }
    }
}

impl<T: Numeric, const R: usize> Scores<'_, T, R> {
    /// The next keys, and the values of these.
    #[inline(always)]
    fn bring_close<L: Wide<T>>(&self, l: L, j: usize) {
        for i in 0..T::LANES {
            for element in (0..self.depth).step_by(T::LANES) {
                l.prefetch(self.k, (j + T::LANES + i) * self.stride + element);
            }
            for element in (0..self.width).step_by(T::LANES) {
                l.prefetch(self.v, (j + i) * self.v_stride + element);
            }
        }
    }

    /// The scores of the keys from `j` in the lanes of a vector, which are all there if `ALL`.
    #[inline(always)]
    fn group<L: Wide<T>, const ALL: bool>(&mut self, l: L, j: usize) {
        let zero = l.splat(T::default());
        let mut totals = [zero; R];
        let alpha = l.splat(self.alpha);
        for chunk in (0..self.depth).step_by(CHUNK) {
            let mut sums = [zero; R];
            for first in (chunk..self.depth.min(chunk + CHUNK)).step_by(T::LANES) {
                let deep = T::LANES.min(self.depth - first);
                let square = l.transpose(T::lanes(|i| {
                    if !ALL && j + i >= self.keys {
                        return zero;
                    }
                    let row = &self.k[(j + i) * self.stride + first..];
                    if deep == T::LANES {
                        l.load(T::first(row).expect("a whole vector"))
                    } else {
                        l.load_first(&row[..deep])
                    }
                }));
                // Behind the last element, queries hold zeros; nothing is added there, which would make a sum +0.
                if deep == T::LANES {
                    self.add(l, &mut sums, square.as_ref(), first);
                } else {
                    self.add(l, &mut sums, &square.as_ref()[..deep], first);
                }
            }
            for (total, sum) in totals.iter_mut().zip(sums) {
                *total = l.fma(alpha, sum, *total);
            }
        }
        for (row, total) in totals.into_iter().enumerate() {
            let to = T::first_mut(&mut self.scores[row * BLOCK + j..]).expect("a block is whole vectors");
            l.store(total, to);
        }
    }

    /// Products with elements from `first` on.
    #[inline(always)]
    fn add<L: Wide<T>>(&self, l: L, sums: &mut [L::F; R], columns: &[L::F], first: usize) {
        for (element, &column) in columns.iter().enumerate() {
            for (row, sum) in sums.iter_mut().enumerate() {
                *sum = l.fma(l.splat(self.q[row * self.line + first + element]), column, *sum);
            }
        }
    }
}

/// Makes powers of rows of scores, and multiplies the sums so far.
struct SoftenRows<'a, T> {
    scores: &'a mut [T],
    keys: usize,
    largest: &'a mut [T],
    powers: &'a mut [T],
    sums: &'a mut [T],
    width: usize,
    rows: usize,
}

impl<T: Numeric> Calculation<T> for SoftenRows<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<N: Beside<T>>(self, n: N) {
        let whole = self.keys.next_multiple_of(N::WIDTH);
        for row in 0..self.rows {
            let scores = &mut self.scores[row * BLOCK..][..whole];
            scores[self.keys..].fill(lowest());
            let before = self.largest[row];
            let largest = scores.iter().fold(before, |largest, &score| if score > largest { score } else { largest });
            let base = if largest == lowest() { T::default() } else { largest };
            let of_all = n.constant(base.to_f64());
            for scores in scores.chunks_exact_mut(N::WIDTH) {
                n.store(n.exp2_below_0(n.sub(n.load(scores), of_all)), scores);
            }
            let powers = scores[..self.keys].iter().fold(T::default(), |sum, &p| sum + p);
            let single = T::single();
            let correction = single.exp2_below_0(single.sub(before, base));
            self.largest[row] = largest;
            self.powers[row] = self.powers[row] * correction + powers;
            if correction != T::from_f64(1.0) && !fault!("attention.few-not-corrected") {
                self.sums[row * self.width..][..self.width].iter_mut().for_each(|sum| *sum = *sum * correction);
            }
        }
    }
}

impl<X: Stream> Task<'_, X>
where
    X::T: Numeric,
{
    /// All of it, of at most [`ROWS`] rows.
    pub fn compute_few<L: Wide<X::T>>(&self, lanes: L, scratch: &mut [X::T]) {
        let (o, p, rows) = (self.o, self.o.p, self.rows.len());
        let [q, scores, sums, largest, powers] = cut(scratch, self::scratch::<X::T>(p));
        for (row, to) in self.rows.clone().zip(q.chunks_exact_mut(line::<X::T>(p.depth))) {
            let (head, query) = self.of_row(row);
            to[..p.depth].copy_from_slice(&o.q[o.sight.rows_of_q(self.b, head).row(query)..][..p.depth]);
        }
        largest.fill(lowest());
        powers.fill(X::T::default());
        let sums = &mut sums[..rows * p.width];
        sums.fill(X::T::default());
        let limit = |row: usize| o.sight.limit(self.b, self.of_row(row).1);
        let end = self.rows.clone().map(limit).max().unwrap_or(0);
        let (k, v) = (o.sight.rows_of_k(self.b, self.h), o.sight.rows_of_v(self.b, self.h));
        for first in (0..end).step_by(BLOCK) {
            let keys = BLOCK.min(end - first);
            let seen = first..first + keys;
            self.score_few(lanes, (&*q, &mut *scores), (k, v), seen.clone());
            let partly = self.exclude(scores, seen);
            let work = SoftenRows {
                scores: &mut *scores,
                keys,
                largest: &mut *largest,
                powers: &mut *powers,
                sums: &mut *sums,
                width: p.width,
                rows,
            };
            X::T::calculate(self.isa, work).expect(CHECKED);
            let v_rows = &o.v[v.row(first).min(o.v.len())..];
            if partly && !all_finite(v_rows, v.stride, keys, p.width) {
                self.add_seen(scores, sums, v_rows, v.stride, first..first + keys);
            } else {
                self.add_few(scores, sums, v_rows, v.stride, keys);
            }
        }
        let work = Finish { largest, powers: &mut *powers, sums: &mut *sums, width: p.width, logarithms: p.logarithms };
        X::T::calculate(self.isa, work).expect(CHECKED);
        self.write(sums, powers);
    }

    fn score_few<L: Wide<X::T>>(
        &self,
        lanes: L,
        (q, scores): (&[X::T], &mut [X::T]),
        (k, v): (Rows, Rows),
        keys: Range<usize>,
    ) {
        let (o, p) = (self.o, self.o.p);
        macro_rules! by_rows {
            ($($rows:literal)*) => {
                match self.rows.len() {
                    $($rows => lanes.enter(Scores::<X::T, $rows> {
                        q,
                        line: line::<X::T>(p.depth),
                        depth: p.depth,
                        alpha: o.sight.alpha(),
                        k: &o.k[k.row(keys.start)..],
                        stride: k.stride,
                        keys: keys.len(),
                        v: &o.v[v.row(keys.start).min(o.v.len())..],
                        v_stride: v.stride,
                        width: p.width,
                        scores,
                    }),)*
                    _ => unreachable!("few rows"),
                }
            };
        }
        by_rows!(1 2 3 4 5 6 7 8);
    }

    /// Masks the scores of a block. Whether there is anything that some row does not see.
    fn exclude(&self, scores: &mut [X::T], keys: Range<usize>) -> bool {
        let o = self.o;
        let mut partly = !matches!(o.sight.mask, Given::None);
        for (row, scores) in self.rows.clone().zip(scores.chunks_exact_mut(BLOCK)) {
            let query = self.of_row(row).1;
            if let Given::Added(added) = o.sight.mask {
                let factor = X::T::from_f64(std::f64::consts::LOG2_E);
                let of_query = &added[query * o.p.keys..][keys.clone()];
                scores
                    .iter_mut()
                    .zip(of_query)
                    .for_each(|(score, &added)| *score = crate::gemm::Float::mul_add(added, factor, *score));
            }
            if partly {
                let hidden = keys.clone().zip(&mut *scores).filter(|(key, _)| !o.sight.mask_lets(query, *key));
                hidden.for_each(|(_, score)| *score = lowest());
            }
            let sees = o.sight.limit(self.b, query).saturating_sub(keys.start).min(keys.len());
            scores[sees..keys.len()].fill(lowest());
            partly |= sees < keys.len();
        }
        partly
    }

    /// The products of powers with v, to the sums.
    fn add_few(&self, scores: &[X::T], sums: &mut [X::T], v: &[X::T], stride: usize, keys: usize) {
        let (rows, width) = (self.rows.len(), self.o.p.width);
        let out = Disjoint::new(sums);
        let fold = fold(X::T::from_f64(1.0), true, 1.0);
        for j in (0..width).step_by(X::NR) {
            for r in (0..rows).step_by(X::MR) {
                let factors = Factors {
                    a: &scores[r * BLOCK..],
                    a_row: BLOCK,
                    a_step: 1,
                    b: &v[j..],
                    b_step: stride,
                    k: keys,
                    ahead: Ahead::none(v),
                };
                // SAFETY: the sums are borrowed for this loop alone.
                let mut block = unsafe { Block::new(&out, r * width + j, width) };
                self.tile.run(factors, X::MR.min(rows - r), X::NR.min(width - j), &mut block, &fold);
            }
        }
    }

    /// The same one by one, of the keys that rows see.
    fn add_seen(&self, scores: &[X::T], sums: &mut [X::T], v: &[X::T], stride: usize, keys: Range<usize>) {
        let (o, one, width) = (self.o, X::T::from_f64(1.0), self.o.p.width);
        for ((row, sums), powers) in self.rows.clone().zip(sums.chunks_exact_mut(width)).zip(scores.chunks_exact(BLOCK))
        {
            let query = self.of_row(row).1;
            let sees = |key: usize| key < o.sight.limit(self.b, query) && o.sight.mask_lets(query, key);
            for (column, sum) in sums.iter_mut().enumerate() {
                let seen = keys.clone().zip(powers).enumerate().filter(|(_, (key, _))| sees(*key));
                let of_block = seen.fold(X::T::default(), |sum, (j, (_, &p))| {
                    crate::gemm::Float::mul_add(p, v[j * stride + column], sum)
                });
                *sum = crate::gemm::Float::mul_add(one, of_block, *sum);
            }
        }
    }
}

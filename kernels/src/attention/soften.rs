//! From scores to powers: a panel, keys × queries.

use etalon_reference::dtype::Flag;
use etalon_reference::ops::attention::BLOCK;

use super::operands::{Given, Sight};
use crate::faults::fault;
use crate::math::{Beside, Calculation, Numeric, reciprocal};

/// The rows of queries of a panel. Each is a query of a head.
pub struct Panel<'a, T> {
    /// Scores, then powers: keys × columns.
    pub scores: &'a mut [T],
    /// Columns of a line of them.
    pub line: usize,
    /// Columns that are computed: those of the rows, and some behind them.
    pub columns: usize,
    /// Keys.
    pub keys: usize,
    /// Of each row, the largest score so far.
    pub largest: &'a mut [T],
    /// The sum of powers so far.
    pub powers: &'a mut [T],
    /// What sums so far are multiplied with.
    pub corrections: &'a mut [T],
    /// The sums over v so far, rows × width.
    pub sums: &'a mut [T],
    /// Elements of a row of them.
    pub width: usize,
}

/// What rows of a panel do not see of a block.
pub struct Unseen<'a, T> {
    pub sight: &'a Sight<'a, T>,
    /// The query of each row.
    pub queries: &'a [usize],
    /// The first key of the block.
    pub first: usize,
    /// Keys of the block before each row's limit.
    pub limits: &'a [T],
}

/// Masks scores, keys × columns, of so many keys in lines of so many elements.
pub struct Exclude<'a, T> {
    pub scores: &'a mut [T],
    pub line: usize,
    pub keys: usize,
    pub unseen: &'a Unseen<'a, T>,
}

impl<T: Numeric> Calculation<T> for Exclude<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<N: Beside<T>>(self, _: N) {
        let Exclude { scores, line, keys, unseen } = self;
        match unseen.sight.mask {
            Given::None => {}
            Given::Flags(flags) => {
                let masked = |flag: Flag, score| if flag.0 == 0 { lowest() } else { score };
                unseen.each_of(scores, (line, keys), flags, masked);
            }
            Given::Added(added) => {
                let factor = if fault!("attention.mask-of-base-2") { 1.0 } else { std::f64::consts::LOG2_E };
                let factor = T::from_f64(factor);
                unseen.each_of(scores, (line, keys), added, |added, score| {
                    if added == lowest() { added } else { added.mul_add(factor, score) }
                });
            }
        }
        if unseen.limits.iter().all(|&limit| limit >= T::from_f64(keys as f64)) {
            return;
        }
        for (j, line) in scores.chunks_exact_mut(line).take(keys).enumerate() {
            let j = T::from_f64(j as f64);
            for (score, &limit) in line.iter_mut().zip(unseen.limits) {
                *score = if j < limit { *score } else { lowest() };
            }
        }
    }
}

/// The score of what is not seen.
pub fn lowest<T: Numeric>() -> T {
    T::from_f64(f64::NEG_INFINITY)
}

impl<T: Numeric> Unseen<'_, T> {
    /// Replaces each score by a function of the mask's element and of itself.
    #[inline(always)]
    fn each_of<M: Copy>(&self, scores: &mut [T], (line, keys): (usize, usize), mask: &[M], masked: impl Fn(M, T) -> T) {
        for (column, &query) in self.queries.iter().enumerate() {
            let of_query = &mask[query * self.sight.p.keys + self.first..][..keys];
            for (line, &mask) in scores.chunks_exact_mut(line).zip(of_query) {
                line[column] = masked(mask, line[column]);
            }
        }
    }
}

/// Makes powers of a panel's scores, and multiplies the sums so far.
pub struct Soften<'a, 'b, T>(pub &'a mut Panel<'b, T>);

impl<T: Numeric> Calculation<T> for Soften<'_, '_, T> {
    type Output = ();

    #[inline(always)]
    fn run<N: Beside<T>>(self, n: N) {
        let panel = self.0;
        let mut column = 0;
        // Two vectors side by side hide the latency of one.
        while column + 2 * N::WIDTH <= panel.columns {
            soften::<T, N, 2>(n, panel, column);
            column += 2 * N::WIDTH;
        }
        while column < panel.columns {
            soften::<T, N, 1>(n, panel, column);
            column += N::WIDTH;
        }
        let one = T::from_f64(1.0);
        let rows = panel.sums.chunks_exact_mut(panel.width.max(1)).zip(&*panel.corrections);
        for (row, &correction) in rows {
            if correction != one && !fault!("attention.sums-not-corrected") {
                row.iter_mut().for_each(|sum| *sum = *sum * correction);
            }
        }
    }
}

/// `C` vectors of columns.
#[inline(always)]
fn soften<T: Numeric, N: Beside<T>, const C: usize>(n: N, panel: &mut Panel<'_, T>, column: usize) {
    let at = |vector: usize| column + vector * N::WIDTH;
    let lowest = n.constant(f64::NEG_INFINITY);
    let mut largest = [lowest; C];
    for (vector, largest) in largest.iter_mut().enumerate() {
        *largest = n.load(&panel.largest[at(vector)..]);
    }
    let before = largest;
    for line in panel.scores.chunks_exact(panel.line).take(panel.keys) {
        for (vector, largest) in largest.iter_mut().enumerate() {
            *largest = n.max(n.load(&line[at(vector)..]), *largest);
        }
    }
    let zero = n.constant(0.0);
    let mut base = largest;
    for base in &mut base {
        *base = n.where_less(lowest, *base, *base, zero);
    }
    let mut powers = [zero; C];
    for line in panel.scores.chunks_exact_mut(panel.line).take(panel.keys) {
        for (vector, powers) in powers.iter_mut().enumerate() {
            let scores = &mut line[at(vector)..];
            let p = n.exp2_below_0(n.sub(n.load(scores), base[vector]));
            n.store(p, scores);
            *powers = n.add(*powers, p);
        }
    }
    for vector in 0..C {
        let correction = n.exp2_below_0(n.sub(before[vector], base[vector]));
        n.store(correction, &mut panel.corrections[at(vector)..]);
        n.store(largest[vector], &mut panel.largest[at(vector)..]);
        let so_far = n.mul(n.load(&panel.powers[at(vector)..]), correction);
        n.store(n.add(so_far, powers[vector]), &mut panel.powers[at(vector)..]);
    }
}

/// Multiplies sums with the reciprocals of the sums of powers, and makes the logarithms of what `powers` holds.
pub struct Finish<'a, T> {
    pub largest: &'a [T],
    pub powers: &'a mut [T],
    pub sums: &'a mut [T],
    pub width: usize,
    /// Whether logarithms are wanted.
    pub logarithms: bool,
}

impl<T: Numeric> Calculation<T> for Finish<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<N: Beside<T>>(self, n: N) {
        let (width, zero) = (self.width.max(1), T::default());
        for (row, &sum) in self.sums.chunks_exact_mut(width).zip(&*self.powers) {
            if sum == zero && !fault!("attention.nothing-over-nothing") {
                row.fill(zero);
            } else {
                let inverse = reciprocal(sum);
                row.iter_mut().for_each(|x| *x = *x * inverse);
            }
        }
        if self.logarithms {
            let vectors = self.powers.chunks_exact_mut(N::WIDTH).zip(self.largest.chunks_exact(N::WIDTH));
            for (powers, largest) in vectors {
                let of_sums = n.log(n.load(powers));
                n.store(n.fma(n.load(largest), n.constant(std::f64::consts::LN_2), of_sums), powers);
            }
        }
    }
}

/// Adds products of powers with v one by one, of the keys that rows see, to the sums so far.
pub fn add_seen<T: Numeric>(panel: &mut Panel<'_, T>, unseen: &Unseen<'_, T>, v: &[T], stride: usize) {
    let one = T::from_f64(1.0);
    assert!(panel.keys <= BLOCK, "a block");
    for (row, &query) in unseen.queries.iter().enumerate() {
        let limit = unseen.limits[row];
        for (column, sum) in panel.sums[row * panel.width..][..panel.width].iter_mut().enumerate() {
            let mut of_block = T::default();
            for j in 0..panel.keys {
                let sees = T::from_f64(j as f64) < limit && unseen.sight.mask_lets(query, unseen.first + j);
                if sees || fault!("attention.leaks") {
                    of_block = panel.scores[j * panel.line + row].mul_add(v[j * stride + column], of_block);
                }
            }
            *sum = one.mul_add(of_block, *sum);
        }
    }
}

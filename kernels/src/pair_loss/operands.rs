//! The operands of a function of pairs, and how a run of their elements is walked over.

use etalon_reference::ops::pair_loss::PairLoss;

use super::functions::Function;
use crate::faults::fault;
use crate::math::{Beside, Numeric};

/// Elements of a task that writes one for each.
pub const TASK: usize = 16 * 1024;
/// Vectors side by side.
const SIDE: usize = 2;

/// x, t, and weights of the columns, which may be absent.
pub struct Operands<'a, T> {
    p: &'a PairLoss,
    x: &'a [T],
    t: &'a [T],
    weights: &'a [T],
}

impl<T> Clone for Operands<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Operands<'_, T> {}

/// Elements side by side, the first of them at the place `first`, whose columns have these weights, if any.
pub struct Piece<'a, T> {
    /// Counted from the start of the run.
    pub first: usize,
    x: &'a [T],
    t: &'a [T],
    weights: &'a [T],
}

impl<T: Numeric> Piece<'_, T> {
    /// Elements.
    pub fn len(&self) -> usize {
        self.x.len()
    }

    /// x, t and the parameter of the elements from `at` on; `parameter` is that of columns without weights.
    #[inline(always)]
    pub fn vectors<N: Beside<T>>(&self, n: N, at: usize, parameter: N::V) -> [N::V; 3] {
        let parameter = if self.weights.is_empty() { parameter } else { n.load_at(self.weights, at) };
        [n.load_at(self.x, at), n.load_at(self.t, at), parameter]
    }
}

/// The pieces of a run of elements, in order: parts of rows where columns have weights.
struct Pieces<'a, T> {
    operands: Operands<'a, T>,
    start: usize,
    at: usize,
    end: usize,
}

impl<'a, T: Numeric> Iterator for Pieces<'a, T> {
    type Item = Piece<'a, T>;

    #[inline(always)]
    fn next(&mut self) -> Option<Piece<'a, T>> {
        let Pieces { operands: Operands { p, x, t, weights }, start, at, end } = *self;
        if at >= end {
            return None;
        }
        let (end, weights) = if weights.is_empty() {
            (end, weights)
        } else {
            let columns = p.columns;
            let column = if fault!("pair_loss.column-of-second-row") && at >= columns { 0 } else { at % columns };
            let end = (at - at % columns + columns).min(end);
            (end, &weights[column..column + end - at])
        };
        self.at = end;
        Some(Piece { first: at - start, x: &x[at..end], t: &t[at..end], weights })
    }
}

impl<'a, T: Numeric> Operands<'a, T> {
    /// Those of a problem. Where a function has no t, x stands for it.
    pub fn new(p: &'a PairLoss, x: &'a [T], t: &'a [T], weights: &'a [T]) -> Operands<'a, T> {
        Operands { p, x, t: if p.function.t.is_some() { t } else { x }, weights }
    }

    /// Elements.
    pub fn len(&self) -> usize {
        self.x.len()
    }

    /// The parameter of columns without weights.
    pub fn parameter(&self) -> f64 {
        self.p.parameter()
    }

    /// The pieces of a run of elements.
    #[inline(always)]
    pub fn pieces(self, start: usize, len: usize) -> impl Iterator<Item = Piece<'a, T>> {
        Pieces { operands: self, start, at: start, end: start + len }
    }

    /// The sum of losses over a run of elements.
    #[inline(always)]
    pub fn sum<F: Function, N: Beside<T>>(&self, n: N, start: usize, len: usize) -> T {
        let block = SIDE * N::WIDTH;
        let parameter = n.constant(self.parameter());
        let mut sums = [n.constant(0.0); SIDE];
        for piece in self.pieces(start, len) {
            let Piece { x, t, weights, .. } = piece;
            let blocks = x.chunks_exact(block).zip(t.chunks_exact(block)).enumerate();
            for (index, (x, t)) in blocks {
                for (vector, sum) in sums.iter_mut().enumerate() {
                    let at = vector * N::WIDTH;
                    let parameter = if weights.is_empty() { parameter } else { n.load(&weights[index * block + at..]) };
                    *sum = n.add(*sum, F::loss(n, n.load(&x[at..]), n.load(&t[at..]), parameter));
                }
            }
            for at in (x.len() / block * block..x.len()).step_by(N::WIDTH) {
                let [x, t, parameter] = piece.vectors(n, at, parameter);
                let (value, left) = (F::loss(n, x, t, parameter), piece.len() - at);
                let whole = left >= N::WIDTH || fault!("pair_loss.rest");
                sums[0] = n.add(sums[0], if whole { value } else { n.first(value, left) });
            }
        }
        n.sum(n.add(sums[0], sums[1]))
    }
}

//! The operands of a function of pairs, and how a run of their elements is walked over.

use etalon_reference::ops::pair_loss::PairLoss;

use crate::faults::fault;
use crate::math::{Beside, Numeric};
use crate::softmax::lines::load;

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

/// Elements side by side whose columns have these weights, if any.
struct Piece<'a, T> {
    x: &'a [T],
    t: &'a [T],
    weights: &'a [T],
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

    /// The pieces of a run of elements, in order: parts of rows where columns have weights.
    #[inline(always)]
    fn pieces(&self, start: usize, len: usize, mut piece: impl FnMut(usize, Piece<'a, T>)) {
        if self.weights.is_empty() {
            return piece(0, Piece { x: &self.x[start..start + len], t: &self.t[start..start + len], weights: &[] });
        }
        let (columns, mut at) = (self.p.columns, start);
        while at < start + len {
            let column = if fault!("pair_loss.column-of-second-row") && at >= columns { 0 } else { at % columns };
            let end = (at - at % columns + columns).min(start + len);
            let weights = &self.weights[column..column + end - at];
            piece(at - start, Piece { x: &self.x[at..end], t: &self.t[at..end], weights });
            at = end;
        }
    }

    /// Calls `each(place, x, t, parameter)` for the vectors of a run of elements, the places counted from its start.
    #[inline(always)]
    pub fn walk<N: Beside<T>>(
        &self,
        n: N,
        start: usize,
        len: usize,
        mut each: impl FnMut(std::ops::Range<usize>, N::V, N::V, N::V),
    ) {
        let parameter = n.constant(self.p.parameter());
        self.pieces(start, len, |first, Piece { x, t, weights }| {
            for at in (0..x.len()).step_by(N::WIDTH) {
                let parameter = if weights.is_empty() { parameter } else { load(n, weights, at) };
                let end = x.len().min(at + N::WIDTH);
                each(first + at..first + end, load(n, x, at), load(n, t, at), parameter);
            }
        });
    }

    /// The sum of `of(x, t, parameter)` over a run of elements.
    #[inline(always)]
    pub fn sum<N: Beside<T>>(&self, n: N, start: usize, len: usize, of: impl Fn(N::V, N::V, N::V) -> N::V) -> T {
        let block = SIDE * N::WIDTH;
        let parameter = n.constant(self.p.parameter());
        let mut sums = [n.constant(0.0); SIDE];
        self.pieces(start, len, |_, Piece { x, t, weights }| {
            let blocks = x.chunks_exact(block).zip(t.chunks_exact(block)).enumerate();
            for (index, (x, t)) in blocks {
                for (vector, sum) in sums.iter_mut().enumerate() {
                    let at = vector * N::WIDTH;
                    let parameter = if weights.is_empty() { parameter } else { n.load(&weights[index * block + at..]) };
                    *sum = n.add(*sum, of(n.load(&x[at..]), n.load(&t[at..]), parameter));
                }
            }
            for at in (x.len() / block * block..x.len()).step_by(N::WIDTH) {
                let parameter = if weights.is_empty() { parameter } else { load(n, weights, at) };
                let (value, left) = (of(load(n, x, at), load(n, t, at), parameter), x.len() - at);
                let whole = left >= N::WIDTH || fault!("pair_loss.rest");
                sums[0] = n.add(sums[0], if whole { value } else { n.first(value, left) });
            }
        });
        n.sum(n.add(sums[0], sums[1]))
    }
}

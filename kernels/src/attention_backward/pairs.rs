//! What becomes of scores and products of pairs: powers, and the gradients of scores.

use crate::faults::fault;
use crate::math::{Beside, Calculation, Numbers, Numeric};

/// p and t of a pair, of its score and its product, both to be changed, the row's base and δ.
#[inline(always)]
pub fn pair<N: Numbers>(n: N, score: N::V, product: N::V, base: N::V, delta: N::V) -> (N::V, N::V) {
    let (zero, lowest) = (n.constant(0.0), n.constant(f64::NEG_INFINITY));
    let exponent = n.sub(score, base);
    // No power is above 1: what is above 0 was rounded.
    let power = n.exp2_below_0(n.where_less(zero, exponent, zero, exponent));
    // What is not seen, −∞, has no power, whatever the base is; NaN stays.
    let unseen = n.max(zero, score);
    let p = n.where_less(lowest, score, power, unseen);
    let t = n.mul(p, n.sub(product, delta));
    // 0 times what is not seen may be NaN.
    let t = if fault!("attention_backward.nan-of-unseen") { t } else { n.where_less(lowest, score, t, unseen) };
    (p, t)
}

/// Pairs of keys, as lines, and rows, as columns.
pub struct Pairs<'a, T> {
    /// Scores, then p.
    pub scores: &'a mut [T],
    /// Products, then t.
    pub products: &'a mut [T],
    /// Elements of a line.
    pub line: usize,
    pub keys: usize,
    /// The first column, and the one behind the last: whole vectors.
    pub columns: (usize, usize),
    /// Of each column.
    pub bases: &'a [T],
    pub deltas: &'a [T],
}

impl<T: Numeric> Calculation<T> for Pairs<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<N: Beside<T>>(self, n: N) {
        let Pairs { scores, products, line, keys, columns, bases, deltas } = self;
        for column in (columns.0..columns.1).step_by(N::WIDTH) {
            let (base, delta) = (n.load(&bases[column..]), n.load(&deltas[column..]));
            let lines = scores.chunks_exact_mut(line).zip(products.chunks_exact_mut(line));
            for (scores, products) in lines.take(keys) {
                let (scores, products) = (&mut scores[column..], &mut products[column..]);
                let (p, t) = pair(n, n.load(scores), n.load(products), base, delta);
                n.store(p, scores);
                n.store(t, products);
            }
        }
    }
}

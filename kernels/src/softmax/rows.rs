//! Lines that lie in one piece each.

use etalon_reference::ops::softmax::{Of, Softmax};

use crate::faults::fault;
use crate::isa::wide::LANES;
use crate::math::{Beside, Calculation, Numeric, reciprocal};

/// Some lines.
pub struct Rows<'a, T> {
    pub p: &'a Softmax,
    pub x: &'a [T],
    pub y: &'a mut [T],
}

impl<T: Numeric> Calculation<T> for Rows<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<N: Beside<T>>(self, n: N) {
        let Rows { p, x, y } = self;
        let c = p.extents.c.max(1);
        for (x, y) in x.chunks_exact(c).zip(y.chunks_exact_mut(c)) {
            row(n, p, x, y);
        }
    }
}

/// Vectors side by side while the largest element is sought.
const SIDE: usize = 4;

/// The largest element; NaN does not count.
#[inline(always)]
pub fn largest<T: Numeric, N: Beside<T>>(n: N, x: &[T]) -> T {
    let lowest = T::from_f64(f64::NEG_INFINITY);
    let mut best = [n.splat(lowest); SIDE];
    let blocks = x.chunks_exact(SIDE * N::WIDTH);
    let rest = blocks.remainder();
    for block in blocks {
        for (vector, best) in best.iter_mut().enumerate() {
            *best = n.max(n.load(&block[vector * N::WIDTH..]), *best);
        }
    }
    let [a, b, c, d] = best;
    let mut lanes = [lowest; LANES];
    n.store(n.max(n.max(a, b), n.max(c, d)), &mut lanes);
    lanes[..N::WIDTH].iter().chain(rest).fold(lowest, |best, &x| if x > best { x } else { best })
}

#[inline(always)]
fn row<T: Numeric, N: Beside<T>>(n: N, p: &Softmax, x: &[T], y: &mut [T]) {
    let largest = n.splat(largest(n, x));
    let inverse = n.constant(p.inverse);
    let exponent = |x: N::V| n.mul(n.sub(x, largest), inverse);
    let whole = x.len() / N::WIDTH * N::WIDTH;
    let ((x, x_rest), (y, y_rest)) = (x.split_at(whole), y.split_at_mut(whole));
    let keeps = p.of == Of::Softmax;
    let mut sum = n.constant(0.0);
    for (x, y) in x.chunks_exact(N::WIDTH).zip(y.chunks_exact_mut(N::WIDTH)) {
        let power = n.exp(exponent(n.load(x)));
        sum = n.add(sum, power);
        if keeps {
            n.store(power, y);
        }
    }
    if !x_rest.is_empty() {
        let power = n.first(n.exp(exponent(n.load_first(x_rest))), x_rest.len());
        if !fault!("softmax.rest-not-added") {
            sum = n.add(sum, power);
        }
        if keeps {
            n.store_first(power, y_rest);
        }
    }
    let sum = n.sum(sum);
    if keeps {
        let inverse = n.splat(reciprocal(sum));
        for y in y.chunks_exact_mut(N::WIDTH) {
            n.store(n.mul(n.load(y), inverse), y);
        }
        n.store_first(n.mul(n.load_first(y_rest), inverse), y_rest);
    } else {
        let logarithm = n.log(n.splat(sum));
        for (x, y) in x.chunks_exact(N::WIDTH).zip(y.chunks_exact_mut(N::WIDTH)) {
            n.store(n.sub(exponent(n.load(x)), logarithm), y);
        }
        n.store_first(n.sub(exponent(n.load_first(x_rest)), logarithm), y_rest);
    }
}

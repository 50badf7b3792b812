//! Lines that lie side by side: each is a lane.

use etalon_reference::ops::softmax::{Of, Softmax};

use crate::faults::fault;
use crate::math::{Beside, Calculation, Numeric};

/// Some planes c×s, of so many elements.
pub struct Planes<'a, T> {
    pub p: &'a Softmax,
    pub x: &'a [T],
    pub y: &'a mut [T],
    pub plane: usize,
}

/// Vectors side by side.
const SIDE: usize = 4;

impl<T: Numeric> Calculation<T> for Planes<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<N: Beside<T>>(self, n: N) {
        let Planes { p, x, y, plane } = self;
        let s = p.extents.s;
        for (x, y) in x.chunks_exact(plane).zip(y.chunks_exact_mut(plane)) {
            let mut column = 0;
            while column + SIDE * N::WIDTH <= s {
                columns::<T, N, SIDE>(n, p, x, y, column);
                column += SIDE * N::WIDTH;
            }
            while column < s {
                columns::<T, N, 1>(n, p, x, y, column);
                column += N::WIDTH;
            }
        }
    }
}

/// `C` vectors of columns.
#[inline(always)]
fn columns<T: Numeric, N: Beside<T>, const C: usize>(n: N, p: &Softmax, x: &[T], y: &mut [T], column: usize) {
    let s = p.extents.s;
    let at = |vector: usize| column + vector * N::WIDTH;
    let mut largest = [n.constant(f64::NEG_INFINITY); C];
    for line in x.chunks_exact(s) {
        for (vector, largest) in largest.iter_mut().enumerate() {
            *largest = n.max(n.load_at(line, at(vector)), *largest);
        }
    }
    let inverse = n.constant(p.inverse);
    let exponent = |x: N::V, vector: usize| n.mul(n.sub(x, largest[vector]), inverse);
    let keeps = p.of == Of::Softmax;
    let mut sums = [n.constant(0.0); C];
    for (line, to) in x.chunks_exact(s).zip(y.chunks_exact_mut(s)) {
        for (vector, sum) in sums.iter_mut().enumerate() {
            let power = n.exp(exponent(n.load_at(line, at(vector)), vector));
            *sum = n.add(*sum, power);
            if keeps {
                n.store_at(power, to, at(vector));
            }
        }
    }
    if keeps {
        let mut inverses = sums;
        for (inverse, sum) in inverses.iter_mut().zip(sums) {
            *inverse = n.div(n.constant(1.0), sum);
        }
        for to in y.chunks_exact_mut(s) {
            for (vector, &inverse) in inverses.iter().enumerate() {
                let other = if fault!("softmax.second-vector") { inverses[0] } else { inverse };
                n.store_at(n.mul(n.load_at(to, at(vector)), other), to, at(vector));
            }
        }
    } else {
        let mut logarithms = sums;
        for (logarithm, sum) in logarithms.iter_mut().zip(sums) {
            *logarithm = n.log(sum);
        }
        for (line, to) in x.chunks_exact(s).zip(y.chunks_exact_mut(s)) {
            for (vector, &logarithm) in logarithms.iter().enumerate() {
                let z = exponent(n.load_at(line, at(vector)), vector);
                n.store_at(n.sub(z, logarithm), to, at(vector));
            }
        }
    }
}

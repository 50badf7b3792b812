//! Rows, each in one piece.

use etalon_reference::ops::layer_norm::{EPSILON, LayerNorm, Of};

use crate::faults::fault;
use crate::math::{Beside, Calculation, Numeric};

/// Vectors side by side in sums.
const SIDE: usize = 4;

/// Some rows.
pub struct Rows<'a, T> {
    pub p: &'a LayerNorm,
    pub x: &'a [T],
    pub gain: &'a [T],
    pub bias: &'a [T],
    pub y: &'a mut [T],
    /// Of each row, its mean and its factor.
    pub moments: &'a mut [T],
}

impl<T: Numeric> Calculation<T> for Rows<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<N: Beside<T>>(self, n: N) {
        let Rows { p, x, gain, bias, y, moments } = self;
        let rows = x.chunks_exact(p.columns).zip(y.chunks_exact_mut(p.columns)).zip(moments.chunks_exact_mut(2));
        for ((x, y), moments) in rows {
            let (mean, factor) = self::moments(n, p, x);
            (moments[0], moments[1]) = (mean, factor);
            scale(n, x, (gain, bias), (n.splat(mean), n.splat(factor)), y);
        }
    }
}

/// What is summed over a row. A closure would not do: one that is called in two places may become a function of its own,
/// which lacks the level's instructions.
pub trait Summed<T, N: Beside<T>> {
    /// `sum` with the vector at a column, of so many elements.
    fn add(&self, n: N, sum: N::V, at: usize, len: usize) -> N::V;
}

/// The elements themselves.
struct Elements<'a, T>(&'a [T]);

impl<T: Numeric, N: Beside<T>> Summed<T, N> for Elements<'_, T> {
    #[inline(always)]
    fn add(&self, n: N, sum: N::V, at: usize, _: usize) -> N::V {
        n.add(sum, n.load_at(self.0, at))
    }
}

/// Their squared differences from a centre.
struct Squares<'a, T, V>(&'a [T], V);

impl<T: Numeric, N: Beside<T>> Summed<T, N> for Squares<'_, T, N::V> {
    #[inline(always)]
    fn add(&self, n: N, sum: N::V, at: usize, len: usize) -> N::V {
        let d = n.sub(n.load_at(self.0, at), self.1);
        let d = if len == N::WIDTH || fault!("layer_norm.rest-of-squares") { d } else { n.first(d, len) };
        n.fma(d, d, sum)
    }
}

/// The sum over a row.
#[inline(always)]
pub fn sum<T: Numeric, N: Beside<T>>(n: N, columns: usize, of: &impl Summed<T, N>) -> T {
    let mut sums = [n.constant(0.0); SIDE];
    let mut at = 0;
    while at + SIDE * N::WIDTH <= columns {
        for (vector, sum) in sums.iter_mut().enumerate() {
            *sum = of.add(n, *sum, at + vector * N::WIDTH, N::WIDTH);
        }
        at += SIDE * N::WIDTH;
    }
    for sum in &mut sums {
        if at < columns {
            *sum = of.add(n, *sum, at, N::WIDTH.min(columns - at));
            at += N::WIDTH;
        }
    }
    n.sum(n.add(n.add(sums[0], sums[1]), n.add(sums[2], sums[3])))
}

/// The mean and the factor of a row.
#[inline(always)]
fn moments<T: Numeric, N: Beside<T>>(n: N, p: &LayerNorm, x: &[T]) -> (T, T) {
    let count = p.columns as f64;
    let mean = match p.of {
        Of::Layer => {
            let whole = sum(n, p.columns, &Elements(x));
            // A quotient of f32 in f64, rounded again, is the nearest f32.
            T::from_f64(whole.to_f64() / count)
        }
        Of::Rms => T::default(),
    };
    let squares = sum(n, p.columns, &Squares(x, n.splat(mean)));
    let variance = T::from_f64(squares.to_f64() / count);
    (mean, T::from_f64(1.0 / (variance.to_f64() + EPSILON).sqrt()))
}

/// `(x − μ)·r·γ + β`.
#[inline(always)]
fn scale<T: Numeric, N: Beside<T>>(
    n: N,
    x: &[T],
    (gain, bias): (&[T], &[T]),
    (mean, factor): (N::V, N::V),
    y: &mut [T],
) {
    for at in (0..x.len()).step_by(N::WIDTH) {
        let mut value = n.mul(n.sub(n.load_at(x, at), mean), factor);
        if !bias.is_empty() {
            value = n.fma(value, n.load_at(gain, at), n.load_at(bias, at));
        } else if !gain.is_empty() && !fault!("layer_norm.gain-alone") {
            value = n.mul(value, n.load_at(gain, at));
        }
        n.store_at(value, y, at);
    }
}

//! Winograd's transformations of one dimension: `Bᵀ·d`, `G·g`, `Aᵀ·m`.

use etalon_reference::ops::winograd::{self, Matrices};

use crate::isa::wide::Wide;

/// The points of F(m).
const fn points(m: usize) -> &'static [f64] {
    match m {
        2 => &winograd::POINTS_2,
        4 => &winograd::POINTS_4,
        _ => &winograd::POINTS_6,
    }
}

/// `Σ factors[i]·x[i]` over every second i from `from`; factors 0 and 1 cost nothing.
#[inline(always)]
fn dot<L: Wide, const N: usize>(l: L, factors: &[f64; N], x: &[L::F; N], from: usize) -> L::F {
    let mut sum = None;
    let mut i = from;
    while i < N {
        let factor = factors[i] as f32;
        if factor != 0.0 {
            sum = Some(match sum {
                None if factor == 1.0 => x[i],
                None => l.mul(x[i], l.splat(factor)),
                Some(sum) if factor == 1.0 => l.add(sum, x[i]),
                Some(sum) => l.fma(x[i], l.splat(factor), sum),
            });
        }
        i += 2;
    }
    sum.unwrap_or(l.splat(0.0))
}

/// Rows that come in pairs share their even and their odd part.
#[inline(always)]
fn by_pairs<L: Wide, const N: usize, const W: usize>(l: L, rows: &[[f64; W]; N], x: [L::F; W]) -> [L::F; N] {
    let mut y = [l.splat(0.0); N];
    let mut j = 1;
    while j + 1 < N - 1 {
        let (even, odd) = (dot(l, &rows[j], &x, 0), dot(l, &rows[j], &x, 1));
        y[j] = l.add(even, odd);
        y[j + 1] = l.sub(even, odd);
        j += 2;
    }
    // 0 has even powers alone, and ∞ odd ones, or the highest.
    y[0] = dot(l, &rows[0], &x, 0);
    y[N - 1] = dot(l, &rows[N - 1], &x, (W - 1) % 2);
    y
}

/// `Bᵀ·d`.
#[inline(always)]
pub fn input<L: Wide, const M: usize, const N: usize>(l: L, d: [L::F; N]) -> [L::F; N] {
    by_pairs(l, const { &Matrices::<M, N>::new(points(M)).bt }, d)
}

/// `G·g`.
#[inline(always)]
pub fn weight<L: Wide, const M: usize, const N: usize>(l: L, g: [L::F; 3]) -> [L::F; N] {
    by_pairs(l, const { &Matrices::<M, N>::new(points(M)).g }, g)
}

/// `Aᵀ·m`.
#[inline(always)]
pub fn output<L: Wide, const M: usize, const N: usize>(l: L, m: [L::F; N]) -> [L::F; M] {
    let at = const { &Matrices::<M, N>::new(points(M)).at };
    let mut y = [l.splat(0.0); M];
    for (i, (y, row)) in y.iter_mut().zip(at).enumerate() {
        let mut sum = (i == 0).then_some(m[0]);
        let mut j = 1;
        while j + 1 < N - 1 {
            let pair = if i % 2 == 0 { l.add(m[j], m[j + 1]) } else { l.sub(m[j], m[j + 1]) };
            let factor = row[j] as f32;
            sum = Some(match sum {
                None if factor == 1.0 => pair,
                None => l.mul(pair, l.splat(factor)),
                Some(sum) if factor == 1.0 => l.add(sum, pair),
                Some(sum) => l.fma(pair, l.splat(factor), sum),
            });
            j += 2;
        }
        *y = match sum {
            Some(sum) if i == M - 1 => l.add(sum, m[N - 1]),
            Some(sum) => sum,
            None => m[N - 1],
        };
    }
    y
}

//! Winograd's minimal filtering F(m×m, 3×3): m² outputs of a 3×3 convolution from (m+2)² products instead of 9m².
//!
//! `Y = Aᵀ·[(G·g·Gᵀ) ⊙ (Bᵀ·d·B)]·A` for each tile d of the input, with matrices made from n − 1 = m + 1 points and ∞
//! (Toom and Cook): `Aᵀ[i][j] = pⱼⁱ`, `G[j] = (1, pⱼ, pⱼ²)/Π(pⱼ − pₗ)`, and row j of Bᵀ has the coefficients of
//! `Π(x − pₗ)` over the other points. The points are 0 and pairs ±p, so that rows of a pair share their even and their odd
//! part. For F(4) the points 0, ±5/8, ±3/2 round less than the usual ±1, ±2 (Barabasz and others, *Error analysis and improving
//! the accuracy of Winograd convolution for deep neural networks*, 2020).
//!
//! **Error.** The algorithm rounds more than a sum of products and mixes neighbours. With t(·) for absolute values,
//! each output is off by at most `γ(s)·t(Aᵀ)[Σ_c (t(G)|g|t(G)ᵀ) ⊙ (t(Bᵀ)|d|t(B))]t(A)`, s = c + 4n + 12:
//!
//! - an input passes two transformations of at most n roundings each: 2n;
//! - a weight passes two with three products and rounded factors: 10;
//! - then the sum over c channels, two transformations of the outputs (2n), scale and bias (2).
//!
//! What underflows is off by η instead: the rounding of a number of η/u, which is added to |g| and |d|, and s·η
//! carried by t(Aᵀ) and t(A). Kernels compute f32 alone and assume finite inputs: a NaN or an infinity spreads over
//! the outputs of its tile.

use ndarray::{Array2, Array4, ArrayD, Ix4};

use super::conv2d::Conv2d;
use crate::{Tolerance, Types, tolerance};

/// Points beside ∞ of F(2): 0, then pairs.
pub const POINTS_2: [f64; 3] = [0.0, 1.0, -1.0];
/// Points beside ∞ of F(4).
pub const POINTS_4: [f64; 5] = [0.0, 0.625, -0.625, 1.5, -1.5];
/// Points beside ∞ of F(6).
pub const POINTS_6: [f64; 7] = [0.0, 0.5, -0.5, 1.0, -1.0, 2.0, -2.0];

/// The three matrices of F(M), with N = M + 2.
#[derive(Clone, Copy, Debug)]
pub struct Matrices<const M: usize, const N: usize> {
    /// Aᵀ, of the outputs.
    pub at: [[f64; N]; M],
    /// G, of the weights.
    pub g: [[f64; 3]; N],
    /// Bᵀ, of the inputs.
    pub bt: [[f64; N]; N],
}

impl<const M: usize, const N: usize> Matrices<M, N> {
    /// From N − 1 points.
    pub const fn new(points: &[f64]) -> Matrices<M, N> {
        assert!(N == M + 2 && points.len() == N - 1, "F(M) has M + 1 points and ∞");
        let (mut at, mut g, mut bt) = ([[0.0; N]; M], [[0.0; 3]; N], [[0.0; N]; N]);
        let mut j = 0;
        while j < N {
            let last = j == N - 1;
            // The coefficients of Π(x − pₗ) over the other points, and the product at this one.
            let (mut coefficients, mut at_point, mut degree) = ([0.0; N], 1.0, 0);
            coefficients[0] = 1.0;
            let mut l = 0;
            while l < N - 1 {
                if l != j {
                    let mut i = degree + 1;
                    while i > 0 {
                        coefficients[i] = coefficients[i - 1] - points[l] * coefficients[i];
                        i -= 1;
                    }
                    coefficients[0] *= -points[l];
                    degree += 1;
                    at_point *= if last { 1.0 } else { points[j] - points[l] };
                }
                l += 1;
            }
            bt[j] = coefficients;
            let (mut i, mut power) = (0, 1.0);
            while i < M || i < 3 {
                if i < M {
                    at[i][j] = if last { (i == M - 1) as u8 as f64 } else { power };
                }
                if i < 3 {
                    g[j][i] = if last { (i == 2) as u8 as f64 } else { power / at_point };
                }
                power *= if last { 1.0 } else { points[j] };
                i += 1;
            }
            j += 1;
        }
        Matrices { at, g, bt }
    }
}

/// F(2×2, 3×3).
pub const F2: Matrices<2, 4> = Matrices::new(&POINTS_2);
/// F(4×4, 3×3).
pub const F4: Matrices<4, 6> = Matrices::new(&POINTS_4);
/// F(6×6, 3×3).
pub const F6: Matrices<6, 8> = Matrices::new(&POINTS_6);

/// Why F(m) does not compute the problem, if it does not: 3×3 taps side by side, stride 1.
///
/// # Errors
/// The reason.
pub fn fits(p: &Conv2d) -> Result<(), &'static str> {
    let dense = [&p.rows, &p.cols].iter().all(|w| (w.taps, w.stride, w.dilation) == (3, 1, 1));
    if dense { Ok(()) } else { Err("only 3×3 with stride and dilation 1") }
}

/// How far the outputs of F(m) may be from the reference, for m of 2, 4 or 6.
///
/// With t(M) for M with absolute values, an output's error is at most γ(s) times
/// `t(Aᵀ)·[Σ_c (t(G)·|g|·t(G)ᵀ) ⊙ (t(Bᵀ)·|d|·t(B))]·t(A)`: a sum of products rounds each of its summands at most s times, where
/// s is the longest way from an input to an output: 2n in the inputs' two transforms (a sum of at most n products each), 10
/// in the weights' (three products each, whose factors are rounded), c in the sum over channels, 2n in the outputs', 2 for
/// scale and bias; the inputs' and the weights' roundings of a product add up. A result that underflows has an absolute error of
/// η instead: that of rounding a number of η/u, which is added to |g| and |d|; and η for each of the later steps, carried by
/// t(Aᵀ) and t(A). These kernels take inputs for finite: only for finite ones is the bound asked for.
///
/// # Panics
/// If m is another number, or the arrays are not the problem's.
pub fn tolerance(
    m: usize,
    p: &Conv2d,
    types: Types,
    inputs: &[ArrayD<f64>],
    expected: &[ArrayD<f64>],
) -> Vec<Tolerance> {
    let (u, eta) = (types.accumulator.unit_roundoff(), types.accumulator.underflow());
    let [x, w] = [0, 1].map(|i| inputs[i].mapv(|x| x.abs() + eta / u));
    let (magnitudes, carried) = match m {
        2 => (magnitudes(&F2, p, &x, &w), carried(&F2)),
        4 => (magnitudes(&F4, p, &x, &w), carried(&F4)),
        6 => (magnitudes(&F6, p, &x, &w), carried(&F6)),
        _ => panic!("F({m}) is not known"),
    };
    let [scale, bias] = [2, 3].map(|i| inputs[i].mapv(f64::abs));
    let mut bound = p.scaled(magnitudes, &scale, &bias);
    let steps = p.group_in() + 4 * (m + 2) + 10 + 2;
    let y = expected[0].view().into_dimensionality::<Ix4>().expect("n×k×h×w");
    ndarray::Zip::from(&mut bound).and(&y).for_each(|b, y| {
        *b = tolerance::gamma(steps, u) * *b + steps as f64 * carried * eta + u * y.abs() + eta;
    });
    let formula = match m {
        2 => "F(2): γ(c+28)·|Aᵀ|(Σ|G||g||Gᵀ|⊙|Bᵀ||d||B|)|A| + u|y|",
        4 => "F(4): γ(c+36)·|Aᵀ|(Σ|G||g||Gᵀ|⊙|Bᵀ||d||B|)|A| + u|y|",
        _ => "F(6): γ(c+44)·|Aᵀ|(Σ|G||g||Gᵀ|⊙|Bᵀ||d||B|)|A| + u|y|",
    };
    vec![Tolerance::bound(formula, bound.into_dyn(), &expected[0])]
}

/// The largest sum of `|Aᵀ|·1·|A|`.
fn carried<const M: usize, const N: usize>(f: &Matrices<M, N>) -> f64 {
    let rows = f.at.map(|row| row.iter().map(|x| x.abs()).sum::<f64>());
    rows.iter().fold(0.0f64, |most, &x| most.max(x)).powi(2)
}

/// `|Aᵀ|·[Σ_c (|G||g||G|ᵀ) ⊙ (|Bᵀ||d||B|)]·|A|` for each output.
fn magnitudes<const M: usize, const N: usize>(
    f: &Matrices<M, N>,
    p: &Conv2d,
    x: &ArrayD<f64>,
    w: &ArrayD<f64>,
) -> Array4<f64> {
    let (x, w) = (p.padded(x), w.view().into_dimensionality::<Ix4>().expect("k×c×3×3"));
    let (c, k) = (p.group_in(), p.group_out());
    let (down, across) = (p.y.h.div_ceil(M), p.y.w.div_ceil(M));
    let mut y = Array4::zeros([p.y.n, p.y.c, p.y.h, p.y.w]);
    for g in 0..p.groups {
        let mut weights = vec![Array2::<f64>::zeros([k, c]); N * N];
        for (i, q) in ndarray::indices([k, c]) {
            for (at, weights) in weights.iter_mut().enumerate() {
                let (row, col) = (&f.g[at / N], &f.g[at % N]);
                weights[[i, q]] =
                    (0..9).map(|t| row[t / 3].abs() * w[[g * k + i, q, t / 3, t % 3]] * col[t % 3].abs()).sum();
            }
        }
        for n in 0..p.y.n {
            let mut tiles = vec![Array2::<f64>::zeros([c, down * across]); N * N];
            for (q, tile) in ndarray::indices([c, down * across]) {
                let (top, left) = (tile / across * M, tile % across * M);
                // Tiles at the edges reach over the padded image.
                let d = |a: usize, b: usize| x.get([n, g * c + q, top + a, left + b]).copied().unwrap_or(0.0);
                let mut half = [[0.0; N]; N];
                for (half, row) in half.iter_mut().zip(&f.bt) {
                    for (b, half) in half.iter_mut().enumerate() {
                        *half = row.iter().enumerate().map(|(a, t)| t.abs() * d(a, b)).sum();
                    }
                }
                for (at, tiles) in tiles.iter_mut().enumerate() {
                    let col = &f.bt[at % N];
                    tiles[[q, tile]] = half[at / N].iter().zip(col).map(|(d, t)| d * t.abs()).sum();
                }
            }
            let products: Vec<Array2<f64>> = weights.iter().zip(&tiles).map(|(w, d)| w.dot(d)).collect();
            for (i, row, col) in ndarray::indices([k, p.y.h, p.y.w]) {
                let tile = row / M * across + col / M;
                let (a, b) = (&f.at[row % M], &f.at[col % M]);
                let terms = products.iter().enumerate().map(|(at, m)| a[at / N].abs() * m[[i, tile]] * b[at % N].abs());
                y[[n, g * k + i, row, col]] = terms.sum();
            }
        }
    }
    y
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One dimension: the outputs are those of the convolution.
    fn check<const M: usize, const N: usize>(f: &Matrices<M, N>) {
        let d: [f64; N] = std::array::from_fn(|i| (i as f64 * 1.7).sin());
        let g = [0.3, -1.1, 0.7];
        let products: [f64; N] = std::array::from_fn(|j| {
            let weight: f64 = f.g[j].iter().zip(&g).map(|(x, y)| x * y).sum();
            let input: f64 = f.bt[j].iter().zip(&d).map(|(x, y)| x * y).sum();
            weight * input
        });
        for (i, row) in f.at.iter().enumerate() {
            let y: f64 = row.iter().zip(&products).map(|(x, y)| x * y).sum();
            let expected: f64 = (0..3).map(|t| d[i + t] * g[t]).sum();
            assert!((y - expected).abs() < 1e-13, "F({M})[{i}]: {y} and {expected}");
        }
    }

    #[test]
    fn the_matrices_filter() {
        check(&F2);
        check(&F4);
        check(&F6);
    }

    #[test]
    fn rows_of_a_pair_share_their_parts() {
        for pair in [1, 3, 5] {
            for i in 0..8 {
                let sign = if i % 2 == 0 { 1.0 } else { -1.0 };
                assert_eq!(F6.bt[pair][i], sign * F6.bt[pair + 1][i]);
                if i < 6 {
                    assert_eq!(F6.at[i][pair], sign * F6.at[i][pair + 1]);
                }
            }
        }
    }
}

//! What schemes of reduced precision lose: signal over quantization noise, of weights and of products with them.
//!
//! `SQNR = 10·log₁₀(Σx² / Σ(x − x̂)²)`, in dB, where x̂ is what the scheme makes of x; 6 dB are a bit. Weights are drawn
//! from a normal distribution, and from Student's t with four degrees of freedom, which has the outliers that weights of
//! trained networks have. Seeds are fixed: every run gives the same numbers.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use crate::narrow::{F8e4m3, F8e5m2, to_bf16, to_f16};

/// Rows of weights: outputs.
const ROWS: usize = 64;
/// Weights of a row.
const COLS: usize = 2048;
/// Rows of activations.
const LINES: usize = 8;
/// The largest numbers.
const E4M3_MOST: f64 = 448.0;
const E5M2_MOST: f64 = 57344.0;

/// How numbers are drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Distribution {
    /// Normal.
    Normal,
    /// Student's t with four degrees of freedom.
    HeavyTailed,
}

/// What shares a scale.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Per {
    Tensor,
    Row,
    Group(usize),
}

/// What becomes of numbers that share a scale.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Code {
    /// As they are.
    Kept,
    /// A float of 16 bits, without a scale.
    Bf16,
    F16,
    /// A float of 8 bits; the largest becomes the type's largest.
    E4m3,
    E5m2,
    /// −most to most, the largest magnitude becomes `most`.
    Symmetric(f64),
    /// 0 to `most` from the least to the greatest, which 0 lies between.
    Affine(f64),
    /// −1, 0, 1 times the mean magnitude.
    Ternary,
    /// −1, 1 times the mean magnitude.
    Binary,
}

/// A scheme and what it loses.
#[derive(Clone, Debug, PartialEq)]
pub struct Scheme {
    /// What becomes of weights, and of activations where they are not kept.
    pub name: &'static str,
    /// Bits that a weight takes, with its share of scales and zero points.
    pub bits: f64,
    /// dB of weights: normal, heavy-tailed.
    pub weights: [f64; 2],
    /// dB of products with normal activations, for either kind of weights.
    pub products: [f64; 2],
}

/// A row of the table: name, weights, what shares a scale, activations, bits.
type Row = (&'static str, Code, Per, Code, f64);

const S8: Code = Code::Symmetric(127.0);
const S4: Code = Code::Symmetric(7.0);
const U4: Code = Code::Affine(15.0);

const ROWS_OF_TABLE: &[Row] = &[
    ("bf16", Code::Bf16, Per::Tensor, Code::Bf16, 16.0),
    ("f16", Code::F16, Per::Tensor, Code::F16, 16.0),
    ("e4m3, scale per tensor", Code::E4m3, Per::Tensor, Code::E4m3, 8.0),
    ("e5m2, scale per tensor", Code::E5m2, Per::Tensor, Code::E5m2, 8.0),
    ("s8 per tensor, activations s8 per row", S8, Per::Tensor, S8, 8.0),
    ("s8 per row, activations s8 per row", S8, Per::Row, S8, 8.0),
    ("s8 per row", S8, Per::Row, Code::Kept, 8.0),
    ("4 bits, group 128", S4, Per::Group(128), Code::Kept, 4.0 + 16.0 / 128.0),
    ("4 bits, group 64", S4, Per::Group(64), Code::Kept, 4.0 + 16.0 / 64.0),
    ("4 bits, group 32", S4, Per::Group(32), Code::Kept, 4.0 + 16.0 / 32.0),
    ("4 bits, zero points, group 128", U4, Per::Group(128), Code::Kept, 4.0 + 20.0 / 128.0),
    ("4 bits, zero points, group 64", U4, Per::Group(64), Code::Kept, 4.0 + 20.0 / 64.0),
    ("4 bits, zero points, group 32", U4, Per::Group(32), Code::Kept, 4.0 + 20.0 / 32.0),
    ("4 bits, group 32, activations s8 per row", S4, Per::Group(32), S8, 4.0 + 16.0 / 32.0),
    ("ternary, scale per row", Code::Ternary, Per::Row, Code::Kept, 2.0),
    ("ternary, group 128", Code::Ternary, Per::Group(128), Code::Kept, 2.0 + 16.0 / 128.0),
    ("binary, scale per row", Code::Binary, Per::Row, Code::Kept, 1.0),
];

/// Every scheme.
pub fn table() -> Vec<Scheme> {
    let x = draw(Distribution::Normal, LINES * COLS, 1);
    let weights =
        [(Distribution::Normal, 2), (Distribution::HeavyTailed, 3)].map(|(of, seed)| draw(of, ROWS * COLS, seed));
    let products = weights.each_ref().map(|w| product(&x, w));
    let one = |&(name, code, per, activations, bits): &Row| {
        let x = quantized(&x, activations, Per::Row);
        let rounded = weights.each_ref().map(|w| quantized(w, code, per));
        Scheme {
            name,
            bits,
            weights: std::array::from_fn(|i| decibels(&weights[i], &rounded[i])),
            products: std::array::from_fn(|i| decibels(&products[i], &product(&x, &rounded[i]))),
        }
    };
    ROWS_OF_TABLE.iter().map(one).collect()
}

/// Numbers with a variance of 1, or of 2 where tails are heavy.
fn draw(of: Distribution, count: usize, seed: u64) -> Vec<f64> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut unit = || (rng.next_u64() >> 11) as f64 / (1u64 << 53) as f64;
    let mut normal = || (-2.0 * (1.0 - unit()).ln()).sqrt() * (std::f64::consts::TAU * unit()).cos();
    let mut t = || {
        let z = normal();
        let square: f64 = (0..4).map(|_| normal().powi(2)).sum();
        z / (square / 4.0).sqrt()
    };
    match of {
        Distribution::HeavyTailed => (0..count).map(|_| t()).collect(),
        Distribution::Normal => (0..count).map(|_| normal()).collect(),
    }
}

/// What a scheme makes of rows of [`COLS`] numbers.
fn quantized(x: &[f64], code: Code, per: Per) -> Vec<f64> {
    let of = match per {
        Per::Tensor => x.len(),
        Per::Row => COLS,
        Per::Group(group) => group,
    };
    x.chunks(of).flat_map(|part| coded(part, code)).collect()
}

fn coded(x: &[f64], code: Code) -> Vec<f64> {
    let most = x.iter().fold(0.0f64, |most, x| most.max(x.abs()));
    let mean = x.iter().map(|x| x.abs()).sum::<f64>() / x.len() as f64;
    let scaled = |scale: f64, f: &dyn Fn(f64) -> f64| x.iter().map(|x| f(x / scale) * scale).collect();
    match code {
        Code::Kept => x.to_vec(),
        Code::Bf16 => scaled(1.0, &|x| to_bf16(x).to_f64()),
        Code::F16 => scaled(1.0, &|x| to_f16(x).to_f64()),
        Code::E4m3 => scaled(most / E4M3_MOST, &|x| F8e4m3::from_f64(x).to_f64()),
        Code::E5m2 => scaled(most / E5M2_MOST, &|x| F8e5m2::from_f64(x).to_f64()),
        Code::Symmetric(end) => scaled(most / end, &|x| x.round_ties_even()),
        Code::Affine(end) => {
            let least = x.iter().fold(0.0f64, |least, &x| least.min(x));
            let scale = (x.iter().fold(0.0f64, |most, &x| most.max(x)) - least) / end;
            let zero = (-least / scale).round_ties_even();
            scaled(scale, &|x| (x.round_ties_even() + zero).clamp(0.0, end) - zero)
        }
        Code::Ternary => scaled(mean, &|x| x.round_ties_even().clamp(-1.0, 1.0)),
        Code::Binary => scaled(mean, &f64::signum),
    }
}

/// `x·wᵀ`.
fn product(x: &[f64], w: &[f64]) -> Vec<f64> {
    let dot = |x: &[f64], w: &[f64]| x.iter().zip(w).map(|(x, w)| x * w).sum::<f64>();
    x.chunks(COLS).flat_map(|x| w.chunks(COLS).map(move |w| dot(x, w))).collect()
}

fn decibels(x: &[f64], rounded: &[f64]) -> f64 {
    let signal: f64 = x.iter().map(|x| x * x).sum();
    let noise: f64 = x.iter().zip(rounded).map(|(x, r)| (x - r) * (x - r)).sum();
    10.0 * (signal / noise).log10()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bit_is_six_decibels_and_outliers_cost() {
        let x = draw(Distribution::Normal, ROWS * COLS, 7);
        let of = |most: f64| decibels(&x, &quantized(&x, Code::Symmetric(most), Per::Row));
        assert!((5.5..6.5).contains(&(of(255.0) - of(127.0))), "{} {}", of(255.0), of(127.0));
        let table = table();
        let find = |name: &str| table.iter().find(|s| s.name == name).expect("a scheme");
        // Uniform rounding with a step of most/127: 20·log₁₀(127·√12/4) dB with a most of about 4σ.
        assert!((38.0..42.5).contains(&find("s8 per row").weights[0]), "{:?}", find("s8 per row"));
        assert!(find("s8 per row").weights[1] + 3.0 < find("s8 per row").weights[0]);
        assert!(find("4 bits, group 32").weights[0] > find("4 bits, group 128").weights[0]);
        // Relative rounding of 9 bits: its noise does not depend on the distribution.
        let bf16 = find("bf16").weights;
        assert!((bf16[0] - bf16[1]).abs() < 0.5 && (53.0..57.0).contains(&bf16[0]), "{bf16:?}");
        // The sign alone: 10·log₁₀(1/(1 − 2/π)).
        assert!((find("binary, scale per row").weights[0] - 4.396).abs() < 0.1);
    }

    #[test]
    fn draws_have_their_moments() {
        let moment = |x: &[f64]| x.iter().map(|x| x * x).sum::<f64>() / x.len() as f64;
        assert!((moment(&draw(Distribution::Normal, 1 << 17, 1)) - 1.0).abs() < 0.02);
        assert!((moment(&draw(Distribution::HeavyTailed, 1 << 17, 1)) - 2.0).abs() < 0.2);
    }
}

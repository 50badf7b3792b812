//! What happens to a sum: α, β·C, scale, bias, activation.

use std::ops::Range;

use etalon_reference::ops::gemm::Activation;

use super::Float;
use crate::faults::fault;

/// How a chunk's sums enter C.
#[derive(Clone, Copy, Debug)]
pub struct Fold<'a, T> {
    /// Factor of the sums.
    pub alpha: T,
    /// Factor of C before the first chunk; with 0, C is not read.
    pub beta: T,
    /// This is the first chunk.
    pub first: bool,
    /// This is the last chunk: the finish follows.
    pub last: bool,
    /// What becomes of a sum in the end.
    pub finish: Finish<'a, T>,
}

/// What becomes of a sum in the end: `act(t·scale + bias)`, each step rounded.
#[derive(Clone, Copy, Debug)]
pub struct Finish<'a, T> {
    /// Factors.
    pub scale: Option<&'a [T]>,
    /// Summands.
    pub bias: Option<&'a [T]>,
    /// Which index the two vectors have.
    pub along: Along,
    /// Activation.
    pub activation: Activation,
}

/// An index of C.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Along {
    /// The row's.
    Rows,
    /// The column's.
    Columns,
}

impl<'a, T: Float> Finish<'a, T> {
    /// That of some rows and columns.
    #[inline]
    pub fn part(&self, rows: Range<usize>, cols: Range<usize>) -> Finish<'a, T> {
        let range = if self.along == Along::Rows { rows } else { cols };
        let cut = |vector: Option<&'a [T]>| vector.map(|vector| &vector[range.clone()]);
        Finish { scale: cut(self.scale), bias: cut(self.bias), ..*self }
    }

    /// Whether sums stay as they are.
    pub fn is_nothing(&self) -> bool {
        self.scale.is_none() && self.bias.is_none() && self.activation == Activation::None
    }

    /// What becomes of the sum in row `i`, column `j`.
    #[inline(always)]
    pub fn value(&self, t: T, i: usize, j: usize) -> T {
        let index = if self.along == Along::Rows { i } else { j };
        let t = self.scale.map_or(t, |scale| t * scale[index]);
        let t = self.bias.map_or(t, |bias| t + bias[index]);
        match self.activation {
            Activation::None => t,
            Activation::Relu => {
                let nan = fault!("gemm.relu-drops-nan") && t.partial_cmp(&t).is_none();
                if t < T::default() || nan { T::default() } else { t }
            }
            Activation::Gelu => t.gelu(),
        }
    }
}

/// GELU of f32, `x·Φ(x)`, without a branch, so that every ISA vectorises the same operations.
///
/// Φ(x) = erfc(−x/√2)/2, and erfc(z) for z ≥ 0 is `t·exp(−z² + P(t))` with `t = 1/(1 + z/2)`: a Chebyshev fit whose relative
/// error is below 1.2·10⁻⁷ everywhere (Press et al., *Numerical Recipes*, section 6.2). Absolute error at most 8u·|x|, with
/// a small relative error in the negative tail down to −12.8; below, the result is 0. NaN stays NaN.
#[inline(always)]
pub fn gelu_f32(x: f32) -> f32 {
    let z = x.abs() * std::f32::consts::FRAC_1_SQRT_2;
    let t = 1.0 / z.mul_add(0.5, 1.0);
    let mut p = 0.170_872_77f32;
    for c in [
        -0.822_152_23f32,
        1.488_515_9,
        -1.135_204,
        0.278_868_07,
        -0.186_288_06,
        0.096_784_18,
        0.374_091_96,
        1.000_023_7,
        -1.265_512_2,
    ] {
        p = p.mul_add(t, c);
    }
    let tail = t * exp_f32((-z).mul_add(z, p));
    let erfc = if x > 0.0 { 2.0 - tail } else { tail };
    let y = 0.5 * x * erfc;
    // 0·∞ at −∞.
    if x == f32::NEG_INFINITY { 0.0 } else { y }
}

/// exp of f32 for x ≤ 0.7, without a branch: x = n·ln 2 + r, a polynomial in r, and n added to the exponent. At most 2 ulp;
/// below −84 the result is 0, as subnormal numbers would cost a hundred cycles each; NaN stays NaN.
#[inline(always)]
pub fn exp_f32(x: f32) -> f32 {
    const LEAST: f32 = -84.0;
    // The shift leaves round(x/ln 2) in the low bits of the mantissa.
    const SHIFT: f32 = 12_582_912.0;
    let clamped = if x < LEAST { LEAST } else { x };
    let shifted = clamped.mul_add(std::f32::consts::LOG2_E, SHIFT);
    let n = shifted - SHIFT;
    // ln 2 in two parts; the first has few bits, so that n times it is exact.
    let r = n.mul_add(-0.693_359_4, clamped);
    let r = n.mul_add(2.121_944_4e-4, r);
    let mut p = 1.0f32 / 720.0;
    for c in [1.0f32 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5, 1.0, 1.0] {
        p = p.mul_add(r, c);
    }
    // NaN makes an arbitrary factor, and p is NaN.
    let n = shifted.to_bits().wrapping_sub(SHIFT.to_bits());
    let y = p * f32::from_bits(n.wrapping_add(127) << 23);
    if x < LEAST { 0.0 } else { y }
}

/// GELU of f64, element by element.
#[inline]
pub fn gelu_f64(x: f64) -> f64 {
    etalon_reference::ops::gemm::gelu(x)
}

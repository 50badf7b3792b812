//! Exponentials.

use std::f32::consts::LOG2_E;

use crate::isa::arithmetic::Arithmetic;

/// ln 2 in two parts. The first has 15 bits, so that a multiple up to 2⁸ is exact.
pub(super) const LN_2: [f32; 2] = [0.693_145_75, 1.428_606_8e-6];

/// Above, the result is infinite.
const HIGHEST: f32 = 89.0;
/// Below, a result with a factor of at most 10⁶ is zero, and 2ⁿ still is a product of two normal numbers.
const LOWEST: f32 = -120.0;

/// e^x as `2ⁿ·(1 + rest)`, |rest| < 0.42, n between −174 and 128.
pub(super) struct Parts<L: Arithmetic> {
    rest: L::V,
    n: L::V,
    bits: L::I,
}

impl<L: Arithmetic> Parts<L> {
    /// Of x between −120 and 89, or NaN.
    #[inline(always)]
    pub fn of(l: L, x: L::V) -> Parts<L> {
        // Adding it rounds to an integer, which then stands in the low bits.
        const SHIFT: f32 = 12_582_912.0;
        let shifted = l.fma(x, l.constant(LOG2_E), l.constant(SHIFT));
        let n = l.sub(shifted, l.constant(SHIFT));
        let r = l.fnma(n, l.constant(LN_2[0]), x);
        let r = l.fnma(n, l.constant(LN_2[1]), r);
        // (e^r − 1 − r)/r² for |r| ≤ ln 2/2; e^r − 1 is off by 2⁻³¹ of itself.
        let q = l.polynomial(r, [0.5, 0.166_666_67, 0.041_666_485, 0.008_333_195, 0.001_393_301_4, 1.995_593_2e-4]);
        let rest = l.fma(l.mul(r, r), q, r);
        Parts { rest, n, bits: l.minus(l.bits(shifted), l.integer(SHIFT.to_bits() as i32)) }
    }

    /// e^x between −120 and 0.
    #[inline(always)]
    pub fn of_negative(l: L, magnitude: L::V) -> Parts<L> {
        Parts::of(l, l.neg(l.min(l.constant(-LOWEST), magnitude)))
    }

    /// e^x.
    #[inline(always)]
    pub fn value(&self, l: L) -> L::V {
        self.scaled(l, l.add(self.rest, l.constant(1.0)))
    }

    /// `factor·e^x`: rounded as one number, even where e^x itself is subnormal.
    #[inline(always)]
    pub fn times(&self, l: L, factor: L::V) -> L::V {
        self.scaled(l, l.fma(factor, self.rest, factor))
    }

    /// `x·2ⁿ`. Both factors of 2ⁿ are normal; only the second product can round, and only to a subnormal number.
    #[inline(always)]
    fn scaled(&self, l: L, x: L::V) -> L::V {
        let half = l.right::<1>(self.bits);
        l.mul(l.mul(x, power(l, half)), power(l, l.minus(self.bits, half)))
    }

    /// e^x − 1, for n ≥ −125.
    #[inline(always)]
    fn minus_one(&self, l: L) -> L::V {
        // Halved, 2ⁿ does not overflow.
        let half = l.of_bits(l.left::<23>(l.plus(self.bits, l.integer(126))));
        let y = l.fma(half, self.rest, l.sub(half, l.constant(0.5)));
        // Where n is 0, halving could lose a bit of a subnormal number.
        let zero = l.at_most(l.abs(self.n), l.constant(0.0));
        l.select(zero, self.rest, l.add(y, y))
    }
}

/// 2ⁿ for n between −126 and 127.
#[inline(always)]
fn power<L: Arithmetic>(l: L, n: L::I) -> L::V {
    l.of_bits(l.left::<23>(l.plus(n, l.integer(127))))
}

/// e^x.
#[inline(always)]
pub fn exp<L: Arithmetic>(l: L, x: L::V) -> L::V {
    Parts::of(l, l.min(l.constant(HIGHEST), l.max(l.constant(LOWEST), x))).value(l)
}

/// e^x − 1.
#[inline(always)]
pub fn expm1<L: Arithmetic>(l: L, x: L::V) -> L::V {
    // Far below, the result is −1.
    let near = l.min(l.constant(HIGHEST), l.max(l.constant(-80.0), x));
    // −0 for −0.
    l.with_sign(Parts::of(l, near).minus_one(l), x)
}

/// 2^x for x ≤ 0: 0 below −125, where 2ⁿ times the polynomial could be subnormal. NaN for NaN.
///
/// The polynomial is off by 1.6 units roundoff, its last sum by one: two units in the last place together.
#[inline(always)]
pub fn exp2_below_0<L: Arithmetic>(l: L, x: L::V) -> L::V {
    const LEAST: f32 = -125.0;
    // Adding it rounds to an integer, which then stands in the low bits.
    const SHIFT: f32 = 12_582_912.0;
    let shifted = l.add(x, l.constant(SHIFT));
    let r = l.sub(x, l.sub(shifted, l.constant(SHIFT)));
    // Three units below ln 2.
    const FIRST: f32 = f32::from_bits(0x3f31_7215);
    let p = l.polynomial(r, [1.0, FIRST, 0.240_222_47, 0.055_507_112, 0.009_671_294, 0.001_326_940_6]);
    let y = l.of_bits(l.plus(l.bits(p), l.left::<23>(l.bits(shifted))));
    l.select(l.at_most(l.constant(LEAST), x), y, l.max(l.constant(0.0), x))
}

//! Logarithms.

use super::exp::{LN_2, Parts};
use crate::isa::arithmetic::Arithmetic;

/// The bits of 2/3: mantissas from there to twice as much.
const TWO_THIRDS: i32 = 0x3f2a_aaab;

/// log(1 + f) + e·ln 2, for f between −1/3 and 1/3.
#[inline(always)]
fn sum<L: Arithmetic>(l: L, f: L::V, e: L::V) -> L::V {
    // (log(1 + f) − f + f²/2)/f³, off by 2⁻²⁷ of the logarithm.
    let p = l.polynomial(
        f,
        [
            0.333_332_2,
            -0.249_996_98,
            0.200_101_75,
            -0.166_850_58,
            0.140_090_64,
            -0.121_209_465,
            0.139_706_1,
            -0.131_656_89,
        ],
    );
    let p = l.fma(p, f, l.constant(-0.5));
    // Small terms first. With e = 0 only the last sum rounds by more than a part of a unit.
    let small = l.fma(e, l.constant(LN_2[1]), l.mul(l.mul(f, f), p));
    l.fma(e, l.constant(LN_2[0]), l.add(small, f))
}

/// The natural logarithm: −∞ for ±0, NaN below.
#[inline(always)]
pub fn log<L: Arithmetic>(l: L, x: L::V) -> L::V {
    // Subnormal numbers times 2²³ are normal.
    let subnormal = l.less(x, l.constant(f32::MIN_POSITIVE));
    let normal = l.select(subnormal, l.mul(x, l.constant(8_388_608.0)), x);
    let e = l.right::<23>(l.minus(l.bits(normal), l.integer(TWO_THIRDS)));
    let m = l.of_bits(l.minus(l.bits(normal), l.left::<23>(e)));
    let e = l.sub(l.value_of(e), l.select(subnormal, l.constant(23.0), l.constant(0.0)));
    let y = sum(l, l.sub(m, l.constant(1.0)), e);
    let not_above = l.select(l.less(x, l.constant(0.0)), l.constant(f32::NAN), l.constant(f32::NEG_INFINITY));
    let y = l.select(l.less(l.constant(0.0), x), y, not_above);
    // ∞ and NaN.
    l.select(l.less(x, l.constant(f32::INFINITY)), y, x)
}

/// log(1 + x) for x above −1.
#[inline(always)]
fn above_minus_one<L: Arithmetic>(l: L, x: L::V) -> L::V {
    let one = l.constant(1.0);
    // The exponent of the rounded sum; the mantissa, less 1, is made of x itself: x·2⁻ᵉ + (2⁻ᵉ − 1).
    let e = l.right::<23>(l.minus(l.bits(l.add(x, one)), l.integer(TWO_THIRDS)));
    let shift = l.left::<23>(e);
    // 2⁻ᵉ itself may be subnormal.
    let fourfold = l.of_bits(l.minus(l.integer(129 << 23), shift));
    let rest = l.fma(fourfold, l.constant(0.25), l.neg(one));
    let f = l.add(l.of_bits(l.minus(l.bits(x), shift)), rest);
    sum(l, f, l.value_of(e))
}

/// log(1 + x): −∞ for −1, NaN below.
#[inline(always)]
pub fn log1p<L: Arithmetic>(l: L, x: L::V) -> L::V {
    // −0 for −0, and 0 for what has no exponent to speak of.
    let y = l.with_sign(above_minus_one(l, x), x);
    let tiny = l.less(l.abs(x), l.constant(f32::MIN_POSITIVE));
    let y = l.select(tiny, x, y);
    let not_above = l.select(l.less(x, l.constant(-1.0)), l.constant(f32::NAN), l.constant(f32::NEG_INFINITY));
    let y = l.select(l.less(l.constant(-1.0), x), y, not_above);
    l.select(l.less(x, l.constant(f32::INFINITY)), y, x)
}

/// log(1 + e^x), as max(x, 0) + log1p(e^−|x|).
#[inline(always)]
pub fn softplus<L: Arithmetic>(l: L, x: L::V) -> L::V {
    let z = Parts::of_negative(l, l.abs(x)).value(l);
    l.add(l.max(l.constant(0.0), x), above_minus_one(l, z))
}

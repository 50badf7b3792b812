//! f64 to the types of 16 bits, rounded once.
//!
//! On the way through f32 a value is rounded twice: the first rounding can make a tie of what was none, and the second then
//! decides it by the even neighbour. Here the bits of the f64 are cut and rounded as integers.

use half::{bf16, f16};

/// Stored bits of the significand of an f64.
const FRACTION: u32 = f64::MANTISSA_DIGITS - 1;

/// `value` rounded to f16, to nearest, ties to even; NaN stays NaN.
pub fn to_f16(value: f64) -> f16 {
    f16::from_bits(narrow(value, f16::MANTISSA_DIGITS - 1))
}

/// `value` rounded to bf16, to nearest, ties to even; NaN stays NaN.
pub fn to_bf16(value: f64) -> bf16 {
    bf16::from_bits(narrow(value, bf16::MANTISSA_DIGITS - 1))
}

/// The bits of `value` in a type of 16 bits with `fraction` stored bits of significand.
fn narrow(value: f64, fraction: u32) -> u16 {
    let sign = if value.is_sign_negative() { 1 << 15 } else { 0 };
    let largest_exponent = (1i64 << (15 - fraction)) - 1;
    let infinity = (largest_exponent as u16) << fraction;
    if value.is_nan() {
        return sign | infinity | 1 << (fraction - 1);
    }
    let magnitude = value.abs().to_bits();
    // As the narrow type would store it: its bias is half its range.
    let exponent = (magnitude >> FRACTION) as i64 - 1023 + largest_exponent / 2;
    if exponent >= largest_exponent {
        return sign | infinity;
    }
    // Below the normal numbers, a bit is lost for each step of the exponent. An f64 that is subnormal is far below.
    let lost = (FRACTION - fraction) as i64 + (1 - exponent).max(0);
    if lost > i64::from(FRACTION) + 1 {
        // Less than half the smallest number.
        return sign;
    }
    let significand = magnitude & ((1 << FRACTION) - 1) | 1 << FRACTION;
    let (kept, rest, half) = (significand >> lost, significand & ((1 << lost) - 1), 1 << (lost - 1));
    let up = rest > half || rest == half && kept % 2 == 1;
    // The leading bit of a normal number, and the carry of one that is rounded up, count as a step of the exponent; a carry
    // out of the largest numbers gives infinity.
    let steps = (exponent.max(1) - 1) as u16;
    sign | ((steps << fraction) + kept as u16 + u16::from(up))
}

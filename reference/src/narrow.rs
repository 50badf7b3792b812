//! f64 to the types of 16 and 8 bits, rounded once.
//!
//! On the way through f32 a value is rounded twice: the first rounding can make a tie of what was none, and the second then
//! decides it by the even neighbour. Here the bits of the f64 are cut and rounded as integers.

use half::{bf16, f16};

use crate::DType;
use crate::dtype::{Format, two_to};

/// Stored bits of the significand of an f64.
const FRACTION: u32 = f64::MANTISSA_DIGITS - 1;

/// `value` rounded to f16, to nearest, ties to even; NaN stays NaN.
pub fn to_f16(value: f64) -> f16 {
    f16::from_bits(narrow(value, DType::F16))
}

/// `value` rounded to bf16, to nearest, ties to even; NaN stays NaN.
pub fn to_bf16(value: f64) -> bf16 {
    bf16::from_bits(narrow(value, DType::Bf16))
}

/// An 8-bit float with 5 bits of exponent and 2 of significand (OCP): f16 without its lower byte.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(transparent)]
pub struct F8e5m2(pub u8);

/// An 8-bit float with 4 bits of exponent and 3 of significand (OCP). It has no infinities: 0x7f and 0xff are NaN, and the
/// largest number is 448.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(transparent)]
pub struct F8e4m3(pub u8);

impl F8e5m2 {
    /// `value` rounded to nearest, ties to even; NaN stays NaN.
    pub fn from_f64(value: f64) -> F8e5m2 {
        F8e5m2(narrow(value, DType::E5m2) as u8)
    }

    /// The value, exactly.
    pub fn to_f64(self) -> f64 {
        f16::from_bits(u16::from(self.0) << 8).to_f64()
    }
}

impl F8e4m3 {
    /// `value` rounded to nearest, ties to even. NaN, infinities and what rounds to more than 448 become NaN.
    pub fn from_f64(value: f64) -> F8e4m3 {
        F8e4m3(narrow(value, DType::E4m3) as u8)
    }

    /// The value, exactly.
    pub fn to_f64(self) -> f64 {
        let (exponent, fraction) = (i32::from(self.0 >> 3 & 15), f64::from(self.0 & 7));
        let magnitude = match (exponent, fraction) {
            (15, 7.0) => f64::NAN,
            (0, _) => fraction * two_to(-9),
            _ => (8.0 + fraction) * two_to(exponent - 10),
        };
        if self.0 & 128 == 0 { magnitude } else { -magnitude }
    }
}

/// The bits of `value` in a floating-point type of at most 16 bits.
fn narrow(value: f64, dtype: DType) -> u16 {
    let Format::Float { exponent: exponent_bits, fraction, infinite } = dtype.format() else {
        unreachable!("only floating-point types are narrowed to")
    };
    let sign = if value.is_sign_negative() { 1 << (exponent_bits + fraction) } else { 0 };
    let bias = (1i64 << (exponent_bits - 1)) - 1;
    let largest_exponent = (1i64 << exponent_bits) - 1;
    let all_ones = (1u16 << (exponent_bits + fraction)) - 1;
    let infinity = if infinite { (largest_exponent as u16) << fraction } else { all_ones };
    if value.is_nan() {
        return sign | infinity | 1 << (fraction - 1);
    }
    let magnitude = value.abs().to_bits();
    // As the narrow type would store it.
    let exponent = (magnitude >> FRACTION) as i64 - 1023 + bias;
    if exponent > largest_exponent {
        return sign | infinity;
    }
    // Below the normal numbers, a bit is lost for each step of the exponent. An f64 that is subnormal is far below.
    let lost = i64::from(FRACTION - fraction) + (1 - exponent).max(0);
    if lost > i64::from(FRACTION) + 1 {
        // Less than half the smallest number.
        return sign;
    }
    let significand = magnitude & ((1 << FRACTION) - 1) | 1 << FRACTION;
    let (kept, rest, half) = (significand >> lost, significand & ((1 << lost) - 1), 1 << (lost - 1));
    let up = rest > half || rest == half && kept % 2 == 1;
    // The leading bit of a normal number, and the carry of one that is rounded up, count as a step of the exponent; what
    // reaches the pattern of infinity is too large.
    let steps = (exponent.max(1) - 1) as u32;
    let bits = (steps << fraction) + kept as u32 + u32::from(up);
    sign | bits.min(u32::from(infinity)) as u16
}

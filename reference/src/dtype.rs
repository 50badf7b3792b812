//! Element types and their rounding.

use std::fmt;
use std::str::FromStr;

use half::{bf16, f16};
use serde::{Deserialize, Serialize};

use crate::narrow;

/// The type of the elements of a buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DType {
    /// IEEE 754 binary64.
    F64,
    /// IEEE 754 binary32.
    F32,
    /// IEEE 754 binary16.
    F16,
    /// bfloat16: the upper half of a binary32.
    Bf16,
    /// Signed 32-bit integer.
    I32,
    /// Signed 8-bit integer.
    I8,
    /// Unsigned 8-bit integer.
    U8,
}

impl DType {
    /// Every dtype, widest first.
    pub const ALL: [DType; 7] = [DType::F64, DType::F32, DType::F16, DType::Bf16, DType::I32, DType::I8, DType::U8];

    /// The name used in case ids and records.
    pub const fn name(self) -> &'static str {
        match self {
            DType::F64 => "f64",
            DType::F32 => "f32",
            DType::F16 => "f16",
            DType::Bf16 => "bf16",
            DType::I32 => "i32",
            DType::I8 => "i8",
            DType::U8 => "u8",
        }
    }

    /// Bytes an element takes.
    pub const fn size(self) -> usize {
        match self {
            DType::F64 => 8,
            DType::F32 | DType::I32 => 4,
            DType::F16 | DType::Bf16 => 2,
            DType::I8 | DType::U8 => 1,
        }
    }

    /// Unit roundoff `u`: half the distance from 1 to the next larger number; 0 for integers.
    pub const fn unit_roundoff(self) -> f64 {
        match self {
            DType::F64 => f64::EPSILON / 2.0,
            DType::F32 => f32::EPSILON as f64 / 2.0,
            DType::F16 => 0.00048828125,
            DType::Bf16 => 0.00390625,
            DType::I32 | DType::I8 | DType::U8 => 0.0,
        }
    }

    /// Half the smallest positive subnormal: the largest absolute error of one rounding that underflows.
    pub fn underflow(self) -> f64 {
        match self {
            // 2^-1075 is itself not representable in f64.
            DType::F64 => f64::from_bits(1),
            DType::F32 => f64::from(f32::from_bits(1)) / 2.0,
            DType::F16 => f16::from_bits(1).to_f64() / 2.0,
            DType::Bf16 => bf16::from_bits(1).to_f64() / 2.0,
            DType::I32 | DType::I8 | DType::U8 => 0.0,
        }
    }

    /// The largest finite value.
    pub fn max_finite(self) -> f64 {
        match self {
            DType::F64 => f64::MAX,
            DType::F32 => f64::from(f32::MAX),
            DType::F16 => f16::MAX.to_f64(),
            DType::Bf16 => bf16::MAX.to_f64(),
            DType::I32 => f64::from(i32::MAX),
            DType::I8 => f64::from(i8::MAX),
            DType::U8 => f64::from(u8::MAX),
        }
    }

    /// Whether the type is a floating-point type.
    pub const fn is_float(self) -> bool {
        matches!(self, DType::F64 | DType::F32 | DType::F16 | DType::Bf16)
    }

    /// `value` rounded once to this type (to nearest, ties to even; integers saturate) and widened again.
    pub fn round(self, value: f64) -> f64 {
        match self {
            DType::F64 => value,
            DType::F32 => f64::from(value as f32),
            DType::F16 => narrow::to_f16(value).to_f64(),
            DType::Bf16 => narrow::to_bf16(value).to_f64(),
            DType::I32 => f64::from(value.round_ties_even() as i32),
            DType::I8 => f64::from(value.round_ties_even() as i8),
            DType::U8 => f64::from(value.round_ties_even() as u8),
        }
    }
}

impl fmt::Display for DType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// The text names no dtype.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown dtype `{0}`: expected f64, f32, f16, bf16, i32, i8 or u8")]
pub struct UnknownDType(String);

impl FromStr for DType {
    type Err = UnknownDType;
    fn from_str(text: &str) -> Result<Self, UnknownDType> {
        DType::ALL.into_iter().find(|d| d.name() == text).ok_or_else(|| UnknownDType(text.into()))
    }
}

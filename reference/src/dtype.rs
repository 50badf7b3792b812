//! Element types: one row each, from which names, sizes, rounding and buffers follow.

use std::fmt;
use std::str::FromStr;

use half::{bf16, f16};
use serde::{Deserialize, Serialize};

use crate::narrow::{self, F8e4m3, F8e5m2};

/// How the values of a dtype are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Binary floating point with a sign: bits of the exponent, and stored bits of the significand.
    Float {
        /// Bits of the exponent.
        exponent: u32,
        /// Stored bits of the significand.
        fraction: u32,
        /// Whether the largest exponent is that of infinities and NaN. If not, it is one of numbers, only the last of its
        /// patterns is NaN, and what is too large becomes NaN.
        infinite: bool,
    },
    /// Integers between two ends.
    Integer {
        /// Least value.
        least: i64,
        /// Largest value.
        largest: i64,
    },
}

const fn float(exponent: u32, fraction: u32) -> Format {
    Format::Float { exponent, fraction, infinite: true }
}

const fn integer(least: i64, largest: i64) -> Format {
    Format::Integer { least, largest }
}

/// Stands for every NaN in [`Element::bits`].
pub const NAN: u64 = u64::MAX;

/// A Rust type that is the element of a buffer.
pub trait Element: Copy + Default + Send + Sync + 'static {
    /// Its dtype.
    const DTYPE: DType;
    /// The value rounded once (to nearest, ties to even; integers saturate, NaN becomes 0).
    fn from_f64(value: f64) -> Self;
    /// The value; exact, except for integers beyond 2⁵³.
    fn to_f64(self) -> f64;
    /// The bit pattern, one for all NaNs.
    fn bits(self) -> u64;
    /// The element with this pattern in its lowest bits.
    fn from_bits(bits: u64) -> Self;
    /// The elements, if `slice` holds this type.
    fn slice(slice: crate::Slice<'_>) -> Option<&[Self]>;
    /// The elements, if `slice` holds this type.
    fn slice_mut(slice: crate::SliceMut<'_>) -> Option<&mut [Self]>;
    /// As a buffer of any dtype.
    fn erase(elements: &[Self]) -> crate::Slice<'_>;
    /// As a mutable buffer of any dtype.
    fn erase_mut(elements: &mut [Self]) -> crate::SliceMut<'_>;
    /// As an owned buffer of any dtype.
    fn own(elements: Vec<Self>) -> crate::Data;
}

/// A truth value as one byte: 0 is false, anything else true.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(transparent)]
pub struct Flag(pub u8);

/// The table of dtypes, handed to a macro: variant, name, Rust type, format, conversions, documentation. Widest first.
macro_rules! table {
    ($use:ident $dollar:tt) => {
        $use! { $dollar
            F64 "f64" f64, float(11, 52), |v: f64| v, |x: f64| x, |x: f64| x.to_bits(), f64::from_bits, "IEEE 754 binary64.";
            F32 "f32" f32, float(8, 23), |v: f64| v as f32, f64::from, |x: f32| x.to_bits().into(),
                |b: u64| f32::from_bits(b as u32), "IEEE 754 binary32.";
            F16 "f16" f16, float(5, 10), narrow::to_f16, f16::to_f64, |x: f16| x.to_bits().into(),
                |b: u64| f16::from_bits(b as u16), "IEEE 754 binary16.";
            Bf16 "bf16" bf16, float(8, 7), narrow::to_bf16, bf16::to_f64, |x: bf16| x.to_bits().into(),
                |b: u64| bf16::from_bits(b as u16), "bfloat16: the upper half of a binary32.";
            E5m2 "e5m2" F8e5m2, float(5, 2), F8e5m2::from_f64, F8e5m2::to_f64, |x: F8e5m2| x.0.into(),
                |b: u64| F8e5m2(b as u8), "OCP 8-bit float with 5 bits of exponent and 2 of significand.";
            E4m3 "e4m3" F8e4m3, Format::Float { exponent: 4, fraction: 3, infinite: false }, F8e4m3::from_f64,
                F8e4m3::to_f64, |x: F8e4m3| x.0.into(), |b: u64| F8e4m3(b as u8),
                "OCP 8-bit float with 4 bits of exponent and 3 of significand; no infinities.";
            I64 "i64" i64, integer(i64::MIN, i64::MAX), |v: f64| v.round_ties_even() as i64, |x: i64| x as f64,
                |x: i64| x as u64, |b: u64| b as i64, "Signed 64-bit integer.";
            I32 "i32" i32, integer(i32::MIN as i64, i32::MAX as i64), |v: f64| v.round_ties_even() as i32, f64::from,
                |x: i32| x as u64, |b: u64| b as i32, "Signed 32-bit integer.";
            I8 "i8" i8, integer(-128, 127), |v: f64| v.round_ties_even() as i8, f64::from, |x: i8| x as u64,
                |b: u64| b as i8, "Signed 8-bit integer.";
            U8 "u8" u8, integer(0, 255), |v: f64| v.round_ties_even() as u8, f64::from, |x: u8| x.into(), |b: u64| b as u8,
                "Unsigned 8-bit integer; also two packed 4-bit integers, the first in the lower half.";
            Bool "bool" Flag, integer(0, 1), |v: f64| Flag(u8::from(v != 0.0)), |x: Flag| f64::from(u8::from(x.0 != 0)),
                |x: Flag| x.0.into(), |b: u64| Flag(b as u8), "A truth value as one byte, 0 or 1.";
        }
    };
}
pub(crate) use table;

macro_rules! dtypes {
    ($dollar:tt $($variant:ident $name:literal $element:ty, $format:expr, $from:expr, $to:expr, $bits:expr, $of_bits:expr, $doc:literal;)*) => {
        /// The type of the elements of a buffer.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(rename_all = "lowercase")]
        pub enum DType { $(#[doc = $doc] $variant),* }

        impl DType {
            /// Every dtype, floating-point types first, widest first.
            pub const ALL: &[DType] = &[$(DType::$variant),*];

            /// The name used in case ids and records.
            pub const fn name(self) -> &'static str {
                match self { $(DType::$variant => $name),* }
            }

            /// How its values are stored.
            pub const fn format(self) -> Format {
                match self { $(DType::$variant => $format),* }
            }

            /// Bytes per element.
            pub const fn size(self) -> usize {
                match self { $(DType::$variant => size_of::<$element>()),* }
            }

            /// `value` rounded once to this type (to nearest, ties to even; integers saturate) and widened again.
            pub fn round(self, value: f64) -> f64 {
                match self { $(DType::$variant => <$element>::to_f64(<$element as Element>::from_f64(value))),* }
            }
        }

        /// The Rust type of each dtype, by the dtype's name.
        pub mod elements {
            use super::{F8e4m3, F8e5m2, Flag, bf16, f16};
            $(#[doc = $doc] pub type $variant = $element;)*
        }

        /// An expression with the Rust type of a dtype: `with_dtype!(dtype, T => Vec::<T>::new().len())`.
        #[macro_export]
        macro_rules! with_dtype {
            ($dollar dtype:expr, $dollar element:ident => $dollar body:expr) => {
                match $dollar dtype {
                    $($dollar crate::DType::$variant => {
                        type $dollar element = $dollar crate::dtype::elements::$variant;
                        $dollar body
                    })*
                }
            };
        }

        $(impl Element for $element {
            const DTYPE: DType = DType::$variant;
            fn from_f64(value: f64) -> Self { ($from)(value) }
            fn to_f64(self) -> f64 { ($to)(self) }
            fn bits(self) -> u64 { if Element::to_f64(self).is_nan() { NAN } else { ($bits)(self) } }
            fn from_bits(bits: u64) -> Self { ($of_bits)(bits) }
            fn slice(slice: crate::Slice<'_>) -> Option<&[Self]> {
                match slice { crate::Slice::$variant(v) => Some(v), _ => None }
            }
            fn slice_mut(slice: crate::SliceMut<'_>) -> Option<&mut [Self]> {
                match slice { crate::SliceMut::$variant(v) => Some(v), _ => None }
            }
            fn erase(elements: &[Self]) -> crate::Slice<'_> { crate::Slice::$variant(elements) }
            fn erase_mut(elements: &mut [Self]) -> crate::SliceMut<'_> { crate::SliceMut::$variant(elements) }
            fn own(elements: Vec<Self>) -> crate::Data { crate::Data::$variant(elements) }
        })*
    };
}
table!(dtypes $);

impl DType {
    /// Unit roundoff `u`: half the distance from 1 to the next larger number; 0 for integers.
    pub const fn unit_roundoff(self) -> f64 {
        match self.format() {
            Format::Float { fraction, .. } => two_to(-(fraction as i32) - 1),
            Format::Integer { .. } => 0.0,
        }
    }

    /// Half the smallest positive subnormal: the largest absolute error of one rounding that underflows. For f64 the smallest
    /// itself, because 2⁻¹⁰⁷⁵ is not representable.
    pub const fn underflow(self) -> f64 {
        match self.format() {
            Format::Float { exponent, fraction, .. } => {
                let least = 2 - (1 << (exponent - 1)) - fraction as i32;
                if least > -1022 { two_to(least - 1) } else { f64::from_bits(1) }
            }
            Format::Integer { .. } => 0.0,
        }
    }

    /// The largest finite value.
    pub fn max_finite(self) -> f64 {
        match self.format() {
            // Without infinities the largest exponent has numbers; the last pattern of the significand is NaN.
            Format::Float { exponent, fraction, infinite } => {
                let (top, lost) = if infinite { (0, 1.0) } else { (1, 2.0) };
                let exponent = (1 << (exponent - 1)) - 1 + top;
                (2.0 - lost * two_to(-(fraction as i32))) * two_to(exponent)
            }
            Format::Integer { largest, .. } => largest as f64,
        }
    }

    /// The least finite value.
    pub fn min_finite(self) -> f64 {
        match self.format() {
            Format::Float { .. } => -self.max_finite(),
            Format::Integer { least, .. } => least as f64,
        }
    }

    /// Whether the type is a floating-point type.
    pub const fn is_float(self) -> bool {
        matches!(self.format(), Format::Float { .. })
    }
}

/// 2^n of a normal f64.
pub(crate) const fn two_to(n: i32) -> f64 {
    f64::from_bits(((1023 + n) as u64) << 52)
}

impl fmt::Display for DType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// The text names no dtype.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown dtype `{0}`: expected one of {1}")]
pub struct UnknownDType(String, String);

impl FromStr for DType {
    type Err = UnknownDType;
    fn from_str(text: &str) -> Result<Self, UnknownDType> {
        let names = || DType::ALL.iter().map(|d| d.name()).collect::<Vec<_>>().join(", ");
        DType::ALL.iter().copied().find(|d| d.name() == text).ok_or_else(|| UnknownDType(text.into(), names()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn properties_follow_from_the_format() {
        assert_eq!(DType::F64.unit_roundoff(), f64::EPSILON / 2.0);
        assert_eq!(DType::F64.max_finite(), f64::MAX);
        assert_eq!(DType::F64.underflow(), f64::from_bits(1));
        assert_eq!(DType::F32.unit_roundoff(), f64::from(f32::EPSILON) / 2.0);
        assert_eq!(DType::F32.max_finite(), f64::from(f32::MAX));
        assert_eq!(DType::F32.underflow(), f64::from(f32::from_bits(1)) / 2.0);
        assert_eq!((DType::F16.unit_roundoff(), DType::F16.max_finite()), (0.00048828125, 65504.0));
        assert_eq!(DType::F16.underflow(), f16::from_bits(1).to_f64() / 2.0);
        assert_eq!((DType::Bf16.unit_roundoff(), DType::Bf16.max_finite()), (0.00390625, bf16::MAX.to_f64()));
        assert_eq!(DType::Bf16.underflow(), bf16::from_bits(1).to_f64() / 2.0);
        assert_eq!((DType::E4m3.max_finite(), DType::E5m2.max_finite()), (448.0, 57344.0));
        assert_eq!((DType::E4m3.underflow(), DType::E5m2.underflow()), (2f64.powi(-10), 2f64.powi(-17)));
        assert_eq!((DType::I8.min_finite(), DType::I8.max_finite()), (-128.0, 127.0));
        assert_eq!((DType::U8.min_finite(), DType::Bool.max_finite()), (0.0, 1.0));
    }

    #[test]
    fn names_are_read_back() {
        for &dtype in DType::ALL {
            assert_eq!(dtype.name().parse(), Ok(dtype));
            assert_eq!(dtype.size(), with_dtype!(dtype, T => size_of::<T>()));
        }
        let unknown = "f8".parse::<DType>().expect_err("no dtype").to_string();
        assert!(unknown.contains("`f8`") && unknown.contains("e4m3"), "{unknown}");
    }
}

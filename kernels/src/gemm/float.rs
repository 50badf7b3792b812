//! The two element types.

use etalon_reference::Element;

use crate::isa::arithmetic::One;
use crate::math;

/// f32 or f64.
pub trait Float: Element + PartialOrd + std::ops::Add<Output = Self> + std::ops::Mul<Output = Self> {
    /// Rounded.
    fn from_f64(value: f64) -> Self;
    /// `self·x + y`, rounded once.
    fn mul_add(self, x: Self, y: Self) -> Self;
    /// `x·Φ(x)`.
    fn gelu(self) -> Self;
}

impl Float for f32 {
    fn from_f64(value: f64) -> f32 {
        value as f32
    }
    fn mul_add(self, x: f32, y: f32) -> f32 {
        f32::mul_add(self, x, y)
    }
    #[inline(always)]
    fn gelu(self) -> f32 {
        // Without a branch, so that every level vectorises the same operations.
        math::gelu(One, self)
    }
}

impl Float for f64 {
    fn from_f64(value: f64) -> f64 {
        value
    }
    fn mul_add(self, x: f64, y: f64) -> f64 {
        f64::mul_add(self, x, y)
    }
    #[inline(always)]
    fn gelu(self) -> f64 {
        etalon_reference::ops::gemm::gelu(self)
    }
}

//! The two element types.

use etalon_reference::Element;

use super::epilogue::{gelu_f32, gelu_f64};

/// f32 or f64.
pub trait Float: Element + PartialOrd + std::ops::Add<Output = Self> + std::ops::Mul<Output = Self> {
    /// `self·x + y`, rounded once.
    fn mul_add(self, x: Self, y: Self) -> Self;
    /// `x·Φ(x)`.
    fn gelu(self) -> Self;
}

impl Float for f32 {
    fn mul_add(self, x: f32, y: f32) -> f32 {
        f32::mul_add(self, x, y)
    }
    #[inline(always)]
    fn gelu(self) -> f32 {
        gelu_f32(self)
    }
}

impl Float for f64 {
    fn mul_add(self, x: f64, y: f64) -> f64 {
        f64::mul_add(self, x, y)
    }
    #[inline(always)]
    fn gelu(self) -> f64 {
        gelu_f64(self)
    }
}

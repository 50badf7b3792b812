//! Arithmetic of cells: f32 in the lanes of a level, f64 one by one, by the same formulas.
//!
//! σ and tanh of f32 are those of [`math`], the same bits on every level. There are none of f64 there: its exponential
//! and tanh are those of the C library, the same on every level, too.

use crate::isa::arithmetic::Arithmetic;
use crate::math;

/// Operations on values.
pub trait Numbers: Copy {
    /// Values.
    type V: Copy;

    /// 1 everywhere.
    fn one(self) -> Self::V;
    /// Sum.
    fn add(self, x: Self::V, y: Self::V) -> Self::V;
    /// Difference.
    fn sub(self, x: Self::V, y: Self::V) -> Self::V;
    /// Product.
    fn mul(self, x: Self::V, y: Self::V) -> Self::V;
    /// `x·y + z`, rounded once.
    fn fma(self, x: Self::V, y: Self::V, z: Self::V) -> Self::V;
    /// `1 − x`.
    fn rest(self, x: Self::V) -> Self::V;
    /// `1 − x²`, rounded once.
    fn rest_of_square(self, x: Self::V) -> Self::V;
    /// 1/(1 + e^−x), within 3 units in the last place.
    fn sigmoid(self, x: Self::V) -> Self::V;
    /// tanh, within 3 units in the last place.
    fn tanh(self, x: Self::V) -> Self::V;
    /// 0 where x < 0, else x: NaN stays.
    fn relu(self, x: Self::V) -> Self::V;
    /// 0 where y ≤ 0, else x: also where y is NaN.
    fn gate(self, x: Self::V, y: Self::V) -> Self::V;

    /// `s·(1 − s)`: the derivative of σ where it is s.
    #[inline(always)]
    fn slope(self, s: Self::V) -> Self::V {
        self.mul(s, self.rest(s))
    }
}

/// f32, in lanes.
#[derive(Clone, Copy)]
pub struct Lanes<L>(pub L);

impl<L: Arithmetic> Numbers for Lanes<L> {
    type V = L::V;

    #[inline(always)]
    fn one(self) -> L::V {
        self.0.constant(1.0)
    }
    #[inline(always)]
    fn add(self, x: L::V, y: L::V) -> L::V {
        self.0.add(x, y)
    }
    #[inline(always)]
    fn sub(self, x: L::V, y: L::V) -> L::V {
        self.0.sub(x, y)
    }
    #[inline(always)]
    fn mul(self, x: L::V, y: L::V) -> L::V {
        self.0.mul(x, y)
    }
    #[inline(always)]
    fn fma(self, x: L::V, y: L::V, z: L::V) -> L::V {
        self.0.fma(x, y, z)
    }
    #[inline(always)]
    fn rest(self, x: L::V) -> L::V {
        self.0.sub(self.one(), x)
    }
    #[inline(always)]
    fn rest_of_square(self, x: L::V) -> L::V {
        self.0.fnma(x, x, self.one())
    }
    #[inline(always)]
    fn sigmoid(self, x: L::V) -> L::V {
        math::sigmoid(self.0, x)
    }
    #[inline(always)]
    fn tanh(self, x: L::V) -> L::V {
        math::tanh(self.0, x)
    }
    #[inline(always)]
    fn relu(self, x: L::V) -> L::V {
        self.0.max(self.0.constant(0.0), x)
    }
    #[inline(always)]
    fn gate(self, x: L::V, y: L::V) -> L::V {
        let zero = self.0.constant(0.0);
        self.0.select(self.0.at_most(y, zero), zero, x)
    }
}

/// f64.
#[derive(Clone, Copy)]
pub struct Double;

impl Numbers for Double {
    type V = f64;

    fn one(self) -> f64 {
        1.0
    }
    fn add(self, x: f64, y: f64) -> f64 {
        x + y
    }
    fn sub(self, x: f64, y: f64) -> f64 {
        x - y
    }
    fn mul(self, x: f64, y: f64) -> f64 {
        x * y
    }
    fn fma(self, x: f64, y: f64, z: f64) -> f64 {
        x.mul_add(y, z)
    }
    fn rest(self, x: f64) -> f64 {
        1.0 - x
    }
    fn rest_of_square(self, x: f64) -> f64 {
        (-x).mul_add(x, 1.0)
    }
    fn sigmoid(self, x: f64) -> f64 {
        // Below 0 as e^x/(1 + e^x), so that nothing overflows.
        let z = (-x.abs()).exp();
        (if x < 0.0 { z } else { 1.0 }) / (1.0 + z)
    }
    fn tanh(self, x: f64) -> f64 {
        x.tanh()
    }
    fn relu(self, x: f64) -> f64 {
        if x < 0.0 { 0.0 } else { x }
    }
    fn gate(self, x: f64, y: f64) -> f64 {
        if y <= 0.0 { 0.0 } else { x }
    }
}

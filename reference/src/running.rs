//! Running error analysis: a value together with a bound of how far a kernel's value may be from it.
//!
//! Where an operator computes step after step, a bound in one formula would have to take the worst step for all of
//! them. [`Running`] follows the reference instead: each operation bounds its result's error by the errors of its
//! operands and its own rounding (Wilkinson; Higham, *Accuracy and Stability of Numerical Algorithms*, section 3.3).
//! The bounds hold to all orders: nothing is neglected.

use crate::compare::ulp;
use crate::ops::recurrent::sigmoid;
use crate::tolerance::gamma;
use crate::{DType, Types};

/// A value of the reference, how far a kernel's may be from it, and how large that may be.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Running {
    /// The value.
    pub value: f64,
    /// Bound of the error.
    pub error: f64,
    /// Bound of the kernel's magnitude.
    most: f64,
}

impl Running {
    /// A value that a kernel has off by at most `error`.
    pub fn new(value: f64, error: f64) -> Running {
        // Of what is NaN or infinite, only the class counts: a sum with it is of its class, too.
        let error = if value.is_finite() { error } else { 0.0 };
        Running { value, error, most: value.abs() + error }
    }

    /// A value that a kernel is given.
    pub fn exact(value: f64) -> Running {
        Running::new(value, 0.0)
    }
}

/// The roundings of a kernel's types. In f64 the reference rounds, too: each error counts twice.
#[derive(Clone, Copy, Debug)]
pub struct Rounding {
    dtype: DType,
    sides: f64,
}

impl Rounding {
    /// Of sums and elements in the accumulator's type.
    pub fn of(types: Types) -> Rounding {
        let dtype = types.accumulator;
        Rounding { dtype, sides: if dtype == DType::F64 { 2.0 } else { 1.0 } }
    }

    /// Rounded once, with an error that it has already.
    fn rounded(self, value: f64, error: f64) -> Running {
        let own = self.dtype.unit_roundoff() * (value.abs() + error) + self.dtype.underflow();
        Running::new(value, error + self.sides * own)
    }

    /// Sum.
    pub fn add(self, x: Running, y: Running) -> Running {
        self.rounded(x.value + y.value, x.error + y.error)
    }

    /// Difference.
    pub fn sub(self, x: Running, y: Running) -> Running {
        self.rounded(x.value - y.value, x.error + y.error)
    }

    /// Error of a product before it is rounded: x̂ŷ − xy = x̂(ŷ − y) + (x̂ − x)y.
    fn spread(x: Running, y: Running) -> f64 {
        x.most * y.error + x.error * y.value.abs()
    }

    /// Product.
    pub fn mul(self, x: Running, y: Running) -> Running {
        self.rounded(x.value * y.value, Rounding::spread(x, y))
    }

    /// `x/y` of numbers that a kernel is given.
    pub fn quotient(self, x: f64, y: f64) -> Running {
        self.rounded(x / y, 0.0)
    }

    /// `x·y + z`, rounded once.
    pub fn fma(self, x: Running, y: Running, z: Running) -> Running {
        self.rounded(x.value * y.value + z.value, Rounding::spread(x, y) + z.error)
    }

    /// `s·(1 − s)`.
    pub fn open(self, s: Running) -> Running {
        self.mul(s, self.sub(Running::exact(1.0), s))
    }

    /// `1 − s²` as `(1 − s)·(1 + s)`, which rounds more than a multiply-add.
    pub fn curved(self, s: Running) -> Running {
        let one = Running::exact(1.0);
        self.mul(self.sub(one, s), self.add(one, s))
    }

    /// `(1 − z)·x + z·y` for 0 ≤ z ≤ 1, computed like that or as `(y − x)·z + x`.
    ///
    /// The factors' errors bring (1 − ẑ)(x̂ − x) + ẑ(ŷ − y) + (ẑ − z)(y − x). Before the last rounding, there are at most
    /// two on (1 − ẑ)x̂ and one on ẑŷ, or two on ẑ(ŷ − x̂): (2u + u²)(|x̂| + |ŷ|) bounds either.
    pub fn blend(self, z: Running, x: Running, y: Running) -> Running {
        let value = (1.0 - z.value) * x.value + z.value * y.value;
        let brought = (1.0 - z.value + z.error) * x.error + z.most * y.error + z.error * (y.value - x.value).abs();
        let u = self.dtype.unit_roundoff();
        let own = (2.0 * u + u * u) * (x.most + y.most) + 2.0 * self.dtype.underflow();
        self.rounded(value, brought + self.sides * own)
    }

    /// `max(x, 0)`; NaN stays.
    pub fn relu(self, x: Running) -> Running {
        let error = if x.value + x.error <= 0.0 { 0.0 } else { x.error };
        Running::new(if x.value < 0.0 { 0.0 } else { x.value }, error)
    }

    /// A sum of products in chains of `steps` roundings, given its value, the sum of the products' magnitudes with the
    /// kernel's factors, and the error that the factors bring.
    pub fn sum(self, value: f64, steps: usize, magnitude: f64, error: f64) -> Running {
        let own = gamma(steps, self.dtype.unit_roundoff()) * magnitude + steps as f64 * self.dtype.underflow();
        Running::new(value, error + self.sides * own)
    }

    /// A function with values between −1 and 1 that is evaluated within `ulps`: `value` is its own, `slope` its largest
    /// derivative between the argument and what the kernel may have, `range` how much it can change at all.
    fn function(self, x: Running, value: f64, slope: f64, range: f64, ulps: f64) -> Running {
        let moved = (slope * x.error).min(range);
        let own = self.sides * ulps * ulp(self.dtype, value.abs() + moved);
        let out = Running::new(value, moved + own);
        Running { most: out.most.min(1.0 + 4.0 * self.dtype.unit_roundoff()), ..out }
    }

    /// 1/(1 + e^−x), within `ulps`. The derivative is largest, ¼, at 0.
    pub fn sigmoid(self, x: Running, ulps: f64) -> Running {
        let nearest = (x.value.abs() - x.error).max(0.0);
        self.function(x, sigmoid(x.value), sigmoid(nearest) * sigmoid(-nearest), 1.0, ulps)
    }

    /// tanh, within `ulps`. The derivative is largest, 1, at 0.
    pub fn tanh(self, x: Running, ulps: f64) -> Running {
        let nearest = (x.value.abs() - x.error).max(0.0);
        self.function(x, x.value.tanh(), nearest.cosh().powi(-2), 2.0, ulps)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A recurrence in f32 stays within its bound, and the bound within some hundred roundings.
    #[test]
    fn bounds_hold_and_are_tight() {
        let r = Rounding::of(Types::F32);
        for start in 0..50 {
            let first = start as f32 / 17.0 - 1.3;
            let (mut kernel, mut bound) = (first, Running::exact(first.into()));
            for step in 0..40 {
                let factor = 0.3 - step as f32 / 64.0;
                kernel = factor.mul_add(kernel.tanh(), kernel * 0.5) + 0.1;
                let half = r.mul(bound, Running::exact(0.5));
                let sum = r.fma(Running::exact(factor.into()), r.tanh(bound, 1.0), half);
                bound = r.add(sum, Running::exact(0.1f32.into()));
                let off = (f64::from(kernel) - bound.value).abs();
                assert!(off <= bound.error, "step {step}: off by {off}, allowed {}", bound.error);
            }
            assert!(bound.error < 300.0 * DType::F32.unit_roundoff(), "{bound:?}");
        }
    }

    #[test]
    fn special_values_have_no_error() {
        let r = Rounding::of(Types::F32);
        let (infinite, number) = (Running::exact(f64::INFINITY), Running::new(1.0, 0.5));
        assert_eq!(r.add(infinite, number).error, 0.0);
        assert!(r.sigmoid(infinite, 3.0).error < 1e-6 && r.tanh(infinite, 3.0).error < 1e-6);
        assert_eq!(r.sigmoid(Running::exact(f64::NAN), 3.0).error, 0.0);
        // Whatever the argument is off by, a gate cannot be off by more than its range.
        assert!(
            r.sigmoid(Running::new(0.0, 1e300), 3.0).error < 1.1 && r.tanh(Running::new(0.0, 1e300), 3.0).error < 2.1
        );
    }
}

//! GELU, x·Φ(x) with the normal distribution function.
//!
//! Both functions are x or 1 from above 0 less the tail Φ(−|x|), which below 0 is all there is. The exponent x²/2 is
//! taken with the rounding error of x², so that the tail is as accurate at −13 as at −1.

use super::INVERSE_ROOT_2PI;
use super::erf::tail;
use super::exp::Parts;
use crate::isa::arithmetic::Arithmetic;

/// From here on the tail is nothing.
const LIMIT: f32 = 15.0;

/// What both functions are made of.
struct Tail<L: Arithmetic> {
    /// |x|, limited.
    a: L::V,
    /// e^(−x²/2), of the rounded square.
    density: Parts<L>,
    /// The factor of that which makes it the exact square's.
    mend: L::V,
}

impl<L: Arithmetic> Tail<L> {
    #[inline(always)]
    fn of(l: L, x: L::V) -> Tail<L> {
        let half = l.constant(0.5);
        let a = l.min(l.constant(LIMIT), l.abs(x));
        let square = l.mul(a, a);
        let lost = l.fma(a, a, l.neg(square));
        Tail { a, density: Parts::of_negative(l, l.mul(square, half)), mend: l.fnma(lost, half, l.constant(1.0)) }
    }
}

/// x·Φ(x).
#[inline(always)]
pub fn gelu<L: Arithmetic>(l: L, x: L::V) -> L::V {
    let t = Tail::of(l, x);
    let below = t.density.times(l, l.mul(l.neg(t.a), l.mul(tail(l, t.a), t.mend)));
    l.select(l.less(x, l.constant(0.0)), below, l.add(x, below))
}

/// The derivative of [`gelu`], Φ(x) + x·φ(x).
#[inline(always)]
pub fn gelu_slope<L: Arithmetic>(l: L, x: L::V) -> L::V {
    let t = Tail::of(l, x);
    let factor = l.fnma(t.a, l.constant(INVERSE_ROOT_2PI), tail(l, t.a));
    let below = t.density.times(l, l.mul(factor, t.mend));
    l.select(l.less(x, l.constant(0.0)), below, l.sub(l.constant(1.0), below))
}

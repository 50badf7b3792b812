//! The error function, and the tail of the normal distribution.

use std::f32::consts::SQRT_2;

use super::exp::Parts;
use crate::isa::arithmetic::Arithmetic;

/// Φ(−a)·e^(a²/2), which is erfcx(a/√2)/2, for a between 0 and 15. Off by 2⁻²⁴ of itself, and by its roundings.
///
/// With t = 1/(a + 3), the quotient of the two is smooth in s = 1 − 6t, which runs from −1 to 0.67.
#[inline(always)]
pub(super) fn tail<L: Arithmetic>(l: L, a: L::V) -> L::V {
    let t = l.div(l.constant(1.0), l.add(a, l.constant(3.0)));
    let s = l.fnma(l.constant(6.0), t, l.constant(1.0));
    let quotient = l.polynomial(
        s,
        [
            0.729_083_7,
            -0.509_332,
            0.230_017,
            -0.047_262_628,
            -0.010_457_571,
            0.006_970_34,
            0.001_011_364_7,
            -0.001_039_000_5,
            -2.324_070_5e-4,
            1.401_790_4e-4,
            5.477_644e-5,
        ],
    );
    l.mul(t, quotient)
}

/// The error function.
#[inline(always)]
pub fn erf<L: Arithmetic>(l: L, x: L::V) -> L::V {
    let one = l.constant(1.0);
    // From 4 on the result is 1.
    let a = l.min(l.constant(4.0), l.abs(x));
    let square = l.mul(a, a);
    // erf(a)/a − 1 in a² up to 1; erf is off by 2⁻²⁹ of itself.
    let p = l.polynomial(
        square,
        [0.128_379_17, -0.376_126_26, 0.112_835_82, -0.026_853_595, 0.005_187_851_4, -8.005_707_5e-4, 7.838_461e-5],
    );
    let below = l.fma(a, p, a);
    let complement = Parts::of_negative(l, square).times(l, tail(l, l.mul(a, l.constant(SQRT_2))));
    let above = l.fnma(l.constant(2.0), complement, one);
    l.with_sign(l.select(l.less(a, one), below, above), x)
}

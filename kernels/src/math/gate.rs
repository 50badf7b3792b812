//! Sigmoid and tanh, and x times a sigmoid.

use super::exp::{Parts, expm1};
use crate::isa::arithmetic::Arithmetic;

/// 1/(1 + e^−x).
#[inline(always)]
pub fn sigmoid<L: Arithmetic>(l: L, x: L::V) -> L::V {
    let one = l.constant(1.0);
    let z = Parts::of_negative(l, l.abs(x)).value(l);
    // Below 0 as e^x/(1 + e^x).
    l.div(l.select(l.less(x, l.constant(0.0)), z, one), l.add(one, z))
}

/// The hyperbolic tangent, as (e^2|x| − 1)/(e^2|x| + 1) with the sign of x.
#[inline(always)]
pub fn tanh<L: Arithmetic>(l: L, x: L::V) -> L::V {
    // Above 9.02 the result is 1.
    let a = l.min(l.constant(10.0), l.abs(x));
    let t = expm1(l, l.add(a, a));
    l.with_sign(l.div(t, l.add(t, l.constant(2.0))), x)
}

/// x·σ(g) for g with the sign of x, given |g|, and |x| with a limit at which the result is x or 0.
#[inline(always)]
fn gated<L: Arithmetic>(l: L, x: L::V, limited: L::V, magnitude: L::V) -> L::V {
    let g = Parts::of_negative(l, magnitude);
    let below = g.times(l, l.neg(limited));
    l.div(l.select(l.less(x, l.constant(0.0)), below, x), l.add(l.constant(1.0), g.value(l)))
}

/// The derivative of [`gated`], where `turn` is the derivative of g.
///
/// With z = e^−|g| and w = 1/(1 + z), σ(g) is w or z·w, and 1 − σ(g) is the other one: nothing cancels but the sum that
/// crosses 0 where the derivative does.
#[inline(always)]
fn gated_slope<L: Arithmetic>(l: L, x: L::V, limited: L::V, magnitude: L::V, turn: L::V) -> L::V {
    let one = l.constant(1.0);
    let z = Parts::of_negative(l, magnitude).value(l);
    let w = l.div(one, l.add(one, z));
    let below = l.less(x, l.constant(0.0));
    let (own, other) = (l.select(below, z, one), l.select(below, one, z));
    let change = l.mul(l.mul(l.with_sign(limited, x), turn), l.mul(other, w));
    l.mul(l.mul(own, w), l.add(one, change))
}

/// From here on SiLU is x or 0.
const SILU_LIMIT: f32 = 120.0;

/// x·σ(x).
#[inline(always)]
pub fn silu<L: Arithmetic>(l: L, x: L::V) -> L::V {
    let a = l.min(l.constant(SILU_LIMIT), l.abs(x));
    gated(l, x, a, a)
}

/// The derivative of [`silu`].
#[inline(always)]
pub fn silu_slope<L: Arithmetic>(l: L, x: L::V) -> L::V {
    let a = l.min(l.constant(SILU_LIMIT), l.abs(x));
    gated_slope(l, x, a, a, l.constant(1.0))
}

/// From here on GELU with tanh is x or 0.
const GELU_LIMIT: f32 = 12.0;
/// 2√(2/π), and 0.044715 times as much.
const GELU: [f32; 2] = [1.595_769, 0.071_354_814];

/// x/2·(1 + tanh(√(2/π)·(x + 0.044715·x³))), as x·σ(2√(2/π)·(…)).
#[inline(always)]
pub fn gelu_tanh<L: Arithmetic>(l: L, x: L::V) -> L::V {
    let a = l.min(l.constant(GELU_LIMIT), l.abs(x));
    gated(l, x, a, l.mul(a, l.polynomial(l.mul(a, a), GELU)))
}

/// The derivative of [`gelu_tanh`].
#[inline(always)]
pub fn gelu_tanh_slope<L: Arithmetic>(l: L, x: L::V) -> L::V {
    let a = l.min(l.constant(GELU_LIMIT), l.abs(x));
    let square = l.mul(a, a);
    let turn = l.polynomial(square, [GELU[0], 3.0 * GELU[1]]);
    gated_slope(l, x, a, l.mul(a, l.polynomial(square, GELU)), turn)
}

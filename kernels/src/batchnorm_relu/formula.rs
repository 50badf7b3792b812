//! What is summed and what is computed for each element.

use super::map::Map;
use super::sum::Terms;
use crate::isa::wide::Wide;

/// x.
#[derive(Clone, Copy, Debug)]
pub struct Values;

impl<L: Wide> Terms<L, 1, 0, 1> for Values {
    #[inline(always)]
    fn of(_: L, [x]: [L::F; 1], []: [L::F; 0]) -> [L::F; 1] {
        [x]
    }
}

/// x − m and its square.
#[derive(Clone, Copy, Debug)]
pub struct FromMean;

impl<L: Wide> Terms<L, 1, 1, 2> for FromMean {
    #[inline(always)]
    fn of(l: L, [x]: [L::F; 1], [m]: [L::F; 1]) -> [L::F; 2] {
        let d = l.sub(x, m);
        [d, l.mul(d, d)]
    }
}

/// `act((x − center)·scale + shift + residual)`.
#[derive(Clone, Copy, Debug)]
pub struct Normalise<const RELU: bool>;

impl<const RELU: bool> Normalise<RELU> {
    #[inline(always)]
    fn linear<L: Wide>(l: L, x: L::F, [center, scale, shift]: [L::F; 3]) -> L::F {
        l.add(l.mul(l.sub(x, center), scale), shift)
    }

    #[inline(always)]
    fn act<L: Wide>(l: L, z: L::F) -> L::F {
        if RELU { l.relu(z) } else { z }
    }
}

impl<L: Wide, const RELU: bool> Map<L, 1, 3> for Normalise<RELU> {
    #[inline(always)]
    fn at(l: L, [x]: [L::F; 1], params: [L::F; 3]) -> L::F {
        Self::act(l, Self::linear(l, x, params))
    }
}

impl<L: Wide, const RELU: bool> Map<L, 2, 3> for Normalise<RELU> {
    #[inline(always)]
    fn at(l: L, [x, residual]: [L::F; 2], params: [L::F; 3]) -> L::F {
        Self::act(l, l.add(Self::linear(l, x, params), residual))
    }
}

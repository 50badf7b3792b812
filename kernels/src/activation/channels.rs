//! PReLU: an α for each channel. A plane, or a row of all channels, is a run of elements whose αs lie side by side or
//! are one.

use etalon_reference::ops::activation::Extents;

use super::flat::TASK;
use super::functions::{Prelu, Value};
use crate::batchnorm_relu::{Each, Same, map};
use crate::disjoint::chunks;
use crate::faults::fault;
use crate::isa::arithmetic::{Compute, Math};
use crate::math::Ruled;
use crate::pool::Pool;

/// `y = x` above 0, else `α·x`.
pub struct Channels<'a> {
    /// Of x and y.
    pub extents: Extents,
    /// The argument.
    pub x: &'a [f32],
    /// A number for each channel.
    pub alpha: &'a [f32],
    /// Written.
    pub y: &'a mut [f32],
    /// Threads.
    pub pool: &'a Pool,
}

impl Compute for Channels<'_> {
    type Output = ();

    #[inline(always)]
    fn run<L: Math>(self, l: L) {
        let Channels { extents, x, alpha, y, pool } = self;
        chunks(pool, y, TASK, |start, y| {
            let x = &x[start..start + y.len()];
            let start = if fault!("activation.second-task") { 0 } else { start };
            l.compute(Part { extents, start, x, alpha, y });
        });
    }
}

/// Elements from `start` on.
struct Part<'a> {
    extents: Extents,
    start: usize,
    x: &'a [f32],
    alpha: &'a [f32],
    y: &'a mut [f32],
}

impl Compute for Part<'_> {
    type Output = ();

    #[inline(always)]
    fn run<L: Math>(self, l: L) {
        let Part { extents: Extents { c, s, .. }, start, x, alpha, mut y } = self;
        let mut at = start;
        while !y.is_empty() {
            // By planes to the end of the plane, by rows to the end of the row.
            let unit = if s == 1 { c } else { s };
            let (own, rest) = y.split_at_mut((unit - at % unit).min(y.len()));
            let x = &x[at - start..][..own.len()];
            if s == 1 {
                let first = at % c;
                let alpha = Each([&alpha[first..first + own.len()]]);
                map::<L, _, 1, 1, false>(l, Ruled(Value(Prelu)), [x], alpha, own, [0]);
            } else {
                let channel = if fault!("activation.second-image") && at / s > c { 0 } else { at / s % c };
                let alpha = Same([alpha[channel]]);
                map::<L, _, 1, 1, false>(l, Ruled(Value(Prelu)), [x], alpha, own, [0]);
            }
            at += own.len();
            y = rest;
        }
    }
}

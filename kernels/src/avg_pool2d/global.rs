//! The one window is the whole image.
//!
//! By planes, four vectors are added side by side, and then to each other; as many planes as a vector has lanes are
//! then transposed, so that their lanes are added in vectors, too. By pixels, the sums of eight pixels each are added.

use std::marker::PhantomData;

use etalon_reference::ops::avg_pool2d::AvgPool2d;

use super::{Form, Operands, TASK, add_to, spill, terms};
use crate::disjoint::chunks;
use crate::faults::fault;
use crate::gemm::Float;
use crate::isa::wide::{Wide, Work};
use crate::pool::Pool;

/// Vectors side by side.
const SIDE: usize = 4;
/// Pixels of a sum.
const PIXELS: usize = 8;

/// NCHW: each plane lies in one piece.
pub(super) fn planes<L: Wide<T>, T: Float, D: Form<T>>(l: L, p: &AvgPool2d, o: Operands<'_, T>, pool: &Pool) {
    let plane = p.x.h * p.x.w;
    let divisor = p.rows_counted(0) * p.columns_counted(0);
    let planes = (TASK / plane).max(1).next_multiple_of(T::LANES);
    chunks(pool, o.y, planes, |start, y| {
        let x = &o.x[start * plane..][..y.len() * plane];
        l.enter(Planes::<T, D> { x, plane, divisor, y, form: PhantomData });
    });
}

/// Some planes.
struct Planes<'a, T, D> {
    x: &'a [T],
    plane: usize,
    divisor: usize,
    y: &'a mut [T],
    form: PhantomData<D>,
}

impl<T: Float, D: Form<T>> Work<T> for Planes<'_, T, D> {
    type Output = ();

    #[inline(always)]
    fn run<L: Wide<T>>(self, l: L) {
        let Planes { x, plane, divisor, y, .. } = self;
        let by = l.splat(D::of(divisor));
        for (x, y) in x.chunks(T::LANES * plane).zip(y.chunks_mut(T::LANES)) {
            let mut sums = T::lanes(|_| l.splat(T::default()));
            for (x, sum) in x.chunks_exact(plane).zip(sums.as_mut()) {
                *sum = add_plane::<L, T, D>(l, x);
            }
            spill(l, D::finish(l, add_lanes::<L, T>(l, sums), by), y, 0);
        }
    }
}

/// The sums over the lanes of each vector, halves on halves: as many vectors as lanes.
#[inline(always)]
fn add_lanes<L: Wide<T>, T: Float>(l: L, sums: T::Lanes<L::F>) -> L::F {
    let mut lanes = l.transpose(sums);
    let lanes = lanes.as_mut();
    let mut width = T::LANES / 2;
    while width > 0 {
        for lane in 0..width {
            lanes[lane] = l.add(lanes[lane], lanes[lane + width]);
        }
        width /= 2;
    }
    lanes[0]
}

/// The sum of a plane, over whose lanes is still to be added.
#[inline(always)]
fn add_plane<L: Wide<T>, T: Float, D: Form<T>>(l: L, x: &[T]) -> L::F {
    let (whole, rest) = T::chunks(x);
    let (blocks, whole) = whole.as_chunks::<SIDE>();
    let mut sums = [l.splat(T::default()); SIDE];
    for block in blocks {
        for (sum, x) in sums.iter_mut().zip(block) {
            *sum = l.add(*sum, D::term(l, l.load(x)));
        }
    }
    // At most three, so that the last sum is free for the rest.
    for (vector, sum) in sums.iter_mut().enumerate() {
        if let Some(x) = whole.get(vector) {
            *sum = l.add(*sum, D::term(l, l.load(x)));
        }
    }
    if !rest.is_empty() && !fault!("avg_pool2d.rest-of-plane") {
        sums[SIDE - 1] = l.add(sums[SIDE - 1], D::term(l, l.load_first(rest)));
    }
    l.add(l.add(sums[0], sums[1]), l.add(sums[2], sums[3]))
}

/// NHWC: channels of some images.
pub(super) fn pixels<L: Wide<T>, T: Float, D: Form<T>>(l: L, p: &AvgPool2d, o: Operands<'_, T>, pool: &Pool) {
    let (c, plane) = (p.x.c, p.x.h * p.x.w);
    let divisor = p.rows_counted(0) * p.columns_counted(0);
    let channels = (TASK / plane).max(1).next_multiple_of(SIDE * T::LANES);
    chunks(pool, o.y, channels, |start, mut y| {
        let mut at = start;
        // To the end of the image.
        while !y.is_empty() {
            let (own, rest) = y.split_at_mut((c - at % c).min(y.len()));
            let x = &o.x[at / c * c * plane..][..c * plane];
            let channel = at % c;
            at += own.len();
            l.enter(Channels::<T, D> { x, c, channel, divisor, y: own, form: PhantomData });
            y = rest;
        }
    });
}

/// Channels of an image, from one on.
struct Channels<'a, T, D> {
    x: &'a [T],
    c: usize,
    channel: usize,
    divisor: usize,
    y: &'a mut [T],
    form: PhantomData<D>,
}

impl<T: Float, D: Form<T>> Work<T> for Channels<'_, T, D> {
    type Output = ();

    #[inline(always)]
    fn run<L: Wide<T>>(self, l: L) {
        let Channels { x, c, channel, divisor, y, .. } = self;
        let by = l.splat(D::of(divisor));
        let (sides, rest) = T::chunks_mut(y);
        let (blocks, ones) = sides.as_chunks_mut::<SIDE>();
        let mut channel = channel;
        for to in blocks {
            let sums = add_pixels::<L, T, D, SIDE>(l, x, c, channel);
            for (to, sum) in to.iter_mut().zip(sums) {
                l.store(D::finish(l, sum, by), to);
            }
            channel += SIDE * T::LANES;
        }
        for to in ones {
            let [sum] = add_pixels::<L, T, D, 1>(l, x, c, channel);
            l.store(D::finish(l, sum, by), to);
            channel += T::LANES;
        }
        if !rest.is_empty() {
            let [sum] = add_pixels::<L, T, D, 1>(l, x, c, channel);
            l.store_first(D::finish(l, sum, by), rest);
        }
    }
}

/// The sums of `N` vectors of channels over all pixels. Lanes behind the last channel have any value.
#[inline(always)]
fn add_pixels<L: Wide<T>, T: Float, D: Form<T>, const N: usize>(l: L, x: &[T], c: usize, channel: usize) -> [L::F; N] {
    let mut sums = [l.splat(T::default()); N];
    for pixels in x[channel..].chunks(PIXELS * c) {
        let mut some = [l.splat(T::default()); N];
        for pixel in pixels.chunks(c) {
            add_to::<T, L, N>(l, &mut some, terms::<T, L, D, N>(l, pixel));
        }
        add_to::<T, L, N>(l, &mut sums, some);
    }
    sums
}

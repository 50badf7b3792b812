//! The sum of each channel of images.
//!
//! By planes, element q of a plane belongs to chain q mod 16, the chains go on over the images, and are added by halves in
//! the end; by pixels, each channel is one chain over all pixels. The order is the same on every instruction set.

use etalon_reference::ops::images::{ImageLayout, Images};

use crate::disjoint::chunks;
use crate::faults::fault;
use crate::gemm::Float;
use crate::isa::wide::{LANES, Wide, Work};
use crate::pool::Pool;

/// Channels that one task sums.
const CHANNELS: usize = 16;

/// The sums in any type, in order.
pub fn sum_plainly<T: Float>(images: &Images, x: &[T], sums: &mut [T]) {
    let [image, channel, row, col] = images.strides();
    for (c, sum) in sums.iter_mut().enumerate() {
        *sum = T::default();
        for (n, h, v) in places(images) {
            *sum = *sum + x[n * image + c * channel + h * row + v * col];
        }
    }
}

fn places(images: &Images) -> impl Iterator<Item = (usize, usize, usize)> {
    let (h, w) = (images.h, images.w);
    (0..images.n).flat_map(move |n| (0..h).flat_map(move |i| (0..w).map(move |j| (n, i, j))))
}

/// The sums.
pub struct Sums<'a> {
    /// The images.
    pub images: &'a Images,
    /// Their elements.
    pub x: &'a [f32],
    /// One a channel, written.
    pub sums: &'a mut [f32],
    /// Threads.
    pub pool: &'a Pool,
}

impl Work for Sums<'_> {
    type Output = ();

    #[inline(always)]
    fn run<L: Wide>(self, l: L) {
        let Sums { images, x, sums, pool } = self;
        chunks(pool, sums, CHANNELS, |start, sums| l.enter(Part { images, x, start, sums }));
    }
}

/// Some channels.
struct Part<'a> {
    images: &'a Images,
    x: &'a [f32],
    start: usize,
    sums: &'a mut [f32],
}

impl Work for Part<'_> {
    type Output = ();

    #[inline(always)]
    fn run<L: Wide>(self, l: L) {
        let Part { images, x, start, sums } = self;
        let (plane, c) = (images.h * images.w, images.c);
        match images.layout {
            ImageLayout::Nchw => {
                for (i, sum) in sums.iter_mut().enumerate() {
                    let mut lanes = l.splat(0.0);
                    for n in 0..images.n {
                        for part in x[(n * c + start + i) * plane..][..plane].chunks(LANES) {
                            lanes = l.add(lanes, l.load_first(part));
                        }
                    }
                    *sum = l.sum(lanes);
                }
            }
            ImageLayout::Nhwc => {
                let mut lanes = l.splat(0.0);
                let start = if fault!("conv2d_backward_weights.dbias-second-task") { 0 } else { start };
                for pixel in x.chunks_exact(c) {
                    lanes = l.add(lanes, l.load_first(&pixel[start..start + sums.len()]));
                }
                l.store_first(lanes, sums);
            }
        }
    }
}

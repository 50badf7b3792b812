//! The sum of each channel of images.
//!
//! By planes, element q of a plane belongs to chain q mod 16 (f64: mod 8), the chains go on over the images, and are
//! added by halves in the end; by pixels, each channel is one chain over all pixels. The order is the same on every
//! instruction set.

use etalon_reference::ops::images::{ImageLayout, Images};

use crate::disjoint::chunks;
use crate::faults::fault;
use crate::isa::wide::{Vectors, Wide, Work};
use crate::pool::Pool;

/// The sums.
pub struct Sums<'a, T> {
    /// The images.
    pub images: &'a Images,
    /// Their elements.
    pub x: &'a [T],
    /// One per channel, written.
    pub sums: &'a mut [T],
    /// Threads.
    pub pool: &'a Pool,
}

impl<T: Vectors> Work<T> for Sums<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<L: Wide<T>>(self, l: L) {
        let Sums { images, x, sums, pool } = self;
        // One vector of channels a task.
        chunks(pool, sums, T::LANES, |start, sums| l.enter(Part { images, x, start, sums }));
    }
}

/// Some channels.
struct Part<'a, T> {
    images: &'a Images,
    x: &'a [T],
    start: usize,
    sums: &'a mut [T],
}

impl<T: Vectors> Work<T> for Part<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<L: Wide<T>>(self, l: L) {
        let Part { images, x, start, sums } = self;
        let (plane, c) = (images.h * images.w, images.c);
        match images.layout {
            ImageLayout::Nchw => {
                for (i, sum) in sums.iter_mut().enumerate() {
                    let mut lanes = l.splat(T::default());
                    for n in 0..images.n {
                        for part in x[(n * c + start + i) * plane..][..plane].chunks(T::LANES) {
                            lanes = l.add(lanes, l.load_first(part));
                        }
                    }
                    *sum = l.sum(lanes);
                }
            }
            ImageLayout::Nhwc => {
                let mut lanes = l.splat(T::default());
                let start = if fault!("conv2d_backward_weights.dbias-second-task") { 0 } else { start };
                for pixel in x.chunks_exact(c) {
                    lanes = l.add(lanes, l.load_first(&pixel[start..start + sums.len()]));
                }
                l.store_first(lanes, sums);
            }
        }
    }
}

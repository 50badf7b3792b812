//! NHWC: sixteen channels of an output side by side.
//!
//! An output's gradient is added to every pixel under its window: itself where the pixel was found, else 0. So there is no
//! scatter, and sums have the same order, because adding 0 changes nothing: sums start from +0, and are never −0. What was
//! not found under the window is added by itself.
//!
//! ```text
//! for each output, in order:  zeros up to the last row under its window
//!     for each sixteen channels, for each pixel under the window:  dx += index = pixel ? dy : 0
//! ```

use std::ops::Range;

use etalon_reference::ops::max_pool2d::MaxPool2d;

use super::planes::Outside;
use super::{Operands, Summand};
use crate::disjoint::Disjoint;
use crate::faults::fault;
use crate::isa::wide::{Wide, Work};
use crate::max_pool2d::pixels::Under;
use crate::pool::Pool;

/// Channels side by side.
pub const LANES: usize = 16;
/// Channels of a task at least, where images are fewer than threads.
pub const BAND: usize = 32;

pub fn pool<L: Wide, T: Summand>(l: L, p: &MaxPool2d, o: Operands<'_, T>, pool: &Pool, outside: &Outside) {
    let (c, plane) = (p.x.c, p.x.h * p.x.w);
    let wanted = if pool.threads() == 1 { 1 } else { (2 * pool.threads()).div_ceil(p.x.n.max(1)) };
    let band = c.div_ceil(wanted).next_multiple_of(LANES).max(BAND);
    let bands = c.div_ceil(band);
    let dx = Disjoint::new(o.dx);
    let (dy, index) = (o.dy, o.index);
    pool.run(p.x.n * bands, |task, _| {
        let (n, first) = (task / bands, task % bands * band);
        l.enter(Image { p, dy, index, dx: &dx, n, plane, channels: first..c.min(first + band), filled: 0, outside });
    });
}

/// Some channels of an image.
struct Image<'a, T> {
    p: &'a MaxPool2d,
    dy: &'a [T],
    index: &'a [i64],
    dx: &'a Disjoint<'a, T>,
    n: usize,
    /// Pixels.
    plane: usize,
    channels: Range<usize>,
    /// Pixels that have been set.
    filled: usize,
    outside: &'a Outside,
}

impl<T: Summand> Work for Image<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<L: Wide>(mut self, _: L) {
        let (p, outputs) = (self.p, self.p.y.h * self.p.y.w);
        let Range { start, end } = self.channels.clone();
        if fault!("max_pool2d_backward.second-band") && start > 0 {
            return;
        }
        for output in 0..outputs {
            let under = Under::new(p, output / p.y.w, output % p.y.w);
            self.fill(under.places().last().map_or(0, |last| (last / p.x.w + 1) * p.x.w));
            let at = (self.n * outputs + output) * p.x.c;
            let (dy, index) = (&self.dy[at + start..at + end], &self.index[at + start..at + end]);
            let ((dys, dy_rest), (indices, index_rest)) = (dy.as_chunks::<LANES>(), index.as_chunks::<LANES>());
            for (v, (dy, index)) in dys.iter().zip(indices).enumerate() {
                self.sixteen(&under, v * LANES, dy, index);
            }
            let whole = dys.len() * LANES;
            for (lane, (&dy, &at)) in dy_rest.iter().zip(index_rest).enumerate() {
                self.one(whole + lane, dy, at);
            }
        }
        self.fill(self.plane);
    }
}

impl<T: Summand> Image<'_, T> {
    /// The channels of a pixel.
    #[inline(always)]
    fn pixel(&mut self, place: usize) -> &mut [T] {
        let pixel = (self.n * self.plane + place) * self.p.x.c;
        // SAFETY: tasks have different channels or images, and each task runs once; the borrow of `self` keeps the slices
        // of a task apart.
        unsafe { self.dx.part(pixel + self.channels.start..pixel + self.channels.end) }
    }

    /// Zeros up to a pixel.
    #[inline(always)]
    fn fill(&mut self, end: usize) {
        for place in self.filled..end {
            self.pixel(place).fill(T::default());
        }
        self.filled = self.filled.max(end);
    }

    #[inline(always)]
    fn sixteen(&mut self, under: &Under, channel: usize, dy: &[T; LANES], index: &[i64; LANES]) {
        let mut found = [0i64; LANES];
        for place in under.places() {
            let dx: &mut [T; LANES] = self.pixel(place)[channel..].first_chunk_mut().expect("sixteen channels");
            for lane in 0..LANES {
                let here = index[lane] == place as i64;
                dx[lane] += if here { dy[lane] } else { T::default() };
                found[lane] |= i64::from(here);
            }
        }
        if found.iter().sum::<i64>() != LANES as i64 {
            for lane in (0..LANES).filter(|&lane| found[lane] == 0) {
                self.one(channel + lane, dy[lane], index[lane]);
            }
        }
    }

    fn one(&mut self, channel: usize, dy: T, at: i64) {
        match usize::try_from(at).ok().filter(|at| *at < self.plane) {
            Some(place) => {
                self.fill((place / self.p.x.w + 1) * self.p.x.w);
                self.pixel(place)[channel] += dy;
            }
            None => self.outside.tell(at),
        }
    }
}

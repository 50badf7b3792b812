//! NHWC: a vector of channels of an output.
//!
//! An output's gradient is added to every pixel under its window: itself where the pixel was found, else 0. So there is no
//! scatter, and sums have the same order, because adding 0 changes nothing: sums start from +0, and are never −0. What was
//! not found under the window is added by itself.
//!
//! ```text
//! for each output, in order:  zeros up to the last row under its window
//!     for each vector of channels, for each pixel under the window:  dx += index = pixel ? dy : 0
//! ```
//! Where windows are tiles of the image, each pixel is written once, without zeros before, until an index lies outside its
//! window.

use std::ops::Range;

use etalon_reference::ops::max_pool2d::MaxPool2d;
use etalon_reference::ops::window::Window;

use super::planes::Outside;
use super::{Operands, Summand};
use crate::disjoint::Disjoint;
use crate::faults::fault;
use crate::isa::wide::{Wide, Work};
use crate::max_pool2d::pixels::Under;
use crate::pool::Pool;

/// Channels of a task at least, where images are fewer than threads.
pub const BAND: usize = 32;

pub fn pool<L: Wide<T>, T: Summand>(l: L, p: &MaxPool2d, o: Operands<'_, T>, pool: &Pool, outside: &Outside) {
    let (c, plane) = (p.x.c, p.x.h * p.x.w);
    let wanted = if pool.threads() == 1 { 1 } else { (2 * pool.threads()).div_ceil(p.x.n.max(1)) };
    let band = c.div_ceil(wanted).next_multiple_of(BAND);
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

impl<T: Summand> Work<T> for Image<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<L: Wide<T>>(mut self, l: L) {
        if fault!("max_pool2d_backward.second-band") && self.channels.start > 0 {
            return;
        }
        let tiles =
            |of: &Window| (of.stride, of.dilation, of.before) == (of.taps, 1, 0) && of.output * of.stride == of.input;
        // In larger planes, positions are no numbers of a vector.
        let vectors = self.plane as u64 <= T::PLACES;
        let once =
            vectors && tiles(&self.p.rows) && tiles(&self.p.cols) && self.channels.len().is_multiple_of(T::LANES);
        if !once || !self.outputs::<L, true>(l, true) {
            self.outputs::<L, false>(l, vectors);
        }
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

    /// All outputs. If `ONCE`, each pixel is written once, and the answer is no where an index lies outside its window:
    /// then all is to be done again.
    #[inline(always)]
    fn outputs<L: Wide<T>, const ONCE: bool>(&mut self, l: L, vectors: bool) -> bool {
        let (p, outputs) = (self.p, self.p.y.h * self.p.y.w);
        let Range { start, end } = self.channels.clone();
        for output in 0..outputs {
            let under = Under::new(p, output / p.y.w, output % p.y.w);
            if !ONCE {
                self.fill(under.places().last().map_or(0, |last| (last / p.x.w + 1) * p.x.w));
            }
            let at = (self.n * outputs + output) * p.x.c;
            let (dy, index) = (&self.dy[at + start..at + end], &self.index[at + start..at + end]);
            let whole = if vectors { dy.len() / T::LANES * T::LANES } else { 0 };
            for channel in (0..whole).step_by(T::LANES) {
                let found = self.vector::<L, ONCE>(l, &under, channel, &dy[channel..], &index[channel..]);
                if !found && ONCE {
                    return false;
                }
            }
            for channel in whole..dy.len() {
                self.one(channel, dy[channel], index[channel]);
            }
        }
        if !ONCE {
            self.fill(self.plane);
        }
        true
    }

    /// Whether all were found under the window; if not `ONCE`, the others are added, too.
    #[inline(always)]
    fn vector<L: Wide<T>, const ONCE: bool>(
        &mut self,
        l: L,
        under: &Under,
        channel: usize,
        dy: &[T],
        index: &[i64],
    ) -> bool {
        let lanes = T::lanes(|lane| T::of_place(index[lane]));
        let (zero, at) = (l.splat(T::default()), l.load(&lanes));
        let alone = fault!("adaptive_max_pool2d_backward.shared-pixel") && self.p.rows.stride == 0;
        let now = l.load(T::first(dy).expect("a vector of channels"));
        let mut found = l.same(zero, l.splat(T::of_place(1)));
        for place in under.places() {
            let dx = T::first_mut(&mut self.pixel(place)[channel..]).expect("a vector of channels");
            let here = l.same(at, l.splat(T::of_place(place as i64)));
            found = l.either(found, here);
            let before = if ONCE || alone { zero } else { l.load(dx) };
            l.store(l.add(before, l.pick(here, now, zero)), dx);
        }
        let all = l.everywhere(found);
        if !all && !ONCE {
            for lane in 0..T::LANES {
                let place = usize::try_from(index[lane]).unwrap_or(usize::MAX);
                if !under.places().any(|under| under == place) {
                    self.one(channel + lane, dy[lane], index[lane]);
                }
            }
        }
        all
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

//! By pixels: a vector of channels side by side.

use etalon_reference::ops::conv2d::Conv2d;

use crate::conv2d::finish::Finish;
use crate::conv2d::operands::{Operands, Order};
use crate::disjoint::chunks;
use crate::faults::fault;
use crate::isa::arrays;
use crate::isa::wide::{Vectors, Wide, Work};
use crate::pool::Pool;
use crate::workspace::Workspace;

/// Outputs of a row that share their loads.
const OUTPUTS: usize = 4;
/// Taps of a row at most whose weights stay in registers.
const MOST_TAPS: usize = 5;

/// All outputs.
#[inline(always)]
pub fn convolve<T: Vectors, L: Wide<T>>(l: L, p: &Conv2d, o: Operands<'_, T>, pool: &Pool, workspace: &mut Workspace) {
    let (c, taps) = (p.y.c, p.rows.taps * p.cols.taps);
    let (w, zeros) = workspace.slice::<T>((taps + p.x.w) * c).split_at_mut(taps * c);
    zeros.fill(T::default());
    // By taps, then channels.
    for (k, filter) in o.w.chunks_exact(taps).enumerate() {
        for (tap, &x) in filter.iter().enumerate() {
            let tap = if o.order == Order::Exchanged { taps - 1 - tap } else { tap };
            w[tap * c + k] = x;
        }
    }
    let (w, zeros) = (&*w, &*zeros);
    chunks(pool, o.y, p.y.w * c, |start, y| {
        let i = start / (p.y.w * c);
        let (n, i) = (i / p.y.h, i % p.y.h);
        let x = &o.x[n * p.x.h * p.x.w * c..][..p.x.h * p.x.w * c];
        l.enter(Row { p, x, zeros, w, scale: o.scale, bias: o.bias, i, y });
    });
}

/// One row of pixels of the output.
struct Row<'a, T> {
    p: &'a Conv2d,
    /// The image.
    x: &'a [T],
    /// A row outside the image.
    zeros: &'a [T],
    /// Weights by taps.
    w: &'a [T],
    scale: &'a [T],
    bias: &'a [T],
    i: usize,
    y: &'a mut [T],
}

impl<T: Vectors> Work<T> for Row<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<L: Wide<T>>(self, l: L) {
        match (self.p.rows.taps, self.p.cols.taps) {
            (3, 3) => self.of_size::<L, 3, 3>(l),
            (5, 5) => self.of_size::<L, 5, 5>(l),
            _ => self.of_any_size(l),
        }
    }
}

/// Up to a vector of channels.
#[inline(always)]
fn load<T: Vectors, L: Wide<T>>(l: L, from: &[T], count: usize) -> L::F {
    match T::first(from) {
        Some(from) if count == T::LANES => l.load(from),
        _ => l.load_first(&from[..count]),
    }
}

#[inline(always)]
fn store<T: Vectors, L: Wide<T>>(l: L, x: L::F, to: &mut [T], count: usize) {
    match T::first_mut(to) {
        Some(to) if count == T::LANES => l.store(x, to),
        _ => l.store_first(x, &mut to[..count]),
    }
}

impl<T: Vectors> Row<'_, T> {
    #[inline(always)]
    fn finish<L: Wide<T>>(&self, l: L, first: usize, count: usize) -> Finish<L::F> {
        let of_bias = if fault!("conv2d.depthwise-nhwc-bias") { 0 } else { first };
        let scale = if self.scale.is_empty() { None } else { Some(load(l, &self.scale[first..], count)) };
        let bias = if self.bias.is_empty() { None } else { Some(load(l, &self.bias[of_bias..], count)) };
        Finish { scale, bias, relu: self.p.relu }
    }

    /// The row of the image that tap `r` meets.
    #[inline(always)]
    fn row(&self, r: usize) -> &[T] {
        let line = self.p.x.w * self.p.x.c;
        self.p.rows.index(self.i, r).map_or(self.zeros, |h| &self.x[h * line..][..line])
    }

    /// The weights stay in registers.
    #[inline(always)]
    fn of_size<L: Wide<T>, const R: usize, const S: usize>(mut self, l: L) {
        let (p, c, y) = (self.p, self.p.y.c, std::mem::take(&mut self.y));
        let cols = &p.cols;
        let rows: [&[T]; R] = arrays::from_fn(|r| self.row(r));
        // Outputs all of whose taps lie in the row.
        let inside = cols.before.div_ceil(cols.stride);
        let reach = (S - 1) * cols.dilation;
        let behind = (p.x.w + cols.before).checked_sub(reach).map_or(0, |x| x.div_ceil(cols.stride));
        let behind = behind.clamp(inside, p.y.w.max(inside));
        for first in (0..c).step_by(T::LANES) {
            let count = T::LANES.min(c - first);
            let finish = self.finish(l, first, count);
            let w: [[L::F; S]; R] =
                arrays::from_fn(|r| arrays::from_fn(|s| load(l, &self.w[(r * S + s) * c + first..], count)));
            let one = |j: usize, y: &mut [T]| {
                let mut sum = l.splat(T::default());
                for (row, w) in rows.iter().zip(&w) {
                    for (s, &w) in w.iter().enumerate() {
                        let x =
                            cols.index(j, s).map_or(l.splat(T::default()), |v| load(l, &row[v * c + first..], count));
                        sum = l.fma(w, x, sum);
                    }
                }
                store(l, finish.of_chunk(l, sum), &mut y[j * c + first..], count);
            };
            let mut j = 0;
            while j < p.y.w {
                if (cols.stride, cols.dilation) != (1, 1) || j < inside || j + OUTPUTS > behind {
                    one(j, y);
                    j += 1;
                    continue;
                }
                let mut sums = [l.splat(T::default()); OUTPUTS];
                for (row, w) in rows.iter().zip(&w) {
                    let from = &row[(j - cols.before) * c + first..];
                    let mut x = [l.splat(T::default()); OUTPUTS + MOST_TAPS - 1];
                    for (v, x) in x.iter_mut().enumerate().take(OUTPUTS + S - 1) {
                        *x = load(l, &from[v * c..], count);
                    }
                    for (s, &w) in w.iter().enumerate() {
                        for (output, sum) in sums.iter_mut().enumerate() {
                            *sum = l.fma(w, x[output + s], *sum);
                        }
                    }
                }
                for (output, sum) in sums.into_iter().enumerate() {
                    store(l, finish.of_chunk(l, sum), &mut y[(j + output) * c + first..], count);
                }
                j += OUTPUTS;
            }
        }
    }

    #[inline(always)]
    fn of_any_size<L: Wide<T>>(mut self, l: L) {
        let (p, c, y) = (self.p, self.p.y.c, std::mem::take(&mut self.y));
        for first in (0..c).step_by(T::LANES) {
            let count = T::LANES.min(c - first);
            let finish = self.finish(l, first, count);
            for (j, y) in y.chunks_exact_mut(c).enumerate() {
                let mut sum = l.splat(T::default());
                for (tap, w) in self.w.chunks_exact(c).enumerate() {
                    let (r, s) = (tap / p.cols.taps, tap % p.cols.taps);
                    let row = self.row(r);
                    let x = p.cols.index(j, s).map_or(l.splat(T::default()), |v| load(l, &row[v * c + first..], count));
                    sum = l.fma(load(l, &w[first..], count), x, sum);
                }
                store(l, finish.of_chunk(l, sum), &mut y[first..], count);
            }
        }
    }
}

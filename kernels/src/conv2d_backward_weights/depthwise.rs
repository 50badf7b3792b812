//! One input channel a group: a vector of output channels side by side, their sums in registers.
//!
//! The image among its zeros and dy are laid out by pixels of a vector of channels; then each tap meets a pixel of the
//! one with a pixel of the other, without a test. The order of summation is the operator's.
//!
//! Workspace: 64 bytes for each pixel of the padded image and of dy, a thread.

use etalon_reference::ops::conv2d::Conv2d;
use etalon_reference::ops::gemm::CHUNK;
use etalon_reference::ops::images::{ImageLayout, Images};

use crate::disjoint::Disjoint;
use crate::faults::fault;
use crate::gemm::Float;
use crate::isa::arrays;
use crate::isa::wide::{Vectors, Wide, Work};
use crate::pool::Pool;
use crate::workspace::Workspace;

/// Taps whose sums are in registers together.
const TAPS: usize = 9;

/// Pixels of a vector of channels.
type Pixels<T> = [<T as Vectors>::Lanes<T>];

/// Whether the kernel computes the problem.
pub fn fits(p: &Conv2d) -> bool {
    p.group_in() == 1
}

/// All of dw.
pub struct Depthwise<'a, T> {
    /// The convolution.
    pub p: &'a Conv2d,
    /// Its images.
    pub x: &'a [T],
    /// The gradient of its outputs.
    pub dy: &'a [T],
    /// The gradient of its weights.
    pub dw: &'a mut [T],
    /// Threads.
    pub pool: &'a Pool,
    /// Memory.
    pub workspace: &'a mut Workspace,
}

impl<T: Float> Work<T> for Depthwise<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<L: Wide<T>>(self, l: L) {
        let Depthwise { p, x, dy, dw, pool, workspace } = self;
        let taps = p.rows.taps * p.cols.taps;
        let (padded, pixels) = (p.rows.padded() * p.cols.padded(), p.y.h * p.y.w);
        let each = (padded + pixels) * T::LANES;
        let scratch = workspace.slice::<T>(each * pool.threads());
        let (scratch, dw) = (Disjoint::new(scratch), Disjoint::new(dw));
        pool.run(p.y.c.div_ceil(T::LANES), |task, worker| {
            let first = task * T::LANES;
            let count = T::LANES.min(p.y.c - first);
            // SAFETY: a worker runs one task at a time, and no other worker has its index.
            let scratch = unsafe { scratch.part(worker * each..(worker + 1) * each) };
            // SAFETY: each task has output channels of its own.
            let dw = unsafe { dw.part(first * taps..(first + count) * taps) };
            l.enter(Channels { p, x, dy, first, count, scratch: T::chunks_mut(scratch).0, dw });
        });
    }
}

/// Up to a vector of output channels.
struct Channels<'a, T: Vectors> {
    p: &'a Conv2d,
    x: &'a [T],
    dy: &'a [T],
    first: usize,
    count: usize,
    scratch: &'a mut Pixels<T>,
    dw: &'a mut [T],
}

impl<T: Float> Work<T> for Channels<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<L: Wide<T>>(self, l: L) {
        let Channels { p, x, dy, first, count, scratch, dw } = self;
        let (line, rows) = (p.cols.padded(), p.rows.padded());
        let (padded, dy_pixels) = scratch.split_at_mut(line * rows);
        let dy_pixels = &mut dy_pixels[..p.y.h * p.y.w];
        let zeros = T::lanes(|_| T::default());
        padded.fill(zeros);
        dw.fill(T::default());
        // Zeros take the place of channels that are missing.
        dy_pixels.fill(zeros);
        let multiplier = p.group_out();
        for n in 0..p.y.n {
            let image = |images: &Images, x| image(images, x, n);
            for row in 0..p.x.h {
                let to = &mut padded[(p.rows.before + row) * line + p.cols.before..][..p.x.w];
                gather(l, &p.x, image(&p.x, x), row * p.x.w, |lane| (first + lane) / multiplier, count, to);
            }
            gather(l, &p.y, image(&p.y, dy), 0, |lane| first + lane, count, dy_pixels);
            let taps = p.rows.taps * p.cols.taps;
            for tap in (0..taps).step_by(TAPS) {
                if tap + TAPS <= taps {
                    add::<T, L, TAPS>(l, p, padded, dy_pixels, tap, dw);
                } else {
                    (tap..taps).for_each(|tap| add::<T, L, 1>(l, p, padded, dy_pixels, tap, dw));
                }
            }
        }
    }
}

/// The elements of image `n`.
fn image<'a, T>(images: &Images, x: &'a [T], n: usize) -> &'a [T] {
    let len = images.c * images.h * images.w;
    &x[n * len..][..len]
}

/// Pixels from `start` of the channels of some lanes, side by side.
#[inline(always)]
fn gather<T: Vectors, L: Wide<T>>(
    l: L,
    images: &Images,
    x: &[T],
    start: usize,
    channel: impl Fn(usize) -> usize,
    count: usize,
    to: &mut Pixels<T>,
) {
    let (plane, c) = (images.h * images.w, images.c);
    match images.layout {
        ImageLayout::Nchw => {
            let planes = T::lanes(|lane| if lane < count { &x[channel(lane) * plane + start..] } else { &[] });
            let planes: &[&[T]] = planes.as_ref();
            for (i, to) in to.chunks_mut(T::LANES).enumerate() {
                let len = to.len();
                let square = l.transpose(T::lanes(|lane| {
                    let from = planes[lane].get(i * T::LANES..i * T::LANES + len).unwrap_or(&[]);
                    T::first(from).map_or_else(|| l.load_first(from), |from| l.load(from))
                }));
                to.iter_mut().zip(square).for_each(|(to, x)| l.store(x, to));
            }
        }
        ImageLayout::Nhwc if channel(count - 1) == channel(0) + count - 1 => {
            for (pixel, to) in x[start * c..].chunks_exact(c).zip(to) {
                let from = &pixel[channel(0)..][..count];
                l.store(T::first(from).map_or_else(|| l.load_first(from), |from| l.load(from)), to);
            }
        }
        ImageLayout::Nhwc => {
            for (pixel, to) in x[start * c..].chunks_exact(c).zip(to) {
                to.as_mut().iter_mut().take(count).enumerate().for_each(|(lane, to)| *to = pixel[channel(lane)]);
            }
        }
    }
}

/// Adds the sums of `N` taps from `tap` over an image.
#[inline(always)]
fn add<T: Float, L: Wide<T>, const N: usize>(
    l: L,
    p: &Conv2d,
    x: &Pixels<T>,
    dy: &Pixels<T>,
    tap: usize,
    dw: &mut [T],
) {
    let (line, taps) = (p.cols.padded(), p.rows.taps * p.cols.taps);
    let x: [&Pixels<T>; N] = arrays::from_fn(|t| {
        let (r, s) = ((tap + t) / p.cols.taps, (tap + t) % p.cols.taps);
        &x[r * p.rows.dilation * line + s * p.cols.dilation..]
    });
    let (mut i, mut j) = (0, 0);
    let dy = if fault!("conv2d_backward_weights.depthwise-second-chunk") { &dy[..dy.len().min(CHUNK)] } else { dy };
    for chunk in dy.chunks(CHUNK) {
        let mut sums = [l.splat(T::default()); N];
        let mut at = 0;
        while at < chunk.len() {
            let len = (p.y.w - j).min(chunk.len() - at);
            let start = i * p.rows.stride * line + j * p.cols.stride;
            let end = start + (len - 1) * p.cols.stride + 1;
            let x: [&Pixels<T>; N] = arrays::from_fn(|t| &x[t][start..end]);
            for (pixel, dy) in chunk[at..at + len].iter().enumerate() {
                let dy = l.load(dy);
                for (sum, x) in sums.iter_mut().zip(&x) {
                    *sum = l.fma(dy, l.load(&x[pixel * p.cols.stride]), *sum);
                }
            }
            (at, j) = (at + len, j + len);
            if j == p.y.w {
                (i, j) = (i + 1, 0);
            }
        }
        let mut lanes = T::lanes(|_| T::default());
        for (t, sum) in sums.into_iter().enumerate() {
            l.store(sum, &mut lanes);
            for (dw, sum) in dw.chunks_exact_mut(taps).zip(lanes) {
                dw[tap + t] = dw[tap + t] + sum;
            }
        }
    }
}

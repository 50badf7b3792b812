//! Patches and weights as matrices that are written part by part.

use std::ops::Range;

use etalon_reference::Element;
use etalon_reference::ops::conv2d::Conv2d;

use super::operands::{Order, Products};
use crate::disjoint::chunks;
use crate::gemm::Float;
use crate::gemm::driver::Lowered;
use crate::isa::wide::{Vectors, Wide, Work};
use crate::pool::Pool;

/// An image by planes among its zeros, so that no tap needs a test.
#[derive(Clone, Copy)]
pub struct Image<'a, T> {
    data: &'a [T],
    /// Elements from one channel to the next.
    plane: usize,
    /// Elements from one row to the next.
    line: usize,
}

/// Elements of the copy that [`Image::new`] makes; 0 where there is no padding.
pub fn copied(p: &Conv2d) -> usize {
    let padding = p.rows.before + p.rows.after + p.cols.before + p.cols.after;
    if padding == 0 { 0 } else { p.x.c * p.rows.padded() * p.cols.padded() }
}

impl<'a, T: Element> Image<'a, T> {
    /// The image `x` as it lies.
    pub fn plain(p: &Conv2d, x: &'a [T]) -> Image<'a, T> {
        Image { data: x, plane: p.x.h * p.x.w, line: p.x.w }
    }

    /// The image `x`, or its copy among zeros in `copy`, of at least [`copied`] elements.
    pub fn new(p: &Conv2d, x: &'a [T], copy: &'a mut [T], pool: &Pool) -> Image<'a, T> {
        let own = Image::plain(p, x);
        let len = copied(p);
        if len == 0 {
            return own;
        }
        let (line, rows) = (p.cols.padded(), p.rows.padded());
        let copy = &mut copy[..len];
        let channel = |start: usize, to: &mut [T]| {
            let x = &x[start / (rows * line) * own.plane..][..own.plane];
            let (above, rest) = to.split_at_mut(p.rows.before * line);
            let (within, below) = rest.split_at_mut(p.x.h * line);
            above.fill(T::default());
            below.fill(T::default());
            for (to, x) in within.chunks_exact_mut(line).zip(x.chunks_exact(own.line)) {
                to[..p.cols.before].fill(T::default());
                to[p.cols.before..][..x.len()].copy_from_slice(x);
                to[p.cols.before + x.len()..].fill(T::default());
            }
        };
        if pool.threads_for(len as u64 / COPIED_A_NS) == 1 {
            copy.chunks_exact_mut(rows * line).enumerate().for_each(|(c, to)| channel(c * rows * line, to));
        } else {
            chunks(pool, copy, rows * line, channel);
        }
        Image { data: copy, plane: rows * line, line }
    }
}

/// Elements that a thread copies in a nanosecond, about.
const COPIED_A_NS: u64 = 4;

/// The patches of an image by planes: products × pixels, for the group whose first input channel is `channel`.
pub struct Planes<'a, T, L> {
    /// Instructions.
    pub lanes: L,
    /// The problem.
    pub p: &'a Conv2d,
    /// The image.
    pub x: Image<'a, T>,
    /// First input channel.
    pub channel: usize,
    /// How the rows are numbered.
    pub products: Products,
}

impl<T: Float, L: Wide<T>> Lowered<T> for Planes<'_, T, L> {
    fn write(&self, _: usize, rows: Range<usize>, cols: Range<usize>, width: usize, line: usize, to: &mut [T]) {
        let Planes { lanes, p, x, channel, products } = *self;
        let x = Image { data: &x.data[channel * x.plane..], ..x };
        for (first, to) in rows.clone().step_by(ROWS).zip(to.chunks_mut(ROWS * line)) {
            let rows = first..rows.end.min(first + ROWS);
            lanes.enter(WritePlanes { p, products, x, rows, cols: cols.clone(), width, line, to });
        }
    }
}

/// Rows whose places in the image are computed at a time.
const ROWS: usize = 256;

struct WritePlanes<'a, T> {
    p: &'a Conv2d,
    products: Products,
    x: Image<'a, T>,
    rows: Range<usize>,
    cols: Range<usize>,
    width: usize,
    line: usize,
    to: &'a mut [T],
}

impl<T: Vectors> Work<T> for WritePlanes<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<L: Wide<T>>(self, l: L) {
        let WritePlanes { p, products, x, rows, cols, width, line, to } = self;
        let mut places = [0; ROWS];
        let mut product = products.at(rows.start);
        for place in &mut places[..rows.len()] {
            let (c, r, s) = product;
            *place = c * x.plane + r * p.rows.dilation * x.line + s * p.cols.dilation;
            product = products.next(product);
        }
        let places = &places[..rows.len()];
        // Pieces of a vector or less, each within a row of outputs: all products of one piece, then the next.
        let (mut at, mut i, mut j) = (0, cols.start / p.y.w, cols.start % p.y.w);
        while at < cols.len() {
            let len = (p.y.w - j).min(cols.len() - at).min(T::LANES);
            let from = &x.data[i * p.rows.stride * x.line + j * p.cols.stride..];
            match p.cols.stride {
                1 => piece::<T, L, 1>(l, places, from, &mut to[at..], line, len),
                2 => piece::<T, L, 2>(l, places, from, &mut to[at..], line, len),
                4 => piece::<T, L, 4>(l, places, from, &mut to[at..], line, len),
                stride => {
                    for (&place, to) in places.iter().zip(to[at..].chunks_mut(line)) {
                        let from = from[place..].iter().step_by(stride);
                        to[..len].iter_mut().zip(from).for_each(|(to, &x)| *to = x);
                    }
                }
            }
            (at, j) = (at + len, j + len);
            if j == p.y.w {
                (i, j) = (i + 1, 0);
            }
        }
        if cols.len() < width {
            to.chunks_mut(line).take(rows.len()).for_each(|to| zero(l, &mut to[cols.len()..width]));
        }
    }
}

/// `len` elements that lie `STRIDE` apart from each place.
#[inline(always)]
fn piece<T: Vectors, L: Wide<T>, const STRIDE: usize>(
    l: L,
    places: &[usize],
    from: &[T],
    to: &mut [T],
    line: usize,
    len: usize,
) {
    let reach = (len - 1) * STRIDE + 1;
    if len == T::LANES && STRIDE == 1 {
        for (&place, to) in places.iter().zip(to.chunks_mut(line)) {
            let x = l.load(T::first(&from[place..]).expect("a piece of the image"));
            l.store(x, T::first_mut(to).expect("a piece of the line"));
        }
        return;
    }
    for (&place, to) in places.iter().zip(to.chunks_mut(line)) {
        l.store_first(spaced::<T, L, STRIDE>(l, &from[place..][..reach]), &mut to[..len]);
    }
}

/// At most a vector of elements that lie `STRIDE` of 1, 2 or 4 apart.
#[inline(always)]
pub fn spaced<T: Vectors, L: Wide<T>, const STRIDE: usize>(l: L, from: &[T]) -> L::F {
    let part = |i: usize| l.load_first(&from[(i * T::LANES).min(from.len())..((i + 1) * T::LANES).min(from.len())]);
    match STRIDE {
        1 => l.load_first(from),
        2 => l.evens(part(0), part(1)),
        _ => l.evens(l.evens(part(0), part(1)), l.evens(part(2), part(3))),
    }
}

/// Zeros.
#[inline(always)]
pub fn zero<T: Vectors, L: Wide<T>>(l: L, to: &mut [T]) {
    for part in to.chunks_mut(T::LANES) {
        l.store_first(l.splat(T::default()), part);
    }
}

/// A copy.
#[inline(always)]
pub fn copy<T: Vectors, L: Wide<T>>(l: L, from: &[T], to: &mut [T]) {
    let (whole, rest) = T::chunks_mut(to);
    let (whole_from, rest_from) = T::chunks(from);
    for (to, from) in whole.iter_mut().zip(whole_from) {
        l.store(l.load(from), to);
    }
    if !rest.is_empty() {
        l.store_first(l.load_first(rest_from), rest);
    }
}

/// The patches of images by pixels: pixels × rsc.
pub struct Pixels<'a, T> {
    /// The problem.
    pub p: &'a Conv2d,
    /// Images.
    pub x: &'a [T],
    /// First input channel of the group.
    pub channel: usize,
}

impl<T: Element> Lowered<T> for Pixels<'_, T> {
    fn write(&self, z: usize, rows: Range<usize>, cols: Range<usize>, width: usize, line: usize, to: &mut [T]) {
        let (p, channels) = (self.p, self.p.group_in());
        let products = Products::new(p, Order::TapsFirst);
        let image = &self.x[z * p.x.h * p.x.w * p.x.c..];
        for (pixel, to) in rows.zip(to.chunks_mut(line)) {
            let (i, j) = (pixel / p.y.w, pixel % p.y.w);
            let mut at = 0;
            while at < cols.len() {
                let (c, r, s) = products.at(cols.start + at);
                let len = (channels - c).min(cols.len() - at);
                let part = &mut to[at..at + len];
                match (p.rows.index(i, r), p.cols.index(j, s)) {
                    (Some(h), Some(v)) => {
                        part.copy_from_slice(&image[(h * p.x.w + v) * p.x.c + self.channel + c..][..len]);
                    }
                    _ => part.fill(T::default()),
                }
                at += len;
            }
            to[cols.len()..width].fill(T::default());
        }
    }
}

/// The weights of a group as rsc × k.
pub struct Filters<'a, T> {
    /// The problem.
    pub p: &'a Conv2d,
    /// The group's weights.
    pub w: &'a [T],
}

impl<T: Element> Lowered<T> for Filters<'_, T> {
    fn write(&self, _: usize, rows: Range<usize>, cols: Range<usize>, width: usize, line: usize, to: &mut [T]) {
        let (channels, taps) = (self.p.group_in(), self.p.rows.taps * self.p.cols.taps);
        for (column, k) in cols.clone().enumerate() {
            let filter = &self.w[k * channels * taps..][..channels * taps];
            let (mut c, mut tap) = (rows.start % channels, rows.start / channels);
            for to in to.chunks_mut(line).take(rows.len()) {
                to[column] = filter[c * taps + tap];
                c += 1;
                if c == channels {
                    (c, tap) = (0, tap + 1);
                }
            }
        }
        for to in to.chunks_mut(line).take(rows.len()) {
            to[cols.len()..width].fill(T::default());
        }
    }
}

//! Patches and weights as matrices that are written part by part.

use std::ops::Range;

use etalon_reference::ops::conv2d::Conv2d;

use super::operands::{Order, Products};
use crate::disjoint::chunks;
use crate::gemm::driver::Lowered;
use crate::isa::wide::{LANES, Wide, Work};
use crate::pool::Pool;

/// An image by planes among its zeros, so that no tap needs a test.
#[derive(Clone, Copy)]
pub struct Image<'a> {
    data: &'a [f32],
    /// Elements from one channel to the next.
    plane: usize,
    /// Elements from one row to the next.
    line: usize,
}

impl<'a> Image<'a> {
    /// Elements of the copy that [`new`](Self::new) makes; 0 where there is no padding.
    pub fn copied(p: &Conv2d) -> usize {
        let padding = p.rows.before + p.rows.after + p.cols.before + p.cols.after;
        if padding == 0 { 0 } else { p.x.c * p.rows.padded() * p.cols.padded() }
    }

    /// The image `x` as it lies.
    pub fn plain(p: &Conv2d, x: &'a [f32]) -> Image<'a> {
        Image { data: x, plane: p.x.h * p.x.w, line: p.x.w }
    }

    /// The image `x`, or its copy among zeros in `copy`, of at least [`copied`](Self::copied) elements.
    pub fn new(p: &Conv2d, x: &'a [f32], copy: &'a mut [f32], pool: &Pool) -> Image<'a> {
        let own = Image::plain(p, x);
        let len = Self::copied(p);
        if len == 0 {
            return own;
        }
        let (line, rows) = (p.cols.padded(), p.rows.padded());
        let copy = &mut copy[..len];
        let channel = |start: usize, to: &mut [f32]| {
            let x = &x[start / (rows * line) * own.plane..][..own.plane];
            let (above, rest) = to.split_at_mut(p.rows.before * line);
            let (within, below) = rest.split_at_mut(p.x.h * line);
            above.fill(0.0);
            below.fill(0.0);
            for (to, x) in within.chunks_exact_mut(line).zip(x.chunks_exact(own.line)) {
                to[..p.cols.before].fill(0.0);
                to[p.cols.before..][..x.len()].copy_from_slice(x);
                to[p.cols.before + x.len()..].fill(0.0);
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
pub struct Planes<'a, L> {
    /// Instructions.
    pub lanes: L,
    /// The problem.
    pub p: &'a Conv2d,
    /// The image.
    pub x: Image<'a>,
    /// First input channel.
    pub channel: usize,
    /// How the rows are numbered.
    pub products: Products,
}

impl<L: Wide> Lowered<f32> for Planes<'_, L> {
    fn write(&self, _: usize, rows: Range<usize>, cols: Range<usize>, width: usize, line: usize, to: &mut [f32]) {
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

struct WritePlanes<'a> {
    p: &'a Conv2d,
    products: Products,
    x: Image<'a>,
    rows: Range<usize>,
    cols: Range<usize>,
    width: usize,
    line: usize,
    to: &'a mut [f32],
}

impl Work for WritePlanes<'_> {
    type Output = ();

    #[inline(always)]
    fn run<L: Wide>(self, l: L) {
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
            let len = (p.y.w - j).min(cols.len() - at).min(LANES);
            let from = &x.data[i * p.rows.stride * x.line + j * p.cols.stride..];
            match p.cols.stride {
                1 => piece::<L, 1>(l, places, from, &mut to[at..], line, len),
                2 => piece::<L, 2>(l, places, from, &mut to[at..], line, len),
                4 => piece::<L, 4>(l, places, from, &mut to[at..], line, len),
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
fn piece<L: Wide, const STRIDE: usize>(l: L, places: &[usize], from: &[f32], to: &mut [f32], line: usize, len: usize) {
    let reach = (len - 1) * STRIDE + 1;
    if len == LANES && STRIDE == 1 {
        for (&place, to) in places.iter().zip(to.chunks_mut(line)) {
            let x = l.load(from[place..].first_chunk().expect("a piece of the image"));
            l.store(x, to.first_chunk_mut().expect("a piece of the line"));
        }
        return;
    }
    for (&place, to) in places.iter().zip(to.chunks_mut(line)) {
        l.store_first(spaced::<L, STRIDE>(l, &from[place..][..reach]), &mut to[..len]);
    }
}

/// At most sixteen elements that lie `STRIDE` of 1, 2 or 4 apart.
#[inline(always)]
pub fn spaced<L: Wide, const STRIDE: usize>(l: L, from: &[f32]) -> L::F {
    let part = |i: usize| l.load_first(&from[(i * LANES).min(from.len())..((i + 1) * LANES).min(from.len())]);
    match STRIDE {
        1 => l.load_first(from),
        2 => l.evens(part(0), part(1)),
        _ => l.evens(l.evens(part(0), part(1)), l.evens(part(2), part(3))),
    }
}

/// Zeros.
#[inline(always)]
pub fn zero<L: Wide>(l: L, to: &mut [f32]) {
    for part in to.chunks_mut(LANES) {
        l.store_first(l.splat(0.0), part);
    }
}

/// A copy.
#[inline(always)]
pub fn copy<L: Wide>(l: L, from: &[f32], to: &mut [f32]) {
    let (whole, rest) = to.as_chunks_mut::<LANES>();
    let (whole_from, rest_from) = from.as_chunks::<LANES>();
    for (to, from) in whole.iter_mut().zip(whole_from) {
        l.store(l.load(from), to);
    }
    if !rest.is_empty() {
        l.store_first(l.load_first(rest_from), rest);
    }
}

/// The patches of images by pixels: pixels × rsc.
pub struct Pixels<'a> {
    /// The problem.
    pub p: &'a Conv2d,
    /// Images.
    pub x: &'a [f32],
    /// First input channel of the group.
    pub channel: usize,
}

impl Lowered<f32> for Pixels<'_> {
    fn write(&self, z: usize, rows: Range<usize>, cols: Range<usize>, width: usize, line: usize, to: &mut [f32]) {
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
                    _ => part.fill(0.0),
                }
                at += len;
            }
            to[cols.len()..width].fill(0.0);
        }
    }
}

/// The weights of a group as rsc × k.
pub struct Filters<'a> {
    /// The problem.
    pub p: &'a Conv2d,
    /// The group's weights.
    pub w: &'a [f32],
}

impl Lowered<f32> for Filters<'_> {
    fn write(&self, _: usize, rows: Range<usize>, cols: Range<usize>, width: usize, line: usize, to: &mut [f32]) {
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
            to[cols.len()..width].fill(0.0);
        }
    }
}

//! Patches and weights as matrices that are written part by part.

use std::ops::Range;

use etalon_reference::ops::conv2d::Conv2d;
use etalon_reference::ops::window::Window;

use super::operands::{Order, Products};
use crate::gemm::driver::Lowered;
use crate::isa::wide::{LANES, Wide, Work};

/// The patches of images by planes: products × pixels, for the group whose first input channel is `channel`.
pub struct Planes<'a, L> {
    /// Instructions.
    pub lanes: L,
    /// The problem.
    pub p: &'a Conv2d,
    /// Images.
    pub x: &'a [f32],
    /// First input channel.
    pub channel: usize,
    /// How the rows are numbered.
    pub products: Products,
}

impl<L: Wide> Lowered<f32> for Planes<'_, L> {
    fn write(&self, z: usize, rows: Range<usize>, cols: Range<usize>, width: usize, line: usize, to: &mut [f32]) {
        let plane = self.p.x.h * self.p.x.w;
        let x = &self.x[(z * self.p.x.c + self.channel) * plane..];
        self.lanes.enter(WritePlanes { p: self.p, products: self.products, x, rows, cols, width, line, to });
    }
}

struct WritePlanes<'a> {
    p: &'a Conv2d,
    products: Products,
    /// The group's channels of the image.
    x: &'a [f32],
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
        let plane = p.x.h * p.x.w;
        let (first_i, first_j) = (cols.start / p.y.w, cols.start % p.y.w);
        let mut product = products.at(rows.start);
        for to in to.chunks_mut(line).take(rows.len()) {
            let (c, r, s) = product;
            let channel = &x[c * plane..][..plane];
            let (mut at, mut i, mut j) = (0, first_i, first_j);
            while at < cols.len() {
                let len = (p.y.w - j).min(cols.len() - at);
                let part = &mut to[at..at + len];
                match p.rows.index(i, r) {
                    Some(h) => write_row(l, &p.cols, &channel[h * p.x.w..][..p.x.w], j, s, part),
                    None => zero(l, part),
                }
                (at, i, j) = (at + len, i + 1, 0);
            }
            zero(l, &mut to[cols.len()..width]);
            product = products.next(product);
        }
    }
}

/// What tap `s` of the outputs from column `j` meets in a row of the image.
#[inline(always)]
pub fn write_row<L: Wide>(l: L, window: &Window, row: &[f32], j: usize, s: usize, to: &mut [f32]) {
    let stride = window.stride;
    let start = j * stride + s * window.dilation;
    // Outputs whose tap lies left of the row, then those whose tap lies on it.
    let left = if start < window.before { (window.before - start).div_ceil(stride).min(to.len()) } else { 0 };
    let first = start + left * stride;
    let inside = (row.len() + window.before).saturating_sub(first).div_ceil(stride).min(to.len() - left);
    let (zeros, rest) = to.split_at_mut(left);
    let (values, behind) = rest.split_at_mut(inside);
    zero(l, zeros);
    zero(l, behind);
    if values.is_empty() {
        return;
    }
    let row = &row[first - window.before..];
    match stride {
        1 => copy(l, &row[..values.len()], values),
        2 => copy_evens(l, row, values),
        _ => values.iter_mut().zip(row.iter().step_by(stride)).for_each(|(to, &x)| *to = x),
    }
}

/// Zeros.
#[inline(always)]
pub fn zero<L: Wide>(l: L, to: &mut [f32]) {
    for part in to.chunks_mut(LANES) {
        l.store_first(l.splat(0.0), part);
    }
}

#[inline(always)]
fn copy<L: Wide>(l: L, from: &[f32], to: &mut [f32]) {
    let (whole, rest) = to.as_chunks_mut::<LANES>();
    let (whole_from, rest_from) = from.as_chunks::<LANES>();
    for (to, from) in whole.iter_mut().zip(whole_from) {
        l.store(l.load(from), to);
    }
    if !rest.is_empty() {
        l.store_first(l.load_first(rest_from), rest);
    }
}

/// Every second element.
#[inline(always)]
pub fn copy_evens<L: Wide>(l: L, from: &[f32], to: &mut [f32]) {
    for (to, from) in to.chunks_mut(LANES).zip(from.chunks(2 * LANES)) {
        let (low, high) = from.split_at(from.len().min(LANES));
        l.store_first(l.evens(l.load_first(low), l.load_first(high)), to);
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

//! Patches and weights as words that the inner loop reads side by side, numbered by tap, then by channel.

use std::ops::Range;

use etalon_reference::ops::conv2d_int8::Conv2dInt8;

use crate::dotted::driver::Operands;
use crate::faults::fault;
use crate::isa::arrays;
use crate::isa::dot::{CHUNK, Integers, LINE, VECTORS, b_word, bytes_of, halves_of};
use crate::matmul_int8::Left;
use crate::matmul_int8::pack::sum_columns;

/// The operands of a problem, by pixels.
pub struct Patches<'a, A> {
    /// The problem.
    pub p: &'a Conv2dInt8,
    /// Images.
    pub x: &'a [A],
    /// Weights.
    pub w: &'a [i8],
    /// What the padding holds: x's zero point.
    pub pad: A,
    /// Whether sums of patches are asked for.
    pub sums_rows: bool,
}

impl<D: Integers, A: Left> Operands<D> for Patches<'_, A> {
    #[inline(always)]
    fn pack_b(&self, d: D, z: usize, cols: Range<usize>, _: Range<usize>, words: &mut [i32], sums: &mut [i32]) {
        let conv = &self.p.conv;
        let (channels, depth) = (conv.group_in(), conv.depth());
        let taps = depth / channels;
        words.fill(0);
        for (j, column) in cols.enumerate() {
            let filter = &self.w[(z * conv.group_out() + column) * depth..][..depth];
            let mut products = (0..taps).flat_map(|tap| (0..channels).map(move |c| filter[c * taps + tap]));
            for to in words.iter_mut().skip(j).step_by(VECTORS * D::LANES) {
                let mut next = |i: usize| if i < D::PRODUCTS { products.next().unwrap_or(0) } else { 0 };
                *to = b_word::<D>(arrays::from_fn(&mut next));
            }
        }
        sum_columns(d, words, sums);
    }

    #[inline(always)]
    fn pack_a(&self, _: D, z: usize, rows: Range<usize>, words: &mut [i32], sums: &mut [i32]) {
        let conv = &self.p.conv;
        let (depth, pixels) = (conv.depth(), conv.y.h * conv.y.w);
        let tile_words = depth.div_ceil(D::PRODUCTS).div_ceil(CHUNK) * D::ROWS * LINE;
        let (mut image, mut i, mut j) = (rows.start / pixels, rows.start % pixels / conv.y.w, rows.start % conv.y.w);
        for place in 0..rows.len() {
            let line = &mut words[place / D::ROWS * tile_words..][..tile_words][place % D::ROWS * LINE..];
            let mut line = Line { words: line, step: D::ROWS * LINE, at: 0, sum: 0, sums: self.sums_rows };
            self.patch::<D>(z, image, i, j, &mut line);
            sums[place] = line.sum;
            // A word beside the last products may hold anything but for the weights' zeros: it is cleared all the same.
            line.fill::<D>(0, depth.next_multiple_of(D::PRODUCTS) - depth);
            j += 1;
            if j == conv.y.w {
                (i, j) = (i + 1, 0);
            }
            if i == conv.y.h {
                (image, i) = (image + 1, 0);
            }
        }
    }
}

impl<A: Left> Patches<'_, A> {
    /// The patch of output pixel (i, j) of an image, for a group.
    #[inline(always)]
    fn patch<D: Integers>(&self, group: usize, image: usize, i: usize, j: usize, line: &mut Line<'_>) {
        let conv = &self.p.conv;
        let (channels, cols) = (conv.group_in(), &conv.cols);
        let first = if fault!("conv2d_int8.third-group") { group.min(1) } else { group } * channels;
        let width = conv.x.w * conv.x.c;
        let pad = if fault!("conv2d_int8.zero-padding") { A::default() } else { self.pad }.unsigned();
        for r in 0..conv.rows.taps {
            let Some(h) = conv.rows.index(i, r) else {
                line.fill::<D>(pad, cols.taps * channels);
                continue;
            };
            let x = &self.x[(image * conv.x.h + h) * width..];
            if conv.groups == 1 && cols.dilation == 1 {
                // The taps that meet the image are one run of its row.
                let start = j * cols.stride;
                let from = cols.before.saturating_sub(start).min(cols.taps);
                let to = (cols.before + cols.input).saturating_sub(start).min(cols.taps);
                line.fill::<D>(pad, from * channels);
                if from < to {
                    line.push::<D, A>(&x[(start + from - cols.before) * channels..], (to - from) * channels);
                }
                line.fill::<D>(pad, (cols.taps - to) * channels);
                continue;
            }
            for s in 0..cols.taps {
                match cols.index(j, s) {
                    Some(v) => line.push::<D, A>(&x[v * conv.x.c + first..], channels),
                    None => line.fill::<D>(pad, channels),
                }
            }
        }
    }
}

/// A row of a tile, which is written from its beginning.
struct Line<'a> {
    /// From the row's first word on.
    words: &'a mut [i32],
    /// Words from one chunk to the next.
    step: usize,
    /// Elements written.
    at: usize,
    /// Their sum, if it is asked for.
    sum: i32,
    sums: bool,
}

impl Line<'_> {
    /// The chunk that is being written with what lies behind it, the place in it, and the elements that it still takes.
    #[inline(always)]
    fn chunk<D: Integers>(&mut self) -> (&mut [i32], usize, usize) {
        let (chunk, inside) = (self.at / (CHUNK * D::PRODUCTS), self.at % (CHUNK * D::PRODUCTS));
        (&mut self.words[chunk * self.step..][..LINE], inside, CHUNK * D::PRODUCTS - inside)
    }

    /// The first `len` elements of an image's rest.
    #[inline(always)]
    fn push<D: Integers, A: Left>(&mut self, mut from: &[A], mut len: usize) {
        if self.sums {
            let mut sum = 0i32;
            for x in &from[..len] {
                sum = sum.wrapping_add(x.unsigned().into());
            }
            self.sum = self.sum.wrapping_add(sum);
        }
        while len > 0 {
            let (words, inside, room) = self.chunk::<D>();
            let part = len.min(room);
            if D::PRODUCTS == 4 {
                copy(&mut bytes_of(words)[inside..], from, part, A::unsigned);
            } else {
                copy(&mut halves_of(words)[inside..], from, part, |x| u16::from(x.unsigned()));
            }
            self.at += part;
            len = if fault!("conv2d_int8.run-over-chunk") { 0 } else { len - part };
            from = &from[part..];
        }
    }

    /// `len` elements of one value.
    #[inline(always)]
    fn fill<D: Integers>(&mut self, value: u8, mut len: usize) {
        if self.sums {
            self.sum = self.sum.wrapping_add(i32::from(value).wrapping_mul(len as i32));
        }
        while len > 0 {
            let (words, inside, room) = self.chunk::<D>();
            let part = len.min(room);
            if D::PRODUCTS == 4 {
                bytes_of(words)[inside..][..part].fill(value);
            } else {
                halves_of(words)[inside..][..part].fill(value.into());
            }
            self.at += part;
            len -= part;
        }
    }
}

/// Elements that are copied at a time. So many fit behind a chunk.
const BLOCK: usize = 32;
const _: () = assert!(4 * (LINE - CHUNK) >= BLOCK && 2 * (LINE - CHUNK) >= BLOCK);

/// Copies `len` elements, and up to a whole block if there are as many: what comes next is written over them, or nobody
/// reads there.
#[inline(always)]
fn copy<A: Left, T: Copy>(to: &mut [T], from: &[A], len: usize, as_written: impl Fn(A) -> T) {
    let whole = len.next_multiple_of(BLOCK);
    if from.len() < whole {
        for (to, &x) in to[..len].iter_mut().zip(from) {
            *to = as_written(x);
        }
        return;
    }
    let (to, from) = (to[..whole].as_chunks_mut::<BLOCK>().0, from[..whole].as_chunks::<BLOCK>().0);
    for (to, from) in to.iter_mut().zip(from) {
        for (to, &x) in to.iter_mut().zip(from) {
            *to = as_written(x);
        }
    }
}

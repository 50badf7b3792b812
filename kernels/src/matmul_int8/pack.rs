//! Operands as words that the inner loop reads side by side; s8 of A comes as u8, 128 larger.

use std::ops::Range;

use etalon_reference::ops::matmul_int8::MatmulInt8;

use super::Left;
use crate::dotted::driver::Operands;
use crate::faults::fault;
use crate::isa::arrays;
use crate::isa::dot::{CHUNK, Integers, LINE, VECTORS, a_word, b_word};

/// The operands of a problem.
pub struct Bytes<'a, A> {
    /// The problem.
    pub p: &'a MatmulInt8,
    /// A.
    pub a: &'a [A],
    /// B.
    pub b: &'a [i8],
    /// Whether sums of A's rows are asked for.
    pub sums_rows: bool,
}

impl<D: Integers, A: Left> Operands<D> for Bytes<'_, A> {
    fn deep(&self) -> usize {
        if self.p.transposed || self.p.k * self.p.n <= LARGE_B { usize::MAX } else { DEEP }
    }

    #[inline(always)]
    fn pack_b(&self, d: D, _: usize, cols: Range<usize>, depth: Range<usize>, words: &mut [i32], sums: &mut [i32]) {
        if self.p.transposed {
            from_columns::<D>(self.p, self.b, cols, words)
        } else {
            from_rows(d, self.p, self.b, cols, depth.start, words)
        }
        sum_columns(d, words, sums);
    }

    #[inline(always)]
    fn pack_a(&self, _: D, _: usize, rows: Range<usize>, words: &mut [i32], sums: &mut [i32]) {
        pack_a::<D, A>(self.p.k, self.a, rows, words, sums, self.sums_rows);
    }
}

/// Bytes of B above which its rows are packed some at a time.
pub const LARGE_B: usize = 256 * 1024;
/// Words of a column that are packed at a time then.
const DEEP: usize = 16;

/// Adds a panel's columns to their sums.
#[inline(always)]
pub fn sum_columns<D: Integers>(d: D, words: &[i32], sums: &mut [i32]) {
    // A product with ones adds all of a word.
    let ones = d.splat(a_word::<D>([1; 4]));
    let mut totals = [d.zero(); VECTORS];
    for (total, sums) in totals.iter_mut().zip(sums.chunks_exact(D::LANES)) {
        if !fault!("matmul_int8.sums-anew") {
            *total = d.load(sums);
        }
    }
    for words in words.chunks_exact(VECTORS * D::LANES) {
        for (v, total) in totals.iter_mut().enumerate() {
            *total = d.dot(*total, ones, d.load(&words[v * D::LANES..]));
        }
    }
    for (total, sums) in totals.into_iter().zip(sums.chunks_exact_mut(D::LANES)) {
        d.store(total, sums);
    }
}

/// From rows of n, words from `top` on.
#[inline(always)]
fn from_rows<D: Integers>(d: D, p: &MatmulInt8, b: &[i8], cols: Range<usize>, top: usize, words: &mut [i32]) {
    let width = VECTORS * D::LANES;
    for (word, to) in (top..).zip(words.chunks_exact_mut(width)) {
        let rows = word * D::PRODUCTS..p.k.min((word + 1) * D::PRODUCTS);
        let row = |i: usize| &b[(rows.start + i) * p.n..][cols.clone()];
        if rows.len() == D::PRODUCTS && cols.len() == width {
            let rows: [&[i8]; 4] = arrays::from_fn(|i| row(i % D::PRODUCTS));
            for (v, to) in to.chunks_exact_mut(D::LANES).enumerate() {
                d.store(d.across(rows.map(|row| &row[v * D::LANES..])), to);
            }
            continue;
        }
        to.fill(0);
        for (j, to) in to[..cols.len()].iter_mut().enumerate() {
            *to = b_word::<D>(arrays::from_fn(|i| if i < rows.len() { row(i)[j] } else { 0 }));
        }
    }
}

/// From columns of k, side by side in memory.
#[inline(always)]
fn from_columns<D: Integers>(p: &MatmulInt8, b: &[i8], cols: Range<usize>, words: &mut [i32]) {
    let width = VECTORS * D::LANES;
    if cols.len() < width {
        words.fill(0);
    }
    for (j, column) in cols.enumerate() {
        let groups = b[column * p.k..][..p.k].chunks(D::PRODUCTS);
        // Without a word, where k is 0, there is no place j.
        for (to, group) in words.iter_mut().skip(j).step_by(width).zip(groups) {
            *to = b_word::<D>(arrays::from_fn(|i| group.get(i).copied().unwrap_or(0)));
        }
    }
}

/// Packs rows of A, and sums them where that is asked for.
#[inline(always)]
fn pack_a<D: Integers, A: Left>(k: usize, a: &[A], rows: Range<usize>, words: &mut [i32], sums: &mut [i32], sum: bool) {
    let tile_words = k.div_ceil(D::PRODUCTS).div_ceil(CHUNK) * D::ROWS * LINE;
    for (place, row) in rows.enumerate() {
        let a = &a[row * k..][..k];
        let tile = &mut words[place / D::ROWS * tile_words..][..tile_words];
        let lines = tile[place % D::ROWS * LINE..].chunks_mut(D::ROWS * LINE);
        for (line, a) in lines.zip(a.chunks(CHUNK * D::PRODUCTS)) {
            let (whole, rest) = a.split_at(a.len() / D::PRODUCTS * D::PRODUCTS);
            for (to, group) in line.iter_mut().zip(whole.chunks_exact(D::PRODUCTS)) {
                *to = a_word::<D>(arrays::from_fn(|i| group[i % D::PRODUCTS].unsigned()));
            }
            if !rest.is_empty() {
                let group = arrays::from_fn(|i| rest.get(i).map_or(0, |x| x.unsigned()));
                line[whole.len() / D::PRODUCTS] = a_word::<D>(group);
            }
        }
        if sum {
            sums[place] = a.iter().fold(0i32, |sum, x| sum.wrapping_add(x.unsigned().into()));
        }
    }
}

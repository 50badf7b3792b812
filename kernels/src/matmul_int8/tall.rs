//! A B of few panels: A is read where it lies.
//!
//! ```text
//! B as words, in panels of two vectors of columns
//! for tasks of rows of A, for each panel:
//!   for tiles of rows:  for words along k:  sums += word of A in every lane · B;  finish, store
//! ```
//! For words of four bytes, which a row of A consists of.

use std::ops::Range;

use etalon_reference::ops::matmul_int8::MatmulInt8;

use super::driver::Whole;
use super::{Left, Out};
use crate::disjoint::chunks;
use crate::faults::fault;
use crate::isa::arrays;
use crate::isa::dot::{Integers, Job, VECTORS};
use crate::pool::Pool;

/// Bytes of a word.
const BYTES: usize = 4;
/// Rows of a task at most: they stay in the second cache from panel to panel.
pub const TASK: usize = 192;
/// Tasks per thread at least, where there are as many tiles.
const TASKS: usize = 4;

/// Panels at most: for more, packing A pays.
pub const PANELS: usize = 4;

/// Whether it pays.
pub fn pays<D: Integers>(p: &MatmulInt8) -> bool {
    D::PRODUCTS == BYTES && p.n <= PANELS * VECTORS * D::LANES && p.k > 0
}

/// All outputs. `words` is B, packed.
pub fn matmul<D: Integers, A: Left, O: Out>(
    d: D,
    (p, a, words, finish): (&MatmulInt8, &[A], &[i32], &Whole<'_, O>),
    (out, sums_rows): (&mut [O], bool),
    (pool, threads): (&Pool, usize),
) {
    let each = TASK.min(p.m.div_ceil(TASKS * threads).next_multiple_of(D::ROWS)) * p.n;
    let rows = |start: usize, out: &mut [O]| {
        let a = &a[start / p.n * p.k..][..out.len() / p.n * p.k];
        d.enter(Rows { d, p, a, words, finish, sums_rows, out });
    };
    if threads == 1 {
        for (task, out) in out.chunks_mut(TASK * p.n).enumerate() {
            rows(task * TASK * p.n, out);
        }
    } else {
        chunks(pool, out, each, rows);
    }
}

/// Some rows.
struct Rows<'a, 'w, D, A, O> {
    d: D,
    p: &'a MatmulInt8,
    a: &'a [A],
    words: &'a [i32],
    finish: &'a Whole<'w, O>,
    sums_rows: bool,
    out: &'a mut [O],
}

impl<D: Integers, A: Left, O: Out> Job for Rows<'_, '_, D, A, O> {
    #[inline(always)]
    fn run(mut self) {
        let width = VECTORS * D::LANES;
        let panel = self.words.len() / self.p.n.div_ceil(width);
        for (words, left) in self.words.chunks_exact(panel).zip((0..).step_by(width)) {
            match self.p.n - left {
                cols if cols <= D::LANES => self.panel::<1>(words, left..left + cols),
                cols => self.panel::<VECTORS>(words, left..left + cols.min(width)),
            }
        }
    }
}

impl<D: Integers, A: Left, O: Out> Rows<'_, '_, D, A, O> {
    /// `V` vectors of columns, of all rows.
    #[inline(always)]
    fn panel<const V: usize>(&mut self, words: &[i32], cols: Range<usize>) {
        let rows = self.out.len() / self.p.n;
        let mut top = 0;
        while top < rows {
            top += match rows - top {
                12.. if D::ROWS >= 12 => self.tile::<12, V>(words, top, cols.clone()),
                6.. => self.tile::<6, V>(words, top, cols.clone()),
                2.. => self.tile::<2, V>(words, top, cols.clone()),
                _ => self.tile::<1, V>(words, top, cols.clone()),
            };
        }
    }

    /// `R` rows from `top` on; says how many.
    #[inline(always)]
    fn tile<const R: usize, const V: usize>(&mut self, words: &[i32], top: usize, cols: Range<usize>) -> usize {
        let (d, k, n) = (self.d, self.p.k, self.p.n);
        let whole = k / BYTES;
        let lines: [&[[A; BYTES]]; R] =
            arrays::from_fn(|r| &self.a[(top + r) * k..][..k].as_chunks::<BYTES>().0[..whole]);
        let mut sums = [[d.splat(0); V]; R];
        let mut panel = words.chunks_exact(VECTORS * D::LANES);
        for (word, b) in panel.by_ref().take(whole).enumerate() {
            let mut columns = [d.splat(0); V];
            for (v, columns) in columns.iter_mut().enumerate() {
                *columns = d.load(&b[v * D::LANES..]);
            }
            for r in 0..R {
                let a = d.splat_flipped(A::word(lines[r][word]), A::FLIP);
                for v in 0..V {
                    sums[r][v] = d.dot(sums[r][v], a, columns[v]);
                }
            }
        }
        if let Some(b) = panel.next()
            && !fault!("matmul_int8.tall-rest")
        {
            for (r, sums) in sums.iter_mut().enumerate() {
                let mut rest = [A::default(); BYTES];
                rest[..k - whole * BYTES]
                    .copy_from_slice(&self.a[(top + r) * k + whole * BYTES..][..k - whole * BYTES]);
                let a = d.splat_flipped(A::word(rest), A::FLIP);
                for (v, sum) in sums.iter_mut().enumerate() {
                    *sum = d.dot(*sum, a, d.load(&b[v * D::LANES..]));
                }
            }
        }
        for (r, sums) in sums.into_iter().enumerate() {
            let mut row_sum = 0i32;
            if self.sums_rows {
                for x in &self.a[(top + r) * k..][..k] {
                    row_sum = row_sum.wrapping_add(x.unsigned().into());
                }
            }
            let out = &mut self.out[(top + r) * n..][cols.clone()];
            for (v, (out, sum)) in out.chunks_mut(D::LANES).zip(sums).enumerate() {
                self.finish.store(d, cols.start + v * D::LANES, sum, row_sum, out);
            }
        }
        R
    }
}

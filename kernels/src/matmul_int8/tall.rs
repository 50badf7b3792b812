//! Many rows of A, and a B of one panel: A is read once, where it lies.
//!
//! ```text
//! B as words, one or two vectors of columns
//! for blocks of rows of A:  for words along k:  sums += word of A in every lane · B;  finish, store
//! ```
//! For words of four bytes, which a row of A consists of.

use etalon_reference::ops::matmul_int8::MatmulInt8;

use super::driver::Whole;
use super::{Left, Out};
use crate::disjoint::chunks;
use crate::faults::fault;
use crate::isa::dot::{Integers, Job, VECTORS};
use crate::pool::Pool;

/// Bytes of a word.
const BYTES: usize = 4;
/// Rows of a task.
pub const TASK: usize = 384;

/// Whether it pays: A would be packed for one panel.
pub fn pays<D: Integers>(p: &MatmulInt8) -> bool {
    D::PRODUCTS == BYTES && p.n <= VECTORS * D::LANES && p.k > 0
}

/// All outputs. `words` is B, packed.
pub fn matmul<D: Integers, A: Left, O: Out>(
    d: D,
    (p, a, words, finish): (&MatmulInt8, &[A], &[i32], &Whole<'_, O>),
    (out, sums_rows): (&mut [O], bool),
    pool: Option<&Pool>,
) {
    let rows = |start: usize, out: &mut [O]| {
        let a = &a[start / p.n * p.k..][..out.len() / p.n * p.k];
        d.enter(Rows { d, p, a, words, finish, sums_rows, out });
    };
    match pool {
        Some(pool) => chunks(pool, out, TASK * p.n, rows),
        None => rows(0, out),
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
    fn run(self) {
        if self.p.n <= D::LANES { self.vectors::<1>() } else { self.vectors::<VECTORS>() }
    }
}

impl<D: Integers, A: Left, O: Out> Rows<'_, '_, D, A, O> {
    /// `V` vectors of columns.
    #[inline(always)]
    fn vectors<const V: usize>(mut self) {
        let rows = self.out.len() / self.p.n;
        let mut top = 0;
        while top < rows {
            top += match rows - top {
                12.. if D::ROWS >= 12 => self.block::<12, V>(top),
                6.. => self.block::<6, V>(top),
                2.. => self.block::<2, V>(top),
                _ => self.block::<1, V>(top),
            };
        }
    }

    /// `R` rows from `top` on; says how many.
    #[inline(always)]
    fn block<const R: usize, const V: usize>(&mut self, top: usize) -> usize {
        let (d, k, n) = (self.d, self.p.k, self.p.n);
        let whole = k / BYTES;
        let lines: [&[[A; BYTES]]; R] =
            std::array::from_fn(|r| &self.a[(top + r) * k..][..k].as_chunks::<BYTES>().0[..whole]);
        let mut sums = [[d.splat(0); V]; R];
        let mut panel = self.words.chunks_exact(VECTORS * D::LANES);
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
            for r in 0..R {
                let mut rest = [A::default(); BYTES];
                rest[..k - whole * BYTES]
                    .copy_from_slice(&self.a[(top + r) * k + whole * BYTES..][..k - whole * BYTES]);
                let a = d.splat_flipped(A::word(rest), A::FLIP);
                for v in 0..V {
                    sums[r][v] = d.dot(sums[r][v], a, d.load(&b[v * D::LANES..]));
                }
            }
        }
        for r in 0..R {
            let mut row_sum = 0i32;
            if self.sums_rows {
                for x in &self.a[(top + r) * k..][..k] {
                    row_sum = row_sum.wrapping_add(x.unsigned().into());
                }
            }
            let out = &mut self.out[(top + r) * n..][..n];
            for (v, out) in out.chunks_mut(D::LANES).enumerate().take(V) {
                self.finish.store(d, v * D::LANES, sums[r][v], row_sum, out);
            }
        }
        R
    }
}

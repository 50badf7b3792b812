//! The streaming loops over a wide operand of 16 or 8 bits, for [`skinny`](super::skinny): elements are widened in
//! registers, so that memory is read at their own width.

use super::skinny::{Streams, Strip};
use crate::isa::arrays;
use crate::isa::narrow::{Convert, Job, Narrow, enter};
use crate::isa::wide::LANES;

/// Bytes of a row that are brought close ahead of the products of dots.
const AHEAD_BYTES: usize = 512;

/// Loops by vectors.
#[derive(Clone, Copy)]
pub struct Short<L>(pub L);

impl<L: Convert, E: Narrow> Streams<f32, E> for Short<L> {
    const LANES: usize = LANES;
    const SHORT: bool = true;

    fn add_rows(self, strip: Strip<'_, f32, E>, sums: &mut [f32]) {
        enter(self.0, Rows { strip, sums });
    }
    fn add_dots(self, strip: Strip<'_, f32, E>, sums: &mut [f32]) {
        enter(self.0, Dots { strip, sums });
    }
    fn widened(x: E) -> f32 {
        x.widened()
    }
    fn same(_: &[E]) -> Option<&[f32]> {
        None
    }
}

/// The first of `from`, at most a vector of them, as f32; zeros behind them.
#[inline(always)]
pub fn widen_first<L: Convert, E: Narrow>(l: L, from: &[E]) -> L::F {
    match from.first_chunk() {
        Some(from) => E::widen(l, from),
        None => {
            let mut all = [E::default(); LANES];
            all[..from.len()].copy_from_slice(from);
            E::widen(l, &all)
        }
    }
}

/// Outputs side by side.
struct Rows<'a, E> {
    strip: Strip<'a, f32, E>,
    sums: &'a mut [f32],
}

impl<E: Narrow> Job for Rows<'_, E> {
    type Output = ();
    #[inline(always)]
    fn run<L: Convert>(mut self, l: L) {
        let whole = self.strip.depth / L::ROWS * L::ROWS;
        for k in (0..whole).step_by(L::ROWS) {
            match L::ROWS {
                8 => self.rows::<L, 8>(l, k),
                _ => self.rows::<L, 4>(l, k),
            }
        }
        (whole..self.strip.depth).for_each(|k| self.rows::<L, 1>(l, k));
    }
}

impl<E: Narrow> Rows<'_, E> {
    /// Adds the products of rows `k..k + N`.
    #[inline(always)]
    fn rows<L: Convert, const N: usize>(&mut self, l: L, k: usize) {
        let s = self.strip;
        let rows: [&[E]; N] = arrays::from_fn(|r| &s.w[(k + r) * s.w_line..][..s.wide]);
        let vectors = self.sums.as_chunks_mut::<LANES>().0.chunks_exact_mut(s.narrow);
        for (j, sums) in (0..s.wide).step_by(LANES).zip(vectors) {
            (0..N).for_each(|r| l.prefetch(s.w, (k + N + r) * s.w_line + j));
            let row: [L::F; N] = arrays::from_fn(|r| widen_first(l, &rows[r][j..]));
            for (q, sums) in sums.iter_mut().enumerate() {
                let x = &s.x[k * s.x_k + q * s.x_q..];
                let mut sum = l.load(sums);
                for (r, &row) in row.iter().enumerate() {
                    sum = l.fma(l.splat(x[r * s.x_k]), row, sum);
                }
                l.store(sum, sums);
            }
        }
    }
}

/// Products side by side.
struct Dots<'a, E> {
    strip: Strip<'a, f32, E>,
    sums: &'a mut [f32],
}

impl<E: Narrow> Job for Dots<'_, E> {
    type Output = ();
    #[inline(always)]
    fn run<L: Convert>(self, l: L) {
        let Dots { strip: s, sums } = self;
        let sums = &mut sums.as_chunks_mut::<LANES>().0[..s.narrow];
        // Lanes without a row repeat the last one.
        let lines: [&[E]; LANES] = arrays::from_fn(|r| &s.w[r.min(s.wide - 1) * s.w_line..][..s.depth]);
        for k in (0..s.depth).step_by(LANES) {
            let square = arrays::from_fn(|r| {
                l.prefetch(s.w, r.min(s.wide - 1) * s.w_line + k + AHEAD_BYTES / size_of::<E>());
                widen_first(l, &lines[r][k..])
            });
            let columns = l.transpose(square);
            for (q, sums) in sums.iter_mut().enumerate() {
                let x = &s.x[q * s.x_q + k..];
                let mut sum = l.load(sums);
                match x.first_chunk::<LANES>() {
                    Some(x) if k + LANES <= s.depth => {
                        x.iter().zip(columns).for_each(|(&x, column)| sum = l.fma(l.splat(x), column, sum));
                    }
                    _ => {
                        let rest = s.depth - k;
                        let x = x[..rest.min(LANES)].iter().zip(columns);
                        x.for_each(|(&x, column)| sum = l.fma(l.splat(x), column, sum));
                    }
                }
                l.store(sum, sums);
            }
        }
    }
}

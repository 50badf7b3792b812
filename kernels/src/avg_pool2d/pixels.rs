//! NHWC: vectors of channels of an output.

use std::marker::PhantomData;

use etalon_reference::ops::avg_pool2d::AvgPool2d;

use super::{Form, Operands, TASK, add_to, spill, terms};
use crate::disjoint::chunks;
use crate::faults::fault;
use crate::gemm::Float;
use crate::isa::wide::{Wide, Work};
use crate::pool::Pool;

/// Vectors side by side.
const SIDE: usize = 4;

pub(super) fn pool<L: Wide<T>, T: Float, D: Form<T>>(l: L, p: &AvgPool2d, o: Operands<'_, T>, pool: &Pool) {
    let row = p.y.w * p.y.c;
    let rows = (TASK / row).clamp(1, (p.y.n * p.y.h).div_ceil(pool.threads()).max(1));
    chunks(pool, o.y, rows * row, |start, y| {
        l.enter(Rows::<T, D> { p, x: o.x, first: start / row, y, form: PhantomData });
    });
}

/// Rows of outputs, from row `first` of all images.
struct Rows<'a, T, D> {
    p: &'a AvgPool2d,
    x: &'a [T],
    first: usize,
    y: &'a mut [T],
    form: PhantomData<D>,
}

impl<T: Float, D: Form<T>> Work<T> for Rows<'_, T, D> {
    type Output = ();

    #[inline(always)]
    fn run<L: Wide<T>>(self, l: L) {
        let Rows { p, x, first, y, .. } = self;
        let (c, line) = (p.x.c, p.x.w * p.x.c);
        let image = p.x.h * line;
        let mut at = 0;
        for row in first..first + y.len() / (p.y.w * c) {
            let (n, i) = (row / p.y.h, row % p.y.h);
            let n = if fault!("avg_pool2d.fifth-image") { n.min(3) } else { n };
            let (top, height) = p.rows.span(i);
            let rows = &x[n * image + top * line..][..height * line];
            for j in 0..p.y.w {
                let (left, width) = p.cols.span(j);
                let under = Under { rows, line, left: left * c, width, c };
                let by = l.mul(l.splat(D::of(p.rows_counted(i))), l.splat(D::of(p.columns_counted(j))));
                let mut channel = 0;
                while channel + SIDE * T::LANES <= c {
                    let sums = under.add::<L, D, SIDE>(l, channel);
                    for (vector, sum) in sums.into_iter().enumerate() {
                        spill(l, D::finish(l, sum, by), y, at + channel + vector * T::LANES);
                    }
                    channel += SIDE * T::LANES;
                }
                while channel < c {
                    let [sum] = under.add::<L, D, 1>(l, channel);
                    spill(l, D::finish(l, sum, by), y, at + channel);
                    channel += T::LANES;
                }
                at += c;
            }
        }
    }
}

/// The pixels under a window.
struct Under<'a, T> {
    /// The rows.
    rows: &'a [T],
    /// Elements of a row.
    line: usize,
    /// Where the first pixel of a row begins.
    left: usize,
    /// Pixels of a row.
    width: usize,
    /// Elements of a pixel.
    c: usize,
}

impl<T: Float> Under<'_, T> {
    /// The sums of `N` vectors of channels: each column from above, then the columns. Lanes behind the last channel
    /// have any value.
    #[inline(always)]
    fn add<L: Wide<T>, D: Form<T>, const N: usize>(&self, l: L, channel: usize) -> [L::F; N] {
        let mut sums = [l.splat(T::default()); N];
        for pixel in 0..self.width {
            let mut rows = self.rows[self.left + pixel * self.c + channel..].chunks(self.line);
            let mut column = terms::<T, L, D, N>(l, rows.next().unwrap_or_default());
            for row in rows {
                add_to::<T, L, N>(l, &mut column, terms::<T, L, D, N>(l, row));
            }
            add_to::<T, L, N>(l, &mut sums, column);
        }
        sums
    }
}

//! NHWC: vectors of channels of a pixel.

use etalon_reference::ops::avg_pool2d::AvgPool2d;

use super::Operands;
use crate::avg_pool2d::{TASK, load, spill};
use crate::disjoint::chunks;
use crate::faults::fault;
use crate::gemm::Float;
use crate::isa::wide::{Wide, Work};
use crate::pool::Pool;

pub(super) fn pool<L: Wide<T>, T: Float>(l: L, p: &AvgPool2d, o: Operands<'_, T>, pool: &Pool) {
    let row = p.x.w * p.x.c;
    let rows = (TASK / row).clamp(1, (p.x.n * p.x.h).div_ceil(pool.threads()).max(1));
    let Operands { dy, x, y, dx } = o;
    chunks(pool, dx, rows * row, |start, dx| {
        let x = &x[start..start + dx.len()];
        l.enter(Rows { p, dy, x, y, first: start / row, dx });
    });
}

/// Rows of pixels, from row `first` of all images.
struct Rows<'a, T> {
    p: &'a AvgPool2d,
    dy: &'a [T],
    x: &'a [T],
    y: &'a [T],
    first: usize,
    dx: &'a mut [T],
}

impl<T: Float> Work<T> for Rows<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<L: Wide<T>>(self, l: L) {
        let Rows { p, dy, x, y, first, dx } = self;
        let (c, zero) = (p.x.c, l.splat(T::default()));
        let mut at = 0;
        for row in first..first + dx.len() / (p.x.w * c) {
            let (n, row) = (row / p.x.h, row % p.x.h);
            let (top, height) = p.rows.covering(row);
            for column in 0..p.x.w {
                let (left, width) = p.cols.covering(column);
                for channel in (0..c).step_by(T::LANES) {
                    let [x] = load::<T, L, 1>(l, &x[at + channel..]);
                    let mut sum = zero;
                    for j in left..left + width {
                        let mut of_column = zero;
                        for i in top..top + height {
                            let output = ((n * p.y.h + i) * p.y.w + j) * c + channel;
                            let [dy] = load::<T, L, 1>(l, &dy[output..]);
                            let [y] = load::<T, L, 1>(l, &y[output..]);
                            let none = if fault!("l2_pool2d_backward.zero-norm") { x } else { zero };
                            let product = l.fma(dy, l.div(x, y), of_column);
                            of_column = l.pick(l.same(y, none), of_column, product);
                        }
                        sum = l.add(sum, of_column);
                    }
                    spill(l, sum, dx, at + channel);
                }
                at += c;
            }
        }
    }
}

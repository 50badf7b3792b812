//! NHWC: vectors of channels of a pixel.

use etalon_reference::ops::avg_pool2d::AvgPool2d;

use super::{Operands, factors};
use crate::avg_pool2d::{TASK, add_to, load, spill};
use crate::disjoint::chunks;
use crate::faults::fault;
use crate::gemm::Float;
use crate::isa::wide::{Wide, Work};
use crate::pool::Pool;
use crate::workspace::Workspace;

/// Vectors side by side.
const SIDE: usize = 4;

pub(super) fn pool<L: Wide<T>, T: Float>(
    l: L,
    p: &AvgPool2d,
    o: Operands<'_, T>,
    pool: &Pool,
    workspace: &mut Workspace,
) {
    let row = p.x.w * p.x.c;
    let rows = (TASK / row).clamp(1, (p.x.n * p.x.h).div_ceil(pool.threads()).max(1));
    let inverses = workspace.slice::<T>(p.y.h * p.y.w);
    factors(p, inverses);
    let inverses = &*inverses;
    chunks(pool, o.dx, rows * row, |start, dx| {
        l.enter(Rows { p, dy: o.dy, first: start / row, dx, inverses });
    });
}

/// Rows of pixels, from row `first` of all images.
struct Rows<'a, T> {
    p: &'a AvgPool2d,
    dy: &'a [T],
    first: usize,
    dx: &'a mut [T],
    /// 1/d of each output of a plane.
    inverses: &'a [T],
}

impl<T: Float> Work<T> for Rows<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<L: Wide<T>>(self, l: L) {
        let Rows { p, dy, first, dx, inverses } = self;
        let (c, line) = (p.y.c, p.y.w * p.y.c);
        let mut at = 0;
        for row in first..first + dx.len() / (p.x.w * c) {
            let (n, row) = (row / p.x.h, row % p.x.h);
            let (top, height) = p.rows.covering(row);
            let dy = &dy[(n * p.y.h + top) * line..][..height * line];
            let inverses = &inverses[top * p.y.w..][..height * p.y.w];
            for column in 0..p.x.w {
                let (left, width) = p.cols.covering(column);
                let width = if fault!("avg_pool2d_backward.third-window") { width.min(2) } else { width };
                let over = Over { dy, inverses, outputs: p.y.w, left, width, c };
                let mut channel = 0;
                while channel + SIDE * T::LANES <= c {
                    for (vector, sum) in over.add::<L, SIDE>(l, channel).into_iter().enumerate() {
                        spill(l, sum, dx, at + channel + vector * T::LANES);
                    }
                    channel += SIDE * T::LANES;
                }
                while channel < c {
                    let [sum] = over.add::<L, 1>(l, channel);
                    spill(l, sum, dx, at + channel);
                    channel += T::LANES;
                }
                at += c;
            }
        }
    }
}

/// The windows over a pixel.
struct Over<'a, T> {
    /// The rows of outputs.
    dy: &'a [T],
    /// Their factors.
    inverses: &'a [T],
    /// Outputs of a row.
    outputs: usize,
    /// The first column of outputs.
    left: usize,
    /// Columns of outputs.
    width: usize,
    /// Elements of an output.
    c: usize,
}

impl<T: Float> Over<'_, T> {
    /// The sums of `N` vectors of channels: each column from above, then the columns. Lanes behind the last channel
    /// have any value.
    #[inline(always)]
    fn add<L: Wide<T>, const N: usize>(&self, l: L, channel: usize) -> [L::F; N] {
        let zeros = [l.splat(T::default()); N];
        let mut sums = zeros;
        for output in self.left..self.left + self.width {
            let mut column = zeros;
            let rows = self.dy.get(output * self.c + channel..).unwrap_or_default().chunks(self.outputs * self.c);
            let inverses = self.inverses.get(output..).unwrap_or_default().iter().step_by(self.outputs);
            for (row, &inverse) in rows.zip(inverses) {
                let (dy, inverse) = (load::<T, L, N>(l, row), l.splat(inverse));
                for (sum, dy) in column.iter_mut().zip(dy) {
                    *sum = l.fma(dy, inverse, *sum);
                }
            }
            add_to::<T, L, N>(l, &mut sums, column);
        }
        sums
    }
}

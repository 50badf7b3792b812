//! NCHW: outputs are spread over the columns under their windows, and a row of dx takes a vector of columns at a time.
//!
//! ```text
//! for each plane:  for each output row, for k = 0, 1, …:  spread dy and y of the k-th output over each column
//!   for each row of dx, for each vector of columns:
//!     for k = 0, 1, …:  for each output row over it:  dx += dy·(x/y), or 0 where y = 0
//! ```
//! Where a column has fewer outputs over it, dy and y are 0.

use etalon_reference::ops::avg_pool2d::AvgPool2d;

use super::Operands;
use crate::avg_pool2d::{TASK, load, spill};
use crate::disjoint::parts;
use crate::faults::fault;
use crate::gemm::Float;
use crate::isa::wide::{Wide, Work};
use crate::pool::Pool;
use crate::workspace::Workspace;

pub(super) fn pool<L: Wide<T>, T: Float>(
    l: L,
    p: &AvgPool2d,
    o: Operands<'_, T>,
    pool: &Pool,
    workspace: &mut Workspace,
) {
    let (plane, outputs) = (p.x.h * p.x.w, p.y.h * p.y.w);
    let planes = (TASK / plane).clamp(1, (p.x.n * p.x.c).div_ceil(pool.threads()).max(1));
    let over = (0..p.x.w).map(|column| p.cols.covering(column).1).max().unwrap_or(0);
    // dy and y, of each output row.
    let spread = 2 * p.y.h * over * p.x.w;
    let [scratch] = workspace.slices([pool.threads() * spread]);
    let Operands { dy, x, y, dx } = o;
    parts(pool, (dx, planes * plane), (&mut [(); 0], 1), scratch, |task, dx, _, spread| {
        let start = task * planes * plane;
        let seen = start / plane * outputs..(start + dx.len()) / plane * outputs;
        l.enter(Planes { p, dy: &dy[seen.clone()], x: &x[start..start + dx.len()], y: &y[seen], dx, over, spread });
    });
}

/// Some planes.
struct Planes<'a, T> {
    p: &'a AvgPool2d,
    dy: &'a [T],
    x: &'a [T],
    y: &'a [T],
    dx: &'a mut [T],
    /// Outputs of a row over a column, at most.
    over: usize,
    /// dy, then y, of the `over` outputs over each column: a line of columns for each of them, output row by output row.
    spread: &'a mut [T],
}

impl<T: Float> Work<T> for Planes<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<L: Wide<T>>(self, l: L) {
        let Planes { p, dy, x, y, dx, over, spread } = self;
        let (plane, outputs, w) = (p.x.h * p.x.w, p.y.h * p.y.w, p.x.w);
        let (of_dy, of_y) = spread.split_at_mut(spread.len() / 2);
        let images = x.chunks_exact(plane).zip(dx.chunks_exact_mut(plane));
        for ((x, dx), (dy, y)) in images.zip(dy.chunks_exact(outputs).zip(y.chunks_exact(outputs))) {
            spread_over(p, over, dy, of_dy);
            spread_over(p, over, y, of_y);
            for (row, (x, dx)) in x.chunks_exact(w).zip(dx.chunks_exact_mut(w)).enumerate() {
                let (top, height) = p.rows.covering(row);
                let height = if fault!("l2_pool2d_backward.second-row") { height.min(1) } else { height };
                for column in (0..w).step_by(T::LANES) {
                    let of_row = Column { dy: &of_dy[column..], y: &of_y[column..], over, w, top, height };
                    spill(l, of_row.sum(l, &x[column..]), dx, column);
                }
            }
        }
    }
}

/// The `k`-th output over each column, for each output row and k.
#[inline(always)]
fn spread_over<T: Float>(p: &AvgPool2d, over: usize, from: &[T], to: &mut [T]) {
    let (w, v) = (p.x.w, p.y.w);
    for column in 0..w {
        let (first, count) = p.cols.covering(column);
        for (from, to) in from.chunks_exact(v).zip(to.chunks_exact_mut((over * w).max(1))) {
            for k in 0..over {
                to[k * w + column] = if k < count { from[first + k] } else { T::default() };
            }
        }
    }
}

/// What lies over a vector of columns of a row.
struct Column<'a, T> {
    dy: &'a [T],
    y: &'a [T],
    over: usize,
    w: usize,
    /// The first output row, and how many.
    top: usize,
    height: usize,
}

impl<T: Float> Column<'_, T> {
    /// The gradient of x there: the sums of columns of outputs, one after the other.
    #[inline(always)]
    fn sum<L: Wide<T>>(&self, l: L, x: &[T]) -> L::F {
        let zero = l.splat(T::default());
        let [x] = load::<T, L, 1>(l, x);
        let mut sum = zero;
        for k in 0..self.over {
            let mut of_column = zero;
            for i in self.top..self.top + self.height {
                let at = (i * self.over + k) * self.w;
                let [dy] = load::<T, L, 1>(l, &self.dy[at..]);
                let [y] = load::<T, L, 1>(l, &self.y[at..]);
                of_column = l.pick(l.same(y, zero), of_column, l.fma(dy, l.div(x, y), of_column));
            }
            sum = l.add(sum, of_column);
        }
        sum
    }
}

//! NCHW: one element at a time.

use etalon_reference::ops::avg_pool2d::AvgPool2d;

use super::Operands;
use crate::avg_pool2d::TASK;
use crate::disjoint::chunks;
use crate::faults::fault;
use crate::gemm::Float;
use crate::isa::wide::{Wide, Work};
use crate::pool::Pool;

pub(super) fn pool<L: Wide<T>, T: Float>(l: L, p: &AvgPool2d, o: Operands<'_, T>, pool: &Pool) {
    let (plane, outputs) = (p.x.h * p.x.w, p.y.h * p.y.w);
    let planes = (TASK / plane).clamp(1, (p.x.n * p.x.c).div_ceil(pool.threads()).max(1));
    let Operands { dy, x, y, dx } = o;
    chunks(pool, dx, planes * plane, |start, dx| {
        let seen = start / plane * outputs..(start + dx.len()) / plane * outputs;
        l.enter(Planes { p, dy: &dy[seen.clone()], x: &x[start..start + dx.len()], y: &y[seen], dx });
    });
}

/// Some planes.
struct Planes<'a, T> {
    p: &'a AvgPool2d,
    dy: &'a [T],
    x: &'a [T],
    y: &'a [T],
    dx: &'a mut [T],
}

impl<T: Float> Work<T> for Planes<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<L: Wide<T>>(self, _: L) {
        let Planes { p, dy, x, y, dx } = self;
        let (plane, outputs) = (p.x.h * p.x.w, p.y.h * p.y.w);
        let images = x.chunks_exact(plane).zip(dx.chunks_exact_mut(plane));
        for ((x, dx), (dy, y)) in images.zip(dy.chunks_exact(outputs).zip(y.chunks_exact(outputs))) {
            let rows = x.chunks_exact(p.x.w).zip(dx.chunks_exact_mut(p.x.w));
            for (row, (x, dx)) in rows.enumerate() {
                let (top, height) = p.rows.covering(row);
                let height = if fault!("l2_pool2d_backward.second-row") { height.min(1) } else { height };
                for (column, (&x, dx)) in x.iter().zip(dx).enumerate() {
                    let (left, width) = p.cols.covering(column);
                    let mut sum = T::default();
                    for j in left..left + width {
                        let mut of_column = T::default();
                        for i in top..top + height {
                            let (dy, y) = (dy[i * p.y.w + j], y[i * p.y.w + j]);
                            if y.to_f64() != 0.0 {
                                // A quotient of f32 in f64, rounded again, is the nearest f32.
                                let share = T::from_f64(x.to_f64() / y.to_f64());
                                of_column = dy.mul_add(share, of_column);
                            }
                        }
                        sum = sum + of_column;
                    }
                    *dx = sum;
                }
            }
        }
    }
}

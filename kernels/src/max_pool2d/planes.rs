//! NCHW: sixteen outputs of a row side by side.
//!
//! The rows under a row of outputs are copied into lines with −∞ on both sides, which never wins: no window then has an edge.
//!
//! ```text
//! for each row of outputs:  copy its rows of x into lines
//!     for each sixteen outputs, for each line r, for each tap s:  see line r at j·sw + s·dw
//! ```

use etalon_reference::ops::max_pool2d::MaxPool2d;

use super::{Best, LANES, Number, Operands, Place};
use crate::adaptive_max_pool2d::uneven;
use crate::disjoint::parts;
use crate::faults::fault;
use crate::isa::arrays;
use crate::isa::wide::{Wide, Work};
use crate::pool::Pool;
use crate::workspace::Workspace;

/// Elements of a task, about.
const TASK: usize = 16 * 1024;

pub(super) fn pool<L: Wide<T>, T: Number, I: Place>(
    l: L,
    p: &MaxPool2d,
    o: Operands<'_, T>,
    pool: &Pool,
    workspace: &mut Workspace,
) {
    let (plane, outputs) = (p.x.h * p.x.w, p.y.h * p.y.w);
    let planes = (TASK / plane).clamp(1, (p.x.n * p.x.c).div_ceil(pool.threads()).max(1));
    let line = line(p);
    let lines = workspace.slice::<T>(pool.threads() * p.rows.taps * line);
    let (y, index) = ((o.y, planes * outputs), (o.index, planes * outputs));
    parts(pool, y, index, lines, |task, y, index, lines| {
        let x = &o.x[task * planes * plane..][..y.len() / outputs * plane];
        l.enter(Planes::<T, I> { p, x, y, index, lines, line, places: std::marker::PhantomData });
    });
}

/// Elements of a line: the padded row, and what the last sixteen outputs look at behind it.
fn line(p: &MaxPool2d) -> usize {
    let last = (p.cols.output.next_multiple_of(LANES) - 1) * p.cols.stride;
    let seen = last + (p.cols.taps - 1) * p.cols.dilation + 1;
    seen.max(p.cols.before + p.cols.input).next_multiple_of(LANES)
}

struct Planes<'a, T, I> {
    p: &'a MaxPool2d,
    x: &'a [T],
    y: &'a mut [T],
    index: &'a mut [i64],
    lines: &'a mut [T],
    line: usize,
    places: std::marker::PhantomData<I>,
}

impl<T: Number, I: Place> Work<T> for Planes<'_, T, I> {
    type Output = ();

    #[inline(always)]
    fn run<L: Wide<T>>(self, _: L) {
        match self.p.cols.stride {
            1 => self.compute::<1>(),
            2 => self.compute::<2>(),
            _ => self.compute::<0>(),
        }
    }
}

impl<T: Number, I: Place> Planes<'_, T, I> {
    /// `STRIDE` is the stride of columns, 0 for any.
    #[inline(always)]
    fn compute<const STRIDE: usize>(self) {
        let Planes { p, x, y, index, lines, line, .. } = self;
        lines.fill(T::LEAST);
        let (plane, outputs) = (p.x.h * p.x.w, p.y.h * p.y.w);
        let mut nowhere = [];
        for (at, (x, y)) in x.chunks_exact(plane).zip(y.chunks_exact_mut(outputs)).enumerate() {
            for (i, y) in y.chunks_exact_mut(p.y.w).enumerate() {
                let index = match index.get_mut(at * outputs + i * p.y.w..) {
                    Some(rest) if p.index => &mut rest[..p.y.w],
                    _ => &mut nowhere[..],
                };
                if p.cols.stride == 0 {
                    uneven(p, x, i, y, index);
                } else {
                    row::<T, I, STRIDE>(p, x, i, lines, line, y, index);
                }
            }
        }
    }
}

/// A row of outputs.
#[inline(always)]
fn row<T: Number, I: Place, const STRIDE: usize>(
    p: &MaxPool2d,
    x: &[T],
    i: usize,
    lines: &mut [T],
    line: usize,
    y: &mut [T],
    index: &mut [i64],
) {
    let (w, cols) = (p.x.w, &p.cols);
    let stride = if STRIDE == 0 { cols.stride } else { STRIDE };
    let steps: [I; LANES] = arrays::from_fn(|lane| I::new(lane * stride));
    let (top, height) = p.rows.span(i);
    let rows = x[top * w..].chunks(p.rows.dilation * w).take(height);
    for (to, row) in lines.chunks_exact_mut(line).zip(rows) {
        to[cols.before..][..w].copy_from_slice(&row[..w]);
    }
    let first_row = top * w;
    for (block, y) in y.chunks_mut(LANES).enumerate() {
        let block = if fault!("max_pool2d.third-block") && block > 1 { 0 } else { block };
        let start = block * LANES * stride;
        let mut best = Best::<T, I, LANES>::new(arrays::from_fn(|lane| {
            let ahead = start + lane * stride;
            // Left of the image, the first tap that falls on it.
            let column = match ahead.checked_sub(cols.before) {
                Some(column) => column,
                None if fault!("max_pool2d.left-of-image") => usize::MAX,
                None => (cols.dilation - (cols.before - ahead) % cols.dilation) % cols.dilation,
            };
            I::new(first_row.wrapping_add(column))
        }));
        for (r, line) in lines.chunks_exact(line).take(height).enumerate() {
            let row = top + r * p.rows.dilation;
            for s in 0..cols.taps {
                let from = start + s * cols.dilation;
                let seen = &line[from..][..(LANES - 1) * stride + 1];
                // Left of the image the position is meaningless, and so small a value is never found.
                let place = I::new((row * w + from).wrapping_sub(cols.before));
                best.see(arrays::from_fn(|lane| seen[lane * stride]), steps.map(|step| place.plus(step)));
            }
        }
        let places = if index.is_empty() { &mut [][..] } else { &mut index[block * LANES..][..y.len()] };
        best.store(y, places);
    }
}

//! NCHW: the rows of dy whose windows lie over a row of dx become one line, with zeros on both sides.
//!
//! ```text
//! for each row of dx:  line = the sum of the rows of dy over it, times 1/d
//!     for each vector of columns, for each window over them:  dx += line at the window
//! ```
//! With a stride of 2, even and odd places have windows of their own: each is a vector, and they are stored in turn.

use etalon_reference::ops::avg_pool2d::AvgPool2d;

use super::{Operands, factors};
use crate::adaptive_avg_pool2d_backward::gather;
use crate::avg_pool2d::{TASK, spill};
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
    let lines = Lines::of::<T>(p);
    let sizes = [outputs, pool.threads() * (lines.line + lines.spread)];
    let ([inverses, scratch], [ends]) = workspace.slices2::<T, i64, 2, 1>(sizes, [2 * p.x.w]);
    factors(p, inverses);
    for (column, ends) in ends.chunks_exact_mut(2).enumerate() {
        let (first, count) = p.cols.covering(column);
        ends.copy_from_slice(&[first as i64, (first + count) as i64]);
    }
    let (inverses, ends) = (&*inverses, &*ends);
    parts(pool, (o.dx, planes * plane), (&mut [(); 0], 1), scratch, |task, dx, _, scratch| {
        let dy = &o.dy[task * planes * outputs..][..dx.len() / plane * outputs];
        let (line, spread) = scratch.split_at_mut(lines.line);
        l.enter(Planes { p, dy, dx, inverses, ends, line, spread, zeros: lines.zeros });
    });
}

/// Elements of the lines.
struct Lines {
    /// Zeros before the sums of dy.
    zeros: usize,
    /// All of the line.
    line: usize,
    /// Elements of a row of dx with its padding, where they are stored in turn.
    spread: usize,
}

impl Lines {
    fn of<T: Float>(p: &AvgPool2d) -> Lines {
        let (cols, lanes) = (&p.cols, T::LANES);
        let behind = p.y.w.next_multiple_of(lanes) + lanes;
        if ![1, 2].contains(&cols.stride) {
            return Lines { zeros: 0, line: behind, spread: 0 };
        }
        // Windows over an element, without regard to the ends.
        let most = cols.taps.div_ceil(cols.stride);
        let places = ((cols.before + p.x.w).div_ceil(cols.stride) + 1).next_multiple_of(lanes);
        let line = (most + places.max(p.y.w) + 2 * lanes).next_multiple_of(lanes);
        Lines { zeros: most - 1, line, spread: if cols.stride == 2 { 2 * places } else { 0 } }
    }
}

/// Some planes.
struct Planes<'a, T> {
    p: &'a AvgPool2d,
    dy: &'a [T],
    dx: &'a mut [T],
    /// 1/d of each output of a plane.
    inverses: &'a [T],
    /// The first window over each column and the one behind the last.
    ends: &'a [i64],
    line: &'a mut [T],
    spread: &'a mut [T],
    zeros: usize,
}

impl<T: Float> Work<T> for Planes<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<L: Wide<T>>(self, l: L) {
        let Planes { p, dy, dx, inverses, ends, line, spread, zeros } = self;
        let (w, v) = (p.x.w, p.y.w);
        line.fill(T::default());
        let mut at = 0;
        for dy in dy.chunks_exact(p.y.h * v) {
            let mut before = None;
            for row in 0..p.x.h {
                let over = p.rows.covering(row);
                if before == Some(over) {
                    dx.copy_within(at - w..at, at);
                } else {
                    let (first, count) = over;
                    let (dy, inverses) = (&dy[first * v..][..count * v], &inverses[first * v..][..count * v]);
                    add_rows(l, dy, inverses, v, &mut line[zeros..]);
                    match p.cols.stride {
                        1 => by_one(l, p, line, dx, at),
                        2 => by_two(l, p, line, spread, &mut dx[at..at + w]),
                        _ => gather(&line[zeros..], ends, &mut dx[at..at + w]),
                    }
                }
                before = Some(over);
                at += w;
            }
        }
    }
}

/// The sum of rows, of `w` elements each, times their factors: zeros behind the last element.
#[inline(always)]
fn add_rows<L: Wide<T>, T: Float>(l: L, dy: &[T], factors: &[T], w: usize, to: &mut [T]) {
    if dy.is_empty() {
        to[..w].fill(T::default());
    }
    let rows = dy.chunks_exact(w).zip(factors.chunks_exact(w));
    for (row, (dy, factors)) in rows.enumerate() {
        let ((dy, rest), (factors, last)) = (T::chunks(dy), T::chunks(factors));
        let (to, behind) = T::chunks_mut(to).0.split_at_mut(dy.len());
        for ((dy, factors), to) in dy.iter().zip(factors).zip(to) {
            let so_far = if row == 0 { l.splat(T::default()) } else { l.load(to) };
            l.store(l.fma(l.load(dy), l.load(factors), so_far), to);
        }
        if !rest.is_empty() {
            let so_far = if row == 0 { l.splat(T::default()) } else { l.load(&behind[0]) };
            l.store(l.fma(l.load_first(rest), l.load_first(last), so_far), &mut behind[0]);
        }
    }
}

/// The sums over `count` places of the line from `from` on, for a vector of places.
#[inline(always)]
fn add_places<L: Wide<T>, T: Float>(l: L, line: &[T], from: usize, count: usize) -> L::F {
    let mut sum = l.splat(T::default());
    if count > 0 {
        for place in line[from..][..count - 1 + T::LANES].windows(T::LANES) {
            sum = l.add(sum, l.load(T::first(place).expect("a vector")));
        }
    }
    sum
}

/// A row with a stride of 1.
#[inline(always)]
fn by_one<L: Wide<T>, T: Float>(l: L, p: &AvgPool2d, line: &[T], dx: &mut [T], at: usize) {
    for column in (0..p.x.w).step_by(T::LANES) {
        // The zeros before the line are as many as windows over a place but one.
        spill(l, add_places(l, line, column + p.cols.before, p.cols.taps), dx, at + column);
    }
}

/// A row with a stride of 2: place 2m of the padded row has windows m and before, place 2m + 1 perhaps one less.
#[inline(always)]
fn by_two<L: Wide<T>, T: Float>(l: L, p: &AvgPool2d, line: &[T], spread: &mut [T], dx: &mut [T]) {
    let (even, odd) = (p.cols.taps.div_ceil(2), p.cols.taps / 2);
    let wanted = p.cols.before + p.x.w;
    for (block, to) in spread[..wanted.next_multiple_of(2 * T::LANES)].chunks_exact_mut(2 * T::LANES).enumerate() {
        let first = block * T::LANES;
        let [mut low, mut high] = [T::lanes(|_| T::default()); 2];
        l.store(add_places(l, line, first, even), &mut low);
        let late = if fault!("avg_pool2d_backward.odd-places") { 0 } else { even - odd };
        l.store(add_places(l, line, first + late, odd), &mut high);
        let pairs = low.into_iter().zip(high);
        for (to, (low, high)) in to.chunks_exact_mut(2).zip(pairs) {
            to.copy_from_slice(&[low, high]);
        }
    }
    dx.copy_from_slice(&spread[p.cols.before..wanted]);
}

//! NCHW: the rows under a row of outputs become one line, with zeros on both sides.
//!
//! ```text
//! for each row of outputs:  line = the sum of the rows of x under it
//!     for each vector of outputs, for each tap s:  sum += line at j·sw + s
//!     y = sum/d
//! ```

use std::marker::PhantomData;

use etalon_reference::ops::avg_pool2d::AvgPool2d;

use super::{Form, Operands, TASK, spill};
use crate::adaptive_avg_pool2d::uneven;
use crate::disjoint::parts;
use crate::faults::fault;
use crate::gemm::Float;
use crate::isa::wide::{Wide, Work};
use crate::pool::Pool;
use crate::workspace::Workspace;

pub(super) fn pool<L: Wide<T>, T: Float, D: Form<T>>(
    l: L,
    p: &AvgPool2d,
    o: Operands<'_, T>,
    pool: &Pool,
    workspace: &mut Workspace,
) {
    let (plane, outputs) = (p.x.h * p.x.w, p.y.h * p.y.w);
    let planes = (TASK / plane).clamp(1, (p.x.n * p.x.c).div_ceil(pool.threads()).max(1));
    let line = line::<T>(p);
    let ends = if p.cols.stride == 0 { 2 * p.y.w } else { 0 };
    let ([columns, lines], [ends]) =
        workspace.slices2::<T, i64, 2, 1>([p.y.w.next_multiple_of(T::LANES), pool.threads() * line], [ends]);
    columns.fill(D::of(1));
    columns.iter_mut().take(p.y.w).enumerate().for_each(|(j, count)| *count = D::of(p.columns_counted(j)));
    for (j, ends) in ends.chunks_exact_mut(2).enumerate() {
        let (first, count) = p.cols.span(j);
        ends.copy_from_slice(&[first as i64, (first + count) as i64]);
    }
    let (columns, ends) = (&*columns, &*ends);
    parts(pool, (o.y, planes * outputs), (&mut [(); 0], 1), lines, |task, y, _, line| {
        let x = &o.x[task * planes * plane..][..y.len() / outputs * plane];
        l.enter(Planes::<T, D> { p, x, y, columns, ends, line, form: PhantomData });
    });
}

/// Elements of a line: the padded row in whole vectors, and what the last vector of outputs looks at behind it.
fn line<T: Float>(p: &AvgPool2d) -> usize {
    let row = p.cols.before + p.x.w.next_multiple_of(T::LANES);
    let seen = if p.cols.stride > 2 { 0 } else { p.y.w.next_multiple_of(T::LANES) * p.cols.stride + p.cols.taps };
    (row.max(seen) + T::LANES).next_multiple_of(T::LANES)
}

/// Some planes.
struct Planes<'a, T, D> {
    p: &'a AvgPool2d,
    x: &'a [T],
    y: &'a mut [T],
    /// What the columns of outputs are divided by.
    columns: &'a [T],
    /// The first column of x and the one behind the last under each output, where they lie at no one distance.
    ends: &'a [i64],
    line: &'a mut [T],
    form: PhantomData<D>,
}

impl<T: Float, D: Form<T>> Work<T> for Planes<'_, T, D> {
    type Output = ();

    #[inline(always)]
    fn run<L: Wide<T>>(self, l: L) {
        match self.p.cols.stride {
            1 => self.compute::<L, 1>(l),
            2 => self.compute::<L, 2>(l),
            _ => self.compute::<L, 0>(l),
        }
    }
}

impl<T: Float, D: Form<T>> Planes<'_, T, D> {
    /// `STRIDE` is the stride of columns, 0 for any.
    #[inline(always)]
    fn compute<L: Wide<T>, const STRIDE: usize>(self, l: L) {
        let Planes { p, x, y, columns, ends, line, .. } = self;
        let (w, before, plane) = (p.x.w, p.cols.before, p.x.h * p.x.w);
        line.fill(T::default());
        let mut at = 0;
        for x in x.chunks_exact(plane) {
            for i in 0..p.y.h {
                let (top, height) = p.rows.span(i);
                add_rows::<L, T, D>(l, &x[top * w..][..height * w], w, &mut line[before..]);
                let rows: T = D::of(p.rows_counted(i));
                if p.cols.stride == 0 {
                    uneven(l, line, ends, |sums, j| {
                        let by = l.mul(l.splat(rows), l.load(T::first(&columns[j..]).expect("a vector of outputs")));
                        spill(l, D::finish(l, sums, by), y, at + j);
                    });
                } else {
                    for (block, columns) in T::chunks(columns).0.iter().enumerate() {
                        let first = block * T::LANES;
                        let first = if fault!("avg_pool2d.third-block") && block > 1 { 0 } else { first };
                        let sum = add_columns::<L, T, STRIDE>(l, p, line, first);
                        let by = l.mul(l.splat(rows), l.load(columns));
                        spill(l, D::finish(l, sum, by), y, at + block * T::LANES);
                    }
                }
                at += p.y.w;
            }
        }
    }
}

/// The sum of rows, of `w` elements each, in whole vectors: zeros behind the last element.
#[inline(always)]
fn add_rows<L: Wide<T>, T: Float, D: Form<T>>(l: L, x: &[T], w: usize, to: &mut [T]) {
    let row = |r: usize| &x[r * w..][..w];
    let height = x.len() / w;
    match height {
        1 => add_some::<L, T, D, 1, false>(l, [row(0)], to),
        2 => add_some::<L, T, D, 2, false>(l, [row(0), row(1)], to),
        _ => add_some::<L, T, D, 3, false>(l, [row(0), row(1), row(2)], to),
    }
    let mut r = 3;
    while r + 2 <= height {
        add_some::<L, T, D, 2, true>(l, [row(r), row(r + 1)], to);
        r += 2;
    }
    if r < height && !fault!("avg_pool2d.fourth-row") {
        add_some::<L, T, D, 1, true>(l, [row(r)], to);
    }
}

/// The sum of these rows; if `MORE`, it is added to what is there, row by row.
#[inline(always)]
fn add_some<L: Wide<T>, T: Float, D: Form<T>, const N: usize, const MORE: bool>(l: L, rows: [&[T]; N], to: &mut [T]) {
    let parts = rows.map(T::chunks);
    let count = parts[0].0.len();
    let whole = parts.map(|(whole, _)| &whole[..count]);
    let (to, behind) = T::chunks_mut(to).0.split_at_mut(count);
    for (at, to) in to.iter_mut().enumerate() {
        let first = D::term(l, l.load(&whole[0][at]));
        let mut sum = if MORE { l.add(l.load(to), first) } else { first };
        for row in &whole[1..] {
            sum = l.add(sum, D::term(l, l.load(&row[at])));
        }
        l.store(sum, to);
    }
    if !parts[0].1.is_empty() {
        let first = D::term(l, l.load_first(parts[0].1));
        let mut sum = if MORE { l.add(l.load(&behind[0]), first) } else { first };
        for (_, rest) in &parts[1..] {
            sum = l.add(sum, D::term(l, l.load_first(rest)));
        }
        l.store(sum, &mut behind[0]);
    }
}

/// The sums over the columns under a vector of outputs, from output `first` on.
#[inline(always)]
fn add_columns<L: Wide<T>, T: Float, const STRIDE: usize>(l: L, p: &AvgPool2d, line: &[T], first: usize) -> L::F {
    let taps = p.cols.taps;
    let mut sum = l.splat(T::default());
    if STRIDE == 1 {
        for tap in line[first..][..taps - 1 + T::LANES].windows(T::LANES) {
            sum = l.add(sum, l.load(T::first(tap).expect("a vector")));
        }
    } else if STRIDE == 2 {
        for tap in line[2 * first..][..taps - 1 + 2 * T::LANES].windows(2 * T::LANES) {
            let (low, high) = tap.split_at(T::LANES);
            let [low, high] = [low, high].map(|half| T::first(half).expect("a vector"));
            sum = l.add(sum, l.evens(l.load(low), l.load(high)));
        }
    } else {
        for tap in 0..taps {
            let from = first * p.cols.stride + tap;
            let lane = |lane| line.get(from + lane * p.cols.stride).copied().unwrap_or_default();
            sum = l.add(sum, l.load(&T::lanes(lane)));
        }
    }
    sum
}

//! Weights with inputs and outputs exchanged and taps turned around, for the convolution of one residue.

use etalon_reference::Element;
use etalon_reference::ops::conv2d::Conv2d;

use super::places::Places;
use crate::disjoint::Disjoint;
use crate::isa::wide::{LANES, Wide, Work};
use crate::pool::Pool;

/// Columns of a group's weights, (c, r, s) as they lie, that one task copies.
const COLUMNS: usize = 8 * LANES;

/// The filters of a residue: g·c × taps × k of a group, from weights k × (c, r, s).
pub struct Turn<'a> {
    /// The convolution.
    pub p: &'a Conv2d,
    /// The residue's rows.
    pub row: &'a Places,
    /// The residue's columns.
    pub col: &'a Places,
}

impl Turn<'_> {
    /// Taps of the residue.
    fn taps(&self) -> usize {
        [self.row, self.col].iter().map(|places| places.window.map_or(0, |window| window.taps)).product()
    }

    /// Elements of the filters.
    pub fn len(&self) -> usize {
        self.p.x.c * self.taps() * self.p.group_out()
    }

    /// Where the weights of column (c, r, s) of a group go, if a tap of the residue.
    fn place(&self, group: usize, column: usize) -> Option<usize> {
        let taps = self.p.rows.taps * self.p.cols.taps;
        let (c, r, s) = (column / taps, column % taps / self.p.cols.taps, column % self.p.cols.taps);
        let turned = |places: &Places, tap: usize| {
            let own = places.window?.taps;
            let index = tap.checked_sub(places.tap).filter(|rest| rest.is_multiple_of(places.step))? / places.step;
            Some(own - 1 - index)
        };
        let (r, s) = (turned(self.row, r)?, turned(self.col, s)?);
        let tap = r * self.col.window?.taps + s;
        Some(((group * self.p.group_in() + c) * self.taps() + tap) * self.p.group_out())
    }

    /// Calls `copy` with each group, parts of its columns, its weights and the filters.
    fn each<T: Element>(
        &self,
        w: &[T],
        to: &mut [T],
        pool: &Pool,
        copy: impl Fn(usize, std::ops::Range<usize>, &[T], &Disjoint<'_, T>) + Sync,
    ) {
        let columns = self.p.depth();
        let parts = columns.div_ceil(COLUMNS);
        let of_group = self.p.group_out() * columns;
        let to = Disjoint::new(to);
        let body = |task: usize, _: usize| {
            let (group, first) = (task / parts, task % parts * COLUMNS);
            let w = &w[group * of_group..][..of_group];
            copy(group, first..columns.min(first + COLUMNS), w, &to);
        };
        // A copy moves about an element in a nanosecond.
        if pool.threads_for(w.len() as u64) == 1 {
            (0..self.p.groups * parts).for_each(|task| body(task, 0));
        } else {
            pool.run(self.p.groups * parts, body);
        }
    }

    /// Writes the filters, element by element.
    pub fn write<T: Element>(&self, w: &[T], to: &mut [T], pool: &Pool) {
        let (k, depth) = (self.p.group_out(), self.p.depth());
        self.each(w, to, pool, |group, columns, w, to| {
            for column in columns {
                let Some(place) = self.place(group, column) else { continue };
                // SAFETY: each column has a place of its own, and one task.
                let to = unsafe { to.part(place..place + k) };
                to.iter_mut().zip(w[column..].iter().step_by(depth)).for_each(|(to, &x)| *to = x);
            }
        });
    }

    /// Writes the filters by squares of sixteen.
    pub fn write_wide<L: Wide>(&self, lanes: L, w: &[f32], to: &mut [f32], pool: &Pool) {
        self.each(w, to, pool, |group, columns, w, to| {
            lanes.enter(Squares { turn: self, group, columns, w, to });
        });
    }
}

struct Squares<'a, 'o> {
    turn: &'a Turn<'a>,
    group: usize,
    columns: std::ops::Range<usize>,
    w: &'a [f32],
    to: &'a Disjoint<'o, f32>,
}

impl Work for Squares<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn run<L: Wide>(self, l: L) {
        let Squares { turn, group, columns, w, to } = self;
        let (outputs, depth) = (turn.p.group_out(), turn.p.depth());
        for first in columns.clone().step_by(LANES) {
            let count = LANES.min(columns.end - first);
            let mut places = [None; LANES];
            for (i, place) in places.iter_mut().enumerate().take(count) {
                *place = turn.place(group, first + i);
            }
            if places.iter().all(Option::is_none) {
                continue;
            }
            for k in (0..outputs).step_by(LANES) {
                let rows = LANES.min(outputs - k);
                let square = l.transpose(std::array::from_fn(|i| {
                    if i < rows { l.load_first(&w[(k + i) * depth + first..][..count]) } else { l.splat(0.0) }
                }));
                for (place, x) in places.iter().zip(square) {
                    if let &Some(place) = place {
                        // SAFETY: each column has a place of its own, and one task.
                        l.store_first(x, unsafe { to.part(place + k..place + k + rows) });
                    }
                }
            }
        }
    }
}

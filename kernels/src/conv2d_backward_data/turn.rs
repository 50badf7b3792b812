//! Weights with inputs and outputs exchanged and taps turned around, for the convolutions of the residues.

use std::ops::Range;

use etalon_reference::ops::conv2d::Conv2d;
use etalon_reference::ops::window::Window;

use super::places::{Places, residues};
use crate::disjoint::Disjoint;
use crate::faults::fault;
use crate::isa::wide::{Vectors, Wide, Work};
use crate::pool::Pool;

/// Columns of a group's weights, (c, r, s) as they lie, that one task copies: some vectors.
pub const fn task_columns<T: Vectors>() -> usize {
    8 * T::LANES
}
/// Taps of a dimension whose places are computed once.
pub const KNOWN: usize = 32;

/// What becomes of a tap of one dimension.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Tap {
    /// Taps of the residues before its own.
    before: usize,
    /// Taps of its residue.
    own: usize,
    /// Its number among them, the last one first.
    index: usize,
}

/// The taps of one dimension.
struct Taps {
    window: Window,
    known: [Option<Tap>; KNOWN],
    /// Taps that meet an input.
    total: usize,
}

/// Taps of a residue.
pub fn taps(places: &Places) -> usize {
    places.window.map_or(0, |window| window.taps)
}

/// Calls `each` with the taps of the residues, and what becomes of them.
fn each_tap(window: &Window, mut each: impl FnMut(usize, Tap)) {
    let mut before = 0;
    for places in residues(window) {
        let own = taps(&places);
        (0..own).for_each(|t| each(places.tap + t * places.step, Tap { before, own, index: own - 1 - t }));
        before += own;
    }
}

impl Taps {
    fn new(window: &Window) -> Taps {
        let (mut known, mut total) = ([None; KNOWN], 0);
        each_tap(window, |tap, place| {
            if let Some(known) = known.get_mut(tap) {
                *known = Some(place);
            }
            total += 1;
        });
        Taps { window: *window, known, total }
    }

    fn at(&self, tap: usize) -> Option<Tap> {
        if let Some(known) = self.known.get(tap) {
            return *known;
        }
        if fault!("conv2d_backward_data.many-taps") {
            return None;
        }
        // Every `step`-th tap of a residue's first: a search among the taps would take as long as there are taps, for each.
        let mut before = 0;
        for places in residues(&self.window) {
            let own = taps(&places);
            let number = tap.checked_sub(places.tap).filter(|beyond| beyond.is_multiple_of(places.step));
            if let Some(number) = number.map(|beyond| beyond / places.step).filter(|&number| number < own) {
                return Some(Tap { before, own, index: own - 1 - number });
            }
            before += own;
        }
        None
    }
}

/// The filters of the residues, one residue after the other: g·c × taps × k of a group, from weights k × (c, r, s).
pub struct Turn<'a> {
    p: &'a Conv2d,
    rows: Taps,
    cols: Taps,
}

impl<'a> Turn<'a> {
    /// Those of a convolution.
    pub fn new(p: &'a Conv2d) -> Turn<'a> {
        Turn { p, rows: Taps::new(&p.rows), cols: Taps::new(&p.cols) }
    }

    /// Elements of the filters.
    pub fn total(&self) -> usize {
        self.elements(self.rows.total * self.cols.total)
    }

    fn elements(&self, taps: usize) -> usize {
        self.p.x.c * taps * self.p.group_out()
    }

    /// Where the filters of a residue lie, behind `above` taps of the rows' residues and `left` of the columns'.
    pub fn part(&self, row: &Places, above: usize, col: &Places, left: usize) -> Range<usize> {
        let start = self.elements(above * self.cols.total + taps(row) * left);
        start..start + self.elements(taps(row) * taps(col))
    }

    /// Where the weights of column (c, r, s) of a group go, if the tap meets an input.
    fn place(&self, group: usize, column: usize) -> Option<usize> {
        let taps = self.p.rows.taps * self.p.cols.taps;
        let (c, tap) = (group * self.p.group_in() + column / taps, column % taps);
        let (row, col) = (self.rows.at(tap / self.p.cols.taps)?, self.cols.at(tap % self.p.cols.taps)?);
        let before = self.elements(row.before * self.cols.total + row.own * col.before);
        let within = (c * row.own + row.index) * col.own + col.index;
        Some(before + within * self.p.group_out())
    }

    /// Calls `copy` with each group, parts of its columns, its weights and the filters.
    fn each<T: Vectors>(
        &self,
        w: &[T],
        to: &mut [T],
        pool: &Pool,
        copy: impl Fn(usize, Range<usize>, &[T], &Disjoint<'_, T>) + Sync,
    ) {
        let columns = self.p.depth();
        let parts = columns.div_ceil(task_columns::<T>());
        let of_group = self.p.group_out() * columns;
        let to = Disjoint::new(to);
        let body = |task: usize, _: usize| {
            let (group, first) = (task / parts, task % parts * task_columns::<T>());
            let w = &w[group * of_group..][..of_group];
            copy(group, first..columns.min(first + task_columns::<T>()), w, &to);
        };
        // A copy moves about an element in a nanosecond.
        if pool.threads_for(w.len() as u64) == 1 {
            (0..self.p.groups * parts).for_each(|task| body(task, 0));
        } else {
            pool.run(self.p.groups * parts, body);
        }
    }

    /// Writes the filters, element by element.
    pub fn write<T: Vectors>(&self, w: &[T], to: &mut [T], pool: &Pool) {
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

    /// Writes the filters by squares of vectors.
    pub fn write_wide<T: Vectors, L: Wide<T>>(&self, lanes: L, w: &[T], to: &mut [T], pool: &Pool) {
        self.each(w, to, pool, |group, columns, w, to| {
            lanes.enter(Squares { turn: self, group, columns, w, to });
        });
    }
}

struct Squares<'a, 'o, T> {
    turn: &'a Turn<'a>,
    group: usize,
    columns: Range<usize>,
    w: &'a [T],
    to: &'a Disjoint<'o, T>,
}

impl<T: Vectors> Work<T> for Squares<'_, '_, T> {
    type Output = ();

    #[inline(always)]
    fn run<L: Wide<T>>(self, l: L) {
        let Squares { turn, group, columns, w, to } = self;
        let (outputs, depth) = (turn.p.group_out(), turn.p.depth());
        for first in columns.clone().step_by(T::LANES) {
            let count = T::LANES.min(columns.end - first);
            let mut places = T::lanes(|_| None::<usize>);
            for (i, place) in places.as_mut().iter_mut().enumerate().take(count) {
                *place = turn.place(group, first + i);
            }
            for k in (0..outputs).step_by(T::LANES) {
                let rows = T::LANES.min(outputs - k);
                let square = l.transpose(T::lanes(|i| {
                    if i < rows { l.load_first(&w[(k + i) * depth + first..][..count]) } else { l.splat(T::default()) }
                }));
                for (place, x) in places.as_ref().iter().zip(square) {
                    if let &Some(place) = place {
                        // SAFETY: each column has a place of its own, and one task.
                        l.store_first(x, unsafe { to.part(place + k..place + k + rows) });
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Taps whose places are known and those whose places are computed have the same ones.
    #[test]
    fn every_tap_has_its_place() {
        for (input, taps, stride) in [(3, 70, 1), (5, 71, 2), (7, 100, 3), (2, 40, 4), (1, 50, 7)] {
            for (dilation, before) in [(1, 80), (2, 200), (3, 300)] {
                let window = Window::new("w", [input, taps, stride, dilation, before, before]).expect("a window");
                let all = Taps::new(&window);
                let mut expected = vec![None; taps];
                each_tap(&window, |tap, place| expected[tap] = Some(place));
                assert!(expected.iter().flatten().count() > KNOWN.min(taps) / stride);
                for (tap, expected) in expected.into_iter().enumerate() {
                    assert_eq!(all.at(tap), expected, "tap {tap} of {window:?}");
                }
            }
        }
    }
}

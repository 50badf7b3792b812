//! Parts of a step: of all operands, a part has the same units of some sequences.

use std::ops::Range;

use super::cells::{self, Cell, SUMS};
use super::driver::Behind;
use super::present::At;
use crate::disjoint::Disjoint;
use crate::faults::fault;
use crate::isa::Isa;
use crate::math::{Beside, Calculation, Numeric};
use crate::pool::Pool;

/// Units of a task, about.
pub const TASK: usize = 2048;
/// Nanoseconds that a unit takes on one thread, about.
const UNIT_NS: u64 = 2;

/// Why lanes are there.
const CHECKED: &str = "the products before have the same instructions";

/// One step of all sequences. Operands that the problem does not have are empty.
pub struct Step<'a, T, C> {
    /// The instructions.
    pub isa: Isa,
    /// The kind of cell.
    pub cell: C,
    /// Sequences N.
    pub batch: usize,
    /// Hidden units H.
    pub hidden: usize,
    /// Sequences that have the step: the outputs of the others are 0, and their cells stay.
    pub present: At<'a>,
    /// The sums of the gates, and the one that is apart, each over all units; N lines.
    pub sums: Disjoint<'a, T>,
    /// Elements between lines of sums.
    pub line: usize,
    /// The outputs before, N×H.
    pub h: &'a [T],
    /// The cells before, and after the step, N×H.
    pub c: Disjoint<'a, T>,
    /// The outputs, N×H.
    pub y: Disjoint<'a, T>,
    /// The gates, N×G·H.
    pub gates: Disjoint<'a, T>,
    /// What else is kept, N×H.
    pub extra: Disjoint<'a, T>,
}

/// Some units of one sequence. Operands that the problem does not have are empty.
pub struct Units<'a, T> {
    /// Of each gate, and the one that is apart.
    pub sums: [&'a [T]; SUMS],
    /// The outputs before.
    pub h: &'a [T],
    /// The cells.
    pub c: &'a mut [T],
    /// The outputs.
    pub y: &'a mut [T],
    /// The gates.
    pub gates: [&'a mut [T]; SUMS],
    /// What else is kept.
    pub extra: &'a mut [T],
}

// Where these are inlined, what a kind of cell does not have is nothing at all.

/// The units `units` of row `n` with rows of `line` elements; nothing of what is empty.
#[inline(always)]
fn of<T>(x: &Disjoint<'_, T>, n: usize, line: usize, units: &Range<usize>) -> Range<usize> {
    if x.is_empty() { 0..0 } else { n * line + units.start..n * line + units.end }
}

/// The same of a slice.
#[inline(always)]
fn shared<'a, T>(x: &'a [T], n: usize, line: usize, units: &Range<usize>) -> &'a [T] {
    if x.is_empty() { x } else { &x[n * line + units.start..n * line + units.end] }
}

/// Units of a gate, if the line has the gate.
#[inline(always)]
fn of_gate<T>(x: &Disjoint<'_, T>, n: usize, line: usize, place: (usize, usize), units: &Range<usize>) -> Range<usize> {
    let (gate, hidden) = place;
    let units = gate * hidden + units.start..gate * hidden + units.end;
    if units.end > line { 0..0 } else { of(x, n, line, &units) }
}

impl<T, C: Cell> Step<'_, T, C> {
    /// Units of row `n`.
    ///
    /// # Safety
    /// While the units live, nobody else reaches them.
    #[inline(always)]
    unsafe fn units(&self, n: usize, units: &Range<usize>) -> Units<'_, T> {
        let (hidden, width) = (self.hidden, C::GATES * self.hidden);
        // Sums end before the gap behind a line.
        let ends = (C::GATES + usize::from(C::APART)) * hidden;
        let sum = |gate: usize| {
            if (gate + 1) * hidden <= ends { of_gate(&self.sums, n, self.line, (gate, hidden), units) } else { 0..0 }
        };
        let gate = |gate: usize| of_gate(&self.gates, n, width, (gate, hidden), units);
        // SAFETY: the caller's promise; different gates are different elements.
        unsafe {
            Units {
                sums: [0, 1, 2, 3].map(|index| &*self.sums.part(sum(index))),
                h: shared(self.h, n, hidden, units),
                c: self.c.part(of(&self.c, n, hidden, units)),
                y: self.y.part(of(&self.y, n, hidden, units)),
                gates: [0, 1, 2, 3].map(|index| self.gates.part(gate(index))),
                extra: self.extra.part(of(&self.extra, n, hidden, units)),
            }
        }
    }
}

/// Units of rows of a step.
struct Part<'a, S> {
    step: &'a S,
    rows: Range<usize>,
    units: Range<usize>,
}

impl<T: Numeric, C: Cell> Calculation<T> for Part<'_, Step<'_, T, C>> {
    type Output = ();

    #[inline(always)]
    fn run<N: Beside<T>>(self, lanes: N) {
        for n in self.rows {
            // SAFETY: who made the part promised that nobody else has it, and one row is over before the next begins.
            let units = unsafe { self.step.units(n, &self.units) };
            if self.step.present.has(n) {
                cells::step(lanes, self.step.cell, units);
            } else {
                let Units { y, gates, extra, .. } = units;
                gates.into_iter().chain([y, extra]).for_each(|of| of.fill(T::default()));
            }
        }
    }
}

impl<T: Numeric, C: Cell> Behind for Step<'_, T, C> {
    unsafe fn part(&self, rows: Range<usize>, units: Range<usize>) {
        T::calculate(self.isa, Part { step: self, rows, units }).expect(CHECKED);
    }
    fn size(&self) -> (usize, usize) {
        (self.batch, self.hidden)
    }
}

/// One step back of all sequences. Operands that the problem does not have are empty.
pub struct BackStep<'a, T, C> {
    /// The instructions.
    pub isa: Isa,
    /// The kind of cell.
    pub cell: C,
    /// Sequences N.
    pub batch: usize,
    /// Hidden units H.
    pub hidden: usize,
    /// Sequences that have the step: the gradients of the others' sums are 0, and the carry stays.
    pub present: At<'a>,
    /// What takes the place of `dh` at the last step in memory that a sequence has, N×H; nothing if it is empty.
    pub last: &'a [T],
    /// The upstream gradient of the step's outputs, N×H.
    pub dy: &'a [T],
    /// What the next step says of the outputs by way of its sums, N×H.
    pub dh: Disjoint<'a, T>,
    /// What it says beside them; then what this one says, N×H.
    pub carry: Disjoint<'a, T>,
    /// The gates, N×G·H.
    pub gates: &'a [T],
    /// What else was kept, N×H.
    pub extra: &'a [T],
    /// The state before the step that the formulas need, or the outputs, N×H; zeros where it is empty.
    pub state: &'a [T],
    /// The gradients of the sums over the inputs, N lines.
    pub dz: Disjoint<'a, T>,
    /// Of those over the hidden units, if they are others.
    pub dr: Disjoint<'a, T>,
    /// Elements between the lines of these.
    pub line: usize,
}

/// Some units of one sequence. Operands that the problem does not have are empty.
pub struct BackUnits<'a, T> {
    /// The upstream gradient of the outputs.
    pub dy: &'a [T],
    /// What the next step says of them by way of its sums.
    pub dh: &'a [T],
    /// What it says beside them; then what this one says.
    pub carry: &'a mut [T],
    /// The gates.
    pub gates: [&'a [T]; SUMS],
    /// What else was kept.
    pub extra: &'a [T],
    /// The state before, or the outputs.
    pub state: &'a [T],
    /// The gradients of the sums over the inputs.
    pub dz: [&'a mut [T]; SUMS],
    /// Of those of three gates over the hidden units.
    pub dr: [&'a mut [T]; 3],
}

impl<T, C: Cell> BackStep<'_, T, C> {
    /// Units of row `n` of a part that begins at row `first`.
    ///
    /// # Safety
    /// While the units live, nobody else reaches them.
    #[inline(always)]
    unsafe fn units(&self, n: usize, first: usize, units: &Range<usize>) -> BackUnits<'_, T> {
        let of_dh = if fault!("lstm_backward.second-task") { n - first } else { n };
        let (hidden, width) = (self.hidden, C::GATES * self.hidden);
        let kept = |gate: usize| {
            let units = gate * hidden + units.start..gate * hidden + units.end;
            if gate < C::GATES { shared(self.gates, n, width, &units) } else { &[] }
        };
        let place = |x: &Disjoint<'_, T>, gate: usize| {
            if gate < C::GATES { of_gate(x, n, self.line, (gate, hidden), units) } else { 0..0 }
        };
        let ends = !self.last.is_empty() && self.present.is_last(n);
        // SAFETY: the caller's promise; different gates are different elements.
        unsafe {
            BackUnits {
                dy: shared(self.dy, n, hidden, units),
                dh: if ends {
                    shared(self.last, n, hidden, units)
                } else {
                    self.dh.part(of(&self.dh, of_dh, hidden, units))
                },
                carry: self.carry.part(of(&self.carry, n, hidden, units)),
                gates: [kept(0), kept(1), kept(2), kept(3)],
                extra: shared(self.extra, n, hidden, units),
                state: shared(self.state, n, hidden, units),
                dz: [0, 1, 2, 3].map(|gate| self.dz.part(place(&self.dz, gate))),
                dr: [0, 1, 2].map(|gate| self.dr.part(place(&self.dr, gate))),
            }
        }
    }
}

impl<T: Numeric, C: Cell> Calculation<T> for Part<'_, BackStep<'_, T, C>> {
    type Output = ();

    #[inline(always)]
    fn run<N: Beside<T>>(self, lanes: N) {
        let first = self.rows.start;
        for n in self.rows {
            // SAFETY: who made the part promised that nobody else has it, and one row is over before the next begins.
            let units = unsafe { self.step.units(n, first, &self.units) };
            if self.step.present.has(n) {
                cells::back(lanes, self.step.cell, units);
            } else {
                let BackUnits { dz, dr, .. } = units;
                dz.into_iter().chain(dr).for_each(|of| of.fill(T::default()));
            }
        }
    }
}

impl<T: Numeric, C: Cell> Behind for BackStep<'_, T, C> {
    unsafe fn part(&self, rows: Range<usize>, units: Range<usize>) {
        T::calculate(self.isa, Part { step: self, rows, units }).expect(CHECKED);
    }
    fn size(&self) -> (usize, usize) {
        (self.batch, self.hidden)
    }
}

/// The units of the sequences from `first` on, which no product has.
pub fn rest(step: &mut dyn Behind, first: usize) {
    let (batch, hidden) = step.size();
    if first < batch {
        // SAFETY: the step is borrowed for this alone.
        unsafe { step.part(first..batch, 0..hidden) };
    }
}

/// All units of all sequences, split over the pool where that pays.
pub fn all(step: &mut dyn Behind, pool: &Pool) {
    let (batch, hidden) = step.size();
    if hidden == 0 {
        return;
    }
    let step = &*step;
    let each = (TASK / hidden).max(1);
    let count = batch.div_ceil(each);
    let task = |task: usize| {
        let rows = task * each..batch.min((task + 1) * each);
        let lost = usize::from(fault!("lstm.second-task") && rows.start > 0);
        // SAFETY: tasks have different sequences, and each task runs once; the step is borrowed for all of them.
        unsafe { step.part(rows.start..rows.end - lost, 0..hidden) };
    };
    if pool.threads_for((batch * hidden) as u64 * UNIT_NS) == 1 {
        (0..count).for_each(task);
    } else {
        pool.run(count, |index, _| task(index));
    }
}

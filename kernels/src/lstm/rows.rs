//! A step in tasks of rows: of all operands, a task has the rows of its sequences.

use std::ops::Range;

use crate::disjoint::Disjoint;
use crate::faults::fault;
use crate::pool::Pool;

/// Units of a task, about.
pub const TASK: usize = 2048;
/// Nanoseconds that a unit takes on one thread, about.
pub const UNIT_NS: u64 = 2;

/// One step of all sequences.
pub struct Step<'a, T> {
    /// Hidden units H.
    pub hidden: usize,
    /// The sums z, N×4H; with `keep`, the gates in the end.
    pub gates: &'a mut [T],
    /// The cells before, and after the step, N×H.
    pub c: &'a mut [T],
    /// The outputs, N×H.
    pub y: &'a mut [T],
    /// With `keep`, the cells once more; empty otherwise.
    pub cells: &'a mut [T],
    /// Whether gates and cells are kept.
    pub keep: bool,
}

/// The same of one sequence.
pub struct Row<'a, T> {
    /// 4H.
    pub gates: &'a mut [T],
    /// H.
    pub c: &'a mut [T],
    /// H.
    pub y: &'a mut [T],
    /// H with `keep`.
    pub cells: &'a mut [T],
    /// Whether gates and cells are kept.
    pub keep: bool,
}

/// Calls `body` for ranges of `batch` sequences of `hidden` units, split over the pool where that pays.
pub fn tasks(batch: usize, hidden: usize, pool: &Pool, body: impl Fn(Range<usize>) + Sync) {
    let each = (TASK / hidden.max(1)).max(1);
    let count = batch.div_ceil(each);
    let task = |task: usize| body(task * each..batch.min((task + 1) * each));
    if pool.threads_for((batch * hidden) as u64 * UNIT_NS) == 1 {
        (0..count).for_each(task);
    } else {
        pool.run(count, |index, _| task(index));
    }
}

/// Calls `body` for each sequence.
pub fn each_row<T: Send>(step: Step<'_, T>, pool: &Pool, body: impl Fn(Row<'_, T>) + Sync) {
    let Step { hidden, gates, c, y, cells, keep } = step;
    if hidden == 0 {
        return;
    }
    let batch = y.len() / hidden;
    let [gates, c, y, cells] = [gates, c, y, cells].map(Disjoint::new);
    tasks(batch, hidden, pool, |rows| {
        let lost = usize::from(fault!("lstm.second-task") && rows.start > 0);
        for n in rows.start..rows.end - lost {
            let of = |width: usize| n * width..(n + 1) * width;
            // SAFETY: tasks have different sequences, each task runs once, and a row is over before the next begins.
            let row = unsafe {
                Row {
                    gates: gates.part(of(4 * hidden)),
                    c: c.part(of(hidden)),
                    y: y.part(of(hidden)),
                    cells: cells.part(if keep { of(hidden) } else { 0..0 }),
                    keep,
                }
            };
            body(row);
        }
    });
}

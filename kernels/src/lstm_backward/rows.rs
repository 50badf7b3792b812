//! A step back in tasks of rows: of all operands, a task has the rows of its sequences.

use crate::disjoint::Disjoint;
use crate::faults::fault;
use crate::lstm::tasks;
use crate::pool::Pool;

/// One step of all sequences. T is the element type.
pub struct Step<'a, T> {
    /// Hidden units H.
    pub hidden: usize,
    /// The upstream gradient of the step's output, N×H.
    pub dy: &'a [T],
    /// The gates i, f, g, o, N×4H.
    pub gates: &'a [T],
    /// The cells, N×H.
    pub cells: &'a [T],
    /// The cells before the step, N×H; empty where they are zeros.
    pub before: &'a [T],
    /// What the next step says of the output, N×H.
    pub dh: &'a [T],
    /// What the next step says of the cells; then what this one says of those before, N×H.
    pub dc: &'a mut [T],
    /// The gradient of the sums, N×4H.
    pub dz: &'a mut [T],
}

/// The same of one sequence.
pub struct Row<'a, T> {
    /// H.
    pub dy: &'a [T],
    /// 4H.
    pub gates: &'a [T],
    /// H.
    pub cells: &'a [T],
    /// H, or none.
    pub before: &'a [T],
    /// H.
    pub dh: &'a [T],
    /// H.
    pub dc: &'a mut [T],
    /// 4H.
    pub dz: &'a mut [T],
}

/// Calls `body` for each sequence.
pub fn each_row<T: Send + Sync>(step: Step<'_, T>, pool: &Pool, body: impl Fn(Row<'_, T>) + Sync) {
    let Step { hidden, dy, gates, cells, before, dh, dc, dz } = step;
    if hidden == 0 {
        return;
    }
    let batch = dc.len() / hidden;
    let [dc, dz] = [dc, dz].map(Disjoint::new);
    tasks(batch, hidden, pool, |rows| {
        let shifted = if fault!("lstm_backward.second-task") { rows.start } else { 0 };
        for n in rows {
            let of = |width: usize| n * width..(n + 1) * width;
            // SAFETY: tasks have different sequences, each task runs once, and a row is over before the next begins.
            let (dc, dz) = unsafe { (dc.part(of(hidden)), dz.part(of(4 * hidden))) };
            body(Row {
                dy: &dy[of(hidden)],
                gates: &gates[of(4 * hidden)],
                cells: &cells[of(hidden)],
                before: if before.is_empty() { before } else { &before[of(hidden)] },
                dh: &dh[(n - shifted) * hidden..][..hidden],
                dc,
                dz,
            });
        }
    });
}

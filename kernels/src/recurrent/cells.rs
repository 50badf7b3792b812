//! What a kind of cell is: a few formulas of one unit, written once for the lanes of a level.

use super::rows::{BackUnits, Units};
use crate::math::{Beside, Numbers};

/// Sums of a unit at most.
pub const SUMS: usize = 4;

/// A kind of cell.
pub trait Cell: Copy + Send + Sync {
    /// Gates G of a unit.
    const GATES: usize;
    /// Whether the last gate's sum over the hidden units is kept apart from that over the inputs, as the last of all.
    const APART: bool;
    /// Whether a unit has a cell beside its output, which is kept for its gradient.
    const CELLS: bool;
    /// Whether gates, and what else there is, are kept for the gradient.
    const KEEPS: bool;

    /// One step of a unit.
    fn step<N: Numbers>(self, l: N, given: Given<N::V>) -> Made<N::V>;

    /// One step back.
    fn back<N: Numbers>(self, l: N, given: BackGiven<N::V>) -> BackMade<N::V>;
}

/// What a step of a unit takes.
pub struct Given<V> {
    /// The sums of the gates, and the one that is apart.
    pub sums: [V; SUMS],
    /// The output before.
    pub h: V,
    /// The cell before, if the layer has cells.
    pub c: V,
}

/// What it gives.
pub struct Made<V> {
    /// The output.
    pub h: V,
    /// The cell.
    pub c: V,
    /// The gates.
    pub gates: [V; SUMS],
    /// What else is kept for a gradient.
    pub extra: V,
}

/// What a step back takes.
pub struct BackGiven<V> {
    /// The upstream gradient of the output.
    pub dy: V,
    /// What the next step says of the output, by way of its sums.
    pub dh: V,
    /// What it says beside them: of the cell, or of the output itself.
    pub carry: V,
    /// The gates, if any are kept.
    pub gates: [V; SUMS],
    /// What else was kept.
    pub extra: V,
    /// The state before the step that the formulas need, or the output.
    pub state: V,
}

/// What it gives.
pub struct BackMade<V> {
    /// The gradients of the sums over the inputs.
    pub dz: [V; SUMS],
    /// That of the last gate's sum over the hidden units, where it is apart.
    pub apart: V,
    /// What the step before takes beside the sums.
    pub carry: V,
}

/// The elements from `j` to before `end`, of a slice that may be empty.
#[inline(always)]
fn part<T>(of: &[T], j: usize, end: usize) -> &[T] {
    if of.is_empty() { of } else { &of[j..end] }
}

/// The same to be written.
#[inline(always)]
fn part_mut<T>(of: &mut [T], j: usize, end: usize) -> &mut [T] {
    if of.is_empty() { of } else { &mut of[j..end] }
}

/// One step of units.
#[inline(always)]
pub fn step<T, N: Beside<T>, C: Cell>(n: N, cell: C, units: Units<'_, T>) {
    let Units { sums, h, c, y, gates: [g0, g1, g2, g3], extra } = units;
    for j in (0..y.len()).step_by(N::WIDTH) {
        let end = y.len().min(j + N::WIDTH);
        let at = |of: &[T]| n.load_some(part(of, j, end));
        let given = Given { sums: [at(sums[0]), at(sums[1]), at(sums[2]), at(sums[3])], h: at(h), c: at(c) };
        let made = cell.step(n, given);
        n.store_some(made.h, &mut y[j..end]);
        n.store_some(made.c, part_mut(c, j, end));
        if !g0.is_empty() {
            n.store_some(made.gates[0], part_mut(g0, j, end));
            n.store_some(made.gates[1], part_mut(g1, j, end));
            n.store_some(made.gates[2], part_mut(g2, j, end));
            n.store_some(made.gates[3], part_mut(g3, j, end));
            n.store_some(made.extra, part_mut(extra, j, end));
        }
    }
}

/// One step back.
#[inline(always)]
pub fn back<T, N: Beside<T>, C: Cell>(n: N, cell: C, units: BackUnits<'_, T>) {
    let BackUnits { dy, dh, carry, gates, extra, state, dz: [z0, z1, z2, z3], dr: [r0, r1, r2] } = units;
    for j in (0..dy.len()).step_by(N::WIDTH) {
        let end = dy.len().min(j + N::WIDTH);
        let at = |of: &[T]| n.load_some(part(of, j, end));
        let given = BackGiven {
            dy: at(dy),
            dh: at(dh),
            carry: at(carry),
            gates: [at(gates[0]), at(gates[1]), at(gates[2]), at(gates[3])],
            extra: at(extra),
            state: at(state),
        };
        let made = cell.back(n, given);
        n.store_some(made.carry, part_mut(carry, j, end));
        n.store_some(made.dz[0], part_mut(z0, j, end));
        n.store_some(made.dz[1], part_mut(z1, j, end));
        n.store_some(made.dz[2], part_mut(z2, j, end));
        n.store_some(made.dz[3], part_mut(z3, j, end));
        if !r0.is_empty() {
            n.store_some(made.dz[0], part_mut(r0, j, end));
            n.store_some(made.dz[1], part_mut(r1, j, end));
            n.store_some(made.apart, part_mut(r2, j, end));
        }
    }
}

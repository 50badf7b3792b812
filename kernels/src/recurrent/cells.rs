//! What a kind of cell is: a few formulas of one unit, written once for f32 in the lanes of a level and f64 one by one.

use super::rows::{BackUnits, Units};
use crate::gemm::Float;
use crate::isa::Isa;
use crate::isa::arithmetic::{Compute, Math, with_math, with_plain_math};
use crate::isa::wide::{LANES, Wide, Work, with_lanes};
use crate::kernel::KernelError;
use crate::math::{Double, Lanes, Numbers};

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

/// Lanes on which units of `T` are computed.
pub trait Cells<T> {
    /// One step of units.
    fn step<C: Cell>(self, cell: C, units: Units<'_, T>);
    /// One step back.
    fn back<C: Cell>(self, cell: C, units: BackUnits<'_, T>);
}

/// A piece of work on cells, which is compiled for each level. Implementations are `#[inline(always)]`.
pub trait CellWork<T> {
    /// Does it.
    fn run<L: Cells<T> + Copy>(self, lanes: L);
}

/// f32 or f64.
pub trait CellFloat: Float {
    /// Runs `work` with the instructions of `isa`.
    ///
    /// # Errors
    /// If the CPU lacks them.
    fn on_cells<W: CellWork<Self>>(isa: Isa, work: W) -> Result<(), KernelError>;
}

/// Work on cells of f32. The plain lanes are compiled with fused instructions where the CPU has them: they give the same
/// bits.
struct Single<W>(W);

impl<W: CellWork<f32>> Compute for Single<W> {
    type Output = ();

    #[inline(always)]
    fn run<L: Math>(self, l: L) {
        self.0.run(l);
    }
}

/// The same, in a function that has the level's instructions.
struct Inside<W>(W);

impl<W: CellWork<f32>> Compute for Inside<W> {
    type Output = ();

    #[inline(always)]
    fn run<L: Math>(self, l: L) {
        l.compute(Single(self.0));
    }
}

impl CellFloat for f32 {
    fn on_cells<W: CellWork<f32>>(isa: Isa, work: W) -> Result<(), KernelError> {
        let done = if isa == Isa::Scalar { with_plain_math(Single(work)) } else { with_math(isa, Inside(work)) };
        done.map_err(KernelError::Isa)
    }
}

/// Work on cells of f64.
struct DoubleWork<W>(W);

impl<W: CellWork<f64>> Work<f64> for DoubleWork<W> {
    type Output = ();

    #[inline(always)]
    fn run<L: Wide<f64>>(self, l: L) {
        self.0.run(l);
    }
}

/// The same, in a function that has the level's instructions.
struct DoubleInside<W>(W);

impl<W: CellWork<f64>> Work<f64> for DoubleInside<W> {
    type Output = ();

    #[inline(always)]
    fn run<L: Wide<f64>>(self, l: L) {
        l.enter(DoubleWork(self.0));
    }
}

impl CellFloat for f64 {
    fn on_cells<W: CellWork<f64>>(isa: Isa, work: W) -> Result<(), KernelError> {
        with_lanes(isa, DoubleInside(work)).map_err(KernelError::Isa)
    }
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

/// At most a vector from memory, 0 in the lanes behind it.
#[inline(always)]
fn load<L: Wide>(l: L, from: &[f32]) -> L::F {
    from.first_chunk().map_or_else(|| l.load_first(from), |from| l.load(from))
}

/// At most a vector to memory.
#[inline(always)]
fn store<L: Wide>(l: L, x: L::F, to: &mut [f32]) {
    match to.first_chunk_mut() {
        Some(to) => l.store(x, to),
        None => l.store_first(x, to),
    }
}

impl<L: Math> Cells<f32> for L {
    #[inline(always)]
    fn step<C: Cell>(self, cell: C, u: Units<'_, f32>) {
        let l = self;
        let Units { sums, h, c, y, gates: [g0, g1, g2, g3], extra } = u;
        for j in (0..y.len()).step_by(LANES) {
            let end = y.len().min(j + LANES);
            let at = |of: &[f32]| load(l, part(of, j, end));
            let given = Given { sums: [at(sums[0]), at(sums[1]), at(sums[2]), at(sums[3])], h: at(h), c: at(c) };
            let made = cell.step(Lanes(l), given);
            store(l, made.h, &mut y[j..end]);
            store(l, made.c, part_mut(c, j, end));
            if !g0.is_empty() {
                store(l, made.gates[0], part_mut(g0, j, end));
                store(l, made.gates[1], part_mut(g1, j, end));
                store(l, made.gates[2], part_mut(g2, j, end));
                store(l, made.gates[3], part_mut(g3, j, end));
                store(l, made.extra, part_mut(extra, j, end));
            }
        }
    }

    #[inline(always)]
    fn back<C: Cell>(self, cell: C, u: BackUnits<'_, f32>) {
        let l = self;
        let BackUnits { dy, dh, carry, gates, extra, state, dz: [z0, z1, z2, z3], dr: [r0, r1, r2] } = u;
        for j in (0..dy.len()).step_by(LANES) {
            let end = dy.len().min(j + LANES);
            let at = |of: &[f32]| load(l, part(of, j, end));
            let given = BackGiven {
                dy: at(dy),
                dh: at(dh),
                carry: at(carry),
                gates: [at(gates[0]), at(gates[1]), at(gates[2]), at(gates[3])],
                extra: at(extra),
                state: at(state),
            };
            let made = cell.back(Lanes(l), given);
            store(l, made.carry, part_mut(carry, j, end));
            store(l, made.dz[0], part_mut(z0, j, end));
            store(l, made.dz[1], part_mut(z1, j, end));
            store(l, made.dz[2], part_mut(z2, j, end));
            store(l, made.dz[3], part_mut(z3, j, end));
            if !r0.is_empty() {
                store(l, made.dz[0], part_mut(r0, j, end));
                store(l, made.dz[1], part_mut(r1, j, end));
                store(l, made.apart, part_mut(r2, j, end));
            }
        }
    }
}

/// An element of a slice that may be empty; 0 then.
#[inline(always)]
fn one(of: &[f64], j: usize) -> f64 {
    of.get(j).copied().unwrap_or_default()
}

/// The same to be written.
#[inline(always)]
fn set_one(of: &mut [f64], j: usize, x: f64) {
    if let Some(of) = of.get_mut(j) {
        *of = x;
    }
}

impl<L: Wide<f64>> Cells<f64> for L {
    #[inline(always)]
    fn step<C: Cell>(self, cell: C, u: Units<'_, f64>) {
        let Units { sums, h, c, y, mut gates, extra } = u;
        for (j, y) in y.iter_mut().enumerate() {
            let made = cell.step(Double, Given { sums: sums.map(|of| one(of, j)), h: one(h, j), c: one(c, j) });
            *y = made.h;
            set_one(c, j, made.c);
            for (gate, value) in gates.iter_mut().zip(made.gates) {
                set_one(gate, j, value);
            }
            set_one(extra, j, made.extra);
        }
    }

    #[inline(always)]
    fn back<C: Cell>(self, cell: C, u: BackUnits<'_, f64>) {
        let BackUnits { dy, dh, carry, gates, extra, state, mut dz, dr: [r0, r1, r2] } = u;
        for (j, &dy) in dy.iter().enumerate() {
            let given = BackGiven {
                dy,
                dh: one(dh, j),
                carry: one(carry, j),
                gates: gates.map(|of| one(of, j)),
                extra: one(extra, j),
                state: one(state, j),
            };
            let made = cell.back(Double, given);
            set_one(carry, j, made.carry);
            for (dz, value) in dz.iter_mut().zip(made.dz) {
                set_one(dz, j, value);
            }
            set_one(r0, j, made.dz[0]);
            set_one(r1, j, made.dz[1]);
            set_one(r2, j, made.apart);
        }
    }
}

//! A step back through the cells.
//!
//! ```text
//! t = tanh(c);  dh = dy + dh
//! dc = fma(dh·o, 1 − t², dc)
//! dz = dc·g·i(1 − i),  dc·c₋₁·f(1 − f),  dc·i·(1 − g²),  dh·t·o(1 − o)
//! dc = dc·f
//! ```
//! Units of a row lie side by side: sixteen of f32 at a time, one of f64.

use super::rows::{Row, Step, each_row};
use crate::isa::Isa;
use crate::isa::arithmetic::{Compute, Math};
use crate::isa::wide::LANES;
use crate::kernel::KernelError;
use crate::lstm::{Cell, Double, Lanes, Numbers, load, on_lanes, store};
use crate::pool::Pool;

/// f32 or f64.
pub trait CellBack: Cell {
    /// One step of all rows, with the instructions of `isa`.
    ///
    /// # Errors
    /// If the CPU lacks them.
    fn step_back(isa: Isa, step: Step<'_, Self>, pool: &Pool) -> Result<(), KernelError>;
}

impl CellBack for f32 {
    fn step_back(isa: Isa, step: Step<'_, f32>, pool: &Pool) -> Result<(), KernelError> {
        on_lanes(isa, Rows(step, pool))
    }
}

impl CellBack for f64 {
    fn step_back(_: Isa, step: Step<'_, f64>, pool: &Pool) -> Result<(), KernelError> {
        each_row(step, pool, |row| {
            let Row { dy, gates, cells, before, dh, dc, dz } = row;
            let units = dc.len();
            for j in 0..units {
                let at = [0, 1, 2, 3].map(|gate| gate * units + j);
                let given = Given {
                    dy: dy[j],
                    dh: dh[j],
                    dc: dc[j],
                    gates: at.map(|at| gates[at]),
                    cell: cells[j],
                    before: before.get(j).copied().unwrap_or_default(),
                };
                let (values, rest) = back(Double, given);
                at.into_iter().zip(values).for_each(|(at, value)| dz[at] = value);
                dc[j] = rest;
            }
        });
        Ok(())
    }
}

/// What a step back takes.
struct Given<V> {
    dy: V,
    dh: V,
    dc: V,
    gates: [V; 4],
    cell: V,
    before: V,
}

/// The gradients of the sums, and of the cell before.
#[inline(always)]
fn back<N: Numbers>(l: N, given: Given<N::V>) -> ([N::V; 4], N::V) {
    let Given { dy, dh, dc, gates: [i, f, g, o], cell, before } = given;
    let tanh = l.tanh(cell);
    let dh = l.add(dy, dh);
    let dc = l.fma(l.mul(dh, o), l.rest_of_square(tanh), dc);
    let dz = [
        l.mul(l.mul(dc, g), l.slope(i)),
        l.mul(l.mul(dc, before), l.slope(f)),
        l.mul(l.mul(dc, i), l.rest_of_square(g)),
        l.mul(l.mul(dh, tanh), l.slope(o)),
    ];
    (dz, l.mul(dc, f))
}

/// All rows.
struct Rows<'a>(Step<'a, f32>, &'a Pool);

impl Compute for Rows<'_> {
    type Output = ();

    #[inline(always)]
    fn run<L: Math>(self, l: L) {
        each_row(self.0, self.1, |row| l.compute(One(row)));
    }
}

/// One row.
struct One<'a>(Row<'a, f32>);

impl Compute for One<'_> {
    type Output = ();

    #[inline(always)]
    fn run<L: Math>(self, l: L) {
        let Row { dy, gates, cells, before, dh, dc, dz } = self.0;
        let units = dc.len();
        for j in (0..units).step_by(LANES) {
            let end = units.min(j + LANES);
            let at = |gate: usize| gate * units + j..gate * units + end;
            let given = Given {
                dy: load(l, &dy[j..end]),
                dh: load(l, &dh[j..end]),
                dc: load(l, &dc[j..end]),
                gates: [0, 1, 2, 3].map(|gate| load(l, &gates[at(gate)])),
                cell: load(l, &cells[j..end]),
                before: if before.is_empty() { l.constant(0.0) } else { load(l, &before[j..end]) },
            };
            let (values, rest) = back(Lanes(l), given);
            for (gate, value) in values.into_iter().enumerate() {
                store(l, value, &mut dz[at(gate)]);
            }
            store(l, rest, &mut dc[j..end]);
        }
    }
}

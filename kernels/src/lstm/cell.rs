//! A step of the cells, behind the sums of the gates.
//!
//! ```text
//! i, f, o = σ(z);  g = tanh(z)
//! c = fma(f, c, i·g)
//! y = o·tanh(c)
//! ```
//! Units of a row lie side by side: sixteen of f32 at a time, one of f64.

use super::numbers::{Double, Lanes, Numbers};
use super::rows::{Row, Step, each_row};
use crate::gemm::Float;
use crate::isa::Isa;
use crate::isa::arithmetic::{Compute, Math, with_math, with_plain_math};
use crate::isa::wide::{LANES, Wide};
use crate::kernel::KernelError;
use crate::pool::Pool;

/// f32 or f64.
pub trait Cell: Float {
    /// One step of all rows, with the instructions of `isa`.
    ///
    /// # Errors
    /// If the CPU lacks them.
    fn step(isa: Isa, step: Step<'_, Self>, pool: &Pool) -> Result<(), KernelError>;
}

impl Cell for f32 {
    fn step(isa: Isa, step: Step<'_, f32>, pool: &Pool) -> Result<(), KernelError> {
        on_lanes(isa, Rows(step, pool))
    }
}

impl Cell for f64 {
    fn step(_: Isa, step: Step<'_, f64>, pool: &Pool) -> Result<(), KernelError> {
        each_row(step, pool, |row| {
            let Row { gates, c, y, cells, keep } = row;
            let units = c.len();
            for j in 0..units {
                let at = [0, 1, 2, 3].map(|gate| gate * units + j);
                let (values, cell, h) = update(Double, at.map(|at| gates[at]), c[j]);
                if keep {
                    at.into_iter().zip(values).for_each(|(at, value)| gates[at] = value);
                    cells[j] = cell;
                }
                (c[j], y[j]) = (cell, h);
            }
        });
        Ok(())
    }
}

/// The gates, the cell and the output, of the sums and the cell before.
#[inline(always)]
fn update<N: Numbers>(l: N, [i, f, g, o]: [N::V; 4], c: N::V) -> ([N::V; 4], N::V, N::V) {
    let (i, f, g, o) = (l.sigmoid(i), l.sigmoid(f), l.tanh(g), l.sigmoid(o));
    let c = l.fma(f, c, l.mul(i, g));
    ([i, f, g, o], c, l.mul(o, l.tanh(c)))
}

/// Runs `work` on the lanes of `isa`. The plain ones are compiled with fused instructions where the CPU has them: they
/// give the same bits.
///
/// # Errors
/// If the CPU lacks the instructions.
pub fn on_lanes<W: Compute>(isa: Isa, work: W) -> Result<W::Output, KernelError> {
    let done = if isa == Isa::Scalar { with_plain_math(work) } else { with_math(isa, work) };
    done.map_err(KernelError::Isa)
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
        let Row { gates, c, y, cells, keep } = self.0;
        let units = c.len();
        for j in (0..units).step_by(LANES) {
            let len = LANES.min(units - j);
            let at = |gate: usize| gate * units + j..gate * units + j + len;
            let z = [0, 1, 2, 3].map(|gate| load(l, &gates[at(gate)]));
            let (values, cell, h) = update(Lanes(l), z, load(l, &c[j..j + len]));
            if keep {
                for (gate, value) in values.into_iter().enumerate() {
                    store(l, value, &mut gates[at(gate)]);
                }
                store(l, cell, &mut cells[j..j + len]);
            }
            store(l, cell, &mut c[j..j + len]);
            store(l, h, &mut y[j..j + len]);
        }
    }
}

/// At most a vector from memory, 0 in the lanes behind it.
#[inline(always)]
pub fn load<L: Wide>(l: L, from: &[f32]) -> L::F {
    from.first_chunk().map_or_else(|| l.load_first(from), |from| l.load(from))
}

/// At most a vector to memory.
#[inline(always)]
pub fn store<L: Wide>(l: L, x: L::F, to: &mut [f32]) {
    match to.first_chunk_mut() {
        Some(to) => l.store(x, to),
        None => l.store_first(x, to),
    }
}

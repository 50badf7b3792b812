//! PReLU by rows: a row holds all channels.
//!
//! ```text
//! for each chunk of 64 rows:  for each row:  dx;  Σ dy·x, channel by channel
//! for each channel:  the sums of the chunks, in order
//! ```

use etalon_reference::ops::activation::Extents;

use super::{fold, step};
use crate::activation::TASK;
use crate::disjoint::Disjoint;
use crate::isa::arithmetic::{Compute, Math};
use crate::isa::wide::LANES;
use crate::pool::Pool;
use crate::workspace::Workspace;

/// Rows of a chain.
pub const ROWS: usize = 64;

/// All of it.
pub struct Rows<'a> {
    pub extents: Extents,
    pub dy: &'a [f32],
    pub x: &'a [f32],
    pub alpha: &'a [f32],
    pub dx: &'a mut [f32],
    pub dalpha: &'a mut [f32],
    pub pool: &'a Pool,
    pub workspace: &'a mut Workspace,
}

impl Compute for Rows<'_> {
    type Output = ();

    #[inline(always)]
    fn run<L: Math>(self, l: L) {
        let Rows { extents: Extents { n, c, .. }, dy, x, alpha, dx, dalpha, pool, workspace } = self;
        let chunks = n.div_ceil(ROWS);
        let ([totals], [sums]) = workspace.slices2::<f64, f32, 1, 1>([c], [chunks * c]);
        let each = (TASK / (ROWS * c)).max(1);
        let (all_dx, all_sums) = (Disjoint::new(dx), Disjoint::new(sums));
        pool.run(chunks.div_ceil(each), |task, _| {
            for chunk in task * each..chunks.min((task + 1) * each) {
                let range = chunk * ROWS * c..n.min((chunk + 1) * ROWS) * c;
                // SAFETY: chunks do not overlap, and each is computed once.
                let (dx, sums) = unsafe { (all_dx.part(range.clone()), all_sums.part(chunk * c..(chunk + 1) * c)) };
                sums.fill(0.0);
                for (row, dx) in dx.chunks_exact_mut(c).enumerate() {
                    let own = range.start + row * c..range.start + (row + 1) * c;
                    l.compute(Row { dy: &dy[own.clone()], x: &x[own], alpha, dx, sums });
                }
            }
        });
        fold(sums, 1, totals, dalpha);
    }
}

/// One row.
struct Row<'a> {
    dy: &'a [f32],
    x: &'a [f32],
    alpha: &'a [f32],
    dx: &'a mut [f32],
    sums: &'a mut [f32],
}

impl Compute for Row<'_> {
    type Output = ();

    #[inline(always)]
    fn run<L: Math>(self, l: L) {
        let Row { dy, x, alpha, dx, sums } = self;
        let (dx, dx_tail) = dx.as_chunks_mut::<LANES>();
        let (sums, sums_tail) = sums.as_chunks_mut::<LANES>();
        let [(dy, dy_tail), (x, x_tail), (alpha, alpha_tail)] =
            [dy, x, alpha].map(|values| values.as_chunks::<LANES>());
        for (i, (dx, sums)) in dx.iter_mut().zip(sums).enumerate() {
            let (value, sum) = step(l, l.load(sums), l.load(&dy[i]), l.load(&x[i]), l.load(&alpha[i]));
            l.store(value, dx);
            l.store(sum, sums);
        }
        if !dx_tail.is_empty() {
            let [dy, x, alpha] = [dy_tail, x_tail, alpha_tail].map(|values| l.load_first(values));
            let (value, sum) = step(l, l.load_first(sums_tail), dy, x, alpha);
            l.store_first(value, dx_tail);
            l.store_first(sum, sums_tail);
        }
    }
}

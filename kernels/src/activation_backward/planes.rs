//! PReLU by planes: the elements of a channel lie side by side.
//!
//! ```text
//! for each piece of 1024 elements of each plane:  dx, Σ dy·x
//! for each channel:  the sums of its pieces, image by image
//! ```

use etalon_reference::ops::activation::Extents;

use super::{fold, step};
use crate::activation::TASK;
use crate::disjoint::Disjoint;
use crate::faults::fault;
use crate::isa::arithmetic::{Compute, Math};
use crate::isa::wide::{LANES, Wide};
use crate::pool::Pool;
use crate::workspace::Workspace;

/// Elements of a chain: 64 vectors.
pub const PIECE: usize = 64 * LANES;

/// All of it.
pub struct Planes<'a> {
    pub extents: Extents,
    pub dy: &'a [f32],
    pub x: &'a [f32],
    pub alpha: &'a [f32],
    pub dx: &'a mut [f32],
    pub dalpha: &'a mut [f32],
    pub pool: &'a Pool,
    pub workspace: &'a mut Workspace,
}

impl Compute for Planes<'_> {
    type Output = ();

    #[inline(always)]
    fn run<L: Math>(self, l: L) {
        let Planes { extents: Extents { n, c, s }, dy, x, alpha, dx, dalpha, pool, workspace } = self;
        let pieces = s.div_ceil(PIECE);
        let units = n * c * pieces;
        let ([totals], [sums]) = workspace.slices2::<f64, f32, 1, 1>([c], [units]);
        // Where a piece begins.
        let start = |unit: usize| unit / pieces * s + unit % pieces * PIECE;
        let each = (TASK / s.clamp(1, PIECE)).max(1);
        let (all_dx, all_sums) = (Disjoint::new(dx), Disjoint::new(sums));
        pool.run(units.div_ceil(each), |task, _| {
            let own = task * each..units.min((task + 1) * each);
            for unit in own {
                let range = start(unit)..(start(unit) + PIECE).min((unit / pieces + 1) * s);
                // SAFETY: pieces do not overlap, and each is computed once.
                let (dx, sum) = unsafe { (all_dx.part(range.clone()), &mut all_sums.part(unit..unit + 1)[0]) };
                let alpha = alpha[unit / pieces % c];
                *sum = l.compute(Piece { dy: &dy[range.clone()], x: &x[range], alpha, dx });
                if fault!("activation_backward.second-piece") && unit % pieces == 1 {
                    *sum = 0.0;
                }
            }
        });
        fold(sums, pieces, totals, dalpha);
    }
}

/// At most [`PIECE`] elements of a channel. Gives the sum.
struct Piece<'a> {
    dy: &'a [f32],
    x: &'a [f32],
    alpha: f32,
    dx: &'a mut [f32],
}

impl Compute for Piece<'_> {
    type Output = f32;

    #[inline(always)]
    fn run<L: Math>(self, l: L) -> f32 {
        let Piece { dy, x, alpha, dx } = self;
        let (alpha, mut sum) = (Wide::splat(l, alpha), Wide::splat(l, 0.0));
        let (dx, dx_tail) = dx.as_chunks_mut::<LANES>();
        let (dy, dy_tail) = dy.as_chunks::<LANES>();
        let (x, x_tail) = x.as_chunks::<LANES>();
        for (dx, (dy, x)) in dx.iter_mut().zip(dy.iter().zip(x)) {
            let (value, next) = step(l, sum, l.load(dy), l.load(x), alpha);
            l.store(value, dx);
            sum = next;
        }
        if !dx_tail.is_empty() {
            // The other lanes hold 0, and so do their terms.
            let (value, next) = step(l, sum, l.load_first(dy_tail), l.load_first(x_tail), alpha);
            l.store_first(value, dx_tail);
            sum = next;
        }
        l.sum(sum)
    }
}

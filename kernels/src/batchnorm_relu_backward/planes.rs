//! NCHW: channel by channel, or by groups of channels with small planes.
//!
//! ```text
//! for each chunk:  Σg, Σg·(x − μ)
//! for each plane, the last one first:  dx = γr·g − (γr·dβ/n + (x − μ)·γr²·dγ/n);  dresidual = g
//! ```

use etalon_reference::ops::batchnorm_relu_backward::BatchnormReluBackward;

use super::formula::{Gate, Gradient, Products, products};
use super::operands::{Backward, Coefficients};
use crate::batchnorm_relu::{Blocks, Chunk, GROUP, Group, PlanesMut, Same, map, over_planes, streams};
use crate::disjoint::Disjoint;
use crate::faults::fault;
use crate::isa::wide::{Wide, Work};
use crate::pool::Pool;

/// All gradients.
pub fn backward<L: Wide, const RELU: bool>(l: L, p: &BatchnormReluBackward, o: Backward<'_>, pool: &Pool) {
    let (blocks, count) = (Blocks::new(&p.images, pool.threads()), p.images.count());
    let [dx, dresidual, dgamma, dbeta] = [o.dx, o.dresidual, o.dgamma, o.dbeta].map(Disjoint::new);
    let (dy, x, y, stream) = (o.dy, o.x, o.y, streams(&p.images));
    pool.run(blocks.tasks(), |task, _| {
        for group in blocks.groups(task) {
            let sums = l.enter(Sums::<RELU> { dy, x, y, mean: &o.saved_mean[group.all()], group });
            let mut params = [[0.0; 4]; GROUP];
            for g in 0..group.channels {
                let c = group.first + g;
                let k = Coefficients::new(o.gamma, o.saved_mean[c], o.saved_rstd[c], c, count, sums[g]);
                params[g] = k.params;
                if p.affine {
                    // SAFETY: channel c belongs to this task alone.
                    unsafe { (dgamma.part(c..c + 1)[0], dbeta.part(c..c + 1)[0]) = (k.dgamma, k.dbeta) };
                }
            }
            // SAFETY: the group's channels belong to this task alone.
            let (dx, dresidual) =
                unsafe { (PlanesMut::new(dx, group), p.residual.then(|| PlanesMut::new(dresidual, group))) };
            if stream {
                l.enter(Apply::<RELU, true> { dy, x, y, params, group, dx, dresidual });
            } else {
                l.enter(Apply::<RELU, false> { dy, x, y, params, group, dx, dresidual });
            }
        }
    });
}

/// `Σg` and `Σg·(x − μ)` of the channels of a group.
struct Sums<'a, const RELU: bool> {
    dy: &'a [f32],
    x: &'a [f32],
    y: &'a [f32],
    /// Of the group's channels.
    mean: &'a [f32],
    group: Group,
}

impl<const RELU: bool> Work for Sums<'_, RELU> {
    type Output = [(f64, f64); GROUP];

    #[inline(always)]
    fn run<L: Wide>(self, l: L) -> [(f64, f64); GROUP] {
        let Sums { dy, x, y, mean, group } = self;
        let (mut totals, mut sums) = ([(0.0, 0.0); GROUP], [[0.0; 2]; GROUP]);
        for chunk in group.chunks() {
            if RELU {
                over_planes(l, Products, [dy, x, y], [mean], &group, &chunk, &mut sums);
            } else {
                over_planes(l, Products, [dy, x], [mean], &group, &chunk, &mut sums);
            }
            for g in 0..group.channels {
                let [sum, products] = sums[g];
                let finite = sum.is_finite() & products.is_finite();
                let own = if finite { (f64::from(sum), f64::from(products)) } else { self.plain(g, &chunk) };
                totals[g] = (totals[g].0 + own.0, totals[g].1 + own.1);
            }
        }
        totals
    }
}

impl<const RELU: bool> Sums<'_, RELU> {
    #[cold]
    #[inline(never)]
    fn plain(&self, g: usize, chunk: &Chunk) -> (f64, f64) {
        let indices = self.group.indices(g, chunk);
        products(indices.map(|i| (self.dy[i], self.x[i], RELU.then(|| self.y[i]))), self.mean[g])
    }
}

/// dx and dresidual of the channels of a group.
struct Apply<'a, const RELU: bool, const STREAM: bool> {
    dy: &'a [f32],
    x: &'a [f32],
    y: &'a [f32],
    /// As [`Coefficients::params`], of each channel.
    params: [[f32; 4]; GROUP],
    group: Group,
    dx: PlanesMut<'a>,
    dresidual: Option<PlanesMut<'a>>,
}

impl<const RELU: bool, const STREAM: bool> Work for Apply<'_, RELU, STREAM> {
    type Output = ();

    #[inline(always)]
    fn run<L: Wide>(mut self, l: L) {
        // One input of the next channels comes in meanwhile. With all three the caches would lose these channels' own.
        let ahead = self.group.ahead;
        for plane in (0..self.group.planes).rev() {
            if fault!("batchnorm_relu_backward.tenth-image") && self.group.planes - plane >= 10 {
                continue;
            }
            for g in 0..self.group.channels {
                let (params, range) = (Same(self.params[g]), self.group.plane(plane, g));
                let (dy, x, dx) = (&self.dy[range.clone()], &self.x[range.clone()], self.dx.plane(plane, g));
                if RELU {
                    map::<L, _, 3, 4, STREAM>(l, Gradient, [dy, x, &self.y[range.clone()]], params, dx, [ahead, 0, 0]);
                } else {
                    map::<L, _, 2, 4, STREAM>(l, Gradient, [dy, x], params, dx, [ahead, 0]);
                }
                let Some(dresidual) = &mut self.dresidual else { continue };
                let dresidual = dresidual.plane(plane, g);
                if RELU {
                    map::<L, _, 2, 0, STREAM>(l, Gate, [dy, &self.y[range]], Same([]), dresidual, [0; 2]);
                } else {
                    map::<L, _, 1, 0, STREAM>(l, Gate, [dy], Same([]), dresidual, [0]);
                }
            }
        }
        if STREAM {
            l.fence();
        }
    }
}

//! NCHW: a channel is a task.
//!
//! ```text
//! for each chunk:  Σg, Σg·(x − μ)
//! for each plane, the last one first:  dx = γr·g − (γr·dβ/n + (x − μ)·γr²·dγ/n);  dresidual = g
//! ```

use etalon_reference::ops::batchnorm_relu_backward::BatchnormReluBackward;

use super::formula::{Gate, Gradient, Products, products};
use super::operands::{Backward, Coefficients};
use crate::batchnorm_relu::{Channel, Chunk, PlanesMut, Same, map, over_planes, split, streams};
use crate::disjoint::Disjoint;
use crate::isa::wide::{Wide, Work};
use crate::pool::Pool;

/// All gradients.
pub fn backward<L: Wide, const RELU: bool>(l: L, p: &BatchnormReluBackward, o: Backward<'_>, pool: &Pool) {
    let (channels, count) = (p.images.c, p.images.count());
    let (tasks, together) = split(channels, count);
    let [dx, dresidual, dgamma, dbeta] = [o.dx, o.dresidual, o.dgamma, o.dbeta].map(Disjoint::new);
    let stream = streams(&p.images);
    pool.run(tasks, |task, _| {
        for c in task * together..channels.min((task + 1) * together) {
            let channel = Channel::new(&p.images, c);
            let (dy, x, y) = (o.dy, o.x, o.y);
            let mean = o.saved_mean[c];
            let sums = l.enter(Sums::<RELU> { dy, x, y, mean, channel });
            let k = Coefficients::new(o.gamma, mean, o.saved_rstd[c], c, count, sums);
            // SAFETY: channel c belongs to this task alone.
            let (dx, dresidual) = unsafe {
                if p.affine {
                    (dgamma.part(c..c + 1)[0], dbeta.part(c..c + 1)[0]) = (k.dgamma, k.dbeta);
                }
                (PlanesMut::new(dx, channel), p.residual.then(|| PlanesMut::new(dresidual, channel)))
            };
            let params = k.params;
            if stream {
                l.enter(Apply::<RELU, true> { dy, x, y, params, channel, dx, dresidual });
            } else {
                l.enter(Apply::<RELU, false> { dy, x, y, params, channel, dx, dresidual });
            }
        }
    });
}

/// `Σg` and `Σg·(x − μ)` of a channel.
struct Sums<'a, const RELU: bool> {
    dy: &'a [f32],
    x: &'a [f32],
    y: &'a [f32],
    mean: f32,
    channel: Channel,
}

impl<const RELU: bool> Work for Sums<'_, RELU> {
    type Output = (f64, f64);

    #[inline(always)]
    fn run<L: Wide>(self, l: L) -> (f64, f64) {
        let mut total = (0.0, 0.0);
        for chunk in self.channel.chunks() {
            let [sum, products] = if RELU {
                over_planes(l, Products, [self.dy, self.x, self.y], [self.mean], &self.channel, &chunk)
            } else {
                over_planes(l, Products, [self.dy, self.x], [self.mean], &self.channel, &chunk)
            };
            let finite = sum.is_finite() & products.is_finite();
            let own = if finite { (f64::from(sum), f64::from(products)) } else { self.plain(&chunk) };
            total = (total.0 + own.0, total.1 + own.1);
        }
        total
    }
}

impl<const RELU: bool> Sums<'_, RELU> {
    #[cold]
    #[inline(never)]
    fn plain(&self, chunk: &Chunk) -> (f64, f64) {
        let indices = chunk.planes.clone().flat_map(|plane| self.channel.range(plane, &chunk.part));
        products(indices.map(|i| (self.dy[i], self.x[i], RELU.then(|| self.y[i]))), self.mean)
    }
}

/// dx and dresidual of a channel.
struct Apply<'a, const RELU: bool, const STREAM: bool> {
    dy: &'a [f32],
    x: &'a [f32],
    y: &'a [f32],
    params: [f32; 4],
    channel: Channel,
    dx: PlanesMut<'a>,
    dresidual: Option<PlanesMut<'a>>,
}

impl<const RELU: bool, const STREAM: bool> Work for Apply<'_, RELU, STREAM> {
    type Output = ();

    #[inline(always)]
    fn run<L: Wide>(mut self, l: L) {
        let params = Same(self.params);
        for plane in (0..self.channel.planes).rev() {
            let range = self.channel.range(plane, &(0..self.channel.len));
            let (dy, x, dx) = (&self.dy[range.clone()], &self.x[range.clone()], self.dx.plane(plane));
            if RELU {
                map::<L, _, 3, 4, STREAM>(l, Gradient, [dy, x, &self.y[range.clone()]], params, dx);
            } else {
                map::<L, _, 2, 4, STREAM>(l, Gradient, [dy, x], params, dx);
            }
            let Some(dresidual) = &mut self.dresidual else { continue };
            if RELU {
                map::<L, _, 2, 0, STREAM>(l, Gate, [dy, &self.y[range]], Same([]), dresidual.plane(plane));
            } else {
                map::<L, _, 1, 0, STREAM>(l, Gate, [dy], Same([]), dresidual.plane(plane));
            }
        }
        if STREAM {
            l.fence();
        }
    }
}

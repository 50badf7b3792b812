//! NCHW: a channel is a task.
//!
//! A channel's values (its planes of all images) fit the second cache in most networks. So they come from memory once:
//! ```text
//! for each chunk:  m = Σx / count;  Σ(x − m), Σ(x − m)²;  merge
//! for each plane, the last one first:  y = act((x − μ)·γ/σ + β + residual)
//! ```
//! Where they don't fit, the last planes are still there when the second step begins with them.

use etalon_reference::ops::batchnorm_relu::BatchnormRelu;

use super::channel::{Channel, Chunk, PlanesMut};
use super::formula::{FromMean, Normalise, Values};
use super::map::{Same, map};
use super::moments::{Deviations, Moments, Normalisation};
use super::operands::{Infer, Train, at, running};
use super::sum::over_planes;
use crate::disjoint::Disjoint;
use crate::isa::wide::{Wide, Work};
use crate::pool::Pool;

/// Elements that a task has at least: smaller channels share one.
const TASK: usize = 16 * 1024;

/// Tasks, and channels of each.
pub fn split(channels: usize, count: usize) -> (usize, usize) {
    let together = (TASK / count.max(1)).max(1);
    (channels.div_ceil(together), together)
}

/// Training.
pub fn train<L: Wide>(l: L, p: &BatchnormRelu, o: Train<'_>, stream: bool, pool: &Pool) {
    let channels = p.images.c;
    let (tasks, together) = split(channels, p.images.count());
    let y = Disjoint::new(o.y);
    let vectors = [o.running_mean, o.running_var, o.saved_mean, o.saved_rstd].map(Disjoint::new);
    pool.run(tasks, |task, _| {
        for c in task * together..channels.min((task + 1) * together) {
            let channel = Channel::new(&p.images, c);
            let moments = l.enter(Statistics { x: o.x, channel });
            let n = Normalisation::new(moments.mean(), moments.var(), p.eps, at(o.gamma, c, 1.0), at(o.beta, c, 0.0));
            // SAFETY: channel c belongs to this task alone.
            let [running_mean, running_var, mean, rstd] = [0, 1, 2, 3].map(|v| unsafe { &mut vectors[v].part(c..c + 1)[0] });
            moments.update(p, running_mean, running_var);
            (*mean, *rstd) = (n.center, n.rstd);
            // SAFETY: as above.
            let y = unsafe { PlanesMut::new(y, channel) };
            apply(l, p, o.x, o.residual, channel, n, y, stream);
        }
    });
}

/// Inference.
pub fn infer<L: Wide>(l: L, p: &BatchnormRelu, o: Infer<'_>, stream: bool, pool: &Pool) {
    let channels = p.images.c;
    let (tasks, together) = split(channels, p.images.count());
    let (y, vectors) = (Disjoint::new(o.y), [o.gamma, o.beta, o.running_mean, o.running_var]);
    pool.run(tasks, |task, _| {
        for c in task * together..channels.min((task + 1) * together) {
            let channel = Channel::new(&p.images, c);
            let n = running(p, vectors, c);
            // SAFETY: channel c belongs to this task alone.
            let y = unsafe { PlanesMut::new(y, channel) };
            apply(l, p, o.x, o.residual, channel, n, y, stream);
        }
    });
}

/// The moments of a channel.
struct Statistics<'a> {
    x: &'a [f32],
    channel: Channel,
}

impl Work for Statistics<'_> {
    type Output = Moments;

    #[inline(always)]
    fn run<L: Wide>(self, l: L) -> Moments {
        let mut moments = Moments::default();
        for chunk in self.channel.chunks() {
            let count = chunk.count();
            let [total] = over_planes(l, Values, [self.x], [], &self.channel, &chunk);
            let m = total / count as f32;
            let [sum, squares] = over_planes(l, FromMean, [self.x], [m], &self.channel, &chunk);
            let deviations = Deviations { count, m, sum, squares };
            let finite = deviations.are_finite();
            moments.merge(if finite { Moments::of(count as f64, deviations.sums()) } else { self.plain(&chunk) });
        }
        moments
    }
}

impl Statistics<'_> {
    #[cold]
    #[inline(never)]
    fn plain(&self, chunk: &Chunk) -> Moments {
        let values = chunk.planes.clone().flat_map(|plane| &self.x[self.channel.range(plane, &chunk.part)]);
        Moments::plain(values.copied())
    }
}

/// Chooses the loop.
fn apply<L: Wide>(
    l: L,
    p: &BatchnormRelu,
    x: &[f32],
    residual: &[f32],
    channel: Channel,
    n: Normalisation,
    y: PlanesMut<'_>,
    stream: bool,
) {
    let residual = p.residual.then_some(residual);
    match (p.relu, stream) {
        (true, true) => l.enter(Apply::<true, true> { x, residual, channel, n, y }),
        (true, false) => l.enter(Apply::<true, false> { x, residual, channel, n, y }),
        (false, true) => l.enter(Apply::<false, true> { x, residual, channel, n, y }),
        (false, false) => l.enter(Apply::<false, false> { x, residual, channel, n, y }),
    }
}

/// y of a channel.
struct Apply<'a, const RELU: bool, const STREAM: bool> {
    x: &'a [f32],
    residual: Option<&'a [f32]>,
    channel: Channel,
    n: Normalisation,
    y: PlanesMut<'a>,
}

impl<const RELU: bool, const STREAM: bool> Work for Apply<'_, RELU, STREAM> {
    type Output = ();

    #[inline(always)]
    fn run<L: Wide>(mut self, l: L) {
        let params = Same([self.n.center, self.n.scale, self.n.shift]);
        for plane in (0..self.channel.planes).rev() {
            let range = self.channel.range(plane, &(0..self.channel.len));
            let x = &self.x[range.clone()];
            match self.residual {
                None => map::<L, _, 1, 3, STREAM>(l, Normalise::<RELU>, [x], params, self.y.plane(plane)),
                Some(residual) => {
                    let inputs = [x, &residual[range]];
                    map::<L, _, 2, 3, STREAM>(l, Normalise::<RELU>, inputs, params, self.y.plane(plane));
                }
            }
        }
        if STREAM {
            l.fence();
        }
    }
}

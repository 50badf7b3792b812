//! NCHW, training: channel by channel, or by groups of channels with small planes.
//!
//! A channel's values (its planes of all images) fit the second cache in most networks. So they come from memory once:
//! ```text
//! for each chunk:  m = Σx / count;  Σ(x − m), Σ(x − m)²;  merge
//! for each plane, the last one first:  y = act((x − μ)·γ/σ + β + residual)
//! ```
//! Where they don't fit, the last planes are still there when the second step begins with them. While y goes out, past the
//! caches, the next channels' planes come in: memory reads and writes at the same time.
//!
//! Inference has no first step and takes planes as they lie.

use etalon_reference::ops::batchnorm_relu::BatchnormRelu;

use super::channel::{Blocks, Chunk, GROUP, Group, PlanesMut};
use super::formula::{FromMean, Normalise, Values};
use super::map::{Same, map};
use super::moments::{Deviations, Moments, Normalisation};
use super::operands::{Infer, Train, Vectors, at, running};
use super::sum::over_planes;
use crate::disjoint::Disjoint;
use crate::faults::fault;
use crate::isa::wide::{Wide, Work};
use crate::pool::Pool;
use crate::workspace::Workspace;

/// Elements of a task of inference, about.
const TASK: usize = 64 * 1024;
/// How many elements ahead of inference the second cache fetches.
const AHEAD: usize = 4096;

/// Training.
pub fn train<L: Wide>(l: L, p: &BatchnormRelu, o: Train<'_>, stream: bool, pool: &Pool) {
    let blocks = Blocks::new(&p.images, pool.threads());
    let y = Disjoint::new(o.y);
    let vectors = [o.running_mean, o.running_var, o.saved_mean, o.saved_rstd].map(Disjoint::new);
    let (x, residual) = (o.x, p.residual.then_some(o.residual));
    pool.run(blocks.tasks(), |task, _| {
        for group in blocks.groups(task) {
            let moments = l.enter(Statistics { x, group });
            // SAFETY: the group's channels belong to this task alone.
            let [running_mean, running_var, mean, rstd] = [0, 1, 2, 3].map(|v| unsafe { vectors[v].part(group.all()) });
            let mut params = [[0.0; 3]; GROUP];
            for g in 0..group.channels {
                let (c, moments) = (group.first + g, moments[g]);
                let n =
                    Normalisation::new(moments.mean(), moments.var(), p.eps, at(o.gamma, c, 1.0), at(o.beta, c, 0.0));
                moments.update(p, &mut running_mean[g], &mut running_var[g]);
                (mean[g], rstd[g]) = (n.center, n.rstd);
                params[g] = [n.center, n.scale, n.shift];
            }
            // SAFETY: as above.
            let y = unsafe { PlanesMut::new(y, group) };
            match (p.relu, stream) {
                (true, true) => l.enter(Apply::<true, true> { x, residual, group, params, y }),
                (true, false) => l.enter(Apply::<true, false> { x, residual, group, params, y }),
                (false, true) => l.enter(Apply::<false, true> { x, residual, group, params, y }),
                (false, false) => l.enter(Apply::<false, false> { x, residual, group, params, y }),
            }
        }
    });
}

/// Inference: planes in the order of memory.
pub fn infer<L: Wide>(l: L, p: &BatchnormRelu, o: Infer<'_>, stream: bool, pool: &Pool, workspace: &mut Workspace) {
    let (c, len) = (p.images.c, p.images.h * p.images.w);
    let vectors = running(p, &o, workspace);
    let (planes, each) = (p.images.n * c, TASK.div_ceil(len.max(1)));
    let y = Disjoint::new(o.y);
    pool.run(planes.div_ceil(each), |task, _| {
        let first = task * each;
        let range = first * len..planes.min(first + each) * len;
        // SAFETY: the tasks' planes do not overlap.
        let y = unsafe { y.part(range.clone()) };
        let (x, residual) = (&o.x[range.clone()], p.residual.then(|| &o.residual[range]));
        match (p.relu, stream) {
            (true, true) => l.enter(ApplyInOrder::<true, true> { x, residual, first, len, vectors, y }),
            (true, false) => l.enter(ApplyInOrder::<true, false> { x, residual, first, len, vectors, y }),
            (false, true) => l.enter(ApplyInOrder::<false, true> { x, residual, first, len, vectors, y }),
            (false, false) => l.enter(ApplyInOrder::<false, false> { x, residual, first, len, vectors, y }),
        }
    });
}

/// The moments of the channels of a group.
struct Statistics<'a> {
    x: &'a [f32],
    group: Group,
}

impl Work for Statistics<'_> {
    type Output = [Moments; GROUP];

    #[inline(always)]
    fn run<L: Wide>(self, l: L) -> [Moments; GROUP] {
        let mut moments = [Moments::default(); GROUP];
        let (mut totals, mut m, mut deviations) = ([[0.0]; GROUP], [0.0; GROUP], [[0.0; 2]; GROUP]);
        for chunk in self.group.chunks() {
            let count = chunk.count();
            over_planes(l, Values, [self.x], [], &self.group, &chunk, &mut totals);
            for g in 0..self.group.channels {
                m[g] = totals[g][0] / count as f32;
            }
            over_planes(l, FromMean, [self.x], [&m], &self.group, &chunk, &mut deviations);
            for g in 0..self.group.channels {
                let [sum, squares] = deviations[g];
                let d = Deviations { count, m: m[g], sum, squares };
                let own = if d.are_finite() { Moments::of(count as f64, d.sums()) } else { self.plain(g, &chunk) };
                moments[g].merge(own);
            }
        }
        moments
    }
}

impl Statistics<'_> {
    #[cold]
    #[inline(never)]
    fn plain(&self, g: usize, chunk: &Chunk) -> Moments {
        Moments::plain(self.group.indices(g, chunk).map(|i| self.x[i]))
    }
}

/// y of the channels of a group.
struct Apply<'a, const RELU: bool, const STREAM: bool> {
    x: &'a [f32],
    residual: Option<&'a [f32]>,
    group: Group,
    /// Centre, scale, shift of each channel.
    params: [[f32; 3]; GROUP],
    y: PlanesMut<'a>,
}

impl<const RELU: bool, const STREAM: bool> Work for Apply<'_, RELU, STREAM> {
    type Output = ();

    #[inline(always)]
    fn run<L: Wide>(mut self, l: L) {
        let ahead = self.group.ahead;
        for plane in (0..self.group.planes).rev() {
            for g in 0..self.group.channels {
                let (params, range) = (Same(self.params[g]), self.group.plane(plane, g));
                let (x, y) = (&self.x[range.clone()], self.y.plane(plane, g));
                match self.residual {
                    None => map::<L, _, 1, 3, STREAM>(l, Normalise::<RELU>, [x], params, y, [ahead]),
                    Some(residual) => {
                        map::<L, _, 2, 3, STREAM>(l, Normalise::<RELU>, [x, &residual[range]], params, y, [ahead; 2]);
                    }
                }
            }
        }
        if STREAM {
            l.fence();
        }
    }
}

/// y of planes that lie one behind the other.
struct ApplyInOrder<'a, const RELU: bool, const STREAM: bool> {
    x: &'a [f32],
    residual: Option<&'a [f32]>,
    /// Index of the first plane among all of all images.
    first: usize,
    /// Elements of a plane.
    len: usize,
    vectors: Vectors<'a>,
    y: &'a mut [f32],
}

impl<const RELU: bool, const STREAM: bool> Work for ApplyInOrder<'_, RELU, STREAM> {
    type Output = ();

    #[inline(always)]
    fn run<L: Wide>(self, l: L) {
        let first = if fault!("batchnorm_relu.infer-second-task") { 0 } else { self.first };
        let mut c = first % self.vectors.channels();
        for (plane, y) in self.y.chunks_exact_mut(self.len.max(1)).enumerate() {
            let params = Same(self.vectors.of(c));
            let range = plane * self.len..(plane + 1) * self.len;
            let x = &self.x[range.clone()];
            match self.residual {
                None => map::<L, _, 1, 3, STREAM>(l, Normalise::<RELU>, [x], params, y, [AHEAD]),
                Some(residual) => {
                    map::<L, _, 2, 3, STREAM>(l, Normalise::<RELU>, [x, &residual[range]], params, y, [AHEAD; 2]);
                }
            }
            c = if c + 1 == self.vectors.channels() { 0 } else { c + 1 };
        }
        if STREAM {
            l.fence();
        }
    }
}

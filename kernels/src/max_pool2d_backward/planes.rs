//! The scatter: by planes, or by bands of channels.

use std::sync::{Mutex, PoisonError};

use etalon_reference::ops::max_pool2d::MaxPool2d;

use super::{Operands, Summand};
use crate::disjoint::{Disjoint, parts};
use crate::faults::fault;
use crate::pool::Pool;

/// Elements of a task, about.
const TASK: usize = 16 * 1024;
/// Channels of a task in NHWC.
pub(super) const BAND: usize = 32;

/// A position outside its plane, if there was one.
#[derive(Default)]
pub(super) struct Outside(Mutex<Option<i64>>);

impl Outside {
    #[cold]
    fn tell(&self, found: i64) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(found);
    }

    pub(super) fn found(self) -> Option<i64> {
        self.0.into_inner().unwrap_or_else(PoisonError::into_inner)
    }
}

/// NCHW: the element of a plane that is found gets the gradient.
pub(super) fn by_planes<T: Summand>(p: &MaxPool2d, o: Operands<'_, T>, pool: &Pool, outside: &Outside) {
    let (plane, outputs) = (p.x.h * p.x.w, p.y.h * p.y.w);
    let planes = (TASK / plane).clamp(1, (p.x.n * p.x.c).div_ceil(pool.threads()).max(1));
    let (mut none, mut scratch): ([(); 0], [(); 0]) = ([], []);
    parts(pool, (o.dx, planes * plane), (&mut none, 1), &mut scratch, |task, dx, _, _| {
        dx.fill(T::default());
        if fault!("max_pool2d_backward.last-plane") && !pool.is_eager() && task == 0 && planes > 1 {
            return;
        }
        let from = task * planes * outputs;
        let seen = from..from + dx.len() / plane * outputs;
        let (dy, index) = (o.dy[seen.clone()].chunks_exact(outputs), o.index[seen].chunks_exact(outputs));
        for ((dx, dy), index) in dx.chunks_exact_mut(plane).zip(dy).zip(index) {
            for (&dy, &at) in dy.iter().zip(index) {
                match usize::try_from(at).ok().and_then(|at| dx.get_mut(at)) {
                    Some(dx) => *dx += dy,
                    None => outside.tell(at),
                }
            }
        }
    });
}

/// NHWC: a task has some channels of an image.
pub(super) fn by_channels<T: Summand>(p: &MaxPool2d, o: Operands<'_, T>, pool: &Pool, outside: &Outside) {
    let (c, plane, outputs) = (p.x.c, p.x.h * p.x.w, p.y.h * p.y.w);
    let bands = c.div_ceil(BAND);
    let dx = Disjoint::new(o.dx);
    pool.run(p.x.n * bands, |task, _| {
        let (n, first) = (task / bands, task % bands * BAND);
        let channels = first..c.min(first + BAND);
        // SAFETY: tasks have different channels or images, and each task runs once.
        let slots = |place: usize| unsafe {
            let pixel = (n * plane + place) * c;
            dx.part(pixel + channels.start..pixel + channels.end)
        };
        if !(fault!("max_pool2d_backward.second-band") && first > 0) {
            (0..plane).for_each(|place| slots(place).fill(T::default()));
        }
        for output in 0..outputs {
            let pixel = (n * outputs + output) * c;
            let seen = pixel + channels.start..pixel + channels.end;
            for (channel, (&dy, &at)) in o.dy[seen.clone()].iter().zip(&o.index[seen]).enumerate() {
                match usize::try_from(at).ok().filter(|at| *at < plane) {
                    Some(at) => slots(at)[channel] += dy,
                    None => outside.tell(at),
                }
            }
        }
    });
}

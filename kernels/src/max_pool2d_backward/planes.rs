//! NCHW: a scatter in each plane.

use std::sync::{Mutex, PoisonError};

use etalon_reference::ops::max_pool2d::MaxPool2d;

use super::{Operands, Summand};
use crate::disjoint::parts;
use crate::faults::fault;
use crate::kernel::KernelError;
use crate::pool::Pool;

/// Elements of a task, about.
const TASK: usize = 16 * 1024;

/// A position outside its plane, if there was one.
#[derive(Default)]
pub(crate) struct Outside(Mutex<Option<i64>>);

impl Outside {
    #[cold]
    pub(crate) fn tell(&self, found: i64) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(found);
    }

    /// An error, if there was one of the pooling's planes.
    pub(crate) fn judge(self, p: &MaxPool2d) -> Result<(), KernelError> {
        let found = self.0.into_inner().unwrap_or_else(PoisonError::into_inner);
        let error = |found| KernelError::OutOfRange { operand: "index", found, end: p.x.h * p.x.w };
        found.map_or(Ok(()), |found| Err(error(found)))
    }
}

/// NCHW: the element of a plane that is found gets the gradient.
pub(crate) fn by_planes<T: Summand>(p: &MaxPool2d, o: Operands<'_, T>, pool: &Pool, outside: &Outside) {
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
                    Some(dx) if fault!("adaptive_max_pool2d_backward.shared-element") && p.cols.stride == 0 => *dx = dy,
                    Some(dx) => *dx += dy,
                    None => outside.tell(at),
                }
            }
        }
    });
}

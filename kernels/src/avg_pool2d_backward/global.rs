//! The one window is the whole image: all pixels of an image have the same gradient.

use etalon_reference::ops::avg_pool2d::AvgPool2d;

use super::{Operands, factor};
use crate::avg_pool2d::TASK;
use crate::disjoint::chunks;
use crate::faults::fault;
use crate::gemm::Float;
use crate::pool::Pool;

/// NCHW: a number for each plane.
pub(super) fn planes<T: Float>(p: &AvgPool2d, o: Operands<'_, T>, pool: &Pool) {
    let (plane, factor) = (p.x.h * p.x.w, factor::<T>(p, 0, 0));
    let planes = (TASK / plane).max(1);
    chunks(pool, o.dx, planes * plane, |start, dx| {
        for (dx, &dy) in dx.chunks_exact_mut(plane).zip(&o.dy[start / plane..]) {
            dx.fill(dy * factor);
        }
    });
}

/// NHWC: the first pixel of an image, and copies of it.
pub(super) fn pixels<T: Float>(p: &AvgPool2d, o: Operands<'_, T>, pool: &Pool) {
    let (c, plane, factor) = (p.x.c, p.x.h * p.x.w, factor::<T>(p, 0, 0));
    chunks(pool, o.dx, (TASK / c).max(1) * c, |start, dx| {
        let first = start / c;
        for pixel in 0..dx.len() / c {
            let anew = (first + pixel).is_multiple_of(plane) && !fault!("avg_pool2d_backward.second-image");
            if pixel == 0 || anew {
                let image = (first + pixel) / plane;
                let (to, from) = (&mut dx[pixel * c..][..c], &o.dy[image * c..][..c]);
                to.iter_mut().zip(from).for_each(|(to, &dy)| *to = dy * factor);
            } else {
                dx.copy_within((pixel - 1) * c..pixel * c, pixel * c);
            }
        }
    });
}

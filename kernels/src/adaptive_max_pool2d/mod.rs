//! [`adaptive_max_pool2d`](etalon_reference::ops::adaptive_max_pool2d): the largest elements of
//! [`max_pool2d`](crate::max_pool2d) under windows that cover a plane. f32 and f64; images in NCHW or NHWC order,
//! without gaps; positions are i64.
//!
//! Where the outputs divide the inputs, windows are tiles, as those of `max_pool2d`; elsewhere they begin at no one
//! distance: by planes, each is gone through by itself.
//!
//! NaN, errors and workspace: those of `max_pool2d`.

use etalon_reference::ops::max_pool2d::MaxPool2d;
use etalon_reference::{Threshold, Types};

use crate::faults::fault;
use crate::isa::Isa;
use crate::kernel::Kernel;
use crate::max_pool2d::{Best, Number, run};

const FLOATS: &[Types] = &[Types::F32, Types::F64];
/// Sixteen outputs of a row, or channels of a pixel.
const THRESHOLDS: &[Threshold] = &[Threshold::axis("ow", 16), Threshold::axis("c", 16)];

/// The kernels, weakest first.
pub static KERNELS: &[Kernel] = &[
    Kernel::new("scalar", Isa::Scalar, FLOATS, |call| run(call, Isa::Scalar)).with_thresholds(THRESHOLDS),
    Kernel::new("avx2", Isa::Avx2, FLOATS, |call| run(call, Isa::Avx2)).with_thresholds(THRESHOLDS),
    Kernel::new("avx512", Isa::Avx512, FLOATS, |call| run(call, Isa::Avx512)).with_thresholds(THRESHOLDS),
];

/// Row i of the outputs of a plane, under windows that begin at no one distance.
#[inline(always)]
pub(crate) fn uneven<T: Number>(p: &MaxPool2d, x: &[T], i: usize, y: &mut [T], index: &mut [i64]) {
    let (top, height) = p.rows.span(i);
    let height = if fault!("adaptive_max_pool2d.third-row") { height.min(2) } else { height };
    for (j, y) in y.iter_mut().enumerate() {
        let (left, width) = p.cols.span(j);
        let first = top * p.x.w + left;
        let mut best = Best::<T, i64, 1>::new([first as i64]);
        for row in 0..height {
            let start = first + row * p.x.w;
            let width = if fault!("adaptive_max_pool2d.last-of-row") && row > 0 { width - 1 } else { width };
            for (column, &seen) in x[start..start + width].iter().enumerate() {
                best.see([seen], [(start + column) as i64]);
            }
        }
        best.store(std::slice::from_mut(y), index.get_mut(j..=j).unwrap_or_default());
    }
}

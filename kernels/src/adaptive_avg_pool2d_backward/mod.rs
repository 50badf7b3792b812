//! [`adaptive_avg_pool2d_backward`](etalon_reference::ops::adaptive_avg_pool2d_backward): the gradients of
//! [`avg_pool2d_backward`](crate::avg_pool2d_backward) under windows that cover a plane. f32 and f64; images in NCHW or
//! NHWC order, without gaps.
//!
//! Where windows begin at no one distance, by planes, each element adds the outputs over it along its line.
//!
//! Error, NaN, errors and workspace: those of `avg_pool2d_backward`.

use etalon_reference::Threshold;

use crate::avg_pool2d::TASK;
use crate::avg_pool2d_backward::run;
use crate::faults::fault;
use crate::gemm::{FLOATS, Float};
use crate::isa::Isa;
use crate::kernel::Kernel;

/// Channels side by side.
const THRESHOLDS: &[Threshold] =
    &[Threshold::axis("c", 16), Threshold::axis("c", 64), Threshold::bytes("dx", 4 * TASK)];

/// The kernels, weakest first.
pub static KERNELS: &[Kernel] = &[
    Kernel::new("scalar", Isa::Scalar, FLOATS, |call| run(call, Isa::Scalar)),
    Kernel::new("avx2", Isa::Avx2, FLOATS, |call| run(call, Isa::Avx2)).with_thresholds(THRESHOLDS),
    Kernel::new("avx512", Isa::Avx512, FLOATS, |call| run(call, Isa::Avx512)).with_thresholds(THRESHOLDS),
];

/// For each pair of `ends`, the sum along the line between them.
#[inline(always)]
pub(crate) fn gather<T: Float>(line: &[T], ends: &[i64], to: &mut [T]) {
    for (column, (to, ends)) in to.iter_mut().zip(ends.chunks_exact(2)).enumerate() {
        let first = if fault!("adaptive_avg_pool2d_backward.shared-column") { ends[1] - 1 } else { ends[0] };
        let last = if fault!("adaptive_avg_pool2d_backward.ninth-column") && column == 8 { first } else { ends[1] };
        let over = line.get(first as usize..last as usize).unwrap_or_default();
        *to = over.iter().fold(T::default(), |sum, &x| sum + x);
    }
}

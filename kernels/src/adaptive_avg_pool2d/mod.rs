//! [`adaptive_avg_pool2d`](etalon_reference::ops::adaptive_avg_pool2d): the means of [`avg_pool2d`](crate::avg_pool2d)
//! under windows that cover a plane. f32 and f64; images in NCHW or NHWC order, without gaps.
//!
//! Where the outputs divide the inputs, windows are tiles, as those of `avg_pool2d`; elsewhere they begin at no one
//! distance: by planes, each is added by itself along its line.
//!
//! Error, NaN, errors and workspace: those of `avg_pool2d`.

use etalon_reference::Threshold;

use crate::avg_pool2d::{TASK, run};
use crate::faults::fault;
use crate::gemm::{FLOATS, Float};
use crate::isa::Isa;
use crate::isa::wide::Wide;
use crate::kernel::Kernel;

/// Outputs of a row, and channels, side by side.
const THRESHOLDS: &[Threshold] =
    &[Threshold::axis("ow", 16), Threshold::axis("c", 16), Threshold::axis("c", 64), Threshold::bytes("x", 4 * TASK)];

/// The kernels, weakest first.
pub static KERNELS: &[Kernel] = &[
    Kernel::new("scalar", Isa::Scalar, FLOATS, |call| run(call, Isa::Scalar)),
    Kernel::new("avx2", Isa::Avx2, FLOATS, |call| run(call, Isa::Avx2)).with_thresholds(THRESHOLDS),
    Kernel::new("avx512", Isa::Avx512, FLOATS, |call| run(call, Isa::Avx512)).with_thresholds(THRESHOLDS),
];

/// The sums along a line between the pairs of `ends`, a vector of them at a time: `take` gets them with the place of
/// the first.
#[inline(always)]
pub(crate) fn uneven<L: Wide<T>, T: Float>(l: L, line: &[T], ends: &[i64], mut take: impl FnMut(L::F, usize)) {
    for (block, ends) in ends.chunks(2 * T::LANES).enumerate() {
        let mut sums = T::lanes(|_| T::default());
        for (sum, ends) in sums.as_mut().iter_mut().zip(ends.chunks_exact(2)) {
            let end = if fault!("adaptive_avg_pool2d.fourth-column") { ends[1].min(ends[0] + 3) } else { ends[1] };
            *sum = line[ends[0] as usize..end as usize].iter().fold(T::default(), |sum, &x| sum + x);
        }
        if fault!("adaptive_avg_pool2d.second-vector") && block > 0 {
            continue;
        }
        take(l.load(&sums), block * T::LANES);
    }
}

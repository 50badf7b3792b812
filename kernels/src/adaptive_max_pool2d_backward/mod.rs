//! [`adaptive_max_pool2d_backward`](etalon_reference::ops::adaptive_max_pool2d_backward): each output's gradient goes
//! to the element that it found, as in [`max_pool2d_backward`](crate::max_pool2d_backward). f32 and f64; images in NCHW
//! or NHWC order, without gaps; positions are i64.
//!
//! Error, NaN and errors: those of `max_pool2d_backward`. Workspace: none.

use etalon_reference::{Threshold, Types};

use crate::isa::Isa;
use crate::kernel::Kernel;
use crate::max_pool2d_backward::run;

const FLOATS: &[Types] = &[Types::F32, Types::F64];
/// Channels side by side, and of a task.
const THRESHOLDS: &[Threshold] = &[Threshold::axis("c", 16), Threshold::axis("c", 32)];

/// The kernels, weakest first.
pub static KERNELS: &[Kernel] = &[
    Kernel::new("scalar", Isa::Scalar, FLOATS, |call| run(call, Isa::Scalar)).with_thresholds(THRESHOLDS),
    Kernel::new("avx2", Isa::Avx2, FLOATS, |call| run(call, Isa::Avx2)).with_thresholds(THRESHOLDS),
    Kernel::new("avx512", Isa::Avx512, FLOATS, |call| run(call, Isa::Avx512)).with_thresholds(THRESHOLDS),
];

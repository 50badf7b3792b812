//! [`rotary_backward`](etalon_reference::ops::rotary_backward): [`rotary`](crate::rotary) the other way.

use crate::gemm::FLOATS;
use crate::isa::Isa;
use crate::kernel::Kernel;
use crate::rotary::{THRESHOLDS, run};

/// The kernels, weakest first.
pub static KERNELS: &[Kernel] = &[
    Kernel::new("scalar", Isa::Scalar, FLOATS, |call| run(call, Isa::Scalar)),
    Kernel::new("avx2", Isa::Avx2, FLOATS, |call| run(call, Isa::Avx2)).with_thresholds(THRESHOLDS),
    Kernel::new("avx512", Isa::Avx512, FLOATS, |call| run(call, Isa::Avx512)).with_thresholds(THRESHOLDS),
];

//! GEMM: `C = act(α·A·B + β·C + bias)`, batched, f32 and f64.
//!
//! Shapes: A m×k, B k×n with any row and column strides, C m×n row-major with a leading dimension, bias n. C is updated in
//! place. The problem is [`Gemm`]; its documentation fixes the order of summation, and every kernel of ours keeps it: the
//! same bits on scalar, AVX2 and AVX-512, for any number of threads and whether operands are packed or not.
//!
//! Error: see the operator's tolerance. NaN and ∞ follow the formula; β = 0 does not read C.
//!
//! Workspace: [`workspace_bytes`], 1.5 MiB a thread at any size.

mod ahead;
#[cfg(target_arch = "x86_64")]
pub(crate) mod avx2;
#[cfg(target_arch = "x86_64")]
pub(crate) mod avx512;
pub(crate) mod driver;
mod entry;
pub(crate) mod epilogue;
mod float;
#[cfg(feature = "openblas")]
pub(crate) mod openblas;
mod pack;
pub(crate) mod product;
mod scalar;
pub(crate) mod skinny;
#[cfg(target_arch = "x86_64")]
mod stream;
pub(crate) mod tile;

use etalon_reference::Types;
use etalon_reference::ops::gemm::Gemm;

pub use self::driver::workspace_bytes;
use self::driver::{PATHS, THRESHOLDS};
pub use self::entry::{dgemm, sgemm};
pub use self::float::Float;
pub(crate) use self::float::{Tiled, with_float};
pub(crate) use self::pack::DEPTH;
pub use self::pack::PackedB;
use crate::isa::Isa;
use crate::kernel::Kernel;

/// The types of [`Float`].
pub(crate) const FLOATS: &[Types] = &[Types::F32, Types::F64];

/// The kernels, weakest first; the last one without a plan that applies is the default.
pub static KERNELS: &[Kernel] = &[
    Kernel::new("scalar", Isa::Scalar, FLOATS, entry::scalar),
    #[cfg(feature = "openblas")]
    openblas::KERNEL,
    #[cfg(target_arch = "x86_64")]
    Kernel::new("avx2-prepacked", Isa::Avx2, FLOATS, entry::avx2)
        .with_plan(entry::plan_avx2)
        .with_thresholds(THRESHOLDS)
        .with_paths(PATHS),
    #[cfg(target_arch = "x86_64")]
    Kernel::new("avx2", Isa::Avx2, FLOATS, entry::avx2).with_thresholds(THRESHOLDS).with_paths(PATHS),
    #[cfg(target_arch = "x86_64")]
    Kernel::new("avx512-prepacked", Isa::Avx512, FLOATS, entry::avx512)
        .with_plan(entry::plan_avx512)
        .with_thresholds(THRESHOLDS)
        .with_paths(PATHS),
    #[cfg(target_arch = "x86_64")]
    Kernel::new("avx512", Isa::Avx512, FLOATS, entry::avx512).with_thresholds(THRESHOLDS).with_paths(PATHS),
];

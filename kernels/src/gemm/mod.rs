//! GEMM: `C = act(α·A·B + β·C + bias)`, batched; f32, f64, and operands of 16 and 8 bits.
//!
//! Shapes: A m×k, B k×n with any row and column strides, C m×n row-major with a leading dimension, bias n. C is updated in
//! place. The problem is [`Gemm`]; its documentation fixes the order of summation, and every kernel of ours keeps it: the
//! same bits on scalar, AVX2 and AVX-512, for any number of threads and whether operands are packed or not.
//!
//! Error: see the operator's tolerance. NaN and ∞ follow the formula; β = 0 does not read C.
//!
//! Workspace: [`workspace_bytes`], 1.5 MiB a thread at any size; for operands of 16 and 8 bits, which are widened to f32
//! while they are packed, about 4 MiB more.

pub(crate) mod ahead;
#[cfg(target_arch = "x86_64")]
pub(crate) mod avx2;
#[cfg(target_arch = "x86_64")]
pub(crate) mod avx512;
#[cfg(target_arch = "x86_64")]
mod bf16;
pub(crate) mod driver;
mod entry;
pub(crate) mod epilogue;
mod float;
#[cfg(feature = "openblas")]
pub(crate) mod openblas;
mod pack;
pub(crate) mod product;
mod scalar;
pub(crate) mod short;
pub(crate) mod skinny;
mod small;
#[cfg(target_arch = "x86_64")]
mod stream;
pub(crate) mod tile;
pub(crate) mod widened;

use etalon_reference::Types;
use etalon_reference::ops::gemm::{self, Gemm};

pub use self::driver::workspace_bytes;
use self::driver::{PATHS, THRESHOLDS};
pub use self::entry::{dgemm, sgemm};
pub use self::float::Float;
pub(crate) use self::float::{Tiled, with_float};
pub use self::pack::PackedB;
pub(crate) use self::pack::{DEPTH, pack_b};
#[cfg(target_arch = "x86_64")]
use crate::isa::Extension;
use crate::isa::Isa;
use crate::kernel::Kernel;

/// The types of [`Float`].
pub(crate) const FLOATS: &[Types] = &[Types::F32, Types::F64];

/// The kernels, weakest first; the last one without a plan that applies is the default.
pub static KERNELS: &[Kernel] = &[
    Kernel::new("scalar", Isa::Scalar, gemm::TYPES, entry::scalar),
    #[cfg(feature = "openblas")]
    openblas::KERNEL,
    #[cfg(target_arch = "x86_64")]
    Kernel::new("avx2-prepacked", Isa::Avx2, FLOATS, entry::avx2)
        .with_plan(entry::plan_avx2)
        .with_thresholds(THRESHOLDS)
        .with_paths(PATHS),
    #[cfg(target_arch = "x86_64")]
    Kernel::new("avx2", Isa::Avx2, gemm::TYPES, entry::avx2).with_thresholds(THRESHOLDS).with_paths(PATHS),
    #[cfg(target_arch = "x86_64")]
    Kernel::new("avx512-prepacked", Isa::Avx512, FLOATS, entry::avx512)
        .with_plan(entry::plan_avx512)
        .with_thresholds(THRESHOLDS)
        .with_paths(PATHS),
    #[cfg(target_arch = "x86_64")]
    Kernel::new("avx512", Isa::Avx512, gemm::TYPES, entry::avx512).with_thresholds(THRESHOLDS).with_paths(PATHS),
    #[cfg(target_arch = "x86_64")]
    with_bf16("avx512-bf16-prepacked").with_plan(entry::plan_bf16),
    #[cfg(target_arch = "x86_64")]
    with_bf16("avx512-bf16"),
];

/// A kernel by products of bf16.
#[cfg(target_arch = "x86_64")]
const fn with_bf16(name: &'static str) -> Kernel {
    Kernel::new(name, Isa::Avx512, &[gemm::BF16, gemm::BF16F32], entry::avx512_bf16)
        .with_extensions(&[Extension::Bf16])
        .with_tolerance(bf16::tolerance)
        .with_thresholds(bf16::THRESHOLDS)
}

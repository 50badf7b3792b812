//! [`attention`](etalon_reference::ops::attention): scaled dot-product attention. f32, f64 and bf16; shapes and layouts are
//! the problem's.
//!
//! ```text
//! a task: up to 128 rows of queries, of all heads that share a head of keys
//!   for blocks of 96 keys:
//!     for panels of queries, as many as a tile has columns:
//!       scores = K·Qᵀ                                     keys × queries: a tile's rows are keys, as they lie
//!       masks;  the largest score;  p = 2^(s − m), their sums
//!       sums = sums·2^(old − m) + Pᵀ·V                    a tile's rows are queries, its columns those of V, as they lie
//!   y = sums/Σp
//! ```
//! Up to eight rows of queries before their keys go another way: keys lie in lanes (`few`).
//!
//! Scores lie with queries side by side, so that each query is a lane: the largest score and the sums need nothing across
//! lanes, and neither K nor V is copied, unless their rows lie so far apart that they share sets of a cache. No S×S matrix
//! is stored.
//!
//! What a query does not see has p = 0, and adding 0 times a number changes no bit. Where a block of V holds NaN or ∞ and
//! some query does not see all of it, sums are made one by one.
//!
//! All levels give the same bits, for any number of threads, and a query those that it has alone.
//!
//! Error: the problem's tolerance. NaN and ∞ follow the formula. Errors: a length that is none; a level that the CPU lacks.
//! Workspace a thread: [`workspace_bytes`]; it does not grow with the numbers of queries and keys. bf16 is widened to f32
//! once (`short`), which takes as many f32 as q, k, v, y and an added mask have elements.

pub(crate) mod blocks;
mod few;
pub(crate) mod operands;
pub(crate) mod scalar;
mod short;
pub(crate) mod soften;

use etalon_reference::ops::attention::{BLOCK, TYPES};
use etalon_reference::ops::gemm::CHUNK;
use etalon_reference::{DType, Domain, Threshold};

use self::blocks::ROWS;
pub use self::blocks::workspace_bytes;
use self::operands::Operands;
use crate::call::Call;
use crate::gemm::with_float;
use crate::isa::Isa;
use crate::kernel::{Kernel, KernelError};
use crate::math::Numeric;

const THRESHOLDS: &[Threshold] = &[
    Threshold::axis("sk", BLOCK as i64),
    Threshold::axis("sk", 2 * BLOCK as i64),
    Threshold::axis("sq", few::ROWS as i64),
    Threshold::axis("sq", 12),
    Threshold::axis("sq", 32),
    Threshold::axis("sq", ROWS as i64),
    Threshold::axis("d", CHUNK as i64),
    Threshold::axis("dv", 32),
];

const PATHS: &[Domain] = &[Domain {
    name: "a diagonal that ends within a panel, behind the first block",
    fixed: &[("sq", &[40, 140]), ("sk", &[140, 200]), ("d", &[4, 9]), ("dv", &[4, 9]), ("causal", &[1, 2])],
}];

/// The kernels, weakest first.
pub static KERNELS: &[Kernel] = &[
    Kernel::new("scalar", Isa::Scalar, TYPES, |call| run(call, Isa::Scalar)),
    Kernel::new("avx2", Isa::Avx2, TYPES, |call| run(call, Isa::Avx2)).with_thresholds(THRESHOLDS).with_paths(PATHS),
    Kernel::new("avx512", Isa::Avx512, TYPES, |call| run(call, Isa::Avx512))
        .with_thresholds(THRESHOLDS)
        .with_paths(PATHS),
];

fn run(call: &mut Call<'_>, isa: Isa) -> Result<(), KernelError> {
    match call.types().element {
        DType::Bf16 => short::run(call, isa),
        _ => with_float!(call.types(), T => typed::<T>(call, isa)),
    }
}

fn typed<T: Numeric>(call: &mut Call<'_>, isa: Isa) -> Result<(), KernelError> {
    let (operands, pool, workspace) = Operands::<T>::of(call)?;
    match isa {
        Isa::Scalar => scalar::attend(&operands, pool, workspace),
        _ => blocks::attend(isa, &operands, pool, workspace)?,
    }
    Ok(())
}

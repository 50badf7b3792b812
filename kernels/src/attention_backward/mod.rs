//! [`attention_backward`](etalon_reference::ops::attention_backward): the gradients of [`attention`](crate::attention).
//! f32 and f64; shapes and layouts are the problem's.
//!
//! ```text
//! a task: a head of keys, with all heads of queries that read it
//!   for blocks of 96 rows of queries:
//!     δ = Σ dy·y
//!     for blocks of 96 keys:
//!       scores = K·Qᵀ,  products = V·dYᵀ                  keys × rows: K and V as they lie
//!       masks;  p = 2^(s − lse);  t = p·(products − δ)
//!       dV += P·dY,  dK += T·Q,  dQ += Tᵀ·K               by GEMM's tiles, everything as it lies
//! ```
//! Of the rows, a task keeps copies side by side and transposed; of keys nothing, unless their rows lie so far apart that
//! they share sets of a cache. No S×S matrix is stored.
//!
//! What a query does not see has p = t = 0, and adding 0 times a number changes no bit. Where a block holds NaN or ∞ and
//! some query does not see all of it, sums are made one by one.
//!
//! All levels give the same bits, for any number of threads.
//!
//! Error: the problem's tolerance. NaN and ∞ follow the formula. Errors: a length that is none; a level that the CPU lacks.
//! Workspace a thread: [`workspace_bytes`]; it does not grow with the numbers of queries and keys.

mod blocks;
mod operands;
mod pairs;
mod scalar;

use etalon_reference::ops::attention::BLOCK;
use etalon_reference::ops::gemm::CHUNK;
use etalon_reference::{Domain, Threshold};

pub use self::blocks::workspace_bytes;
use self::operands::Operands;
use crate::call::Call;
use crate::gemm::{FLOATS, with_float};
use crate::isa::Isa;
use crate::kernel::{Kernel, KernelError};
use crate::math::Numeric;

const THRESHOLDS: &[Threshold] = &[
    Threshold::axis("sk", BLOCK as i64),
    Threshold::axis("sk", 2 * BLOCK as i64),
    Threshold::axis("sq", 12),
    Threshold::axis("sq", 32),
    Threshold::axis("sq", BLOCK as i64),
    Threshold::axis("d", CHUNK as i64),
    Threshold::axis("dv", CHUNK as i64),
];

const PATHS: &[Domain] = &[Domain {
    name: "a diagonal that ends within a block, behind the first one",
    fixed: &[("sq", &[110, 140]), ("sk", &[140, 200]), ("d", &[4, 9]), ("dv", &[4, 9]), ("causal", &[1, 2])],
}];

/// The kernels, weakest first.
pub static KERNELS: &[Kernel] = &[
    Kernel::new("scalar", Isa::Scalar, FLOATS, |call| run(call, Isa::Scalar)),
    Kernel::new("avx2", Isa::Avx2, FLOATS, |call| run(call, Isa::Avx2)).with_thresholds(THRESHOLDS).with_paths(PATHS),
    Kernel::new("avx512", Isa::Avx512, FLOATS, |call| run(call, Isa::Avx512))
        .with_thresholds(THRESHOLDS)
        .with_paths(PATHS),
];

fn run(call: &mut Call<'_>, isa: Isa) -> Result<(), KernelError> {
    with_float!(call.types(), T => typed::<T>(call, isa))
}

fn typed<T: Numeric>(call: &mut Call<'_>, isa: Isa) -> Result<(), KernelError> {
    let (operands, pool, workspace) = Operands::<T>::of(call)?;
    match isa {
        Isa::Scalar => scalar::gradients(&operands, pool, workspace),
        _ => blocks::gradients(isa, &operands, pool, workspace)?,
    }
    Ok(())
}

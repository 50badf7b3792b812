//! Somebody else's implementations, timed beside ours, each at its best.

mod faer;
mod gemm_crate;
#[cfg(feature = "libtorch")]
mod inference;
#[cfg(feature = "libtorch")]
mod libtorch;
mod matmul;
mod matrixmultiply;

use std::sync::Arc;

use etalon_kernels::check::Prepared;
use etalon_kernels::pool::Pool;

use crate::subject::{Ours, Subject};

/// Names of all peers, whether they are built in or not.
pub const NAMES: [&str; 5] = ["libtorch", "openblas", "faer", "gemm", "matrixmultiply"];

/// The peer, ready to compute the problem.
///
/// # Errors
/// Why it can't: not built in, or not a problem that it computes.
pub fn prepare<'a>(name: &str, prepared: &'a Prepared, pool: &Arc<Pool>) -> Result<Box<dyn Subject + 'a>, String> {
    match name {
        #[cfg(feature = "libtorch")]
        "libtorch" => libtorch::prepare(prepared, pool.threads()),
        #[cfg(not(feature = "libtorch"))]
        "libtorch" => Err("built without the feature `libtorch`".into()),
        "openblas" => openblas(prepared, pool),
        "faer" => faer::prepare(prepared, pool.threads()),
        "gemm" => gemm_crate::prepare(prepared, pool.threads()),
        "matrixmultiply" => matrixmultiply::prepare(prepared, pool.threads()),
        other => Err(format!("unknown peer `{other}`: expected {}", NAMES.join(", "))),
    }
}

/// OpenBLAS is a kernel of the registry's.
fn openblas<'a>(prepared: &'a Prepared, pool: &Arc<Pool>) -> Result<Box<dyn Subject + 'a>, String> {
    let entry = etalon_kernels::registry::find(prepared.operator.name).ok_or("not in the registry")?;
    let kernel = entry.kernel("openblas").ok_or("OpenBLAS does not compute it, or is not built in")?;
    Ok(Box::new(Ours::new(kernel, prepared, pool.clone())?))
}

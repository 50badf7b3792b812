//! GEMM: `C = act(α·A·B + β·C + bias)`, batched.

use crate::kernel::Kernel;

/// The kernels, weakest first.
pub static KERNELS: &[Kernel] = &[];

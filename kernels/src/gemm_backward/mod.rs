//! Gradients of GEMM: `dz = dy·act′(z)`, `dA = α·dz·Bᵀ`, `dB = α·Aᵀ·dz`, `dbias = Σ rows of dz`.
//!
//! Two GEMMs on exchanged strides, so each kernel here is the kernel of the same name in [`gemm`](crate::gemm) and keeps
//! its promises: the same bits on every ISA and for any thread count.
//!
//! Operands (row-major, contiguous, f32 or f64): dy, dz, z batch×m×n; a, da batch×m×k; b, db batch×k×n; dbias n.
//! Error: dA and dB as the GEMMs they are; dbias γ(batch·m)·Σ|dz|; dz exact but for GELU (16u·|dy|).
//! NaN: as the formula says; where z is NaN, ReLU passes dy.

mod compute;

use etalon_reference::Threshold;
use etalon_reference::ops::gemm::CHUNK;

use self::compute::backward;
pub(crate) use self::compute::sum_rows;
use crate::gemm::{DEPTH, FLOATS};
use crate::isa::Isa;
use crate::kernel::Kernel;

/// The sizes at which one of the two products, or the pass over dy, takes another path: dA sums over n, dB over m.
const THRESHOLDS: &[Threshold] = &[
    Threshold::axis("m", 64),
    Threshold::axis("m", CHUNK as i64),
    Threshold::axis("m", DEPTH as i64),
    Threshold::axis("n", CHUNK as i64),
    Threshold::axis("n", DEPTH as i64),
    Threshold::axis("k", 240),
    Threshold::axis("k", 512),
    Threshold::bytes("dy", compute::TASK * size_of::<f32>()),
    Threshold::bytes("b", 1 << 20),
];

/// The kernels, weakest first.
pub static KERNELS: &[Kernel] = &[
    Kernel::new("scalar", Isa::Scalar, FLOATS, |call| backward(call, Isa::Scalar)),
    Kernel::new("avx2", Isa::Avx2, FLOATS, |call| backward(call, Isa::Avx2)).with_thresholds(THRESHOLDS),
    Kernel::new("avx512", Isa::Avx512, FLOATS, |call| backward(call, Isa::Avx512)).with_thresholds(THRESHOLDS),
];

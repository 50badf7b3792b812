//! `matmul_nbits`, [as it is defined](etalon_reference::ops::matmul_nbits): a product with weights of 4 or 2 bits,
//! scaled by groups.
//!
//! Shapes: A m×k, codes in n rows of bytes, scales and zero points n×⌈k/group⌉, bias n, out m×n. Types: f32; bf16; A of
//! s8 with a scale for each row, all else of f32.
//!
//! Two ways:
//! - `avx2`, `avx512` make f32 of the weights while GEMM packs them (`whole`): the canonical order of real numbers.
//! - `…-prepacked` take weights that a plan has packed ([`PackedW`]), and unpack codes in registers, once for a block of
//!   rows (`driver`): so a product with few rows reads 4 or 2 bits a weight, and takes as long as that takes.
//!
//! ```text
//! in a plan:           codes, 32 rows of weights side by side (`pack` has the order)
//! prepare A:           as the instructions take it, with the sum of each group
//! for panels of 32 columns, for blocks of rows, for groups:
//!   for each vector of words:  unpack;  for each row:  sums += a·code
//!   totals = fma(scale, sums − zero·Σa, totals)
//! out = totals + bias, rounded
//! ```
//! Error: see the operator; kernels for s8 give its bits. NaN and ∞ follow the formula. Errors: instructions that the CPU
//! lacks. Workspace: A, prepared, in 4 bytes an element at most; or GEMM's, and for bf16 a block of the output in f32.

#[cfg(target_arch = "x86_64")]
mod driver;
#[cfg(target_arch = "x86_64")]
mod intel;
#[cfg(target_arch = "x86_64")]
mod pack;
mod scalar;
#[cfg(target_arch = "x86_64")]
mod whole;

use etalon_reference::operator::downcast;
use etalon_reference::ops::matmul_nbits::{BF16, TYPES};
use etalon_reference::{Element, Types};

#[cfg(target_arch = "x86_64")]
pub use self::pack::PackedW;
use crate::call::{Call, elements};
use crate::isa::Isa;
use crate::kernel::{Kernel, KernelError};
use crate::workspace::Workspace;

/// The kernels, weakest first; the last one that applies is the default: weights are packed once, in a plan.
pub static KERNELS: &[Kernel] = &[
    Kernel::new("scalar", Isa::Scalar, TYPES, scalar),
    #[cfg(target_arch = "x86_64")]
    intel::AVX2,
    #[cfg(target_arch = "x86_64")]
    intel::AVX2_PREPACKED,
    #[cfg(target_arch = "x86_64")]
    intel::AVX2_S8_PREPACKED,
    #[cfg(target_arch = "x86_64")]
    intel::AVX512,
    #[cfg(target_arch = "x86_64")]
    intel::AVX512_PREPACKED,
    #[cfg(target_arch = "x86_64")]
    intel::AVX512_S8_PREPACKED,
    #[cfg(target_arch = "x86_64")]
    intel::AVX512_BF16_PREPACKED,
    #[cfg(target_arch = "x86_64")]
    intel::AVX512_VNNI_PREPACKED,
];

/// The operands; those that the problem does not have are empty.
struct Operands<'a, E, O> {
    /// A.
    a: &'a [E],
    /// Codes.
    w: &'a [u8],
    /// Scales.
    scale: &'a [O],
    /// Zero points.
    zero: &'a [u8],
    /// Scales of A.
    a_scale: &'a [f32],
    /// Bias.
    bias: &'a [O],
    /// The output.
    out: &'a mut [O],
}

impl<'a, E: Element, O: Element> Operands<'a, E, O> {
    /// Those of a call, and its workspace.
    fn of(call: &'a mut Call<'_>) -> (Operands<'a, E, O>, &'a mut Workspace) {
        let (a, w, scale, zero) = (call.input(0), call.input(1), call.input(2), call.input(3));
        let (a_scale, bias) = (call.input(4), call.input(5));
        let ([out], workspace) = call.outputs();
        (Operands { a, w, scale, zero, a_scale, bias, out: elements(out) }, workspace)
    }
}

/// The kernel `scalar`.
fn scalar(call: &mut Call<'_>) -> Result<(), KernelError> {
    let p = downcast(call.problem());
    match call.types() {
        Types::F32 => scalar::reals::<f32>(p, Operands::of(call).0),
        BF16 => scalar::reals::<half::bf16>(p, Operands::of(call).0),
        _ => scalar::bytes(p, Operands::of(call).0),
    }
    Ok(())
}

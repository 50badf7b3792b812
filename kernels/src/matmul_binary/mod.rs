//! `matmul_binary`, [as it is defined](etalon_reference::ops::matmul_binary): a product of matrices of −1 and 1.
//!
//! Shapes: A m×⌈k/8⌉ bytes, weights n×⌈k/8⌉ bytes, out m×n of i32.
//!
//! ```text
//! in a plan:  weights in words of 32 bits, sixteen rows side by side, zeros behind the last bit
//! rows of A as words, zeros behind the last bit
//! for panels of sixteen columns, for blocks of rows, for words:  counts += popcount(a xor w)
//! out = k − 2·counts
//! ```
//! Error: none. Errors: instructions that the CPU lacks. Workspace: the rows of A.

#[cfg(target_arch = "x86_64")]
mod driver;

use etalon_reference::operator::downcast;
use etalon_reference::ops::matmul_binary::{B1S32, MatmulBinary};
#[cfg(target_arch = "x86_64")]
use etalon_reference::{Threshold, Types};

use crate::call::Call;
#[cfg(target_arch = "x86_64")]
use crate::call::{Inputs, elements};
use crate::isa::Isa;
#[cfg(target_arch = "x86_64")]
use crate::isa::{Avx2Token, Avx512Token, Extension, VpopcntdqToken, bits::Bits, wide::LANES};
use crate::kernel::{Kernel, KernelError};
#[cfg(target_arch = "x86_64")]
use crate::{kernel::Plan, pool::WORTH_NS};

/// Blocks of rows, panels, words, counts of bytes, threads.
#[cfg(target_arch = "x86_64")]
const THRESHOLDS: &[Threshold] = &[
    Threshold::axis("m", 2),
    Threshold::axis("m", 4),
    Threshold::axis("m", 8),
    Threshold::axis("n", LANES as i64),
    Threshold::axis("k", 32),
    Threshold::axis("k", 32 * 31),
    Threshold::operations((WORTH_NS * driver::OPERATIONS_A_NS) as i64),
];

/// The kernels, weakest first; the last one that applies is the default: weights are packed once, in a plan.
pub static KERNELS: &[Kernel] = &[
    Kernel::new("scalar", Isa::Scalar, &[B1S32], scalar),
    #[cfg(target_arch = "x86_64")]
    packed("avx2-prepacked", Isa::Avx2, run::<Avx2Token>),
    #[cfg(target_arch = "x86_64")]
    packed("avx512-prepacked", Isa::Avx512, run::<Avx512Token>),
    #[cfg(target_arch = "x86_64")]
    packed("avx512-vpopcntdq-prepacked", Isa::Avx512, run::<VpopcntdqToken>).with_extensions(&[Extension::Vpopcntdq]),
];

#[cfg(target_arch = "x86_64")]
const fn packed(name: &'static str, isa: Isa, run: fn(&mut Call<'_>) -> Result<(), KernelError>) -> Kernel {
    const TYPES: &[Types] = &[B1S32];
    Kernel::new(name, isa, TYPES, run).with_usual_plan(plan).with_thresholds(THRESHOLDS)
}

/// In words of 64 bits, as far as a row fills them.
fn scalar(call: &mut Call<'_>) -> Result<(), KernelError> {
    let p: &MatmulBinary = downcast(call.problem());
    let (a, w) = (call.input::<u8>(0), call.input::<u8>(1));
    let (line, n) = (p.line(), p.n);
    let last = if p.k.is_multiple_of(8) { 0xff } else { (1u8 << (p.k % 8)) - 1 };
    for (i, out) in call.output::<i32>(0).chunks_exact_mut(n.max(1)).enumerate() {
        let a = &a[i * line..][..line];
        for (j, out) in out.iter_mut().enumerate() {
            let w = &w[j * line..][..line];
            let differing =
                |(at, (a, w)): (usize, (&u8, &u8))| ((a ^ w) & if at + 1 == line { last } else { 0xff }).count_ones();
            let count: u32 = a.iter().zip(w).enumerate().map(differing).sum();
            *out = (p.k as i64 - 2 * i64::from(count)) as i32;
        }
    }
    Ok(())
}

#[cfg(target_arch = "x86_64")]
fn plan(inputs: &Inputs<'_>) -> Result<Plan, KernelError> {
    Ok(Box::new(driver::PackedBits::new(downcast(inputs.problem()), inputs.input(1))))
}

#[cfg(target_arch = "x86_64")]
fn run<B: Bits>(call: &mut Call<'_>) -> Result<(), KernelError> {
    let bits = B::proof().map_err(KernelError::Isa)?;
    let (p, pool): (&MatmulBinary, _) = (downcast(call.problem()), call.pool());
    let packed = call.plan::<driver::PackedBits>().filter(|packed| packed.fits(p));
    let packed =
        packed.ok_or_else(|| KernelError::Unsupported("it wants a plan that was made for the problem".into()))?;
    let a = call.input(0);
    let ([out], workspace) = call.outputs();
    driver::matmul(bits, p, (a, packed), elements(out), pool, workspace);
    Ok(())
}

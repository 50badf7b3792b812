//! `matmul_int4`, [as it is defined](etalon_reference::ops::matmul_int4): a product with weights of 4 bits, scaled by
//! groups.
//!
//! Shapes: A m×k, codes n×⌈k/2⌉ bytes, scales and zero points n×⌈k/group⌉, bias n, out m×n. f32, and bf16 with f32
//! scales. All kernels keep the canonical order: the same bits on every ISA and for any number of threads.
//!
//! ```text
//! for blocks of ROWS rows, for panels of two vectors of outputs: a task
//!   for each group:
//!     for each part of at most DEPTH codes:      code − zero as f32, outputs side by side; the rows of A as f32
//!       sums += a·(code − zero)                  tiles of rows
//!     totals = fma(scale, sums, totals)
//!   out = totals + bias, rounded
//! ```
//! Error: see the operator. NaN and ∞ follow the formula. Errors: a level that the CPU lacks. Workspace: [`driver::SCRATCH`]
//! elements a thread.

mod driver;
mod scalar;

use etalon_reference::operator::downcast;
use etalon_reference::ops::matmul_int4::{BF16U4, F32U4, MatmulInt4, TYPES};
use etalon_reference::Threshold;

use crate::call::{Call, elements};
use crate::isa::Isa;
use crate::isa::narrow::{Convert, Job, Narrow, with_converters};
use crate::kernel::{Kernel, KernelError};
use crate::pool::{Pool, WORTH_NS};
use crate::workspace::Workspace;

/// Tiles, blocks of rows, panels, parts of groups, threads.
const THRESHOLDS: &[Threshold] = &[
    Threshold::axis("m", 8),
    Threshold::axis("m", driver::ROWS as i64),
    Threshold::axis("n", driver::WIDTH as i64),
    Threshold::axis("k", driver::DEPTH as i64),
    Threshold::axis("group", driver::DEPTH as i64),
    Threshold::operations((WORTH_NS * driver::OPERATIONS_A_NS) as i64),
];

/// The kernels, weakest first.
pub static KERNELS: &[Kernel] = &[
    Kernel::new("scalar", Isa::Scalar, TYPES, |call| typed(call, None)),
    #[cfg(target_arch = "x86_64")]
    Kernel::new("avx2", Isa::Avx2, TYPES, |call| typed(call, Some(Isa::Avx2))).with_thresholds(THRESHOLDS),
    #[cfg(target_arch = "x86_64")]
    Kernel::new("avx512", Isa::Avx512, TYPES, |call| typed(call, Some(Isa::Avx512))).with_thresholds(THRESHOLDS),
];

/// The operands; `zero` and `bias` are empty where the problem has none.
pub(crate) struct Operands<'a, E> {
    /// A.
    pub a: &'a [E],
    /// Codes.
    pub w: &'a [u8],
    /// Scales.
    pub scale: &'a [f32],
    /// Zero points.
    pub zero: &'a [u8],
    /// Bias.
    pub bias: &'a [E],
    /// The output.
    pub out: &'a mut [E],
}

/// By tiles of an instruction set, or by the formula.
fn typed(call: &mut Call<'_>, isa: Option<Isa>) -> Result<(), KernelError> {
    match call.types() {
        F32U4 => of::<f32>(call, isa),
        BF16U4 => of::<half::bf16>(call, isa),
        other => Err(KernelError::Unsupported(format!("matmul_int4 of {other}"))),
    }
}

fn of<E: Narrow>(call: &mut Call<'_>, isa: Option<Isa>) -> Result<(), KernelError> {
    let (p, pool) = (downcast(call.problem()), call.pool());
    let (a, w, scale) = (call.input(0), call.input(1), call.input(2));
    let (zero, bias) = (call.input(3), call.input(4));
    let ([out], workspace) = call.outputs();
    let x = Operands::<E> { a, w, scale, zero, bias, out: elements(out) };
    match isa {
        None => {
            scalar::matmul(p, x);
            Ok(())
        }
        Some(isa) => with_converters(isa, Tiled { p, x, pool, workspace }).map_err(KernelError::Isa),
    }
}

struct Tiled<'a, E> {
    p: &'a MatmulInt4,
    x: Operands<'a, E>,
    pool: &'a Pool,
    workspace: &'a mut Workspace,
}

impl<E: Narrow> Job for Tiled<'_, E> {
    type Output = ();
    fn run<L: Convert>(self, l: L) {
        driver::matmul(l, self.p, self.x, self.pool, self.workspace);
    }
}

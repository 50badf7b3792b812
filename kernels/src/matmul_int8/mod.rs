//! `matmul_int8`, [as it is defined](etalon_reference::ops::matmul_int8): a product of 8-bit integers with zero points
//! and bias, in i32 or requantized to 8 bits.
//!
//! Shapes: A m×k of u8 or s8, row-major; B k×n of s8, row-major or transposed; out m×n of i32, u8 or s8. One zero point
//! of A, one or n of B, n i32 of bias, one or n f32 scales, one zero point of the output.
//!
//! ```text
//! once, or in a plan:  pack B in panels, with the sums of its columns
//! of each column:      constant = bias − za·Σb + k·za·zb
//! for blocks of rows:  pack A (s8 as u8, 128 larger, and so is za)
//!   for each panel, for each tile of rows:
//!     sums of a·b over all k in registers;  + constant − zb·Σa;  requantize, store
//! ```
//! A few rows are multiplied without packing (`rows`); of few columns, A is not packed (`tall`).
//!
//! So every kernel multiplies u8 by s8, for zero points of any kind, and the loop over k is the same for all of them.
//!
//! Error: none. Sums wrap, and requantization rounds as the definition says, so that all kernels and any number of
//! threads give equal bits. Errors: instructions that the CPU lacks.
//!
//! Workspace: B in words (without a plan), n sums and constants, and 48 rows of A per thread.

#[cfg(target_arch = "x86_64")]
pub(crate) mod driver;
#[cfg(target_arch = "x86_64")]
pub(crate) mod pack;
#[cfg(target_arch = "x86_64")]
mod rows;
mod scalar;
#[cfg(target_arch = "x86_64")]
mod tall;

#[cfg(target_arch = "x86_64")]
use etalon_reference::Threshold;
use etalon_reference::operator::downcast;
use etalon_reference::ops::matmul_int8::{self, MatmulInt8};
use etalon_reference::{Element, Types};

#[cfg(target_arch = "x86_64")]
use crate::call::Inputs;
use crate::call::{Call, elements};
#[cfg(target_arch = "x86_64")]
use crate::dotted::{self, PackedB};
use crate::isa::Isa;
#[cfg(target_arch = "x86_64")]
use crate::isa::dot::{CHUNK, Dot, Integers, Range};
#[cfg(target_arch = "x86_64")]
use crate::isa::{Avx2Token, Avx512Token, AvxVnniToken, Extension, VnniToken};
#[cfg(target_arch = "x86_64")]
use crate::kernel::Plan;
use crate::kernel::{Kernel, KernelError};
#[cfg(target_arch = "x86_64")]
use crate::pool::WORTH_NS;
use crate::workspace::Workspace;

const TYPES: &[Types] = matmul_int8::TYPES;

/// Tiles, blocks of rows, panels, words and chunks of them, threads.
#[cfg(target_arch = "x86_64")]
const THRESHOLDS: &[Threshold] = &[
    Threshold::axis("m", rows::ROWS as i64),
    Threshold::axis("m", rows::MOST as i64),
    Threshold::axis("m", Avx2Token::ROWS as i64),
    Threshold::axis("m", VnniToken::ROWS as i64),
    Threshold::axis("m", dotted::ROWS as i64),
    Threshold::axis("m", tall::TASK as i64),
    Threshold::axis("n", VnniToken::LANES as i64),
    Threshold::axis("n", (tall::PANELS * 2 * VnniToken::LANES) as i64),
    Threshold::axis("n", 2 * Avx2Token::LANES as i64),
    Threshold::axis("n", 2 * VnniToken::LANES as i64),
    Threshold::axis("k", VnniToken::PRODUCTS as i64),
    Threshold::axis("k", (rows::DEEP * VnniToken::PRODUCTS) as i64),
    Threshold::bytes("b", rows::NEAR),
    Threshold::bytes("b", pack::LARGE_B),
    Threshold::axis("k", (CHUNK * Avx2Token::PRODUCTS) as i64),
    Threshold::axis("k", (CHUNK * VnniToken::PRODUCTS) as i64),
    Threshold::operations((WORTH_NS * driver::OPERATIONS_A_NS) as i64),
];

/// The two kernels of a set of instructions: B packed in a plan, and in every call.
#[cfg(target_arch = "x86_64")]
macro_rules! kernels {
    ($token:ident, $isa:expr, $name:literal) => {
        Kernel::new($name, $isa, TYPES, run::<$token>).with_thresholds(THRESHOLDS)
    };
}

/// The kernels, weakest first; the last one without a plan that applies is the default.
pub static KERNELS: &[Kernel] = &[
    Kernel::new("scalar", Isa::Scalar, TYPES, scalar),
    #[cfg(target_arch = "x86_64")]
    kernels!(Avx2Token, Isa::Avx2, "avx2-prepacked").with_plan(plan::<Avx2Token>),
    #[cfg(target_arch = "x86_64")]
    kernels!(Avx2Token, Isa::Avx2, "avx2"),
    #[cfg(target_arch = "x86_64")]
    kernels!(AvxVnniToken, Isa::Avx2, "avx2-vnni-prepacked")
        .with_extensions(&[Extension::AvxVnni])
        .with_plan(plan::<AvxVnniToken>),
    #[cfg(target_arch = "x86_64")]
    kernels!(AvxVnniToken, Isa::Avx2, "avx2-vnni").with_extensions(&[Extension::AvxVnni]),
    #[cfg(target_arch = "x86_64")]
    kernels!(Avx512Token, Isa::Avx512, "avx512-prepacked").with_plan(plan::<Avx512Token>),
    #[cfg(target_arch = "x86_64")]
    kernels!(Avx512Token, Isa::Avx512, "avx512"),
    #[cfg(target_arch = "x86_64")]
    kernels!(VnniToken, Isa::Avx512, "avx512-vnni-prepacked")
        .with_extensions(&[Extension::Vnni])
        .with_plan(plan::<VnniToken>),
    #[cfg(target_arch = "x86_64")]
    kernels!(VnniToken, Isa::Avx512, "avx512-vnni").with_extensions(&[Extension::Vnni]),
];

/// An element of A.
pub trait Left: Element + Into<i32> {
    /// What [`unsigned`](Left::unsigned) adds.
    const SHIFT: i32;
    /// What turns a word of elements into one of [`unsigned`](Left::unsigned) ones: the bits that differ.
    const FLIP: i32;
    /// The element as u8, larger by [`SHIFT`](Left::SHIFT).
    fn unsigned(self) -> u8;
    /// Four elements as they are.
    fn word(x: [Self; 4]) -> i32;
    /// The first lanes' worth of elements as i32.
    #[cfg(target_arch = "x86_64")]
    fn widen<D: Integers>(d: D, from: &[Self]) -> D::V;
}

impl Left for u8 {
    const SHIFT: i32 = 0;
    const FLIP: i32 = 0;
    #[inline(always)]
    fn unsigned(self) -> u8 {
        self
    }
    #[inline(always)]
    fn word(x: [u8; 4]) -> i32 {
        i32::from_le_bytes(x)
    }
    #[cfg(target_arch = "x86_64")]
    #[inline(always)]
    fn widen<D: Integers>(d: D, from: &[u8]) -> D::V {
        d.of_unsigned(from)
    }
}

impl Left for i8 {
    const SHIFT: i32 = 128;
    const FLIP: i32 = 0x8080_8080_u32 as i32;
    #[inline(always)]
    fn unsigned(self) -> u8 {
        self as u8 ^ 0x80
    }
    #[inline(always)]
    fn word(x: [i8; 4]) -> i32 {
        i32::from_le_bytes(x.map(|x| x as u8))
    }
    #[cfg(target_arch = "x86_64")]
    #[inline(always)]
    fn widen<D: Integers>(d: D, from: &[i8]) -> D::V {
        d.of_signed(from)
    }
}

/// An element of the output.
pub trait Out: Element {
    /// Whether sums are requantized.
    const NARROW: bool;
    /// What becomes of a sum.
    fn finished(sum: i32, scale: f32, zero: Option<Self>, relu: bool) -> Self;
    /// Least and largest results and the zero point of requantization.
    #[cfg(target_arch = "x86_64")]
    fn range(zero: Option<Self>, relu: bool) -> Range;
    /// Stores finished sums to the first elements, a vector of them or as many as there are.
    #[cfg(target_arch = "x86_64")]
    fn store<D: Integers>(d: D, x: D::V, to: &mut [Self]);
}

impl Out for i32 {
    const NARROW: bool = false;
    fn finished(sum: i32, _: f32, _: Option<i32>, relu: bool) -> i32 {
        if relu { sum.max(0) } else { sum }
    }
    #[cfg(target_arch = "x86_64")]
    fn range(_: Option<i32>, _: bool) -> Range {
        Range { low: 0.0, high: 0.0, zero: 0 }
    }
    #[cfg(target_arch = "x86_64")]
    #[inline(always)]
    fn store<D: Integers>(d: D, x: D::V, to: &mut [i32]) {
        if to.len() < D::LANES { d.store_first(x, to) } else { d.store(x, to) }
    }
}

macro_rules! narrow {
    ($t:ident, |$to:ident| $bytes:expr) => {
        impl Out for $t {
            const NARROW: bool = true;
            fn finished(sum: i32, scale: f32, zero: Option<$t>, relu: bool) -> $t {
                let zero = i32::from(zero.unwrap_or(0));
                let (low, high) = (($t::MIN as i32 - zero).max(if relu { 0 } else { i32::MIN }), $t::MAX as i32 - zero);
                let product = sum as f32 * scale;
                // NaN is not larger than the lower end.
                let above = if product > low as f32 { product } else { low as f32 };
                (above.min(high as f32).round_ties_even() as i32 + zero) as $t
            }
            #[cfg(target_arch = "x86_64")]
            fn range(zero: Option<$t>, relu: bool) -> Range {
                let zero = i32::from(zero.unwrap_or(0));
                let low = if relu { 0 } else { $t::MIN as i32 - zero };
                Range { low: low as f32, high: ($t::MAX as i32 - zero) as f32, zero }
            }
            #[cfg(target_arch = "x86_64")]
            #[inline(always)]
            fn store<D: Integers>(d: D, x: D::V, $to: &mut [$t]) {
                let to: &mut [u8] = $bytes;
                if to.len() < D::LANES { d.store_first_bytes(x, to) } else { d.store_bytes(x, to) }
            }
        }
    };
}

narrow!(u8, |to| to);
narrow!(i8, |to| crate::isa::dot::bytes_mut(to));

/// The operands, also of a convolution. Those that the problem does not have are empty.
pub(crate) struct Operands<'a, A, O> {
    /// A, or images.
    pub a: &'a [A],
    /// B, or weights.
    pub b: &'a [i8],
    /// Zero point of A.
    pub za: &'a [A],
    /// Zero points of B.
    pub zb: &'a [i8],
    /// Bias.
    pub bias: &'a [i32],
    /// Scales, where the output has 8 bits.
    pub scale: &'a [f32],
    /// Zero point of the output, where it has 8 bits.
    pub zo: &'a [O],
    /// The output.
    pub out: &'a mut [O],
}

impl<'a, A: Left, O: Out> Operands<'a, A, O> {
    /// Those of a call, and its workspace.
    pub fn of(call: &'a mut Call<'_>) -> (Operands<'a, A, O>, &'a mut Workspace) {
        let [a, za] = [0, 2].map(|i| call.input(i));
        let [b, zb] = [1, 3].map(|i| call.input(i));
        let (bias, scale, zo) = (call.input(4), call.input(5), call.input(6));
        let ([out], workspace) = call.outputs();
        (Operands { a, b, za, zb, bias, scale, zo, out: elements(out) }, workspace)
    }
}

/// The number of column `j` of a vector that has one for each column, one for all, or none.
pub(crate) fn of_column<T: Copy>(x: &[T], j: usize) -> Option<T> {
    x.get(if x.len() == 1 { 0 } else { j }).copied()
}

/// What is done with the operands, whatever their types are.
pub(crate) trait Body {
    /// Computes.
    fn run<A: Left, O: Out>(self, call: &mut Call<'_>) -> Result<(), KernelError>;
}

/// Takes a call to its element types.
pub(crate) fn typed(call: &mut Call<'_>, body: impl Body) -> Result<(), KernelError> {
    match call.types() {
        matmul_int8::U8S8S32 => body.run::<u8, i32>(call),
        matmul_int8::S8S8S32 => body.run::<i8, i32>(call),
        matmul_int8::U8S8U8 => body.run::<u8, u8>(call),
        matmul_int8::U8S8S8 => body.run::<u8, i8>(call),
        matmul_int8::S8S8S8 => body.run::<i8, i8>(call),
        other => Err(KernelError::Unsupported(format!("products of {other}"))),
    }
}

/// The kernel `scalar`.
fn scalar(call: &mut Call<'_>) -> Result<(), KernelError> {
    struct Plain;
    impl Body for Plain {
        fn run<A: Left, O: Out>(self, call: &mut Call<'_>) -> Result<(), KernelError> {
            let p = downcast(call.problem());
            let (x, workspace) = Operands::<A, O>::of(call);
            scalar::matmul(p, x, workspace);
            Ok(())
        }
    }
    typed(call, Plain)
}

/// Proof that the CPU has the instructions.
#[cfg(target_arch = "x86_64")]
pub(crate) fn proof<D: Integers>() -> Result<D, KernelError> {
    D::proof().map_err(KernelError::Isa)
}

/// The kernels of one set of instructions.
#[cfg(target_arch = "x86_64")]
fn run<D: Integers>(call: &mut Call<'_>) -> Result<(), KernelError> {
    struct Tiled<D>(D);
    impl<D: Integers> Body for Tiled<D> {
        fn run<A: Left, O: Out>(self, call: &mut Call<'_>) -> Result<(), KernelError> {
            let p: &MatmulInt8 = downcast(call.problem());
            let (packed, pool) = (call.plan::<PackedB>(), call.pool());
            if packed.is_some_and(|packed| !packed.fits::<D>(&driver::size(p))) {
                return Err(KernelError::Unsupported("the plan was made for another problem".into()));
            }
            let (x, workspace) = Operands::<A, O>::of(call);
            driver::matmul(self.0, p, x, packed, pool, workspace);
            Ok(())
        }
    }
    typed(call, Tiled(proof::<D>()?))
}

/// B, packed.
#[cfg(target_arch = "x86_64")]
fn plan<D: Integers>(inputs: &Inputs<'_>) -> Result<Plan, KernelError> {
    let p: &MatmulInt8 = downcast(inputs.problem());
    let bytes = pack::Bytes::<u8> { p, a: &[], b: inputs.input(1), sums_rows: false };
    Ok(Box::new(PackedB::new(proof::<D>()?, &driver::size(p), &bytes)))
}

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
//! So every kernel multiplies u8 by s8, for zero points of any kind, and the loop over k is the same for all of them.
//!
//! Error: none. Sums wrap, and requantization rounds as the definition says, so that all kernels and any number of
//! threads give equal bits. Errors: a short operand, instructions that the CPU lacks.
//!
//! Workspace: B in words (without a plan), n sums and constants, and 48 rows of A per thread.

#[cfg(target_arch = "x86_64")]
mod driver;
#[cfg(target_arch = "x86_64")]
mod pack;
mod scalar;
#[cfg(test)]
mod tests;

use etalon_reference::operator::downcast;
use etalon_reference::ops::matmul_int8::{self, MatmulInt8, Per};
use etalon_reference::{Element, Types};
#[cfg(target_arch = "x86_64")]
use etalon_reference::{Problem, Slice, Threshold};

#[cfg(target_arch = "x86_64")]
pub use self::pack::PackedB;
use crate::isa::Isa;
#[cfg(target_arch = "x86_64")]
use crate::isa::dot::{CHUNK, Dot, Range};
#[cfg(target_arch = "x86_64")]
use crate::isa::{Avx2Token, Avx512Token, AvxVnniToken, Extension, VnniToken};
#[cfg(target_arch = "x86_64")]
use crate::kernel::Plan;
use crate::kernel::{Call, Kernel, KernelError, long_enough};
#[cfg(target_arch = "x86_64")]
use crate::pool::{Pool, WORTH_NS};
#[cfg(target_arch = "x86_64")]
use crate::workspace::Workspace;

const TYPES: &[Types] = matmul_int8::TYPES;

/// Tiles, blocks of rows, panels, words and chunks of them, threads.
#[cfg(target_arch = "x86_64")]
const THRESHOLDS: &[Threshold] = &[
    Threshold::axis("m", Avx2Token::ROWS as i64),
    Threshold::axis("m", VnniToken::ROWS as i64),
    Threshold::axis("m", driver::ROWS as i64),
    Threshold::axis("n", 2 * Avx2Token::LANES as i64),
    Threshold::axis("n", 2 * VnniToken::LANES as i64),
    Threshold::axis("k", VnniToken::PRODUCTS as i64),
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
    /// The element as u8, larger by [`SHIFT`](Left::SHIFT).
    fn unsigned(self) -> u8;
}

impl Left for u8 {
    const SHIFT: i32 = 0;
    #[inline(always)]
    fn unsigned(self) -> u8 {
        self
    }
}

impl Left for i8 {
    const SHIFT: i32 = 128;
    #[inline(always)]
    fn unsigned(self) -> u8 {
        self as u8 ^ 0x80
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
    /// Stores finished sums to the first elements.
    #[cfg(target_arch = "x86_64")]
    fn store<D: Dot>(d: D, x: D::V, to: &mut [Self]);
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
    fn store<D: Dot>(d: D, x: D::V, to: &mut [i32]) {
        d.store(x, to);
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
            fn store<D: Dot>(d: D, x: D::V, $to: &mut [$t]) {
                d.store_bytes(x, $bytes);
            }
        }
    };
}

narrow!(u8, |to| to);
narrow!(i8, |to| crate::isa::dot::bytes_mut(to));

/// The operands. Those that the problem does not have are empty.
pub struct Operands<'a, A, O> {
    /// A.
    pub a: &'a [A],
    /// B.
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
    /// Each as long as the problem says.
    fn checked(self, p: &MatmulInt8) -> Result<Operands<'a, A, O>, KernelError> {
        let one = |there: bool| usize::from(there);
        let scales = p.columns_len(if O::NARROW { p.scale } else { Per::None });
        let [a, b, za, zb, bias, scale, zo, out] = [
            p.m * p.k,
            p.k * p.n,
            one(p.za),
            p.columns_len(p.zb),
            if p.bias { p.n } else { 0 },
            scales,
            one(O::NARROW),
            p.m * p.n,
        ];
        long_enough([
            ("a", self.a.len(), a),
            ("b", self.b.len(), b),
            ("za", self.za.len(), za),
            ("zb", self.zb.len(), zb),
            ("bias", self.bias.len(), bias),
            ("scale", self.scale.len(), scale),
            ("zo", self.zo.len(), zo),
            ("out", self.out.len(), out),
        ])?;
        Ok(Operands {
            a: &self.a[..a],
            b: &self.b[..b],
            za: &self.za[..za],
            zb: &self.zb[..zb],
            bias: &self.bias[..bias],
            scale: &self.scale[..scale],
            zo: &self.zo[..zo],
            out: &mut self.out[..out],
        })
    }
}

/// The number of column `j` of a vector that has one for each column, one for all, or none.
fn of_column<T: Copy>(x: &[T], j: usize) -> Option<T> {
    x.get(if x.len() == 1 { 0 } else { j }).copied()
}

/// The product, with the best instructions that may be used.
///
/// # Errors
/// [`KernelError`] if an operand is too short.
#[cfg(target_arch = "x86_64")]
pub fn matmul_int8<A: Left, O: Out>(
    p: &MatmulInt8,
    operands: Operands<'_, A, O>,
    pool: &Pool,
    workspace: &mut Workspace,
) -> Result<(), KernelError> {
    let x = operands.checked(p)?;
    let usable = |isa: Isa, extension: Option<Extension>| {
        extension.map_or_else(|| isa.usable(), |extension| extension.usable()).is_ok()
    };
    if usable(Isa::Avx512, Some(Extension::Vnni)) {
        driver::matmul(proof::<VnniToken>()?, p, x, None, pool, workspace);
    } else if usable(Isa::Avx512, None) {
        driver::matmul(proof::<Avx512Token>()?, p, x, None, pool, workspace);
    } else if usable(Isa::Avx2, Some(Extension::AvxVnni)) {
        driver::matmul(proof::<AvxVnniToken>()?, p, x, None, pool, workspace);
    } else if usable(Isa::Avx2, None) {
        driver::matmul(proof::<Avx2Token>()?, p, x, None, pool, workspace);
    } else {
        scalar::matmul(p, x, workspace);
    }
    Ok(())
}

/// What is done with the operands, whatever their types are.
trait Body {
    fn run<A: Left, O: Out>(self, call: &mut Call<'_>) -> Result<(), KernelError>;
}

/// Takes a call to its element types.
fn typed(call: &mut Call<'_>, body: impl Body) -> Result<(), KernelError> {
    match call.types {
        matmul_int8::U8S8S32 => body.run::<u8, i32>(call),
        matmul_int8::S8S8S32 => body.run::<i8, i32>(call),
        matmul_int8::U8S8U8 => body.run::<u8, u8>(call),
        matmul_int8::U8S8S8 => body.run::<u8, i8>(call),
        matmul_int8::S8S8S8 => body.run::<i8, i8>(call),
        other => Err(KernelError::Unsupported(format!("matmul_int8 of {other}"))),
    }
}

/// The call's operands.
fn operands<'a, A: Left, O: Out>(
    p: &MatmulInt8,
    inputs: [etalon_reference::Slice<'a>; 7],
    out: &'a mut etalon_reference::SliceMut<'_>,
) -> Result<Operands<'a, A, O>, KernelError> {
    fn of<T: Element>(x: etalon_reference::Slice<'_>) -> &[T] {
        T::slice(x).expect("the port's dtype")
    }
    let [a, b, za, zb, bias, scale, zo] = inputs;
    let out = O::slice_mut(out.reborrow()).expect("the port's dtype");
    let (a, b, za, zb) = (of(a), of(b), of(za), of(zb));
    Operands { a, b, za, zb, bias: of(bias), scale: of(scale), zo: of(zo), out }.checked(p)
}

/// The kernel `scalar`.
fn scalar(call: &mut Call<'_>) -> Result<(), KernelError> {
    struct Plain;
    impl Body for Plain {
        fn run<A: Left, O: Out>(self, call: &mut Call<'_>) -> Result<(), KernelError> {
            let p = downcast(call.problem);
            let inputs = call.inputs.try_into().expect("seven inputs");
            scalar::matmul(p, operands::<A, O>(p, inputs, &mut call.outputs[0])?, call.workspace);
            Ok(())
        }
    }
    typed(call, Plain)
}

#[cfg(target_arch = "x86_64")]
fn proof<D: Dot>() -> Result<D, KernelError> {
    D::proof().map_err(KernelError::Isa)
}

/// The kernels of one set of instructions.
#[cfg(target_arch = "x86_64")]
fn run<D: Dot>(call: &mut Call<'_>) -> Result<(), KernelError> {
    struct Tiled<D>(D);
    impl<D: Dot> Body for Tiled<D> {
        fn run<A: Left, O: Out>(self, call: &mut Call<'_>) -> Result<(), KernelError> {
            let p: &MatmulInt8 = downcast(call.problem);
            let inputs = call.inputs.try_into().expect("seven inputs");
            let x = operands::<A, O>(p, inputs, &mut call.outputs[0])?;
            let packed = call.plan.and_then(|plan| plan.downcast_ref::<PackedB>());
            if packed.is_some_and(|packed| !packed.fits::<D>(p)) {
                return Err(KernelError::Unsupported("the plan was made for another problem".into()));
            }
            driver::matmul(self.0, p, x, packed, call.pool, call.workspace);
            Ok(())
        }
    }
    typed(call, Tiled(proof::<D>()?))
}

/// B, packed.
#[cfg(target_arch = "x86_64")]
fn plan<D: Dot>(p: &dyn Problem, _: Types, inputs: &[Slice<'_>]) -> Result<Plan, KernelError> {
    let p: &MatmulInt8 = downcast(p);
    let b = <i8 as Element>::slice(inputs[1]).expect("the port's dtype");
    long_enough([("b", b.len(), p.k * p.n)])?;
    Ok(Box::new(PackedB::new(proof::<D>()?, p, b)))
}

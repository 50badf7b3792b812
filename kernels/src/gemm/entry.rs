//! From a call to the driver: dtype and ISA chosen.

use etalon_reference::Types;
use etalon_reference::operator::downcast;

use super::driver::{self, Source, Task};
use super::epilogue::{Along, Finish};
use super::product::product;
use super::skinny::Stream;
use super::{Float, Gemm, PackedB, scalar};
use crate::call::{Call, Inputs, elements};
use crate::isa::Isa;
#[cfg(target_arch = "x86_64")]
use crate::isa::{Avx2Token, Avx512Token};
use crate::kernel::{KernelError, Plan};
use crate::pool::Pool;
use crate::workspace::Workspace;

/// `C = act(α·A·B + β·C + bias)` in f32 on the best usable ISA.
///
/// # Errors
/// [`KernelError::TooShort`] if an operand has fewer elements than the problem reaches, or the problem has a bias and `bias`
/// is `None`.
pub fn sgemm(
    p: &Gemm,
    a: &[f32],
    b: &[f32],
    c: &mut [f32],
    bias: Option<&[f32]>,
    pool: &Pool,
    workspace: &mut Workspace,
) -> Result<(), KernelError> {
    with_the_best(p, a, b, c, bias, pool, workspace)
}

/// `C = act(α·A·B + β·C + bias)` in f64 on the best usable ISA.
///
/// # Errors
/// As [`sgemm`].
pub fn dgemm(
    p: &Gemm,
    a: &[f64],
    b: &[f64],
    c: &mut [f64],
    bias: Option<&[f64]>,
    pool: &Pool,
    workspace: &mut Workspace,
) -> Result<(), KernelError> {
    with_the_best(p, a, b, c, bias, pool, workspace)
}

/// Slices come without a [`Signature`](crate::call::Signature), which would allocate: their lengths are checked here.
fn with_the_best<T: Float>(
    p: &Gemm,
    a: &[T],
    b: &[T],
    c: &mut [T],
    bias: Option<&[T]>,
    pool: &Pool,
    workspace: &mut Workspace,
) -> Result<(), KernelError> {
    let bias = if p.bias { bias.unwrap_or(&[]) } else { &[] };
    let bias_len = if p.bias { p.n } else { 0 };
    let lengths = [
        ("a", a.len(), p.a_len()),
        ("b", b.len(), p.b_len()),
        ("bias", bias.len(), bias_len),
        ("out", c.len(), p.c_len()),
    ];
    if let Some((operand, found, needed)) = lengths.into_iter().find(|(_, found, needed)| found < needed) {
        return Err(KernelError::TooShort { operand, found, needed });
    }
    product(p, Isa::best(), (&a[..p.a_len()], &b[..p.b_len()], &bias[..bias_len]), &mut c[..p.c_len()], pool, workspace)
}

/// The kernel `scalar`.
pub(super) fn scalar(call: &mut Call<'_>) -> Result<(), KernelError> {
    match call.types() {
        Types::F32 => in_order::<f32>(call),
        Types::F64 => in_order::<f64>(call),
        other => Err(unsupported(other)),
    }
}

fn in_order<T: Float>(call: &mut Call<'_>) -> Result<(), KernelError> {
    run::<T>(call, |x, c, _, _| {
        scalar::gemm(x, c);
        Ok(())
    })
}

/// The kernels `avx2` and `avx2-prepacked`.
#[cfg(target_arch = "x86_64")]
pub(super) fn avx2(call: &mut Call<'_>) -> Result<(), KernelError> {
    match call.types() {
        Types::F32 => tiled(call, super::avx2::F32(token2()?)),
        Types::F64 => tiled(call, super::avx2::F64(token2()?)),
        other => Err(unsupported(other)),
    }
}

/// The kernels `avx512` and `avx512-prepacked`.
#[cfg(target_arch = "x86_64")]
pub(super) fn avx512(call: &mut Call<'_>) -> Result<(), KernelError> {
    match call.types() {
        Types::F32 => tiled(call, super::avx512::F32(token512()?)),
        Types::F64 => tiled(call, super::avx512::F64(token512()?)),
        other => Err(unsupported(other)),
    }
}

/// The plan of `avx2-prepacked`.
#[cfg(target_arch = "x86_64")]
pub(super) fn plan_avx2(inputs: &Inputs<'_>) -> Result<Plan, KernelError> {
    match inputs.types() {
        Types::F32 => plan(inputs, super::avx2::F32(token2()?)),
        Types::F64 => plan(inputs, super::avx2::F64(token2()?)),
        other => Err(unsupported(other)),
    }
}

/// The plan of `avx512-prepacked`.
#[cfg(target_arch = "x86_64")]
pub(super) fn plan_avx512(inputs: &Inputs<'_>) -> Result<Plan, KernelError> {
    match inputs.types() {
        Types::F32 => plan(inputs, super::avx512::F32(token512()?)),
        Types::F64 => plan(inputs, super::avx512::F64(token512()?)),
        other => Err(unsupported(other)),
    }
}

#[cfg(target_arch = "x86_64")]
fn plan<X: Stream>(inputs: &Inputs<'_>, tile: X) -> Result<Plan, KernelError> {
    Ok(Box::new(PackedB::new(tile, downcast(inputs.problem()), inputs.input(1))))
}

fn tiled<X: Stream>(call: &mut Call<'_>, tile: X) -> Result<(), KernelError> {
    run::<X::T>(call, |x, c, pool, workspace| {
        if matches!(x.b, Source::Packed(packed) if !packed.fits(x.p, X::NR)) {
            return Err(KernelError::Unsupported("the plan was made for another problem".into()));
        }
        driver::gemm(tile, x, c, pool, workspace);
        Ok(())
    })
}

fn run<T: Float>(
    call: &mut Call<'_>,
    body: impl FnOnce(&Task<'_, T>, &mut [T], &Pool, &mut Workspace) -> Result<(), KernelError>,
) -> Result<(), KernelError> {
    let p: &Gemm = downcast(call.problem());
    let [a, b, bias] = [0, 1, 3].map(|i| call.input::<T>(i));
    let b = call.plan::<PackedB<T>>().map_or(Source::Plain(b), Source::Packed);
    let finish = Finish { scale: None, bias: p.bias.then_some(bias), along: Along::Columns, activation: p.activation };
    let pool = call.pool();
    let ([c], workspace) = call.outputs();
    body(&Task { p, a: Source::Plain(a), b, finish }, elements(c), pool, workspace)
}

fn unsupported(types: impl std::fmt::Display) -> KernelError {
    KernelError::Unsupported(format!("gemm with operands of {types}"))
}

#[cfg(target_arch = "x86_64")]
fn token2() -> Result<Avx2Token, KernelError> {
    Avx2Token::detect().ok_or_else(|| KernelError::Isa("the CPU lacks avx2".into()))
}

#[cfg(target_arch = "x86_64")]
fn token512() -> Result<Avx512Token, KernelError> {
    Avx512Token::detect().ok_or_else(|| KernelError::Isa("the CPU lacks avx512".into()))
}

//! From a call to the driver: operands checked, dtype and ISA chosen.

use etalon_reference::operator::downcast;
use etalon_reference::{Problem, Slice, Types};

use super::driver::{self, Source, Task};
use super::epilogue::{Along, Finish};
use super::skinny::Stream;
use super::{Float, Gemm, PackedB, scalar};
use crate::isa::Isa;
#[cfg(target_arch = "x86_64")]
use crate::isa::{Avx2Token, Avx512Token};
use crate::kernel::{Call, KernelError, Plan};
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
    let x = task(p, a, b, None, bias.unwrap_or(&[]), c.len())?;
    match Isa::best() {
        #[cfg(target_arch = "x86_64")]
        Isa::Avx512 => driver::gemm(super::avx512::F32(token512()?), &x, c, pool, workspace),
        #[cfg(target_arch = "x86_64")]
        Isa::Avx2 => driver::gemm(super::avx2::F32(token2()?), &x, c, pool, workspace),
        _ => scalar::gemm(&x, c),
    }
    Ok(())
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
    let x = task(p, a, b, None, bias.unwrap_or(&[]), c.len())?;
    match Isa::best() {
        #[cfg(target_arch = "x86_64")]
        Isa::Avx512 => driver::gemm(super::avx512::F64(token512()?), &x, c, pool, workspace),
        #[cfg(target_arch = "x86_64")]
        Isa::Avx2 => driver::gemm(super::avx2::F64(token2()?), &x, c, pool, workspace),
        _ => scalar::gemm(&x, c),
    }
    Ok(())
}

/// The kernel `scalar`.
pub(super) fn scalar(call: &mut Call<'_>) -> Result<(), KernelError> {
    match call.types {
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
    match call.types {
        Types::F32 => tiled(call, super::avx2::F32(token2()?)),
        Types::F64 => tiled(call, super::avx2::F64(token2()?)),
        other => Err(unsupported(other)),
    }
}

/// The kernels `avx512` and `avx512-prepacked`.
#[cfg(target_arch = "x86_64")]
pub(super) fn avx512(call: &mut Call<'_>) -> Result<(), KernelError> {
    match call.types {
        Types::F32 => tiled(call, super::avx512::F32(token512()?)),
        Types::F64 => tiled(call, super::avx512::F64(token512()?)),
        other => Err(unsupported(other)),
    }
}

/// The plan of `avx2-prepacked`.
#[cfg(target_arch = "x86_64")]
pub(super) fn plan_avx2(p: &dyn Problem, types: Types, inputs: &[Slice<'_>]) -> Result<Plan, KernelError> {
    match types {
        Types::F32 => plan(p, inputs, super::avx2::F32(token2()?)),
        Types::F64 => plan(p, inputs, super::avx2::F64(token2()?)),
        other => Err(unsupported(other)),
    }
}

/// The plan of `avx512-prepacked`.
#[cfg(target_arch = "x86_64")]
pub(super) fn plan_avx512(p: &dyn Problem, types: Types, inputs: &[Slice<'_>]) -> Result<Plan, KernelError> {
    match types {
        Types::F32 => plan(p, inputs, super::avx512::F32(token512()?)),
        Types::F64 => plan(p, inputs, super::avx512::F64(token512()?)),
        other => Err(unsupported(other)),
    }
}

fn plan<X: Stream>(p: &dyn Problem, inputs: &[Slice<'_>], tile: X) -> Result<Plan, KernelError> {
    let p: &Gemm = downcast(p);
    let b = <X::T as etalon_reference::Element>::slice(inputs[1]).ok_or_else(|| unsupported(inputs[1].dtype()))?;
    if b.len() < p.b_len() {
        return Err(KernelError::TooShort { operand: "b", found: b.len(), needed: p.b_len() });
    }
    Ok(Box::new(PackedB::new(tile, p, b)))
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
    let p: &Gemm = downcast(call.problem);
    let packed = call.plan.and_then(|plan| plan.downcast_ref::<PackedB<T>>());
    let c = T::slice_mut(call.outputs[0].reborrow()).ok_or_else(|| unsupported(call.types))?;
    let operand = |i: usize| T::slice(call.inputs[i]).ok_or_else(|| unsupported(call.types));
    let x = task(p, operand(0)?, operand(1)?, packed, operand(3)?, c.len())?;
    body(&x, c, call.pool, call.workspace)
}

/// The operands, if they are long enough.
fn task<'a, T: Float>(
    p: &'a Gemm,
    a: &'a [T],
    b: &'a [T],
    packed: Option<&'a PackedB<T>>,
    bias: &'a [T],
    c_len: usize,
) -> Result<Task<'a, T>, KernelError> {
    let bias_len = if p.bias { p.n } else { 0 };
    let lengths = [
        ("a", a.len(), p.a_len()),
        ("b", b.len(), p.b_len()),
        ("bias", bias.len(), bias_len),
        ("out", c_len, p.c_len()),
    ];
    for (operand, found, needed) in lengths {
        if found < needed {
            return Err(KernelError::TooShort { operand, found, needed });
        }
    }
    let bias = p.bias.then_some(bias);
    let finish = Finish { scale: None, bias, along: Along::Columns, activation: p.activation };
    Ok(Task { p, a: Source::Plain(a), b: packed.map_or(Source::Plain(b), Source::Packed), finish })
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

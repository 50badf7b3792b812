//! From a call to the driver: dtype and ISA chosen.

use etalon_reference::Types;
use etalon_reference::narrow::{F8e4m3, F8e5m2};
use etalon_reference::operator::downcast;
use etalon_reference::ops::gemm;

#[cfg(target_arch = "x86_64")]
use super::bf16;
use super::driver::{self, Source, Task};
use super::epilogue::{Along, Finish};
use super::product::product;
use super::skinny::Stream;
use super::{Float, Gemm, PackedB, scalar, widened};
use crate::call::{Call, Inputs, elements};
use crate::isa::Isa;
#[cfg(target_arch = "x86_64")]
use crate::isa::dot::Dot;
#[cfg(target_arch = "x86_64")]
use crate::isa::narrow::{Convert, Narrow};
#[cfg(target_arch = "x86_64")]
use crate::isa::{Avx2Token, Avx512Token, Bf16Token};
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
        _ => with_short!(call.types(), E, O => {
            let p = downcast(call.problem());
            let (x, workspace) = widened::Operands::<E, O>::of(call);
            widened::plainly(p, x, workspace);
            Ok(())
        }),
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
        _ => short(call, super::avx2::F32(token2()?), token2()?),
    }
}

/// The kernels `avx512` and `avx512-prepacked`.
#[cfg(target_arch = "x86_64")]
pub(super) fn avx512(call: &mut Call<'_>) -> Result<(), KernelError> {
    match call.types() {
        Types::F32 => tiled(call, super::avx512::F32(token512()?)),
        Types::F64 => tiled(call, super::avx512::F64(token512()?)),
        _ => short(call, super::avx512::F32(token512()?), token512()?),
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

/// The value of an expression that is generic in the element types of A and B, `$e`, and of C, `$o`.
macro_rules! with_short {
    ($types:expr, $e:ident, $o:ident => $result:expr) => {{
        macro_rules! of {
            ($a:ty, $c:ty) => {{
                type $e = $a;
                type $o = $c;
                $result
            }};
        }
        match $types {
            gemm::BF16 => of!(half::bf16, half::bf16),
            gemm::BF16F32 => of!(half::bf16, f32),
            gemm::F16 => of!(half::f16, half::f16),
            gemm::F16F32 => of!(half::f16, f32),
            gemm::E4M3F32 => of!(F8e4m3, f32),
            gemm::E5M2F32 => of!(F8e5m2, f32),
            other => Err(unsupported(other)),
        }
    }};
}
use with_short;

/// Operands of 16 and 8 bits.
#[cfg(target_arch = "x86_64")]
fn short<X: Stream<T = f32>, L: Convert>(call: &mut Call<'_>, tile: X, lanes: L) -> Result<(), KernelError> {
    with_short!(call.types(), E, O => {
        let (p, pool) = (downcast(call.problem()), call.pool());
        let (x, workspace) = widened::Operands::<E, O>::of(call);
        widened::gemm((tile, lanes), p, x, pool, workspace);
        Ok(())
    })
}

/// The kernels `avx512-bf16` and `avx512-bf16-prepacked`.
#[cfg(target_arch = "x86_64")]
pub(super) fn avx512_bf16(call: &mut Call<'_>) -> Result<(), KernelError> {
    match call.types() {
        gemm::BF16 => dotted::<half::bf16>(call),
        gemm::BF16F32 => dotted::<f32>(call),
        other => Err(unsupported(other)),
    }
}

#[cfg(target_arch = "x86_64")]
fn dotted<O: Narrow>(call: &mut Call<'_>) -> Result<(), KernelError> {
    let (p, pool, packed) = (downcast(call.problem()), call.pool(), call.plan::<crate::dotted::PackedB>());
    if packed.is_some_and(|packed| !packed.fits::<Bf16Token>(&bf16::size(p))) {
        return Err(KernelError::Unsupported("the plan was made for another problem".into()));
    }
    let (x, workspace) = widened::Operands::<half::bf16, O>::of(call);
    let machine = machine()?;
    if packed.is_none() && super::skinny::fits_short(p) {
        // It takes as long as it takes to read the wide operand.
        widened::gemm((super::avx512::F32(machine.lanes), machine.lanes), p, x, pool, workspace);
    } else {
        bf16::gemm(machine, p, x, packed, pool, workspace);
    }
    Ok(())
}

/// The plan of `avx512-bf16-prepacked`.
#[cfg(target_arch = "x86_64")]
pub(super) fn plan_bf16(inputs: &Inputs<'_>) -> Result<Plan, KernelError> {
    Ok(Box::new(bf16::plan(machine()?, downcast(inputs.problem()), inputs.input(1))))
}

#[cfg(target_arch = "x86_64")]
fn machine() -> Result<bf16::Machine, KernelError> {
    Ok(bf16::Machine { dot: Bf16Token::proof().map_err(KernelError::Isa)?, lanes: token512()? })
}

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

#[cfg(test)]
mod tests {
    use super::*;

    /// `1·2` summed over 4 products, in the first 6 of 8 elements.
    fn product(a: usize, b: usize, bias: Option<&[f32]>, asks: bool) -> Result<[f32; 8], KernelError> {
        let p = Gemm { bias: asks, ..Gemm::new(2, 3, 4).expect("a problem") };
        let (a, b, mut c) = (vec![1.0; a], vec![2.0; b], [7.0; 8]);
        sgemm(&p, &a, &b, &mut c, bias, &Pool::new(1), &mut Workspace::new())?;
        let (wide, mut wide_c) = (|x: &[f32]| -> Vec<f64> { x.iter().map(|&x| x.into()).collect() }, [7.0; 8]);
        let wide_bias = bias.map(wide);
        let (pool, mut workspace) = (Pool::new(1), Workspace::new());
        dgemm(&p, &wide(&a), &wide(&b), &mut wide_c, wide_bias.as_deref(), &pool, &mut workspace)?;
        assert_eq!(wide_c, c.map(f64::from));
        Ok(c)
    }

    #[test]
    fn slices_may_be_longer() {
        assert_eq!(product(8, 12, None, false), Ok([8.0, 8.0, 8.0, 8.0, 8.0, 8.0, 7.0, 7.0]));
        assert_eq!(product(9, 15, Some(&[1.0]), false), product(8, 12, None, false));
        let biased = product(8, 12, Some(&[1.0, 2.0, 3.0, 4.0]), true);
        assert_eq!(biased, Ok([9.0, 10.0, 11.0, 9.0, 10.0, 11.0, 7.0, 7.0]));
    }

    #[test]
    fn short_slices_are_named() {
        fn short<T>(operand: &'static str, found: usize, needed: usize) -> Result<T, KernelError> {
            Err(KernelError::TooShort { operand, found, needed })
        }
        assert_eq!(product(7, 12, None, false), short("a", 7, 8));
        assert_eq!(product(8, 11, None, false), short("b", 11, 12));
        assert_eq!(product(8, 12, None, true), short("bias", 0, 3));
        let p = Gemm::new(2, 3, 4).expect("a problem");
        let c = sgemm(&p, &[1.0; 8], &[2.0; 12], &mut [7.0; 5], None, &Pool::new(1), &mut Workspace::new());
        assert_eq!(c, short("out", 5, 6));
    }
}

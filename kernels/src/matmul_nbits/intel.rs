//! From a call to the two ways, for each set of instructions.

use etalon_reference::operator::downcast;
use etalon_reference::ops::matmul_nbits::{BF16, MatmulNbits, S8F32};
use etalon_reference::{Element, Problem, Threshold, Tolerance, Types};
use half::bf16;
use ndarray::ArrayD;

use super::pack::{PackedW, WIDTH};
use super::{Operands, driver, whole};
use crate::call::{Call, Inputs};
use crate::gemm;
use crate::gemm::skinny::Stream;
use crate::isa::codes::{ByBf16, ByBytes, ByF32, Bytes, Codes, MOST_CODES, Prepare};
use crate::isa::dot::Dot;
use crate::isa::narrow::{Convert, Narrow};
use crate::isa::{Avx2Token, Avx512Token, Extension, Isa, VnniToken};
use crate::kernel::{Kernel, KernelError, Plan};
use crate::pool::WORTH_NS;

const REALS: &[Types] = &[Types::F32, BF16];
const BYTES: &[Types] = &[S8F32];

/// Blocks of rows, panels, words, threads.
const THRESHOLDS: &[Threshold] = &[
    Threshold::axis("m", 2),
    Threshold::axis("m", 4),
    Threshold::axis("m", 6),
    Threshold::axis("n", WIDTH as i64),
    Threshold::axis("k", MOST_CODES as i64),
    Threshold::axis("group", MOST_CODES as i64),
    Threshold::operations((WORTH_NS * driver::OPERATIONS_A_NS) as i64),
];

pub(super) const AVX2: Kernel = by_gemm("avx2", Isa::Avx2, |call| {
    let token = proof::<Avx2Token>()?;
    reals(call, (gemm::avx2::F32(token), token))
});

pub(super) const AVX512: Kernel = by_gemm("avx512", Isa::Avx512, |call| {
    let token = proof::<Avx512Token>()?;
    reals(call, (gemm::avx512::F32(token), token))
});

pub(super) const AVX2_PREPACKED: Kernel =
    packed("avx2-prepacked", Isa::Avx2, REALS, |call| packed_reals(call, proof::<Avx2Token>()?))
        .own_order()
        .finite_only();

pub(super) const AVX512_PREPACKED: Kernel =
    packed("avx512-prepacked", Isa::Avx512, REALS, |call| packed_reals(call, proof::<Avx512Token>()?))
        .own_order()
        .finite_only();

pub(super) const AVX512_BF16_PREPACKED: Kernel = packed("avx512-bf16-prepacked", Isa::Avx512, &[BF16], |call| {
    let (dot, lanes) = (proof()?, proof()?);
    match bits(call) {
        4 => run::<_, bf16, bf16>(call, ByBf16::<4>(dot, lanes)),
        _ => run::<_, bf16, bf16>(call, ByBf16::<2>(dot, lanes)),
    }
})
.with_extensions(&[Extension::Bf16])
.with_tolerance(tolerance_of_pairs)
.finite_only();

pub(super) const AVX2_S8_PREPACKED: Kernel = packed("avx2-s8-prepacked", Isa::Avx2, BYTES, |call| {
    let token = proof::<Avx2Token>()?;
    packed_bytes(call, token, token)
});

pub(super) const AVX512_S8_PREPACKED: Kernel = packed("avx512-s8-prepacked", Isa::Avx512, BYTES, |call| {
    let token = proof::<Avx512Token>()?;
    packed_bytes(call, token, token)
});

pub(super) const AVX512_VNNI_PREPACKED: Kernel = packed("avx512-vnni-prepacked", Isa::Avx512, BYTES, |call| {
    packed_bytes(call, proof::<VnniToken>()?, proof::<Avx512Token>()?)
})
.with_extensions(&[Extension::Vnni]);

type Run = fn(&mut Call<'_>) -> Result<(), KernelError>;

const fn by_gemm(name: &'static str, isa: Isa, run: Run) -> Kernel {
    Kernel::new(name, isa, REALS, run).with_thresholds(whole::THRESHOLDS)
}

const fn packed(name: &'static str, isa: Isa, types: &'static [Types], run: Run) -> Kernel {
    Kernel::new(name, isa, types, run).with_usual_plan(plan).with_thresholds(THRESHOLDS)
}

fn proof<D: Dot>() -> Result<D, KernelError> {
    D::proof().map_err(KernelError::Isa)
}

fn plan(inputs: &Inputs<'_>) -> Result<Plan, KernelError> {
    let (p, w, zero) = (downcast(inputs.problem()), inputs.input(1), inputs.input(3));
    Ok(Box::new(match inputs.types() {
        BF16 => PackedW::new::<bf16>(p, w, inputs.input(2), zero),
        _ => PackedW::new::<f32>(p, w, inputs.input(2), zero),
    }))
}

/// f32 of the weights, and GEMM.
fn reals<X: Stream<T = f32>, L: Convert>(call: &mut Call<'_>, tile: (X, L)) -> Result<(), KernelError> {
    let (p, pool) = (downcast(call.problem()), call.pool());
    if call.types() == Types::F32 {
        let (x, workspace) = Operands::<f32, f32>::of(call);
        whole::matmul(tile, p, x, pool, workspace);
    } else {
        let (x, workspace) = Operands::<bf16, bf16>::of(call);
        whole::matmul(tile, p, x, pool, workspace);
    }
    Ok(())
}

fn bits(call: &Call<'_>) -> usize {
    downcast::<MatmulNbits>(call.problem()).bits
}

fn packed_reals<L: Codes>(call: &mut Call<'_>, lanes: L) -> Result<(), KernelError> {
    match (call.types(), bits(call)) {
        (Types::F32, 4) => run::<_, f32, f32>(call, ByF32::<_, 4>(lanes)),
        (Types::F32, _) => run::<_, f32, f32>(call, ByF32::<_, 2>(lanes)),
        (_, 4) => run::<_, bf16, bf16>(call, ByF32::<_, 4>(lanes)),
        _ => run::<_, bf16, bf16>(call, ByF32::<_, 2>(lanes)),
    }
}

fn packed_bytes<D: Bytes>(call: &mut Call<'_>, bytes: D, lanes: D::Lanes) -> Result<(), KernelError> {
    match bits(call) {
        4 => run::<_, i8, f32>(call, ByBytes::<D, 4>(bytes, lanes)),
        _ => run::<_, i8, f32>(call, ByBytes::<D, 2>(bytes, lanes)),
    }
}

/// Packed weights.
fn run<M: Prepare<E>, E: Element, O: Narrow>(call: &mut Call<'_>, m: M) -> Result<(), KernelError> {
    let (p, pool): (&MatmulNbits, _) = (downcast(call.problem()), call.pool());
    let packed = call.plan::<PackedW>().filter(|packed| packed.fits(p));
    let packed =
        packed.ok_or_else(|| KernelError::Unsupported("it wants a plan that was made for the problem".into()))?;
    let (x, workspace) = Operands::<E, O>::of(call);
    driver::matmul(m, p, x, packed, pool, workspace);
    Ok(())
}

/// The bound, with what `vdpbf16ps` takes for 0.
fn tolerance_of_pairs(
    problem: &dyn Problem,
    types: Types,
    inputs: &[ArrayD<f64>],
    expected: &[ArrayD<f64>],
) -> Vec<Tolerance> {
    let p: &MatmulNbits = downcast(problem);
    p.flushing(types, inputs, expected, f64::from(f32::MIN_POSITIVE))
}

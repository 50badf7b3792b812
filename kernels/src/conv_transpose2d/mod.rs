//! Transposed convolution: the adjoint of a convolution as a layer of its own, `y = xᵀ⋆w + bias`.
//!
//! Shapes: x n×c×h×w and y n×k×h'×w' in NCHW or NHWC order without gaps, w c×(k/groups)×r×s, bias k. f32 and f64;
//! `fast-…` f32 alone. The problem is [`ConvTranspose2d`]; its documentation fixes the order of summation. The kernels are
//! those of [`conv2d_backward_data`](crate::conv2d_backward_data), with a bias: a stride of s is s×s dense convolutions.

use etalon_reference::operator::downcast;
use etalon_reference::ops::conv_transpose2d::ConvTranspose2d;
use etalon_reference::{Fill, Problem, Tolerance, Types};
use ndarray::ArrayD;

use crate::call::{Call, elements};
use crate::conv2d_backward_data::by::{Exact, Fast, Plainly};
use crate::conv2d_backward_data::spread::{Adjoint, Convolver, spread};
use crate::conv2d_backward_data::{PATHS, THRESHOLDS, adjoint_tolerance};
use crate::gemm::{FLOATS, Float, with_float};
use crate::isa::Isa;
use crate::kernel::{Kernel, KernelError};

const F32: &[Types] = &[Types::F32];

/// The kernels; the last one that applies is the default.
pub static KERNELS: &[Kernel] = &[
    Kernel::new("scalar", Isa::Scalar, FLOATS, scalar),
    #[cfg(target_arch = "x86_64")]
    Kernel::new("avx2", Isa::Avx2, FLOATS, |call| exact(call, Isa::Avx2)).with_thresholds(THRESHOLDS).with_paths(PATHS),
    #[cfg(target_arch = "x86_64")]
    Kernel::new("fast-avx2", Isa::Avx2, F32, |call| compute(call, &Fast(Isa::Avx2)))
        .with_tolerance(tolerance)
        .finite_only()
        .with_thresholds(THRESHOLDS)
        .with_paths(PATHS),
    #[cfg(target_arch = "x86_64")]
    Kernel::new("avx512", Isa::Avx512, FLOATS, |call| exact(call, Isa::Avx512))
        .with_thresholds(THRESHOLDS)
        .with_paths(PATHS),
    #[cfg(target_arch = "x86_64")]
    Kernel::new("fast-avx512", Isa::Avx512, F32, |call| compute(call, &Fast(Isa::Avx512)))
        .with_tolerance(tolerance)
        .finite_only()
        .with_thresholds(THRESHOLDS)
        .with_paths(PATHS),
];

fn scalar(call: &mut Call<'_>) -> Result<(), KernelError> {
    with_float!(call.types(), T => compute::<T>(call, &Plainly))
}

fn exact(call: &mut Call<'_>, isa: Isa) -> Result<(), KernelError> {
    with_float!(call.types(), T => compute::<T>(call, &Exact(isa)))
}

fn compute<T: Float>(call: &mut Call<'_>, by: &impl Convolver<T>) -> Result<(), KernelError> {
    let p = &downcast::<ConvTranspose2d>(call.problem()).conv;
    let (pool, [x, w, bias]) = (call.pool(), [0, 1, 2].map(|i| call.input(i)));
    let ([y], workspace) = call.outputs();
    spread(p, by, Adjoint { dy: x, w, bias, dx: elements(y) }, pool, workspace)
}

fn tolerance(problem: &dyn Problem, types: Types, inputs: &[ArrayD<f64>], expected: &[ArrayD<f64>]) -> Vec<Tolerance> {
    let p = &downcast::<ConvTranspose2d>(problem).conv;
    let canonical = problem.tolerance(types, Fill::Real, inputs, expected);
    adjoint_tolerance(p, types, [&inputs[0], &inputs[1], &inputs[2]], expected, canonical)
}

//! Gradients of [`batchnorm_relu`](crate::batchnorm_relu) in training: dx, dγ, dβ and, where there is one, the residual's.
//!
//! With `g = dy` where y > 0, `r = 1/√(σ² + ε)`, `d = x − μ`: `dβ = Σg`, `dγ = r·Σg·d`,
//! `dx = γr·g − (γr·dβ/n + d·γr²·dγ/n)`; the residual's gradient is g. All f32. Images are n×c×h×w in NCHW or NHWC order, without
//! gaps; vectors have an element a channel. μ and r are those that the forward pass saved; the mask is the sign of its y.
//!
//! One source for all instruction sets, with the same bits on all of them and for any number of threads. dy, x and y are
//! read from memory once where three slabs of a channel fit the second cache.
//!
//! Error: as the problem's tolerance says. NaN: a NaN or an infinity in dy or x goes to its whole channel; where y ≤ 0, dy
//! is not looked at; where y is NaN, dy passes. Sums that overflow are made again in f64.

mod formula;
mod operands;
mod planes;
mod rows;

use etalon_reference::Types;
use etalon_reference::operator::downcast;
use etalon_reference::ops::batchnorm_relu_backward::BatchnormReluBackward;

use self::operands::Backward;
use crate::batchnorm_relu::{THRESHOLDS, by_rows};
use crate::call::{Call, elements};
use crate::isa::Isa;
use crate::isa::wide::{Wide, Work, with_lanes};
use crate::kernel::{Kernel, KernelError};
use crate::pool::Pool;
use crate::workspace::Workspace;

/// The kernels, weakest first.
pub static KERNELS: &[Kernel] = &[
    Kernel::new("scalar", Isa::Scalar, &[Types::F32], |call| run(call, Isa::Scalar)),
    Kernel::new("avx2", Isa::Avx2, &[Types::F32], |call| run(call, Isa::Avx2)).with_thresholds(THRESHOLDS),
    Kernel::new("avx512", Isa::Avx512, &[Types::F32], |call| run(call, Isa::Avx512)).with_thresholds(THRESHOLDS),
];

struct Step<'a> {
    problem: &'a BatchnormReluBackward,
    operands: Backward<'a>,
    pool: &'a Pool,
    workspace: &'a mut Workspace,
}

impl Work for Step<'_> {
    type Output = ();

    #[inline(always)]
    fn run<L: Wide>(self, l: L) {
        let Step { problem, operands, pool, workspace } = self;
        match (by_rows(&problem.images), problem.relu) {
            (true, true) => rows::backward::<L, true>(l, problem, operands, pool, workspace),
            (true, false) => rows::backward::<L, false>(l, problem, operands, pool, workspace),
            (false, true) => planes::backward::<L, true>(l, problem, operands, pool),
            (false, false) => planes::backward::<L, false>(l, problem, operands, pool),
        }
    }
}

fn run(call: &mut Call<'_>, isa: Isa) -> Result<(), KernelError> {
    let problem: &BatchnormReluBackward = downcast(call.problem());
    let [dy, x, gamma, saved_mean, saved_rstd, y] = [0, 1, 2, 3, 4, 5].map(|i| call.input::<f32>(i));
    let pool = call.pool();
    let (outputs, workspace) = call.outputs();
    let [dx, dgamma, dbeta, dresidual] = outputs.map(elements);
    let operands = Backward { dy, x, gamma, saved_mean, saved_rstd, y, dx, dgamma, dbeta, dresidual };
    with_lanes(isa, Step { problem, operands, pool, workspace }).map_err(KernelError::Isa)
}

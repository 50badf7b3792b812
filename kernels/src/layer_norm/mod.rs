//! [`layer_norm`](etalon_reference::ops::layer_norm) and RMS norm. f32 and f64; x and y n×c.
//!
//! A row is read three times, from the first cache: for its mean, for its variance around that mean, and to be written.
//! Tasks are rows. One source for all levels: the same bits on each, for any number of threads.
//!
//! Error: the problem's tolerance. NaN and ∞ follow the formula. Errors: a level that the CPU lacks. Workspace: none.

pub(crate) mod rows;

use etalon_reference::Threshold;
use etalon_reference::operator::downcast;
use etalon_reference::ops::layer_norm::LayerNorm;

use self::rows::Rows;
use crate::call::{Call, elements};
use crate::disjoint::parts;
use crate::gemm::{FLOATS, with_float};
use crate::isa::Isa;
use crate::kernel::{Kernel, KernelError};
use crate::math::Numeric;
use crate::softmax::lines::{TASK, usable};

const THRESHOLDS: &[Threshold] = &[Threshold::axis("c", 16), Threshold::axis("c", 64), Threshold::bytes("x", 4 * TASK)];

/// The kernels, weakest first.
pub static KERNELS: &[Kernel] = &[
    Kernel::new("scalar", Isa::Scalar, FLOATS, |call| run(call, Isa::Scalar)),
    Kernel::new("avx2", Isa::Avx2, FLOATS, |call| run(call, Isa::Avx2)).with_thresholds(THRESHOLDS),
    Kernel::new("avx512", Isa::Avx512, FLOATS, |call| run(call, Isa::Avx512)).with_thresholds(THRESHOLDS),
];

fn run(call: &mut Call<'_>, isa: Isa) -> Result<(), KernelError> {
    with_float!(call.types(), T => typed::<T>(call, isa))
}

fn typed<T: Numeric>(call: &mut Call<'_>, isa: Isa) -> Result<(), KernelError> {
    let [x, gain, bias] = [0, 1, 2].map(|i| call.input::<T>(i));
    let (p, pool) = (downcast::<LayerNorm>(call.problem()), call.pool());
    let (outputs, workspace) = call.outputs();
    let [y, means, factors] = outputs.map(elements::<T>);
    usable::<T>(isa)?;
    let rows = (TASK / p.columns).max(1);
    // Means and factors of the rows lie together, so that a task has its own.
    let moments = workspace.slice::<T>(2 * p.rows);
    parts(pool, (y, rows * p.columns), (&mut *moments, 2 * rows), &mut [(); 0], |task, y, moments, _| {
        let start = task * rows * p.columns;
        let x = &x[start..start + y.len()];
        T::calculate(isa, Rows { p, x, gain, bias, y, moments }).expect("the CPU has the instructions");
    });
    for (row, moments) in moments.chunks_exact(2).enumerate() {
        means.get_mut(row).into_iter().for_each(|mean| *mean = moments[0]);
        factors.get_mut(row).into_iter().for_each(|factor| *factor = moments[1]);
    }
    Ok(())
}

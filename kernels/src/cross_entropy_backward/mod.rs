//! [`cross_entropy_backward`](etalon_reference::ops::cross_entropy_backward): the gradient of
//! [`cross_entropy`](crate::cross_entropy) with respect to the scores. f32 and f64; x and dx n×c, n labels.
//!
//! A row is read once. Tasks are rows. One source for all levels: the same bits on each, for any number of threads.
//!
//! Error: the problem's tolerance. NaN and ∞ follow the formula. Errors: a label that is no class; a level that the CPU
//! lacks. Workspace: none.

use etalon_reference::Threshold;
use etalon_reference::operator::downcast;
use etalon_reference::ops::cross_entropy::{CrossEntropy, NONE, Reduction};
use etalon_reference::ops::cross_entropy_backward::CrossEntropyBackward;

use crate::call::{Call, elements};
use crate::cross_entropy::checked;
use crate::disjoint::chunks;
use crate::faults::fault;
use crate::gemm::{FLOATS, with_float};
use crate::isa::Isa;
use crate::kernel::{Kernel, KernelError};
use crate::math::{Beside, Calculation, Numbers, Numeric};
use crate::softmax::lines::{TASK, load, store, usable};

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
    let (dloss, x, labels, lse) = (call.input::<T>(0), call.input::<T>(1), call.input::<i64>(2), call.input::<T>(3));
    let (p, pool) = (&downcast::<CrossEntropyBackward>(call.problem()).forward, call.pool());
    let ([dx], _) = call.outputs();
    usable::<T>(isa)?;
    checked(labels, p.classes)?;
    let count = labels.iter().filter(|label| **label != NONE).count() as f64;
    let divisor = if p.reduction == Reduction::Mean { count } else { 1.0 };
    let rows = (TASK / p.classes).max(1);
    chunks(pool, elements::<T>(dx), rows * p.classes, |start, dx| {
        let first = start / p.classes;
        let of_rows = first..first + dx.len() / p.classes;
        let x = &x[start..start + dx.len()];
        let dloss = if p.reduction == Reduction::None { &dloss[of_rows.clone()] } else { dloss };
        let (labels, lse) = (&labels[of_rows.clone()], &lse[of_rows]);
        let work = Rows { p, x, labels, lse, dloss, divisor, dx };
        T::calculate(isa, work).expect("the CPU has the instructions");
    });
    Ok(())
}

/// Some rows.
struct Rows<'a, T> {
    p: &'a CrossEntropy,
    x: &'a [T],
    labels: &'a [i64],
    lse: &'a [T],
    /// One, or one a row.
    dloss: &'a [T],
    divisor: f64,
    dx: &'a mut [T],
}

impl<T: Numeric> Calculation<T> for Rows<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<N: Beside<T>>(self, n: N) {
        let Rows { p, x, labels, lse, dloss, divisor, dx } = self;
        let (c, single) = (p.classes, T::single());
        let share = T::from_f64(p.smoothing / c as f64);
        for (row, (x, dx)) in x.chunks_exact(c).zip(dx.chunks_exact_mut(c)).enumerate() {
            if labels[row] == NONE && !fault!("cross_entropy_backward.without-label") {
                dx.fill(T::default());
                continue;
            }
            let of_row = if p.reduction == Reduction::None { row } else { 0 };
            let g = T::from_f64(dloss[of_row].to_f64() / divisor);
            let (of_all, of_class) = (n.splat(g), n.splat(share));
            let base = n.splat(lse[row]);
            for at in (0..c).step_by(N::WIDTH) {
                let power = n.exp(n.sub(load(n, x, at), base));
                let value = n.mul(of_all, n.sub(power, of_class));
                store(n, value, dx, at);
            }
            // The label's share at once, so that nothing is rounded twice.
            if let Ok(label) = usize::try_from(labels[row]) {
                let power = single.exp(single.sub(x[label], lse[row]));
                let target = T::from_f64(1.0 - p.smoothing + p.smoothing / c as f64);
                let target = if fault!("cross_entropy_backward.hard-label") { T::from_f64(1.0) } else { target };
                dx[label] = single.mul(g, single.sub(power, target));
            }
        }
    }
}

//! [`multi_margin_backward`](etalon_reference::ops::multi_margin_backward): the gradient of
//! [`multi_margin`](crate::multi_margin) with respect to the scores. f32 and f64; x and dx n×c, n labels.
//!
//! A row is read once. Tasks are rows. One source for all levels: the same bits on each, for any number of threads.
//!
//! Error: the problem's tolerance. NaN and ∞ follow the formula. Errors: a label that is no class; a level that the CPU
//! lacks. Workspace: none.

use etalon_reference::operator::downcast;
use etalon_reference::ops::cross_entropy::Reduction;
use etalon_reference::ops::multi_margin::MultiMargin;
use etalon_reference::ops::multi_margin_backward::MultiMarginBackward;

use crate::call::{Call, elements};
use crate::disjoint::chunks;
use crate::faults::fault;
use crate::gemm::{FLOATS, with_float};
use crate::isa::Isa;
use crate::kernel::{Kernel, KernelError};
use crate::math::{Beside, Calculation, Numbers, Numeric};
use crate::multi_margin::{THRESHOLDS, classes, others, weight};
use crate::softmax::lines::{TASK, usable};

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
    let (dloss, x, labels, weights) =
        (call.input::<T>(0), call.input::<T>(1), call.input::<i64>(2), call.input::<T>(3));
    let (p, pool) = (&downcast::<MultiMarginBackward>(call.problem()).forward, call.pool());
    let ([dx], _) = call.outputs();
    usable::<T>(isa)?;
    classes(labels, p.classes)?;
    let rows = (TASK / p.classes).max(1);
    chunks(pool, elements::<T>(dx), rows * p.classes, |start, dx| {
        let first = start / p.classes;
        let dloss = if p.reduction == Reduction::None { &dloss[first..] } else { dloss };
        let (x, labels) = (&x[start..start + dx.len()], &labels[first..]);
        T::calculate(isa, Rows { p, dloss, x, labels, weights, dx }).expect("the CPU has the instructions");
    });
    Ok(())
}

/// Some rows.
struct Rows<'a, T> {
    p: &'a MultiMargin,
    /// One, or one a row.
    dloss: &'a [T],
    x: &'a [T],
    labels: &'a [i64],
    weights: &'a [T],
    dx: &'a mut [T],
}

impl<T: Numeric> Calculation<T> for Rows<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<N: Beside<T>>(self, n: N) {
        let Rows { p, dloss, x, labels, weights, dx } = self;
        let single = T::single();
        let divisor = if p.reduction == Reduction::Mean { p.rows as f64 } else { 1.0 };
        let (zero, one) = (n.constant(0.0), n.one());
        let rows = x.chunks_exact(p.classes).zip(dx.chunks_exact_mut(p.classes)).zip(labels).enumerate();
        for (row, ((x, dx), &label)) in rows {
            let label = label as usize;
            let own = dloss[if p.reduction == Reduction::None { row } else { 0 }];
            let g = single.mul(T::from_f64(own.to_f64() / divisor), weight(p, weights, label));
            let base = n.splat(single.sub(T::from_f64(p.margin), x[label]));
            let (of_all, mut sum) = (n.splat(g), zero);
            for range in others(p, label) {
                let (x, dx) = (&x[range.clone()], &mut dx[range]);
                for at in (0..x.len()).step_by(N::WIDTH) {
                    let z = n.add(base, n.load_at(x, at));
                    let slope = if p.squared {
                        let above = n.relu(z);
                        n.add(above, above)
                    } else if fault!("multi_margin_backward.at-zero") {
                        n.where_less(z, zero, zero, one)
                    } else {
                        n.where_less(zero, z, one, n.where_less(z, zero, zero, z))
                    };
                    n.store_at(n.mul(of_all, slope), dx, at);
                    sum = n.add(sum, if x.len() - at >= N::WIDTH { slope } else { n.first(slope, x.len() - at) });
                }
                if fault!("multi_margin_backward.sum-before-the-label") {
                    sum = n.constant(0.0);
                }
            }
            dx[label] = single.neg(single.mul(g, n.sum(sum)));
        }
    }
}

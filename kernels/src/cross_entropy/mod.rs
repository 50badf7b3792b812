//! [`cross_entropy`](etalon_reference::ops::cross_entropy): f32 and f64; scores n×c, n labels.
//!
//! A row is read twice from the first caches: for its largest score, and for its powers, beside which the scores are added
//! where labels are smoothed. Tasks are rows; their losses are added in one chain.
//!
//! One source for all levels: the same bits on each, for any number of threads.
//!
//! Error: the problem's tolerance. NaN and ∞ follow the formula. Errors: a label that is no class; a level that the CPU
//! lacks. Workspace: n elements.

use etalon_reference::Threshold;
use etalon_reference::operator::downcast;
use etalon_reference::ops::cross_entropy::{CrossEntropy, NONE, Reduction};

use crate::call::{Call, elements};
use crate::disjoint::parts;
use crate::faults::fault;
use crate::gemm::{FLOATS, with_float};
use crate::isa::Isa;
use crate::kernel::{Kernel, KernelError};
use crate::math::{Beside, Calculation, Numbers, Numeric};
use crate::softmax::lines::{TASK, load, usable};
use crate::softmax::rows::largest;

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

/// The class of a label, if it is one.
///
/// # Errors
/// If it is neither a class nor none.
pub(crate) fn checked(labels: &[i64], classes: usize) -> Result<(), KernelError> {
    let bad = labels.iter().find(|&&label| label != NONE && !(0..classes as i64).contains(&label));
    bad.map_or(Ok(()), |&found| Err(KernelError::OutOfRange { operand: "labels", found, end: classes }))
}

fn typed<T: Numeric>(call: &mut Call<'_>, isa: Isa) -> Result<(), KernelError> {
    let (x, labels) = (call.input::<T>(0), call.input::<i64>(1));
    let (p, pool) = (downcast::<CrossEntropy>(call.problem()), call.pool());
    let (outputs, workspace) = call.outputs();
    let [loss, lse] = outputs.map(elements::<T>);
    usable::<T>(isa)?;
    checked(labels, p.classes)?;
    let rows = (TASK / p.classes).max(1);
    let losses = workspace.slice::<T>(p.rows);
    parts(pool, (&mut *losses, rows), (lse, rows), &mut [(); 0], |task, losses, lse, _| {
        let (start, count) = (task * rows, losses.len());
        let x = &x[start * p.classes..(start + count) * p.classes];
        let labels = &labels[start..start + count];
        T::calculate(isa, Rows { p, x, labels, losses, lse }).expect("the CPU has the instructions");
    });
    if p.reduction == Reduction::None {
        loss.copy_from_slice(losses);
        return Ok(());
    }
    let count = if fault!("cross_entropy.mean-of-all") {
        labels.len()
    } else {
        labels.iter().filter(|label| **label != NONE).count()
    };
    let sum = losses.iter().fold(T::default(), |sum, &loss| sum + loss);
    let divisor = if p.reduction == Reduction::Mean { count as f64 } else { 1.0 };
    loss[0] = T::from_f64(sum.to_f64() / divisor);
    Ok(())
}

/// Some rows.
struct Rows<'a, T> {
    p: &'a CrossEntropy,
    x: &'a [T],
    labels: &'a [i64],
    losses: &'a mut [T],
    /// Empty if it is not wanted.
    lse: &'a mut [T],
}

impl<T: Numeric> Calculation<T> for Rows<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<N: Beside<T>>(self, n: N) {
        let Rows { p, x, labels, losses, lse } = self;
        let single = T::single();
        for (row, (x, &label)) in x.chunks_exact(p.classes).zip(labels).enumerate() {
            if label == NONE && lse.is_empty() {
                losses[row] = T::default();
                continue;
            }
            let largest = largest(n, x);
            let (powers, scores) = sums(n, p, x, n.splat(largest));
            let of_row = single.add(largest, single.log(powers));
            if let Some(lse) = lse.get_mut(row) {
                *lse = of_row;
            }
            losses[row] = if label == NONE {
                T::default()
            } else {
                let hard = single.mul(T::from_f64(1.0 - p.smoothing), x[label as usize]);
                let loss = single.sub(of_row, hard);
                if p.smoothing == 0.0 {
                    loss
                } else {
                    single.sub(loss, single.mul(T::from_f64(p.smoothing / p.classes as f64), scores))
                }
            };
        }
    }
}

/// The sums of powers and of scores.
#[inline(always)]
fn sums<T: Numeric, N: Beside<T>>(n: N, p: &CrossEntropy, x: &[T], largest: N::V) -> (T, T) {
    let (mut powers, mut scores) = (n.constant(0.0), n.constant(0.0));
    for at in (0..x.len()).step_by(N::WIDTH) {
        let len = N::WIDTH.min(x.len() - at);
        let x = load(n, x, at);
        let power = n.exp(n.sub(x, largest));
        let whole = len == N::WIDTH || fault!("cross_entropy.rest");
        powers = n.add(powers, if whole { power } else { n.first(power, len) });
        if p.smoothing != 0.0 {
            scores = n.add(scores, x);
        }
    }
    (n.sum(powers), n.sum(scores))
}

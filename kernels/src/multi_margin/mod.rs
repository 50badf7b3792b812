//! [`multi_margin`](etalon_reference::ops::multi_margin): f32 and f64; scores n×c, n labels, weights of c classes.
//!
//! A row is read once, before its label and behind it. Tasks are rows; their losses are added in one chain. One source
//! for all levels: the same bits on each, for any number of threads.
//!
//! Error: the problem's tolerance. NaN and ∞ follow the formula. Errors: a label that is no class; a level that the CPU
//! lacks. Workspace: n elements.

use std::ops::Range;

use etalon_reference::Threshold;
use etalon_reference::operator::downcast;
use etalon_reference::ops::cross_entropy::Reduction;
use etalon_reference::ops::multi_margin::MultiMargin;

use crate::call::{Call, elements};
use crate::cross_entropy::reduced;
use crate::disjoint::chunks;
use crate::faults::fault;
use crate::gemm::{FLOATS, with_float};
use crate::isa::Isa;
use crate::kernel::{Kernel, KernelError};
use crate::math::{Beside, Calculation, Numbers, Numeric};
use crate::softmax::lines::{TASK, usable};

pub(crate) const THRESHOLDS: &[Threshold] =
    &[Threshold::axis("c", 17), Threshold::axis("c", 65), Threshold::bytes("x", 4 * TASK)];

/// The kernels, weakest first.
pub static KERNELS: &[Kernel] = &[
    Kernel::new("scalar", Isa::Scalar, FLOATS, |call| run(call, Isa::Scalar)),
    Kernel::new("avx2", Isa::Avx2, FLOATS, |call| run(call, Isa::Avx2)).with_thresholds(THRESHOLDS),
    Kernel::new("avx512", Isa::Avx512, FLOATS, |call| run(call, Isa::Avx512)).with_thresholds(THRESHOLDS),
];

fn run(call: &mut Call<'_>, isa: Isa) -> Result<(), KernelError> {
    with_float!(call.types(), T => typed::<T>(call, isa))
}

/// Whether each label is a class.
///
/// # Errors
/// If one is none.
pub(crate) fn classes(labels: &[i64], classes: usize) -> Result<(), KernelError> {
    let bad = labels.iter().find(|label| !(0..classes as i64).contains(label));
    bad.map_or(Ok(()), |&found| Err(KernelError::OutOfRange { operand: "labels", found, end: classes }))
}

/// The weight of a row over the classes.
#[inline(always)]
pub(crate) fn weight<T: Numeric>(p: &MultiMargin, weights: &[T], label: usize) -> T {
    let weight = weights.get(label).map_or(1.0, |weight| weight.to_f64());
    T::from_f64(weight / p.classes as f64)
}

/// The classes before a label and behind it.
#[inline(always)]
pub(crate) fn others(p: &MultiMargin, label: usize) -> [Range<usize>; 2] {
    [0..label, label + 1..p.classes]
}

fn typed<T: Numeric>(call: &mut Call<'_>, isa: Isa) -> Result<(), KernelError> {
    let (x, labels, weights) = (call.input::<T>(0), call.input::<i64>(1), call.input::<T>(2));
    let (p, pool) = (downcast::<MultiMargin>(call.problem()), call.pool());
    let ([loss], workspace) = call.outputs();
    usable::<T>(isa)?;
    classes(labels, p.classes)?;
    let losses = workspace.slice::<T>(p.rows);
    chunks(pool, losses, (TASK / p.classes).max(1), |start, losses| {
        let (x, labels) = (&x[start * p.classes..], &labels[start..]);
        T::calculate(isa, Rows { p, x, labels, weights, losses }).expect("the CPU has the instructions");
    });
    let divisor = if p.reduction == Reduction::Mean { p.rows as f64 } else { 1.0 };
    reduced(losses, p.reduction == Reduction::None, divisor, elements(loss));
    Ok(())
}

/// As many rows as losses.
struct Rows<'a, T> {
    p: &'a MultiMargin,
    x: &'a [T],
    labels: &'a [i64],
    weights: &'a [T],
    losses: &'a mut [T],
}

impl<T: Numeric> Calculation<T> for Rows<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<N: Beside<T>>(self, n: N) {
        let Rows { p, x, labels, weights, losses } = self;
        let single = T::single();
        for ((x, &label), loss) in x.chunks_exact(p.classes).zip(labels).zip(losses) {
            let label = label as usize;
            let base = n.splat(single.sub(T::from_f64(p.margin), x[label]));
            let mut sum = n.constant(0.0);
            for range in others(p, label) {
                let x = &x[range];
                for at in (0..x.len()).step_by(N::WIDTH) {
                    let above = n.relu(n.add(base, n.load_at(x, at)));
                    let cost = if p.squared { n.mul(above, above) } else { above };
                    let whole = x.len() - at >= N::WIDTH || fault!("multi_margin.rest");
                    sum = n.add(sum, if whole { cost } else { n.first(cost, x.len() - at) });
                }
                if fault!("multi_margin.before-the-label") {
                    break;
                }
            }
            *loss = single.mul(weight(p, weights, label), n.sum(sum));
        }
    }
}

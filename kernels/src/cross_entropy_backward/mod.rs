//! [`cross_entropy_backward`](etalon_reference::ops::cross_entropy_backward): the gradient of
//! [`cross_entropy`](crate::cross_entropy) with respect to the scores. f32 and f64; x and dx n×c, n labels or n×c
//! probabilities, weights of c classes.
//!
//! A row of scores is read once; its targets are added first, where there are some. Tasks are rows. One source for all
//! levels: the same bits on each, for any number of threads.
//!
//! Error: the problem's tolerance. NaN and ∞ follow the formula. Errors: a label that is no class; a level that the CPU
//! lacks. Workspace: none.

use etalon_reference::Threshold;
use etalon_reference::operator::downcast;
use etalon_reference::ops::cross_entropy::{CrossEntropy, NONE, Reduction};
use etalon_reference::ops::cross_entropy_backward::CrossEntropyBackward;

use crate::call::{Call, elements};
use crate::cross_entropy::{asked, checked, divisor, share};
use crate::disjoint::chunks;
use crate::faults::fault;
use crate::gemm::{FLOATS, with_float};
use crate::isa::Isa;
use crate::kernel::{Kernel, KernelError};
use crate::math::{Beside, Calculation, Numbers, Numeric};
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
    let (dloss, x, labels, lse) = (call.input::<T>(0), call.input::<T>(1), call.input::<i64>(2), call.input::<T>(3));
    let (weights, targets) = (call.input::<T>(4), call.input::<T>(5));
    let (p, pool) = (&downcast::<CrossEntropyBackward>(call.problem()).forward, call.pool());
    let ([dx], _) = call.outputs();
    usable::<T>(isa)?;
    checked(labels, p.classes)?;
    let divisor = divisor(p, labels, weights);
    let weight = weights.iter().fold(T::default(), |sum, &weight| sum + weight);
    let rows = (TASK / p.classes).max(1);
    chunks(pool, elements::<T>(dx), rows * p.classes, |start, dx| {
        let first = start / p.classes;
        let of_rows = first..first + dx.len() / p.classes;
        let x = &x[start..start + dx.len()];
        let dloss = if p.reduction == Reduction::None { &dloss[of_rows.clone()] } else { dloss };
        let (labels, targets) =
            if p.soft { (labels, &targets[start..start + dx.len()]) } else { (&labels[of_rows.clone()], targets) };
        let lse = &lse[of_rows];
        let work = Rows { p, x, labels, lse, weights, weight, targets, dloss, divisor, dx };
        T::calculate(isa, work).expect("the CPU has the instructions");
    });
    Ok(())
}

/// Some rows.
struct Rows<'a, T> {
    p: &'a CrossEntropy,
    x: &'a [T],
    /// One for each row; empty with targets.
    labels: &'a [i64],
    lse: &'a [T],
    /// Of the classes; empty, if they have none.
    weights: &'a [T],
    /// Their sum.
    weight: T,
    /// Of the rows; empty with labels.
    targets: &'a [T],
    /// One, or one a row.
    dloss: &'a [T],
    divisor: f64,
    dx: &'a mut [T],
}

impl<T: Numeric> Calculation<T> for Rows<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<N: Beside<T>>(self, n: N) {
        let Rows { p, x, labels, lse, weights, weight, targets, dloss, divisor, dx } = self;
        let (c, single) = (p.classes, T::single());
        let share = share::<T>(p);
        for (row, (x, dx)) in x.chunks_exact(c).zip(dx.chunks_exact_mut(c)).enumerate() {
            let of_row = if p.reduction == Reduction::None { row } else { 0 };
            let g = T::from_f64(dloss[of_row].to_f64() / divisor);
            let (of_all, base) = (n.splat(g), n.splat(lse[row]));
            if p.soft {
                let t = &targets[row * c..(row + 1) * c];
                let sum = n.splat(shares(n, p, t, weights));
                for at in (0..c).step_by(N::WIDTH) {
                    let value = n.sub(n.mul(n.exp(n.sub(n.load_at(x, at), base)), sum), asked(n, p, t, weights, at));
                    n.store_at(n.mul(of_all, value), dx, at);
                }
                continue;
            }
            if labels[row] == NONE && !fault!("cross_entropy_backward.without-label") {
                dx.fill(T::default());
                continue;
            }
            let label = usize::try_from(labels[row]).ok();
            let (hard, sum) = label.map_or((T::default(), T::from_f64(1.0)), |label| hard(p, label, weights, weight));
            let (of_class, of_sum) = (n.splat(share), n.splat(sum));
            for at in (0..c).step_by(N::WIDTH) {
                let of_class = if weights.is_empty() { of_class } else { n.mul(of_class, n.load_at(weights, at)) };
                let power = n.exp(n.sub(n.load_at(x, at), base));
                n.store_at(n.mul(of_all, n.sub(n.mul(power, of_sum), of_class)), dx, at);
            }
            // The label's share at once, so that nothing is rounded twice.
            if let Some(label) = label {
                let power = single.mul(single.exp(single.sub(x[label], lse[row])), sum);
                let target = if fault!("cross_entropy_backward.hard-label") { T::from_f64(1.0) } else { hard };
                dx[label] = single.mul(g, single.sub(power, target));
            }
        }
    }
}

/// q of a label's class, and the sum of all.
#[inline(always)]
fn hard<T: Numeric>(p: &CrossEntropy, label: usize, weights: &[T], weight: T) -> (T, T) {
    let single = T::single();
    let share = p.smoothing / p.classes as f64;
    let Some(&own) = weights.get(label) else {
        return (T::from_f64(1.0 - p.smoothing + share), T::from_f64(1.0));
    };
    let weight = if fault!("cross_entropy_backward.weight-of-all") { own } else { weight };
    let of_label = single.mul(T::from_f64(1.0 - p.smoothing), own);
    let sum = single.add(of_label, single.mul(T::from_f64(share), weight));
    (single.mul(T::from_f64(1.0 - p.smoothing + share), own), sum)
}

/// The sum of q.
#[inline(always)]
fn shares<T: Numeric, N: Beside<T>>(n: N, p: &CrossEntropy, t: &[T], weights: &[T]) -> T {
    let mut sum = n.constant(0.0);
    for at in (0..t.len()).step_by(N::WIDTH) {
        let (q, len) = (asked(n, p, t, weights, at), t.len() - at);
        sum = n.add(sum, if len >= N::WIDTH { q } else { n.first(q, len) });
    }
    n.sum(sum)
}

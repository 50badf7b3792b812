//! [`cross_entropy`](etalon_reference::ops::cross_entropy): f32 and f64; scores n×c, n labels or n×c probabilities,
//! weights of c classes.
//!
//! A row is read twice from the first caches: for its largest score, and for its powers, beside which the scores are
//! added where labels are smoothed, and the targets where there are some. Tasks are rows; their losses are added in one
//! chain.
//!
//! One source for all levels: the same bits on each, for any number of threads.
//!
//! Error: the problem's tolerance. NaN and ∞ follow the formula. Errors: a label that is no class; a level that the CPU
//! lacks. Workspace: n elements.

mod reduce;

use etalon_reference::Threshold;
use etalon_reference::operator::downcast;
use etalon_reference::ops::cross_entropy::{CrossEntropy, NONE, Reduction};

pub(crate) use self::reduce::reduced;
use crate::call::{Call, elements};
use crate::disjoint::parts;
use crate::faults::fault;
use crate::gemm::{FLOATS, with_float};
use crate::isa::Isa;
use crate::kernel::{Kernel, KernelError};
use crate::math::{Beside, Calculation, Numbers, Numeric};
use crate::softmax::lines::{TASK, usable};
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

/// What the losses of rows are divided by, where they are reduced: added in f64.
pub(crate) fn divisor<T: Numeric>(p: &CrossEntropy, labels: &[i64], weights: &[T]) -> f64 {
    let labelled = labels.iter().filter_map(|&label| usize::try_from(label).ok());
    match p.reduction {
        Reduction::Mean if p.soft => p.rows as f64,
        Reduction::Mean if fault!("cross_entropy.mean-of-all") => labels.len() as f64,
        Reduction::Mean if weights.is_empty() => labelled.count() as f64,
        Reduction::Mean => labelled.map(|label| weights[label].to_f64()).sum(),
        _ => 1.0,
    }
}

/// The share that smoothing gives to each class.
pub(crate) fn share<T: Numeric>(p: &CrossEntropy) -> T {
    T::from_f64(p.smoothing / p.classes as f64)
}

fn typed<T: Numeric>(call: &mut Call<'_>, isa: Isa) -> Result<(), KernelError> {
    let (x, labels) = (call.input::<T>(0), call.input::<i64>(1));
    let (weights, targets) = (call.input::<T>(2), call.input::<T>(3));
    let (p, pool) = (downcast::<CrossEntropy>(call.problem()), call.pool());
    let (outputs, workspace) = call.outputs();
    let [loss, lse] = outputs.map(elements::<T>);
    usable::<T>(isa)?;
    checked(labels, p.classes)?;
    let rows = (TASK / p.classes).max(1);
    let losses = workspace.slice::<T>(p.rows);
    let weight = weights.iter().fold(T::default(), |sum, &weight| sum + weight);
    parts(pool, (&mut *losses, rows), (lse, rows), &mut [(); 0], |task, losses, lse, _| {
        let (start, count) = (task * rows, losses.len());
        let of_rows = start * p.classes..(start + count) * p.classes;
        let x = &x[of_rows.clone()];
        let (labels, targets) =
            if p.soft { (labels, &targets[of_rows]) } else { (&labels[start..start + count], targets) };
        let work = Rows { p, x, labels, weights, weight, targets, losses, lse };
        T::calculate(isa, work).expect("the CPU has the instructions");
    });
    reduced(losses, p.reduction == Reduction::None, divisor(p, labels, weights), loss);
    Ok(())
}

/// Some rows.
struct Rows<'a, T> {
    p: &'a CrossEntropy,
    x: &'a [T],
    /// One for each row; empty with targets.
    labels: &'a [i64],
    /// Of the classes; empty, if they have none.
    weights: &'a [T],
    /// Their sum.
    weight: T,
    /// Of the rows; empty with labels.
    targets: &'a [T],
    losses: &'a mut [T],
    /// Empty if it is not wanted.
    lse: &'a mut [T],
}

impl<T: Numeric> Calculation<T> for Rows<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<N: Beside<T>>(self, n: N) {
        let Rows { p, x, labels, weights, weight, targets, losses, lse } = self;
        let single = T::single();
        for (row, x) in x.chunks_exact(p.classes).enumerate() {
            if !p.soft && labels[row] == NONE && lse.is_empty() {
                losses[row] = T::default();
                continue;
            }
            let largest = largest(n, x);
            let (powers, loss) = if p.soft {
                let t = &targets[row * p.classes..(row + 1) * p.classes];
                let (powers, shares, scores) = soft(n, p, x, t, weights, n.splat(largest));
                (powers, single.sub(single.mul(shares, single.log(powers)), scores))
            } else {
                let (powers, scores) = sums(n, p, x, weights, n.splat(largest));
                let lse = single.add(largest, single.log(powers));
                (powers, of_label(p, x, labels[row], weights, weight, lse, scores))
            };
            if let Some(lse) = lse.get_mut(row) {
                *lse = single.add(largest, single.log(powers));
            }
            losses[row] = loss;
        }
    }
}

/// The loss of a row with a label, or without.
#[inline(always)]
fn of_label<T: Numeric>(p: &CrossEntropy, x: &[T], label: i64, weights: &[T], weight: T, lse: T, scores: T) -> T {
    let single = T::single();
    let Ok(label) = usize::try_from(label) else { return T::default() };
    let hard = T::from_f64(1.0 - p.smoothing);
    let (hard, all) = match weights.get(label) {
        None => (single.mul(hard, x[label]), lse),
        Some(&weight) => (T::default(), single.mul(single.mul(hard, weight), single.sub(lse, x[label]))),
    };
    let loss = single.sub(all, hard);
    if p.smoothing == 0.0 {
        return loss;
    }
    let share = share::<T>(p);
    if weights.is_empty() || fault!("cross_entropy.smoothed-weights") {
        return single.sub(loss, single.mul(share, scores));
    }
    single.add(loss, single.mul(share, single.sub(single.mul(lse, weight), scores)))
}

/// The sums of powers and, where they are needed, of weighted scores.
#[inline(always)]
fn sums<T: Numeric, N: Beside<T>>(n: N, p: &CrossEntropy, x: &[T], weights: &[T], largest: N::V) -> (T, T) {
    let (mut powers, mut scores) = (n.constant(0.0), n.constant(0.0));
    for at in (0..x.len()).step_by(N::WIDTH) {
        let len = N::WIDTH.min(x.len() - at);
        let x = n.load_at(x, at);
        let power = n.exp(n.sub(x, largest));
        let whole = len == N::WIDTH || fault!("cross_entropy.rest");
        powers = n.add(powers, if whole { power } else { n.first(power, len) });
        if p.smoothing != 0.0 {
            scores = if weights.is_empty() { n.add(scores, x) } else { n.fma(n.load_at(weights, at), x, scores) };
        }
    }
    (n.sum(powers), n.sum(scores))
}

/// q of some classes, those of the targets; what is behind them is not 0 where labels are smoothed.
#[inline(always)]
pub(crate) fn asked<T: Numeric, N: Beside<T>>(n: N, p: &CrossEntropy, t: &[T], weights: &[T], at: usize) -> N::V {
    let t = n.load_at(t, at);
    let q = if p.smoothing == 0.0 { t } else { n.add(n.mul(t, n.constant(1.0 - p.smoothing)), n.splat(share(p))) };
    if weights.is_empty() { q } else { n.mul(q, n.load_at(weights, at)) }
}

/// The sums of powers, of q and of q·z.
#[inline(always)]
fn soft<T: Numeric, N: Beside<T>>(n: N, p: &CrossEntropy, x: &[T], t: &[T], weights: &[T], largest: N::V) -> (T, T, T) {
    let [mut powers, mut shares, mut scores] = [n.constant(0.0); 3];
    for at in (0..x.len()).step_by(N::WIDTH) {
        let len = N::WIDTH.min(x.len() - at);
        let z = n.sub(n.load_at(x, at), largest);
        let (power, q) = (n.exp(z), asked(n, p, t, weights, at));
        let (power, q, z) =
            if len == N::WIDTH { (power, q, z) } else { (n.first(power, len), n.first(q, len), n.first(z, len)) };
        powers = n.add(powers, power);
        shares = n.add(shares, q);
        scores = n.fma(q, z, scores);
    }
    (n.sum(powers), n.sum(shares), n.sum(scores))
}

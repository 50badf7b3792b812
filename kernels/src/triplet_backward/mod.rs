//! [`triplet_backward`](etalon_reference::ops::triplet_backward): the gradients of [`triplet`](crate::triplet). f32 and
//! f64; operands and gradients n×c, distances n×2.
//!
//! A row is read once, and its three gradients are written in one pass. Tasks are rows. One source for all levels: the
//! same bits on each, for any number of threads.
//!
//! Error: the problem's tolerance. NaN and ∞ follow the formula. Errors: a level that the CPU lacks. Workspace: none.

use etalon_reference::operator::downcast;
use etalon_reference::ops::cross_entropy::Reduction;
use etalon_reference::ops::triplet::{EPSILON, Triplet};
use etalon_reference::ops::triplet_backward::TripletBackward;

use crate::call::{Call, elements};
use crate::disjoint::in_step;
use crate::faults::fault;
use crate::gemm::{FLOATS, with_float};
use crate::isa::Isa;
use crate::kernel::{Kernel, KernelError};
use crate::math::{Beside, Calculation, Numbers, Numeric};
use crate::softmax::lines::{TASK, usable};
use crate::triplet::THRESHOLDS;

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
    let dloss = call.input::<T>(0);
    let samples = [1, 2, 3].map(|i| call.input::<T>(i));
    let distances = call.input::<T>(4);
    let (p, pool) = (&downcast::<TripletBackward>(call.problem()).forward, call.pool());
    let (outputs, _) = call.outputs();
    let [da, dp, dn] = outputs.map(elements::<T>);
    usable::<T>(isa)?;
    let task = (TASK / p.columns).max(1) * p.columns;
    in_step(pool, task, da, dp, dn, |start, da, dp, dn| {
        let first = start / p.columns;
        let dloss = if p.reduction == Reduction::None { &dloss[first..] } else { dloss };
        let samples = samples.map(|of| &of[start..start + da.len()]);
        let work = Rows { p, dloss, samples, distances: &distances[2 * first..], gradients: [da, dp, dn] };
        T::calculate(isa, work).expect("the CPU has the instructions");
    });
    Ok(())
}

/// Some rows.
struct Rows<'a, T> {
    p: &'a Triplet,
    /// One, or one a row.
    dloss: &'a [T],
    /// Anchors, positive and negative ones.
    samples: [&'a [T]; 3],
    distances: &'a [T],
    gradients: [&'a mut [T]; 3],
}

/// g·(a − other + ε)/distance, and 0 where there is no distance.
#[inline(always)]
fn part<T: Numeric, N: Beside<T>>(n: N, g: N::V, a: N::V, other: N::V, distance: T) -> N::V {
    if distance == T::default() {
        return n.constant(0.0);
    }
    n.mul(g, n.div(n.add(n.sub(a, other), n.constant(EPSILON)), n.splat(distance)))
}

impl<T: Numeric> Calculation<T> for Rows<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<N: Beside<T>>(self, n: N) {
        let Rows { p, dloss, samples, distances, gradients: [da, dp, dn] } = self;
        let (c, single) = (p.columns, T::single());
        let (zero, divisor) = (T::default(), if p.reduction == Reduction::Mean { p.rows as f64 } else { 1.0 });
        for row in 0..da.len() / c {
            let all = row * c..(row + 1) * c;
            let [a, near, far] = samples.map(|of| &of[all.clone()]);
            let [da, dp, dn] = [&mut da[all.clone()], &mut dp[all.clone()], &mut dn[all]];
            let own = [distances[2 * row], distances[2 * row + 1]];
            let excess = single.sub(single.add(T::from_f64(p.margin), own[0]), own[1]);
            if excess.to_f64().is_nan() {
                [da, dp, dn].into_iter().for_each(|gradient| gradient.fill(excess));
                continue;
            }
            if excess < zero && !fault!("triplet_backward.always") {
                [da, dp, dn].into_iter().for_each(|gradient| gradient.fill(zero));
                continue;
            }
            let upstream = dloss[if p.reduction == Reduction::None { row } else { 0 }];
            let g = n.splat(T::from_f64(upstream.to_f64() / divisor));
            for at in (0..c).step_by(N::WIDTH) {
                let a = n.load_at(a, at);
                let far_distance = if fault!("triplet_backward.first-distance") { own[0] } else { own[1] };
                let (v, w) =
                    (part(n, g, a, n.load_at(near, at), own[0]), part(n, g, a, n.load_at(far, at), far_distance));
                n.store_at(n.sub(v, w), da, at);
                n.store_at(n.neg(v), dp, at);
                n.store_at(w, dn, at);
            }
        }
    }
}

//! [`triplet`](etalon_reference::ops::triplet): f32 and f64; anchors, positive and negative samples n×c.
//!
//! A row is read once, for both distances. Tasks are rows; their losses are added in one chain. One source for all
//! levels: the same bits on each, for any number of threads.
//!
//! Error: the problem's tolerance. NaN and ∞ follow the formula. Errors: a level that the CPU lacks.
//! Workspace: n elements.

use etalon_reference::Threshold;
use etalon_reference::operator::downcast;
use etalon_reference::ops::cross_entropy::Reduction;
use etalon_reference::ops::triplet::{EPSILON, Triplet};

use crate::call::{Call, elements};
use crate::cross_entropy::reduced;
use crate::disjoint::parts;
use crate::faults::fault;
use crate::gemm::{FLOATS, with_float};
use crate::isa::Isa;
use crate::kernel::{Kernel, KernelError};
use crate::math::{Beside, Calculation, Numbers, Numeric};
use crate::softmax::lines::{TASK, usable};

pub(crate) const THRESHOLDS: &[Threshold] =
    &[Threshold::axis("c", 16), Threshold::axis("c", 64), Threshold::bytes("anchor", 4 * TASK)];

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
    let samples = [0, 1, 2].map(|i| call.input::<T>(i));
    let (p, pool) = (downcast::<Triplet>(call.problem()), call.pool());
    let (outputs, workspace) = call.outputs();
    let [loss, distances] = outputs.map(elements::<T>);
    usable::<T>(isa)?;
    let (rows, c) = ((TASK / p.columns).max(1), p.columns);
    let losses = workspace.slice::<T>(p.rows);
    parts(pool, (&mut *losses, rows), (distances, 2 * rows), &mut [(); 0], |task, losses, distances, _| {
        let own = task * rows * c..(task * rows + losses.len()) * c;
        let samples = samples.map(|of| &of[own.clone()]);
        T::calculate(isa, Rows { p, samples, losses, distances }).expect("the CPU has the instructions");
    });
    let divisor = if p.reduction == Reduction::Mean { p.rows as f64 } else { 1.0 };
    reduced(losses, p.reduction == Reduction::None, divisor, loss);
    Ok(())
}

/// Some rows.
struct Rows<'a, T> {
    p: &'a Triplet,
    /// Anchors, positive and negative ones.
    samples: [&'a [T]; 3],
    losses: &'a mut [T],
    /// Two for each row; empty if they are not wanted.
    distances: &'a mut [T],
}

impl<T: Numeric> Calculation<T> for Rows<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<N: Beside<T>>(self, n: N) {
        let Rows { p, samples, losses, distances } = self;
        let (single, epsilon) = (T::single(), n.constant(EPSILON));
        for (row, loss) in losses.iter_mut().enumerate() {
            let [a, near, far] = samples.map(|of| &of[row * p.columns..(row + 1) * p.columns]);
            let mut sums = [n.constant(0.0); 2];
            for at in (0..p.columns).step_by(N::WIDTH) {
                let (a, len) = (n.load_at(a, at), p.columns - at);
                for (sum, other) in sums.iter_mut().zip([near, far]) {
                    let d = n.add(n.sub(a, n.load_at(other, at)), epsilon);
                    let d = if len >= N::WIDTH { d } else { n.first(d, if fault!("triplet.rest") { 0 } else { len }) };
                    *sum = n.fma(d, d, *sum);
                }
            }
            // The root of an f32 in f64, rounded again, is the nearest f32.
            let own = sums.map(|sum| T::from_f64(n.sum(sum).to_f64().sqrt()));
            let margin = T::from_f64(if fault!("triplet.margin") { 1.0 } else { p.margin });
            *loss = single.relu(single.sub(single.add(margin, own[0]), own[1]));
            if let Some(distances) = distances.get_mut(2 * row..2 * row + 2) {
                distances.copy_from_slice(&own);
            }
        }
    }
}

//! [`distillation_backward`](etalon_reference::ops::distillation_backward): the gradient of
//! [`distillation`](crate::distillation) with respect to the student's scores. f32 and f64; scores n×c, lse n×3.
//!
//! A row is read once. Tasks are rows. One source for all levels: the same bits on each, for any number of threads.
//!
//! Error: the problem's tolerance. NaN and ∞ follow the formula. Errors: a label that is no class; a level that the CPU
//! lacks. Workspace: none.

use etalon_reference::operator::downcast;
use etalon_reference::ops::cross_entropy::Reduction;
use etalon_reference::ops::distillation::Distillation;
use etalon_reference::ops::distillation_backward::DistillationBackward;

use crate::call::{Call, elements};
use crate::disjoint::chunks;
use crate::distillation::THRESHOLDS;
use crate::faults::fault;
use crate::gemm::{FLOATS, with_float};
use crate::isa::Isa;
use crate::kernel::{Kernel, KernelError};
use crate::math::{Beside, Calculation, Numeric};
use crate::multi_margin::classes;
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
    let [dloss, x, teacher] = [0, 1, 2].map(|i| call.input::<T>(i));
    let (labels, lse) = (call.input::<i64>(3), call.input::<T>(4));
    let (p, pool) = (&downcast::<DistillationBackward>(call.problem()).forward, call.pool());
    let ([dx], _) = call.outputs();
    usable::<T>(isa)?;
    classes(labels, p.classes)?;
    let rows = (TASK / p.classes).max(1);
    chunks(pool, elements::<T>(dx), rows * p.classes, |start, dx| {
        let first = start / p.classes;
        let dloss = if p.reduction == Reduction::None { &dloss[first..] } else { dloss };
        let [x, teacher] = [x, teacher].map(|of| &of[start..start + dx.len()]);
        let work = Rows { p, dloss, x, teacher, labels: &labels[first..], lse: &lse[3 * first..], dx };
        T::calculate(isa, work).expect("the CPU has the instructions");
    });
    Ok(())
}

/// Some rows.
struct Rows<'a, T> {
    p: &'a Distillation,
    /// One, or one a row.
    dloss: &'a [T],
    x: &'a [T],
    teacher: &'a [T],
    labels: &'a [i64],
    lse: &'a [T],
    dx: &'a mut [T],
}

/// What the gradients of a row share.
struct Terms<V> {
    /// 1/τ.
    inverse: V,
    /// α·τ.
    softened: V,
    /// 1 − α.
    own: V,
    g: V,
    /// Of the student, its softened and the teacher's softened values.
    lse: [V; 3],
}

impl<V: Copy> Terms<V> {
    /// The gradient of a student's and a teacher's values, where the label has a `share`.
    #[inline(always)]
    fn gradient<T: Numeric, N: Beside<T, V = V>>(&self, n: N, x: V, z: V, share: V) -> V {
        let Terms { inverse, softened, own, g, lse } = *self;
        let student = n.exp(n.sub(n.mul(x, inverse), lse[1]));
        let teacher = n.exp(n.sub(n.mul(z, inverse), lse[2]));
        let of_label = n.sub(n.exp(n.sub(x, lse[0])), share);
        n.mul(g, n.fma(softened, n.sub(student, teacher), n.mul(own, of_label)))
    }
}

impl<T: Numeric> Calculation<T> for Rows<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<N: Beside<T>>(self, n: N) {
        let Rows { p, dloss, x, teacher, labels, lse, dx } = self;
        let c = p.classes;
        let divisor = if p.reduction == Reduction::Mean { p.rows as f64 } else { 1.0 };
        let (inverse, softened) = (n.constant(1.0 / p.temperature), n.constant(p.alpha * p.temperature));
        let own = n.constant(1.0 - p.alpha);
        for (row, ((x, z), dx)) in
            x.chunks_exact(c).zip(teacher.chunks_exact(c)).zip(dx.chunks_exact_mut(c)).enumerate()
        {
            let upstream = dloss[if p.reduction == Reduction::None { row } else { 0 }];
            let teacher = if fault!("distillation_backward.teacher-of-student") { 1 } else { 2 };
            let terms = Terms {
                inverse,
                softened,
                own,
                g: n.splat(T::from_f64(upstream.to_f64() / divisor)),
                lse: [n.splat(lse[3 * row]), n.splat(lse[3 * row + 1]), n.splat(lse[3 * row + teacher])],
            };
            let label = labels[row] as usize;
            for at in (0..c).step_by(N::WIDTH) {
                n.store_at(terms.gradient(n, n.load_at(x, at), n.load_at(z, at), n.constant(0.0)), dx, at);
            }
            if !fault!("distillation_backward.no-label") {
                // The label's share at once, so that nothing is rounded twice.
                let one = [n.load_first(&x[label..=label]), n.load_first(&z[label..=label])];
                n.store_first(terms.gradient(n, one[0], one[1], n.one()), &mut dx[label..=label]);
            }
        }
    }
}

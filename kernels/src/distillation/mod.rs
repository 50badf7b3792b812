//! [`distillation`](etalon_reference::ops::distillation): f32 and f64; scores of student and teacher n×c, n labels.
//!
//! A row is read twice from the first caches: for its largest scores, and for its powers, of which all sums are taken
//! at once. Tasks are rows; their losses are added in one chain. One source for all levels: the same bits on each, for
//! any number of threads.
//!
//! Error: the problem's tolerance. NaN and ∞ follow the formula. Errors: a label that is no class; a level that the CPU
//! lacks. Workspace: n elements.

use etalon_reference::Threshold;
use etalon_reference::operator::downcast;
use etalon_reference::ops::cross_entropy::Reduction;
use etalon_reference::ops::distillation::Distillation;

use crate::call::{Call, elements};
use crate::cross_entropy::reduced;
use crate::disjoint::parts;
use crate::faults::fault;
use crate::gemm::{FLOATS, with_float};
use crate::isa::Isa;
use crate::kernel::{Kernel, KernelError};
use crate::math::{Beside, Calculation, Numbers, Numeric};
use crate::multi_margin::classes;
use crate::softmax::lines::{TASK, usable};
use crate::softmax::rows::largest;

pub(crate) const THRESHOLDS: &[Threshold] =
    &[Threshold::axis("c", 16), Threshold::axis("c", 64), Threshold::bytes("x", 4 * TASK)];

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
    let (x, teacher, labels) = (call.input::<T>(0), call.input::<T>(1), call.input::<i64>(2));
    let (p, pool) = (downcast::<Distillation>(call.problem()), call.pool());
    let (outputs, workspace) = call.outputs();
    let [loss, lse] = outputs.map(elements::<T>);
    usable::<T>(isa)?;
    classes(labels, p.classes)?;
    let rows = (TASK / p.classes).max(1);
    let losses = workspace.slice::<T>(p.rows);
    parts(pool, (&mut *losses, rows), (lse, 3 * rows), &mut [(); 0], |task, losses, lse, _| {
        let (start, c) = (task * rows, p.classes);
        let [x, teacher] = [x, teacher].map(|of| &of[start * c..(start + losses.len()) * c]);
        let labels = &labels[start..start + losses.len()];
        T::calculate(isa, Rows { p, x, teacher, labels, losses, lse }).expect("the CPU has the instructions");
    });
    let divisor = if p.reduction == Reduction::Mean { p.rows as f64 } else { 1.0 };
    reduced(losses, p.reduction == Reduction::None, divisor, loss);
    Ok(())
}

/// Some rows.
struct Rows<'a, T> {
    p: &'a Distillation,
    x: &'a [T],
    teacher: &'a [T],
    labels: &'a [i64],
    losses: &'a mut [T],
    /// Three for each row; empty if they are not wanted.
    lse: &'a mut [T],
}

impl<T: Numeric> Calculation<T> for Rows<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<N: Beside<T>>(self, n: N) {
        let Rows { p, x, teacher, labels, losses, lse } = self;
        let (single, inverse) = (T::single(), T::from_f64(1.0 / p.temperature));
        let rows = x.chunks_exact(p.classes).zip(teacher.chunks_exact(p.classes)).zip(labels).enumerate();
        for (row, ((x, z), &label)) in rows {
            let most = [largest(n, x), largest(n, z)];
            let [own, student, teacher, product] = sums(n, [x, z], most, inverse);
            let [own, student, of_teacher] = [own, student, teacher].map(|sum| single.log(sum));
            let divergence = single.add(single.sub(single.div(product, teacher), of_teacher), student);
            let of_label = single.sub(own, single.sub(x[label as usize], most[0]));
            let square = if fault!("distillation.temperature") { 1.0 } else { p.temperature * p.temperature };
            let softened = single.mul(T::from_f64(p.alpha * square), divergence);
            losses[row] = single.fma(T::from_f64(1.0 - p.alpha), of_label, softened);
            if let Some(lse) = lse.get_mut(3 * row..3 * row + 3) {
                lse[0] = single.add(most[0], own);
                lse[1] = single.add(single.mul(most[0], inverse), student);
                lse[2] = single.add(single.mul(most[1], inverse), of_teacher);
            }
        }
    }
}

/// The sums of e^(x − max), of e^b, of e^a, and of e^a·(a − b).
#[inline(always)]
fn sums<T: Numeric, N: Beside<T>>(n: N, of: [&[T]; 2], most: [T; 2], inverse: T) -> [T; 4] {
    let mut sums = [n.constant(0.0); 4];
    let (most, inverse) = (most.map(|most| n.splat(most)), n.splat(inverse));
    let c = of[0].len();
    for at in (0..c).step_by(N::WIDTH) {
        let own = n.sub(n.load_at(of[0], at), most[0]);
        let (b, a) = (n.mul(own, inverse), n.mul(n.sub(n.load_at(of[1], at), most[1]), inverse));
        let power = n.exp(a);
        let all = [n.exp(own), n.exp(b), power, n.mul(power, n.sub(a, b))];
        let len = c - at;
        for (sum, value) in sums.iter_mut().zip(all) {
            let whole = len >= N::WIDTH || fault!("distillation.rest");
            *sum = n.add(*sum, if whole { value } else { n.first(value, len) });
        }
    }
    sums.map(|sum| n.sum(sum))
}

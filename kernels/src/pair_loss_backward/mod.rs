//! [`pair_loss_backward`](etalon_reference::ops::pair_loss_backward): the gradients of [`pair_loss`](crate::pair_loss).
//! f32 and f64; x, t, dx and dt n×c.
//!
//! Operands are read once, and both gradients are written in one pass. Tasks are 16384 elements. One source for all
//! levels: the same bits on each, for any number of threads.
//!
//! Error: the problem's tolerance. NaN and ∞ follow the formula. Errors: a level that the CPU lacks. Workspace: none.

use std::marker::PhantomData;

use etalon_reference::Threshold;
use etalon_reference::operator::downcast;
use etalon_reference::ops::pair_loss::{PairLoss, Reduction};
use etalon_reference::ops::pair_loss_backward::PairLossBackward;

use crate::call::{Call, elements};
use crate::disjoint::parts;
use crate::faults::fault;
use crate::gemm::{FLOATS, with_float};
use crate::isa::Isa;
use crate::kernel::{Kernel, KernelError};
use crate::math::{Beside, Calculation, Numeric};
use crate::pair_loss::{Function, Operands, PATHS, TASK, Visit, named};
use crate::pool::Pool;
use crate::softmax::lines::usable;

const THRESHOLDS: &[Threshold] = &[Threshold::axis("c", 16), Threshold::bytes("x", 4 * TASK)];

/// The kernels, weakest first.
pub static KERNELS: &[Kernel] = &[
    Kernel::new("scalar", Isa::Scalar, FLOATS, |call| run(call, Isa::Scalar)),
    Kernel::new("avx2", Isa::Avx2, FLOATS, |call| run(call, Isa::Avx2)).with_thresholds(THRESHOLDS).with_paths(PATHS),
    Kernel::new("avx512", Isa::Avx512, FLOATS, |call| run(call, Isa::Avx512))
        .with_thresholds(THRESHOLDS)
        .with_paths(PATHS),
];

fn run(call: &mut Call<'_>, isa: Isa) -> Result<(), KernelError> {
    with_float!(call.types(), T => typed::<T>(call, isa))
}

fn typed<T: Numeric>(call: &mut Call<'_>, isa: Isa) -> Result<(), KernelError> {
    let [dloss, x, t, weights] = [0, 1, 2, 3].map(|i| call.input::<T>(i));
    let (p, pool) = (&downcast::<PairLossBackward>(call.problem()).forward, call.pool());
    let (outputs, _) = call.outputs();
    let [dx, dt] = outputs.map(elements::<T>);
    usable::<T>(isa)?;
    named(p.function.name, Gradients { isa, p, operands: Operands::new(p, x, t, weights), dloss, dx, dt, pool })
}

/// All of it, of a function. dt is empty if it is not wanted.
struct Gradients<'a, T> {
    isa: Isa,
    p: &'a PairLoss,
    operands: Operands<'a, T>,
    dloss: &'a [T],
    dx: &'a mut [T],
    dt: &'a mut [T],
    pool: &'a Pool,
}

impl<T: Numeric> Visit for Gradients<'_, T> {
    type Output = ();

    fn with<F: Function>(self, _: F) {
        let function = PhantomData::<F>;
        let Gradients { isa, p, operands, dloss, dx, dt, pool } = self;
        parts(pool, (dx, TASK), (dt, TASK), &mut [(); 0], |task, dx, dt, _| {
            let start = task * TASK;
            let g = if p.reduction == Reduction::None {
                let from = if fault!("pair_loss_backward.second-task") { 0 } else { start };
                Upstream::Each(&dloss[from..from + dx.len()])
            } else {
                let divisor = if fault!("pair_loss_backward.mean-of-all") { p.len() as f64 } else { p.divisor() };
                Upstream::All(T::from_f64(dloss[0].to_f64() / divisor))
            };
            T::calculate(isa, Part { function, operands, start, g, dx, dt }).expect("the CPU has the instructions");
        });
    }
}

/// The upstream gradient of an element's loss.
enum Upstream<'a, T> {
    /// One for each.
    Each(&'a [T]),
    /// The same for all.
    All(T),
}

/// Some elements.
struct Part<'a, T, F> {
    function: PhantomData<F>,
    operands: Operands<'a, T>,
    start: usize,
    g: Upstream<'a, T>,
    dx: &'a mut [T],
    dt: &'a mut [T],
}

impl<T: Numeric, F: Function> Calculation<T> for Part<'_, T, F> {
    type Output = ();

    #[inline(always)]
    fn run<N: Beside<T>>(self, n: N) {
        let Part { function: _, operands, start, g, dx, dt } = self;
        let (each, all) = match g {
            Upstream::Each(each) => (each, T::default()),
            Upstream::All(all) => (&[][..], all),
        };
        let all = n.splat(all);
        let parameter = n.constant(operands.parameter());
        for piece in operands.pieces(start, dx.len()) {
            let places = piece.first..piece.first + piece.len();
            let dx = &mut dx[places.clone()];
            let (each, dt) = (each.get(places.clone()).unwrap_or(&[]), dt.get_mut(places).unwrap_or(&mut []));
            for at in (0..dx.len()).step_by(N::WIDTH) {
                let [x, t, parameter] = piece.vectors(n, at, parameter);
                let g = if each.is_empty() { all } else { n.load_at(each, at) };
                if !dt.is_empty() {
                    n.store_at(n.mul(g, F::by_t(n, x, t, parameter)), dt, at);
                }
                n.store_at(n.mul(g, F::by_x(n, x, t, parameter)), dx, at);
            }
        }
    }
}

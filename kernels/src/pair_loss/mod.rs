//! [`pair_loss`](etalon_reference::ops::pair_loss): a function of pairs of elements, and its mean or sum. f32 and f64;
//! x and t n×c, weights c.
//!
//! ```text
//! for chunks of 4096, four to a task:  two vectors of sums of values; added, lanes by halves
//! loss = the chunks' sums, in order, in f64, over the divisor
//! ```
//! Operands are read once. Losses that stay are written in tasks of 16384. One source for all levels: the same bits on
//! each, for any number of threads.
//!
//! Error: the problem's tolerance. NaN and ∞ follow the formula. Errors: a level that the CPU lacks.
//! Workspace: a sum per chunk.

mod functions;
mod operands;

use std::marker::PhantomData;

use etalon_reference::operator::downcast;
use etalon_reference::ops::pair_loss::{CHUNK, PairLoss, Reduction};
use etalon_reference::ops::pair_loss_functions::WEIGHTED;
use etalon_reference::{Domain, Threshold};

pub(crate) use self::functions::{Function, Visit, named};
pub(crate) use self::operands::{Operands, TASK};
use crate::call::{Call, elements};
use crate::disjoint::chunks;
use crate::faults::fault;
use crate::gemm::{FLOATS, with_float};
use crate::isa::Isa;
use crate::kernel::{Kernel, KernelError};
use crate::math::{Beside, Calculation, Numeric};
use crate::pool::Pool;
use crate::softmax::lines::usable;
use crate::workspace::Workspace;

/// Chunks of a task.
const CHUNKS: usize = 4;

const THRESHOLDS: &[Threshold] = &[
    Threshold::axis("c", 16),
    Threshold::axis("c", 64),
    Threshold::bytes("x", 4 * CHUNK),
    Threshold::bytes("x", 4 * TASK),
];

/// Weights of columns, in rows that are shorter and longer than vectors and blocks of them; losses of several tasks.
pub(crate) const PATHS: &[Domain] = &[
    Domain {
        name: "weights",
        fixed: &[("f", &[WEIGHTED]), ("weights", &[1]), ("n", &[3, 70]), ("c", &[1, 15, 16, 64, 65, 80, 131])],
    },
    Domain { name: "losses that stay", fixed: &[("reduction", &[2]), ("n", &[57, 130]), ("c", &[129, 300])] },
];

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
    let [x, t, weights] = [0, 1, 2].map(|i| call.input::<T>(i));
    let (p, pool) = (downcast::<PairLoss>(call.problem()), call.pool());
    let ([loss], workspace) = call.outputs();
    usable::<T>(isa)?;
    let operands = Operands::new(p, x, t, weights);
    named(p.function.name, Losses { isa, p, operands, loss: elements(loss), pool, workspace })
}

/// All of it, of a function.
struct Losses<'a, T> {
    isa: Isa,
    p: &'a PairLoss,
    operands: Operands<'a, T>,
    loss: &'a mut [T],
    pool: &'a Pool,
    workspace: &'a mut Workspace,
}

impl<T: Numeric> Visit for Losses<'_, T> {
    type Output = ();

    fn with<F: Function>(self, _: F) {
        let function = PhantomData::<F>;
        let Losses { isa, p, operands, loss, pool, workspace } = self;
        if p.reduction == Reduction::None {
            return chunks(pool, loss, TASK, |start, loss| {
                T::calculate(isa, Each { function, operands, start, loss }).expect("the CPU has the instructions");
            });
        }
        let sums = workspace.slice::<T>(operands.len().div_ceil(CHUNK));
        chunks(pool, sums, CHUNKS, |first, sums| {
            for (index, sum) in sums.iter_mut().enumerate() {
                let start = (first + index) * CHUNK;
                let len = CHUNK.min(operands.len() - start);
                let of_chunk = Chunk { function, operands, start, len };
                *sum = T::calculate(isa, of_chunk).expect("the CPU has the instructions");
            }
        });
        let known = if fault!("pair_loss.four-chunks") { sums.len().min(CHUNKS) } else { sums.len() };
        let total: f64 = sums[..known].iter().map(|sum| sum.to_f64()).sum();
        loss[0] = T::from_f64(total / p.divisor());
    }
}

/// The losses of some elements.
struct Each<'a, T, F> {
    function: PhantomData<F>,
    operands: Operands<'a, T>,
    start: usize,
    loss: &'a mut [T],
}

impl<T: Numeric, F: Function> Calculation<T> for Each<'_, T, F> {
    type Output = ();

    #[inline(always)]
    fn run<N: Beside<T>>(self, n: N) {
        let Each { function: _, operands, start, loss } = self;
        let parameter = n.constant(operands.parameter());
        for piece in operands.pieces(start, loss.len()) {
            let loss = &mut loss[piece.first..piece.first + piece.len()];
            for at in (0..loss.len()).step_by(N::WIDTH) {
                let [x, t, parameter] = piece.vectors(n, at, parameter);
                n.store_at(F::loss(n, x, t, parameter), loss, at);
            }
        }
    }
}

/// The sum over a chunk.
struct Chunk<'a, T, F> {
    function: PhantomData<F>,
    operands: Operands<'a, T>,
    start: usize,
    len: usize,
}

impl<T: Numeric, F: Function> Calculation<T> for Chunk<'_, T, F> {
    type Output = T;

    #[inline(always)]
    fn run<N: Beside<T>>(self, n: N) -> T {
        let Chunk { function: _, operands, start, len } = self;
        operands.sum::<F, N>(n, start, len)
    }
}

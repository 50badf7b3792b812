//! Gradients of [`activation`](crate::activation): dx, and dα of PReLU. All f32.
//!
//! dx is computed like the forward function, element by element. dα is summed in the same pass over dy and x: by planes
//! a chain of at most 64 vectors for each piece of 1024 elements, by rows a chain of at most 64 rows for each channel;
//! the chains' results are added in order, in f64. The order depends on the shape alone: the same bits on every
//! instruction set and for any number of threads.
//!
//! Error: dx as the function's budget says, dα γ(69)·Σ|dy·x|. NaN as the operator says.

mod planes;
mod rows;

use etalon_reference::operator::downcast;
use etalon_reference::ops::activation::Extents;
use etalon_reference::ops::activation_backward::ActivationBackward;
use etalon_reference::ops::activation_functions::{Alpha, PRELU};
use etalon_reference::{Domain, Threshold, Types};

use crate::activation::{Function, Prelu, STREAM_BYTES, TASK, gradients};
use crate::call::{Call, elements};
use crate::faults::fault;
use crate::isa::Isa;
use crate::isa::arithmetic::{Arithmetic, with_math};
use crate::kernel::{Kernel, KernelError};
use crate::pool::Pool;
use crate::workspace::Workspace;

/// The second task, the way past the caches, the second piece of a plane, the second chunk of rows.
const THRESHOLDS: &[Threshold] = &[
    Threshold::bytes("dx", TASK * size_of::<f32>()),
    Threshold::bytes("dx", STREAM_BYTES),
    Threshold::axis("s", planes::PIECE as i64),
    Threshold::axis("n", rows::ROWS as i64),
];

/// dα is a sum over pieces or chunks, which other functions do not have; with one α, all elements are one plane.
const PATHS: &[Domain] = &[
    Domain { name: "one α", fixed: &[("f", &[PRELU]), ("c", &[1]), ("n", &[2, 3, 5]), ("s", &[3, 8, 130])] },
    Domain { name: "dα by pieces of planes", fixed: &[("f", &[PRELU]), ("s", LONG)] },
    Domain { name: "dα by chunks of rows", fixed: &[("f", &[PRELU]), ("s", &[1]), ("n", MANY)] },
];

const LONG: &[i64] = &[planes::PIECE as i64 + 1, 2 * planes::PIECE as i64, 2 * planes::PIECE as i64 + 3];
const MANY: &[i64] = &[rows::ROWS as i64 + 1, 2 * rows::ROWS as i64, 5 * rows::ROWS as i64 + 3];

/// The kernels, weakest first.
pub static KERNELS: &[Kernel] = &[
    Kernel::new("scalar", Isa::Scalar, &[Types::F32], |call| run(call, Isa::Scalar)),
    Kernel::new("avx2", Isa::Avx2, &[Types::F32], |call| run(call, Isa::Avx2))
        .with_thresholds(THRESHOLDS)
        .with_paths(PATHS),
    Kernel::new("avx512", Isa::Avx512, &[Types::F32], |call| run(call, Isa::Avx512))
        .with_thresholds(THRESHOLDS)
        .with_paths(PATHS),
];

/// The operands.
#[derive(Debug)]
struct Backward<'a> {
    /// Gradient of the result.
    dy: &'a [f32],
    /// The argument; not looked at where the derivative is one of the result.
    x: &'a [f32],
    /// An α for each channel; PReLU's alone.
    alpha: &'a [f32],
    /// The result; looked at where the derivative is one of it.
    y: &'a [f32],
    /// Gradient of the argument, written.
    dx: &'a mut [f32],
    /// Gradient of α, written; PReLU's alone.
    dalpha: &'a mut [f32],
}

/// The gradients, with the instructions of `isa`.
fn backward(
    problem: &ActivationBackward,
    isa: Isa,
    operands: Backward<'_>,
    pool: &Pool,
    workspace: &mut Workspace,
) -> Result<(), KernelError> {
    let Backward { dy, x, alpha, y, dx, dalpha } = operands;
    let function = problem.function;
    let (of, channels) = (if function.of_output() { y } else { x }, function.alpha == Alpha::Channels);
    if !channels {
        return gradients(isa, function.name, problem.alpha as f32, [dy, of], dx, pool);
    }
    let done = match problem.extents {
        extents @ Extents { s: 1, c: 2.., .. } => {
            with_math(isa, rows::Rows { extents, dy, x: of, alpha, dx, dalpha, pool, workspace })
        }
        // With one channel, all elements lie side by side.
        Extents { n, c, s } => {
            let (n, s) = if c == 1 { (1, n * s) } else { (n, s) };
            with_math(
                isa,
                planes::Planes { extents: Extents { n, c, s }, dy, x: of, alpha, dx, dalpha, pool, workspace },
            )
        }
    };
    done.map_err(KernelError::Isa)
}

/// dx, and `sum` with the term of dα added: dy·x where x is not above 0.
#[inline(always)]
fn step<L: Arithmetic>(l: L, sum: L::V, dy: L::V, x: L::V, alpha: L::V) -> (L::V, L::V) {
    let zero = l.constant(0.0);
    let term = l.select(l.less(zero, x), zero, l.mul(dy, x));
    (Prelu::gradient(l, dy, x, alpha), l.add(sum, term))
}

/// dα: the results of chains, in order. `sums` has `each` of them for each channel in turn, again and again.
fn fold(sums: &[f32], each: usize, totals: &mut [f64], dalpha: &mut [f32]) {
    totals.fill(0.0);
    let turns = if fault!("activation_backward.four-images") { 4 * totals.len() } else { usize::MAX };
    for (turn, sums) in sums.chunks_exact(each.max(1)).enumerate().take(turns) {
        let total = &mut totals[turn % dalpha.len()];
        *total = sums.iter().fold(*total, |total, &sum| total + f64::from(sum));
    }
    dalpha.iter_mut().zip(totals).for_each(|(dalpha, total)| *dalpha = *total as f32);
}

fn run(call: &mut Call<'_>, isa: Isa) -> Result<(), KernelError> {
    let problem: &ActivationBackward = downcast(call.problem());
    let [dy, x, alpha, y] = [0, 1, 2, 3].map(|i| call.input::<f32>(i));
    let pool = call.pool();
    let (outputs, workspace) = call.outputs();
    let [dx, dalpha] = outputs.map(elements);
    backward(problem, isa, Backward { dy, x, alpha, y, dx, dalpha }, pool, workspace)
}

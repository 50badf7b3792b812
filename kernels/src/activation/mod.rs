//! Activation functions: `y = f(x)`, element by element, and PReLU with an α for each channel. All f32.
//!
//! x and y are n×c×s without gaps. One source for all instruction sets, over
//! [`Arithmetic`](crate::isa::arithmetic::Arithmetic): the same bits on all of them, for any number of threads. Results
//! of 1 MiB and more are written past the caches.
//!
//! Error: the budget of the function's row in [`FUNCTIONS`](etalon_reference::ops::activation_functions::FUNCTIONS),
//! over all 2³² arguments. NaN stays NaN.

mod channels;
mod flat;
mod functions;

use etalon_reference::operator::downcast;
use etalon_reference::ops::activation::{Activation, Extents};
use etalon_reference::ops::activation_functions::{Alpha, PRELU};
use etalon_reference::{Domain, Threshold, Types};

use self::channels::Channels;
pub use self::flat::What;
pub(crate) use self::flat::{STREAM_BYTES, TASK};
pub(crate) use self::flat::{gradients, of_each, values};
pub(crate) use self::functions::{Function, Prelu};
use crate::call::Call;
use crate::isa::Isa;
use crate::isa::arithmetic::with_math;
use crate::kernel::{Kernel, KernelError};
use crate::pool::Pool;

/// The second task, and the way past the caches.
const THRESHOLDS: &[Threshold] =
    &[Threshold::bytes("y", TASK * size_of::<f32>()), Threshold::bytes("y", STREAM_BYTES), Threshold::axis("s", 16)];

/// One function of twelve has αs, and with one α takes the way of the others.
const PATHS: &[Domain] = &[
    Domain { name: "one α", fixed: &[("f", &[PRELU]), ("c", &[1]), ("n", &[2, 3, 5]), ("s", &[3, 8, 130])] },
    Domain { name: "αs by rows", fixed: &[("f", &[PRELU]), ("c", &[3, 17, 33]), ("n", &[2, 5]), ("s", &[1])] },
    Domain { name: "αs by planes", fixed: &[("f", &[PRELU]), ("c", &[3, 5]), ("n", &[2, 5]), ("s", &[3, 17, 130])] },
];

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

/// `y = f(x)` with the instructions of `isa`. `alpha` is empty but for PReLU.
fn forward(
    problem: &Activation,
    isa: Isa,
    x: &[f32],
    alpha: &[f32],
    y: &mut [f32],
    pool: &Pool,
) -> Result<(), KernelError> {
    let channels = problem.function.alpha == Alpha::Channels;
    match problem.extents {
        extents @ Extents { c, .. } if channels && c != 1 => {
            let work = Channels { extents, x, alpha, y, pool };
            with_math(isa, work).map_err(KernelError::Isa)
        }
        _ => {
            let alpha = if channels { alpha[0] } else { problem.alpha as f32 };
            values(isa, problem.function.name, alpha, x, y, pool)
        }
    }
}

fn run(call: &mut Call<'_>, isa: Isa) -> Result<(), KernelError> {
    let problem: &Activation = downcast(call.problem());
    let [x, alpha] = [0, 1].map(|i| call.input::<f32>(i));
    let pool = call.pool();
    forward(problem, isa, x, alpha, call.output(0), pool)
}

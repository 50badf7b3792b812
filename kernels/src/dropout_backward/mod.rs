//! [`dropout_backward`](etalon_reference::ops::dropout_backward): `dx = dy·(mask ? scale : 0)`. f32 and f64; the mask is one byte
//! per element, of which 0 is false.
//!
//! One source for all instruction sets, each product rounded once. NaN: that of a dropped element gives NaN. Errors: a level
//! that the CPU lacks.

use etalon_reference::dtype::Flag;
use etalon_reference::operator::downcast;
use etalon_reference::ops::dropout_backward::DropoutBackward;
use etalon_reference::{Threshold, Types};

use crate::call::Call;
use crate::disjoint::chunks;
use crate::dropout::{Real, scale};
use crate::faults::fault;
use crate::isa::Isa;
use crate::isa::wide::{Wide, Work, with_lanes};
use crate::kernel::{Kernel, KernelError};
use crate::pool::Pool;

const FLOATS: &[Types] = &[Types::F32, Types::F64];
/// Elements of a task.
const TASK: usize = 16 * 1024;
const THRESHOLDS: &[Threshold] = &[Threshold::axis("n", TASK as i64)];

/// The kernels, weakest first.
pub static KERNELS: &[Kernel] = &[
    Kernel::new("scalar", Isa::Scalar, FLOATS, |call| run(call, Isa::Scalar)).with_thresholds(THRESHOLDS),
    Kernel::new("avx2", Isa::Avx2, FLOATS, |call| run(call, Isa::Avx2)).with_thresholds(THRESHOLDS),
    Kernel::new("avx512", Isa::Avx512, FLOATS, |call| run(call, Isa::Avx512)).with_thresholds(THRESHOLDS),
];

/// The operands.
struct Operands<'a, T> {
    /// Upstream gradient.
    dy: &'a [T],
    /// 0 where an element was dropped.
    mask: &'a [Flag],
    /// The gradient.
    dx: &'a mut [T],
}

struct Step<'a, T> {
    operands: Operands<'a, T>,
    scale: T,
    pool: &'a Pool,
}

impl<T: Real> Work for Step<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<L: Wide>(self, l: L) {
        let Step { operands: Operands { dy, mask, dx }, scale, pool } = self;
        chunks(pool, dx, TASK, |start, dx| {
            let end = start + dx.len();
            let from = if fault!("dropout_backward.second-mask") { 0 } else { start };
            l.enter(Task { dy: &dy[start..end], mask: &mask[from..][..end - start], dx, scale });
        });
    }
}

struct Task<'a, T> {
    dy: &'a [T],
    mask: &'a [Flag],
    dx: &'a mut [T],
    scale: T,
}

impl<T: Real> Work for Task<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<L: Wide>(self, _: L) {
        let Task { dy, mask, dx, scale } = self;
        for ((dy, mask), dx) in dy.iter().zip(mask).zip(dx) {
            let scale = if fault!("dropout_backward.unscaled") { T::from_f64(1.0) } else { scale };
            *dx = *dy * if mask.0 != 0 { scale } else { T::default() };
        }
    }
}

fn run(call: &mut Call<'_>, isa: Isa) -> Result<(), KernelError> {
    match call.types() {
        Types::F64 => typed::<f64>(call, isa),
        _ => typed::<f32>(call, isa),
    }
}

fn typed<T: Real>(call: &mut Call<'_>, isa: Isa) -> Result<(), KernelError> {
    let (dy, mask) = (call.input::<T>(0), call.input::<Flag>(1));
    let (problem, pool) = (downcast::<DropoutBackward>(call.problem()), call.pool());
    let operands = Operands { dy, mask, dx: call.output(0) };
    with_lanes(isa, Step { operands, scale: scale(&problem.dropout), pool }).map_err(KernelError::Isa)
}

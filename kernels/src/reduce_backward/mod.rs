//! [`reduce_backward`](etalon_reference::ops::reduce_backward): the gradients of [`reduce`](crate::reduce). f32 and
//! f64; dx n×c×s, dy, y and places n×s.
//!
//! ```text
//! for lines of dx:  dy, dy/c, dy·sign x or dy·(x/y), each of s; where s = 1, each of a row
//! max, min:         zeros, then dy at its place
//! ```
//! Tasks are whole lines or rows. One source for all levels: the same bits on each, for any number of threads.
//!
//! Error: the problem's tolerance. NaN and ∞ follow the formula. Errors: a place outside the dimension; a level that
//! the CPU lacks. Workspace: none.

use etalon_reference::Threshold;
use etalon_reference::operator::downcast;
use etalon_reference::ops::activation::Extents;
use etalon_reference::ops::reduce::{Of, Reduce};
use etalon_reference::ops::reduce_backward::ReduceBackward;

use crate::call::{Call, elements};
use crate::disjoint::chunks;
use crate::faults::fault;
use crate::gemm::{FLOATS, with_float};
use crate::isa::Isa;
use crate::kernel::{Kernel, KernelError};
use crate::math::{Beside, Calculation, Numeric};
use crate::softmax::lines::{TASK, usable};

const THRESHOLDS: &[Threshold] =
    &[Threshold::axis("c", 16), Threshold::axis("s", 16), Threshold::bytes("dx", 4 * TASK)];

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
    let [dy, x, y] = [0, 1, 2].map(|i| call.input::<T>(i));
    let places = call.input::<i64>(3);
    let (p, pool) = (&downcast::<ReduceBackward>(call.problem()).forward, call.pool());
    let ([dx], _) = call.outputs();
    usable::<T>(isa)?;
    let Extents { c, s, .. } = p.extents;
    if let Some(&found) = places.iter().find(|place| !(0..c as i64).contains(place)) {
        return Err(KernelError::OutOfRange { operand: "index", found, end: c });
    }
    // Rows where s = 1, lines of a plane elsewhere: whole planes where places are looked for.
    let unit = if s == 1 || !places.is_empty() { c * s } else { s }.max(1);
    let task = (TASK / unit).max(1) * unit;
    chunks(pool, elements::<T>(dx), task, |start, dx| {
        let work = Part { p, dy, x: if x.is_empty() { x } else { &x[start..start + dx.len()] }, y, places, start, dx };
        T::calculate(isa, work).expect("the CPU has the instructions");
    });
    Ok(())
}

/// Some elements: whole rows or lines, or planes where there are places.
struct Part<'a, T> {
    p: &'a Reduce,
    dy: &'a [T],
    /// As long as dx, or empty.
    x: &'a [T],
    y: &'a [T],
    places: &'a [i64],
    start: usize,
    dx: &'a mut [T],
}

impl<T: Numeric> Calculation<T> for Part<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<N: Beside<T>>(self, n: N) {
        let Part { p, dy, x, y, places, start, dx } = self;
        let Extents { c, s, .. } = p.extents;
        if !places.is_empty() {
            return scattered(dy, places, start, (c, s), dx);
        }
        let count = n.constant(c as f64);
        let line = if s == 1 { c } else { s };
        for (index, dx) in dx.chunks_exact_mut(line).enumerate() {
            let at = start + index * line;
            let x = if x.is_empty() { x } else { &x[index * line..(index + 1) * line] };
            // The results of this line: one, or one for each element.
            let own = at / (c * s) * s;
            let (dy, y) =
                if s == 1 { (&dy[own..=own], y.get(own..=own)) } else { (&dy[own..own + s], y.get(own..own + s)) };
            let y = y.unwrap_or_default();
            let of = |of: &[T], at: usize| if s == 1 { n.splat(of[0]) } else { n.load_at(of, at) };
            for at in (0..line).step_by(N::WIDTH) {
                let dy = of(dy, at);
                let value = match p.of {
                    Of::Mean if fault!("reduce_backward.mean-of-one") => dy,
                    Of::Mean => n.div(dy, count),
                    Of::L1 => n.mul(dy, sign(n, n.load_at(x, at))),
                    Of::L2 => {
                        let y = of(y, at);
                        let quotient = n.div(n.load_at(x, at), y);
                        // Where y is 0, so is the gradient; NaN stays.
                        let nothing = n.where_less(n.constant(0.0), n.abs(y), quotient, n.mul(y, n.constant(0.0)));
                        n.mul(dy, nothing)
                    }
                    _ => dy,
                };
                n.store_at(value, dx, at);
            }
        }
    }
}

/// −1, 0 or 1; NaN stays.
#[inline(always)]
fn sign<T, N: Beside<T>>(n: N, x: N::V) -> N::V {
    let (zero, one) = (n.constant(0.0), n.one());
    n.where_less(zero, x, one, n.where_less(x, zero, n.neg(one), x))
}

/// Planes of zeros, with dy at its places.
#[inline(always)]
fn scattered<T: Numeric>(dy: &[T], places: &[i64], start: usize, (c, s): (usize, usize), dx: &mut [T]) {
    dx.fill(T::default());
    for (index, dx) in dx.chunks_exact_mut(c * s).enumerate() {
        let first = (start / (c * s) + index) * s;
        for column in 0..s {
            let from = if fault!("reduce_backward.place-of-first") { first } else { first + column };
            dx[places[from] as usize * s + column] = dy[first + column];
        }
    }
}

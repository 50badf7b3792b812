//! One function over all elements, with one α: sixteen lanes at a time, in tasks of one length, past the caches if the
//! result is large.

use super::functions::{Function, Gradient, Value, Visit, named};
use crate::disjoint::chunks;
use crate::isa::Isa;
use crate::isa::arithmetic::{Arithmetic, Compute, Math, with_math};
use crate::kernel::KernelError;
use crate::math::{Rule, each, evaluate};
use crate::pool::Pool;

/// Elements of a task.
pub const TASK: usize = 16 * 1024;
/// Bytes of a result from which on it is written past the caches.
pub const STREAM_BYTES: usize = 1 << 20;

/// `y = f(x, α)`. x is as long as y.
///
/// # Errors
/// [`KernelError`] if there is no such function or the CPU lacks the instructions.
pub fn values(isa: Isa, function: &str, alpha: f32, x: &[f32], y: &mut [f32], pool: &Pool) -> Result<(), KernelError> {
    chosen(function, Values(Flat { isa, alpha, inputs: [x], out: y, pool }))
}

/// `dx = dy·f′`, of x or y as the function's row says. The inputs, dy first, are as long as dx.
///
/// # Errors
/// [`KernelError`] if there is no such function or the CPU lacks the instructions.
pub fn gradients(
    isa: Isa,
    function: &str,
    alpha: f32,
    inputs: [&[f32]; 2],
    dx: &mut [f32],
    pool: &Pool,
) -> Result<(), KernelError> {
    chosen(function, Gradients(Flat { isa, alpha, inputs, out: dx, pool }))
}

/// What is asked of a function of one argument.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// Its value.
    Value,
    /// Its derivative, of x or y as the function's row says.
    Slope,
}

/// A function, or its derivative, of each argument, on this thread. `x` is as long as `out`.
///
/// # Errors
/// If there is no such function or the CPU lacks the instructions.
pub fn of_each(isa: Isa, function: &str, what: What, alpha: f32, x: &[f32], out: &mut [f32]) -> Result<(), String> {
    let done = named(function, OfEach { isa, what, alpha, x, out });
    done.unwrap_or_else(|| Err(format!("no function `{function}`")))
}

struct OfEach<'a> {
    isa: Isa,
    what: What,
    alpha: f32,
    x: &'a [f32],
    out: &'a mut [f32],
}

impl Visit for OfEach<'_> {
    type Output = Result<(), String>;

    fn with<F: Function>(self, function: F) -> Result<(), String> {
        let OfEach { isa, what, alpha, x, out } = self;
        match what {
            What::Value => evaluate(isa, Value(function), [x], alpha, out),
            What::Slope => evaluate(isa, SlopeOf(function), [x], alpha, out),
        }
    }
}

/// The gradient for an upstream gradient of 1.
#[derive(Clone, Copy)]
struct SlopeOf<F>(F);

impl<F: Function> Rule<1> for SlopeOf<F> {
    #[inline(always)]
    fn at<L: Arithmetic>(l: L, [of]: [L::V; 1], alpha: L::V) -> L::V {
        F::gradient(l, l.constant(1.0), of, alpha)
    }
}

fn chosen(function: &str, visit: impl Visit<Output = Result<(), String>>) -> Result<(), KernelError> {
    let done = named(function, visit).ok_or_else(|| KernelError::Unsupported(format!("no function `{function}`")))?;
    done.map_err(KernelError::Isa)
}

struct Flat<'a, const K: usize> {
    isa: Isa,
    alpha: f32,
    inputs: [&'a [f32]; K],
    out: &'a mut [f32],
    pool: &'a Pool,
}

struct Values<'a>(Flat<'a, 1>);

impl Visit for Values<'_> {
    type Output = Result<(), String>;

    fn with<F: Function>(self, function: F) -> Result<(), String> {
        with_math(self.0.isa, Tasks(Value(function), self.0))
    }
}

struct Gradients<'a>(Flat<'a, 2>);

impl Visit for Gradients<'_> {
    type Output = Result<(), String>;

    fn with<F: Function>(self, function: F) -> Result<(), String> {
        with_math(self.0.isa, Tasks(Gradient(function), self.0))
    }
}

/// Everything, split over the pool.
struct Tasks<'a, R, const K: usize>(R, Flat<'a, K>);

impl<R: Rule<K>, const K: usize> Compute for Tasks<'_, R, K> {
    type Output = ();

    #[inline(always)]
    fn run<L: Math>(self, l: L) {
        let Tasks(rule, Flat { alpha, inputs, out, pool, .. }) = self;
        let stream = size_of_val(out) >= STREAM_BYTES;
        chunks(pool, out, TASK, |start, out| {
            each(l, rule, inputs.map(|input| &input[start..start + out.len()]), alpha, out, stream);
        });
    }
}

//! [`mixed_precision_sgd`](etalon_reference::ops::mixed_precision_sgd): one step of training with masters and momentum of
//! f32, gradients and weights of bf16 or f16, and a loss scale.
//!
//! ```text
//! for tasks of gradients:  is one of them not finite?            reads 2 of the 20 bytes per weight
//! if none:  for tasks:  u = g/scale + decay·w;  v = momentum·v + u;  w −= rate·v;  h = w, rounded
//! else:     for tasks:  h = w, rounded
//! ```
//! The check comes first, over all gradients: nothing may be written before the last one is known to be good. One source
//! for all instruction sets; a quotient and fused multiply-adds per weight, so that all levels and any number of threads
//! give equal bits.
//!
//! Error: that of the definition. NaN: in a gradient, an overflow; elsewhere by the formula. Errors: a scale that is no
//! positive finite number, a count outside its range, a level that the CPU lacks; then nothing is written.
//!
//! Workspace: a byte per task.

use etalon_reference::operator::downcast;
use etalon_reference::ops::mixed_precision_sgd::{F32BF16, MixedPrecisionSgd, Momentum, TYPES};
use etalon_reference::{Domain, Threshold};

use crate::call::{Call, elements};
use crate::disjoint::{chunks, in_step};
use crate::faults::fault;
use crate::isa::Isa;
use crate::isa::narrow::{Convert, Job, Narrow, enter, with_converters};
use crate::isa::wide::LANES;
use crate::kernel::{Kernel, KernelError};
use crate::pool::Pool;

/// Weights of a task.
const TASK: usize = 16 * 1024;
const THRESHOLDS: &[Threshold] = &[Threshold::axis("n", LANES as i64), Threshold::axis("n", TASK as i64)];
/// Where the scale is doubled, where tasks other than the first decide.
const PATHS: &[Domain] = &[
    Domain { name: "the scale grows", fixed: &[("interval", &[1])] },
    Domain { name: "several tasks", fixed: &[("n", &[33_000, 40_001])] },
    Domain { name: "nesterov in tasks", fixed: &[("momentum", &[2]), ("n", &[20_000]), ("interval", &[2])] },
];

/// The kernels, weakest first.
pub static KERNELS: &[Kernel] = &[
    Kernel::new("scalar", Isa::Scalar, TYPES, |call| run(call, Isa::Scalar)),
    #[cfg(target_arch = "x86_64")]
    Kernel::new("avx2", Isa::Avx2, TYPES, |call| run(call, Isa::Avx2)).with_thresholds(THRESHOLDS).with_paths(PATHS),
    #[cfg(target_arch = "x86_64")]
    Kernel::new("avx512", Isa::Avx512, TYPES, |call| run(call, Isa::Avx512))
        .with_thresholds(THRESHOLDS)
        .with_paths(PATHS),
];

/// The operands that are long.
struct All<'a, H> {
    g: &'a [H],
    w: &'a mut [f32],
    v: &'a mut [f32],
    h: &'a mut [H],
    step: Step,
    /// A byte per task.
    bad: &'a mut [u8],
    pool: &'a Pool,
}

/// What every weight is updated with.
#[derive(Clone, Copy)]
struct Step {
    scale: f32,
    rate: f32,
    momentum: Option<f32>,
    nesterov: bool,
    decay: Option<f32>,
}

impl<H: Narrow> Job for All<'_, H> {
    /// Whether all gradients are finite.
    type Output = bool;
    fn run<L: Convert>(self, l: L) -> bool {
        let All { g, w, v, h, step, bad, pool } = self;
        chunks(pool, bad, 1, |task, bad| {
            let last = if fault!("mixed_precision_sgd.second-task") { TASK } else { g.len() };
            let g = &g[task * TASK..g.len().min((task + 1) * TASK)];
            bad[0] = u8::from(task * TASK < last && enter(l, Overflow { g }));
        });
        let finite = bad.iter().all(|&bad| bad == 0);
        in_step(pool, TASK, w, v, h, |start, w, v, h| match finite {
            true => enter(l, Update { g: &g[start..][..w.len()], w, v, h, step }),
            false => enter(l, Round { w, h }),
        });
        finite
    }
}

/// Whether a gradient is NaN or infinite.
struct Overflow<'a, H> {
    g: &'a [H],
}

impl<H: Narrow> Job for Overflow<'_, H> {
    type Output = bool;
    #[inline(always)]
    fn run<L: Convert>(self, l: L) -> bool {
        let (whole, rest) = self.g.as_chunks::<LANES>();
        let mut found = [0u32; LANES];
        for g in whole {
            let mut lanes = [0f32; LANES];
            l.store(H::widen(l, g), &mut lanes);
            for (found, g) in found.iter_mut().zip(lanes) {
                *found |= u32::from(g.abs() <= f32::MAX) ^ 1;
            }
        }
        let mut any = 0;
        for found in found {
            any |= found;
        }
        for g in rest {
            any |= u32::from(!g.widened().is_finite());
        }
        any != 0
    }
}

/// The masters, rounded.
struct Round<'a, H> {
    w: &'a [f32],
    h: &'a mut [H],
}

impl<H: Narrow> Job for Round<'_, H> {
    type Output = ();
    #[inline(always)]
    fn run<L: Convert>(self, l: L) {
        let (whole, rest) = self.w.as_chunks::<LANES>();
        let (to, last) = self.h.as_chunks_mut::<LANES>();
        for (w, h) in whole.iter().zip(to) {
            H::narrow(l, l.load(w), h);
        }
        for (w, h) in rest.iter().zip(last) {
            *h = H::rounded(*w);
        }
    }
}

/// A step of some weights.
struct Update<'a, H> {
    g: &'a [H],
    w: &'a mut [f32],
    v: &'a mut [f32],
    h: &'a mut [H],
    step: Step,
}

impl<H: Narrow> Job for Update<'_, H> {
    type Output = ();
    #[inline(always)]
    fn run<L: Convert>(self, l: L) {
        let Update { g, w, v, h, step } = self;
        let (g, last_g) = g.as_chunks::<LANES>();
        let (w, last_w) = w.as_chunks_mut::<LANES>();
        let (h, last_h) = h.as_chunks_mut::<LANES>();
        let (v, last_v) = v.as_chunks_mut::<LANES>();
        match step.momentum {
            Some(_) => {
                for (((g, w), h), v) in g.iter().zip(w).zip(h).zip(v) {
                    vector(l, step, g, w, v, h);
                }
            }
            None => {
                let mut v = [0.0; LANES];
                for ((g, w), h) in g.iter().zip(w).zip(h) {
                    vector(l, step, g, w, &mut v, h);
                }
            }
        }
        let n = last_w.len();
        if n > 0 {
            let (mut g, mut w, mut v, mut h) =
                ([H::default(); LANES], [0.0; LANES], [0.0; LANES], [H::default(); LANES]);
            g[..n].copy_from_slice(last_g);
            w[..n].copy_from_slice(last_w);
            v[..last_v.len()].copy_from_slice(last_v);
            vector(l, step, &g, &mut w, &mut v, &mut h);
            last_w.copy_from_slice(&w[..n]);
            last_v.copy_from_slice(&v[..last_v.len()]);
            last_h.copy_from_slice(&h[..n]);
        }
    }
}

#[inline(always)]
fn vector<L: Convert, H: Narrow>(
    l: L,
    step: Step,
    g: &[H; LANES],
    w: &mut [f32; LANES],
    v: &mut [f32; LANES],
    h: &mut [H; LANES],
) {
    let mut u = [0f32; LANES];
    l.store(H::widen(l, g), &mut u);
    for u in &mut u {
        *u /= step.scale;
    }
    let (mut u, before) = (l.load(&u), l.load(w));
    if let Some(decay) = step.decay {
        u = l.fma(l.splat(decay), before, u);
    }
    let mut moved = u;
    if let Some(momentum) = step.momentum {
        let momentum = l.splat(momentum);
        let old = l.load(v);
        let next = l.fma(momentum, old, u);
        l.store(next, v);
        let ahead = if fault!("mixed_precision_sgd.nesterov-of-old") { old } else { next };
        moved = if step.nesterov { l.fma(momentum, ahead, u) } else { next };
    }
    let after = l.fma(l.splat(-step.rate), moved, before);
    l.store(after, w);
    H::narrow(l, after, h);
}

fn run(call: &mut Call<'_>, isa: Isa) -> Result<(), KernelError> {
    match call.types() {
        F32BF16 => typed::<half::bf16>(call, isa),
        _ => typed::<half::f16>(call, isa),
    }
}

fn typed<H: Narrow>(call: &mut Call<'_>, isa: Isa) -> Result<(), KernelError> {
    let p: &MixedPrecisionSgd = downcast(call.problem());
    let (g, pool) = (call.input::<H>(2), call.pool());
    let [rate, momentum, decay] = [5, 6, 7].map(|i| call.input::<f32>(i).first().copied());
    let ([w, v, h, scale, good], workspace) = call.outputs();
    let (scale, good) = (&mut elements::<f32>(scale)[0], &mut elements::<i32>(good)[0]);
    if !(*scale > 0.0 && scale.is_finite()) {
        let (found, rule) = (scale.to_string(), "a positive finite number");
        return Err(KernelError::BadValue { operand: "scale", found, rule });
    }
    if !(0..p.interval as i64).contains(&i64::from(*good)) {
        return Err(KernelError::OutOfRange { operand: "good", found: (*good).into(), end: p.interval });
    }
    let nesterov = p.momentum == Momentum::Nesterov;
    let step = Step { scale: *scale, rate: rate.unwrap_or_default(), momentum, nesterov, decay };
    let bad = workspace.slice::<u8>(p.n.div_ceil(TASK));
    let all = All { g, w: elements(w), v: elements(v), h: elements(h), step, bad, pool };
    let finite = with_converters(isa, all).map_err(KernelError::Isa)?;
    (*scale, *good) = next(p, *scale, *good, finite);
    Ok(())
}

/// Scale and count behind a step.
fn next(p: &MixedPrecisionSgd, scale: f32, good: i32, finite: bool) -> (f32, i32) {
    if !finite {
        return ((scale / 2.0).max(f32::MIN_POSITIVE), 0);
    }
    if (good as usize) + 1 < p.interval {
        return (scale, good + 1);
    }
    let count = if fault!("mixed_precision_sgd.count-goes-on") { good + 1 } else { 0 };
    (if (2.0 * scale).is_finite() { 2.0 * scale } else { scale }, count)
}

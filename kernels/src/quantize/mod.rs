//! [`quantize`](etalon_reference::ops::quantize): `q = saturate(rint(x/scale) + zero)`. x and scales of f32 or f16, q and
//! zero points of u8 or s8; a scale per tensor, row or group.
//!
//! One source for all instruction sets. The quotient is cut to the range before it is rounded, so that adding 1.5·2²³
//! rounds it to an integer, ties to even, and leaves that integer in the lowest bits. Error: none; a NaN counts as −∞.
//! Errors: a level that the CPU lacks.

use etalon_reference::operator::downcast;
use etalon_reference::ops::quantize::{F16S8, F32U8, Per, Quantize, Scheme, TYPES};
use etalon_reference::{Element, Threshold};

use crate::call::{Call, elements};
use crate::disjoint::chunks;
use crate::faults::fault;
use crate::isa::Isa;
use crate::isa::narrow::{Convert, Job, Narrow, enter, with_converters};
use crate::isa::wide::LANES;
use crate::kernel::{Kernel, KernelError};
use crate::pool::Pool;

/// Elements of a task, about.
const TASK: usize = 16 * 1024;
const THRESHOLDS: &[Threshold] =
    &[Threshold::axis("cols", LANES as i64), Threshold::axis("group", LANES as i64), Threshold::bytes("q", TASK)];

/// The kernels, weakest first.
pub static KERNELS: &[Kernel] = &[
    Kernel::new("scalar", Isa::Scalar, TYPES, |call| run(call, Isa::Scalar)),
    #[cfg(target_arch = "x86_64")]
    Kernel::new("avx2", Isa::Avx2, TYPES, |call| run(call, Isa::Avx2)).with_thresholds(THRESHOLDS),
    #[cfg(target_arch = "x86_64")]
    Kernel::new("avx512", Isa::Avx512, TYPES, |call| run(call, Isa::Avx512)).with_thresholds(THRESHOLDS),
];

/// An integer of 8 bits.
pub trait Byte: Element + Into<i32> {
    /// Its least value.
    const LEAST: i32;
    /// From the lowest bits.
    fn low(bits: u32) -> Self;
}

impl Byte for u8 {
    const LEAST: i32 = 0;
    #[inline(always)]
    fn low(bits: u32) -> u8 {
        bits as u8
    }
}

impl Byte for i8 {
    const LEAST: i32 = -128;
    #[inline(always)]
    fn low(bits: u32) -> i8 {
        bits as i8
    }
}

/// Elements of neighbouring places in a row that share a scale.
pub fn of_row(scheme: &Scheme) -> usize {
    match scheme.per {
        Per::Group(group) => group,
        _ => scheme.cols.max(1),
    }
}

/// The number of the scale of group `group` of row `row`.
pub fn place(scheme: &Scheme, row: usize, group: usize) -> usize {
    match scheme.per {
        Per::Tensor => 0,
        Per::Row => row,
        Per::Group(_) => row * scheme.scales_of_row() + group,
    }
}

/// Rows that one task takes.
pub fn rows_of_task(scheme: &Scheme) -> usize {
    (TASK / scheme.cols.max(1)).max(1)
}

struct All<'a, X, Q> {
    scheme: &'a Scheme,
    x: &'a [X],
    scale: &'a [X],
    zero: &'a [Q],
    q: &'a mut [Q],
    pool: &'a Pool,
}

impl<X: Narrow, Q: Byte> Job for All<'_, X, Q> {
    type Output = ();
    fn run<L: Convert>(self, l: L) {
        let All { scheme, x, scale, zero, q, pool } = self;
        if q.is_empty() {
            return;
        }
        let (cols, len) = (scheme.cols, of_row(scheme));
        chunks(pool, q, rows_of_task(scheme) * cols, |start, q| {
            for (i, q) in q.chunks_exact_mut(cols).enumerate() {
                let row = start / cols + i;
                let x = &x[row * cols..][..cols];
                for (group, (x, q)) in x.chunks(len).zip(q.chunks_mut(len)).enumerate() {
                    let of = if fault!("quantize.fifth-group") { group.min(3) } else { group };
                    let at = place(scheme, row, of);
                    enter(
                        l,
                        Group { x, scale: scale[at].widened(), zero: zero.get(at).copied().unwrap_or_default(), q },
                    );
                }
            }
        });
    }
}

/// What shares a scale.
struct Group<'a, X, Q> {
    x: &'a [X],
    scale: f32,
    zero: Q,
    q: &'a mut [Q],
}

impl<X: Narrow, Q: Byte> Job for Group<'_, X, Q> {
    type Output = ();
    #[inline(always)]
    fn run<L: Convert>(self, l: L) {
        let Group { x, scale, zero, q } = self;
        let whole = x.len() / LANES * LANES;
        for (x, q) in x.as_chunks::<LANES>().0.iter().zip(q.as_chunks_mut::<LANES>().0) {
            vector(l, x, scale, zero, q);
        }
        if whole == x.len() || fault!("quantize.last-of-group") {
            return;
        }
        match (x.last_chunk(), q.last_chunk_mut()) {
            // Some of them once more.
            (Some(x), Some(q)) => vector(l, x, scale, zero, q),
            _ => {
                let (mut all, mut to) = ([X::default(); LANES], [Q::default(); LANES]);
                all[..x.len()].copy_from_slice(x);
                vector(l, &all, scale, zero, &mut to);
                q.copy_from_slice(&to[..x.len()]);
            }
        }
    }
}

/// 1.5·2²³: what is added to it and lies between −2²² and 2²² is rounded to an integer.
const MAGIC: f32 = 12_582_912.0;

#[inline(always)]
fn vector<L: Convert, X: Narrow, Q: Byte>(l: L, x: &[X; LANES], scale: f32, zero: Q, q: &mut [Q; LANES]) {
    let mut lanes = [0f32; LANES];
    l.store(X::widen(l, x), &mut lanes);
    let zero: i32 = zero.into();
    let (low, high) = ((Q::LEAST - zero) as f32, (Q::LEAST + 255 - zero) as f32);
    for (q, x) in q.iter_mut().zip(lanes) {
        let quotient = x / scale;
        // NaN is not above the lower end.
        let above = if quotient > low { quotient } else { low };
        let cut = if above < high { above } else { high };
        *q = Q::low((cut + MAGIC).to_bits().wrapping_add(zero as u32));
    }
}

fn run(call: &mut Call<'_>, isa: Isa) -> Result<(), KernelError> {
    match call.types() {
        F16S8 => typed::<half::f16, i8>(call, isa),
        F32U8 => typed::<f32, u8>(call, isa),
        _ => typed::<f32, i8>(call, isa),
    }
}

fn typed<X: Narrow, Q: Byte>(call: &mut Call<'_>, isa: Isa) -> Result<(), KernelError> {
    let Quantize { scheme } = downcast(call.problem());
    let ([x, scale], zero, pool) = ([0, 1].map(|i| call.input::<X>(i)), call.input::<Q>(2), call.pool());
    let ([q], _) = call.outputs();
    with_converters(isa, All { scheme, x, scale, zero, q: elements(q), pool }).map_err(KernelError::Isa)
}

//! [`dequantize`](etalon_reference::ops::dequantize): `y = (q − zero)·scale`. q and zero points of u8 or s8, scales and y
//! of f32 or f16; a scale per tensor, row or group.
//!
//! One source for all instruction sets. The difference is exact, the product is rounded once. Error: none. Errors: a
//! level that the CPU lacks.

use etalon_reference::Threshold;
use etalon_reference::operator::downcast;
use etalon_reference::ops::dequantize::Dequantize;
use etalon_reference::ops::quantize::{F16S8, F32U8, Scheme, TYPES};

use crate::call::{Call, elements};
use crate::disjoint::chunks;
use crate::faults::fault;
use crate::isa::Isa;
use crate::isa::narrow::{Convert, Job, Narrow, enter, with_converters};
use crate::isa::wide::LANES;
use crate::kernel::{Kernel, KernelError};
use crate::pool::Pool;
use crate::quantize::{Byte, of_row, place, rows_of_task};

const THRESHOLDS: &[Threshold] =
    &[Threshold::axis("cols", LANES as i64), Threshold::axis("group", LANES as i64), Threshold::bytes("q", 16 * 1024)];

/// The kernels, weakest first.
pub static KERNELS: &[Kernel] = &[
    Kernel::new("scalar", Isa::Scalar, TYPES, |call| run(call, Isa::Scalar)),
    #[cfg(target_arch = "x86_64")]
    Kernel::new("avx2", Isa::Avx2, TYPES, |call| run(call, Isa::Avx2)).with_thresholds(THRESHOLDS),
    #[cfg(target_arch = "x86_64")]
    Kernel::new("avx512", Isa::Avx512, TYPES, |call| run(call, Isa::Avx512)).with_thresholds(THRESHOLDS),
];

struct All<'a, Y, Q> {
    scheme: &'a Scheme,
    q: &'a [Q],
    scale: &'a [Y],
    zero: &'a [Q],
    y: &'a mut [Y],
    pool: &'a Pool,
}

impl<Y: Narrow, Q: Byte> Job for All<'_, Y, Q> {
    type Output = ();
    fn run<L: Convert>(self, l: L) {
        let All { scheme, q, scale, zero, y, pool } = self;
        if y.is_empty() {
            return;
        }
        let (cols, len) = (scheme.cols, of_row(scheme));
        chunks(pool, y, rows_of_task(scheme) * cols, |start, y| {
            for (i, y) in y.chunks_exact_mut(cols).enumerate() {
                let row = start / cols + i;
                let q = &q[row * cols..][..cols];
                for (group, (q, y)) in q.chunks(len).zip(y.chunks_mut(len)).enumerate() {
                    let at = place(scheme, row, group);
                    let of = if fault!("dequantize.first-zero-point") { 0 } else { at };
                    let zero = zero.get(of).copied().unwrap_or_default();
                    enter(l, Group { q, scale: scale[at].widened(), zero: zero.into() as f32, y });
                }
            }
        });
    }
}

/// What shares a scale.
struct Group<'a, Y, Q> {
    q: &'a [Q],
    scale: f32,
    zero: f32,
    y: &'a mut [Y],
}

impl<Y: Narrow, Q: Byte> Job for Group<'_, Y, Q> {
    type Output = ();
    #[inline(always)]
    fn run<L: Convert>(self, l: L) {
        let Group { q, scale, zero, y } = self;
        let whole = q.len() / LANES * LANES;
        for (q, y) in q.as_chunks::<LANES>().0.iter().zip(y.as_chunks_mut::<LANES>().0) {
            vector(l, q, scale, zero, y);
        }
        match (q.last_chunk(), y.last_chunk_mut()) {
            _ if whole == q.len() || fault!("dequantize.last-of-group") => {}
            // Some of them once more.
            (Some(q), Some(y)) => vector(l, q, scale, zero, y),
            _ => {
                let (mut all, mut to) = ([Q::default(); LANES], [Y::default(); LANES]);
                all[..q.len()].copy_from_slice(q);
                vector(l, &all, scale, zero, &mut to);
                y.copy_from_slice(&to[..q.len()]);
            }
        }
    }
}

#[inline(always)]
fn vector<L: Convert, Y: Narrow, Q: Byte>(l: L, q: &[Q; LANES], scale: f32, zero: f32, y: &mut [Y; LANES]) {
    let wide = q.map(|q| q.into() as f32);
    Y::narrow(l, l.mul(l.sub(l.load(&wide), l.splat(zero)), l.splat(scale)), y);
}

fn run(call: &mut Call<'_>, isa: Isa) -> Result<(), KernelError> {
    match call.types() {
        F16S8 => typed::<half::f16, i8>(call, isa),
        F32U8 => typed::<f32, u8>(call, isa),
        _ => typed::<f32, i8>(call, isa),
    }
}

fn typed<Y: Narrow, Q: Byte>(call: &mut Call<'_>, isa: Isa) -> Result<(), KernelError> {
    let Dequantize { scheme } = downcast(call.problem());
    let ([q, zero], scale, pool) = ([0, 2].map(|i| call.input::<Q>(i)), call.input::<Y>(1), call.pool());
    let ([y], _) = call.outputs();
    with_converters(isa, All { scheme, q, scale, zero, y: elements(y), pool }).map_err(KernelError::Isa)
}

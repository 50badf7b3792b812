//! [`quantize`](etalon_reference::ops::quantize): `q = saturate(rint(x/scale) + zero)`. x and scales of f32 or f16, q and
//! zero points of u8 or s8; a scale per tensor, row or group.
//!
//! One source for all instruction sets. The quotient is cut to the range before it is rounded, so that adding 1.5·2²³
//! rounds it to an integer, ties to even, and leaves that integer in the lowest bits. Error: none; a NaN counts as −∞.
//! Errors: a level that the CPU lacks.

use std::marker::PhantomData;

use etalon_reference::Element;
use etalon_reference::operator::downcast;
use etalon_reference::ops::quantize::{F16S8, F32U8, Quantize, TYPES};

use crate::call::{Call, elements};
use crate::isa::Isa;
use crate::isa::narrow::{Convert, Narrow, with_converters};
use crate::isa::wide::LANES;
use crate::kernel::{Kernel, KernelError};

pub(crate) mod walk;

use walk::{THRESHOLDS, Walk};

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

/// 1.5·2²³: what is added to it and lies between −2²² and 2²² is rounded to an integer.
const MAGIC: f32 = 12_582_912.0;

#[derive(Clone, Copy)]
struct Step<X, Q>(PhantomData<fn(X) -> Q>);

impl<X: Narrow, Q: Byte> walk::Step for Step<X, Q> {
    type From = X;
    type To = Q;
    type Scale = X;
    type Zero = Q;

    #[inline(always)]
    fn vector<L: Convert>(self, l: L, x: &[X; LANES], scale: f32, zero: Q, q: &mut [Q; LANES]) {
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
    let walk = Walk { step: Step(PhantomData), scheme, from: x, scale, zero, to: elements::<Q>(q), pool };
    with_converters(isa, walk).map_err(KernelError::Isa)
}

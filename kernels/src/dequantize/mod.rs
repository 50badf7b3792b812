//! [`dequantize`](etalon_reference::ops::dequantize): `y = (q − zero)·scale`. q and zero points of u8 or s8, scales and y
//! of f32 or f16; a scale per tensor, row or group.
//!
//! One source for all instruction sets. The difference is exact, the product is rounded once. Error: none. Errors: a
//! level that the CPU lacks.

use std::marker::PhantomData;

use etalon_reference::operator::downcast;
use etalon_reference::ops::dequantize::Dequantize;
use etalon_reference::ops::quantize::{F16S8, F32U8, TYPES};

use crate::call::{Call, elements};
use crate::faults::fault;
use crate::isa::Isa;
use crate::isa::narrow::{Convert, Narrow, with_converters};
use crate::isa::wide::LANES;
use crate::kernel::{Kernel, KernelError};
use crate::quantize::Byte;
use crate::quantize::walk::{self, THRESHOLDS, Walk};

/// The kernels, weakest first.
pub static KERNELS: &[Kernel] = &[
    Kernel::new("scalar", Isa::Scalar, TYPES, |call| run(call, Isa::Scalar)),
    #[cfg(target_arch = "x86_64")]
    Kernel::new("avx2", Isa::Avx2, TYPES, |call| run(call, Isa::Avx2)).with_thresholds(THRESHOLDS),
    #[cfg(target_arch = "x86_64")]
    Kernel::new("avx512", Isa::Avx512, TYPES, |call| run(call, Isa::Avx512)).with_thresholds(THRESHOLDS),
];

#[derive(Clone, Copy)]
struct Step<Y, Q>(PhantomData<fn(Q) -> Y>);

impl<Y: Narrow, Q: Byte> walk::Step for Step<Y, Q> {
    type From = Q;
    type To = Y;
    type Scale = Y;
    type Zero = Q;

    #[inline(always)]
    fn vector<L: Convert>(self, l: L, q: &[Q; LANES], scale: f32, zero: Q, y: &mut [Y; LANES]) {
        let zero = if fault!("dequantize.byte-difference") { zero.into().min(100) } else { zero.into() };
        let wide = q.map(|q| q.into() as f32);
        let scale = if fault!("dequantize.short-scale") { f32::from_bits(scale.to_bits() & !0xff) } else { scale };
        Y::narrow(l, l.mul(l.sub(l.load(&wide), l.splat(zero as f32)), l.splat(scale)), y);
    }
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
    let walk = Walk { step: Step(PhantomData), scheme, from: q, scale, zero, to: elements::<Y>(y), pool };
    with_converters(isa, walk).map_err(KernelError::Isa)
}

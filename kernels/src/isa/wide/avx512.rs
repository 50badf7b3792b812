//! Vectors of AVX-512: one register.

use std::arch::x86_64::*;

use super::{Line, Wide, Work};
use crate::isa::Avx512Token;

macro_rules! wide {
    (
        $t:ty, $lanes:literal, $v:ty, $mask:ty,
        $set1:ident, $zero:ident, $load:ident, $maskload:ident, $store:ident, $maskstore:ident,
        $stream:ident, $some:ident,
        $add:ident, $sub:ident, $mul:ident, $div:ident, $sqrt:ident, $fma:ident, $max:ident, $cmp:ident, $blend:ident,
        |$low:ident, $high:ident| $halves:expr, |$x:ident, $y:ident| $evens:expr, $transpose:path
    ) => {
        impl Wide<$t> for Avx512Token {
            type F = $v;
            type Which = $mask;

            #[inline(always)]
            fn enter<W: Work<$t>>(self, work: W) -> W::Output {
                #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx2,fma,f16c")]
                fn with_features<W: Work<$t>>(lanes: Avx512Token, work: W) -> W::Output {
                    work.run(lanes)
                }
                // SAFETY: the token is proof.
                unsafe { with_features(self, work) }
            }
            #[inline(always)]
            fn splat(self, x: $t) -> $v {
                // SAFETY: the token is proof.
                unsafe { $set1(x) }
            }
            #[inline(always)]
            fn load(self, from: &[$t; $lanes]) -> $v {
                // SAFETY: the token is proof; the array is a vector.
                unsafe { $load(from.as_ptr()) }
            }
            #[inline(always)]
            fn load_first(self, from: &[$t]) -> $v {
                // SAFETY: the token is proof; the mask keeps to the slice.
                unsafe { $maskload(mask::<$lanes>(from.len()) as $mask, from.as_ptr()) }
            }
            #[inline(always)]
            fn halves(self, low: &[$t], high: &[$t]) -> $v {
                let ($low, $high) = (low[..$lanes / 2].as_ptr(), high[..$lanes / 2].as_ptr());
                // SAFETY: the token is proof; half a vector is read from each.
                unsafe { $halves }
            }
            #[inline(always)]
            fn store(self, x: $v, to: &mut [$t; $lanes]) {
                // SAFETY: the token is proof; the array is a vector.
                unsafe { $store(to.as_mut_ptr(), x) }
            }
            #[inline(always)]
            fn store_first(self, x: $v, to: &mut [$t]) {
                // SAFETY: the token is proof; the mask keeps to the slice.
                unsafe { $maskstore(to.as_mut_ptr(), mask::<$lanes>(to.len()) as $mask, x) }
            }
            #[inline(always)]
            fn stream(self, x: $v, to: &mut Line<$t>) {
                // SAFETY: the token is proof; a line is aligned.
                unsafe { $stream(to.0.as_mut_ptr(), x) }
            }
            #[inline(always)]
            fn fence(self) {
                // SAFETY: the token is proof.
                unsafe { _mm_sfence() };
            }
            #[inline(always)]
            fn prefetch<E>(self, of: &[E], index: usize) {
                // SAFETY: a prefetch accesses nothing; any address is fine.
                unsafe { _mm_prefetch::<_MM_HINT_T1>(of.as_ptr().wrapping_add(index).cast()) };
            }
            #[inline(always)]
            fn first(self, x: $v, n: usize) -> $v {
                // SAFETY: the token is proof.
                unsafe { $some(mask::<$lanes>(n) as $mask, x) }
            }
            #[inline(always)]
            fn add(self, x: $v, y: $v) -> $v {
                // SAFETY: the token is proof.
                unsafe { $add(x, y) }
            }
            #[inline(always)]
            fn sub(self, x: $v, y: $v) -> $v {
                // SAFETY: the token is proof.
                unsafe { $sub(x, y) }
            }
            #[inline(always)]
            fn mul(self, x: $v, y: $v) -> $v {
                // SAFETY: the token is proof.
                unsafe { $mul(x, y) }
            }
            #[inline(always)]
            fn sqrt(self, x: $v) -> $v {
                // SAFETY: the token is proof.
                unsafe { $sqrt(x) }
            }
            #[inline(always)]
            fn div(self, x: $v, y: $v) -> $v {
                // SAFETY: the token is proof.
                unsafe { $div(x, y) }
            }
            #[inline(always)]
            fn fma(self, x: $v, y: $v, z: $v) -> $v {
                // SAFETY: the token is proof.
                unsafe { $fma(x, y, z) }
            }
            #[inline(always)]
            fn evens(self, $x: $v, $y: $v) -> $v {
                // SAFETY: the token is proof.
                unsafe { $evens }
            }
            #[inline(always)]
            fn transpose(self, x: [$v; $lanes]) -> [$v; $lanes] {
                // SAFETY: the token is proof.
                unsafe { $transpose(x) }
            }
            #[inline(always)]
            fn relu(self, x: $v) -> $v {
                // With a NaN, and with two zeros, the instruction gives its second operand.
                // SAFETY: the token is proof.
                unsafe { $max($zero(), x) }
            }
            #[inline(always)]
            fn gate(self, x: $v, y: $v) -> $v {
                // SAFETY: the token is proof.
                unsafe { $some($cmp::<_CMP_NLE_UQ>(y, $zero()), x) }
            }
            #[inline(always)]
            fn beats(self, x: $v, y: $v) -> $mask {
                // SAFETY: the token is proof.
                unsafe { $cmp::<_CMP_GT_OQ>(x, y) | $cmp::<_CMP_UNORD_Q>(x, x) }
            }
            #[inline(always)]
            fn same(self, x: $v, y: $v) -> $mask {
                // SAFETY: the token is proof.
                unsafe { $cmp::<_CMP_EQ_OQ>(x, y) }
            }
            #[inline(always)]
            fn pick(self, there: $mask, yes: $v, no: $v) -> $v {
                // SAFETY: the token is proof.
                unsafe { $blend(there, no, yes) }
            }
            #[inline(always)]
            fn either(self, x: $mask, y: $mask) -> $mask {
                x | y
            }
            #[inline(always)]
            fn everywhere(self, x: $mask) -> bool {
                x == <$mask>::MAX
            }
        }
    };
}

/// The first `n` lanes of `LANES`.
#[inline(always)]
fn mask<const LANES: usize>(n: usize) -> u32 {
    assert!(n <= LANES);
    (1u32 << n) - 1
}

wide!(
    f32,
    16,
    __m512,
    __mmask16,
    _mm512_set1_ps,
    _mm512_setzero_ps,
    _mm512_loadu_ps,
    _mm512_maskz_loadu_ps,
    _mm512_storeu_ps,
    _mm512_mask_storeu_ps,
    _mm512_stream_ps,
    _mm512_maskz_mov_ps,
    _mm512_add_ps,
    _mm512_sub_ps,
    _mm512_mul_ps,
    _mm512_div_ps,
    _mm512_sqrt_ps,
    _mm512_fmadd_ps,
    _mm512_max_ps,
    _mm512_cmp_ps_mask,
    _mm512_mask_blend_ps,
    |low, high| _mm512_insertf32x8::<1>(_mm512_castps256_ps512(_mm256_loadu_ps(low)), _mm256_loadu_ps(high)),
    |x, y| {
        let index = _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
        _mm512_permutex2var_ps(x, index, y)
    },
    crate::isa::avx512::transpose32
);

wide!(
    f64,
    8,
    __m512d,
    __mmask8,
    _mm512_set1_pd,
    _mm512_setzero_pd,
    _mm512_loadu_pd,
    _mm512_maskz_loadu_pd,
    _mm512_storeu_pd,
    _mm512_mask_storeu_pd,
    _mm512_stream_pd,
    _mm512_maskz_mov_pd,
    _mm512_add_pd,
    _mm512_sub_pd,
    _mm512_mul_pd,
    _mm512_div_pd,
    _mm512_sqrt_pd,
    _mm512_fmadd_pd,
    _mm512_max_pd,
    _mm512_cmp_pd_mask,
    _mm512_mask_blend_pd,
    |low, high| _mm512_insertf64x4::<1>(_mm512_castpd256_pd512(_mm256_loadu_pd(low)), _mm256_loadu_pd(high)),
    |x, y| _mm512_permutex2var_pd(x, _mm512_setr_epi64(0, 2, 4, 6, 8, 10, 12, 14), y),
    crate::isa::avx512::transpose64
);

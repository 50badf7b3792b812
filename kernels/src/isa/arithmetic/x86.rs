//! Arithmetic by intrinsics: two vectors of AVX2, one of AVX-512.

use std::arch::x86_64::*;

use super::Arithmetic;
use crate::isa::arrays::Elementwise;
use crate::isa::{Avx2Token, Avx512Token};

/// Operations of AVX-512, each an expression of its operands.
macro_rules! whole {
    ($(fn $name:ident($($x:ident: $t:ty),*) -> $r:ty = $body:expr;)*) => {
        $(#[inline(always)]
        fn $name(self, $($x: $t),*) -> $r {
            // SAFETY: the token is proof.
            unsafe { $body }
        })*
    };
}

/// Operations of AVX2, each an expression of its operands, on both halves.
macro_rules! halves {
    ($(fn $name:ident($($x:ident: $t:ty),*) -> $r:ty = $body:expr;)*) => {
        $(#[inline(always)]
        fn $name(self, $($x: [$t; 2]),*) -> [$r; 2] {
            let low = {
                $(let $x = $x[0];)*
                // SAFETY: the token is proof.
                unsafe { $body }
            };
            let high = {
                $(let $x = $x[1];)*
                // SAFETY: the token is proof.
                unsafe { $body }
            };
            [low, high]
        })*
    };
}

/// Arithmetic of AVX-512 for an element type.
macro_rules! avx512 {
    (
        $t:ty, $int:ty, $v:ident, $mask:ident, $sign:expr,
        $set1:ident, $set1i:ident, $add:ident, $sub:ident, $mul:ident, $div:ident, $sqrt:ident, $fma:ident, $fnma:ident,
        $min:ident, $max:ident, $abs:ident, $xor:ident, $bits:ident, $value:ident, $ternary:ident, $cmp:ident,
        $blend:ident, $plus:ident, $minus:ident, $convert:ident, $left:ident, $right:ident
    ) => {
        impl Arithmetic<$t> for Avx512Token {
            type V = $v;
            type I = __m512i;
            type M = $mask;

            whole! {
                fn constant(x: $t) -> $v = $set1(x);
                fn add(x: $v, y: $v) -> $v = $add(x, y);
                fn sub(x: $v, y: $v) -> $v = $sub(x, y);
                fn mul(x: $v, y: $v) -> $v = $mul(x, y);
                fn div(x: $v, y: $v) -> $v = $div(x, y);
                fn sqrt(x: $v) -> $v = $sqrt(x);
                fn fma(x: $v, y: $v, z: $v) -> $v = $fma(x, y, z);
                fn fnma(x: $v, y: $v, z: $v) -> $v = $fnma(x, y, z);
                fn min(x: $v, y: $v) -> $v = $min(x, y);
                fn max(x: $v, y: $v) -> $v = $max(x, y);
                fn abs(x: $v) -> $v = $abs(x);
                fn neg(x: $v) -> $v = $xor(x, $value($set1i($sign)));
                // The third operand's bit where it is set in the mask, else the first one's.
                fn with_sign(x: $v, y: $v) -> $v = $value($ternary::<0xca>($set1i($sign), $bits(y), $bits(x)));
                fn less(x: $v, y: $v) -> $mask = $cmp::<_CMP_LT_OQ>(x, y);
                fn at_most(x: $v, y: $v) -> $mask = $cmp::<_CMP_LE_OQ>(x, y);
                fn select(mask: $mask, yes: $v, no: $v) -> $v = $blend(mask, no, yes);
                fn bits(x: $v) -> __m512i = $bits(x);
                fn of_bits(bits: __m512i) -> $v = $value(bits);
                fn integer(n: $int) -> __m512i = $set1i(n);
                fn plus(x: __m512i, y: __m512i) -> __m512i = $plus(x, y);
                fn minus(x: __m512i, y: __m512i) -> __m512i = $minus(x, y);
                fn value_of(x: __m512i) -> $v = $convert(x);
            }
            #[inline(always)]
            fn left<const N: u32>(self, x: __m512i) -> __m512i {
                // SAFETY: the token is proof.
                unsafe { $left::<N>(x) }
            }
            #[inline(always)]
            fn right<const N: u32>(self, x: __m512i) -> __m512i {
                // SAFETY: the token is proof.
                unsafe { $right::<N>(x) }
            }
        }
    };
}

avx512!(
    f32,
    i32,
    __m512,
    __mmask16,
    i32::MIN,
    _mm512_set1_ps,
    _mm512_set1_epi32,
    _mm512_add_ps,
    _mm512_sub_ps,
    _mm512_mul_ps,
    _mm512_div_ps,
    _mm512_sqrt_ps,
    _mm512_fmadd_ps,
    _mm512_fnmadd_ps,
    _mm512_min_ps,
    _mm512_max_ps,
    _mm512_abs_ps,
    _mm512_xor_ps,
    _mm512_castps_si512,
    _mm512_castsi512_ps,
    _mm512_ternarylogic_epi32,
    _mm512_cmp_ps_mask,
    _mm512_mask_blend_ps,
    _mm512_add_epi32,
    _mm512_sub_epi32,
    _mm512_cvtepi32_ps,
    _mm512_slli_epi32,
    _mm512_srai_epi32
);

avx512!(
    f64,
    i64,
    __m512d,
    __mmask8,
    i64::MIN,
    _mm512_set1_pd,
    _mm512_set1_epi64,
    _mm512_add_pd,
    _mm512_sub_pd,
    _mm512_mul_pd,
    _mm512_div_pd,
    _mm512_sqrt_pd,
    _mm512_fmadd_pd,
    _mm512_fnmadd_pd,
    _mm512_min_pd,
    _mm512_max_pd,
    _mm512_abs_pd,
    _mm512_xor_pd,
    _mm512_castpd_si512,
    _mm512_castsi512_pd,
    _mm512_ternarylogic_epi64,
    _mm512_cmp_pd_mask,
    _mm512_mask_blend_pd,
    _mm512_add_epi64,
    _mm512_sub_epi64,
    _mm512_cvtepi64_pd,
    _mm512_slli_epi64,
    _mm512_srai_epi64
);

/// Arithmetic of AVX2 for an element type.
macro_rules! avx2 {
    (
        $t:ty, $int:ty, $v:ident,
        $set1:ident, $set1i:ident, $add:ident, $sub:ident, $mul:ident, $div:ident, $sqrt:ident, $fma:ident, $fnma:ident,
        $min:ident, $max:ident, $and:ident, $andnot:ident, $or:ident, $xor:ident, $bits:ident, $value:ident,
        $cmp:ident, $blend:ident, $plus:ident, $minus:ident, $left:ident,
        |$of:ident| $convert:expr, |$shifted:ident, $by:ident| $right:expr
    ) => {
        impl Arithmetic<$t> for Avx2Token {
            type V = [$v; 2];
            type I = [__m256i; 2];
            type M = [$v; 2];

            halves! {
                fn add(x: $v, y: $v) -> $v = $add(x, y);
                fn sub(x: $v, y: $v) -> $v = $sub(x, y);
                fn mul(x: $v, y: $v) -> $v = $mul(x, y);
                fn div(x: $v, y: $v) -> $v = $div(x, y);
                fn sqrt(x: $v) -> $v = $sqrt(x);
                fn fma(x: $v, y: $v, z: $v) -> $v = $fma(x, y, z);
                fn fnma(x: $v, y: $v, z: $v) -> $v = $fnma(x, y, z);
                fn min(x: $v, y: $v) -> $v = $min(x, y);
                fn max(x: $v, y: $v) -> $v = $max(x, y);
                fn abs(x: $v) -> $v = $andnot($set1(-0.0), x);
                fn neg(x: $v) -> $v = $xor($set1(-0.0), x);
                fn with_sign(x: $v, y: $v) -> $v = {
                    let sign = $set1(-0.0);
                    $or($andnot(sign, x), $and(sign, y))
                };
                fn less(x: $v, y: $v) -> $v = $cmp::<_CMP_LT_OQ>(x, y);
                fn at_most(x: $v, y: $v) -> $v = $cmp::<_CMP_LE_OQ>(x, y);
                fn select(mask: $v, yes: $v, no: $v) -> $v = $blend(no, yes, mask);
                fn bits(x: $v) -> __m256i = $bits(x);
                fn of_bits(bits: __m256i) -> $v = $value(bits);
                fn plus(x: __m256i, y: __m256i) -> __m256i = $plus(x, y);
                fn minus(x: __m256i, y: __m256i) -> __m256i = $minus(x, y);
                fn value_of($of: __m256i) -> $v = $convert;
            }
            #[inline(always)]
            fn constant(self, x: $t) -> [$v; 2] {
                // SAFETY: the token is proof.
                unsafe { [$set1(x); 2] }
            }
            #[inline(always)]
            fn integer(self, n: $int) -> [__m256i; 2] {
                // SAFETY: the token is proof.
                unsafe { [$set1i(n); 2] }
            }
            #[inline(always)]
            fn left<const N: u32>(self, x: [__m256i; 2]) -> [__m256i; 2] {
                // SAFETY: the token is proof. Where a shift is a constant, its instruction has it.
                unsafe { x.each(|x| $left(x, _mm_cvtsi32_si128(N as i32))) }
            }
            #[inline(always)]
            fn right<const N: u32>(self, x: [__m256i; 2]) -> [__m256i; 2] {
                let $by = N as i32;
                // SAFETY: as above.
                unsafe { x.each(|$shifted| $right) }
            }
        }
    };
}

avx2!(
    f32,
    i32,
    __m256,
    _mm256_set1_ps,
    _mm256_set1_epi32,
    _mm256_add_ps,
    _mm256_sub_ps,
    _mm256_mul_ps,
    _mm256_div_ps,
    _mm256_sqrt_ps,
    _mm256_fmadd_ps,
    _mm256_fnmadd_ps,
    _mm256_min_ps,
    _mm256_max_ps,
    _mm256_and_ps,
    _mm256_andnot_ps,
    _mm256_or_ps,
    _mm256_xor_ps,
    _mm256_castps_si256,
    _mm256_castsi256_ps,
    _mm256_cmp_ps,
    _mm256_blendv_ps,
    _mm256_add_epi32,
    _mm256_sub_epi32,
    _mm256_sll_epi32,
    |x| _mm256_cvtepi32_ps(x),
    |x, by| _mm256_sra_epi32(x, _mm_cvtsi32_si128(by))
);

/// 1.5·2⁵²: what is added to it stands in its low bits.
const SHIFT: f64 = 6_755_399_441_055_744.0;

avx2!(
    f64,
    i64,
    __m256d,
    _mm256_set1_pd,
    _mm256_set1_epi64x,
    _mm256_add_pd,
    _mm256_sub_pd,
    _mm256_mul_pd,
    _mm256_div_pd,
    _mm256_sqrt_pd,
    _mm256_fmadd_pd,
    _mm256_fnmadd_pd,
    _mm256_min_pd,
    _mm256_max_pd,
    _mm256_and_pd,
    _mm256_andnot_pd,
    _mm256_or_pd,
    _mm256_xor_pd,
    _mm256_castpd_si256,
    _mm256_castsi256_pd,
    _mm256_cmp_pd,
    _mm256_blendv_pd,
    _mm256_add_epi64,
    _mm256_sub_epi64,
    _mm256_sll_epi64,
    // No instruction converts: the integer is added to the bits of a number whose units they are.
    |x| _mm256_sub_pd(
        _mm256_castsi256_pd(_mm256_add_epi64(x, _mm256_set1_epi64x(SHIFT.to_bits() as i64))),
        _mm256_set1_pd(SHIFT)
    ),
    // No instruction copies the sign: with its bit turned over and taken away again, it borrows from those above.
    |x, by| {
        let sign = _mm256_set1_epi64x(1 << (63 - by));
        let moved = _mm256_srl_epi64(x, _mm_cvtsi32_si128(by));
        _mm256_sub_epi64(_mm256_xor_si256(moved, sign), sign)
    }
);

//! Arithmetic by intrinsics: two vectors of AVX2, one of AVX-512.

use std::arch::x86_64::*;

use super::Arithmetic;
use crate::isa::arrays::Elementwise;
use crate::isa::{Avx2Token, Avx512Token};

/// The sign bit.
const SIGN: i32 = i32::MIN;

/// Operations of AVX-512, each an expression of its operands.
macro_rules! avx512 {
    ($(fn $name:ident($($x:ident: $t:ty),*) -> $r:ty = $body:expr;)*) => {
        $(#[inline(always)]
        fn $name(self, $($x: $t),*) -> $r {
            // SAFETY: the token is proof.
            unsafe { $body }
        })*
    };
}

/// Operations of AVX2, each an expression of its operands, on both halves.
macro_rules! avx2 {
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

impl Arithmetic for Avx512Token {
    type V = __m512;
    type I = __m512i;
    type M = __mmask16;

    avx512! {
        fn constant(x: f32) -> __m512 = _mm512_set1_ps(x);
        fn add(x: __m512, y: __m512) -> __m512 = _mm512_add_ps(x, y);
        fn sub(x: __m512, y: __m512) -> __m512 = _mm512_sub_ps(x, y);
        fn mul(x: __m512, y: __m512) -> __m512 = _mm512_mul_ps(x, y);
        fn div(x: __m512, y: __m512) -> __m512 = _mm512_div_ps(x, y);
        fn sqrt(x: __m512) -> __m512 = _mm512_sqrt_ps(x);
        fn fma(x: __m512, y: __m512, z: __m512) -> __m512 = _mm512_fmadd_ps(x, y, z);
        fn fnma(x: __m512, y: __m512, z: __m512) -> __m512 = _mm512_fnmadd_ps(x, y, z);
        fn min(x: __m512, y: __m512) -> __m512 = _mm512_min_ps(x, y);
        fn max(x: __m512, y: __m512) -> __m512 = _mm512_max_ps(x, y);
        fn abs(x: __m512) -> __m512 = _mm512_abs_ps(x);
        fn neg(x: __m512) -> __m512 = _mm512_xor_ps(x, _mm512_castsi512_ps(_mm512_set1_epi32(SIGN)));
        fn with_sign(x: __m512, y: __m512) -> __m512 = {
            // The third operand's bit where it is set in the mask, else the first one's.
            let mask = _mm512_set1_epi32(SIGN);
            let (x, y) = (_mm512_castps_si512(x), _mm512_castps_si512(y));
            _mm512_castsi512_ps(_mm512_ternarylogic_epi32::<0xca>(mask, y, x))
        };
        fn less(x: __m512, y: __m512) -> __mmask16 = _mm512_cmp_ps_mask::<_CMP_LT_OQ>(x, y);
        fn at_most(x: __m512, y: __m512) -> __mmask16 = _mm512_cmp_ps_mask::<_CMP_LE_OQ>(x, y);
        fn select(mask: __mmask16, yes: __m512, no: __m512) -> __m512 = _mm512_mask_blend_ps(mask, no, yes);
        fn bits(x: __m512) -> __m512i = _mm512_castps_si512(x);
        fn of_bits(bits: __m512i) -> __m512 = _mm512_castsi512_ps(bits);
        fn integer(n: i32) -> __m512i = _mm512_set1_epi32(n);
        fn plus(x: __m512i, y: __m512i) -> __m512i = _mm512_add_epi32(x, y);
        fn minus(x: __m512i, y: __m512i) -> __m512i = _mm512_sub_epi32(x, y);
        fn value_of(x: __m512i) -> __m512 = _mm512_cvtepi32_ps(x);
    }
    #[inline(always)]
    fn left<const N: u32>(self, x: __m512i) -> __m512i {
        // SAFETY: the token is proof.
        unsafe { _mm512_slli_epi32::<N>(x) }
    }
    #[inline(always)]
    fn right<const N: u32>(self, x: __m512i) -> __m512i {
        // SAFETY: the token is proof.
        unsafe { _mm512_srai_epi32::<N>(x) }
    }
}

impl Arithmetic for Avx2Token {
    type V = [__m256; 2];
    type I = [__m256i; 2];
    type M = [__m256; 2];

    avx2! {
        fn add(x: __m256, y: __m256) -> __m256 = _mm256_add_ps(x, y);
        fn sub(x: __m256, y: __m256) -> __m256 = _mm256_sub_ps(x, y);
        fn mul(x: __m256, y: __m256) -> __m256 = _mm256_mul_ps(x, y);
        fn div(x: __m256, y: __m256) -> __m256 = _mm256_div_ps(x, y);
        fn sqrt(x: __m256) -> __m256 = _mm256_sqrt_ps(x);
        fn fma(x: __m256, y: __m256, z: __m256) -> __m256 = _mm256_fmadd_ps(x, y, z);
        fn fnma(x: __m256, y: __m256, z: __m256) -> __m256 = _mm256_fnmadd_ps(x, y, z);
        fn min(x: __m256, y: __m256) -> __m256 = _mm256_min_ps(x, y);
        fn max(x: __m256, y: __m256) -> __m256 = _mm256_max_ps(x, y);
        fn abs(x: __m256) -> __m256 = _mm256_andnot_ps(_mm256_set1_ps(-0.0), x);
        fn neg(x: __m256) -> __m256 = _mm256_xor_ps(_mm256_set1_ps(-0.0), x);
        fn with_sign(x: __m256, y: __m256) -> __m256 = {
            let sign = _mm256_set1_ps(-0.0);
            _mm256_or_ps(_mm256_andnot_ps(sign, x), _mm256_and_ps(sign, y))
        };
        fn less(x: __m256, y: __m256) -> __m256 = _mm256_cmp_ps::<_CMP_LT_OQ>(x, y);
        fn at_most(x: __m256, y: __m256) -> __m256 = _mm256_cmp_ps::<_CMP_LE_OQ>(x, y);
        fn select(mask: __m256, yes: __m256, no: __m256) -> __m256 = _mm256_blendv_ps(no, yes, mask);
        fn bits(x: __m256) -> __m256i = _mm256_castps_si256(x);
        fn of_bits(bits: __m256i) -> __m256 = _mm256_castsi256_ps(bits);
        fn plus(x: __m256i, y: __m256i) -> __m256i = _mm256_add_epi32(x, y);
        fn minus(x: __m256i, y: __m256i) -> __m256i = _mm256_sub_epi32(x, y);
        fn value_of(x: __m256i) -> __m256 = _mm256_cvtepi32_ps(x);
    }
    #[inline(always)]
    fn constant(self, x: f32) -> [__m256; 2] {
        // SAFETY: the token is proof.
        unsafe { [_mm256_set1_ps(x); 2] }
    }
    #[inline(always)]
    fn integer(self, n: i32) -> [__m256i; 2] {
        // SAFETY: the token is proof.
        unsafe { [_mm256_set1_epi32(n); 2] }
    }
    #[inline(always)]
    fn left<const N: u32>(self, x: [__m256i; 2]) -> [__m256i; 2] {
        // SAFETY: the token is proof. Where a shift is a constant, its instruction has it.
        unsafe { x.each(|x| _mm256_sll_epi32(x, _mm_cvtsi32_si128(N as i32))) }
    }
    #[inline(always)]
    fn right<const N: u32>(self, x: [__m256i; 2]) -> [__m256i; 2] {
        // SAFETY: as above.
        unsafe { x.each(|x| _mm256_sra_epi32(x, _mm_cvtsi32_si128(N as i32))) }
    }
}

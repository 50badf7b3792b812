//! AVX-512 vectors of f32 and f64.

use super::lanes::lanes;

macro_rules! maskz_load_ps {
    ($x:expr, $mask:expr) => {
        _mm512_maskz_loadu_ps($mask as __mmask16, $x)
    };
}
macro_rules! mask_store_ps {
    ($x:expr, $mask:expr, $v:expr) => {
        _mm512_mask_storeu_ps($x, $mask as __mmask16, $v)
    };
}
macro_rules! maskz_load_pd {
    ($x:expr, $mask:expr) => {
        _mm512_maskz_loadu_pd($mask as __mmask8, $x)
    };
}
macro_rules! mask_store_pd {
    ($x:expr, $mask:expr, $v:expr) => {
        _mm512_mask_storeu_pd($x, $mask as __mmask8, $v)
    };
}

lanes!(
    /// 16 f32.
    f32x16, "avx512f", Avx512Token, f32, __m512, 16,
    _mm512_loadu_ps, _mm512_storeu_ps, _mm512_set1_ps, _mm512_setzero_ps, _mm512_fmadd_ps, _mm512_add_ps, _mm512_mul_ps,
    _mm512_max_ps, |n| (1u32 << n) - 1, maskz_load_ps, mask_store_ps
);

lanes!(
    /// 8 f64.
    f64x8, "avx512f", Avx512Token, f64, __m512d, 8,
    _mm512_loadu_pd, _mm512_storeu_pd, _mm512_set1_pd, _mm512_setzero_pd, _mm512_fmadd_pd, _mm512_add_pd, _mm512_mul_pd,
    _mm512_max_pd, |n| (1u32 << n) - 1, maskz_load_pd, mask_store_pd
);

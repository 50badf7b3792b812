//! AVX2 and FMA vectors of f32 and f64.

use super::lanes::lanes;

/// A window of this, `8 − n` from its start, is a mask of `n` elements of 32 bits.
static MASK32: [i32; 16] = [-1, -1, -1, -1, -1, -1, -1, -1, 0, 0, 0, 0, 0, 0, 0, 0];
/// The same for up to 4 elements of 64 bits.
static MASK64: [i64; 8] = [-1, -1, -1, -1, 0, 0, 0, 0];

macro_rules! mask_load_ps {
    ($x:expr, $mask:expr) => {
        _mm256_maskload_ps($x, _mm256_loadu_si256(super::MASK32.as_ptr().add(8 - $mask).cast()))
    };
}
macro_rules! mask_store_ps {
    ($x:expr, $mask:expr, $v:expr) => {
        _mm256_maskstore_ps($x, _mm256_loadu_si256(super::MASK32.as_ptr().add(8 - $mask).cast()), $v)
    };
}
macro_rules! mask_load_pd {
    ($x:expr, $mask:expr) => {
        _mm256_maskload_pd($x, _mm256_loadu_si256(super::MASK64.as_ptr().add(4 - $mask).cast()))
    };
}
macro_rules! mask_store_pd {
    ($x:expr, $mask:expr, $v:expr) => {
        _mm256_maskstore_pd($x, _mm256_loadu_si256(super::MASK64.as_ptr().add(4 - $mask).cast()), $v)
    };
}

lanes!(
    /// 8 f32.
    f32x8, "avx2,fma", Avx2Token, f32, __m256, 8,
    _mm256_loadu_ps, _mm256_storeu_ps, _mm256_set1_ps, _mm256_setzero_ps, _mm256_fmadd_ps, _mm256_add_ps, _mm256_mul_ps,
    _mm256_max_ps, |n| n, mask_load_ps, mask_store_ps
);

lanes!(
    /// 4 f64.
    f64x4, "avx2,fma", Avx2Token, f64, __m256d, 4,
    _mm256_loadu_pd, _mm256_storeu_pd, _mm256_set1_pd, _mm256_setzero_pd, _mm256_fmadd_pd, _mm256_add_pd, _mm256_mul_pd,
    _mm256_max_pd, |n| n, mask_load_pd, mask_store_pd
);

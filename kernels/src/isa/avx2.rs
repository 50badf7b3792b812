//! AVX2 and FMA vectors of f32 and f64.

use std::arch::x86_64::*;

use super::lanes::lanes;

/// A window of this, `8 − n` from its start, is a mask of `n` elements of 32 bits.
static MASK32: [i32; 16] = [-1, -1, -1, -1, -1, -1, -1, -1, 0, 0, 0, 0, 0, 0, 0, 0];
/// The same for up to 4 elements of 64 bits.
static MASK64: [i64; 8] = [-1, -1, -1, -1, 0, 0, 0, 0];

/// All bits in the first `n` of 8 lanes; `n` above 8 counts as 8.
#[inline]
#[target_feature(enable = "avx2")]
pub fn mask32(n: usize) -> __m256 {
    // SAFETY: the window has 8 elements and starts at most 8 from the start of 16.
    unsafe { _mm256_loadu_ps(MASK32.as_ptr().add(8 - n.min(8)).cast()) }
}

/// All bits in the first `n` of 4 lanes; `n` above 4 counts as 4.
#[inline]
#[target_feature(enable = "avx2")]
pub fn mask64(n: usize) -> __m256d {
    // SAFETY: the window has 4 elements and starts at most 4 from the start of 8.
    unsafe { _mm256_loadu_pd(MASK64.as_ptr().add(4 - n.min(4)).cast()) }
}

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

/// The transpose of 8×8.
#[inline]
#[target_feature(enable = "avx2")]
pub fn transpose32(x: [__m256; 8]) -> [__m256; 8] {
    let mut y = x;
    for i in (0..8).step_by(2) {
        y[i] = _mm256_unpacklo_ps(x[i], x[i + 1]);
        y[i + 1] = _mm256_unpackhi_ps(x[i], x[i + 1]);
    }
    let mut z = y;
    for i in (0..8).step_by(4) {
        z[i] = _mm256_shuffle_ps::<0x44>(y[i], y[i + 2]);
        z[i + 1] = _mm256_shuffle_ps::<0xee>(y[i], y[i + 2]);
        z[i + 2] = _mm256_shuffle_ps::<0x44>(y[i + 1], y[i + 3]);
        z[i + 3] = _mm256_shuffle_ps::<0xee>(y[i + 1], y[i + 3]);
    }
    for i in 0..4 {
        y[i] = _mm256_permute2f128_ps::<0x20>(z[i], z[i + 4]);
        y[i + 4] = _mm256_permute2f128_ps::<0x31>(z[i], z[i + 4]);
    }
    y
}

/// The transpose of 4×4.
#[inline]
#[target_feature(enable = "avx2")]
pub fn transpose64(x: [__m256d; 4]) -> [__m256d; 4] {
    let y = [
        _mm256_unpacklo_pd(x[0], x[1]),
        _mm256_unpackhi_pd(x[0], x[1]),
        _mm256_unpacklo_pd(x[2], x[3]),
        _mm256_unpackhi_pd(x[2], x[3]),
    ];
    [
        _mm256_permute2f128_pd::<0x20>(y[0], y[2]),
        _mm256_permute2f128_pd::<0x20>(y[1], y[3]),
        _mm256_permute2f128_pd::<0x31>(y[0], y[2]),
        _mm256_permute2f128_pd::<0x31>(y[1], y[3]),
    ]
}

//! AVX-512 vectors of f32 and f64.

use std::arch::x86_64::*;

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

/// The transpose of 16×16.
#[inline]
#[target_feature(enable = "avx512f")]
pub fn transpose32(x: [__m512; 16]) -> [__m512; 16] {
    let mut y = x;
    // Pairs, then fours of elements change places within each quarter of 128 bits.
    for i in (0..16).step_by(2) {
        y[i] = _mm512_unpacklo_ps(x[i], x[i + 1]);
        y[i + 1] = _mm512_unpackhi_ps(x[i], x[i + 1]);
    }
    let mut z = y;
    for i in (0..16).step_by(4) {
        z[i] = _mm512_shuffle_ps::<0x44>(y[i], y[i + 2]);
        z[i + 1] = _mm512_shuffle_ps::<0xee>(y[i], y[i + 2]);
        z[i + 2] = _mm512_shuffle_ps::<0x44>(y[i + 1], y[i + 3]);
        z[i + 3] = _mm512_shuffle_ps::<0xee>(y[i + 1], y[i + 3]);
    }
    // z[4g + c] holds column 4q + c of rows 4g..4g+4 in its quarter q: a transpose of quarters remains.
    for c in 0..4 {
        let even = _mm512_shuffle_f32x4::<0x88>(z[c], z[4 + c]);
        let odd = _mm512_shuffle_f32x4::<0xdd>(z[c], z[4 + c]);
        let even_below = _mm512_shuffle_f32x4::<0x88>(z[8 + c], z[12 + c]);
        let odd_below = _mm512_shuffle_f32x4::<0xdd>(z[8 + c], z[12 + c]);
        y[c] = _mm512_shuffle_f32x4::<0x88>(even, even_below);
        y[4 + c] = _mm512_shuffle_f32x4::<0x88>(odd, odd_below);
        y[8 + c] = _mm512_shuffle_f32x4::<0xdd>(even, even_below);
        y[12 + c] = _mm512_shuffle_f32x4::<0xdd>(odd, odd_below);
    }
    y
}

/// The transpose of 8×8.
#[inline]
#[target_feature(enable = "avx512f")]
pub fn transpose64(x: [__m512d; 8]) -> [__m512d; 8] {
    let mut y = x;
    for i in (0..8).step_by(2) {
        y[i] = _mm512_unpacklo_pd(x[i], x[i + 1]);
        y[i + 1] = _mm512_unpackhi_pd(x[i], x[i + 1]);
    }
    // y[2g + c] holds column 2q + c of rows 2g, 2g + 1 in its quarter q: a transpose of quarters remains.
    let mut z = y;
    for c in 0..2 {
        let even = _mm512_shuffle_f64x2::<0x88>(y[c], y[2 + c]);
        let odd = _mm512_shuffle_f64x2::<0xdd>(y[c], y[2 + c]);
        let even_below = _mm512_shuffle_f64x2::<0x88>(y[4 + c], y[6 + c]);
        let odd_below = _mm512_shuffle_f64x2::<0xdd>(y[4 + c], y[6 + c]);
        z[c] = _mm512_shuffle_f64x2::<0x88>(even, even_below);
        z[2 + c] = _mm512_shuffle_f64x2::<0x88>(odd, odd_below);
        z[4 + c] = _mm512_shuffle_f64x2::<0xdd>(even, even_below);
        z[6 + c] = _mm512_shuffle_f64x2::<0xdd>(odd, odd_below);
    }
    z
}

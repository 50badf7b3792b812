//! Vectors of AVX2: a pair of registers.

use std::arch::x86_64::*;

use super::{Line, Wide, Work};
use crate::isa::Avx2Token;
use crate::isa::arrays;

macro_rules! wide {
    (
        $t:ty, $lanes:literal, $v:ty, $masks:ident,
        $set1:ident, $zero:ident, $load:ident, $maskload:ident, $store:ident, $maskstore:ident,
        $stream:ident, $cast:ident,
        $and:ident, $add:ident, $sub:ident, $mul:ident, $div:ident, $sqrt:ident, $fma:ident, $max:ident, $cmp:ident,
        $or:ident, $blend:ident, $bits:ident,
        |$low:ident, $high:ident| $evens:expr, $transpose:path
    ) => {
        impl Wide<$t> for Avx2Token {
            type F = [$v; 2];
            type Which = [$v; 2];

            #[inline(always)]
            fn enter<W: Work<$t>>(self, work: W) -> W::Output {
                #[target_feature(enable = "avx2,fma,f16c")]
                fn with_features<W: Work<$t>>(lanes: Avx2Token, work: W) -> W::Output {
                    work.run(lanes)
                }
                // SAFETY: the token is proof.
                unsafe { with_features(self, work) }
            }
            #[inline(always)]
            fn splat(self, x: $t) -> Self::F {
                // SAFETY: the token is proof.
                unsafe { [$set1(x); 2] }
            }
            #[inline(always)]
            fn load(self, from: &[$t; $lanes]) -> Self::F {
                // SAFETY: the token is proof; the array is a vector.
                unsafe { [$load(from.as_ptr()), $load(from.as_ptr().add($lanes / 2))] }
            }
            #[inline(always)]
            fn load_first(self, from: &[$t]) -> Self::F {
                let [low, high] = $masks(self, from.len());
                let start = from.as_ptr();
                // SAFETY: the token is proof; lanes that are masked out are not read.
                unsafe { [$maskload(start, low), $maskload(start.wrapping_add($lanes / 2), high)] }
            }
            #[inline(always)]
            fn halves(self, low: &[$t], high: &[$t]) -> Self::F {
                let (low, high) = (&low[..$lanes / 2], &high[..$lanes / 2]);
                // SAFETY: the token is proof; half a vector is read from each.
                unsafe { [$load(low.as_ptr()), $load(high.as_ptr())] }
            }
            #[inline(always)]
            fn store(self, x: Self::F, to: &mut [$t; $lanes]) {
                // SAFETY: the token is proof; the array is a vector.
                unsafe {
                    $store(to.as_mut_ptr(), x[0]);
                    $store(to.as_mut_ptr().add($lanes / 2), x[1]);
                }
            }
            #[inline(always)]
            fn store_first(self, x: Self::F, to: &mut [$t]) {
                let [low, high] = $masks(self, to.len());
                let start = to.as_mut_ptr();
                // SAFETY: the token is proof; lanes that are masked out are not written.
                unsafe {
                    $maskstore(start, low, x[0]);
                    $maskstore(start.wrapping_add($lanes / 2), high, x[1]);
                }
            }
            #[inline(always)]
            fn stream(self, x: Self::F, to: &mut Line<$t>) {
                // SAFETY: the token is proof; a line is aligned.
                unsafe {
                    $stream(to.0.as_mut_ptr(), x[0]);
                    $stream(to.0.as_mut_ptr().add($lanes / 2), x[1]);
                }
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
            fn first(self, x: Self::F, n: usize) -> Self::F {
                let [low, high] = $masks(self, n);
                // SAFETY: the token is proof.
                unsafe { [$and(x[0], $cast(low)), $and(x[1], $cast(high))] }
            }
            #[inline(always)]
            fn add(self, x: Self::F, y: Self::F) -> Self::F {
                // SAFETY: the token is proof.
                unsafe { [$add(x[0], y[0]), $add(x[1], y[1])] }
            }
            #[inline(always)]
            fn sub(self, x: Self::F, y: Self::F) -> Self::F {
                // SAFETY: the token is proof.
                unsafe { [$sub(x[0], y[0]), $sub(x[1], y[1])] }
            }
            #[inline(always)]
            fn mul(self, x: Self::F, y: Self::F) -> Self::F {
                // SAFETY: the token is proof.
                unsafe { [$mul(x[0], y[0]), $mul(x[1], y[1])] }
            }
            #[inline(always)]
            fn sqrt(self, x: Self::F) -> Self::F {
                // SAFETY: the token is proof.
                unsafe { [$sqrt(x[0]), $sqrt(x[1])] }
            }
            #[inline(always)]
            fn div(self, x: Self::F, y: Self::F) -> Self::F {
                // SAFETY: the token is proof.
                unsafe { [$div(x[0], y[0]), $div(x[1], y[1])] }
            }
            #[inline(always)]
            fn fma(self, x: Self::F, y: Self::F, z: Self::F) -> Self::F {
                // SAFETY: the token is proof.
                unsafe { [$fma(x[0], y[0], z[0]), $fma(x[1], y[1], z[1])] }
            }
            #[inline(always)]
            fn evens(self, x: Self::F, y: Self::F) -> Self::F {
                let of = |[$low, $high]: Self::F| {
                    // SAFETY: the token is proof.
                    unsafe { $evens }
                };
                [of(x), of(y)]
            }
            #[inline(always)]
            fn transpose(self, x: [Self::F; $lanes]) -> [Self::F; $lanes] {
                const HALF: usize = $lanes / 2;
                // The four quarters, each transposed; the two off the diagonal change places.
                let quarter = |rows: usize, half: usize| {
                    // SAFETY: the token is proof.
                    unsafe { $transpose(arrays::from_fn(|i| x[rows + i][half])) }
                };
                let [a, b, c, d] = [quarter(0, 0), quarter(0, 1), quarter(HALF, 0), quarter(HALF, 1)];
                arrays::from_fn(|i| if i < HALF { [a[i], c[i]] } else { [b[i - HALF], d[i - HALF]] })
            }
            #[inline(always)]
            fn relu(self, x: Self::F) -> Self::F {
                // With a NaN, and with two zeros, the instruction gives its second operand.
                // SAFETY: the token is proof.
                unsafe { [$max($zero(), x[0]), $max($zero(), x[1])] }
            }
            #[inline(always)]
            fn gate(self, x: Self::F, y: Self::F) -> Self::F {
                // SAFETY: the token is proof.
                unsafe {
                    let zero = $zero();
                    [$and(x[0], $cmp::<_CMP_NLE_UQ>(y[0], zero)), $and(x[1], $cmp::<_CMP_NLE_UQ>(y[1], zero))]
                }
            }
            #[inline(always)]
            fn beats(self, x: Self::F, y: Self::F) -> Self::F {
                let beats = |x, y| {
                    // SAFETY: the token is proof.
                    unsafe { $or($cmp::<_CMP_GT_OQ>(x, y), $cmp::<_CMP_UNORD_Q>(x, x)) }
                };
                [beats(x[0], y[0]), beats(x[1], y[1])]
            }
            #[inline(always)]
            fn same(self, x: Self::F, y: Self::F) -> Self::F {
                // SAFETY: the token is proof.
                unsafe { [$cmp::<_CMP_EQ_OQ>(x[0], y[0]), $cmp::<_CMP_EQ_OQ>(x[1], y[1])] }
            }
            #[inline(always)]
            fn pick(self, there: Self::F, yes: Self::F, no: Self::F) -> Self::F {
                // SAFETY: the token is proof.
                unsafe { [$blend(no[0], yes[0], there[0]), $blend(no[1], yes[1], there[1])] }
            }
            #[inline(always)]
            fn either(self, x: Self::F, y: Self::F) -> Self::F {
                // SAFETY: the token is proof.
                unsafe { [$or(x[0], y[0]), $or(x[1], y[1])] }
            }
            #[inline(always)]
            fn everywhere(self, x: Self::F) -> bool {
                // SAFETY: the token is proof.
                unsafe { $bits(x[0]) & $bits(x[1]) == (1 << ($lanes / 2)) - 1 }
            }
        }
    };
}

/// All ones in the first `n` lanes of sixteen, n ≤ 16.
#[inline(always)]
fn masks32(_: Avx2Token, n: usize) -> [__m256i; 2] {
    static ONES_ZEROS: [i32; 32] = [
        -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
    ];
    let from = &ONES_ZEROS[16 - n..][..16];
    // SAFETY: the token is proof; sixteen integers are read.
    unsafe { [_mm256_loadu_si256(from.as_ptr().cast()), _mm256_loadu_si256(from.as_ptr().add(8).cast())] }
}

/// All ones in the first `n` lanes of eight, n ≤ 8.
#[inline(always)]
fn masks64(_: Avx2Token, n: usize) -> [__m256i; 2] {
    static ONES_ZEROS: [i64; 16] = [-1, -1, -1, -1, -1, -1, -1, -1, 0, 0, 0, 0, 0, 0, 0, 0];
    let from = &ONES_ZEROS[8 - n..][..8];
    // SAFETY: the token is proof; eight integers are read.
    unsafe { [_mm256_loadu_si256(from.as_ptr().cast()), _mm256_loadu_si256(from.as_ptr().add(4).cast())] }
}

wide!(
    f32,
    16,
    __m256,
    masks32,
    _mm256_set1_ps,
    _mm256_setzero_ps,
    _mm256_loadu_ps,
    _mm256_maskload_ps,
    _mm256_storeu_ps,
    _mm256_maskstore_ps,
    _mm256_stream_ps,
    _mm256_castsi256_ps,
    _mm256_and_ps,
    _mm256_add_ps,
    _mm256_sub_ps,
    _mm256_mul_ps,
    _mm256_div_ps,
    _mm256_sqrt_ps,
    _mm256_fmadd_ps,
    _mm256_max_ps,
    _mm256_cmp_ps,
    _mm256_or_ps,
    _mm256_blendv_ps,
    _mm256_movemask_ps,
    |low, high| {
        // Of each half of 128 bits: the two of low, the two of high; then halves change places.
        let pairs = _mm256_castps_pd(_mm256_shuffle_ps::<0x88>(low, high));
        _mm256_castpd_ps(_mm256_permute4x64_pd::<0xd8>(pairs))
    },
    crate::isa::avx2::transpose32
);

wide!(
    f64,
    8,
    __m256d,
    masks64,
    _mm256_set1_pd,
    _mm256_setzero_pd,
    _mm256_loadu_pd,
    _mm256_maskload_pd,
    _mm256_storeu_pd,
    _mm256_maskstore_pd,
    _mm256_stream_pd,
    _mm256_castsi256_pd,
    _mm256_and_pd,
    _mm256_add_pd,
    _mm256_sub_pd,
    _mm256_mul_pd,
    _mm256_div_pd,
    _mm256_sqrt_pd,
    _mm256_fmadd_pd,
    _mm256_max_pd,
    _mm256_cmp_pd,
    _mm256_or_pd,
    _mm256_blendv_pd,
    _mm256_movemask_pd,
    // Of each half of 128 bits: the first of low, the first of high; then halves change places.
    |low, high| _mm256_permute4x64_pd::<0xd8>(_mm256_unpacklo_pd(low, high)),
    crate::isa::avx2::transpose64
);

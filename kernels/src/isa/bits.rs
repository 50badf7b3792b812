//! Counts of differing bits, in sixteen words of 32 bits.
//!
//! `vpopcntd` counts the bits of a word. Without it, a table of the sixteen halves of a byte gives the count of each byte,
//! and sums of bytes are brought to words before they overflow.
//!
//! The tokens implement the trait, as for [`dot`].

use std::arch::x86_64::*;

use super::dot::{self, Dot};
use super::wide::LANES;
use super::{Avx2Token, Avx512Token, Extension, VpopcntdqToken};
use crate::isa::arrays;

/// A way to count.
pub trait Bits: Copy + Send + Sync + 'static {
    /// Sixteen words.
    type V: Copy;
    /// Counts that are added to a part at most before [`Bits::fold`].
    const BATCH: usize;

    /// The proof.
    ///
    /// # Errors
    /// What the CPU lacks.
    fn proof() -> Result<Self, String>;
    /// Runs `job` in a function that has the instructions.
    fn enter<J: dot::Job>(self, job: J);
    /// Sixteen words from memory.
    fn load(self, from: &[i32; LANES]) -> Self::V;
    /// A word in all lanes.
    fn splat(self, x: i32) -> Self::V;
    /// A part with the count of bits in which both differ.
    fn count(self, part: Self::V, x: Self::V, y: Self::V) -> Self::V;
    /// A total of words with a part.
    fn fold(self, total: Self::V, part: Self::V) -> Self::V;
    /// A total's lanes.
    fn lanes(self, total: Self::V) -> [i32; LANES];
}

/// Bits of the numbers from 0 to 15.
const TABLE: [i8; 16] = [0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4];
/// Counts of at most 8 in a byte.
const BATCH: usize = 31;

impl Bits for Avx2Token {
    type V = [__m256i; 2];
    const BATCH: usize = BATCH;

    fn proof() -> Result<Avx2Token, String> {
        Dot::proof()
    }
    #[inline(always)]
    fn enter<J: dot::Job>(self, job: J) {
        Dot::enter(self, job);
    }
    #[inline(always)]
    fn load(self, from: &[i32; LANES]) -> [__m256i; 2] {
        let at = from.as_ptr().cast::<__m256i>();
        // SAFETY: the token is proof; sixteen words are read.
        unsafe { [_mm256_loadu_si256(at), _mm256_loadu_si256(at.add(1))] }
    }
    #[inline(always)]
    fn splat(self, x: i32) -> [__m256i; 2] {
        // SAFETY: the token is proof.
        unsafe { [_mm256_set1_epi32(x); 2] }
    }
    #[inline(always)]
    fn count(self, part: [__m256i; 2], x: [__m256i; 2], y: [__m256i; 2]) -> [__m256i; 2] {
        let mut counts = part;
        for half in 0..2 {
            // SAFETY: the token is proof; the table is a vector.
            unsafe {
                let table = _mm256_broadcastsi128_si256(_mm_loadu_si128(TABLE.as_ptr().cast()));
                let (bits, lower) = (_mm256_xor_si256(x[half], y[half]), _mm256_set1_epi8(15));
                let low = _mm256_shuffle_epi8(table, _mm256_and_si256(bits, lower));
                let high = _mm256_shuffle_epi8(table, _mm256_and_si256(_mm256_srli_epi16::<4>(bits), lower));
                counts[half] = _mm256_add_epi8(part[half], _mm256_add_epi8(low, high));
            }
        }
        counts
    }
    #[inline(always)]
    fn fold(self, total: [__m256i; 2], part: [__m256i; 2]) -> [__m256i; 2] {
        // SAFETY: the token is proof.
        arrays::from_fn(|half| unsafe {
            let pairs = _mm256_maddubs_epi16(part[half], _mm256_set1_epi8(1));
            _mm256_add_epi32(total[half], _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)))
        })
    }
    #[inline(always)]
    fn lanes(self, total: [__m256i; 2]) -> [i32; LANES] {
        let mut lanes = [0; LANES];
        let at = lanes.as_mut_ptr().cast::<__m256i>();
        // SAFETY: the token is proof; sixteen lanes are written.
        unsafe {
            _mm256_storeu_si256(at, total[0]);
            _mm256_storeu_si256(at.add(1), total[1]);
        }
        lanes
    }
}

macro_rules! bits512 {
    (
        $token:ident, $batch:expr, $proof:expr, $enter:expr,
        |$part:ident, $bits:ident| $count:expr, |$total:ident, $counts:ident| $fold:expr
    ) => {
        impl Bits for $token {
            type V = __m512i;
            const BATCH: usize = $batch;

            fn proof() -> Result<$token, String> {
                $proof
            }
            #[inline(always)]
            fn enter<J: dot::Job>(self, job: J) {
                $enter(self, job);
            }
            #[inline(always)]
            fn load(self, from: &[i32; LANES]) -> __m512i {
                // SAFETY: the token is proof; sixteen words are read.
                unsafe { _mm512_loadu_si512(from.as_ptr().cast()) }
            }
            #[inline(always)]
            fn splat(self, x: i32) -> __m512i {
                // SAFETY: the token is proof.
                unsafe { _mm512_set1_epi32(x) }
            }
            #[inline(always)]
            fn count(self, $part: __m512i, x: __m512i, y: __m512i) -> __m512i {
                // SAFETY: the token is proof; the table is a vector.
                unsafe {
                    let $bits = _mm512_xor_si512(x, y);
                    $count
                }
            }
            #[inline(always)]
            fn fold(self, $total: __m512i, $counts: __m512i) -> __m512i {
                // SAFETY: the token is proof.
                unsafe { $fold }
            }
            #[inline(always)]
            fn lanes(self, total: __m512i) -> [i32; LANES] {
                let mut lanes = [0; LANES];
                // SAFETY: the token is proof; sixteen lanes are written.
                unsafe { _mm512_storeu_si512(lanes.as_mut_ptr().cast(), total) };
                lanes
            }
        }
    };
}

bits512!(
    Avx512Token,
    BATCH,
    Dot::proof(),
    Dot::enter,
    |part, bits| {
        let table = _mm512_broadcast_i32x4(_mm_loadu_si128(TABLE.as_ptr().cast()));
        let lower = _mm512_set1_epi8(15);
        let low = _mm512_shuffle_epi8(table, _mm512_and_si512(bits, lower));
        let high = _mm512_shuffle_epi8(table, _mm512_and_si512(_mm512_srli_epi16::<4>(bits), lower));
        _mm512_add_epi8(part, _mm512_add_epi8(low, high))
    },
    |total, counts| {
        let pairs = _mm512_maddubs_epi16(counts, _mm512_set1_epi8(1));
        _mm512_add_epi32(total, _mm512_madd_epi16(pairs, _mm512_set1_epi16(1)))
    }
);

/// In a function that has `vpopcntd`.
#[inline(always)]
fn with_vpopcntdq<J: dot::Job>(_: VpopcntdqToken, job: J) {
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vpopcntdq,avx2,fma,f16c")]
    fn with_features<J: dot::Job>(job: J) {
        job.run()
    }
    // SAFETY: the token is proof.
    unsafe { with_features(job) }
}

bits512!(
    VpopcntdqToken,
    usize::MAX,
    VpopcntdqToken::detect().ok_or_else(|| format!("the CPU lacks {}", Extension::Vpopcntdq)),
    with_vpopcntdq,
    |part, bits| _mm512_add_epi32(part, _mm512_popcnt_epi32(bits)),
    |total, counts| _mm512_add_epi32(total, counts)
);

//! Dot products of short elements: 8-bit integers, added in vectors of i32, and bf16, added in vectors of f32.
//!
//! Operands come in *words* of 32 bits: [`Dot::PRODUCTS`] neighbours along k, four bytes each for the instructions of
//! VNNI, two 16-bit integers for those before, two bf16. A word of A is for all lanes, each lane has its own word of B,
//! and an instruction or two add the products of both words to the lane's sum. Integers do not saturate: `vpdpbusd` adds
//! four products of u8 and s8 in 32 bits, `vpmaddwd` two products of numbers of at most 9 bits. (`vpmaddubsw` would
//! saturate in 16 bits.) `vdpbf16ps` takes subnormal numbers for 0, and makes 0 of subnormal results.
//!
//! The tokens implement the trait, as for [`wide`](super::wide): who has one has proof that the CPU has the
//! instructions.

use std::arch::x86_64::*;

use super::memory::Memory;
use super::{Avx2Token, Avx512Token, AvxVnniToken, Bf16Token, Extension, Isa, VnniToken};
use crate::isa::arrays;

/// Words of a line of A: [`sums`] reads lines at a fixed distance.
pub const CHUNK: usize = 256;
/// From one line of A to the next, in words: lines that lie 1 KiB apart would share few sets of the first cache.
pub const LINE: usize = CHUNK + 16;
/// Vectors of a row of a tile.
pub const VECTORS: usize = 2;

/// What requantization does to a sum, beside its scale.
#[derive(Clone, Copy, Debug)]
pub struct Range {
    /// Least result before the zero point is added.
    pub low: f32,
    /// Largest.
    pub high: f32,
    /// The zero point.
    pub zero: i32,
}

/// A piece of work that is compiled with the instructions of a token.
pub trait Job {
    /// Does it. Implementations are `#[inline(always)]`.
    fn run(self);
}

/// Vectors that products of words are added to.
pub trait Dot: Copy + Send + Sync + 'static {
    /// A vector of words.
    type V: Copy;
    /// A vector of sums.
    type S: Copy;
    /// Lanes of either.
    const LANES: usize;
    /// Products in a word: 4 or 2.
    const PRODUCTS: usize;
    /// Rows of a full tile.
    const ROWS: usize;

    /// The proof.
    ///
    /// # Errors
    /// What the CPU lacks.
    fn proof() -> Result<Self, String>;
    /// Runs `job` in a function that has the instructions.
    fn enter<J: Job>(self, job: J);
    /// `x` in every lane.
    fn splat(self, x: i32) -> Self::V;
    /// The first lanes' worth of elements.
    ///
    /// # Panics
    /// If there are fewer.
    fn load(self, from: &[i32]) -> Self::V;
    /// Nothing summed yet.
    fn zero(self) -> Self::S;
    /// `sum` and the products of a word of A, which is in every lane, with words of B.
    fn dot(self, sum: Self::S, a: Self::V, b: Self::V) -> Self::S;

    /// Asks for the cache line of the element at `index`, which need not exist.
    #[inline(always)]
    fn prefetch<T>(self, of: &[T], index: usize) {
        // SAFETY: a prefetch accesses nothing.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(of.as_ptr().wrapping_add(index).cast()) };
    }

    /// The same, to the second cache: what comes too early would drive out what the first one holds.
    #[inline(always)]
    fn prefetch_second<T>(self, of: &[T], index: usize) {
        // SAFETY: a prefetch accesses nothing.
        unsafe { _mm_prefetch::<_MM_HINT_T1>(of.as_ptr().wrapping_add(index).cast()) };
    }

    /// Asks for the cache lines of a panel's row of outputs before it is stored: stores that miss wait for each other.
    #[inline(always)]
    fn ask_for<T>(self, row: &[T]) {
        let line = 64 / size_of::<T>();
        for index in 0..(VECTORS * Self::LANES).div_ceil(line) {
            self.prefetch(row, index * line);
        }
        self.prefetch(row, row.len().saturating_sub(1));
    }
}

/// Vectors of i32 that products of 8-bit integers are added to.
pub trait Integers: Dot<S = <Self as Dot>::V> + Memory {
    /// To the first elements.
    ///
    /// # Panics
    /// If there are fewer than lanes.
    fn store(self, x: Self::V, to: &mut [i32]);
    /// The lowest byte of each lane to the first bytes.
    ///
    /// # Panics
    /// If there are fewer than lanes.
    fn store_bytes(self, x: Self::V, to: &mut [u8]);
    /// The words of a row of bytes that lie side by side, sign-extended where words have two.
    ///
    /// # Panics
    /// If there are fewer than a vector's.
    fn words(self, from: &[i8]) -> Self::V;
    /// The first bytes, one per lane.
    ///
    /// # Panics
    /// If there are fewer than lanes.
    fn of_unsigned(self, from: &[u8]) -> Self::V;
    /// The first bytes with their signs, one per lane.
    ///
    /// # Panics
    /// If there are fewer than lanes.
    fn of_signed(self, from: &[i8]) -> Self::V;
    /// Sum, wrapping.
    fn add(self, x: Self::V, y: Self::V) -> Self::V;
    /// Difference, wrapping.
    fn sub(self, x: Self::V, y: Self::V) -> Self::V;
    /// Product, wrapping.
    fn mul(self, x: Self::V, y: Self::V) -> Self::V;
    /// The larger one.
    fn max(self, x: Self::V, y: Self::V) -> Self::V;
    /// `rint(min(max(f32(x)·scale, low), high)) + zero`; `low` for NaN.
    ///
    /// # Panics
    /// If there are fewer scales than lanes.
    fn requantize(self, x: Self::V, scale: &[f32], range: Range) -> Self::V;
}

/// A word of A. VNNI takes bytes, the others 16-bit integers, of which a word has two.
#[inline(always)]
pub fn a_word<D: Integers>(group: [u8; 4]) -> i32 {
    if D::PRODUCTS == 4 { i32::from_le_bytes(group) } else { i32::from(group[0]) | i32::from(group[1]) << 16 }
}

/// A word of B.
#[inline(always)]
pub fn b_word<D: Integers>(group: [i8; 4]) -> i32 {
    if D::PRODUCTS == 4 {
        i32::from_le_bytes(group.map(|x| x as u8))
    } else {
        i32::from(group[0]) & 0xffff | i32::from(group[1]) << 16
    }
}

/// The sums of a tile of `R` rows and two vectors of columns over all words of B. `a` holds blocks of `D::ROWS` lines,
/// one block for each [`CHUNK`] words of k; `b` holds one pair of vectors for each word.
///
/// # Panics
/// If A is shorter than B asks for.
#[inline(always)]
pub fn sums<D: Dot, const R: usize>(d: D, a: &[i32], b: &[i32]) -> [[D::S; VECTORS]; R] {
    let width = VECTORS * D::LANES;
    let mut sums = [[d.zero(); VECTORS]; R];
    assert!(R <= D::ROWS && a.len() >= b.len().div_ceil(CHUNK * width) * D::ROWS * LINE, "A is too short");
    for (a, b) in a.chunks_exact(D::ROWS * LINE).zip(b.chunks(CHUNK * width)) {
        for (step, b) in b.chunks_exact(width).enumerate() {
            let b: [D::V; VECTORS] = arrays::from_fn(|v| d.load(&b[v * D::LANES..][..D::LANES]));
            for (row, sums) in sums.iter_mut().enumerate() {
                // SAFETY: a block has `D::ROWS` lines of `LINE` words; `row` is below `D::ROWS`, as asserted, and
                // `step` below `CHUNK`, because the chunk of B has at most so many pairs.
                let x = d.splat(unsafe { *a.get_unchecked(row * LINE + step) });
                for v in 0..VECTORS {
                    sums[v] = d.dot(sums[v], x, b[v]);
                }
            }
        }
    }
    sums
}

/// Signed bytes as plain ones.
pub fn bytes_mut(x: &mut [i8]) -> &mut [u8] {
    // SAFETY: both types have one byte, and every value is one of either.
    unsafe { std::slice::from_raw_parts_mut(x.as_mut_ptr().cast(), x.len()) }
}

/// The elements of words that have four, in order.
pub fn bytes_of(words: &mut [i32]) -> &mut [u8] {
    // SAFETY: a word is four bytes, and every pattern is a value of either type.
    unsafe { std::slice::from_raw_parts_mut(words.as_mut_ptr().cast(), 4 * words.len()) }
}

/// The elements of words that have two, in order.
pub fn halves_of(words: &mut [i32]) -> &mut [u16] {
    // SAFETY: a word is two elements of 16 bits, aligned for them, and every pattern is a value of either type.
    unsafe { std::slice::from_raw_parts_mut(words.as_mut_ptr().cast(), 2 * words.len()) }
}

/// Implements [`Integers`] for a token; the intrinsics are those of the vector's width.
macro_rules! integers {
    (
        $token:ident, $v:ty, $lanes:literal, $products:literal, $rows:literal, $lacks:expr, $features:literal,
        [$set1:ident $load:ident $store:ident $add:ident $sub:ident $mul:ident $max:ident],
        |$x:ident, $bytes:ident| $narrow:expr,
        |$from:ident| $words:expr,
        |$sum:ident, $a:ident, $b:ident| $dot:expr,
        [$loadbytes:ident $unsigned:ident $signed:ident],
        [$loadps:ident $cvt:ident $mulps:ident $maxps:ident $minps:ident $setps:ident $round:ident]
    ) => {
        impl Dot for $token {
            type V = $v;
            type S = $v;
            const LANES: usize = $lanes;
            const PRODUCTS: usize = $products;
            const ROWS: usize = $rows;

            fn proof() -> Result<$token, String> {
                $token::detect().ok_or_else(|| format!("the CPU lacks {}", $lacks))
            }
            #[inline(always)]
            fn enter<J: Job>(self, job: J) {
                #[target_feature(enable = $features)]
                fn with_features<J: Job>(job: J) {
                    job.run()
                }
                // SAFETY: the token is proof.
                unsafe { with_features(job) }
            }
            #[inline(always)]
            fn splat(self, x: i32) -> $v {
                // SAFETY: the token is proof.
                unsafe { $set1(x) }
            }
            #[inline(always)]
            fn load(self, from: &[i32]) -> $v {
                let from: &[i32; $lanes] = from.first_chunk().expect("a whole vector");
                // SAFETY: the token is proof; the array is a vector.
                unsafe { $load(from.as_ptr().cast()) }
            }
            #[inline(always)]
            fn zero(self) -> $v {
                self.splat(0)
            }
            #[inline(always)]
            fn dot(self, $sum: $v, $a: $v, $b: $v) -> $v {
                // SAFETY: the token is proof.
                unsafe { $dot }
            }
        }

        impl Integers for $token {
            #[inline(always)]
            fn store(self, x: $v, to: &mut [i32]) {
                let to: &mut [i32; $lanes] = to.first_chunk_mut().expect("a whole vector");
                // SAFETY: the token is proof; the array is a vector.
                unsafe { $store(to.as_mut_ptr().cast(), x) }
            }
            #[inline(always)]
            fn store_bytes(self, $x: $v, to: &mut [u8]) {
                let to: &mut [u8; $lanes] = to.first_chunk_mut().expect("a byte per lane");
                let $bytes = to.as_mut_ptr();
                // SAFETY: the token is proof; as many bytes as lanes are written.
                unsafe { $narrow }
            }
            #[inline(always)]
            fn words(self, from: &[i8]) -> $v {
                let from: &[i8; $lanes * $products] = from.first_chunk().expect("a whole vector");
                let $from = from.as_ptr();
                // SAFETY: the token is proof; so many bytes are read.
                unsafe { $words }
            }
            #[inline(always)]
            fn of_unsigned(self, from: &[u8]) -> $v {
                let from: &[u8; $lanes] = from.first_chunk().expect("a byte per lane");
                // SAFETY: the token is proof; as many bytes as lanes are read.
                unsafe { $unsigned($loadbytes(from.as_ptr().cast())) }
            }
            #[inline(always)]
            fn of_signed(self, from: &[i8]) -> $v {
                let from: &[i8; $lanes] = from.first_chunk().expect("a byte per lane");
                // SAFETY: the token is proof; as many bytes as lanes are read.
                unsafe { $signed($loadbytes(from.as_ptr().cast())) }
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
            fn max(self, x: $v, y: $v) -> $v {
                // SAFETY: the token is proof.
                unsafe { $max(x, y) }
            }
            #[inline(always)]
            fn requantize(self, x: $v, scale: &[f32], range: Range) -> $v {
                let scale: &[f32; $lanes] = scale.first_chunk().expect("a scale per lane");
                // With a NaN, the instruction gives its second operand.
                // SAFETY: the token is proof; the array is a vector.
                unsafe {
                    let product = $mulps($cvt(x), $loadps(scale.as_ptr()));
                    let clamped = $minps($maxps(product, $setps(range.low)), $setps(range.high));
                    $add($round(clamped), $set1(range.zero))
                }
            }
        }
    };
}

macro_rules! dot512 {
    (
        $token:ident, $products:literal, $lacks:expr, $features:literal,
        |$from:ident| $words:expr, |$sum:ident, $a:ident, $b:ident| $dot:expr
    ) => {
        integers!(
            $token, __m512i, 16, $products, 12, $lacks, $features,
            [_mm512_set1_epi32 _mm512_loadu_si512 _mm512_storeu_si512 _mm512_add_epi32 _mm512_sub_epi32
             _mm512_mullo_epi32 _mm512_max_epi32],
            |x, bytes| _mm_storeu_si128(bytes.cast(), _mm512_cvtepi32_epi8(x)),
            |$from| $words,
            |$sum, $a, $b| $dot,
            [_mm_loadu_si128 _mm512_cvtepu8_epi32 _mm512_cvtepi8_epi32],
            [_mm512_loadu_ps _mm512_cvtepi32_ps _mm512_mul_ps _mm512_max_ps _mm512_min_ps _mm512_set1_ps
             _mm512_cvtps_epi32]
        );
    };
}

macro_rules! dot256 {
    (
        $token:ident, $products:literal, $lacks:expr, $features:literal,
        |$from:ident| $words:expr, |$sum:ident, $a:ident, $b:ident| $dot:expr
    ) => {
        integers!(
            $token, __m256i, 8, $products, 6, $lacks, $features,
            [_mm256_set1_epi32 _mm256_loadu_si256 _mm256_storeu_si256 _mm256_add_epi32 _mm256_sub_epi32
             _mm256_mullo_epi32 _mm256_max_epi32],
            |x, bytes| {
                // The lowest bytes of each half to its first four, then both halves' side by side.
                let first = _mm256_set1_epi32(0x0c08_0400);
                let halves = _mm256_setr_epi32(0, 4, 0, 0, 0, 0, 0, 0);
                let packed = _mm256_permutevar8x32_epi32(_mm256_shuffle_epi8(x, first), halves);
                _mm_storel_epi64(bytes.cast(), _mm256_castsi256_si128(packed));
            },
            |$from| $words,
            |$sum, $a, $b| $dot,
            [_mm_loadl_epi64 _mm256_cvtepu8_epi32 _mm256_cvtepi8_epi32],
            [_mm256_loadu_ps _mm256_cvtepi32_ps _mm256_mul_ps _mm256_max_ps _mm256_min_ps _mm256_set1_ps
             _mm256_cvtps_epi32]
        );
    };
}

dot256!(
    Avx2Token,
    2,
    Isa::Avx2,
    "avx2,fma,f16c",
    |from| _mm256_cvtepi8_epi16(_mm_loadu_si128(from.cast())),
    |sum, a, b| _mm256_add_epi32(sum, _mm256_madd_epi16(a, b))
);
dot256!(
    AvxVnniToken,
    4,
    Extension::AvxVnni,
    "avx2,fma,f16c,avxvnni",
    |from| _mm256_loadu_si256(from.cast()),
    |sum, a, b| _mm256_dpbusd_avx_epi32(sum, a, b)
);
dot512!(
    Avx512Token,
    2,
    Isa::Avx512,
    "avx512f,avx512bw,avx512vl,avx512dq,avx2,fma,f16c",
    |from| _mm512_cvtepi8_epi16(_mm256_loadu_si256(from.cast())),
    |sum, a, b| _mm512_add_epi32(sum, _mm512_madd_epi16(a, b))
);
dot512!(
    VnniToken,
    4,
    Extension::Vnni,
    "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,avx2,fma,f16c",
    |from| _mm512_loadu_si512(from.cast()),
    |sum, a, b| _mm512_dpbusd_epi32(sum, a, b)
);

impl Dot for Bf16Token {
    type V = __m512i;
    type S = __m512;
    const LANES: usize = 16;
    const PRODUCTS: usize = 2;
    const ROWS: usize = 12;

    fn proof() -> Result<Bf16Token, String> {
        Bf16Token::detect().ok_or_else(|| format!("the CPU lacks {}", Extension::Bf16))
    }
    #[inline(always)]
    fn enter<J: Job>(self, job: J) {
        #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512bf16,avx2,fma,f16c")]
        fn with_features<J: Job>(job: J) {
            job.run()
        }
        // SAFETY: the token is proof.
        unsafe { with_features(job) }
    }
    #[inline(always)]
    fn splat(self, x: i32) -> __m512i {
        // SAFETY: the token is proof.
        unsafe { _mm512_set1_epi32(x) }
    }
    #[inline(always)]
    fn load(self, from: &[i32]) -> __m512i {
        let from: &[i32; 16] = from.first_chunk().expect("a whole vector");
        // SAFETY: the token is proof; the array is a vector.
        unsafe { _mm512_loadu_si512(from.as_ptr().cast()) }
    }
    #[inline(always)]
    fn zero(self) -> __m512 {
        // SAFETY: the token is proof.
        unsafe { _mm512_setzero_ps() }
    }
    #[inline(always)]
    fn dot(self, sum: __m512, a: __m512i, b: __m512i) -> __m512 {
        // SAFETY: the token is proof; a vector of bf16 has any bits.
        unsafe {
            _mm512_dpbf16_ps(
                sum,
                std::mem::transmute::<__m512i, __m512bh>(a),
                std::mem::transmute::<__m512i, __m512bh>(b),
            )
        }
    }
}

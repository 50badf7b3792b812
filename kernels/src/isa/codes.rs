//! Products of codes of 4 or 2 bits: sixteen words of 32 bits, each with eight or sixteen codes of an output, times elements
//! of A.
//!
//! A step multiplies some codes of each word with an element of A, which is in every lane, and adds the products to the
//! lane's sum: one code and an f32, two codes and two bf16, or four codes and four signed bytes. So a row of A is
//! prepared as [`Products::STEPS`] elements for the codes of a word. Integers do not saturate; `vdpbf16ps` takes subnormal
//! numbers for 0, and makes 0 of subnormal results.
//!
//! The tokens implement the trait, as for [`dot`].

use std::arch::x86_64::*;

use etalon_reference::Element;
use half::bf16;

use super::dot::{self, Dot};
use super::narrow::{Convert, Narrow};
use super::wide::{LANES, Wide};
use super::{Avx2Token, Avx512Token, Bf16Token, VnniToken};
use crate::isa::arrays;

/// Codes of a word at most, and steps: of 2 bits.
pub const MOST_CODES: usize = 16;

/// A way to multiply codes.
pub trait Products: Copy + Send + Sync {
    /// Vectors of f32 for what becomes of the sums.
    type Lanes: Convert;
    /// What a row of A is prepared as.
    type A: Element;
    /// Sixteen words.
    type W: Copy;
    /// Codes, unpacked.
    type V: Copy;
    /// A vector of sums.
    type S: Copy;
    /// Codes of a word.
    const CODES: usize;
    /// Steps of a word.
    const STEPS: usize;
    /// Rows that a block has at most.
    const ROWS: usize;
    /// Vectors of sums that are kept apart, so that one instruction need not wait for another.
    const CHAINS: usize;

    /// Runs `job` in a function that has the instructions.
    fn enter<J: dot::Job>(self, job: J);
    /// The vectors.
    fn lanes(self) -> Self::Lanes;
    /// Nothing summed yet.
    fn none(self) -> Self::S;
    /// From memory.
    fn words(self, from: &[i32; LANES]) -> Self::W;
    /// The codes of a step.
    fn unpack(self, words: Self::W, step: usize) -> Self::V;
    /// `sum` and the products of a step.
    fn add(self, sum: Self::S, a: Self::A, codes: Self::V) -> Self::S;
    /// Two sums as one.
    fn join(self, x: Self::S, y: Self::S) -> Self::S;
    /// The sum as f32.
    fn real(self, sum: Self::S) -> <Self::Lanes as Wide<f32>>::F;
}

/// Elements of A that can be prepared for a way to multiply.
pub trait Prepare<E: Element>: Products {
    /// Those for the codes of a word, as elements of its steps.
    fn prepare(self, x: &[E], to: &mut [Self::A]);
    /// The sum of some.
    fn sum(x: &[E]) -> f32;
}

/// By f32.
#[derive(Clone, Copy, Debug)]
pub struct ByF32<L, const BITS: usize>(pub L);

/// By pairs of bf16.
#[derive(Clone, Copy, Debug)]
pub struct ByBf16<const BITS: usize>(pub Bf16Token, pub Avx512Token);

/// By four bytes.
#[derive(Clone, Copy, Debug)]
pub struct ByBytes<D: Bytes, const BITS: usize>(pub D, pub D::Lanes);

/// Sixteen sums, which are added in order.
#[inline(always)]
fn sum<E: Narrow>(x: &[E]) -> f32 {
    let (chunks, rest) = x.as_chunks::<LANES>();
    let mut sums = [0.0f32; LANES];
    chunks.iter().for_each(|chunk| sums.iter_mut().zip(chunk).for_each(|(sum, x)| *sum += x.widened()));
    sums.iter_mut().zip(rest).for_each(|(sum, x)| *sum += x.widened());
    sums.iter().sum()
}

/// Vectors of f32 that are made of codes.
pub trait Codes: Convert + Dot {
    /// Rows of a block, and chains.
    const SHAPE: (usize, usize);
    /// Sixteen words.
    type W: Copy;
    /// From memory.
    fn load_words(self, from: &[i32; LANES]) -> Self::W;
    /// Code `j` of each word, as f32.
    fn code<const BITS: usize>(self, words: Self::W, j: usize) -> Self::F;
}

impl Codes for Avx2Token {
    const SHAPE: (usize, usize) = (2, 4);
    type W = [__m256i; 2];
    #[inline(always)]
    fn load_words(self, from: &[i32; LANES]) -> [__m256i; 2] {
        let at = from.as_ptr().cast::<__m256i>();
        // SAFETY: the token is proof; sixteen words are read.
        unsafe { [_mm256_loadu_si256(at), _mm256_loadu_si256(at.add(1))] }
    }
    #[inline(always)]
    fn code<const BITS: usize>(self, words: [__m256i; 2], j: usize) -> Self::F {
        // SAFETY: the token is proof.
        words.map(|words| unsafe {
            let lowest = _mm256_set1_epi32((1 << BITS) - 1);
            let moved = _mm256_srl_epi32(words, _mm_cvtsi32_si128((BITS * j) as i32));
            _mm256_cvtepi32_ps(_mm256_and_si256(moved, lowest))
        })
    }
}

impl Codes for Avx512Token {
    const SHAPE: (usize, usize) = (6, 8);
    type W = __m512i;
    #[inline(always)]
    fn load_words(self, from: &[i32; LANES]) -> __m512i {
        // SAFETY: the token is proof; sixteen words are read.
        unsafe { _mm512_loadu_si512(from.as_ptr().cast()) }
    }
    #[inline(always)]
    fn code<const BITS: usize>(self, words: __m512i, j: usize) -> __m512 {
        /// For each four bits, the number that the lowest ones are: the instruction looks at no others.
        const fn table(bits: usize) -> [f32; LANES] {
            let mut table = [0.0; LANES];
            let mut i = 0;
            while i < LANES {
                table[i] = (i & ((1 << bits) - 1)) as f32;
                i += 1;
            }
            table
        }
        // SAFETY: the token is proof; a vector of the table is read.
        unsafe {
            let table = _mm512_loadu_ps(const { table(BITS) }.as_ptr());
            _mm512_permutexvar_ps(_mm512_srl_epi32(words, _mm_cvtsi32_si128((BITS * j) as i32)), table)
        }
    }
}

impl<L: Codes, const BITS: usize> Products for ByF32<L, BITS> {
    type Lanes = L;
    type A = f32;
    type W = L::W;
    type V = L::F;
    type S = L::F;
    const CODES: usize = 32 / BITS;
    const STEPS: usize = 32 / BITS;
    const ROWS: usize = L::SHAPE.0;
    const CHAINS: usize = L::SHAPE.1;

    #[inline(always)]
    fn enter<J: dot::Job>(self, job: J) {
        Dot::enter(self.0, job);
    }
    #[inline(always)]
    fn lanes(self) -> L {
        self.0
    }
    #[inline(always)]
    fn none(self) -> L::F {
        Wide::splat(self.0, 0.0)
    }
    #[inline(always)]
    fn words(self, from: &[i32; LANES]) -> L::W {
        self.0.load_words(from)
    }
    #[inline(always)]
    fn unpack(self, words: L::W, step: usize) -> L::F {
        self.0.code::<BITS>(words, step)
    }
    #[inline(always)]
    fn add(self, sum: L::F, a: f32, codes: L::F) -> L::F {
        self.0.fma(Wide::splat(self.0, a), codes, sum)
    }
    #[inline(always)]
    fn join(self, x: L::F, y: L::F) -> L::F {
        Wide::<f32>::add(self.0, x, y)
    }
    #[inline(always)]
    fn real(self, sum: L::F) -> L::F {
        sum
    }
}

impl<L: Codes, E: Narrow, const BITS: usize> Prepare<E> for ByF32<L, BITS> {
    #[inline(always)]
    fn prepare(self, x: &[E], to: &mut [f32]) {
        to.iter_mut().zip(x).for_each(|(to, x)| *to = x.widened());
    }
    #[inline(always)]
    fn sum(x: &[E]) -> f32 {
        sum(x)
    }
}

impl<const BITS: usize> Products for ByBf16<BITS> {
    type Lanes = Avx512Token;
    type A = i32;
    type W = __m512i;
    type V = __m512i;
    type S = __m512;
    const CODES: usize = 32 / BITS;
    const STEPS: usize = 16 / BITS;
    const ROWS: usize = 6;
    const CHAINS: usize = 8;

    #[inline(always)]
    fn enter<J: dot::Job>(self, job: J) {
        self.0.enter(job);
    }
    #[inline(always)]
    fn lanes(self) -> Avx512Token {
        self.1
    }
    #[inline(always)]
    fn none(self) -> __m512 {
        self.0.zero()
    }
    #[inline(always)]
    fn words(self, from: &[i32; LANES]) -> __m512i {
        Codes::load_words(self.1, from)
    }
    /// Step j has code j of the word's lower half, and code j of its upper one.
    #[inline(always)]
    fn unpack(self, words: __m512i, step: usize) -> __m512i {
        /// For each five bits, the number that the lowest ones are, in bf16: the instruction looks at no others.
        const fn table(bits: usize) -> [bf16; 2 * LANES] {
            let mut table = [bf16::ZERO; 2 * LANES];
            let mut i = 0;
            while i < table.len() {
                table[i] = bf16::from_f32_const((i & ((1 << bits) - 1)) as f32);
                i += 1;
            }
            table
        }
        // SAFETY: the tokens are proof; a vector of the table is read.
        unsafe {
            let table = _mm512_loadu_si512(const { table(BITS) }.as_ptr().cast());
            _mm512_permutexvar_epi16(_mm512_srl_epi16(words, _mm_cvtsi32_si128((BITS * step) as i32)), table)
        }
    }
    #[inline(always)]
    fn add(self, sum: __m512, a: i32, codes: __m512i) -> __m512 {
        self.0.dot(sum, Dot::splat(self.0, a), codes)
    }
    #[inline(always)]
    fn join(self, x: __m512, y: __m512) -> __m512 {
        Wide::<f32>::add(self.1, x, y)
    }
    #[inline(always)]
    fn real(self, sum: __m512) -> __m512 {
        sum
    }
}

impl<const BITS: usize> Prepare<bf16> for ByBf16<BITS> {
    #[inline(always)]
    fn prepare(self, x: &[bf16], to: &mut [i32]) {
        let (low, high) = x.split_at(Self::STEPS);
        for ((to, low), high) in to.iter_mut().zip(low).zip(high) {
            *to = (u32::from(low.to_bits()) | u32::from(high.to_bits()) << 16) as i32;
        }
    }
    #[inline(always)]
    fn sum(x: &[bf16]) -> f32 {
        sum(x)
    }
}

/// Sums of products of codes and bytes.
pub trait Bytes: Dot {
    /// Vectors of f32.
    type Lanes: Convert;
    /// Sixteen integers.
    type I: Copy;
    /// Rows of a block, and chains.
    const SHAPE: (usize, usize);
    /// Sixteen words.
    fn load_words(self, from: &[i32; LANES]) -> Self::I;
    /// Every `8/BITS`-th code from code `j` on, as bytes.
    fn code<const BITS: usize>(self, words: Self::I, j: usize) -> Self::I;
    /// Zeros.
    fn nothing(self) -> Self::I;
    /// `sum` and the products of four bytes.
    fn dot4(self, sum: Self::I, a: i32, codes: Self::I) -> Self::I;
    /// The sum of two.
    fn plus(self, x: Self::I, y: Self::I) -> Self::I;
    /// As f32, rounded.
    fn real(self, x: Self::I) -> <Self::Lanes as Wide<f32>>::F;
}

impl Bytes for Avx2Token {
    type Lanes = Avx2Token;
    type I = [__m256i; 2];
    const SHAPE: (usize, usize) = (2, 4);
    #[inline(always)]
    fn load_words(self, from: &[i32; LANES]) -> [__m256i; 2] {
        Codes::load_words(self, from)
    }
    #[inline(always)]
    fn code<const BITS: usize>(self, words: [__m256i; 2], j: usize) -> [__m256i; 2] {
        // SAFETY: the token is proof.
        words.map(|words| unsafe {
            let moved = _mm256_srl_epi16(words, _mm_cvtsi32_si128((BITS * j) as i32));
            _mm256_and_si256(moved, _mm256_set1_epi8((1 << BITS) - 1))
        })
    }
    #[inline(always)]
    fn nothing(self) -> [__m256i; 2] {
        [Dot::splat(self, 0); 2]
    }
    #[inline(always)]
    fn dot4(self, sum: [__m256i; 2], a: i32, codes: [__m256i; 2]) -> [__m256i; 2] {
        // Two products of at most 15·128 do not saturate 16 bits.
        // SAFETY: the token is proof.
        arrays::from_fn(|half| unsafe {
            let pairs = _mm256_maddubs_epi16(codes[half], _mm256_set1_epi32(a));
            _mm256_add_epi32(sum[half], _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)))
        })
    }
    #[inline(always)]
    fn plus(self, x: [__m256i; 2], y: [__m256i; 2]) -> [__m256i; 2] {
        // SAFETY: the token is proof.
        arrays::from_fn(|half| unsafe { _mm256_add_epi32(x[half], y[half]) })
    }
    #[inline(always)]
    fn real(self, x: [__m256i; 2]) -> [__m256; 2] {
        // SAFETY: the token is proof.
        x.map(|x| unsafe { _mm256_cvtepi32_ps(x) })
    }
}

macro_rules! bytes512 {
    ($token:ident, |$sum:ident, $a:ident, $codes:ident| $dot:expr) => {
        impl Bytes for $token {
            type Lanes = Avx512Token;
            type I = __m512i;
            const SHAPE: (usize, usize) = (6, 8);
            #[inline(always)]
            fn load_words(self, from: &[i32; LANES]) -> __m512i {
                Dot::load(self, from)
            }
            #[inline(always)]
            fn code<const BITS: usize>(self, words: __m512i, j: usize) -> __m512i {
                // SAFETY: the token is proof.
                unsafe {
                    let moved = _mm512_srl_epi16(words, _mm_cvtsi32_si128((BITS * j) as i32));
                    _mm512_and_si512(moved, _mm512_set1_epi8((1 << BITS) - 1))
                }
            }
            #[inline(always)]
            fn nothing(self) -> __m512i {
                Dot::splat(self, 0)
            }
            #[inline(always)]
            fn dot4(self, $sum: __m512i, a: i32, $codes: __m512i) -> __m512i {
                // SAFETY: the token is proof.
                unsafe {
                    let $a = _mm512_set1_epi32(a);
                    $dot
                }
            }
            #[inline(always)]
            fn plus(self, x: __m512i, y: __m512i) -> __m512i {
                // SAFETY: the token is proof.
                unsafe { _mm512_add_epi32(x, y) }
            }
            #[inline(always)]
            fn real(self, x: __m512i) -> __m512 {
                // SAFETY: the token is proof.
                unsafe { _mm512_cvtepi32_ps(x) }
            }
        }
    };
}

bytes512!(Avx512Token, |sum, a, codes| {
    // Two products of at most 15·128 do not saturate 16 bits.
    let pairs = _mm512_maddubs_epi16(codes, a);
    _mm512_add_epi32(sum, _mm512_madd_epi16(pairs, _mm512_set1_epi16(1)))
});
bytes512!(VnniToken, |sum, a, codes| _mm512_dpbusd_epi32(sum, codes, a));

impl<D: Bytes, const BITS: usize> Products for ByBytes<D, BITS> {
    type Lanes = D::Lanes;
    type A = i32;
    type W = D::I;
    type V = D::I;
    type S = D::I;
    const CODES: usize = 32 / BITS;
    const STEPS: usize = 8 / BITS;
    const ROWS: usize = D::SHAPE.0;
    const CHAINS: usize = D::SHAPE.1;

    #[inline(always)]
    fn enter<J: dot::Job>(self, job: J) {
        self.0.enter(job);
    }
    #[inline(always)]
    fn lanes(self) -> D::Lanes {
        self.1
    }
    #[inline(always)]
    fn none(self) -> D::I {
        self.0.nothing()
    }
    #[inline(always)]
    fn words(self, from: &[i32; LANES]) -> D::I {
        self.0.load_words(from)
    }
    #[inline(always)]
    fn unpack(self, words: D::I, step: usize) -> D::I {
        self.0.code::<BITS>(words, step)
    }
    #[inline(always)]
    fn add(self, sum: D::I, a: i32, codes: D::I) -> D::I {
        self.0.dot4(sum, a, codes)
    }
    #[inline(always)]
    fn join(self, x: D::I, y: D::I) -> D::I {
        self.0.plus(x, y)
    }
    #[inline(always)]
    fn real(self, sum: D::I) -> <D::Lanes as Wide<f32>>::F {
        self.0.real(sum)
    }
}

impl<D: Bytes, const BITS: usize> Prepare<i8> for ByBytes<D, BITS> {
    #[inline(always)]
    fn prepare(self, x: &[i8], to: &mut [i32]) {
        if let (4, Some(x)) = (BITS, x.first_chunk::<8>()) {
            // Every second byte of eight, moved together.
            let eight = u64::from_le_bytes(x.map(|x| x as u8));
            let together = |x: u64| {
                let x = x & 0x00ff_00ff_00ff_00ff;
                let x = (x | x >> 8) & 0x0000_ffff_0000_ffff;
                (x | x >> 16) as i32
            };
            to[0] = together(eight);
            to[1] = together(eight >> 8);
            return;
        }
        let steps = Self::STEPS;
        for (j, to) in to.iter_mut().enumerate() {
            *to = i32::from_le_bytes([0, 1, 2, 3].map(|byte| x[j + byte * steps] as u8));
        }
    }
    /// Exact, and rounded once.
    #[inline(always)]
    fn sum(x: &[i8]) -> f32 {
        x.iter().fold(0i32, |sum, &x| sum.wrapping_add(x.into())) as f32
    }
}

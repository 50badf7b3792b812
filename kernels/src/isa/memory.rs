//! How vectors of words and sums of 8-bit integers meet memory: words that are made of rows of bytes, and stores of less
//! than a vector.

use std::arch::x86_64::*;

use super::dot::{Dot, Integers};
use super::{Avx2Token, Avx512Token, AvxVnniToken, VnniToken};

/// Loads and stores that take more than an instruction.
pub trait Memory: Dot {
    /// The words of a vector of columns, each of the column's bytes in the first [`Dot::PRODUCTS`] rows.
    ///
    /// # Panics
    /// If a row has fewer bytes than lanes.
    fn across(self, rows: [&[i8]; 4]) -> Self::V;
    /// The first lanes to as many elements as there are, at most a vector's.
    fn store_first(self, x: Self::V, to: &mut [i32]);
    /// The lowest bytes of the first lanes to as many elements as there are, at most a vector's.
    fn store_first_bytes(self, x: Self::V, to: &mut [u8]);
    /// A word in every lane, its bits that are set in `flip` turned over.
    fn splat_flipped(self, word: i32, flip: i32) -> Self::V;
}

/// Where a row's first bytes are.
#[inline(always)]
fn first<const N: usize>(row: &[i8]) -> *const __m128i {
    let row: &[i8; N] = row.first_chunk().expect("a byte per lane");
    row.as_ptr().cast()
}

/// A bit for each of the first lanes.
#[inline(always)]
fn first_lanes(count: usize) -> u16 {
    assert!(count <= 16, "at most a vector");
    ((1u32 << count) - 1) as u16
}

/// What both tokens of 256 bits do alike.
macro_rules! in_256_bits {
    () => {
        #[inline(always)]
        fn store_first(self, x: __m256i, to: &mut [i32]) {
            assert!(to.len() <= 8, "at most a vector");
            // SAFETY: the token is proof; lanes below the number of elements are written.
            unsafe {
                let lanes = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
                let mask = _mm256_cmpgt_epi32(_mm256_set1_epi32(to.len() as i32), lanes);
                _mm256_maskstore_epi32(to.as_mut_ptr(), mask, x);
            }
        }
        #[inline(always)]
        fn store_first_bytes(self, x: __m256i, to: &mut [u8]) {
            let mut lanes = [0; 8];
            self.store_bytes(x, &mut lanes);
            to.copy_from_slice(&lanes[..to.len()]);
        }
        #[inline(always)]
        fn splat_flipped(self, word: i32, flip: i32) -> __m256i {
            // SAFETY: the token is proof.
            unsafe { _mm256_xor_si256(self.splat(word), self.splat(flip)) }
        }
    };
}

/// What both tokens of 512 bits do alike.
macro_rules! in_512_bits {
    () => {
        #[inline(always)]
        fn store_first(self, x: __m512i, to: &mut [i32]) {
            // SAFETY: the token is proof; so many lanes are written.
            unsafe { _mm512_mask_storeu_epi32(to.as_mut_ptr(), first_lanes(to.len()), x) }
        }
        #[inline(always)]
        fn store_first_bytes(self, x: __m512i, to: &mut [u8]) {
            // SAFETY: the token is proof; so many bytes are written.
            unsafe { _mm_mask_storeu_epi8(to.as_mut_ptr().cast(), first_lanes(to.len()), _mm512_cvtepi32_epi8(x)) }
        }
        #[inline(always)]
        fn splat_flipped(self, word: i32, flip: i32) -> __m512i {
            // SAFETY: the token is proof.
            unsafe { _mm512_xor_si512(self.splat(word), self.splat(flip)) }
        }
    };
}

impl Memory for Avx2Token {
    #[inline(always)]
    fn across(self, rows: [&[i8]; 4]) -> __m256i {
        let [x, y, ..] = rows.map(first::<8>);
        // SAFETY: the token is proof; eight bytes of each row are read.
        unsafe { _mm256_cvtepi8_epi16(_mm_unpacklo_epi8(_mm_loadl_epi64(x), _mm_loadl_epi64(y))) }
    }
    in_256_bits!();
}

impl Memory for AvxVnniToken {
    #[inline(always)]
    fn across(self, rows: [&[i8]; 4]) -> __m256i {
        let [x, y, z, w] = rows.map(first::<8>);
        // SAFETY: the token is proof; eight bytes of each row are read.
        unsafe {
            let even = _mm_unpacklo_epi8(_mm_loadl_epi64(x), _mm_loadl_epi64(y));
            let odd = _mm_unpacklo_epi8(_mm_loadl_epi64(z), _mm_loadl_epi64(w));
            _mm256_set_m128i(_mm_unpackhi_epi16(even, odd), _mm_unpacklo_epi16(even, odd))
        }
    }
    in_256_bits!();
}

impl Memory for Avx512Token {
    #[inline(always)]
    fn across(self, rows: [&[i8]; 4]) -> __m512i {
        let [x, y, ..] = rows.map(first::<16>);
        // SAFETY: the token is proof; sixteen bytes of each row are read.
        unsafe {
            let (x, y) = (_mm_loadu_si128(x), _mm_loadu_si128(y));
            _mm512_cvtepi8_epi16(_mm256_set_m128i(_mm_unpackhi_epi8(x, y), _mm_unpacklo_epi8(x, y)))
        }
    }
    in_512_bits!();
}

impl Memory for VnniToken {
    #[inline(always)]
    fn across(self, rows: [&[i8]; 4]) -> __m512i {
        let [x, y, z, w] = rows.map(first::<16>);
        // SAFETY: the token is proof; sixteen bytes of each row are read.
        unsafe {
            let (x, y, z, w) = (_mm_loadu_si128(x), _mm_loadu_si128(y), _mm_loadu_si128(z), _mm_loadu_si128(w));
            let lower = _mm512_castsi256_si512(_mm256_set_m128i(y, x));
            let all = _mm512_inserti64x4::<1>(lower, _mm256_set_m128i(w, z));
            // Four columns of all rows to each quarter, then the bytes of a column side by side.
            let quarters = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
            let bytes = _mm512_broadcast_i32x4(_mm_setr_epi8(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15));
            _mm512_shuffle_epi8(_mm512_permutexvar_epi32(quarters, all), bytes)
        }
    }
    in_512_bits!();
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::isa::dot::b_word;

    fn is_as_word_by_word<D: Integers>() {
        let Ok(d) = D::proof() else {
            return;
        };
        let rows: [Vec<i8>; 4] = std::array::from_fn(|i| (0..16).map(|j| (i * 67 + j * 29) as u8 as i8).collect());
        let mut words = [0; 16];
        d.store(d.across(std::array::from_fn(|i| &rows[i][..])), &mut words);
        for (j, word) in words[..D::LANES].iter().enumerate() {
            assert_eq!(*word, b_word::<D>(std::array::from_fn(|i| rows[i][j])), "column {j}");
        }
    }

    fn stores_no_more_than_asked<D: Integers>() {
        let Ok(d) = D::proof() else {
            return;
        };
        let lanes: [i32; 16] = std::array::from_fn(|i| i as i32 * 259 - 77);
        for len in 0..=D::LANES {
            let (mut words, mut bytes) = ([-1; 17], [9u8; 17]);
            d.store_first(d.load(&lanes), &mut words[..len]);
            d.store_first_bytes(d.load(&lanes), &mut bytes[..len]);
            for i in 0..17 {
                let [word, byte] = if i < len { [lanes[i], lanes[i] & 255] } else { [-1, 9] };
                assert_eq!((words[i], i32::from(bytes[i])), (word, byte), "{len}: {i}");
            }
        }
        let mut flipped = [0; 16];
        d.store(d.splat_flipped(0x0102_0380, 0x8080_8080u32 as i32), &mut flipped);
        assert_eq!(flipped[..D::LANES], [0x8182_8300u32 as i32; 16][..D::LANES]);
    }

    #[test]
    fn stores_end_where_elements_do() {
        stores_no_more_than_asked::<Avx2Token>();
        stores_no_more_than_asked::<AvxVnniToken>();
        stores_no_more_than_asked::<Avx512Token>();
        stores_no_more_than_asked::<VnniToken>();
    }

    #[test]
    fn words_have_their_columns_bytes() {
        is_as_word_by_word::<Avx2Token>();
        is_as_word_by_word::<AvxVnniToken>();
        is_as_word_by_word::<Avx512Token>();
        is_as_word_by_word::<VnniToken>();
    }
}

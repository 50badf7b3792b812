//! Elements of 16 and 8 bits, sixteen at a time: widened to f32, which has all their values, and rounded from it.
//!
//! Rounding is to nearest, ties to even; NaN stays NaN (a quiet one), subnormals are kept, and what is too large becomes
//! what the dtype has for it. Vectors and [`Narrow::widened`], [`Narrow::rounded`] give the same bits, except for a
//! NaN's payload.

use etalon_reference::Element;
use etalon_reference::narrow::{F8e4m3, F8e5m2};
use half::{bf16, f16};

use super::Isa;
use super::wide::{LANES, Scalar, Wide, Work};
#[cfg(target_arch = "x86_64")]
use super::{Avx2Token, Avx512Token};

/// Vectors of f32 that are made of shorter elements, given as bits.
pub trait Convert: Wide<f32> {
    /// Vectors that fit the registers beside a few more.
    const ROWS: usize;

    /// f16 to f32.
    fn of_f16(self, x: &[u16; LANES]) -> Self::F;
    /// f32 to f16.
    fn to_f16(self, x: Self::F) -> [u16; LANES];
    /// The upper halves of f32, the lower ones 0: bf16 to f32.
    fn of_bf16(self, x: &[u16; LANES]) -> Self::F;
    /// f32 to bf16.
    #[inline(always)]
    fn to_bf16(self, x: Self::F) -> [u16; LANES] {
        let mut lanes = [0.0; LANES];
        self.store(x, &mut lanes);
        lanes.map(upper_half)
    }
}

/// An element that f32 has all values of.
pub trait Narrow: Element {
    /// As f32.
    fn widened(self) -> f32;
    /// f32 rounded once.
    fn rounded(x: f32) -> Self;
    /// A vector of them as f32.
    fn widen<L: Convert>(l: L, from: &[Self; LANES]) -> L::F;
    /// A vector of f32, each rounded once.
    fn narrow<L: Convert>(l: L, x: L::F, to: &mut [Self; LANES]);
}

impl Narrow for f32 {
    fn widened(self) -> f32 {
        self
    }
    fn rounded(x: f32) -> f32 {
        x
    }
    #[inline(always)]
    fn widen<L: Convert>(l: L, from: &[f32; LANES]) -> L::F {
        l.load(from)
    }
    #[inline(always)]
    fn narrow<L: Convert>(l: L, x: L::F, to: &mut [f32; LANES]) {
        l.store(x, to);
    }
}

/// f32 rounded to the upper 16 bits of its pattern.
#[inline(always)]
fn upper_half(x: f32) -> u16 {
    let bits = x.to_bits();
    let rounded = bits.wrapping_add(0x7fff + (bits >> 16 & 1)) >> 16;
    // What would be carried into the exponent of a NaN must not make a number of it.
    (if x.is_nan() { bits >> 16 | 0x40 } else { rounded }) as u16
}

impl Narrow for bf16 {
    fn widened(self) -> f32 {
        f32::from_bits(u32::from(self.to_bits()) << 16)
    }
    fn rounded(x: f32) -> bf16 {
        bf16::from_bits(upper_half(x))
    }
    #[inline(always)]
    fn widen<L: Convert>(l: L, from: &[bf16; LANES]) -> L::F {
        l.of_bf16(&from.map(bf16::to_bits))
    }
    #[inline(always)]
    fn narrow<L: Convert>(l: L, x: L::F, to: &mut [bf16; LANES]) {
        for (to, bits) in to.iter_mut().zip(l.to_bf16(x)) {
            *to = bf16::from_bits(bits);
        }
    }
}

impl Narrow for f16 {
    fn widened(self) -> f32 {
        self.to_f32_const()
    }
    fn rounded(x: f32) -> f16 {
        f16::from_f32_const(x)
    }
    #[inline(always)]
    fn widen<L: Convert>(l: L, from: &[f16; LANES]) -> L::F {
        l.of_f16(&from.map(f16::to_bits))
    }
    #[inline(always)]
    fn narrow<L: Convert>(l: L, x: L::F, to: &mut [f16; LANES]) {
        for (to, bits) in to.iter_mut().zip(l.to_f16(x)) {
            *to = f16::from_bits(bits);
        }
    }
}

impl Narrow for F8e5m2 {
    fn widened(self) -> f32 {
        f16::from_bits(u16::from(self.0) << 8).widened()
    }
    fn rounded(x: f32) -> F8e5m2 {
        F8e5m2::from_f64(x.into())
    }
    #[inline(always)]
    fn widen<L: Convert>(l: L, from: &[F8e5m2; LANES]) -> L::F {
        // f16 without its lower byte.
        l.of_f16(&from.map(|x| u16::from(x.0) << 8))
    }
    #[inline(always)]
    fn narrow<L: Convert>(l: L, x: L::F, to: &mut [F8e5m2; LANES]) {
        round_each(l, x, to);
    }
}

impl Narrow for F8e4m3 {
    fn widened(self) -> f32 {
        f16::from_bits(half_of_e4m3(self.0)).widened() * E4M3_SCALE
    }
    fn rounded(x: f32) -> F8e4m3 {
        F8e4m3::from_f64(x.into())
    }
    #[inline(always)]
    fn widen<L: Convert>(l: L, from: &[F8e4m3; LANES]) -> L::F {
        l.mul(l.of_f16(&from.map(|x| half_of_e4m3(x.0))), l.splat(E4M3_SCALE))
    }
    #[inline(always)]
    fn narrow<L: Convert>(l: L, x: L::F, to: &mut [F8e4m3; LANES]) {
        round_each(l, x, to);
    }
}

/// What an e4m3 is larger by than the f16 of [`half_of_e4m3`]: the exponents' biases differ by 8.
const E4M3_SCALE: f32 = 256.0;

/// The f16 with the bits of an e4m3, NaN for NaN.
#[inline(always)]
fn half_of_e4m3(x: u8) -> u16 {
    let (sign, magnitude) = (u16::from(x & 0x80) << 8, u16::from(x & 0x7f));
    sign | if magnitude == 0x7f { 0x7e00 } else { magnitude << 7 }
}

/// One after the other: results of 8 bits are few.
#[inline(always)]
fn round_each<E: Narrow, L: Convert>(l: L, x: L::F, to: &mut [E; LANES]) {
    let mut lanes = [0.0; LANES];
    l.store(x, &mut lanes);
    *to = lanes.map(E::rounded);
}

/// A piece of work that is compiled for each level.
pub trait Job {
    /// Its result.
    type Output;
    /// Does it. Implementations are `#[inline(always)]`.
    fn run<L: Convert>(self, l: L) -> Self::Output;
}

/// Runs `job` in a function that has the instructions of `l`.
#[inline(always)]
pub fn enter<L: Convert, J: Job>(l: L, job: J) -> J::Output {
    struct Inside<L, J>(L, J);
    impl<L: Convert, J: Job> Work for Inside<L, J> {
        type Output = J::Output;
        #[inline(always)]
        fn run<W: Wide<f32>>(self, _: W) -> J::Output {
            self.1.run(self.0)
        }
    }
    l.enter(Inside(l, job))
}

/// Runs `job` with the vectors of `isa`.
///
/// # Errors
/// If the CPU lacks them.
pub fn with_converters<J: Job>(isa: Isa, job: J) -> Result<J::Output, String> {
    match isa {
        Isa::Scalar => Ok(enter(Scalar, job)),
        #[cfg(target_arch = "x86_64")]
        Isa::Avx2 => Ok(enter(Avx2Token::detect().ok_or_else(|| format!("the CPU lacks {isa}"))?, job)),
        #[cfg(target_arch = "x86_64")]
        Isa::Avx512 => Ok(enter(Avx512Token::detect().ok_or_else(|| format!("the CPU lacks {isa}"))?, job)),
        #[cfg(not(target_arch = "x86_64"))]
        _ => Err(format!("the CPU lacks {isa}")),
    }
}

impl Convert for Scalar {
    const ROWS: usize = 4;
    fn of_f16(self, x: &[u16; LANES]) -> [f32; LANES] {
        x.map(|x| f16::from_bits(x).widened())
    }
    fn to_f16(self, x: [f32; LANES]) -> [u16; LANES] {
        x.map(|x| f16::rounded(x).to_bits())
    }
    fn of_bf16(self, x: &[u16; LANES]) -> [f32; LANES] {
        x.map(|x| bf16::from_bits(x).widened())
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::*;

    use super::*;

    /// As [`upper_half`] does it, in the lower half of each lane.
    ///
    /// # Safety
    /// The CPU has AVX2.
    #[inline(always)]
    unsafe fn upper_halves(x: __m256) -> __m256i {
        // SAFETY: the caller's promise.
        unsafe {
            let bits = _mm256_castps_si256(x);
            let upper = _mm256_srli_epi32::<16>(bits);
            let odd = _mm256_and_si256(upper, _mm256_set1_epi32(1));
            let up = _mm256_add_epi32(bits, _mm256_add_epi32(odd, _mm256_set1_epi32(0x7fff)));
            let (rounded, quiet) = (_mm256_srli_epi32::<16>(up), _mm256_or_si256(upper, _mm256_set1_epi32(0x40)));
            let nan = _mm256_castps_si256(_mm256_cmp_ps::<_CMP_UNORD_Q>(x, x));
            _mm256_blendv_epi8(rounded, quiet, nan)
        }
    }

    impl Convert for Avx2Token {
        const ROWS: usize = 4;
        #[inline(always)]
        fn of_f16(self, x: &[u16; LANES]) -> Self::F {
            // SAFETY: the token is proof; sixteen elements are read.
            unsafe {
                let at = x.as_ptr().cast::<__m128i>();
                [_mm256_cvtph_ps(_mm_loadu_si128(at)), _mm256_cvtph_ps(_mm_loadu_si128(at.add(1)))]
            }
        }
        #[inline(always)]
        fn to_f16(self, [low, high]: Self::F) -> [u16; LANES] {
            const NEAREST: i32 = _MM_FROUND_TO_NEAREST_INT;
            let mut out = [0; LANES];
            // SAFETY: the token is proof; sixteen elements are written.
            unsafe {
                let at = out.as_mut_ptr().cast::<__m128i>();
                _mm_storeu_si128(at, _mm256_cvtps_ph::<NEAREST>(low));
                _mm_storeu_si128(at.add(1), _mm256_cvtps_ph::<NEAREST>(high));
            }
            out
        }
        #[inline(always)]
        fn of_bf16(self, x: &[u16; LANES]) -> Self::F {
            // SAFETY: the token is proof; sixteen elements are read.
            unsafe {
                let at = x.as_ptr().cast::<__m128i>();
                let widen = |x| _mm256_castsi256_ps(_mm256_slli_epi32::<16>(_mm256_cvtepu16_epi32(x)));
                [widen(_mm_loadu_si128(at)), widen(_mm_loadu_si128(at.add(1)))]
            }
        }
        #[inline(always)]
        fn to_bf16(self, [low, high]: Self::F) -> [u16; LANES] {
            let mut out = [0; LANES];
            // SAFETY: the token is proof; sixteen elements are written.
            unsafe {
                // Halves of 128 bits are packed side by side.
                let packed = _mm256_packus_epi32(upper_halves(low), upper_halves(high));
                let packed = _mm256_permute4x64_epi64::<0xd8>(packed);
                _mm256_storeu_si256(out.as_mut_ptr().cast(), packed);
            }
            out
        }
    }

    impl Convert for Avx512Token {
        const ROWS: usize = 8;
        #[inline(always)]
        fn of_f16(self, x: &[u16; LANES]) -> Self::F {
            // SAFETY: the token is proof; sixteen elements are read.
            unsafe { _mm512_cvtph_ps(_mm256_loadu_si256(x.as_ptr().cast())) }
        }
        #[inline(always)]
        fn to_f16(self, x: Self::F) -> [u16; LANES] {
            const NEAREST: i32 = _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC;
            let mut out = [0; LANES];
            // SAFETY: the token is proof; sixteen elements are written.
            unsafe { _mm256_storeu_si256(out.as_mut_ptr().cast(), _mm512_cvtps_ph::<NEAREST>(x)) };
            out
        }
        #[inline(always)]
        fn of_bf16(self, x: &[u16; LANES]) -> Self::F {
            // SAFETY: the token is proof; sixteen elements are read.
            unsafe {
                let wide = _mm512_cvtepu16_epi32(_mm256_loadu_si256(x.as_ptr().cast()));
                _mm512_castsi512_ps(_mm512_slli_epi32::<16>(wide))
            }
        }
        #[inline(always)]
        fn to_bf16(self, x: Self::F) -> [u16; LANES] {
            let mut out = [0; LANES];
            // SAFETY: the token is proof; sixteen elements are written.
            unsafe {
                // As `upper_half` does it.
                let bits = _mm512_castps_si512(x);
                let upper = _mm512_srli_epi32::<16>(bits);
                let odd = _mm512_and_si512(upper, _mm512_set1_epi32(1));
                let up = _mm512_add_epi32(bits, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7fff)));
                let (rounded, quiet) = (_mm512_srli_epi32::<16>(up), _mm512_or_si512(upper, _mm512_set1_epi32(0x40)));
                let nan = _mm512_cmp_ps_mask::<_CMP_UNORD_Q>(x, x);
                let all = _mm512_mask_blend_epi32(nan, rounded, quiet);
                _mm256_storeu_si256(out.as_mut_ptr().cast(), _mm512_cvtepi32_epi16(all));
            }
            out
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use etalon_reference::DType;

    /// Widens all elements, or rounds all f32, by vectors.
    struct Each<'a, E>(&'a [E], &'a [f32]);

    impl<E: Narrow> Job for Each<'_, E> {
        type Output = (Vec<f32>, Vec<E>);
        fn run<L: Convert>(self, l: L) -> (Vec<f32>, Vec<E>) {
            let (mut wide, mut narrow) = (vec![0.0; self.0.len()], vec![E::default(); self.1.len()]);
            for (from, to) in self.0.as_chunks().0.iter().zip(wide.as_chunks_mut().0) {
                l.store(E::widen(l, from), to);
            }
            for (from, to) in self.1.as_chunks().0.iter().zip(narrow.as_chunks_mut().0) {
                E::narrow(l, l.load(from), to);
            }
            (wide, narrow)
        }
    }

    fn same(x: f32, y: f64) -> bool {
        if y.is_nan() { x.is_nan() } else { f64::from(x).to_bits() == y.to_bits() }
    }

    /// All patterns become their values, and all f32 on either side of a value or of the middle between two become what
    /// [`Element::from_f64`] makes of them.
    fn hold<E: Narrow>() {
        let patterns = 1u64 << (8 * E::DTYPE.size());
        let all: Vec<E> = (0..patterns).map(E::from_bits).collect();
        let mut wide: Vec<f32> = all.iter().map(|x| x.widened()).collect();
        assert!(all.iter().zip(&wide).all(|(x, &wide)| same(wide, x.to_f64())), "{}", E::DTYPE);
        wide.retain(|x| !x.is_nan());
        wide.sort_by(f32::total_cmp);
        let middles = wide.windows(2).map(|pair| ((f64::from(pair[0]) + f64::from(pair[1])) / 2.0) as f32);
        let ends = [f32::NAN, -f32::NAN, f32::from_bits(0x7f80_0001), f32::from_bits(0xffff_ffff), f32::MAX, f32::MIN];
        let around = |x: f32| [x.next_down(), x, x.next_up()];
        let mut inputs: Vec<f32> = wide.iter().copied().chain(middles).flat_map(around).chain(ends).collect();
        inputs.resize(inputs.len().next_multiple_of(LANES), 1.0);
        for isa in Isa::ALL.into_iter().filter(|isa| isa.usable().is_ok()) {
            let (widened, narrowed) = with_converters(isa, Each(&all, &inputs)).expect("it is usable");
            assert!(all.iter().zip(&widened).all(|(x, &wide)| same(wide, x.to_f64())), "{isa} {}", E::DTYPE);
            for ((&x, narrowed), one) in inputs.iter().zip(narrowed).zip(inputs.iter().map(|&x| E::rounded(x))) {
                let right = E::from_f64(x.into()).bits();
                assert_eq!((narrowed.bits(), one.bits()), (right, right), "{isa}: {x:e} to {}", E::DTYPE);
            }
        }
    }

    #[test]
    fn every_f16_and_what_lies_between() {
        hold::<f16>();
    }

    #[test]
    fn every_bf16_and_what_lies_between() {
        hold::<bf16>();
    }

    #[test]
    fn every_8_bit_float_and_what_lies_between() {
        hold::<F8e5m2>();
        hold::<F8e4m3>();
    }

    #[test]
    fn directed() {
        assert_eq!(bf16::rounded(f32::from_bits(0x3e89_ccd5)).to_bits(), 0x3e8a);
        assert!(bf16::rounded(f32::from_bits(0x7f80_0001)).is_nan());
        assert_eq!(f16::rounded(65519.996).to_bits(), 0x7bff);
        assert_eq!(F8e4m3::rounded(1e9).bits(), F8e4m3::from_f64(f64::NAN).bits());
        assert_eq!(DType::E4m3.round(f64::from(F8e4m3(0x7e).widened())), 448.0);
    }
}

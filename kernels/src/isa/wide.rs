//! Sixteen f32 side by side, on every instruction set.
//!
//! A kernel that is bound by memory is written once over [`Wide`] and compiled for each level. All implementations round
//! alike, so that such a kernel gives the same bits on all of them.
//!
//! The tokens implement the trait: who has one has proof that the CPU has the instructions, which makes the methods safe.
//! They become single instructions where they are inlined into a function of their level: [`Wide::enter`] calls
//! [`Work::run`], which is `#[inline(always)]`, in such a function.

use crate::isa::Isa;

/// Lanes of a vector.
pub const LANES: usize = 16;

/// Sixteen f32 of memory on a cache line.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
pub struct Line(pub [f32; LANES]);

/// What is before the first whole cache line, the cache lines, what is behind them.
pub fn lines(part: &mut [f32]) -> (&mut [f32], &mut [Line], &mut [f32]) {
    // SAFETY: a line is sixteen f32 without padding; every bit pattern is a value.
    unsafe { part.align_to_mut::<Line>() }
}

/// A piece of work that is compiled for each level.
pub trait Work {
    /// Its result.
    type Output;
    /// Does it. Implementations are `#[inline(always)]`.
    fn run<L: Wide>(self, lanes: L) -> Self::Output;
}

/// Operations on sixteen f32.
pub trait Wide: Copy + Send + Sync {
    /// Sixteen f32 in registers.
    type F: Copy;

    /// Runs `work` in a function that has the level's instructions.
    fn enter<W: Work>(self, work: W) -> W::Output;
    /// `x` in each lane.
    fn splat(self, x: f32) -> Self::F;
    /// From memory.
    fn load(self, from: &[f32; LANES]) -> Self::F;
    /// The first lanes from memory, at most sixteen; 0 in the others.
    fn load_first(self, from: &[f32]) -> Self::F;
    /// Eight from one place, then eight from another.
    fn halves(self, low: &[f32; LANES / 2], high: &[f32; LANES / 2]) -> Self::F;
    /// To memory.
    fn store(self, x: Self::F, to: &mut [f32; LANES]);
    /// The first lanes to memory, at most sixteen.
    fn store_first(self, x: Self::F, to: &mut [f32]);
    /// To memory, past the caches. [`fence`](Wide::fence) before another thread may look.
    fn stream(self, x: Self::F, to: &mut Line);
    /// Streamed lines come before what is written hereafter.
    fn fence(self);
    /// Asks for the cache line of the element at `index`, which need not exist, in the second cache.
    fn prefetch(self, of: &[f32], index: usize);
    /// The first `n` lanes; 0 in the others.
    fn first(self, x: Self::F, n: usize) -> Self::F;
    /// Sum.
    fn add(self, x: Self::F, y: Self::F) -> Self::F;
    /// Difference.
    fn sub(self, x: Self::F, y: Self::F) -> Self::F;
    /// Product.
    fn mul(self, x: Self::F, y: Self::F) -> Self::F;
    /// `x·y + z`, rounded once.
    fn fma(self, x: Self::F, y: Self::F, z: Self::F) -> Self::F;
    /// Lanes 0, 2, 4, … of x, then of y.
    fn evens(self, x: Self::F, y: Self::F) -> Self::F;
    /// Lane i of vector j becomes lane j of vector i.
    fn transpose(self, x: [Self::F; LANES]) -> [Self::F; LANES];
    /// 0 where x < 0, else x: NaN stays.
    fn relu(self, x: Self::F) -> Self::F;
    /// 0 where y ≤ 0, else x: also where y is NaN.
    fn gate(self, x: Self::F, y: Self::F) -> Self::F;

    /// The sum over the lanes: halves on halves.
    #[inline(always)]
    fn sum(self, x: Self::F) -> f32 {
        let mut lanes = [0.0; LANES];
        self.store(x, &mut lanes);
        let mut width = LANES / 2;
        while width > 0 {
            for lane in 0..width {
                lanes[lane] += lanes[lane + width];
            }
            width /= 2;
        }
        lanes[0]
    }
}

/// Runs `work` with the lanes of `isa`.
///
/// # Errors
/// If the CPU lacks them.
pub fn with_lanes<W: Work>(isa: Isa, work: W) -> Result<W::Output, String> {
    let lacks = || format!("the CPU lacks {isa}");
    match isa {
        Isa::Scalar => Ok(work.run(Scalar)),
        #[cfg(target_arch = "x86_64")]
        Isa::Avx2 => Ok(work.run(super::Avx2Token::detect().ok_or_else(lacks)?)),
        #[cfg(target_arch = "x86_64")]
        Isa::Avx512 => Ok(work.run(super::Avx512Token::detect().ok_or_else(lacks)?)),
        #[cfg(not(target_arch = "x86_64"))]
        _ => Err(lacks()),
    }
}

/// Lanes of plain Rust.
#[derive(Clone, Copy, Debug)]
pub struct Scalar;

impl Wide for Scalar {
    type F = [f32; LANES];

    #[inline(always)]
    fn enter<W: Work>(self, work: W) -> W::Output {
        work.run(self)
    }
    #[inline(always)]
    fn splat(self, x: f32) -> Self::F {
        [x; LANES]
    }
    #[inline(always)]
    fn load(self, from: &[f32; LANES]) -> Self::F {
        *from
    }
    #[inline(always)]
    fn load_first(self, from: &[f32]) -> Self::F {
        let mut x = [0.0; LANES];
        x[..from.len()].copy_from_slice(from);
        x
    }
    #[inline(always)]
    fn halves(self, low: &[f32; LANES / 2], high: &[f32; LANES / 2]) -> Self::F {
        std::array::from_fn(|i| if i < LANES / 2 { low[i] } else { high[i - LANES / 2] })
    }
    #[inline(always)]
    fn store(self, x: Self::F, to: &mut [f32; LANES]) {
        *to = x;
    }
    #[inline(always)]
    fn store_first(self, x: Self::F, to: &mut [f32]) {
        to.copy_from_slice(&x[..to.len()]);
    }
    #[inline(always)]
    fn stream(self, x: Self::F, to: &mut Line) {
        to.0 = x;
    }
    #[inline(always)]
    fn fence(self) {}
    #[inline(always)]
    fn prefetch(self, _: &[f32], _: usize) {}
    #[inline(always)]
    fn first(self, x: Self::F, n: usize) -> Self::F {
        std::array::from_fn(|i| if i < n { x[i] } else { 0.0 })
    }
    #[inline(always)]
    fn add(self, x: Self::F, y: Self::F) -> Self::F {
        std::array::from_fn(|i| x[i] + y[i])
    }
    #[inline(always)]
    fn sub(self, x: Self::F, y: Self::F) -> Self::F {
        std::array::from_fn(|i| x[i] - y[i])
    }
    #[inline(always)]
    fn mul(self, x: Self::F, y: Self::F) -> Self::F {
        std::array::from_fn(|i| x[i] * y[i])
    }
    #[inline(always)]
    fn fma(self, x: Self::F, y: Self::F, z: Self::F) -> Self::F {
        std::array::from_fn(|i| x[i].mul_add(y[i], z[i]))
    }
    #[inline(always)]
    fn evens(self, x: Self::F, y: Self::F) -> Self::F {
        std::array::from_fn(|i| if i < LANES / 2 { x[2 * i] } else { y[2 * i - LANES] })
    }
    #[inline(always)]
    fn transpose(self, x: [Self::F; LANES]) -> [Self::F; LANES] {
        std::array::from_fn(|i| std::array::from_fn(|j| x[j][i]))
    }
    #[inline(always)]
    fn relu(self, x: Self::F) -> Self::F {
        x.map(|x| if x < 0.0 { 0.0 } else { x })
    }
    #[inline(always)]
    fn gate(self, x: Self::F, y: Self::F) -> Self::F {
        std::array::from_fn(|i| if y[i] <= 0.0 { 0.0 } else { x[i] })
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::*;

    use super::{LANES, Line, Wide, Work};
    use crate::isa::{Avx2Token, Avx512Token};

    impl Wide for Avx512Token {
        type F = __m512;

        #[inline(always)]
        fn enter<W: Work>(self, work: W) -> W::Output {
            #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx2,fma,f16c")]
            fn with_features<W: Work>(lanes: Avx512Token, work: W) -> W::Output {
                work.run(lanes)
            }
            // SAFETY: the token is proof.
            unsafe { with_features(self, work) }
        }
        #[inline(always)]
        fn splat(self, x: f32) -> __m512 {
            // SAFETY: the token is proof.
            unsafe { _mm512_set1_ps(x) }
        }
        #[inline(always)]
        fn load(self, from: &[f32; LANES]) -> __m512 {
            // SAFETY: the token is proof; sixteen floats are read.
            unsafe { _mm512_loadu_ps(from.as_ptr()) }
        }
        #[inline(always)]
        fn load_first(self, from: &[f32]) -> __m512 {
            // SAFETY: the token is proof; the mask keeps to the slice.
            unsafe { _mm512_maskz_loadu_ps(mask(from.len()), from.as_ptr()) }
        }
        #[inline(always)]
        fn halves(self, low: &[f32; LANES / 2], high: &[f32; LANES / 2]) -> __m512 {
            // SAFETY: the token is proof; eight floats are read from each.
            unsafe {
                let low = _mm512_castps256_ps512(_mm256_loadu_ps(low.as_ptr()));
                _mm512_insertf32x8::<1>(low, _mm256_loadu_ps(high.as_ptr()))
            }
        }
        #[inline(always)]
        fn store(self, x: __m512, to: &mut [f32; LANES]) {
            // SAFETY: the token is proof; sixteen floats are written.
            unsafe { _mm512_storeu_ps(to.as_mut_ptr(), x) }
        }
        #[inline(always)]
        fn store_first(self, x: __m512, to: &mut [f32]) {
            // SAFETY: the token is proof; the mask keeps to the slice.
            unsafe { _mm512_mask_storeu_ps(to.as_mut_ptr(), mask(to.len()), x) }
        }
        #[inline(always)]
        fn stream(self, x: __m512, to: &mut Line) {
            // SAFETY: the token is proof; a line is aligned.
            unsafe { _mm512_stream_ps(to.0.as_mut_ptr(), x) }
        }
        #[inline(always)]
        fn fence(self) {
            // SAFETY: the token is proof.
            unsafe { _mm_sfence() };
        }
        #[inline(always)]
        fn prefetch(self, of: &[f32], index: usize) {
            prefetch(of, index);
        }
        #[inline(always)]
        fn first(self, x: __m512, n: usize) -> __m512 {
            // SAFETY: the token is proof.
            unsafe { _mm512_maskz_mov_ps(mask(n), x) }
        }
        #[inline(always)]
        fn add(self, x: __m512, y: __m512) -> __m512 {
            // SAFETY: the token is proof.
            unsafe { _mm512_add_ps(x, y) }
        }
        #[inline(always)]
        fn sub(self, x: __m512, y: __m512) -> __m512 {
            // SAFETY: the token is proof.
            unsafe { _mm512_sub_ps(x, y) }
        }
        #[inline(always)]
        fn mul(self, x: __m512, y: __m512) -> __m512 {
            // SAFETY: the token is proof.
            unsafe { _mm512_mul_ps(x, y) }
        }
        #[inline(always)]
        fn fma(self, x: __m512, y: __m512, z: __m512) -> __m512 {
            // SAFETY: the token is proof.
            unsafe { _mm512_fmadd_ps(x, y, z) }
        }
        #[inline(always)]
        fn evens(self, x: __m512, y: __m512) -> __m512 {
            // SAFETY: the token is proof.
            unsafe {
                let index = _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
                _mm512_permutex2var_ps(x, index, y)
            }
        }
        #[inline(always)]
        fn transpose(self, x: [__m512; LANES]) -> [__m512; LANES] {
            // SAFETY: the token is proof.
            unsafe { crate::isa::avx512::transpose32(x) }
        }
        #[inline(always)]
        fn relu(self, x: __m512) -> __m512 {
            // With a NaN, and with two zeros, the instruction gives its second operand.
            // SAFETY: the token is proof.
            unsafe { _mm512_max_ps(_mm512_setzero_ps(), x) }
        }
        #[inline(always)]
        fn gate(self, x: __m512, y: __m512) -> __m512 {
            // SAFETY: the token is proof.
            unsafe { _mm512_maskz_mov_ps(_mm512_cmp_ps_mask::<_CMP_NLE_UQ>(y, _mm512_setzero_ps()), x) }
        }
    }

    /// The first `n` lanes, n ≤ 16.
    #[inline(always)]
    fn mask(n: usize) -> __mmask16 {
        assert!(n <= LANES);
        ((1u32 << n) - 1) as __mmask16
    }

    #[inline(always)]
    fn prefetch(of: &[f32], index: usize) {
        // SAFETY: a prefetch accesses nothing; any address is fine.
        unsafe { _mm_prefetch::<_MM_HINT_T1>(of.as_ptr().wrapping_add(index).cast()) };
    }

    /// All ones in the first `n` lanes of sixteen, n ≤ 16.
    #[inline(always)]
    fn masks(_: Avx2Token, n: usize) -> [__m256i; 2] {
        static ONES_ZEROS: [i32; 2 * LANES] = [
            -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
            0, 0,
        ];
        let from = &ONES_ZEROS[LANES - n..][..LANES];
        // SAFETY: the token is proof; sixteen integers are read.
        unsafe { [_mm256_loadu_si256(from.as_ptr().cast()), _mm256_loadu_si256(from.as_ptr().add(8).cast())] }
    }

    impl Wide for Avx2Token {
        type F = [__m256; 2];

        #[inline(always)]
        fn enter<W: Work>(self, work: W) -> W::Output {
            #[target_feature(enable = "avx2,fma,f16c")]
            fn with_features<W: Work>(lanes: Avx2Token, work: W) -> W::Output {
                work.run(lanes)
            }
            // SAFETY: the token is proof.
            unsafe { with_features(self, work) }
        }
        #[inline(always)]
        fn splat(self, x: f32) -> Self::F {
            // SAFETY: the token is proof.
            unsafe { [_mm256_set1_ps(x); 2] }
        }
        #[inline(always)]
        fn load(self, from: &[f32; LANES]) -> Self::F {
            // SAFETY: the token is proof; sixteen floats are read.
            unsafe { [_mm256_loadu_ps(from.as_ptr()), _mm256_loadu_ps(from.as_ptr().add(8))] }
        }
        #[inline(always)]
        fn load_first(self, from: &[f32]) -> Self::F {
            let [low, high] = masks(self, from.len());
            let start = from.as_ptr();
            // SAFETY: the token is proof; lanes that are masked out are not read.
            unsafe { [_mm256_maskload_ps(start, low), _mm256_maskload_ps(start.wrapping_add(8), high)] }
        }
        #[inline(always)]
        fn halves(self, low: &[f32; LANES / 2], high: &[f32; LANES / 2]) -> Self::F {
            // SAFETY: the token is proof; eight floats are read from each.
            unsafe { [_mm256_loadu_ps(low.as_ptr()), _mm256_loadu_ps(high.as_ptr())] }
        }
        #[inline(always)]
        fn store(self, x: Self::F, to: &mut [f32; LANES]) {
            // SAFETY: the token is proof; sixteen floats are written.
            unsafe {
                _mm256_storeu_ps(to.as_mut_ptr(), x[0]);
                _mm256_storeu_ps(to.as_mut_ptr().add(8), x[1]);
            }
        }
        #[inline(always)]
        fn store_first(self, x: Self::F, to: &mut [f32]) {
            let [low, high] = masks(self, to.len());
            let start = to.as_mut_ptr();
            // SAFETY: the token is proof; lanes that are masked out are not written.
            unsafe {
                _mm256_maskstore_ps(start, low, x[0]);
                _mm256_maskstore_ps(start.wrapping_add(8), high, x[1]);
            }
        }
        #[inline(always)]
        fn stream(self, x: Self::F, to: &mut Line) {
            // SAFETY: the token is proof; a line is aligned.
            unsafe {
                _mm256_stream_ps(to.0.as_mut_ptr(), x[0]);
                _mm256_stream_ps(to.0.as_mut_ptr().add(8), x[1]);
            }
        }
        #[inline(always)]
        fn fence(self) {
            // SAFETY: the token is proof.
            unsafe { _mm_sfence() };
        }
        #[inline(always)]
        fn prefetch(self, of: &[f32], index: usize) {
            prefetch(of, index);
        }
        #[inline(always)]
        fn first(self, x: Self::F, n: usize) -> Self::F {
            let [low, high] = masks(self, n);
            // SAFETY: the token is proof.
            unsafe { [_mm256_and_ps(x[0], _mm256_castsi256_ps(low)), _mm256_and_ps(x[1], _mm256_castsi256_ps(high))] }
        }
        #[inline(always)]
        fn add(self, x: Self::F, y: Self::F) -> Self::F {
            // SAFETY: the token is proof.
            unsafe { [_mm256_add_ps(x[0], y[0]), _mm256_add_ps(x[1], y[1])] }
        }
        #[inline(always)]
        fn sub(self, x: Self::F, y: Self::F) -> Self::F {
            // SAFETY: the token is proof.
            unsafe { [_mm256_sub_ps(x[0], y[0]), _mm256_sub_ps(x[1], y[1])] }
        }
        #[inline(always)]
        fn mul(self, x: Self::F, y: Self::F) -> Self::F {
            // SAFETY: the token is proof.
            unsafe { [_mm256_mul_ps(x[0], y[0]), _mm256_mul_ps(x[1], y[1])] }
        }
        #[inline(always)]
        fn fma(self, x: Self::F, y: Self::F, z: Self::F) -> Self::F {
            // SAFETY: the token is proof.
            unsafe { [_mm256_fmadd_ps(x[0], y[0], z[0]), _mm256_fmadd_ps(x[1], y[1], z[1])] }
        }
        #[inline(always)]
        fn evens(self, x: Self::F, y: Self::F) -> Self::F {
            let of = |[low, high]: Self::F| {
                // SAFETY: the token is proof.
                unsafe {
                    // Of each half of 128 bits: the two of low, the two of high; then halves change places.
                    let pairs = _mm256_castps_pd(_mm256_shuffle_ps::<0x88>(low, high));
                    _mm256_castpd_ps(_mm256_permute4x64_pd::<0xd8>(pairs))
                }
            };
            [of(x), of(y)]
        }
        #[inline(always)]
        fn transpose(self, x: [Self::F; LANES]) -> [Self::F; LANES] {
            // The four quarters, each transposed; the two off the diagonal change places.
            let quarter = |rows: usize, half: usize| {
                // SAFETY: the token is proof.
                unsafe { crate::isa::avx2::transpose32(std::array::from_fn(|i| x[rows + i][half])) }
            };
            let [a, b, c, d] = [quarter(0, 0), quarter(0, 1), quarter(8, 0), quarter(8, 1)];
            std::array::from_fn(|i| if i < 8 { [a[i], c[i]] } else { [b[i - 8], d[i - 8]] })
        }
        #[inline(always)]
        fn relu(self, x: Self::F) -> Self::F {
            // With a NaN, and with two zeros, the instruction gives its second operand.
            // SAFETY: the token is proof.
            unsafe { [_mm256_max_ps(_mm256_setzero_ps(), x[0]), _mm256_max_ps(_mm256_setzero_ps(), x[1])] }
        }
        #[inline(always)]
        fn gate(self, x: Self::F, y: Self::F) -> Self::F {
            // SAFETY: the token is proof.
            unsafe {
                let zero = _mm256_setzero_ps();
                [
                    _mm256_and_ps(x[0], _mm256_cmp_ps::<_CMP_NLE_UQ>(y[0], zero)),
                    _mm256_and_ps(x[1], _mm256_cmp_ps::<_CMP_NLE_UQ>(y[1], zero)),
                ]
            }
        }
    }
}

#[cfg(test)]
mod tests;

//! Loops that do nothing but one thing, at the rate of the hardware: what results are a share of.

use std::arch::x86_64::*;
use std::hint::black_box;

use super::{Avx2Token, Avx512Token, AvxVnniToken};

/// A loop that performs `operations` in each call of `run(iterations)`'s iterations.
pub struct Loop {
    /// What it measures: `fma`, `dpbf16`, `vnni`, `maddwd` (products of 16-bit integers and an addition: what there is
    /// for 8-bit integers without VNNI).
    pub kind: &'static str,
    /// Instruction set.
    pub isa: &'static str,
    /// Element type.
    pub dtype: &'static str,
    /// Operations an iteration; a multiply-add counts two.
    pub operations: u64,
    /// Runs it.
    pub run: fn(u64),
}

/// Enough chains to cover the latency of the units, few enough for the registers.
const CHAINS: usize = 24;
const CHAINS_AVX2: usize = 12;

macro_rules! rate {
    ($name:ident, $features:literal, $chains:ident, $zero:ident, $a:expr, $b:expr, |$acc:ident, $x:ident, $y:ident| $step:expr) => {
        #[target_feature(enable = $features)]
        fn $name(iterations: u64) {
            let mut sums = [$zero(); $chains];
            let ($x, $y) = black_box(($a, $b));
            for _ in 0..iterations {
                for $acc in &mut sums {
                    *$acc = $step;
                }
            }
            black_box(sums);
        }
    };
}

rate!(fma_f32_512, "avx512f", CHAINS, _mm512_setzero_ps, _mm512_set1_ps(0.5), _mm512_set1_ps(0.25), |s, x, y| {
    _mm512_fmadd_ps(*s, x, y)
});
rate!(fma_f64_512, "avx512f", CHAINS, _mm512_setzero_pd, _mm512_set1_pd(0.5), _mm512_set1_pd(0.25), |s, x, y| {
    _mm512_fmadd_pd(*s, x, y)
});
rate!(fma_f32_256, "avx2,fma", CHAINS_AVX2, _mm256_setzero_ps, _mm256_set1_ps(0.5), _mm256_set1_ps(0.25), |s, x, y| {
    _mm256_fmadd_ps(*s, x, y)
});
rate!(fma_f64_256, "avx2,fma", CHAINS_AVX2, _mm256_setzero_pd, _mm256_set1_pd(0.5), _mm256_set1_pd(0.25), |s, x, y| {
    _mm256_fmadd_pd(*s, x, y)
});
rate!(dpbf16, "avx512f,avx512bf16", CHAINS, _mm512_setzero_ps, zero_bf16(), zero_bf16(), |s, x, y| _mm512_dpbf16_ps(
    *s, x, y
));
rate!(vnni, "avx512f,avx512vnni", CHAINS, _mm512_setzero_si512, _mm512_set1_epi8(1), _mm512_set1_epi8(1), |s, x, y| {
    _mm512_dpbusd_epi32(*s, x, y)
});

rate!(
    vnni_256,
    "avx2,avxvnni",
    CHAINS_AVX2,
    _mm256_setzero_si256,
    _mm256_set1_epi8(1),
    _mm256_set1_epi8(1),
    |s, x, y| _mm256_dpbusd_avx_epi32(*s, x, y)
);
// The product is one of the sum: one of constants would be computed once.
rate!(maddwd_512, "avx512f,avx512bw", CHAINS, _mm512_setzero_si512, _mm512_set1_epi16(1), (), |s, x, _y| {
    _mm512_add_epi32(*s, _mm512_madd_epi16(*s, x))
});
rate!(maddwd_256, "avx2", CHAINS_AVX2, _mm256_setzero_si256, _mm256_set1_epi16(1), (), |s, x, _y| {
    _mm256_add_epi32(*s, _mm256_madd_epi16(*s, x))
});

#[inline]
#[target_feature(enable = "avx512f,avx512bf16")]
fn zero_bf16() -> __m512bh {
    _mm512_cvtne2ps_pbh(_mm512_setzero_ps(), _mm512_setzero_ps())
}

/// The loops that this CPU can run.
pub fn loops() -> Vec<Loop> {
    let mut all = Vec::new();
    let chains = CHAINS as u64;
    if Avx2Token::detect().is_some() {
        let chains = CHAINS_AVX2 as u64;
        // SAFETY: detected.
        let run = |n| unsafe { fma_f32_256(n) };
        all.push(Loop { kind: "fma", isa: "avx2", dtype: "f32", operations: chains * 16, run });
        // SAFETY: detected.
        let run = |n| unsafe { fma_f64_256(n) };
        all.push(Loop { kind: "fma", isa: "avx2", dtype: "f64", operations: chains * 8, run });
        // SAFETY: detected.
        let run = |n| unsafe { maddwd_256(n) };
        all.push(Loop { kind: "maddwd", isa: "avx2", dtype: "i8", operations: chains * 32, run });
        if AvxVnniToken::detect().is_some() {
            // SAFETY: detected.
            let run = |n| unsafe { vnni_256(n) };
            all.push(Loop { kind: "vnni", isa: "avx2", dtype: "i8", operations: chains * 64, run });
        }
    }
    if Avx512Token::detect().is_some() {
        // SAFETY: detected.
        let run = |n| unsafe { fma_f32_512(n) };
        all.push(Loop { kind: "fma", isa: "avx512", dtype: "f32", operations: chains * 32, run });
        // SAFETY: detected.
        let run = |n| unsafe { fma_f64_512(n) };
        all.push(Loop { kind: "fma", isa: "avx512", dtype: "f64", operations: chains * 16, run });
        // SAFETY: detected.
        let run = |n| unsafe { maddwd_512(n) };
        all.push(Loop { kind: "maddwd", isa: "avx512", dtype: "i8", operations: chains * 64, run });
        if is_x86_feature_detected!("avx512bf16") {
            // SAFETY: detected.
            let run = |n| unsafe { dpbf16(n) };
            all.push(Loop { kind: "dpbf16", isa: "avx512", dtype: "bf16", operations: chains * 64, run });
        }
        if is_x86_feature_detected!("avx512vnni") {
            // SAFETY: detected.
            let run = |n| unsafe { vnni(n) };
            all.push(Loop { kind: "vnni", isa: "avx512", dtype: "i8", operations: chains * 128, run });
        }
    }
    all
}

/// Elements of one step of the memory loops.
const STEP: usize = 64;

macro_rules! memory {
    ($name:ident, $features:literal, $lanes:literal, $load:ident, $store:ident, $stream:ident, $zero:ident, $or:ident) => {
        mod $name {
            use super::*;

            // Or has no latency worth covering; additions would wait for each other.
            #[target_feature(enable = $features)]
            pub fn read(x: &[f32], ahead: usize) {
                let mut sums = [$zero(); STEP / $lanes];
                for step in x.chunks_exact(STEP) {
                    for (i, sum) in sums.iter_mut().enumerate() {
                        // SAFETY: a step has STEP elements; a prefetch may name any address.
                        unsafe {
                            let at = step.as_ptr().add(i * $lanes);
                            if ahead > 0 && (i * $lanes) % 16 == 0 {
                                _mm_prefetch::<_MM_HINT_T0>(at.wrapping_add(ahead).cast());
                            }
                            *sum = $or(*sum, $load(at));
                        }
                    }
                }
                black_box(sums);
            }

            #[target_feature(enable = $features)]
            pub fn write(y: &mut [f32], stream: bool) {
                let value = black_box($zero());
                for step in y.chunks_exact_mut(STEP) {
                    for i in 0..STEP / $lanes {
                        // SAFETY: a step has STEP elements; the buffer is aligned (asserted by the caller).
                        unsafe {
                            let at = step.as_mut_ptr().add(i * $lanes);
                            if stream { $stream(at, value) } else { $store(at, value) }
                        }
                    }
                }
                fence();
            }

            #[target_feature(enable = $features)]
            pub fn copy(x: &[f32], y: &mut [f32], stream: bool) {
                for (from, to) in x.chunks_exact(STEP).zip(y.chunks_exact_mut(STEP)) {
                    for i in 0..STEP / $lanes {
                        // SAFETY: steps have STEP elements; the buffer is aligned (asserted by the caller).
                        unsafe {
                            let (from, to) = (from.as_ptr().add(i * $lanes), to.as_mut_ptr().add(i * $lanes));
                            if stream { $stream(to, $load(from)) } else { $store(to, $load(from)) }
                        }
                    }
                }
                fence();
            }
        }
    };
}

memory!(
    memory512,
    "avx512f,avx512dq",
    16,
    _mm512_loadu_ps,
    _mm512_storeu_ps,
    _mm512_stream_ps,
    _mm512_setzero_ps,
    _mm512_or_ps
);
memory!(memory256, "avx2,fma", 8, _mm256_loadu_ps, _mm256_storeu_ps, _mm256_stream_ps, _mm256_setzero_ps, _mm256_or_ps);

fn fence() {
    // SAFETY: every x86-64 CPU has SSE.
    unsafe { _mm_sfence() }
}

/// Reads all of `x` (multiples of 64 elements), prefetching `ahead` elements in front if not 0.
pub fn read(x: &[f32], ahead: usize) {
    // SAFETY: the CPU has the instructions; they are detected here.
    unsafe {
        if Avx512Token::detect().is_some() {
            memory512::read(x, ahead);
        } else if Avx2Token::detect().is_some() {
            memory256::read(x, ahead);
        } else {
            black_box(x.iter().sum::<f32>());
        }
    }
}

/// Overwrites all of `y`, past the caches if `stream`.
///
/// # Panics
/// If `y` is not on a 64-byte boundary.
pub fn write(y: &mut [f32], stream: bool) {
    assert!(y.as_ptr().addr().is_multiple_of(64), "the buffer is aligned");
    // SAFETY: the CPU has the instructions; they are detected here.
    unsafe {
        if Avx512Token::detect().is_some() {
            memory512::write(y, stream);
        } else if Avx2Token::detect().is_some() {
            memory256::write(y, stream);
        } else {
            y.fill(black_box(0.0));
        }
    }
}

/// Copies `x` to `y`, past the caches if `stream`.
///
/// # Panics
/// If `y` is not on a 64-byte boundary.
pub fn copy(x: &[f32], y: &mut [f32], stream: bool) {
    assert!(y.as_ptr().addr().is_multiple_of(64), "the buffer is aligned");
    // SAFETY: the CPU has the instructions; they are detected here.
    unsafe {
        if Avx512Token::detect().is_some() {
            memory512::copy(x, y, stream);
        } else if Avx2Token::detect().is_some() {
            memory256::copy(x, y, stream);
        } else {
            y.copy_from_slice(x);
        }
    }
}

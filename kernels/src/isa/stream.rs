//! The inner loops of GEMM with one narrow operand: the wide operand is read from memory once, and what it costs to
//! compute is hidden behind that.
//!
//! Sums lie in panels: for each `LANES` outputs along the wide operand, one vector a narrow index. `add_rows` takes a wide
//! operand whose outputs lie side by side; `add_dots` one whose products lie side by side, of which it transposes blocks of
//! `LANES`×`LANES` in registers. Both add one product after the other, in ascending order, to each sum.

/// Defines the loops of one type on one ISA.
macro_rules! stream {
    (
        $(#[$doc:meta])* $name:ident, $features:literal, $lanes:path, $load:ident, $store:ident, $splat:ident
    ) => {
        $(#[$doc])*
        pub mod $name {
            pub use $lanes as lanes;
            pub use lanes::{LANES, T, Token, V};
            use std::arch::x86_64::*;

            /// Rows that `add_rows` reads side by side: so many streams from memory, and so many products for each access
            /// to a sum.
            const ROWS: usize = 8;
            /// Elements of a row that `add_dots` brings close ahead of the products: 1 KiB.
            const AHEAD: usize = 1024 / size_of::<T>();
            /// Narrow indices at most.
            pub const NARROW: usize = 16;

            /// Adds the products of `depth` rows of `cols` elements, `w_row` apart, with `narrow` factors a row, `x_row` and
            /// `x_step` apart, to a panel of sums.
            ///
            /// # Panics
            /// If an operand or the panel is too short.
            #[inline]
            #[target_feature(enable = $features)]
            pub fn add_rows(
                w: &[T], w_row: usize, depth: usize, cols: usize, x: &[T], x_row: usize, x_step: usize, narrow: usize,
                sums: &mut [T],
            ) {
                assert!(depth > 0 && cols > 0 && narrow > 0 && narrow <= NARROW, "there are products");
                assert!((depth - 1) * w_row + cols <= w.len(), "the wide operand is too short");
                assert!((depth - 1) * x_row + (narrow - 1) * x_step < x.len(), "the narrow operand is too short");
                assert!(cols.div_ceil(LANES) * LANES * narrow <= sums.len(), "the panel is too short");
                let mut k = 0;
                while k + ROWS <= depth {
                    // SAFETY: the asserted lengths hold for rows k..k + ROWS.
                    unsafe { rows::<ROWS>(w.as_ptr().add(k * w_row), w_row, cols, x.as_ptr().add(k * x_row), x_row, x_step, narrow, sums) };
                    k += ROWS;
                }
                while k < depth {
                    // SAFETY: the asserted lengths hold for row k.
                    unsafe { rows::<1>(w.as_ptr().add(k * w_row), w_row, cols, x.as_ptr().add(k * x_row), x_row, x_step, narrow, sums) };
                    k += 1;
                }
            }

            /// # Safety
            /// `N` rows may be read, and the panel has a vector for each of their vectors and each narrow index.
            #[inline]
            #[target_feature(enable = $features)]
            unsafe fn rows<const N: usize>(
                w: *const T, w_row: usize, cols: usize, x: *const T, x_row: usize, x_step: usize, narrow: usize, sums: &mut [T],
            ) {
                let mut factors = [[0.0; N]; NARROW];
                for (q, factors) in factors.iter_mut().enumerate().take(narrow) {
                    for (r, factor) in factors.iter_mut().enumerate() {
                        // SAFETY: the caller's promise.
                        *factor = unsafe { *x.add(r * x_row + q * x_step) };
                    }
                }
                let mut sums = sums.as_mut_ptr();
                let mut j = 0;
                while j < cols {
                    for r in N..2 * N {
                        prefetch(w.wrapping_add(r * w_row + j));
                    }
                    let mut row = [lanes::zero(); N];
                    for (r, row) in row.iter_mut().enumerate() {
                        // SAFETY: the caller's promise; elements behind the columns are masked.
                        *row = unsafe {
                            let at = w.add(r * w_row + j);
                            if j + LANES <= cols { $load(at) } else { lanes::load_some_at(at, cols - j) }
                        };
                    }
                    for factors in &factors[..narrow] {
                        // SAFETY: the caller's promise.
                        unsafe {
                            let mut sum = $load(sums);
                            for (&factor, &row) in factors.iter().zip(&row) {
                                sum = lanes::fma($splat(factor), row, sum);
                            }
                            $store(sums, sum);
                            sums = sums.add(LANES);
                        }
                    }
                    j += LANES;
                }
            }

            /// Adds the dot products of `rows ≤ LANES` rows, `w_row` apart, with `narrow` rows, `x_row` apart, all of
            /// `depth` elements side by side, to a panel of sums: one vector a narrow row, one lane a wide row. Lanes behind
            /// the rows are unspecified.
            ///
            /// # Panics
            /// If an operand or the panel is too short.
            #[inline]
            #[target_feature(enable = $features)]
            pub fn add_dots(
                w: &[T], w_row: usize, rows: usize, depth: usize, x: &[T], x_row: usize, narrow: usize, sums: &mut [T],
            ) {
                match narrow {
                    1 => dots::<1>(w, w_row, rows, depth, x, x_row, 1, sums),
                    2 => dots::<2>(w, w_row, rows, depth, x, x_row, 2, sums),
                    _ => dots::<0>(w, w_row, rows, depth, x, x_row, narrow, sums),
                }
            }

            /// `add_dots` for `FIXED` narrow rows, whose sums stay in registers, or for any number.
            #[inline]
            #[target_feature(enable = $features)]
            fn dots<const FIXED: usize>(
                w: &[T], w_row: usize, rows: usize, depth: usize, x: &[T], x_row: usize, narrow: usize, sums: &mut [T],
            ) {
                assert!(rows > 0 && rows <= LANES && depth > 0 && narrow > 0, "there are products");
                assert!((rows - 1) * w_row + depth <= w.len(), "the wide operand is too short");
                assert!((narrow - 1) * x_row + depth <= x.len(), "the narrow operand is too short");
                assert!(narrow * LANES <= sums.len(), "the panel is too short");
                assert!(FIXED == 0 || FIXED == narrow);
                // Lanes without a row repeat the last one.
                let row = |r: usize| r.min(rows - 1) * w_row;
                let at: [usize; LANES] = std::array::from_fn(row);
                let mut held = [lanes::zero(); FIXED];
                for (q, held) in held.iter_mut().enumerate() {
                    *held = lanes::load(&sums[q * LANES..]);
                }
                let mut k = 0;
                while k + LANES <= depth {
                    for at in at {
                        prefetch(w.as_ptr().wrapping_add(at + k + AHEAD));
                    }
                    // SAFETY: k + LANES elements of each row are within the operands, by the asserted lengths.
                    unsafe {
                        let columns = super::transpose::$name(w.as_ptr().add(k), &at);
                        let x = x.as_ptr().add(k);
                        if FIXED == 0 {
                            for q in 0..narrow {
                                let sum = sums.as_mut_ptr().add(q * LANES);
                                $store(sum, block(&columns, x.add(q * x_row), $load(sum)));
                            }
                        }
                        for (q, held) in held.iter_mut().enumerate() {
                            *held = block(&columns, x.add(q * x_row), *held);
                        }
                    }
                    k += LANES;
                }
                for (q, held) in held.iter().enumerate() {
                    lanes::store(&mut sums[q * LANES..], *held);
                }
                if k < depth {
                    let rest = depth - k;
                    let mut tail = [0.0; LANES * LANES];
                    for r in 0..rows {
                        tail[r * LANES..r * LANES + rest].copy_from_slice(&w[at[r] + k..at[r] + depth]);
                    }
                    // SAFETY: the block is full.
                    let columns = unsafe { super::transpose::$name(tail.as_ptr(), &std::array::from_fn(|r| r * LANES)) };
                    for q in 0..narrow {
                        let sums = &mut sums[q * LANES..];
                        let mut sum = lanes::load(sums);
                        for (&x, &column) in x[q * x_row + k..q * x_row + depth].iter().zip(&columns) {
                            sum = lanes::fma(lanes::splat(x), column, sum);
                        }
                        lanes::store(sums, sum);
                    }
                }
            }

            /// `LANES` products for each lane.
            ///
            /// # Safety
            /// `LANES` elements may be read from `x`.
            #[inline]
            #[target_feature(enable = $features)]
            unsafe fn block(columns: &[V; LANES], x: *const T, mut sum: V) -> V {
                for (k, &column) in columns.iter().enumerate() {
                    // SAFETY: the caller's promise.
                    sum = lanes::fma($splat(unsafe { *x.add(k) }), column, sum);
                }
                sum
            }

            /// Brings a line, which need not exist, into the second cache: lines of rows that are a power of two apart would
            /// drive each other out of the first.
            #[inline]
            fn prefetch(x: *const T) {
                // SAFETY: a prefetch does not access memory architecturally; any address is fine.
                unsafe { _mm_prefetch::<_MM_HINT_T1>(x.cast()) }
            }
        }
    };
}

/// Transpositions of a square of `LANES`×`LANES` from rows in memory, which begin at `at`, into registers.
///
/// Each register is loaded in parts, so that its 128-bit lanes hold rows that belong into these lanes; what is left are
/// transpositions within lanes.
mod transpose {
    use std::arch::x86_64::*;

    /// Transposes four registers of f32 within their 128-bit lanes.
    macro_rules! within_lanes {
        ($x:expr, $lo:ident, $hi:ident, $lo_pd:ident, $hi_pd:ident, $to_pd:ident, $to_ps:ident) => {{
            let x = $x;
            let (a, b) = ($to_pd($lo(x[0], x[1])), $to_pd($hi(x[0], x[1])));
            let (c, d) = ($to_pd($lo(x[2], x[3])), $to_pd($hi(x[2], x[3])));
            [$to_ps($lo_pd(a, c)), $to_ps($hi_pd(a, c)), $to_ps($lo_pd(b, d)), $to_ps($hi_pd(b, d))]
        }};
    }

    /// # Safety
    /// 16 elements may be read from each row.
    #[inline]
    #[target_feature(enable = "avx512f")]
    pub unsafe fn f32x16(w: *const f32, at: &[usize; 16]) -> [__m512; 16] {
        let mut out = [_mm512_setzero_ps(); 16];
        for half in 0..2 {
            let mut low = [_mm512_setzero_ps(); 4];
            let mut high = [_mm512_setzero_ps(); 4];
            for e in 0..4 {
                // SAFETY: the caller's promise.
                let pair = |r: usize, s: usize| unsafe {
                    let r = _mm256_castps_pd(_mm256_loadu_ps(w.add(at[r] + 8 * half)));
                    let s = _mm256_castps_pd(_mm256_loadu_ps(w.add(at[s] + 8 * half)));
                    _mm512_castpd_ps(_mm512_insertf64x4::<1>(_mm512_castpd256_pd512(r), s))
                };
                let (a, b) = (pair(e, 4 + e), pair(8 + e, 12 + e));
                low[e] = _mm512_shuffle_f32x4::<0b10_00_10_00>(a, b);
                high[e] = _mm512_shuffle_f32x4::<0b11_01_11_01>(a, b);
            }
            for (quad, x) in [low, high].into_iter().enumerate() {
                let y = within_lanes!(
                    x,
                    _mm512_unpacklo_ps,
                    _mm512_unpackhi_ps,
                    _mm512_unpacklo_pd,
                    _mm512_unpackhi_pd,
                    _mm512_castps_pd,
                    _mm512_castpd_ps
                );
                out[8 * half + 4 * quad..][..4].copy_from_slice(&y);
            }
        }
        out
    }

    /// # Safety
    /// 8 elements may be read from each row.
    #[inline]
    #[target_feature(enable = "avx512f")]
    pub unsafe fn f64x8(w: *const f64, at: &[usize; 8]) -> [__m512d; 8] {
        let mut out = [_mm512_setzero_pd(); 8];
        for half in 0..2 {
            let mut low = [_mm512_setzero_pd(); 2];
            let mut high = [_mm512_setzero_pd(); 2];
            for e in 0..2 {
                // SAFETY: the caller's promise.
                let pair = |r: usize, s: usize| unsafe {
                    let r = _mm256_loadu_pd(w.add(at[r] + 4 * half));
                    let s = _mm256_loadu_pd(w.add(at[s] + 4 * half));
                    _mm512_insertf64x4::<1>(_mm512_castpd256_pd512(r), s)
                };
                let (a, b) = (pair(e, 2 + e), pair(4 + e, 6 + e));
                low[e] = _mm512_shuffle_f64x2::<0b10_00_10_00>(a, b);
                high[e] = _mm512_shuffle_f64x2::<0b11_01_11_01>(a, b);
            }
            for (pair, x) in [low, high].into_iter().enumerate() {
                out[4 * half + 2 * pair] = _mm512_unpacklo_pd(x[0], x[1]);
                out[4 * half + 2 * pair + 1] = _mm512_unpackhi_pd(x[0], x[1]);
            }
        }
        out
    }

    /// # Safety
    /// 8 elements may be read from each row.
    #[inline]
    #[target_feature(enable = "avx2")]
    pub unsafe fn f32x8(w: *const f32, at: &[usize; 8]) -> [__m256; 8] {
        let mut out = [_mm256_setzero_ps(); 8];
        for quad in 0..2 {
            let mut x = [_mm256_setzero_ps(); 4];
            for (e, x) in x.iter_mut().enumerate() {
                // SAFETY: the caller's promise.
                *x = unsafe {
                    let low = _mm256_castps128_ps256(_mm_loadu_ps(w.add(at[e] + 4 * quad)));
                    _mm256_insertf128_ps::<1>(low, _mm_loadu_ps(w.add(at[4 + e] + 4 * quad)))
                };
            }
            let y = within_lanes!(
                x,
                _mm256_unpacklo_ps,
                _mm256_unpackhi_ps,
                _mm256_unpacklo_pd,
                _mm256_unpackhi_pd,
                _mm256_castps_pd,
                _mm256_castpd_ps
            );
            out[4 * quad..][..4].copy_from_slice(&y);
        }
        out
    }

    /// # Safety
    /// 4 elements may be read from each row.
    #[inline]
    #[target_feature(enable = "avx2")]
    pub unsafe fn f64x4(w: *const f64, at: &[usize; 4]) -> [__m256d; 4] {
        let mut out = [_mm256_setzero_pd(); 4];
        for pair in 0..2 {
            let mut x = [_mm256_setzero_pd(); 2];
            for (e, x) in x.iter_mut().enumerate() {
                // SAFETY: the caller's promise.
                *x = unsafe {
                    let low = _mm256_castpd128_pd256(_mm_loadu_pd(w.add(at[e] + 2 * pair)));
                    _mm256_insertf128_pd::<1>(low, _mm_loadu_pd(w.add(at[2 + e] + 2 * pair)))
                };
            }
            out[2 * pair] = _mm256_unpacklo_pd(x[0], x[1]);
            out[2 * pair + 1] = _mm256_unpackhi_pd(x[0], x[1]);
        }
        out
    }
}

stream!(
    /// 16 f32.
    f32x16, "avx512f", crate::isa::avx512::f32x16, _mm512_loadu_ps, _mm512_storeu_ps, _mm512_set1_ps
);
stream!(
    /// 8 f64.
    f64x8, "avx512f", crate::isa::avx512::f64x8, _mm512_loadu_pd, _mm512_storeu_pd, _mm512_set1_pd
);
stream!(
    /// 8 f32.
    f32x8, "avx2,fma", crate::isa::avx2::f32x8, _mm256_loadu_ps, _mm256_storeu_ps, _mm256_set1_ps
);
stream!(
    /// 4 f64.
    f64x4, "avx2,fma", crate::isa::avx2::f64x4, _mm256_loadu_pd, _mm256_storeu_pd, _mm256_set1_pd
);

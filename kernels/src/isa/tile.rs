//! The inner loops of GEMM: a tile's sum over one chunk of k, accumulators in registers.
//!
//! `sum_full` is assembly: left to itself, LLVM lets all broadcasts take turns in two registers, and the loop waits for
//! them (85 % of the FMA peak where this one reaches 99 %). Each step loads the row of B, then each element of A into one of
//! several registers in turn. Operands are reached by strides, so that packed, plain and transposed ones take the same
//! loop: rows of A are addressed in threes from one pointer.

/// What the inner loop reads: `rows` × k elements of A and k × `cols` of B, the columns of B side by side.
#[derive(Clone, Copy, Debug)]
pub struct Operands<'a, T> {
    /// A from its first element.
    pub a: &'a [T],
    /// Elements between rows of A.
    pub a_row: usize,
    /// Elements between columns of A.
    pub a_step: usize,
    /// B from its first element.
    pub b: &'a [T],
    /// Elements between rows of B.
    pub b_step: usize,
    /// Depth, at least 1.
    pub k: usize,
}

impl<T> Operands<'_, T> {
    /// # Panics
    /// If the strides lead out of the slices.
    #[inline]
    fn check(&self, rows: usize, cols: usize) {
        assert!(self.k > 0 && (rows - 1) * self.a_row + (self.k - 1) * self.a_step < self.a.len(), "A is too short");
        assert!((self.k - 1) * self.b_step + cols <= self.b.len(), "B is too short");
    }
}

/// Defines `sum_edge`: any number of rows up to the tile's, one or two vectors of columns.
macro_rules! sum_edge {
    ($features:literal) => {
        /// The sums of a tile of `ROWS` rows and `cols ≤ NV·LANES` columns; columns behind them are 0.
        ///
        /// # Panics
        /// If the strides lead out of the slices.
        #[inline]
        #[target_feature(enable = $features)]
        pub fn sum_edge<const ROWS: usize, const NV: usize>(x: Operands<'_, T>, cols: usize) -> [[V; NV]; ROWS] {
            assert!(cols > (NV - 1) * LANES && cols <= NV * LANES, "the columns fill all vectors but the last");
            x.check(ROWS, cols);
            let mut sums = [[lanes::zero(); NV]; ROWS];
            let (mut a, mut b) = (x.a.as_ptr(), x.b.as_ptr());
            for _ in 0..x.k {
                // SAFETY: `check` compared the farthest element of each operand with its slice.
                unsafe {
                    let mut row = [lanes::zero(); NV];
                    for (v, row) in row.iter_mut().enumerate() {
                        *row = lanes::load_some_at(b.add(v * LANES), cols - v * LANES);
                    }
                    for (i, sums) in sums.iter_mut().enumerate() {
                        let a = lanes::splat(*a.add(i * x.a_row));
                        for (sum, &b) in sums.iter_mut().zip(&row) {
                            *sum = lanes::fma(a, b, *sum);
                        }
                    }
                }
                (a, b) = (a.wrapping_add(x.a_step), b.wrapping_add(x.b_step));
            }
            sums
        }
    };
}

/// Defines a module for one AVX-512 type: tiles of 12 rows and two vectors.
macro_rules! avx512_tile {
    ($(#[$doc:meta])* $name:ident, $lanes:path, $mov:literal, $broadcast:literal, $word:literal, $fma:literal) => {
        $(#[$doc])*
        pub mod $name {
            use super::Operands;
            use $lanes as lanes;
            pub use lanes::{LANES, T, Token, V};

            /// Rows of a full tile.
            pub const MR: usize = 12;
            /// Vectors of a row.
            pub const NV: usize = 2;

            macro_rules! row {
                ($c0:literal, $c1:literal, $to:literal, $at:literal) => {
                    concat!(
                        $broadcast, " zmm", $to, ", ", $word, " ptr [", $at, "]\n",
                        $fma, " zmm", $c0, ", zmm24, zmm", $to, "\n",
                        $fma, " zmm", $c1, ", zmm25, zmm", $to
                    )
                };
            }

            /// The sums of a full tile.
            ///
            /// # Panics
            /// If the strides lead out of the slices.
            #[inline]
            #[target_feature(enable = "avx512f")]
            pub fn sum_full(x: Operands<'_, T>) -> [[V; NV]; MR] {
                x.check(MR, NV * LANES);
                let zero = [lanes::zero(); NV];
                let [mut r0, mut r1, mut r2, mut r3, mut r4, mut r5] = [zero; 6];
                let [mut r6, mut r7, mut r8, mut r9, mut r10, mut r11] = [zero; 6];
                let size = size_of::<T>();
                let row = x.a_row * size;
                let a = x.a.as_ptr();
                // SAFETY: `check` compared the farthest element of each operand with its slice; the loop writes registers
                // alone.
                unsafe {
                    std::arch::asm!(
                        "2:",
                        concat!($mov, " zmm24, [{b}]"),
                        concat!($mov, " zmm25, [{b} + 64]"),
                        "add {b}, {b_step}",
                        row!(0, 1, 26, "{a0}"),
                        row!(2, 3, 27, "{a0} + {row}"),
                        row!(4, 5, 28, "{a0} + 2*{row}"),
                        "add {a0}, {a_step}",
                        row!(6, 7, 29, "{a3}"),
                        row!(8, 9, 30, "{a3} + {row}"),
                        row!(10, 11, 31, "{a3} + 2*{row}"),
                        "add {a3}, {a_step}",
                        row!(12, 13, 26, "{a6}"),
                        row!(14, 15, 27, "{a6} + {row}"),
                        row!(16, 17, 28, "{a6} + 2*{row}"),
                        "add {a6}, {a_step}",
                        row!(18, 19, 29, "{a9}"),
                        row!(20, 21, 30, "{a9} + {row}"),
                        row!(22, 23, 31, "{a9} + 2*{row}"),
                        "add {a9}, {a_step}",
                        "dec {k}",
                        "jnz 2b",
                        a0 = inout(reg) a => _,
                        a3 = inout(reg) a.wrapping_add(3 * x.a_row) => _,
                        a6 = inout(reg) a.wrapping_add(6 * x.a_row) => _,
                        a9 = inout(reg) a.wrapping_add(9 * x.a_row) => _,
                        b = inout(reg) x.b.as_ptr() => _,
                        row = in(reg) row,
                        a_step = in(reg) x.a_step * size,
                        b_step = in(reg) x.b_step * size,
                        k = inout(reg) x.k => _,
                        inout("zmm0") r0[0], inout("zmm1") r0[1], inout("zmm2") r1[0], inout("zmm3") r1[1],
                        inout("zmm4") r2[0], inout("zmm5") r2[1], inout("zmm6") r3[0], inout("zmm7") r3[1],
                        inout("zmm8") r4[0], inout("zmm9") r4[1], inout("zmm10") r5[0], inout("zmm11") r5[1],
                        inout("zmm12") r6[0], inout("zmm13") r6[1], inout("zmm14") r7[0], inout("zmm15") r7[1],
                        inout("zmm16") r8[0], inout("zmm17") r8[1], inout("zmm18") r9[0], inout("zmm19") r9[1],
                        inout("zmm20") r10[0], inout("zmm21") r10[1], inout("zmm22") r11[0], inout("zmm23") r11[1],
                        out("zmm24") _, out("zmm25") _, out("zmm26") _, out("zmm27") _, out("zmm28") _,
                        out("zmm29") _, out("zmm30") _, out("zmm31") _,
                        options(nostack, readonly),
                    );
                }
                [r0, r1, r2, r3, r4, r5, r6, r7, r8, r9, r10, r11]
            }

            sum_edge!("avx512f");
        }
    };
}

/// Defines a module for one AVX2 type: tiles of 6 rows and two vectors.
macro_rules! avx2_tile {
    ($(#[$doc:meta])* $name:ident, $lanes:path, $mov:literal, $broadcast:literal, $word:literal, $fma:literal) => {
        $(#[$doc])*
        pub mod $name {
            use super::Operands;
            use $lanes as lanes;
            pub use lanes::{LANES, T, Token, V};

            /// Rows of a full tile.
            pub const MR: usize = 6;
            /// Vectors of a row.
            pub const NV: usize = 2;

            macro_rules! row {
                ($c0:literal, $c1:literal, $to:literal, $at:literal) => {
                    concat!(
                        $broadcast, " ymm", $to, ", ", $word, " ptr [", $at, "]\n",
                        $fma, " ymm", $c0, ", ymm12, ymm", $to, "\n",
                        $fma, " ymm", $c1, ", ymm13, ymm", $to
                    )
                };
            }

            /// The sums of a full tile.
            ///
            /// # Panics
            /// If the strides lead out of the slices.
            #[inline]
            #[target_feature(enable = "avx2,fma")]
            pub fn sum_full(x: Operands<'_, T>) -> [[V; NV]; MR] {
                x.check(MR, NV * LANES);
                let [mut r0, mut r1, mut r2, mut r3, mut r4, mut r5] = [[lanes::zero(); NV]; MR];
                let size = size_of::<T>();
                let a = x.a.as_ptr();
                // SAFETY: `check` compared the farthest element of each operand with its slice; the loop writes registers
                // alone.
                unsafe {
                    std::arch::asm!(
                        "2:",
                        concat!($mov, " ymm12, [{b}]"),
                        concat!($mov, " ymm13, [{b} + 32]"),
                        "add {b}, {b_step}",
                        row!(0, 1, 14, "{a0}"),
                        row!(2, 3, 15, "{a0} + {row}"),
                        row!(4, 5, 14, "{a0} + 2*{row}"),
                        "add {a0}, {a_step}",
                        row!(6, 7, 15, "{a3}"),
                        row!(8, 9, 14, "{a3} + {row}"),
                        row!(10, 11, 15, "{a3} + 2*{row}"),
                        "add {a3}, {a_step}",
                        "dec {k}",
                        "jnz 2b",
                        a0 = inout(reg) a => _,
                        a3 = inout(reg) a.wrapping_add(3 * x.a_row) => _,
                        b = inout(reg) x.b.as_ptr() => _,
                        row = in(reg) x.a_row * size,
                        a_step = in(reg) x.a_step * size,
                        b_step = in(reg) x.b_step * size,
                        k = inout(reg) x.k => _,
                        inout("ymm0") r0[0], inout("ymm1") r0[1], inout("ymm2") r1[0], inout("ymm3") r1[1],
                        inout("ymm4") r2[0], inout("ymm5") r2[1], inout("ymm6") r3[0], inout("ymm7") r3[1],
                        inout("ymm8") r4[0], inout("ymm9") r4[1], inout("ymm10") r5[0], inout("ymm11") r5[1],
                        out("ymm12") _, out("ymm13") _, out("ymm14") _, out("ymm15") _,
                        options(nostack, readonly),
                    );
                }
                [r0, r1, r2, r3, r4, r5]
            }

            sum_edge!("avx2,fma");
        }
    };
}

avx512_tile!(
    /// 12×32 f32.
    f32_12x32, crate::isa::avx512::f32x16, "vmovups", "vbroadcastss", "dword", "vfmadd231ps"
);
avx512_tile!(
    /// 12×16 f64.
    f64_12x16, crate::isa::avx512::f64x8, "vmovupd", "vbroadcastsd", "qword", "vfmadd231pd"
);
avx2_tile!(
    /// 6×16 f32.
    f32_6x16, crate::isa::avx2::f32x8, "vmovups", "vbroadcastss", "dword", "vfmadd231ps"
);
avx2_tile!(
    /// 6×8 f64.
    f64_6x8, crate::isa::avx2::f64x4, "vmovupd", "vbroadcastsd", "qword", "vfmadd231pd"
);

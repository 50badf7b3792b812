//! The inner loops of GEMM: a tile's sum over one chunk of k, accumulators in registers.
//!
//! They are assembly: left to itself, LLVM lets all broadcasts take turns in two registers, and the loop waits for them
//! (85 % of the FMA peak where this one reaches 99 %). Each step loads a row of B, then each element of A into one of
//! several registers in turn. Operands are reached by strides, so that packed, plain and transposed ones take the same
//! loop: rows of A are addressed in threes from one pointer. Each step can also bring two lines of memory close that later
//! tiles want: the loop has issue slots to spare, and nothing else hides the distance of the outer caches.
//!
//! One text makes every height and width: the assembler leaves out the rows and vectors that a tile does not have.

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
    /// What to bring close meanwhile.
    pub ahead: Ahead<T>,
}

/// Lines of memory that are wanted soon: two lines at one place after another, a stride apart, a place each [`ROUND`] steps.
#[derive(Clone, Copy, Debug)]
pub struct Ahead<T> {
    at: *const T,
    stride: usize,
}

/// Steps of k in a round of the loop.
pub const ROUND: usize = 4;

impl<T> Ahead<T> {
    /// Next to nothing: the first lines of `x` again and again.
    #[inline(always)]
    pub fn none(x: &[T]) -> Ahead<T> {
        Ahead { at: x.as_ptr(), stride: 0 }
    }

    /// The lines at `at`, `at + stride`, …; they may lie behind the end of the data, where nothing is brought.
    #[inline(always)]
    pub fn new(at: *const T, stride: usize) -> Ahead<T> {
        Ahead { at, stride }
    }
}

impl<T> Operands<'_, T> {
    /// # Panics
    /// If the strides lead out of the slices.
    #[inline(always)]
    fn check(&self, rows: usize, cols: usize) {
        assert!(self.k > 0 && (rows - 1) * self.a_row + (self.k - 1) * self.a_step < self.a.len(), "A is too short");
        assert!((self.k - 1) * self.b_step + cols <= self.b.len(), "B is too short");
    }
}

/// The text of one row: if the tile has it, one element of A is broadcast and multiplied with the row of B.
macro_rules! row {
    ($v:literal, $i:literal, $c0:literal, $c1:literal, $b0:literal, $b1:literal, $to:literal, $broadcast:literal, $word:literal, $fma:literal, $at:literal) => {
        concat!(
            ".if {rows} > ",
            $i,
            "\n",
            $broadcast,
            " ",
            $v,
            $to,
            ", ",
            $word,
            " ptr [",
            $at,
            "]\n",
            $fma,
            " ",
            $v,
            $c0,
            ", ",
            $v,
            $b0,
            ", ",
            $v,
            $to,
            "\n",
            ".if {nv} > 1\n",
            $fma,
            " ",
            $v,
            $c1,
            ", ",
            $v,
            $b1,
            ", ",
            $v,
            $to,
            "\n",
            ".endif\n",
            ".endif"
        )
    };
}

/// The loop over k around the text of one step: four steps a round, with two lines of memory brought close in each, then
/// the steps that are left.
macro_rules! rounds {
    ($step:expr) => {
        concat!(
            "cmp {k}, 4\njb 3f\n",
            "2:\n.rept 4\n",
            $step,
            "\n.endr\nprefetcht1 [{p}]\nprefetcht1 [{p} + 64]\nadd {p}, {p_step}\nsub {k}, 4\ncmp {k}, 4\njae 2b\n",
            "3:\ntest {k}, {k}\njz 5f\n4:\n",
            $step,
            "\ndec {k}\njnz 4b\n5:"
        )
    };
}

/// Defines a module for one AVX-512 type: tiles of up to 12 rows and two vectors, whose last one may be partly used.
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

            macro_rules! r {
                ($i:literal, $c0:literal, $c1:literal, $to:literal, $at:literal) => {
                    row!("zmm", $i, $c0, $c1, 24, 25, $to, $broadcast, $word, $fma, $at)
                };
            }

            // One step of k.
            macro_rules! step {
                () => {
                    concat!(
                        ".if {nv} > 1", "\n",
                        concat!($mov, " zmm24, [{b}]"), "\n",
                        ".if {masked}", "\n",
                        concat!($mov, " zmm25{{{mask}}}{{z}}, [{b} + 64]"), "\n",
                        ".else", "\n",
                        concat!($mov, " zmm25, [{b} + 64]"), "\n",
                        ".endif", "\n",
                        ".elseif {masked}", "\n",
                        concat!($mov, " zmm24{{{mask}}}{{z}}, [{b}]"), "\n",
                        ".else", "\n",
                        concat!($mov, " zmm24, [{b}]"), "\n",
                        ".endif", "\n",
                        "add {b}, {b_step}", "\n",
                        r!(0, 0, 1, 26, "{a0}"), "\n",
                        r!(1, 2, 3, 27, "{a0} + {row}"), "\n",
                        r!(2, 4, 5, 28, "{a0} + 2*{row}"), "\n",
                        "add {a0}, {a_step}", "\n",
                        r!(3, 6, 7, 29, "{a3}"), "\n",
                        r!(4, 8, 9, 30, "{a3} + {row}"), "\n",
                        r!(5, 10, 11, 31, "{a3} + 2*{row}"), "\n",
                        "add {a3}, {a_step}", "\n",
                        r!(6, 12, 13, 26, "{a6}"), "\n",
                        r!(7, 14, 15, 27, "{a6} + {row}"), "\n",
                        r!(8, 16, 17, 28, "{a6} + 2*{row}"), "\n",
                        "add {a6}, {a_step}", "\n",
                        r!(9, 18, 19, 29, "{a9}"), "\n",
                        r!(10, 20, 21, 30, "{a9} + {row}"), "\n",
                        r!(11, 22, 23, 31, "{a9} + 2*{row}"), "\n",
                        "add {a9}, {a_step}"
                    )
                };
            }

            /// The sums of a tile of `R` rows and `N` vectors, of which the last has `cols − (N − 1)·LANES` columns and zeros
            /// behind them. `MASKED` is 0 if all columns are there. Rows and vectors that the tile does not have are 0.
            ///
            /// # Panics
            /// If the strides lead out of the slices.
            #[inline]
            #[target_feature(enable = "avx512f")]
            pub fn sum<const R: usize, const N: usize, const MASKED: usize>(x: Operands<'_, T>, cols: usize) -> [[V; NV]; MR] {
                const { assert!(R >= 1 && R <= MR && N >= 1 && N <= NV) };
                let last = cols.wrapping_sub((N - 1) * LANES);
                assert!(if MASKED == 0 { last == LANES } else { last - 1 < LANES }, "the columns fill all vectors but the last");
                x.check(R, cols);
                let mask = ((1u32 << last) - 1) as u16;
                let zero = [lanes::zero(); NV];
                let [mut r0, mut r1, mut r2, mut r3, mut r4, mut r5] = [zero; 6];
                let [mut r6, mut r7, mut r8, mut r9, mut r10, mut r11] = [zero; 6];
                let size = size_of::<T>();
                let a = x.a.as_ptr();
                // SAFETY: `check` compared the farthest element of each operand with its slice, and masked elements are not
                // accessed; the loop writes registers alone.
                unsafe {
                    std::arch::asm!(
                        rounds!(step!()),
                        rows = const R,
                        nv = const N,
                        masked = const MASKED,
                        a0 = inout(reg) a => _,
                        a3 = inout(reg) a.wrapping_add(3 * x.a_row) => _,
                        a6 = inout(reg) a.wrapping_add(6 * x.a_row) => _,
                        a9 = inout(reg) a.wrapping_add(9 * x.a_row) => _,
                        b = inout(reg) x.b.as_ptr() => _,
                        row = in(reg) x.a_row * size,
                        a_step = in(reg) x.a_step * size,
                        b_step = in(reg) x.b_step * size,
                        p = inout(reg) x.ahead.at => _,
                        p_step = in(reg) x.ahead.stride * size,
                        k = inout(reg) x.k => _,
                        mask = in(kreg) mask,
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
        }
    };
}

/// Defines a module for one AVX2 type: tiles of up to 6 rows and two vectors, whose last one may be partly used.
macro_rules! avx2_tile {
    (
        $(#[$doc:meta])* $name:ident, $lanes:path, $mov:literal, $maskmov:literal, $broadcast:literal, $word:literal,
        $fma:literal, $mask:path
    ) => {
        $(#[$doc])*
        pub mod $name {
            use super::Operands;
            use $lanes as lanes;
            pub use lanes::{LANES, T, Token, V};

            /// Rows of a full tile.
            pub const MR: usize = 6;
            /// Vectors of a row.
            pub const NV: usize = 2;

            macro_rules! r {
                ($i:literal, $c0:literal, $c1:literal, $to:literal, $at:literal) => {
                    row!("ymm", $i, $c0, $c1, 12, 13, $to, $broadcast, $word, $fma, $at)
                };
            }

            // A masked tile broadcasts into one register, as the mask takes the other.
            macro_rules! odd {
                ($i:literal, $c0:literal, $c1:literal, $at:literal) => {
                    concat!(
                        ".if {masked}\n",
                        r!($i, $c0, $c1, 14, $at), "\n",
                        ".else\n",
                        r!($i, $c0, $c1, 15, $at), "\n",
                        ".endif"
                    )
                };
            }

            // One step of k.
            macro_rules! step {
                () => {
                    concat!(
                        ".if {nv} > 1", "\n",
                        concat!($mov, " ymm12, [{b}]"), "\n",
                        ".if {masked}", "\n",
                        concat!($maskmov, " ymm13, ymm15, [{b} + 32]"), "\n",
                        ".else", "\n",
                        concat!($mov, " ymm13, [{b} + 32]"), "\n",
                        ".endif", "\n",
                        ".elseif {masked}", "\n",
                        concat!($maskmov, " ymm12, ymm15, [{b}]"), "\n",
                        ".else", "\n",
                        concat!($mov, " ymm12, [{b}]"), "\n",
                        ".endif", "\n",
                        "add {b}, {b_step}", "\n",
                        r!(0, 0, 1, 14, "{a0}"), "\n",
                        odd!(1, 2, 3, "{a0} + {row}"), "\n",
                        r!(2, 4, 5, 14, "{a0} + 2*{row}"), "\n",
                        "add {a0}, {a_step}", "\n",
                        odd!(3, 6, 7, "{a3}"), "\n",
                        r!(4, 8, 9, 14, "{a3} + {row}"), "\n",
                        odd!(5, 10, 11, "{a3} + 2*{row}"), "\n",
                        "add {a3}, {a_step}"
                    )
                };
            }

            /// The sums of a tile of `R` rows and `N` vectors, of which the last has `cols − (N − 1)·LANES` columns and zeros
            /// behind them. `MASKED` is 0 if all columns are there. Rows and vectors that the tile does not have are 0.
            ///
            /// # Panics
            /// If the strides lead out of the slices.
            #[inline]
            #[target_feature(enable = "avx2,fma")]
            pub fn sum<const R: usize, const N: usize, const MASKED: usize>(x: Operands<'_, T>, cols: usize) -> [[V; NV]; MR] {
                const { assert!(R >= 1 && R <= MR && N >= 1 && N <= NV) };
                let last = cols.wrapping_sub((N - 1) * LANES);
                assert!(if MASKED == 0 { last == LANES } else { last - 1 < LANES }, "the columns fill all vectors but the last");
                x.check(R, cols);
                let [mut r0, mut r1, mut r2, mut r3, mut r4, mut r5] = [[lanes::zero(); NV]; MR];
                let size = size_of::<T>();
                let a = x.a.as_ptr();
                // SAFETY: `check` compared the farthest element of each operand with its slice, and masked elements are not
                // accessed; the loop writes registers alone.
                unsafe {
                    std::arch::asm!(
                        rounds!(step!()),
                        rows = const R,
                        nv = const N,
                        masked = const MASKED,
                        a0 = inout(reg) a => _,
                        a3 = inout(reg) a.wrapping_add(3 * x.a_row) => _,
                        b = inout(reg) x.b.as_ptr() => _,
                        row = in(reg) x.a_row * size,
                        a_step = in(reg) x.a_step * size,
                        b_step = in(reg) x.b_step * size,
                        p = inout(reg) x.ahead.at => _,
                        p_step = in(reg) x.ahead.stride * size,
                        k = inout(reg) x.k => _,
                        inout("ymm0") r0[0], inout("ymm1") r0[1], inout("ymm2") r1[0], inout("ymm3") r1[1],
                        inout("ymm4") r2[0], inout("ymm5") r2[1], inout("ymm6") r3[0], inout("ymm7") r3[1],
                        inout("ymm8") r4[0], inout("ymm9") r4[1], inout("ymm10") r5[0], inout("ymm11") r5[1],
                        out("ymm12") _, out("ymm13") _, out("ymm14") _, inout("ymm15") $mask(last) => _,
                        options(nostack, readonly),
                    );
                }
                [r0, r1, r2, r3, r4, r5]
            }
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
    f32_6x16, crate::isa::avx2::f32x8, "vmovups", "vmaskmovps", "vbroadcastss", "dword", "vfmadd231ps",
    crate::isa::avx2::mask32
);
avx2_tile!(
    /// 6×8 f64.
    f64_6x8, crate::isa::avx2::f64x4, "vmovupd", "vmaskmovpd", "vbroadcastsd", "qword", "vfmadd231pd",
    crate::isa::avx2::mask64
);

//! What the driver asks of an ISA: the size of its tile and two functions.

use std::ops::Range;

use super::Float;
use super::ahead::Region;
use super::epilogue::{Finish, Fold};
use crate::disjoint::Disjoint;
use crate::isa::tile::Operands;

/// A tile of one ISA. The value holds the proof that the CPU has it.
pub trait Tile: Copy + Send + Sync {
    /// Element.
    type T: Float;
    /// Rows.
    const MR: usize;
    /// Columns.
    const NR: usize;

    /// Sums a tile of `rows ≤ MR` and `cols ≤ NR` over one chunk and folds it into `out`.
    fn run(
        self,
        x: Operands<'_, Self::T>,
        rows: usize,
        cols: usize,
        out: &mut Block<'_, Self::T>,
        fold: &Fold<'_, Self::T>,
    );

    /// What becomes in the end of row `i`.
    fn finish_row(self, row: &mut [Self::T], i: usize, finish: &Finish<'_, Self::T>);

    /// Copies `lines` lines of `len` elements, `stride` apart in `x`, to lines of `width ≥ len` without a gap; zeros fill
    /// them up.
    fn copy_lines(self, x: &[Self::T], stride: usize, lines: usize, len: usize, width: usize, to: &mut [Self::T]);

    /// The same for the transpose: the `lines` lines become the columns of `len` lines of `width ≥ lines`.
    fn transpose_lines(self, x: &[Self::T], stride: usize, lines: usize, len: usize, width: usize, to: &mut [Self::T]);
}

/// A part of C that one task writes: rows with a leading dimension.
pub struct Block<'a, T> {
    out: &'a Disjoint<'a, T>,
    start: usize,
    stride: usize,
}

impl<'a, T> Block<'a, T> {
    /// From element `start` of `out`, rows `stride` apart.
    ///
    /// # Safety
    /// While the block lives, nothing else reaches the elements that its rows are asked for.
    pub unsafe fn new(out: &'a Disjoint<'a, T>, start: usize, stride: usize) -> Block<'a, T> {
        Block { out, start, stride }
    }

    /// The block that begins at row `i`, column `j` of this one.
    pub fn at(&mut self, i: usize, j: usize) -> Block<'_, T> {
        Block { out: self.out, start: self.start + i * self.stride + j, stride: self.stride }
    }

    /// Rows from `i`, columns from `j`, to be brought close.
    pub fn region(&self, i: usize, j: usize, rows: usize, cols: usize) -> Region<T> {
        Region::new(self.out.start(), self.start + i * self.stride + j, self.stride, rows, cols)
    }

    /// `cols` elements of the first `R` rows.
    #[inline]
    pub fn rows<const R: usize>(&mut self, cols: usize) -> [&mut [T]; R] {
        // SAFETY: the promise of `new`.
        unsafe { self.out.rows(self.start, self.stride, cols) }
    }

    /// `cols` elements of row `i`.
    #[inline]
    pub fn row(&mut self, i: usize, cols: usize) -> &mut [T] {
        let start = self.start + i * self.stride;
        // SAFETY: the promise of `new`.
        unsafe { self.out.part(start..start + cols) }
    }
}

/// Calls the tile of the right height.
macro_rules! by_rows {
    ($nv:literal, $masked:literal, $rows:expr, [$($n:literal)*], $x:expr, $cols:expr, $out:expr, $fold:expr) => {
        match $rows {
            $($n => edge_tile::<$n, $nv, $masked>($x, $cols, $out, $fold),)*
            _ => unreachable!("a tile has at most MR rows"),
        }
    };
}

/// Defines the `Tile` of a module of `isa::tile`.
macro_rules! tile {
    ($(#[$doc:meta])* $name:ident, $features:literal, $tile:path, $lanes:path, $transpose:path, $rows:tt) => {
        mod $name {
            use $lanes as lanes;
            use $tile as tile;
            use tile::{LANES, MR, NV, T, Token, V};

            use crate::gemm::epilogue::{Along, Finish, Fold};
            use crate::gemm::tile::{Block, Tile};
            use crate::isa::tile::Operands;
            use etalon_reference::ops::gemm::Activation;

            /// Of so few lines that are copied, as many come after them: they are brought close.
            const FEW_LINES: usize = 8;
            /// Lines that are transposed lie apart, too many for the processor to foresee: so many squares ahead, they are
            /// brought close.
            const SQUARES_AHEAD: usize = 4;

            $(#[$doc])*
            #[derive(Clone, Copy, Debug)]
            pub struct TileOf(pub Token);

            impl Tile for TileOf {
                type T = T;
                const MR: usize = MR;
                const NR: usize = NV * LANES;

                #[inline]
                fn run(self, x: Operands<'_, T>, rows: usize, cols: usize, out: &mut Block<'_, T>, fold: &Fold<'_, T>) {
                    // SAFETY: the token proves that the CPU has the instructions.
                    unsafe {
                        if rows == MR && cols == NV * LANES {
                            full(x, out, fold)
                        } else {
                            edge(x, rows, cols, out, fold)
                        }
                    }
                }

                fn finish_row(self, row: &mut [T], i: usize, finish: &Finish<'_, T>) {
                    // SAFETY: the token proves that the CPU has the instructions.
                    unsafe { finish_row(row, i, finish) }
                }

                fn copy_lines(self, x: &[T], stride: usize, lines: usize, len: usize, width: usize, to: &mut [T]) {
                    // SAFETY: the token proves that the CPU has the instructions.
                    unsafe { copy_lines(x, stride, lines, len, width, to) }
                }

                fn transpose_lines(self, x: &[T], stride: usize, lines: usize, len: usize, width: usize, to: &mut [T]) {
                    // SAFETY: the token proves that the CPU has the instructions.
                    unsafe { transpose_lines(x, stride, lines, len, width, to) }
                }
            }

            #[target_feature(enable = $features)]
            fn full(x: Operands<'_, T>, out: &mut Block<'_, T>, fold: &Fold<'_, T>) {
                if !fold.first || fold.beta != 0.0 {
                    for row in out.rows::<MR>(NV * LANES) {
                        lanes::prefetch(row, 0);
                        lanes::prefetch(row, NV * LANES - 1);
                    }
                }
                fold_tile::<MR, NV, 0>(tile::sum::<MR, NV, 0>(x, NV * LANES), NV * LANES, out, fold);
            }

            #[target_feature(enable = $features)]
            fn edge(x: Operands<'_, T>, rows: usize, cols: usize, out: &mut Block<'_, T>, fold: &Fold<'_, T>) {
                if cols <= LANES {
                    $crate::gemm::tile::by_rows!(1, 1, rows, $rows, x, cols, out, fold)
                } else if cols < NV * LANES {
                    $crate::gemm::tile::by_rows!(2, 1, rows, $rows, x, cols, out, fold)
                } else {
                    $crate::gemm::tile::by_rows!(2, 0, rows, $rows, x, cols, out, fold)
                }
            }

            /// A function of its own for each size: one of all of them takes the compiler many times longer.
            #[inline(never)]
            #[target_feature(enable = $features)]
            fn edge_tile<const R: usize, const N: usize, const MASKED: usize>(
                x: Operands<'_, T>, cols: usize, out: &mut Block<'_, T>, fold: &Fold<'_, T>,
            ) {
                fold_tile::<R, N, MASKED>(tile::sum::<R, N, MASKED>(x, cols), cols, out, fold);
            }

            /// Folds sums into C; on the last chunk bias and activation follow. C is read before any of it is written: a load
            /// behind a store whose address ends in the same 12 bits waits for it, and rows often lie that way.
            #[inline]
            #[target_feature(enable = $features)]
            fn fold_tile<const R: usize, const N: usize, const MASKED: usize>(
                mut sums: [[V; NV]; MR], cols: usize, out: &mut Block<'_, T>, fold: &Fold<'_, T>,
            ) {
                let mut rows = out.rows::<R>(if MASKED == 0 { N * LANES } else { cols });
                let alpha = lanes::splat(fold.alpha);
                if !fold.first || fold.beta == 1.0 {
                    each::<R, N>(&mut sums, |i, v, sum| lanes::fma(alpha, sum, load::<N, MASKED>(rows[i], v)));
                } else if fold.beta == 0.0 {
                    each::<R, N>(&mut sums, |_, _, sum| lanes::fma(alpha, sum, lanes::zero()));
                } else {
                    let beta = lanes::splat(fold.beta);
                    each::<R, N>(&mut sums, |i, v, sum| {
                        lanes::fma(alpha, sum, lanes::mul(beta, load::<N, MASKED>(rows[i], v)))
                    });
                }
                if fold.last {
                    let finish = &fold.finish;
                    if let Some(scale) = finish.scale {
                        with_vector::<R, N, MASKED>(&mut sums, scale, finish.along, cols, |sum, x| lanes::mul(sum, x));
                    }
                    if let Some(bias) = finish.bias {
                        with_vector::<R, N, MASKED>(&mut sums, bias, finish.along, cols, |sum, x| lanes::add(sum, x));
                    }
                    if finish.activation == Activation::Relu {
                        each::<R, N>(&mut sums, |_, _, sum| lanes::relu(sum));
                    }
                }
                for (row, sums) in rows.iter_mut().zip(&sums) {
                    for (v, &sum) in sums.iter().enumerate().take(N) {
                        let to = &mut row[v * LANES..];
                        if MASKED == 0 || v + 1 < N { lanes::store(to, sum) } else { lanes::store_some(to, to.len(), sum) }
                    }
                }
                if fold.last && fold.finish.activation == Activation::Gelu {
                    rows.into_iter().for_each(|row| gelu(row));
                }
            }

            /// Vector `v` of a row of `N`, whose last one may be partly there.
            #[inline]
            #[target_feature(enable = $features)]
            fn load<const N: usize, const MASKED: usize>(row: &[T], v: usize) -> V {
                let x = &row[v * LANES..];
                if MASKED == 0 || v + 1 < N { lanes::load(x) } else { lanes::load_some(x, x.len()) }
            }

            /// Replaces each sum by a function of itself and of the element of its row or column.
            #[inline]
            #[target_feature(enable = $features)]
            fn with_vector<const R: usize, const N: usize, const MASKED: usize>(
                sums: &mut [[V; NV]; MR], vector: &[T], along: Along, cols: usize, t: impl Fn(V, V) -> V,
            ) {
                if along == Along::Rows {
                    let vector = &vector[..R];
                    each::<R, N>(sums, |i, _, sum| t(sum, lanes::splat(vector[i])));
                } else {
                    let mut x = [lanes::zero(); NV];
                    for (v, x) in x.iter_mut().enumerate().take(N) {
                        *x = load::<N, MASKED>(&vector[..cols], v);
                    }
                    each::<R, N>(sums, |_, v, sum| t(sum, x[v]));
                }
            }

            /// Replaces each sum by a function of its row, its vector and itself.
            #[inline]
            #[target_feature(enable = $features)]
            fn each<const R: usize, const N: usize>(sums: &mut [[V; NV]; MR], t: impl Fn(usize, usize, V) -> V) {
                for (i, sums) in sums.iter_mut().enumerate().take(R) {
                    for (v, sum) in sums.iter_mut().enumerate().take(N) {
                        *sum = t(i, v, *sum);
                    }
                }
            }

            #[target_feature(enable = $features)]
            fn gelu(row: &mut [T]) {
                for x in row {
                    *x = $crate::gemm::Float::gelu(*x);
                }
            }

            #[target_feature(enable = $features)]
            fn finish_row(row: &mut [T], i: usize, finish: &Finish<'_, T>) {
                for (j, x) in row.iter_mut().enumerate() {
                    *x = finish.value(*x, i, j);
                }
            }

            #[target_feature(enable = $features)]
            fn copy_lines(x: &[T], stride: usize, lines: usize, len: usize, width: usize, to: &mut [T]) {
                if len == width && width == NV * LANES {
                    for (line, to) in to.chunks_exact_mut(NV * LANES).take(lines).enumerate() {
                        let from = &x[line * stride..][..NV * LANES];
                        if lines <= FEW_LINES {
                            lanes::prefetch(from, lines * stride);
                            lanes::prefetch(from, lines * stride + NV * LANES - 1);
                        }
                        for v in 0..NV {
                            lanes::store(&mut to[v * LANES..], lanes::load(&from[v * LANES..]));
                        }
                    }
                    return;
                }
                for (line, to) in to.chunks_exact_mut(width).take(lines).enumerate() {
                    let from = &x[line * stride..][..len];
                    for v in (0..width).step_by(LANES) {
                        let from = &from[v.min(len)..];
                        let to = &mut to[v..];
                        // Without a mask where it can be: some processors read and write with one slowly.
                        let x = if from.len() < LANES { lanes::load_some(from, from.len()) } else { lanes::load(from) };
                        if to.len() < LANES { lanes::store_some(to, to.len(), x) } else { lanes::store(to, x) }
                    }
                }
            }

            #[target_feature(enable = $features)]
            fn transpose_lines(x: &[T], stride: usize, lines: usize, len: usize, width: usize, to: &mut [T]) {
                for (first, to) in (0..len).step_by(LANES).zip(to.chunks_mut(LANES * width)) {
                    let deep = LANES.min(len - first);
                    for j in (0..width).step_by(LANES) {
                        let mut square = [lanes::zero(); LANES];
                        for (i, v) in square.iter_mut().enumerate().take(lines.saturating_sub(j)) {
                            let from = &x[(j + i) * stride + first..];
                            lanes::prefetch(from, SQUARES_AHEAD * LANES);
                            *v = if deep == LANES { lanes::load(from) } else { lanes::load_some(from, deep) };
                        }
                        let square = $transpose(square);
                        let whole = width - j >= LANES;
                        for (i, &v) in square.iter().enumerate().take(deep) {
                            let to = &mut to[i * width + j..];
                            // As above.
                            if whole { lanes::store(to, v) } else { lanes::store_some(to, width - j, v) }
                        }
                    }
                }
            }
        }
    };
}

pub(super) use {by_rows, tile};

/// A range of rows or columns cut into `parts` whose lengths are multiples of `unit` (but the last); part `index`.
pub fn part(len: usize, unit: usize, parts: usize, index: usize) -> Range<usize> {
    let units = len.div_ceil(unit);
    let cut = |i: usize| (units * i / parts * unit).min(len);
    cut(index)..cut(index + 1)
}

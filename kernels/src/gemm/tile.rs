//! What the driver asks of an ISA: the size of its tile and two functions.

use std::ops::Range;

use super::Float;
use super::epilogue::Fold;
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
    fn run(self, x: Operands<'_, Self::T>, rows: usize, cols: usize, out: &mut Block<'_, Self::T>, fold: &Fold<'_, Self::T>);

    /// Bias and activation of a row that has no product.
    fn finish_row(self, row: &mut [Self::T], fold: &Fold<'_, Self::T>);
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

/// Calls the edge tile of the right height.
macro_rules! by_rows {
    ($nv:literal, $rows:expr, [$($n:literal)*], $x:expr, $cols:expr, $out:expr, $fold:expr) => {
        match $rows {
            $($n => fold_tile::<$n, $nv, false>(tile::sum_edge::<$n, $nv>($x, $cols), $cols, $out, $fold),)*
            _ => unreachable!("a tile has at most MR rows"),
        }
    };
}

/// Defines the `Tile` of a module of `isa::tile`.
macro_rules! tile {
    ($(#[$doc:meta])* $name:ident, $features:literal, $tile:path, $lanes:path, $rows:tt) => {
        mod $name {
            use $lanes as lanes;
            use $tile as tile;
            use tile::{LANES, MR, NV, T, Token, V};

            use crate::gemm::epilogue::Fold;
            use crate::gemm::tile::{Block, Tile};
            use crate::isa::tile::Operands;
            use etalon_reference::ops::gemm::Activation;

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

                fn finish_row(self, row: &mut [T], fold: &Fold<'_, T>) {
                    // SAFETY: the token proves that the CPU has the instructions.
                    unsafe { finish(row, fold) }
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
                fold_tile::<MR, NV, true>(tile::sum_full(x), NV * LANES, out, fold);
            }

            #[target_feature(enable = $features)]
            fn edge(x: Operands<'_, T>, rows: usize, cols: usize, out: &mut Block<'_, T>, fold: &Fold<'_, T>) {
                if cols <= LANES {
                    $crate::gemm::tile::by_rows!(1, rows, $rows, x, cols, out, fold)
                } else {
                    $crate::gemm::tile::by_rows!(2, rows, $rows, x, cols, out, fold)
                }
            }

            /// Folds sums into C; on the last chunk bias and activation follow. `FULL` tiles have one caller, and sums stay in
            /// registers.
            #[inline]
            #[target_feature(enable = $features)]
            fn fold_tile<const ROWS: usize, const NV: usize, const FULL: bool>(
                sums: [[V; NV]; ROWS], cols: usize, out: &mut Block<'_, T>, fold: &Fold<'_, T>,
            ) {
                let mut rows = out.rows::<ROWS>(cols);
                let alpha = lanes::splat(fold.alpha);
                if !fold.first || fold.beta == 1.0 {
                    each::<ROWS, NV, FULL>(&mut rows, &sums, |sum, c| lanes::fma(alpha, sum, c));
                } else if fold.beta == 0.0 {
                    // The rows are not read: the loads are dead.
                    each::<ROWS, NV, FULL>(&mut rows, &sums, |sum, _| lanes::fma(alpha, sum, lanes::zero()));
                } else {
                    let beta = lanes::splat(fold.beta);
                    each::<ROWS, NV, FULL>(&mut rows, &sums, |sum, c| lanes::fma(alpha, sum, lanes::mul(beta, c)));
                }
                if fold.last && (fold.bias.is_some() || fold.activation != Activation::None) {
                    rows.into_iter().for_each(|row| finish(row, fold));
                }
            }

            /// Replaces each vector of the rows by a function of its sum and itself.
            #[inline]
            #[target_feature(enable = $features)]
            fn each<const ROWS: usize, const NV: usize, const FULL: bool>(
                rows: &mut [&mut [T]; ROWS], sums: &[[V; NV]; ROWS], t: impl Fn(V, V) -> V,
            ) {
                for (row, sums) in rows.iter_mut().zip(sums) {
                    for (v, &sum) in sums.iter().enumerate() {
                        if FULL {
                            // SAFETY: a full tile's rows have NV·LANES elements.
                            unsafe { lanes::update_at(row.as_mut_ptr().add(v * LANES), |c| t(sum, c)) }
                        } else {
                            let c = &mut row[v * LANES..];
                            let some = c.len().min(LANES);
                            lanes::store_some(c, some, t(sum, lanes::load_some(c, some)));
                        }
                    }
                }
            }

            #[target_feature(enable = $features)]
            fn finish(row: &mut [T], fold: &Fold<'_, T>) {
                for (j, x) in row.iter_mut().enumerate() {
                    *x = fold.finish(*x, j);
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

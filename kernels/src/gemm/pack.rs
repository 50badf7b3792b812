//! Packing: copies of operands in the order in which tiles read them.
//!
//! B is copied into panels of NR columns, row after row, the last panel padded with zeros. A needs no transposition,
//! because tiles take any stride: its rows (or columns) are copied one after the other, a little apart, only where the
//! operand's own stride would make them share a few cache sets or touch a page each.

use etalon_reference::ops::gemm::{CHUNK, Gemm, Matrix};

use super::Float;
use crate::aligned::AlignedVec;

/// Copies rows `k0..k0+depth`, columns `j0..j0+cols` of B into `panel` (depth × nr).
pub fn pack_b<T: Float>(b: &[T], at: &Matrix, k0: usize, depth: usize, j0: usize, cols: usize, nr: usize, panel: &mut [T]) {
    if at.col == 1 {
        for (kk, row) in panel.chunks_exact_mut(nr).take(depth).enumerate() {
            let start = (k0 + kk) * at.row + j0;
            row[..cols].copy_from_slice(&b[start..start + cols]);
            row[cols..].fill(T::default());
        }
        return;
    }
    // Eight rows of the panel at a time: their lines stay in the first cache while each column of B is read along k.
    const DEEP: usize = 8;
    for (block, rows) in panel[..depth * nr].chunks_mut(DEEP * nr).enumerate() {
        let k = k0 + block * DEEP;
        let deep = rows.len() / nr;
        for j in 0..nr {
            if j >= cols {
                (0..deep).for_each(|d| rows[d * nr + j] = T::default());
                continue;
            }
            let from = (j0 + j) * at.col + k * at.row;
            if at.row == 1 {
                for (d, &x) in b[from..from + deep].iter().enumerate() {
                    rows[d * nr + j] = x;
                }
            } else {
                for d in 0..deep {
                    rows[d * nr + j] = b[from + d * at.row];
                }
            }
        }
    }
}

/// Elements between the lines of a copy of A: a chunk, and a cache line more, so that lines start in different sets.
pub const A_LINE: usize = CHUNK + 16;

/// Whether A should be copied before tiles read it: its lines are so far apart that they share cache sets.
pub fn a_wants_copy<T>(at: &Matrix) -> bool {
    let bytes = at.row * size_of::<T>();
    at.col != 1 || bytes.is_multiple_of(2048) && bytes > 0
}

/// Copies rows `i0..i0+rows`, columns `k0..k0+depth` of A into `copy`, rows [`A_LINE`] apart.
pub fn copy_a<T: Float>(a: &[T], at: &Matrix, i0: usize, rows: usize, k0: usize, depth: usize, copy: &mut [T]) {
    if at.col == 1 {
        for (i, line) in copy.chunks_mut(A_LINE).take(rows).enumerate() {
            let start = (i0 + i) * at.row + k0;
            line[..depth].copy_from_slice(&a[start..start + depth]);
        }
        return;
    }
    const WIDE: usize = 16;
    for first in (0..rows).step_by(WIDE) {
        let wide = WIDE.min(rows - first);
        for kk in 0..depth {
            let from = (i0 + first) * at.row + (k0 + kk) * at.col;
            for i in 0..wide {
                copy[(first + i) * A_LINE + kk] = a[from + i * at.row];
            }
        }
    }
}

/// A packed B, for several products with the same weights.
///
/// Made by [`PackedB::new`]; holds k·⌈n/NR⌉·NR elements a matrix of the batch (one matrix if the batch shares it).
pub struct PackedB<T: Float> {
    panels: AlignedVec<T>,
    nr: usize,
    k: usize,
    n: usize,
    matrices: usize,
}

impl<T: Float> PackedB<T> {
    /// Packs `b` as `problem` describes it, for tiles of `nr` columns.
    ///
    /// # Panics
    /// If `b` is shorter than `problem.b_len()`.
    pub(super) fn new(problem: &Gemm, b: &[T], nr: usize) -> PackedB<T> {
        let matrices = if problem.b.batch == 0 { problem.batch.min(1) } else { problem.batch };
        let (k, n) = (problem.k, problem.n);
        let mut panels = AlignedVec::new();
        panels.resize(matrices * k * n.next_multiple_of(nr));
        let matrix = k * n.next_multiple_of(nr);
        for z in 0..matrices {
            let b = &b[(z * problem.b.batch).min(b.len())..];
            for k0 in (0..k).step_by(CHUNK) {
                let depth = CHUNK.min(k - k0);
                for j0 in (0..n).step_by(nr) {
                    let start = z * matrix + k0 * n.next_multiple_of(nr) + j0 * depth;
                    let panel = &mut panels[start..start + depth * nr];
                    pack_b(b, &problem.b, k0, depth, j0, nr.min(n - j0), nr, panel);
                }
            }
        }
        PackedB { panels, nr, k, n, matrices }
    }

    /// Whether it was packed for this problem and this tile.
    pub(super) fn fits(&self, problem: &Gemm, nr: usize) -> bool {
        let matrices = if problem.b.batch == 0 { problem.batch.min(1) } else { problem.batch };
        (self.k, self.n, self.matrices, self.nr) == (problem.k, problem.n, matrices, nr)
    }

    /// The panel of rows `k0..k0+depth` and columns from `j0` of matrix `z`.
    pub(super) fn panel(&self, z: usize, k0: usize, depth: usize, j0: usize) -> &[T] {
        let wide = self.n.next_multiple_of(self.nr);
        let start = (z % self.matrices.max(1)) * self.k * wide + k0 * wide + j0 * depth;
        &self.panels[start..start + depth * self.nr]
    }

    /// Bytes it holds.
    pub fn bytes(&self) -> usize {
        self.panels.len() * size_of::<T>()
    }
}

//! Packing: copies of operands in the order in which tiles read them.
//!
//! B is copied into panels of NR columns, row after row, the last panel padded with zeros. A needs no transposition,
//! because tiles take any stride: its rows (or columns) are copied one after the other, a little apart, only where the
//! operand's own stride would make them share a few cache sets or touch a page each.

use std::ops::Range;

use etalon_reference::ops::gemm::{CHUNK, Gemm, Matrix};

use super::Float;
use crate::aligned::AlignedVec;

/// Copies rows `k0..k0+depth`, columns `cols` of B into panels of `nr` columns, each depth × nr, one after the other. B is
/// read along its lines, so that the hardware sees few streams.
pub fn pack_b<T: Float>(b: &[T], at: &Matrix, k0: usize, depth: usize, cols: Range<usize>, nr: usize, panels: &mut [T]) {
    let panel = depth * nr;
    if at.col == 1 {
        for kk in 0..depth {
            let start = (k0 + kk) * at.row + cols.start;
            let line = &b[start..start + cols.len()];
            for (p, part) in line.chunks(nr).enumerate() {
                let row = &mut panels[p * panel + kk * nr..][..nr];
                row[..part.len()].copy_from_slice(part);
                row[part.len()..].fill(T::default());
            }
        }
        return;
    }
    // Eight rows of a panel at a time: their lines stay in the first cache while each column of B is read along k.
    const DEEP: usize = 8;
    for (p, first) in cols.clone().step_by(nr).enumerate() {
        let wide = nr.min(cols.end - first);
        for k in (0..depth).step_by(DEEP) {
            let deep = DEEP.min(depth - k);
            let rows = &mut panels[p * panel + k * nr..][..deep * nr];
            for j in 0..nr {
                if j >= wide {
                    (0..deep).for_each(|d| rows[d * nr + j] = T::default());
                    continue;
                }
                let from = (first + j) * at.col + (k0 + k) * at.row;
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
}

/// Depth of packed panels: two chunks, so that a tile of C is visited once for both.
pub const DEPTH: usize = 2 * CHUNK;

/// Elements between the lines of a copy of A: the depth, and a cache line more, so that lines start in different sets.
pub const A_LINE: usize = DEPTH + 16;

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
        for z in (0..matrices).filter(|_| matrix > 0) {
            let b = &b[(z * problem.b.batch).min(b.len())..];
            for k0 in (0..k).step_by(DEPTH) {
                let depth = DEPTH.min(k - k0);
                let start = z * matrix + k0 * n.next_multiple_of(nr);
                pack_b(b, &problem.b, k0, depth, 0..n, nr, &mut panels[start..]);
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

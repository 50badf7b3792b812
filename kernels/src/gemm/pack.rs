//! Packing: copies of operands in the order in which tiles read them.
//!
//! A panel of B has NR columns, row after row, zeros behind the last column. A needs no transposition, because tiles take
//! any stride: lines of it are copied one after the other, a little apart, only where the operand's own stride would make
//! them share a few cache sets or touch a page each.

use etalon_reference::ops::gemm::{CHUNK, Gemm, Matrix};

use super::Float;
use super::tile::Tile;
use crate::aligned::AlignedVec;
use crate::faults::fault;

/// Depth of a block: two chunks, so that a tile of C is visited twice while it is close.
pub const DEPTH: usize = 2 * CHUNK;

/// Elements between the lines of a copy of A: the depth, and a cache line more, so that lines start in different sets.
pub const A_LINE: usize = DEPTH + 16;

/// Copies rows `k0..k0+depth`, columns `j..j+cols` of B into a panel of depth × NR.
pub fn pack_b<X: Tile>(
    tile: X,
    b: &[X::T],
    at: &Matrix,
    k0: usize,
    depth: usize,
    j: usize,
    cols: usize,
    panel: &mut [X::T],
) {
    copy(tile, &b[k0 * at.row + j * at.col..], at.row, at.col, depth, cols, X::NR, panel);
}

/// Whether A should be copied before tiles read it: its lines are so far apart that they share cache sets.
pub fn wants_copy<T>(at: &Matrix) -> bool {
    let bytes = at.row * size_of::<T>();
    at.col != 1 || bytes.is_multiple_of(2048) && bytes > 0
}

/// A copy of A's rows `i0..i0+rows`, columns `k0..k0+depth` for one row of tiles: row after row if they are lines of the
/// operand, otherwise column after column.
pub fn copy_a<X: Tile>(
    tile: X,
    a: &[X::T],
    at: &Matrix,
    i0: usize,
    rows: usize,
    k0: usize,
    depth: usize,
    to: &mut [X::T],
) {
    let a = &a[i0 * at.row + k0 * at.col..];
    if at.col == 1 {
        for (i, line) in to.chunks_mut(A_LINE).take(rows).enumerate() {
            line[..depth].copy_from_slice(&a[i * at.row..][..depth]);
        }
    } else {
        copy(tile, a, at.col, at.row, depth, rows, X::MR, to);
    }
}

/// `to[y·width + x] = from[y·down + x·right]` for y < lines, x < len; 0 for len ≤ x < width.
fn copy<X: Tile>(
    tile: X,
    from: &[X::T],
    down: usize,
    right: usize,
    lines: usize,
    len: usize,
    width: usize,
    to: &mut [X::T],
) {
    if right == 1 {
        tile.copy_lines(from, down, lines, len, width, to);
    } else if down == 1 {
        tile.transpose_lines(from, right, len, lines, width, to);
    } else {
        for (y, line) in to.chunks_exact_mut(width).take(lines).enumerate() {
            for (x, to) in line[..len].iter_mut().enumerate() {
                *to = from[y * down + x * right];
            }
            line[len..].fill(X::T::default());
        }
    }
}

/// A packed B, for several products with the same weights.
///
/// Made by the kernels' plans; holds k·⌈n/NR⌉·NR elements a matrix of the batch (one matrix if the batch shares it).
pub struct PackedB<T: Float> {
    panels: AlignedVec<T>,
    nr: usize,
    k: usize,
    n: usize,
    matrices: usize,
}

impl<T: Float> PackedB<T> {
    /// Packs `b`, of at least `problem.b_len()` elements, for a tile.
    pub(super) fn new<X: Tile<T = T>>(tile: X, problem: &Gemm, b: &[T]) -> PackedB<T> {
        let matrices = if problem.b.batch == 0 { problem.batch.min(1) } else { problem.batch };
        let (k, n) = (problem.k, problem.n);
        let wide = n.next_multiple_of(X::NR);
        let mut panels = AlignedVec::new();
        panels.resize(matrices * k * wide);
        for z in (0..matrices).filter(|_| k * n > 0) {
            let b = &b[z * problem.b.batch..];
            for k0 in (0..k).step_by(CHUNK) {
                let depth = CHUNK.min(k - k0);
                for j in (0..n).step_by(X::NR) {
                    let panel = &mut panels[(z * k + k0) * wide + j * depth..][..depth * X::NR];
                    pack_b(tile, b, &problem.b, k0, depth, j, X::NR.min(n - j), panel);
                }
            }
        }
        PackedB { panels, nr: X::NR, k, n, matrices }
    }

    /// Whether it was packed for this problem and this tile.
    pub(super) fn fits(&self, problem: &Gemm, nr: usize) -> bool {
        let matrices = if problem.b.batch == 0 { problem.batch.min(1) } else { problem.batch };
        (self.k, self.n, self.matrices, self.nr) == (problem.k, problem.n, matrices, nr)
    }

    /// The panel of the chunk of rows `k0..k0+depth` and columns from `j` of matrix `z`.
    pub(super) fn panel(&self, z: usize, k0: usize, depth: usize, j: usize) -> &[T] {
        let wide = self.n.next_multiple_of(self.nr);
        let z = if fault!("gemm.prepacked-second-chunk") && k0 == CHUNK { 0 } else { z % self.matrices.max(1) };
        let start = (z * self.k + k0) * wide + j * depth;
        &self.panels[start..start + depth * self.nr]
    }

    /// Bytes it holds.
    pub fn bytes(&self) -> usize {
        self.panels.len() * size_of::<T>()
    }
}

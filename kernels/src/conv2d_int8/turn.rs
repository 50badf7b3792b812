//! Images by planes as images by pixels, and back: matrices of which each is turned by itself.

use etalon_reference::Element;

use crate::disjoint::chunks;
use crate::faults::fault;
use crate::pool::Pool;

/// Rows of a turned matrix that a task takes at least, and the sides of a square that is turned at a time.
const SQUARE: usize = 32;
/// Elements that a thread turns in a nanosecond, about.
const TURNED_A_NS: u64 = 1;

/// Matrices of `rows`×`cols`, one after the other, as matrices of `cols`×`rows`.
pub fn turn<T: Element>(pool: &Pool, from: &[T], rows: usize, cols: usize, to: &mut [T]) {
    if to.is_empty() {
        return;
    }
    let part = |start: usize, to: &mut [T]| {
        // Rows of `to` from here on, of this matrix and perhaps of the next ones.
        let (mut row, mut to) = (start / rows, to);
        while !to.is_empty() {
            let (matrix, first) = (row / cols, row % cols);
            let count = (cols - first).min(SQUARE).min(to.len() / rows);
            let (piece, rest) = to.split_at_mut(count * rows);
            let matrix = if fault!("conv2d_int8.fifth-image") { matrix.min(3) } else { matrix };
            strip(&from[matrix * rows * cols..][..rows * cols], cols, first, rows, piece);
            (row, to) = (row + count, rest);
        }
    };
    if pool.threads_for(to.len() as u64 / TURNED_A_NS) == 1 {
        part(0, to);
    } else {
        chunks(pool, to, SQUARE * rows, part);
    }
}

/// Columns of a matrix from `first` on, as rows of `to`.
fn strip<T: Element>(from: &[T], cols: usize, first: usize, rows: usize, to: &mut [T]) {
    let count = to.len() / rows;
    for top in (0..rows).step_by(SQUARE) {
        let height = SQUARE.min(rows - top);
        for j in 0..count {
            let to = &mut to[j * rows + top..][..height];
            for (to, line) in to.iter_mut().zip(from[top * cols..].chunks(cols)) {
                *to = line[first + j];
            }
        }
    }
}

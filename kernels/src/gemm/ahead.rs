//! What the next tiles will read and write, brought close while the present ones are summed.
//!
//! The driver names regions; each tile takes a piece along: two lines of memory in as many rows as its loop has steps.

use crate::isa::tile::{Ahead, ROUND};

/// A rectangle of memory: lines a stride apart.
#[derive(Clone, Copy, Debug)]
pub struct Region<T> {
    start: *const T,
    stride: usize,
    lines: usize,
    len: usize,
    /// The first line and element that are still to come.
    at: (usize, usize),
}

/// Elements in two lines of the cache.
const fn pair<T>() -> usize {
    128 / size_of::<T>()
}

impl<T> Region<T> {
    /// Nothing.
    pub const fn empty() -> Region<T> {
        Region { start: std::ptr::null(), stride: 0, lines: 0, len: 0, at: (0, 0) }
    }

    /// `lines` lines of `len` elements, `stride` apart, from element `start` of `x`.
    pub fn new(x: *const T, start: usize, stride: usize, lines: usize, len: usize) -> Region<T> {
        Region { start: x.wrapping_add(start), stride, lines, len, at: (0, 0) }
    }

    /// The next piece, for `steps` steps.
    #[inline]
    fn take(&mut self, steps: usize) -> Option<Ahead<T>> {
        let (line, element) = self.at;
        if element >= self.len || self.lines == 0 {
            return None;
        }
        let rows = (steps / ROUND).max(1).min(self.lines - line);
        let piece = Ahead::new(self.start.wrapping_add(line * self.stride + element), self.stride);
        self.at = if line + rows < self.lines { (line + rows, element) } else { (0, element + pair::<T>()) };
        Some(piece)
    }
}

/// Regions, the most urgent first.
#[derive(Debug)]
pub struct Queue<T> {
    /// B of the next panel.
    pub b: Region<T>,
    /// C of the next panel.
    pub c: Region<T>,
    /// A of the next block.
    pub a: Region<T>,
}

impl<T> Queue<T> {
    /// Of empty regions.
    pub const fn new() -> Queue<T> {
        Queue { b: Region::empty(), c: Region::empty(), a: Region::empty() }
    }

    /// The next piece, for `steps` steps; nothing but the first lines of `idle` if all is on its way.
    #[inline]
    pub fn take(&mut self, steps: usize, idle: &[T]) -> Ahead<T> {
        let piece = self.b.take(steps).or_else(|| self.c.take(steps)).or_else(|| self.a.take(steps));
        piece.unwrap_or_else(|| Ahead::none(idle))
    }
}

//! The one piece of sharing that Rust can't check for us: the tasks of an operator own interleaved parts of an output (the
//! planes of a channel, the tiles of a matrix).

use std::marker::PhantomData;
use std::ops::Range;

use crate::pool::Pool;

/// A slice that several tasks write, each its own part.
#[derive(Clone, Copy, Debug)]
pub struct Disjoint<'a, T> {
    start: *mut T,
    len: usize,
    slice: PhantomData<&'a mut [T]>,
}

// SAFETY: a handle gives out parts only under the promise of `part`, so that no element is reached from two threads.
unsafe impl<T: Send> Send for Disjoint<'_, T> {}
// SAFETY: as above.
unsafe impl<T: Send> Sync for Disjoint<'_, T> {}

impl<'a, T> Disjoint<'a, T> {
    /// Over all of `slice`.
    pub fn new(slice: &'a mut [T]) -> Disjoint<'a, T> {
        Disjoint { start: slice.as_mut_ptr(), len: slice.len(), slice: PhantomData }
    }

    /// Where the slice starts.
    pub fn start(&self) -> *const T {
        self.start
    }

    /// Number of elements.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is no element.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The elements of `range`.
    ///
    /// # Safety
    /// While the part lives, no part that overlaps it does.
    ///
    /// # Panics
    /// If the range is not within the slice.
    // One handle gives out many parts; that they don't overlap is the promise.
    #[expect(clippy::mut_from_ref, reason = "the caller promises that parts do not overlap")]
    pub unsafe fn part(&self, range: Range<usize>) -> &mut [T] {
        assert!(range.start <= range.end && range.end <= self.len, "{range:?} of {} elements", self.len);
        // SAFETY: within the slice, which is borrowed for as long as the handle lives; not aliased by the caller's promise.
        unsafe { std::slice::from_raw_parts_mut(self.start.add(range.start), range.end - range.start) }
    }
}

impl<'a, T> Disjoint<'a, T> {
    /// `R` rows of `cols` elements from `start`, `stride` apart, with one check for all.
    ///
    /// # Safety
    /// While the rows live, no part that overlaps them does.
    ///
    /// # Panics
    /// If a row is not within the slice, or rows overlap.
    #[inline]
    #[expect(clippy::mut_from_ref, reason = "the caller promises that parts do not overlap")]
    pub unsafe fn rows<const R: usize>(&self, start: usize, stride: usize, cols: usize) -> [&mut [T]; R] {
        assert!(R < 2 || cols <= stride, "rows overlap");
        assert!(start + (R - 1) * stride + cols <= self.len, "{R} rows from {start} of {} elements", self.len);
        // SAFETY: the last row ends within the slice, rows do not overlap; not aliased by the caller's promise.
        std::array::from_fn(|i| unsafe { std::slice::from_raw_parts_mut(self.start.add(start + i * stride), cols) })
    }
}

/// Runs `body(start, part)` for each part of `slice` of `chunk` elements (the last may be shorter), split over the pool.
///
/// # Panics
/// If `chunk` is 0.
pub fn chunks<T: Send>(pool: &Pool, slice: &mut [T], chunk: usize, body: impl Fn(usize, &mut [T]) + Sync) {
    let len = slice.len();
    let parts = Disjoint::new(slice);
    pool.run(len.div_ceil(chunk), |task, _| {
        let range = task * chunk..(task * chunk + chunk).min(len);
        // SAFETY: ranges of different tasks do not overlap, and each task runs once.
        body(range.start, unsafe { parts.part(range) });
    });
}

/// Two slices in parts of their own lengths, part `i` of both in one task, with scratch memory of which each thread has an
/// equal share: `body(task, part of the first, part of the second, scratch)`. The second slice may be empty.
///
/// # Panics
/// If a part has no element.
pub fn parts<T: Send, U: Send, S: Send>(
    pool: &Pool,
    (first, first_part): (&mut [T], usize),
    (second, second_part): (&mut [U], usize),
    scratch: &mut [S],
    body: impl Fn(usize, &mut [T], &mut [U], &mut [S]) + Sync,
) {
    let share = scratch.len() / pool.threads();
    let (first, second, scratch) = (Disjoint::new(first), Disjoint::new(second), Disjoint::new(scratch));
    pool.run(first.len().div_ceil(first_part), |task, thread| {
        let range = |part: usize, len: usize| (task * part).min(len)..((task + 1) * part).min(len);
        // SAFETY: ranges of different tasks do not overlap, each task runs once, and a thread runs one task at a time.
        let (first, second, scratch) = unsafe {
            (
                first.part(range(first_part, first.len())),
                second.part(range(second_part, second.len())),
                scratch.part(thread * share..(thread + 1) * share),
            )
        };
        body(task, first, second, scratch);
    });
}

/// Parts of three slices that begin at the same element, one part of each in a task: `body(start, first, second,
/// third)`. The first and the third are equally long; the second may be empty.
///
/// # Panics
/// If `chunk` is 0, or a slice is of another length.
pub fn in_step<T: Send, U: Send, V: Send>(
    pool: &Pool,
    chunk: usize,
    first: &mut [T],
    second: &mut [U],
    third: &mut [V],
    body: impl Fn(usize, &mut [T], &mut [U], &mut [V]) + Sync,
) {
    let len = first.len();
    assert!(third.len() == len && (second.is_empty() || second.len() == len), "slices of one length");
    let (first, second, third) = (Disjoint::new(first), Disjoint::new(second), Disjoint::new(third));
    pool.run(len.div_ceil(chunk), |task, _| {
        let range = task * chunk..(task * chunk + chunk).min(len);
        let of_second = if second.is_empty() { 0..0 } else { range.clone() };
        // SAFETY: ranges of different tasks do not overlap, and each task runs once.
        let (first, second, third) =
            unsafe { (first.part(range.clone()), second.part(of_second), third.part(range.clone())) };
        body(range.start, first, second, third);
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_two_slices_go_together() {
        let (mut first, mut second, mut scratch) = (vec![0usize; 23], vec![0usize; 46], vec![0usize; 9]);
        parts(&Pool::eager(3), (&mut first, 5), (&mut second, 10), &mut scratch, |task, first, second, scratch| {
            assert_eq!((2 * first.len(), scratch.len()), (second.len(), 3));
            first.fill(task + 1);
            second.fill(task + 1);
            scratch.fill(task);
        });
        assert!(first.iter().enumerate().all(|(i, &v)| v == i / 5 + 1));
        assert!(second.iter().enumerate().all(|(i, &v)| v == i / 10 + 1));
    }

    #[test]
    fn parts_of_three_slices_go_in_step() {
        let (mut first, mut second, mut third) = (vec![0usize; 23], vec![0u8; 23], vec![0u16; 23]);
        in_step(&Pool::eager(3), 5, &mut first, &mut second, &mut third, |start, first, second, third| {
            assert_eq!((first.len(), second.len()), (third.len(), third.len()));
            first.fill(start);
            second.fill(1);
            third.fill(2);
        });
        assert!(first.iter().enumerate().all(|(i, &v)| v == i / 5 * 5));
        assert!(second.iter().all(|&v| v == 1) && third.iter().all(|&v| v == 2));
        in_step(&Pool::new(1), 5, &mut first, &mut [(); 0], &mut third, |_, _, second, _| assert!(second.is_empty()));
    }

    #[test]
    fn parts_are_the_ranges_asked_for() {
        let mut data = vec![0usize; 103];
        let parts = Disjoint::new(&mut data);
        Pool::new(3).run(11, |task, _| {
            let range = task * 10..parts.len().min(task * 10 + 10);
            // SAFETY: ranges of different tasks do not overlap.
            unsafe { parts.part(range) }.fill(task + 1);
        });
        assert!(data.iter().enumerate().all(|(i, &v)| v == i / 10 + 1));
    }
}

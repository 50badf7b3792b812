//! Buffers that start on a cache line.

use std::alloc::{Layout, alloc, dealloc, handle_alloc_error};
use std::fmt;
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;

use etalon_reference::Element;

/// Alignment of every buffer: a cache line, and the widest vector.
pub const ALIGNMENT: usize = 64;

/// Buffers from this size on are aligned to, and ask for, huge pages.
const HUGE: usize = 4 << 20;
/// Size of a huge page.
const HUGE_PAGE: usize = 2 << 20;

/// A growable buffer whose first element lies on a 64-byte boundary. From 4 MiB on it asks for huge pages, which spares a
/// kernel that streams through it most misses of the address cache. New elements are zero.
pub struct AlignedVec<T: Element> {
    start: NonNull<T>,
    len: usize,
    /// Elements there is room for; all of them are initialised.
    capacity: usize,
}

// SAFETY: it owns its elements, like a `Vec`.
unsafe impl<T: Element> Send for AlignedVec<T> {}
// SAFETY: as above.
unsafe impl<T: Element> Sync for AlignedVec<T> {}

impl<T: Element> AlignedVec<T> {
    /// Without elements; does not allocate.
    pub const fn new() -> AlignedVec<T> {
        AlignedVec { start: NonNull::dangling(), len: 0, capacity: 0 }
    }

    /// `len` zeros.
    ///
    /// # Panics
    /// If the size overflows the address space.
    pub fn zeroed(len: usize) -> AlignedVec<T> {
        if len == 0 {
            return AlignedVec::new();
        }
        let layout = layout::<T>(len);
        // SAFETY: the layout's size is not zero.
        let start = unsafe { alloc(layout) };
        let Some(start) = NonNull::new(start) else { handle_alloc_error(layout) };
        advise(start, layout.size());
        // SAFETY: the memory is ours.
        unsafe { start.as_ptr().write_bytes(0, layout.size()) };
        AlignedVec { start: start.cast(), len, capacity: len }
    }

    /// A copy of `source`.
    pub fn from_slice(source: &[T]) -> AlignedVec<T> {
        let mut copy = AlignedVec::zeroed(source.len());
        copy.copy_from_slice(source);
        copy
    }

    /// Makes it `len` elements long; new elements are zero. Shrinking keeps the memory.
    ///
    /// # Panics
    /// If the size overflows the address space.
    pub fn resize(&mut self, len: usize) {
        if len > self.capacity {
            let mut grown = AlignedVec::zeroed(len.max(self.capacity.saturating_mul(2).min(1 << 20)));
            grown.len = len;
            grown[..self.len].copy_from_slice(self);
            *self = grown;
        } else {
            let old = self.len;
            self.len = len;
            if old < len {
                self[old..].fill(T::default());
            }
        }
    }

    /// Elements there is memory for.
    pub fn capacity(&self) -> usize {
        self.capacity
    }
}

fn layout<T>(len: usize) -> Layout {
    let bytes = len.checked_mul(size_of::<T>()).expect("the size fits the address space");
    let align = if bytes >= HUGE { HUGE_PAGE } else { ALIGNMENT };
    Layout::from_size_align(bytes, align).expect("the size fits the address space")
}

/// Asks for huge pages, before the first touch. A refusal costs speed alone.
fn advise(start: NonNull<u8>, bytes: usize) {
    #[cfg(target_os = "linux")]
    if bytes >= HUGE {
        // SAFETY: the range is ours, starts on a page, and the advice does not change what it holds.
        unsafe { libc::madvise(start.as_ptr().cast(), bytes, libc::MADV_HUGEPAGE) };
    }
    #[cfg(not(target_os = "linux"))]
    let _ = (start, bytes);
}

impl<T: Element> Drop for AlignedVec<T> {
    fn drop(&mut self) {
        if self.capacity > 0 {
            // SAFETY: allocated with this layout; elements need no drop.
            unsafe { dealloc(self.start.as_ptr().cast(), layout::<T>(self.capacity)) };
        }
    }
}

impl<T: Element> Deref for AlignedVec<T> {
    type Target = [T];
    fn deref(&self) -> &[T] {
        // SAFETY: `len` elements are initialised: zero bits are a value of every element type.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.len) }
    }
}

impl<T: Element> DerefMut for AlignedVec<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        // SAFETY: as for `deref`, and borrowed mutably.
        unsafe { std::slice::from_raw_parts_mut(self.start.as_ptr(), self.len) }
    }
}

impl<T: Element> Default for AlignedVec<T> {
    fn default() -> AlignedVec<T> {
        AlignedVec::new()
    }
}

impl<T: Element> Clone for AlignedVec<T> {
    fn clone(&self) -> AlignedVec<T> {
        AlignedVec::from_slice(self)
    }
}

impl<T: Element + fmt::Debug> fmt::Debug for AlignedVec<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_aligned<T: Element>(v: &AlignedVec<T>, to: usize) -> bool {
        (v.as_ptr() as usize).is_multiple_of(to)
    }

    #[test]
    fn starts_on_a_cache_line_and_large_ones_on_a_huge_page() {
        for len in [1, 3, 16, 1000, 4097] {
            assert!(is_aligned(&AlignedVec::<f32>::zeroed(len), 64));
            assert!(is_aligned(&AlignedVec::<f64>::zeroed(len), 64));
            assert!(is_aligned(&AlignedVec::<i8>::zeroed(len), 64));
        }
        assert!(is_aligned(&AlignedVec::<f32>::zeroed(HUGE / 4), HUGE_PAGE));
    }

    #[test]
    fn grows_with_zeros_and_keeps_its_contents() {
        let mut v = AlignedVec::<f32>::new();
        assert!(v.is_empty());
        v.resize(3);
        v.copy_from_slice(&[1.0, 2.0, 3.0]);
        v.resize(70);
        assert_eq!(v[..3], [1.0, 2.0, 3.0]);
        assert!(v[3..].iter().all(|&x| x == 0.0) && v.len() == 70 && is_aligned(&v, 64));
        v.resize(1);
        v.resize(3);
        assert_eq!(*v, [1.0, 0.0, 0.0]);
        assert_eq!(*v.clone(), *v);
    }

    #[test]
    #[should_panic(expected = "address space")]
    fn an_impossible_size_panics() {
        AlignedVec::<f64>::zeroed(usize::MAX / 4);
    }
}

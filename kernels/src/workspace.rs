//! Scratch memory that is kept between calls.

use etalon_reference::Element;

use crate::aligned::{ALIGNMENT, AlignedVec};

/// Scratch memory for kernels. It grows to what the largest call needs and is then reused: a call that finds it large
/// enough does not allocate.
#[derive(Debug, Default)]
pub struct Workspace {
    bytes: AlignedVec<u8>,
    /// For kernels that are called by a kernel.
    inner: Option<Box<Workspace>>,
}

impl Workspace {
    /// Empty; does not allocate.
    pub const fn new() -> Workspace {
        Workspace { bytes: AlignedVec::new(), inner: None }
    }

    /// `len` elements that start on a 64-byte boundary. They are initialised, with unspecified contents: what the last
    /// call left.
    ///
    /// # Panics
    /// If the size overflows the address space.
    pub fn slice<T: Element>(&mut self, len: usize) -> &mut [T] {
        let [part] = self.slices([len]);
        part
    }

    /// Several parts at once, each on a 64-byte boundary, with contents as for [`slice`](Workspace::slice).
    ///
    /// # Panics
    /// If the size overflows the address space.
    pub fn slices<T: Element, const N: usize>(&mut self, lens: [usize; N]) -> [&mut [T]; N] {
        let mut rest = self.reserve(total::<T>(&lens));
        lens.map(|len| take(&mut rest, len))
    }

    /// Parts of two element types.
    ///
    /// # Panics
    /// If the size overflows the address space.
    pub fn slices2<T: Element, U: Element, const N: usize, const M: usize>(
        &mut self,
        first: [usize; N],
        second: [usize; M],
    ) -> ([&mut [T]; N], [&mut [U]; M]) {
        let bytes = total::<T>(&first).checked_add(total::<U>(&second)).expect(TOO_LARGE);
        let mut rest = self.reserve(bytes);
        (first.map(|len| take(&mut rest, len)), second.map(|len| take(&mut rest, len)))
    }

    /// `len` elements, and a workspace for a kernel that is called while they are in use.
    ///
    /// # Panics
    /// If the size overflows the address space.
    pub fn slice_and_inner<T: Element>(&mut self, len: usize) -> (&mut [T], &mut Workspace) {
        let _ = self.reserve(total::<T>(&[len]));
        let inner = self.inner.get_or_insert_default();
        (take(&mut &mut self.bytes[..], len), inner)
    }

    fn reserve(&mut self, bytes: usize) -> &mut [u8] {
        if self.bytes.len() < bytes {
            // Nothing of the old contents is wanted.
            self.bytes = AlignedVec::new();
            self.bytes = AlignedVec::zeroed(bytes);
        }
        &mut self.bytes
    }

    /// Bytes it holds.
    pub fn bytes(&self) -> usize {
        self.bytes.capacity() + self.inner.as_ref().map_or(0, |inner| inner.bytes())
    }
}

const TOO_LARGE: &str = "the size fits the address space";

/// Bytes that a part takes: a multiple of the alignment.
fn size<T>(len: usize) -> usize {
    len.checked_mul(size_of::<T>()).and_then(|bytes| bytes.checked_next_multiple_of(ALIGNMENT)).expect(TOO_LARGE)
}

fn total<T>(lens: &[usize]) -> usize {
    lens.iter().try_fold(0usize, |sum, &len| sum.checked_add(size::<T>(len))).expect(TOO_LARGE)
}

/// A part off the front of `rest`, which starts on a 64-byte boundary and then does again.
fn take<'a, T: Element>(rest: &mut &'a mut [u8], len: usize) -> &'a mut [T] {
    let (part, behind) = std::mem::take(rest).split_at_mut(size::<T>(len));
    *rest = behind;
    if len == 0 {
        return &mut [];
    }
    // SAFETY: `part` has room for `len` elements and starts on a 64-byte boundary, as each part's size is a multiple of 64;
    // every bit pattern is a value of every element type.
    unsafe { std::slice::from_raw_parts_mut(part.as_mut_ptr().cast(), len) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_aligned_and_apart() {
        let mut workspace = Workspace::new();
        assert_eq!(workspace.bytes(), 0);
        let [a, b, c] = workspace.slices::<f32, 3>([5, 0, 17]);
        a.fill(1.0);
        c.fill(2.0);
        assert_eq!((a.len(), b.len(), c.len()), (5, 0, 17));
        assert!(a.iter().all(|&x| x == 1.0));
        assert!([a.as_ptr(), c.as_ptr()].iter().all(|p| (*p as usize).is_multiple_of(64)));
        let ([a, b], [c]) = workspace.slices2::<f64, f32, 2, 1>([3, 9], [100]);
        a.fill(1.0);
        b.fill(2.0);
        c.fill(3.0);
        assert!(a.iter().all(|&x| x == 1.0) && b.iter().all(|&x| x == 2.0));
        assert!((c.as_ptr() as usize).is_multiple_of(64));
    }

    #[test]
    fn memory_is_kept() {
        let mut workspace = Workspace::new();
        let start = workspace.slice::<f64>(1000).as_ptr() as usize;
        let bytes = workspace.bytes();
        assert!(bytes >= 8000);
        assert_eq!(workspace.slice::<f32>(900).as_ptr() as usize, start);
        assert_eq!(workspace.bytes(), bytes);
        assert_eq!(workspace.slice::<u8>(0).len(), 0);
    }
}

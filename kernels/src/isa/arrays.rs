//! Arrays of vectors, made and changed element by element in place.
//!
//! What `std::array` has for it may become functions of their own, without a level's instructions: each instruction in
//! them is then a call.

use std::mem::{MaybeUninit, transmute_copy};

/// An array of what `of` gives for each place.
#[inline(always)]
pub fn from_fn<T: Copy, const N: usize>(mut of: impl FnMut(usize) -> T) -> [T; N] {
    let mut all = [MaybeUninit::<T>::uninit(); N];
    for (place, one) in all.iter_mut().enumerate() {
        one.write(of(place));
    }
    // SAFETY: every element was written, and `MaybeUninit<T>` lies in memory as T does.
    unsafe { transmute_copy(&all) }
}

/// Arrays whose elements are taken one by one.
pub trait Elementwise<T, const N: usize> {
    /// The array of what `of` makes of each element.
    fn each<U: Copy>(self, of: impl FnMut(T) -> U) -> [U; N];
}

impl<T: Copy, const N: usize> Elementwise<T, N> for [T; N] {
    // The loop of `from_fn` once more: a closure within its closure may become a function.
    #[inline(always)]
    fn each<U: Copy>(self, mut of: impl FnMut(T) -> U) -> [U; N] {
        let mut all = [MaybeUninit::<U>::uninit(); N];
        for (one, from) in all.iter_mut().zip(self) {
            one.write(of(from));
        }
        // SAFETY: every element was written, and `MaybeUninit<U>` lies in memory as U does.
        unsafe { transmute_copy(&all) }
    }
}

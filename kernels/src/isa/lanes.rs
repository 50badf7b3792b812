//! The vector wrappers, by one macro for every element type and ISA: the same names, so that kernels read alike.

/// Defines a module of safe wrappers for one vector type.
///
/// `load`, `store` take the first `LANES` elements of a slice; `load_some`, `store_some` the first `n ≤ LANES`, zeros behind
/// them, and touch no other memory. `relu` keeps NaN.
macro_rules! lanes {
    (
        $(#[$doc:meta])* $name:ident, $features:literal, $token:ident, $t:ty, $v:ty, $lanes:literal,
        $load:ident, $store:ident, $set1:ident, $zero:ident, $fma:ident, $add:ident, $mul:ident, $max:ident,
        |$mask_n:ident| $mask:expr, $maskload:ident, $maskstore:ident
    ) => {
        $(#[$doc])*
        pub mod $name {
            use std::arch::x86_64::*;

            /// Element.
            pub type T = $t;
            /// Vector.
            pub type V = $v;
            /// Elements of a vector.
            pub const LANES: usize = $lanes;
            /// Proof that the CPU has these instructions.
            pub use crate::isa::$token as Token;

            /// The first `LANES` elements.
            ///
            /// # Panics
            /// If there are fewer.
            #[inline]
            #[target_feature(enable = $features)]
            pub fn load(x: &[T]) -> V {
                let x: &[T; LANES] = x.first_chunk().expect("a whole vector");
                // SAFETY: the array has LANES elements.
                unsafe { $load(x.as_ptr()) }
            }

            /// Overwrites the first `LANES` elements.
            ///
            /// # Panics
            /// If there are fewer.
            #[inline]
            #[target_feature(enable = $features)]
            pub fn store(x: &mut [T], v: V) {
                let x: &mut [T; LANES] = x.first_chunk_mut().expect("a whole vector");
                // SAFETY: the array has LANES elements.
                unsafe { $store(x.as_mut_ptr(), v) }
            }

            /// The first `n` elements, then zeros.
            ///
            /// # Panics
            /// If there are fewer.
            #[inline]
            #[target_feature(enable = $features)]
            pub fn load_some(x: &[T], n: usize) -> V {
                let x = &x[..n];
                let $mask_n = n.min(LANES);
                // SAFETY: the mask covers the slice's elements at most; masked elements are not accessed.
                unsafe { $maskload!(x.as_ptr(), $mask) }
            }

            /// Overwrites the first `n` elements.
            ///
            /// # Panics
            /// If there are fewer.
            #[inline]
            #[target_feature(enable = $features)]
            pub fn store_some(x: &mut [T], n: usize, v: V) {
                let x = &mut x[..n];
                let $mask_n = n.min(LANES);
                // SAFETY: the mask covers the slice's elements at most; masked elements are not accessed.
                unsafe { $maskstore!(x.as_mut_ptr(), $mask, v) }
            }

            /// The first `n` elements from a pointer, then zeros.
            ///
            /// # Safety
            /// `n` elements may be read there.
            #[inline]
            #[target_feature(enable = $features)]
            pub(crate) unsafe fn load_some_at(x: *const T, n: usize) -> V {
                let $mask_n = n.min(LANES);
                // SAFETY: the mask covers `n` elements at most; masked elements are not accessed.
                unsafe { $maskload!(x, $mask) }
            }

            /// All elements `x`.
            #[inline]
            #[target_feature(enable = $features)]
            pub fn splat(x: T) -> V {
                $set1(x)
            }

            /// All elements +0.
            #[inline]
            #[target_feature(enable = $features)]
            pub fn zero() -> V {
                $zero()
            }

            /// `a·b + c`, rounded once.
            #[inline]
            #[target_feature(enable = $features)]
            pub fn fma(a: V, b: V, c: V) -> V {
                $fma(a, b, c)
            }

            /// `a + b`.
            #[inline]
            #[target_feature(enable = $features)]
            pub fn add(a: V, b: V) -> V {
                $add(a, b)
            }

            /// `a·b`.
            #[inline]
            #[target_feature(enable = $features)]
            pub fn mul(a: V, b: V) -> V {
                $mul(a, b)
            }

            /// `max(x, 0)`; NaN stays NaN (the second operand is what the instruction returns for it) and −0 stays −0.
            #[inline]
            #[target_feature(enable = $features)]
            pub fn relu(x: V) -> V {
                $max($zero(), x)
            }

            /// Brings the line of an element close.
            #[inline]
            pub fn prefetch(x: &[T], index: usize) {
                // SAFETY: a prefetch does not access memory architecturally; any address is fine.
                unsafe { _mm_prefetch::<_MM_HINT_T0>(x.as_ptr().wrapping_add(index).cast()) }
            }
        }
    };
}

pub(crate) use lanes;

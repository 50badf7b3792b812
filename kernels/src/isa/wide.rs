//! Vectors of 64 bytes, sixteen f32 or eight f64, on every instruction set.
//!
//! A kernel whose inner loop is not a GEMM's is written once over [`Wide`] and compiled for each level and element type.
//! All implementations round alike, so that such a kernel gives the same bits on all of them.
//!
//! The tokens implement the trait: who has one has proof that the CPU has the instructions, which makes the methods safe.
//! They become single instructions where they are inlined into a function of their level: [`Wide::enter`] calls
//! [`Work::run`], which is `#[inline(always)]`, in such a function.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod scalar;

use std::ops::Add;

use etalon_reference::Element;

pub use self::scalar::Scalar;
use crate::isa::Isa;
use crate::isa::arrays;

/// Lanes of a vector of f32.
pub const LANES: usize = <f32 as Vectors>::LANES;
/// Lanes of a vector of f64.
pub const LANES_64: usize = <f64 as Vectors>::LANES;

/// An element type that has vectors.
pub trait Vectors: Element + Add<Output = Self> + sealed::Sealed {
    /// Lanes of a vector: a cache line of elements.
    const LANES: usize;
    /// An integer of its width.
    type Int: Copy;
    /// An array of one `X` per lane.
    type Lanes<X: Copy>: Copy + AsRef<[X]> + AsMut<[X]> + IntoIterator<Item = X>;

    /// `x(i)` for each lane `i`.
    fn lanes<X: Copy>(x: impl FnMut(usize) -> X) -> Self::Lanes<X>;
    /// The first elements, if they fill a vector.
    fn first(from: &[Self]) -> Option<&Self::Lanes<Self>>;
    /// The first elements, to be written, if they fill a vector.
    fn first_mut(from: &mut [Self]) -> Option<&mut Self::Lanes<Self>>;
    /// Whole vectors, and the elements behind them.
    fn chunks(from: &[Self]) -> (&[Self::Lanes<Self>], &[Self]);
    /// Whole vectors and the elements behind them, to be written.
    fn chunks_mut(from: &mut [Self]) -> (&mut [Self::Lanes<Self>], &mut [Self]);

    /// Runs `work` with the lanes of `isa`.
    ///
    /// # Errors
    /// If the CPU lacks them.
    fn with_lanes<W: Work<Self>>(isa: Isa, work: W) -> Result<W::Output, String>;
}

/// [`lines`] relies on what `Lanes` are.
mod sealed {
    pub trait Sealed {}
    impl Sealed for f32 {}
    impl Sealed for f64 {}
}

macro_rules! vectors {
    ($t:ty, $int:ty, $lanes:literal) => {
        impl Vectors for $t {
            const LANES: usize = $lanes;
            type Int = $int;
            type Lanes<X: Copy> = [X; $lanes];

            #[inline(always)]
            fn lanes<X: Copy>(x: impl FnMut(usize) -> X) -> [X; $lanes] {
                arrays::from_fn(x)
            }
            #[inline(always)]
            fn first(from: &[$t]) -> Option<&[$t; $lanes]> {
                from.first_chunk()
            }
            #[inline(always)]
            fn first_mut(from: &mut [$t]) -> Option<&mut [$t; $lanes]> {
                from.first_chunk_mut()
            }
            #[inline(always)]
            fn chunks(from: &[$t]) -> (&[[$t; $lanes]], &[$t]) {
                from.as_chunks()
            }
            #[inline(always)]
            fn chunks_mut(from: &mut [$t]) -> (&mut [[$t; $lanes]], &mut [$t]) {
                from.as_chunks_mut()
            }

            fn with_lanes<W: Work<$t>>(isa: Isa, work: W) -> Result<W::Output, String> {
                let lacks = || format!("the CPU lacks {isa}");
                match isa {
                    Isa::Scalar => Ok(work.run(Scalar)),
                    #[cfg(target_arch = "x86_64")]
                    Isa::Avx2 => Ok(work.run(super::Avx2Token::detect().ok_or_else(lacks)?)),
                    #[cfg(target_arch = "x86_64")]
                    Isa::Avx512 => Ok(work.run(super::Avx512Token::detect().ok_or_else(lacks)?)),
                    #[cfg(not(target_arch = "x86_64"))]
                    _ => Err(lacks()),
                }
            }
        }
    };
}

vectors!(f32, i32, 16);
vectors!(f64, i64, 8);

/// A vector of memory on a cache line.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
pub struct Line<T: Vectors = f32>(pub T::Lanes<T>);

/// What is before the first whole cache line, the cache lines, what is behind them.
pub fn lines<T: Vectors>(part: &mut [T]) -> (&mut [T], &mut [Line<T>], &mut [T]) {
    // SAFETY: a line is an array of 64 bytes of elements, as no other type is `Vectors`; every bit pattern is a value.
    unsafe { part.align_to_mut::<Line<T>>() }
}

/// A piece of work that is compiled for each level.
pub trait Work<T: Vectors = f32> {
    /// Its result.
    type Output;
    /// Does it. Implementations are `#[inline(always)]`.
    fn run<L: Wide<T>>(self, lanes: L) -> Self::Output;
}

/// Operations on the lanes of a vector.
pub trait Wide<T: Vectors = f32>: Copy + Send + Sync {
    /// A vector in registers.
    type F: Copy;
    /// Yes or no for each lane.
    type Which: Copy;

    /// Runs `work` in a function that has the level's instructions.
    fn enter<W: Work<T>>(self, work: W) -> W::Output;
    /// `x` in each lane.
    fn splat(self, x: T) -> Self::F;
    /// From memory.
    fn load(self, from: &T::Lanes<T>) -> Self::F;
    /// The first lanes from memory, at most all; 0 in the others.
    fn load_first(self, from: &[T]) -> Self::F;
    /// Half a vector from one place, then half from another.
    ///
    /// # Panics
    /// If there is less than that.
    fn halves(self, low: &[T], high: &[T]) -> Self::F;
    /// To memory.
    fn store(self, x: Self::F, to: &mut T::Lanes<T>);
    /// The first lanes to memory, at most all.
    fn store_first(self, x: Self::F, to: &mut [T]);
    /// To memory, past the caches. [`fence`](Wide::fence) before another thread may look.
    fn stream(self, x: Self::F, to: &mut Line<T>);
    /// Streamed lines come before what is written hereafter.
    fn fence(self);
    /// Asks for the cache line of the element at `index`, which need not exist, in the second cache.
    fn prefetch<E>(self, of: &[E], index: usize);
    /// The first `n` lanes; 0 in the others.
    fn first(self, x: Self::F, n: usize) -> Self::F;
    /// Sum.
    fn add(self, x: Self::F, y: Self::F) -> Self::F;
    /// Difference.
    fn sub(self, x: Self::F, y: Self::F) -> Self::F;
    /// Product.
    fn mul(self, x: Self::F, y: Self::F) -> Self::F;
    /// Square root.
    fn sqrt(self, x: Self::F) -> Self::F;
    /// Quotient.
    fn div(self, x: Self::F, y: Self::F) -> Self::F;
    /// `x·y + z`, rounded once.
    fn fma(self, x: Self::F, y: Self::F, z: Self::F) -> Self::F;
    /// Lanes 0, 2, 4, … of x, then of y.
    fn evens(self, x: Self::F, y: Self::F) -> Self::F;
    /// Lane i of vector j becomes lane j of vector i.
    fn transpose(self, x: T::Lanes<Self::F>) -> T::Lanes<Self::F>;
    /// 0 where x < 0, else x: NaN stays.
    fn relu(self, x: Self::F) -> Self::F;
    /// 0 where y ≤ 0, else x: also where y is NaN.
    fn gate(self, x: Self::F, y: Self::F) -> Self::F;
    /// Where x > y, or x is NaN.
    fn beats(self, x: Self::F, y: Self::F) -> Self::Which;
    /// Where x = y.
    fn same(self, x: Self::F, y: Self::F) -> Self::Which;
    /// `yes` there, `no` elsewhere.
    fn pick(self, there: Self::Which, yes: Self::F, no: Self::F) -> Self::F;
    /// Where one of both holds.
    fn either(self, x: Self::Which, y: Self::Which) -> Self::Which;
    /// Whether it holds in every lane.
    fn everywhere(self, x: Self::Which) -> bool;

    /// The sum over the lanes: halves on halves.
    #[inline(always)]
    fn sum(self, x: Self::F) -> T {
        let mut lanes = T::lanes(|_| T::default());
        self.store(x, &mut lanes);
        let lanes = lanes.as_mut();
        let mut width = T::LANES / 2;
        while width > 0 {
            for lane in 0..width {
                lanes[lane] = lanes[lane] + lanes[lane + width];
            }
            width /= 2;
        }
        lanes[0]
    }
}

/// Runs `work` with the lanes of `isa`.
///
/// # Errors
/// If the CPU lacks them.
pub fn with_lanes<T: Vectors, W: Work<T>>(isa: Isa, work: W) -> Result<W::Output, String> {
    T::with_lanes(isa, work)
}

#[cfg(test)]
mod tests;

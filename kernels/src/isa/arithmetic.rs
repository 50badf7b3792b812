//! Arithmetic for functions that are written once: one value, or a vector of them on each instruction set.
//!
//! Every operation rounds as IEEE 754 says, or moves bits, so that a function of these operations gives the same bits
//! on all levels. Comparisons with NaN do not hold. `min` and `max` give their second operand where a comparison with
//! NaN decides: a bound goes first, and NaN passes.

use super::Isa;
use super::wide::{LANES, LANES_64, Scalar, Vectors, Wide, Work};
use crate::isa::arrays;

#[cfg(target_arch = "x86_64")]
mod x86;

/// Operations on values of f32 or f64, integers of their width, and masks.
pub trait Arithmetic<T: Vectors = f32>: Copy + Send + Sync {
    /// Values.
    type V: Copy;
    /// An integer of its width for each value.
    type I: Copy;
    /// Yes or no for each value.
    type M: Copy;

    /// `x` everywhere.
    fn constant(self, x: T) -> Self::V;
    /// Sum.
    fn add(self, x: Self::V, y: Self::V) -> Self::V;
    /// Difference.
    fn sub(self, x: Self::V, y: Self::V) -> Self::V;
    /// Product.
    fn mul(self, x: Self::V, y: Self::V) -> Self::V;
    /// Quotient.
    fn div(self, x: Self::V, y: Self::V) -> Self::V;
    /// Square root.
    fn sqrt(self, x: Self::V) -> Self::V;
    /// `x·y + z`, rounded once.
    fn fma(self, x: Self::V, y: Self::V, z: Self::V) -> Self::V;
    /// `x` where x < y, else `y`.
    fn min(self, x: Self::V, y: Self::V) -> Self::V;
    /// `x` where x > y, else `y`.
    fn max(self, x: Self::V, y: Self::V) -> Self::V;
    /// Without the sign bit.
    fn abs(self, x: Self::V) -> Self::V;
    /// With the other sign.
    fn neg(self, x: Self::V) -> Self::V;
    /// `x` with the sign of `y`.
    fn with_sign(self, x: Self::V, y: Self::V) -> Self::V;
    /// x < y.
    fn less(self, x: Self::V, y: Self::V) -> Self::M;
    /// x ≤ y.
    fn at_most(self, x: Self::V, y: Self::V) -> Self::M;
    /// `yes` where the mask holds, else `no`.
    fn select(self, mask: Self::M, yes: Self::V, no: Self::V) -> Self::V;
    /// The bits.
    fn bits(self, x: Self::V) -> Self::I;
    /// The value of these bits.
    fn of_bits(self, bits: Self::I) -> Self::V;
    /// `n` everywhere.
    fn integer(self, n: T::Int) -> Self::I;
    /// Sum, wrapping.
    fn plus(self, x: Self::I, y: Self::I) -> Self::I;
    /// Difference, wrapping.
    fn minus(self, x: Self::I, y: Self::I) -> Self::I;
    /// Shifted to the left.
    fn left<const N: u32>(self, x: Self::I) -> Self::I;
    /// Shifted to the right, with copies of the sign.
    fn right<const N: u32>(self, x: Self::I) -> Self::I;
    /// The integer as a value, rounded to nearest. In f64 it is below 2⁵¹.
    fn value_of(self, x: Self::I) -> Self::V;

    /// `z − x·y`, rounded once.
    #[inline(always)]
    fn fnma(self, x: Self::V, y: Self::V, z: Self::V) -> Self::V {
        self.fma(self.neg(x), y, z)
    }

    /// `c[0] + c[1]·x + c[2]·x² + …`, by Horner's rule.
    #[inline(always)]
    fn polynomial<const N: usize>(self, x: Self::V, c: [T; N]) -> Self::V {
        let mut sum = self.constant(c[N - 1]);
        for i in (0..N - 1).rev() {
            sum = self.fma(sum, x, self.constant(c[i]));
        }
        sum
    }
}

/// Lanes that a kernel of functions runs on: memory and arithmetic.
pub trait Math<T: Vectors = f32>: Wide<T> + Arithmetic<T, V = <Self as Wide<T>>::F> {
    /// Runs `work` in a function that has the level's instructions.
    #[inline(always)]
    fn compute<W: Compute<T>>(self, work: W) -> W::Output {
        self.enter(Entered(self, work))
    }
}

impl<T: Vectors, L: Wide<T> + Arithmetic<T, V = <L as Wide<T>>::F>> Math<T> for L {}

/// A piece of work with functions, which is compiled for each level.
pub trait Compute<T: Vectors = f32> {
    /// Its result.
    type Output;
    /// Does it. Implementations are `#[inline(always)]`.
    fn run<L: Math<T>>(self, lanes: L) -> Self::Output;
}

/// Work that brings its lanes.
struct Entered<L, W>(L, W);

impl<T: Vectors, L: Math<T>, W: Compute<T>> Work<T> for Entered<L, W> {
    type Output = W::Output;

    #[inline(always)]
    fn run<Same: Wide<T>>(self, _: Same) -> W::Output {
        self.1.run(self.0)
    }
}

/// Element types of functions.
pub trait Functions: Vectors {
    /// [`with_math`].
    ///
    /// # Errors
    /// If the CPU lacks the instructions.
    fn with_math<W: Compute<Self>>(isa: Isa, work: W) -> Result<W::Output, String>;

    /// [`with_plain_math`].
    ///
    /// # Errors
    /// None.
    fn with_plain_math<W: Compute<Self>>(work: W) -> Result<W::Output, String>;
}

macro_rules! functions {
    ($($t:ty),*) => {
        $(impl Functions for $t {
            fn with_math<W: Compute<$t>>(isa: Isa, work: W) -> Result<W::Output, String> {
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

            fn with_plain_math<W: Compute<$t>>(work: W) -> Result<W::Output, String> {
                #[cfg(target_arch = "x86_64")]
                if let Some(token) = super::Avx2Token::detect() {
                    return Ok(token.enter(Entered(Scalar, work)));
                }
                with_math(Isa::Scalar, work)
            }
        })*
    };
}

functions!(f32, f64);

/// Runs `work` with the lanes of `isa`, outside of the level's instructions: [`Math::compute`] enters them.
///
/// # Errors
/// If the CPU lacks them.
pub fn with_math<T: Functions, W: Compute<T>>(isa: Isa, work: W) -> Result<W::Output, String> {
    T::with_math(isa, work)
}

/// Runs `work` with the lanes of plain Rust, in a function that has the instructions of AVX2 where the CPU has them: a
/// fused multiply-add is then no call.
///
/// # Errors
/// None; it is a `Result` to stand beside [`with_math`].
pub fn with_plain_math<T: Functions, W: Compute<T>>(work: W) -> Result<W::Output, String> {
    T::with_plain_math(work)
}

/// One value. Loops over it are vectorised by the compiler: it has no branch.
#[derive(Clone, Copy, Debug)]
pub struct One;

/// Both implementations of plain Rust: one value, and an array of them.
macro_rules! plain {
    ($name:ident, $t:ident, $int:ident, $unsigned:ident, $v:ty, $i:ty, $m:ty, $each:ident) => {
        impl Arithmetic<$t> for $name {
            type V = $v;
            type I = $i;
            type M = $m;

            $each! {
                [$t]
                fn add(x: $t, y: $t) -> $t { x + y }
                fn sub(x: $t, y: $t) -> $t { x - y }
                fn mul(x: $t, y: $t) -> $t { x * y }
                fn div(x: $t, y: $t) -> $t { x / y }
                fn sqrt(x: $t) -> $t { x.sqrt() }
                fn fma(x: $t, y: $t, z: $t) -> $t { x.mul_add(y, z) }
                fn min(x: $t, y: $t) -> $t { if x < y { x } else { y } }
                fn max(x: $t, y: $t) -> $t { if x > y { x } else { y } }
                fn abs(x: $t) -> $t { x.abs() }
                fn neg(x: $t) -> $t { -x }
                fn with_sign(x: $t, y: $t) -> $t { x.copysign(y) }
                fn less(x: $t, y: $t) -> bool { x < y }
                fn at_most(x: $t, y: $t) -> bool { x <= y }
                fn select(mask: bool, yes: $t, no: $t) -> $t { if mask { yes } else { no } }
                fn bits(x: $t) -> $int { x.to_bits() as $int }
                fn of_bits(bits: $int) -> $t { $t::from_bits(bits as $unsigned) }
                fn plus(x: $int, y: $int) -> $int { x.wrapping_add(y) }
                fn minus(x: $int, y: $int) -> $int { x.wrapping_sub(y) }
                fn value_of(x: $int) -> $t { x as $t }
            }
            #[inline(always)]
            fn constant(self, x: $t) -> $v {
                $each!([$t] all x)
            }
            #[inline(always)]
            fn integer(self, n: $int) -> $i {
                $each!([$t] all n)
            }
            #[inline(always)]
            fn left<const N: u32>(self, x: $i) -> $i {
                $each!([$t] map x => x << N)
            }
            #[inline(always)]
            fn right<const N: u32>(self, x: $i) -> $i {
                $each!([$t] map x => x >> N)
            }
        }
    };
}

/// Operations on one value.
macro_rules! one {
    ([$of:ident] all $x:ident) => { $x };
    ([$of:ident] map $x:ident => $y:expr) => { $y };
    ([$of:ident] $(fn $name:ident($($x:ident: $t:ty),*) -> $r:ty $body:block)*) => {
        $(#[inline(always)]
        fn $name(self, $($x: $t),*) -> $r $body)*
    };
}

/// Operations on the values of a vector, one after the other.
macro_rules! lanes {
    ([$of:ident] all $x:ident) => { [$x; <$of as Vectors>::LANES] };
    ([$of:ident] map $x:ident => $y:expr) => { $x.map(|$x| $y) };
    ([$of:ident] $(fn $name:ident($($x:ident: $t:ty),*) -> $r:ty $body:block)*) => {
        $(#[inline(always)]
        fn $name(self, $($x: [$t; <$of as Vectors>::LANES]),*) -> [$r; <$of as Vectors>::LANES] {
            arrays::from_fn(|i| {
                $(let $x = $x[i];)*
                $body
            })
        })*
    };
}

plain!(One, f32, i32, u32, f32, i32, bool, one);
plain!(One, f64, i64, u64, f64, i64, bool, one);
plain!(Scalar, f32, i32, u32, [f32; LANES], [i32; LANES], [bool; LANES], lanes);
plain!(Scalar, f64, i64, u64, [f64; LANES_64], [i64; LANES_64], [bool; LANES_64], lanes);

#[cfg(test)]
mod tests;

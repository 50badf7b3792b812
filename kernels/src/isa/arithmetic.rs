//! Arithmetic of f32 for functions that are written once: one value, or sixteen side by side on each instruction set.
//!
//! Every operation rounds as IEEE 754 says, or moves bits, so that a function of these operations gives the same bits
//! on all levels. Comparisons with NaN do not hold. `min` and `max` give their second operand where a comparison with
//! NaN decides: a bound goes first, and NaN passes.

use super::Isa;
use super::wide::{Scalar, Wide, Work};
use crate::isa::arrays;

#[cfg(target_arch = "x86_64")]
mod x86;

/// Operations on values of f32, integers of their width, and masks.
pub trait Arithmetic: Copy + Send + Sync {
    /// Values.
    type V: Copy;
    /// An integer of 32 bits for each value.
    type I: Copy;
    /// Yes or no for each value.
    type M: Copy;

    /// `x` everywhere.
    fn constant(self, x: f32) -> Self::V;
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
    fn integer(self, n: i32) -> Self::I;
    /// Sum, wrapping.
    fn plus(self, x: Self::I, y: Self::I) -> Self::I;
    /// Difference, wrapping.
    fn minus(self, x: Self::I, y: Self::I) -> Self::I;
    /// Shifted to the left.
    fn left<const N: u32>(self, x: Self::I) -> Self::I;
    /// Shifted to the right, with copies of the sign.
    fn right<const N: u32>(self, x: Self::I) -> Self::I;
    /// The integer as a value, rounded to nearest.
    fn value_of(self, x: Self::I) -> Self::V;

    /// `z − x·y`, rounded once.
    #[inline(always)]
    fn fnma(self, x: Self::V, y: Self::V, z: Self::V) -> Self::V {
        self.fma(self.neg(x), y, z)
    }

    /// `c[0] + c[1]·x + c[2]·x² + …`, by Horner's rule.
    #[inline(always)]
    fn polynomial<const N: usize>(self, x: Self::V, c: [f32; N]) -> Self::V {
        let mut sum = self.constant(c[N - 1]);
        for i in (0..N - 1).rev() {
            sum = self.fma(sum, x, self.constant(c[i]));
        }
        sum
    }
}

/// Lanes that a kernel of functions runs on: memory and arithmetic.
pub trait Math: Wide + Arithmetic<V = <Self as Wide>::F> {
    /// Runs `work` in a function that has the level's instructions.
    #[inline(always)]
    fn compute<W: Compute>(self, work: W) -> W::Output {
        self.enter(Entered(self, work))
    }
}

impl<L: Wide + Arithmetic<V = <L as Wide>::F>> Math for L {}

/// A piece of work with functions, which is compiled for each level.
pub trait Compute {
    /// Its result.
    type Output;
    /// Does it. Implementations are `#[inline(always)]`.
    fn run<L: Math>(self, lanes: L) -> Self::Output;
}

/// Work that brings its lanes.
struct Entered<L, W>(L, W);

impl<L: Math, W: Compute> Work for Entered<L, W> {
    type Output = W::Output;

    #[inline(always)]
    fn run<Same: Wide>(self, _: Same) -> W::Output {
        self.1.run(self.0)
    }
}

/// Runs `work` with the lanes of `isa`, outside of the level's instructions: [`Math::compute`] enters them.
///
/// # Errors
/// If the CPU lacks them.
pub fn with_math<W: Compute>(isa: Isa, work: W) -> Result<W::Output, String> {
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

/// Runs `work` with the lanes of plain Rust, in a function that has the instructions of AVX2 where the CPU has them: a
/// fused multiply-add is then no call.
///
/// # Errors
/// None; it is a `Result` to stand beside [`with_math`].
pub fn with_plain_math<W: Compute>(work: W) -> Result<W::Output, String> {
    #[cfg(target_arch = "x86_64")]
    if let Some(token) = super::Avx2Token::detect() {
        return Ok(token.enter(Entered(Scalar, work)));
    }
    with_math(Isa::Scalar, work)
}

/// One value. Loops over it are vectorised by the compiler: it has no branch.
#[derive(Clone, Copy, Debug)]
pub struct One;

/// Both implementations of plain Rust: one value, and an array of them.
macro_rules! plain {
    ($name:ident, $v:ty, $i:ty, $m:ty, $each:ident) => {
        impl Arithmetic for $name {
            type V = $v;
            type I = $i;
            type M = $m;

            $each! {
                fn add(x: f32, y: f32) -> f32 { x + y }
                fn sub(x: f32, y: f32) -> f32 { x - y }
                fn mul(x: f32, y: f32) -> f32 { x * y }
                fn div(x: f32, y: f32) -> f32 { x / y }
                fn sqrt(x: f32) -> f32 { x.sqrt() }
                fn fma(x: f32, y: f32, z: f32) -> f32 { x.mul_add(y, z) }
                fn min(x: f32, y: f32) -> f32 { if x < y { x } else { y } }
                fn max(x: f32, y: f32) -> f32 { if x > y { x } else { y } }
                fn abs(x: f32) -> f32 { x.abs() }
                fn neg(x: f32) -> f32 { -x }
                fn with_sign(x: f32, y: f32) -> f32 { x.copysign(y) }
                fn less(x: f32, y: f32) -> bool { x < y }
                fn at_most(x: f32, y: f32) -> bool { x <= y }
                fn select(mask: bool, yes: f32, no: f32) -> f32 { if mask { yes } else { no } }
                fn bits(x: f32) -> i32 { x.to_bits() as i32 }
                fn of_bits(bits: i32) -> f32 { f32::from_bits(bits as u32) }
                fn plus(x: i32, y: i32) -> i32 { x.wrapping_add(y) }
                fn minus(x: i32, y: i32) -> i32 { x.wrapping_sub(y) }
                fn value_of(x: i32) -> f32 { x as f32 }
            }
            #[inline(always)]
            fn constant(self, x: f32) -> $v {
                $each!(all x)
            }
            #[inline(always)]
            fn integer(self, n: i32) -> $i {
                $each!(all n)
            }
            #[inline(always)]
            fn left<const N: u32>(self, x: $i) -> $i {
                $each!(map x => x << N)
            }
            #[inline(always)]
            fn right<const N: u32>(self, x: $i) -> $i {
                $each!(map x => x >> N)
            }
        }
    };
}

/// Operations on one value.
macro_rules! one {
    (all $x:ident) => { $x };
    (map $x:ident => $y:expr) => { $y };
    ($(fn $name:ident($($x:ident: $t:ty),*) -> $r:ty $body:block)*) => {
        $(#[inline(always)]
        fn $name(self, $($x: $t),*) -> $r $body)*
    };
}

/// Operations on sixteen values, one after the other.
macro_rules! sixteen {
    (all $x:ident) => { [$x; super::wide::LANES] };
    (map $x:ident => $y:expr) => { $x.map(|$x| $y) };
    ($(fn $name:ident($($x:ident: $t:ty),*) -> $r:ty $body:block)*) => {
        $(#[inline(always)]
        fn $name(self, $($x: [$t; super::wide::LANES]),*) -> [$r; super::wide::LANES] {
            arrays::from_fn(|i| {
                $(let $x = $x[i];)*
                $body
            })
        })*
    };
}

plain!(One, f32, i32, bool, one);
plain!(Scalar, [f32; super::wide::LANES], [i32; super::wide::LANES], [bool; super::wide::LANES], sixteen);

#[cfg(test)]
mod tests;

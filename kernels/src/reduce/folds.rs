//! What is done with each element: added, or compared with the largest so far.

use crate::gemm::Float;
use crate::isa::wide::Wide;

/// One way to make one number of many. Implementations are `#[inline(always)]`.
pub trait Fold<T: Float>: Copy + Send + Sync {
    /// Whether one element is taken; sums otherwise.
    const ONE: bool;

    /// What an element is taken for.
    fn of<L: Wide<T>>(l: L, x: L::F) -> L::F;
    /// With an element added, or the larger of both.
    fn step<L: Wide<T>>(l: L, so_far: L::F, x: L::F) -> L::F;
    /// Two of them together.
    fn join<L: Wide<T>>(l: L, x: L::F, y: L::F) -> L::F;

    /// Of no element.
    fn start() -> T {
        if Self::ONE { T::from_f64(f64::NEG_INFINITY) } else { T::default() }
    }
}

/// Sums of what `of` makes of elements: name, expression.
macro_rules! sums {
    ($($name:ident $doc:literal |$l:ident, $x:ident| $of:expr;)*) => {
        $(
            #[doc = $doc]
            #[derive(Clone, Copy)]
            pub struct $name;

            impl<T: Float> Fold<T> for $name {
                const ONE: bool = false;

                #[inline(always)]
                fn of<L: Wide<T>>($l: L, $x: L::F) -> L::F {
                    $of
                }
                #[inline(always)]
                fn step<L: Wide<T>>(l: L, so_far: L::F, x: L::F) -> L::F {
                    l.add(so_far, <Self as Fold<T>>::of(l, x))
                }
                #[inline(always)]
                fn join<L: Wide<T>>(l: L, x: L::F, y: L::F) -> L::F {
                    l.add(x, y)
                }
            }
        )*
    };
}

sums! {
    Plain "The sum." |l, x| { let _ = l; x };
    Magnitudes "The sum of magnitudes." |l, x| {
        let zero = l.splat(T::default());
        l.pick(l.beats(zero, x), l.sub(zero, x), x)
    };
}

/// The sum of squares.
#[derive(Clone, Copy)]
pub struct Squares;

impl<T: Float> Fold<T> for Squares {
    const ONE: bool = false;

    #[inline(always)]
    fn of<L: Wide<T>>(l: L, x: L::F) -> L::F {
        l.mul(x, x)
    }
    #[inline(always)]
    fn step<L: Wide<T>>(l: L, so_far: L::F, x: L::F) -> L::F {
        l.fma(x, x, so_far)
    }
    #[inline(always)]
    fn join<L: Wide<T>>(l: L, x: L::F, y: L::F) -> L::F {
        l.add(x, y)
    }
}

/// The largest element, or the largest of the negated ones.
#[derive(Clone, Copy)]
pub struct Largest<const NEGATED: bool>;

impl<T: Float, const NEGATED: bool> Fold<T> for Largest<NEGATED> {
    const ONE: bool = true;

    #[inline(always)]
    fn of<L: Wide<T>>(l: L, x: L::F) -> L::F {
        if NEGATED { l.sub(l.splat(T::default()), x) } else { x }
    }
    #[inline(always)]
    fn step<L: Wide<T>>(l: L, so_far: L::F, x: L::F) -> L::F {
        Self::join(l, so_far, <Self as Fold<T>>::of(l, x))
    }
    #[inline(always)]
    fn join<L: Wide<T>>(l: L, x: L::F, y: L::F) -> L::F {
        // A NaN that is there stays: nothing is larger.
        l.pick(l.beats(y, x), y, x)
    }
}

/// Whether y takes the place of x: it is larger, or the first NaN.
pub fn beats<T: Float>(y: T, x: T) -> bool {
    let (x, y) = (x.to_f64(), y.to_f64());
    !x.is_nan() && (y > x || y.is_nan())
}

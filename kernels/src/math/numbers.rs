//! Arithmetic of formulas that are written once: in the lanes of a level, f32 or f64.
//!
//! Functions are those of [`math`], the same bits on every level.

use std::marker::PhantomData;

use crate::gemm::Float;
use crate::isa::Isa;
use crate::isa::arithmetic::{Arithmetic, Compute, Functions, Math, One, with_math, with_plain_math};
use crate::isa::wide::{Vectors, Wide};
use crate::kernel::KernelError;
use crate::math::{self, double};

/// Operations on values.
pub trait Numbers: Copy {
    /// Values.
    type V: Copy;

    /// `x` everywhere.
    fn constant(self, x: f64) -> Self::V;
    /// Sum.
    fn add(self, x: Self::V, y: Self::V) -> Self::V;
    /// Difference.
    fn sub(self, x: Self::V, y: Self::V) -> Self::V;
    /// Product.
    fn mul(self, x: Self::V, y: Self::V) -> Self::V;
    /// Quotient.
    fn div(self, x: Self::V, y: Self::V) -> Self::V;
    /// `x·y + z`, rounded once.
    fn fma(self, x: Self::V, y: Self::V, z: Self::V) -> Self::V;
    /// `x` where x > y, else `y`.
    fn max(self, x: Self::V, y: Self::V) -> Self::V;
    /// `yes` where x < y, else `no`.
    fn where_less(self, x: Self::V, y: Self::V, yes: Self::V, no: Self::V) -> Self::V;
    /// `1 − x`.
    fn rest(self, x: Self::V) -> Self::V;
    /// `1 − x²`, rounded once.
    fn rest_of_square(self, x: Self::V) -> Self::V;
    /// 1/(1 + e^−x), within 3 units in the last place.
    fn sigmoid(self, x: Self::V) -> Self::V;
    /// tanh, within 3 units in the last place.
    fn tanh(self, x: Self::V) -> Self::V;
    /// 2^x for x ≤ 0, within two units in the last place: 0 below 2⁻¹²⁵, in f64 below 2⁻¹⁰²¹.
    fn exp2_below_0(self, x: Self::V) -> Self::V;
    /// e^x, within one unit in the last place.
    fn exp(self, x: Self::V) -> Self::V;
    /// The natural logarithm, within one unit in the last place.
    fn log(self, x: Self::V) -> Self::V;
    /// log(1 + e^x), within 3 units in the last place.
    fn softplus(self, x: Self::V) -> Self::V;
    /// Without the sign bit.
    fn abs(self, x: Self::V) -> Self::V;
    /// With the other sign.
    fn neg(self, x: Self::V) -> Self::V;
    /// 0 where x < 0, else x: NaN stays.
    fn relu(self, x: Self::V) -> Self::V;
    /// 0 where y ≤ 0, else x: also where y is NaN.
    fn gate(self, x: Self::V, y: Self::V) -> Self::V;

    /// 1 everywhere.
    #[inline(always)]
    fn one(self) -> Self::V {
        self.constant(1.0)
    }

    /// `s·(1 − s)`: the derivative of σ where it is s.
    #[inline(always)]
    fn slope(self, s: Self::V) -> Self::V {
        self.mul(s, self.rest(s))
    }
}

/// The functions of an element type.
pub trait Elementary: Functions {
    /// The nearest value.
    fn nearest(x: f64) -> Self;
    /// [`Numbers::sigmoid`].
    fn sigmoid<L: Arithmetic<Self>>(l: L, x: L::V) -> L::V;
    /// [`Numbers::tanh`].
    fn tanh<L: Arithmetic<Self>>(l: L, x: L::V) -> L::V;
    /// [`Numbers::exp2_below_0`].
    fn exp2_below_0<L: Arithmetic<Self>>(l: L, x: L::V) -> L::V;
    /// [`Numbers::exp`].
    fn exp<L: Arithmetic<Self>>(l: L, x: L::V) -> L::V;
    /// [`Numbers::log`].
    fn log<L: Arithmetic<Self>>(l: L, x: L::V) -> L::V;
    /// [`Numbers::softplus`].
    fn softplus<L: Arithmetic<Self>>(l: L, x: L::V) -> L::V;
}

macro_rules! elementary {
    ($t:ty, $of:ident: $($name:ident)*) => {
        impl Elementary for $t {
            #[inline(always)]
            fn nearest(x: f64) -> $t {
                x as $t
            }
            $(#[inline(always)]
            fn $name<L: Arithmetic<$t>>(l: L, x: L::V) -> L::V {
                $of::$name(l, x)
            })*
        }
    };
}

elementary!(f32, math: sigmoid tanh exp2_below_0 exp log softplus);
elementary!(f64, double: sigmoid tanh exp2_below_0 exp log softplus);

/// The lanes of a level, or one value.
#[derive(Clone, Copy)]
pub struct Lanes<L, T = f32>(L, PhantomData<T>);

impl<L, T> Lanes<L, T> {
    /// Of these.
    #[inline(always)]
    pub fn of(l: L) -> Self {
        Lanes(l, PhantomData)
    }
}

impl<T: Elementary, L: Arithmetic<T>> Numbers for Lanes<L, T> {
    type V = L::V;

    #[inline(always)]
    fn constant(self, x: f64) -> L::V {
        self.0.constant(T::nearest(x))
    }
    #[inline(always)]
    fn add(self, x: L::V, y: L::V) -> L::V {
        self.0.add(x, y)
    }
    #[inline(always)]
    fn sub(self, x: L::V, y: L::V) -> L::V {
        self.0.sub(x, y)
    }
    #[inline(always)]
    fn mul(self, x: L::V, y: L::V) -> L::V {
        self.0.mul(x, y)
    }
    #[inline(always)]
    fn div(self, x: L::V, y: L::V) -> L::V {
        self.0.div(x, y)
    }
    #[inline(always)]
    fn fma(self, x: L::V, y: L::V, z: L::V) -> L::V {
        self.0.fma(x, y, z)
    }
    #[inline(always)]
    fn max(self, x: L::V, y: L::V) -> L::V {
        self.0.max(x, y)
    }
    #[inline(always)]
    fn where_less(self, x: L::V, y: L::V, yes: L::V, no: L::V) -> L::V {
        self.0.select(self.0.less(x, y), yes, no)
    }
    #[inline(always)]
    fn rest(self, x: L::V) -> L::V {
        self.0.sub(self.one(), x)
    }
    #[inline(always)]
    fn rest_of_square(self, x: L::V) -> L::V {
        self.0.fnma(x, x, self.one())
    }
    #[inline(always)]
    fn sigmoid(self, x: L::V) -> L::V {
        T::sigmoid(self.0, x)
    }
    #[inline(always)]
    fn tanh(self, x: L::V) -> L::V {
        T::tanh(self.0, x)
    }
    #[inline(always)]
    fn exp2_below_0(self, x: L::V) -> L::V {
        T::exp2_below_0(self.0, x)
    }
    #[inline(always)]
    fn exp(self, x: L::V) -> L::V {
        T::exp(self.0, x)
    }
    #[inline(always)]
    fn log(self, x: L::V) -> L::V {
        T::log(self.0, x)
    }
    #[inline(always)]
    fn softplus(self, x: L::V) -> L::V {
        T::softplus(self.0, x)
    }
    #[inline(always)]
    fn abs(self, x: L::V) -> L::V {
        self.0.abs(x)
    }
    #[inline(always)]
    fn neg(self, x: L::V) -> L::V {
        self.0.neg(x)
    }
    #[inline(always)]
    fn relu(self, x: L::V) -> L::V {
        self.0.max(self.constant(0.0), x)
    }
    #[inline(always)]
    fn gate(self, x: L::V, y: L::V) -> L::V {
        let zero = self.constant(0.0);
        self.0.select(self.0.at_most(y, zero), zero, x)
    }
}

/// Values that lie beside each other in memory.
pub trait Beside<T>: Numbers + Send + Sync {
    /// So many at a time.
    const WIDTH: usize;

    /// So many from memory.
    ///
    /// # Panics
    /// If there are fewer.
    fn load(self, from: &[T]) -> Self::V;

    /// To memory.
    ///
    /// # Panics
    /// If there is no room.
    fn store(self, x: Self::V, to: &mut [T]);

    /// `x` everywhere.
    fn splat(self, x: T) -> Self::V;
    /// As many as there are, at most [`WIDTH`](Beside::WIDTH); 0 behind them.
    fn load_first(self, from: &[T]) -> Self::V;
    /// As many as there is room for.
    fn store_first(self, x: Self::V, to: &mut [T]);
    /// As many as there are, at most [`WIDTH`](Beside::WIDTH); 0 behind them. Whole vectors are the usual case.
    #[inline(always)]
    fn load_some(self, from: &[T]) -> Self::V {
        if from.len() < Self::WIDTH { self.load_first(from) } else { self.load(from) }
    }
    /// As many as there is room for. Whole vectors are the usual case.
    #[inline(always)]
    fn store_some(self, x: Self::V, to: &mut [T]) {
        if to.len() < Self::WIDTH { self.store_first(x, to) } else { self.store(x, to) }
    }
    /// The vector of columns from `column` on, of which some may be missing: 0 there.
    #[inline(always)]
    fn load_at(self, line: &[T], column: usize) -> Self::V {
        self.load_some(&line[column..])
    }
    /// To memory, where some columns may be missing.
    #[inline(always)]
    fn store_at(self, x: Self::V, line: &mut [T], column: usize) {
        self.store_some(x, &mut line[column..]);
    }
    /// The first `n`; 0 behind them.
    fn first(self, x: Self::V, n: usize) -> Self::V;
    /// The sum: halves on halves.
    fn sum(self, x: Self::V) -> T;
}

/// One value at a time.
macro_rules! one_beside {
    ($t:ty) => {
        impl Beside<$t> for Lanes<One, $t> {
            const WIDTH: usize = 1;

            #[inline(always)]
            fn load(self, from: &[$t]) -> $t {
                from[0]
            }
            #[inline(always)]
            fn store(self, x: $t, to: &mut [$t]) {
                to[0] = x;
            }
            #[inline(always)]
            fn splat(self, x: $t) -> $t {
                x
            }
            #[inline(always)]
            fn load_first(self, from: &[$t]) -> $t {
                from.first().copied().unwrap_or_default()
            }
            #[inline(always)]
            fn store_first(self, x: $t, to: &mut [$t]) {
                if let Some(to) = to.first_mut() {
                    *to = x;
                }
            }
            #[inline(always)]
            fn first(self, x: $t, n: usize) -> $t {
                if n == 0 { 0.0 } else { x }
            }
            #[inline(always)]
            fn sum(self, x: $t) -> $t {
                x
            }
        }
    };
}

one_beside!(f32);
one_beside!(f64);

macro_rules! lanes_beside {
    ($t:ty) => {
        impl<L: Math<$t>> Beside<$t> for Lanes<L, $t> {
            const WIDTH: usize = <$t as Vectors>::LANES;

            #[inline(always)]
            fn load(self, from: &[$t]) -> Self::V {
                Wide::load(self.0, from.first_chunk().expect("a whole vector"))
            }
            #[inline(always)]
            fn store(self, x: Self::V, to: &mut [$t]) {
                Wide::store(self.0, x, to.first_chunk_mut().expect("a whole vector"));
            }
            #[inline(always)]
            fn splat(self, x: $t) -> Self::V {
                Wide::splat(self.0, x)
            }
            #[inline(always)]
            fn load_first(self, from: &[$t]) -> Self::V {
                Wide::load_first(self.0, from)
            }
            #[inline(always)]
            fn store_first(self, x: Self::V, to: &mut [$t]) {
                Wide::store_first(self.0, x, to);
            }
            #[inline(always)]
            fn first(self, x: Self::V, n: usize) -> Self::V {
                Wide::first(self.0, x, n)
            }
            #[inline(always)]
            fn sum(self, x: Self::V) -> $t {
                Wide::sum(self.0, x)
            }
        }
    };
}

lanes_beside!(f32);
lanes_beside!(f64);

/// A calculation that is compiled for each level. Implementations are `#[inline(always)]`.
pub trait Calculation<T> {
    /// Its result.
    type Output;
    /// Does it.
    fn run<N: Beside<T>>(self, n: N) -> Self::Output;
}

/// f32 or f64.
pub trait Numeric: Float {
    /// Does a calculation with the instructions of `isa`.
    ///
    /// # Errors
    /// If the CPU lacks them.
    fn calculate<W: Calculation<Self>>(isa: Isa, work: W) -> Result<W::Output, KernelError>;

    /// One value at a time.
    fn single() -> impl Beside<Self, V = Self>;
}

/// A calculation in lanes. The plain ones are compiled with fused instructions where the CPU has them: they give the
/// same bits.
struct InLanes<W>(W);

/// The same, in a function that has the level's instructions.
struct Inside<W>(W);

macro_rules! numeric {
    ($t:ty) => {
        impl<W: Calculation<$t>> Compute<$t> for InLanes<W> {
            type Output = W::Output;

            #[inline(always)]
            fn run<L: Math<$t>>(self, l: L) -> W::Output {
                self.0.run(Lanes::<L, $t>::of(l))
            }
        }

        impl<W: Calculation<$t>> Compute<$t> for Inside<W> {
            type Output = W::Output;

            #[inline(always)]
            fn run<L: Math<$t>>(self, l: L) -> W::Output {
                l.compute(InLanes(self.0))
            }
        }

        impl Numeric for $t {
            fn calculate<W: Calculation<$t>>(isa: Isa, work: W) -> Result<W::Output, KernelError> {
                let done = if isa == Isa::Scalar {
                    with_plain_math::<$t, _>(InLanes(work))
                } else {
                    with_math::<$t, _>(isa, Inside(work))
                };
                done.map_err(KernelError::Isa)
            }
            fn single() -> impl Beside<$t, V = $t> {
                Lanes::<One, $t>::of(One)
            }
        }
    };
}

numeric!(f32);
numeric!(f64);

/// 1/x.
pub fn reciprocal<T: Numeric>(x: T) -> T {
    // A quotient of f32 in f64, rounded again, is the nearest f32.
    T::from_f64(1.0 / x.to_f64())
}

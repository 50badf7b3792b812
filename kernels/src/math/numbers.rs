//! Arithmetic of formulas that are written once: f32 in the lanes of a level, f64 one by one.
//!
//! Functions of f32 are those of [`math`], the same bits on every level. There are none of f64 there: its exponentials,
//! logarithm and tanh are those of the C library, the same on every level, too.

use crate::gemm::Float;
use crate::isa::Isa;
use crate::isa::arithmetic::{Arithmetic, Compute, Math, One, with_math, with_plain_math};
use crate::isa::wide::{LANES, Wide, Work, with_lanes};
use crate::kernel::KernelError;
use crate::math;

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

/// f32, in lanes.
#[derive(Clone, Copy)]
pub struct Lanes<L>(pub L);

impl<L: Arithmetic> Numbers for Lanes<L> {
    type V = L::V;

    #[inline(always)]
    fn constant(self, x: f64) -> L::V {
        self.0.constant(x as f32)
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
        math::sigmoid(self.0, x)
    }
    #[inline(always)]
    fn tanh(self, x: L::V) -> L::V {
        math::tanh(self.0, x)
    }
    #[inline(always)]
    fn exp2_below_0(self, x: L::V) -> L::V {
        math::exp2_below_0(self.0, x)
    }
    #[inline(always)]
    fn exp(self, x: L::V) -> L::V {
        math::exp(self.0, x)
    }
    #[inline(always)]
    fn log(self, x: L::V) -> L::V {
        math::log(self.0, x)
    }
    #[inline(always)]
    fn softplus(self, x: L::V) -> L::V {
        math::softplus(self.0, x)
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
        self.0.max(self.0.constant(0.0), x)
    }
    #[inline(always)]
    fn gate(self, x: L::V, y: L::V) -> L::V {
        let zero = self.0.constant(0.0);
        self.0.select(self.0.at_most(y, zero), zero, x)
    }
}

/// f64.
#[derive(Clone, Copy)]
pub struct Double;

impl Numbers for Double {
    type V = f64;

    fn constant(self, x: f64) -> f64 {
        x
    }
    fn add(self, x: f64, y: f64) -> f64 {
        x + y
    }
    fn sub(self, x: f64, y: f64) -> f64 {
        x - y
    }
    fn mul(self, x: f64, y: f64) -> f64 {
        x * y
    }
    fn div(self, x: f64, y: f64) -> f64 {
        x / y
    }
    fn fma(self, x: f64, y: f64, z: f64) -> f64 {
        x.mul_add(y, z)
    }
    fn max(self, x: f64, y: f64) -> f64 {
        if x > y { x } else { y }
    }
    fn where_less(self, x: f64, y: f64, yes: f64, no: f64) -> f64 {
        if x < y { yes } else { no }
    }
    fn rest(self, x: f64) -> f64 {
        1.0 - x
    }
    fn rest_of_square(self, x: f64) -> f64 {
        (-x).mul_add(x, 1.0)
    }
    fn sigmoid(self, x: f64) -> f64 {
        // Below 0 as e^x/(1 + e^x), so that nothing overflows.
        let z = (-x.abs()).exp();
        (if x < 0.0 { z } else { 1.0 }) / (1.0 + z)
    }
    fn tanh(self, x: f64) -> f64 {
        x.tanh()
    }
    fn exp2_below_0(self, x: f64) -> f64 {
        if x < -1021.0 { 0.0 } else { x.exp2() }
    }
    fn exp(self, x: f64) -> f64 {
        x.exp()
    }
    fn log(self, x: f64) -> f64 {
        x.ln()
    }
    fn softplus(self, x: f64) -> f64 {
        self.relu(x) + (-x.abs()).exp().ln_1p()
    }
    fn abs(self, x: f64) -> f64 {
        x.abs()
    }
    fn neg(self, x: f64) -> f64 {
        -x
    }
    fn relu(self, x: f64) -> f64 {
        if x < 0.0 { 0.0 } else { x }
    }
    fn gate(self, x: f64, y: f64) -> f64 {
        if y <= 0.0 { 0.0 } else { x }
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
    /// The first `n`; 0 behind them.
    fn first(self, x: Self::V, n: usize) -> Self::V;
    /// The sum: halves on halves.
    fn sum(self, x: Self::V) -> T;
}

/// One value at a time.
macro_rules! one_beside {
    ($t:ty) => {
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
    };
}

impl<L: Math> Beside<f32> for Lanes<L> {
    const WIDTH: usize = LANES;

    #[inline(always)]
    fn load(self, from: &[f32]) -> Self::V {
        Wide::load(self.0, from.first_chunk().expect("a whole vector"))
    }
    #[inline(always)]
    fn store(self, x: Self::V, to: &mut [f32]) {
        Wide::store(self.0, x, to.first_chunk_mut().expect("a whole vector"));
    }
    #[inline(always)]
    fn splat(self, x: f32) -> Self::V {
        Wide::splat(self.0, x)
    }
    #[inline(always)]
    fn load_first(self, from: &[f32]) -> Self::V {
        Wide::load_first(self.0, from)
    }
    #[inline(always)]
    fn store_first(self, x: Self::V, to: &mut [f32]) {
        Wide::store_first(self.0, x, to);
    }
    #[inline(always)]
    fn first(self, x: Self::V, n: usize) -> Self::V {
        Wide::first(self.0, x, n)
    }
    #[inline(always)]
    fn sum(self, x: Self::V) -> f32 {
        Wide::sum(self.0, x)
    }
}

impl Beside<f64> for Double {
    one_beside!(f64);
}

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

/// A calculation in f32. The plain lanes are compiled with fused instructions where the CPU has them: they give the same
/// bits.
struct Single<W>(W);

impl<W: Calculation<f32>> Compute for Single<W> {
    type Output = W::Output;

    #[inline(always)]
    fn run<L: Math>(self, l: L) -> W::Output {
        self.0.run(Lanes(l))
    }
}

/// The same, in a function that has the level's instructions.
struct Inside<W>(W);

impl<W: Calculation<f32>> Compute for Inside<W> {
    type Output = W::Output;

    #[inline(always)]
    fn run<L: Math>(self, l: L) -> W::Output {
        l.compute(Single(self.0))
    }
}

impl Beside<f32> for Lanes<One> {
    one_beside!(f32);
}

impl Numeric for f32 {
    fn calculate<W: Calculation<f32>>(isa: Isa, work: W) -> Result<W::Output, KernelError> {
        let done = if isa == Isa::Scalar { with_plain_math(Single(work)) } else { with_math(isa, Inside(work)) };
        done.map_err(KernelError::Isa)
    }
    fn single() -> impl Beside<f32, V = f32> {
        Lanes(One)
    }
}

/// A calculation in f64.
struct DoubleWork<W>(W);

impl<W: Calculation<f64>> Work<f64> for DoubleWork<W> {
    type Output = W::Output;

    #[inline(always)]
    fn run<L: Wide<f64>>(self, _: L) -> W::Output {
        self.0.run(Double)
    }
}

/// The same, in a function that has the level's instructions.
struct DoubleInside<W>(W);

impl<W: Calculation<f64>> Work<f64> for DoubleInside<W> {
    type Output = W::Output;

    #[inline(always)]
    fn run<L: Wide<f64>>(self, l: L) -> W::Output {
        l.enter(DoubleWork(self.0))
    }
}

impl Numeric for f64 {
    fn calculate<W: Calculation<f64>>(isa: Isa, work: W) -> Result<W::Output, KernelError> {
        with_lanes(isa, DoubleInside(work)).map_err(KernelError::Isa)
    }
    fn single() -> impl Beside<f64, V = f64> {
        Double
    }
}

/// 1/x.
pub fn reciprocal<T: Numeric>(x: T) -> T {
    // A quotient of f32 in f64, rounded again, is the nearest f32.
    T::from_f64(1.0 / x.to_f64())
}

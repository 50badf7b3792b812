//! [`max_pool2d`](etalon_reference::ops::max_pool2d): the largest element under a window that moves over each plane, and its
//! position. f32 and f64; images are n×c×h×w in NCHW or NHWC order, without gaps; positions are i64, row·w + column.
//!
//! One source for all instruction sets: in NCHW comparisons and selections over sixteen lanes in plain Rust, which the
//! compiler turns into the level's vectors; in NHWC vectors, whose positions are numbers of the same type. Nothing is rounded, so that all levels and any number of threads give equal outputs.
//!
//! ```text
//! for each output, sixteen at a time:  best = −∞, found = first element under the window
//!     for each tap in row-major order:  where x > best or x is NaN:  best = x, found = its position
//! ```
//! NCHW has sixteen outputs of a row side by side (`planes`), NHWC sixteen channels of an output (`pixels`).
//!
//! NaN: larger than any number; the last one under a window is found. Errors: a level that the CPU lacks.

pub(crate) mod pixels;
mod planes;

use etalon_reference::operator::downcast;
use etalon_reference::ops::images::ImageLayout;
use etalon_reference::ops::max_pool2d::MaxPool2d;
use etalon_reference::{Threshold, Types};

use crate::call::{Call, elements};
use crate::isa::Isa;
use crate::isa::wide::{Vectors, Wide, Work, with_lanes};
use crate::kernel::{Kernel, KernelError};
use crate::pool::Pool;
use crate::workspace::Workspace;

const FLOATS: &[Types] = &[Types::F32, Types::F64];
/// Outputs side by side.
const LANES: usize = 16;
/// Sixteen outputs of a row, or channels of a pixel.
const THRESHOLDS: &[Threshold] = &[Threshold::axis("w", 2 * LANES as i64), Threshold::axis("c", LANES as i64)];

/// The kernels, weakest first.
pub static KERNELS: &[Kernel] = &[
    Kernel::new("scalar", Isa::Scalar, FLOATS, |call| run(call, Isa::Scalar)).with_thresholds(THRESHOLDS),
    Kernel::new("avx2", Isa::Avx2, FLOATS, |call| run(call, Isa::Avx2)).with_thresholds(THRESHOLDS),
    Kernel::new("avx512", Isa::Avx512, FLOATS, |call| run(call, Isa::Avx512)).with_thresholds(THRESHOLDS),
];

/// A number that is compared.
pub(crate) trait Number: Vectors + PartialOrd {
    /// −∞.
    const LEAST: Self;
    /// What is added to a position so that its lowest bits are the position: positions are below it.
    const PLACES: u64;
    /// A position.
    fn of_place(place: i64) -> Self;
    /// The position, which is below [`PLACES`](Number::PLACES).
    fn place(self) -> i64;
}

macro_rules! number {
    ($($t:ident, $bits:literal;)*) => { $(impl Number for $t {
        const LEAST: $t = $t::NEG_INFINITY;
        const PLACES: u64 = 1 << $bits;
        #[inline(always)]
        fn of_place(place: i64) -> $t {
            place as $t
        }
        #[inline(always)]
        fn place(self) -> i64 {
            let bits = (self + Self::PLACES as $t).to_bits();
            (u64::from(bits) & (Self::PLACES - 1)) as i64
        }
    })* };
}
number!(f32, 23; f64, 52;);

/// A position in a plane, as narrow as planes allow.
pub(crate) trait Place: Copy + Default + Send + Sync + 'static {
    fn new(place: usize) -> Self;
    fn plus(self, other: Self) -> Self;
    fn wide(self) -> i64;
}

macro_rules! places {
    ($($ty:ty)*) => { $(impl Place for $ty {
        #[inline(always)]
        fn new(place: usize) -> $ty { place as $ty }
        #[inline(always)]
        fn plus(self, other: $ty) -> $ty { self.wrapping_add(other) }
        #[inline(always)]
        fn wide(self) -> i64 { self as i64 }
    })* };
}
places!(i32 i64);

/// The largest elements of `N` windows and their positions.
pub(crate) struct Best<T, I, const N: usize> {
    value: [T; N],
    place: [I; N],
}

impl<T: Number, I: Place, const N: usize> Best<T, I, N> {
    /// Before the first tap; `place` is the first element under each window.
    #[inline(always)]
    pub(crate) fn new(place: [I; N]) -> Self {
        Best { value: [T::LEAST; N], place }
    }

    /// The next tap's elements and their positions.
    #[inline(always)]
    pub(crate) fn see(&mut self, value: [T; N], place: [I; N]) {
        for lane in 0..N {
            let v = value[lane];
            // NaN alone differs from itself.
            #[expect(clippy::eq_op, reason = "a comparison that the compiler has a vector for")]
            let better = (v > self.value[lane]) | (v != v);
            self.value[lane] = if better { v } else { self.value[lane] };
            self.place[lane] = if better { place[lane] } else { self.place[lane] };
        }
    }

    /// The first windows to memory.
    #[inline(always)]
    pub(crate) fn store(&self, y: &mut [T], index: &mut [i64]) {
        if y.len() == N {
            y.copy_from_slice(&self.value);
        } else {
            y.copy_from_slice(&self.value[..y.len()]);
        }
        for (to, place) in index.iter_mut().zip(&self.place) {
            *to = place.wide();
        }
    }
}

/// The operands.
struct Operands<'a, T> {
    /// Images.
    x: &'a [T],
    /// Largest elements.
    y: &'a mut [T],
    /// Positions; empty if the problem has none.
    index: &'a mut [i64],
}

struct Step<'a, T> {
    problem: &'a MaxPool2d,
    operands: Operands<'a, T>,
    pool: &'a Pool,
    workspace: &'a mut Workspace,
}

impl<T: Number> Work<T> for Step<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<L: Wide<T>>(self, l: L) {
        let Step { problem: p, operands, pool, workspace } = self;
        let narrow = p.x.h * p.x.w <= i32::MAX as usize / 2;
        match (p.x.layout, narrow) {
            (ImageLayout::Nchw, true) => planes::pool::<L, T, i32>(l, p, operands, pool, workspace),
            (ImageLayout::Nchw, false) => planes::pool::<L, T, i64>(l, p, operands, pool, workspace),
            (ImageLayout::Nhwc, _) => pixels::pool(l, p, operands, pool),
        }
    }
}

pub(crate) fn run(call: &mut Call<'_>, isa: Isa) -> Result<(), KernelError> {
    match call.types() {
        Types::F64 => typed::<f64>(call, isa),
        _ => typed::<f32>(call, isa),
    }
}

fn typed<T: Number>(call: &mut Call<'_>, isa: Isa) -> Result<(), KernelError> {
    let (problem, pool, x) = (downcast(call.problem()), call.pool(), call.input(0));
    let ([y, index], workspace) = call.outputs();
    let operands: Operands<'_, T> = Operands { x, y: elements(y), index: elements(index) };
    with_lanes::<T, _>(isa, Step { problem, operands, pool, workspace }).map_err(KernelError::Isa)
}

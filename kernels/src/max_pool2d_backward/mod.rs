//! [`max_pool2d_backward`](etalon_reference::ops::max_pool2d_backward): each output's gradient goes to the element that it
//! found. f32 and f64; images in NCHW or NHWC order, without gaps; positions are i64.
//!
//! `dx = 0; for each output in ascending (i, j): dx[index] += dy`. In NCHW that is a scatter, at places that data decide
//! (`planes`); in NHWC a vector of channels is compared with the pixels under the window (`pixels`). Tasks are planes, or images
//! and bands of their channels; each adds in the order of the outputs, so that all levels and any number of threads give
//! equal bits.
//!
//! Error: as the problem's tolerance says. Errors: a position outside its plane.

mod pixels;
mod planes;

use etalon_reference::operator::downcast;
use etalon_reference::ops::images::ImageLayout;
use etalon_reference::ops::max_pool2d::MaxPool2d;
use etalon_reference::ops::max_pool2d_backward::MaxPool2dBackward;
use etalon_reference::{Threshold, Types};

pub(crate) use self::planes::{Outside, by_planes};
use crate::call::Call;
use crate::isa::Isa;
use crate::isa::wide::{Wide, Work, with_lanes};
use crate::kernel::{Kernel, KernelError};
use crate::max_pool2d::Number;
use crate::pool::Pool;

const FLOATS: &[Types] = &[Types::F32, Types::F64];
/// Channels side by side, and of a task.
const THRESHOLDS: &[Threshold] = &[Threshold::axis("c", 16), Threshold::axis("c", pixels::BAND as i64)];

/// The kernels, weakest first.
pub static KERNELS: &[Kernel] = &[
    Kernel::new("scalar", Isa::Scalar, FLOATS, |call| run(call, Isa::Scalar)).with_thresholds(THRESHOLDS),
    Kernel::new("avx2", Isa::Avx2, FLOATS, |call| run(call, Isa::Avx2)).with_thresholds(THRESHOLDS),
    Kernel::new("avx512", Isa::Avx512, FLOATS, |call| run(call, Isa::Avx512)).with_thresholds(THRESHOLDS),
];

/// The operands.
pub(crate) struct Operands<'a, T> {
    /// Upstream gradient.
    pub dy: &'a [T],
    /// Positions that the forward pass found.
    pub index: &'a [i64],
    /// The images' gradient.
    pub dx: &'a mut [T],
}

/// A number that is added.
pub(crate) trait Summand: Number + std::ops::AddAssign {}
impl Summand for f32 {}
impl Summand for f64 {}

struct Step<'a, T> {
    p: &'a MaxPool2d,
    operands: Operands<'a, T>,
    pool: &'a Pool,
    outside: &'a Outside,
}

impl<T: Summand> Work<T> for Step<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<L: Wide<T>>(self, l: L) {
        let Step { p, operands, pool, outside } = self;
        match p.x.layout {
            ImageLayout::Nchw => planes::by_planes(p, operands, pool, outside),
            ImageLayout::Nhwc => pixels::pool(l, p, operands, pool, outside),
        }
    }
}

pub(crate) fn run(call: &mut Call<'_>, isa: Isa) -> Result<(), KernelError> {
    match call.types() {
        Types::F64 => typed::<f64>(call, isa),
        _ => typed::<f32>(call, isa),
    }
}

fn typed<T: Summand>(call: &mut Call<'_>, isa: Isa) -> Result<(), KernelError> {
    let (dy, index) = (call.input::<T>(0), call.input::<i64>(1));
    let (p, pool): (&MaxPool2dBackward, _) = (downcast(call.problem()), call.pool());
    scatter(isa, &p.pool, Operands { dy, index, dx: call.output(0) }, pool)
}

/// Adds each output's gradient to the element that it found.
///
/// # Errors
/// If a position lies outside its plane, or the CPU lacks the level.
pub(crate) fn scatter<T: Summand>(
    isa: Isa,
    p: &MaxPool2d,
    operands: Operands<'_, T>,
    pool: &Pool,
) -> Result<(), KernelError> {
    let outside = Outside::default();
    with_lanes::<T, _>(isa, Step { p, operands, pool, outside: &outside }).map_err(KernelError::Isa)?;
    outside.judge(p)
}

//! [`fractional_max_pool2d_backward`](etalon_reference::ops::fractional_max_pool2d_backward): each output's gradient
//! goes to the element that it found. f32 and f64; images in NCHW or NHWC order, without gaps; positions are i64.
//!
//! `dx = 0; for each output in ascending (i, j): dx[index] += dy`, by planes as in
//! [`max_pool2d_backward`](crate::max_pool2d_backward). Regions of channels lie elsewhere each: by pixels it is a
//! scatter, too, by one task for an image.
//!
//! Error: as the problem's tolerance says. Errors: a position outside its plane. Workspace: none.

use etalon_reference::Threshold;
use etalon_reference::operator::downcast;
use etalon_reference::ops::images::ImageLayout;
use etalon_reference::ops::max_pool2d::MaxPool2d;
use etalon_reference::ops::max_pool2d_backward::MaxPool2dBackward;

use crate::call::Call;
use crate::disjoint::chunks;
use crate::faults::fault;
use crate::gemm::{FLOATS, with_float};
use crate::isa::Isa;
use crate::kernel::{Kernel, KernelError};
use crate::max_pool2d_backward::{Operands, Outside, Summand, by_planes};
use crate::pool::Pool;

/// Channels of a pixel.
const THRESHOLDS: &[Threshold] = &[Threshold::axis("c", 16)];

/// The kernels, weakest first.
pub static KERNELS: &[Kernel] = &[
    Kernel::new("scalar", Isa::Scalar, FLOATS, run),
    Kernel::new("avx2", Isa::Avx2, FLOATS, run).with_thresholds(THRESHOLDS),
    Kernel::new("avx512", Isa::Avx512, FLOATS, run).with_thresholds(THRESHOLDS),
];

/// A scatter has no vectors: it is the same on all levels.
fn run(call: &mut Call<'_>) -> Result<(), KernelError> {
    with_float!(call.types(), T => typed::<T>(call))
}

fn typed<T: Summand>(call: &mut Call<'_>) -> Result<(), KernelError> {
    let (dy, index) = (call.input::<T>(0), call.input::<i64>(1));
    let (p, pool): (&MaxPool2dBackward, _) = (downcast(call.problem()), call.pool());
    let (operands, outside) = (Operands { dy, index, dx: call.output(0) }, Outside::default());
    match p.pool.x.layout {
        ImageLayout::Nchw => by_planes(&p.pool, operands, pool, &outside),
        ImageLayout::Nhwc => by_pixels(&p.pool, operands, pool, &outside),
    }
    outside.judge(&p.pool)
}

/// NHWC: the channel of a pixel that is found gets the gradient.
fn by_pixels<T: Summand>(p: &MaxPool2d, o: Operands<'_, T>, pool: &Pool, outside: &Outside) {
    let (c, plane, outputs) = (p.x.c, p.x.h * p.x.w, p.y.len() / p.y.n.max(1));
    chunks(pool, o.dx, plane * c, |start, dx| {
        dx.fill(T::default());
        let image = start / (plane * c);
        let image = if fault!("fractional_max_pool2d_backward.fifth-image") { image.min(3) } else { image };
        let seen = image * outputs..(image + 1) * outputs;
        let pixels = o.dy[seen.clone()].chunks_exact(c).zip(o.index[seen].chunks_exact(c));
        for (dy, index) in pixels {
            for (channel, (&dy, &at)) in dy.iter().zip(index).enumerate() {
                match usize::try_from(at).ok().filter(|&at| at < plane) {
                    Some(at) if fault!("fractional_max_pool2d_backward.last-alone") => dx[at * c + channel] = dy,
                    Some(at) => dx[at * c + channel] += dy,
                    None => outside.tell(at),
                }
            }
        }
    });
}

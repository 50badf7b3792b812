//! The gradients of a convolution with respect to its weights and bias: `dw` and `dbias`, from dy and x.
//!
//! Shapes: dy n×k×h'×w' and x n×c×h×w in NCHW or NHWC order without gaps, dw k×(c/groups)×r×s, dbias k. f32 and f64. The problem
//! is [`Conv2dBackwardWeights`]; its documentation fixes the order of summation, which all kernels keep: the same bits on
//! every instruction set and for any number of threads.
//!
//! | kernel | what it does |
//! |---|---|
//! | `scalar` | the formula, in the canonical order |
//! | `avx2`, `avx512` | a GEMM over pixels that packs its patches from the images: no matrix of patches; with one input channel a group, sums of a vector of channels side by side |
//!
//! Error: see the operator's tolerance. NaN and ∞ of x follow the formula as long as dy is finite.
//!
//! Workspace: what GEMM packs, dw once, and an image among its zeros. Depthwise: per thread 64 bytes for each pixel
//! of the padded image and of dy.

mod channels;
mod correlate;
mod depthwise;

use etalon_reference::operator::downcast;
use etalon_reference::ops::conv2d::Conv2d;
use etalon_reference::ops::conv2d_backward_weights::Conv2dBackwardWeights;
use etalon_reference::ops::gemm::CHUNK;
use etalon_reference::ops::images::Images;
use etalon_reference::{Element, Threshold};

use crate::call::{Call, elements};
use crate::gemm::driver::{mc, nc};
use crate::gemm::{FLOATS, Float, with_float};
use crate::isa::Isa;
use crate::isa::wide::{LANES, LANES_64, with_lanes};
use crate::kernel::{Kernel, KernelError};
use crate::pool::Pool;
use crate::workspace::Workspace;

/// The sizes at which a correlation takes another path: chunks of pixels, blocks of channels, few images or many.
pub(crate) const THRESHOLDS: &[Threshold] = &[
    Threshold::axis("n", 4),
    Threshold::axis("n", 11),
    Threshold::axis("c", LANES_64 as i64),
    Threshold::axis("c", LANES as i64),
    Threshold::axis("c", 64),
    Threshold::axis("c", mc::<f64>() as i64),
    Threshold::axis("c", mc::<f32>() as i64),
    Threshold::axis("k", LANES_64 as i64),
    Threshold::axis("k", LANES as i64),
    Threshold::axis("k", 64),
    Threshold::axis("w", CHUNK as i64),
    Threshold::axis("w", nc::<f32>(1) as i64),
    Threshold::bytes("x", 1 << 20),
    Threshold::operations(800_000),
    Threshold::operations(4_000_000),
];

/// The kernels; the last one that applies is the default.
pub static KERNELS: &[Kernel] = &[
    Kernel::new("scalar", Isa::Scalar, FLOATS, |call| run(call, Isa::Scalar)),
    #[cfg(target_arch = "x86_64")]
    Kernel::new("avx2", Isa::Avx2, FLOATS, |call| run(call, Isa::Avx2)).with_thresholds(THRESHOLDS),
    #[cfg(target_arch = "x86_64")]
    Kernel::new("avx512", Isa::Avx512, FLOATS, |call| run(call, Isa::Avx512)).with_thresholds(THRESHOLDS),
];

/// Operands, of the lengths of the problem.
struct Operands<'a, T> {
    dy: &'a [T],
    x: &'a [T],
    dw: &'a mut [T],
    dbias: &'a mut [T],
}

impl<'a, T: Element> Operands<'a, T> {
    fn of(call: &'a mut Call<'_>) -> (Self, &'a mut Workspace) {
        let [dy, x] = [0, 1].map(|i| call.input(i));
        let (outputs, workspace) = call.outputs();
        let [dw, dbias] = outputs.map(elements);
        (Operands { dy, x, dw, dbias }, workspace)
    }
}

fn run(call: &mut Call<'_>, isa: Isa) -> Result<(), KernelError> {
    let p: &Conv2dBackwardWeights = downcast(call.problem());
    let pool = call.pool();
    with_float!(call.types(), T => {
        let (o, workspace) = Operands::<T>::of(call);
        correlate(&p.conv, isa, o.x, o.dy, o.dw, pool, workspace)?;
        sum_channels(&p.conv.y, isa, o.dy, o.dbias, pool)
    })
}

/// dw with the instructions of `isa`, of operands as long as the problem says.
pub(crate) fn correlate<T: Float>(
    p: &Conv2d,
    isa: Isa,
    x: &[T],
    dy: &[T],
    dw: &mut [T],
    pool: &Pool,
    workspace: &mut Workspace,
) -> Result<(), KernelError> {
    if isa == Isa::Scalar {
        correlate_plainly(p, x, dy, dw);
        return Ok(());
    }
    if depthwise::fits(p) {
        let work = depthwise::Depthwise { p, x, dy, dw, pool, workspace };
        return with_lanes(isa, work).map_err(KernelError::Isa);
    }
    T::with_tiles(isa, correlate::Correlate { p, x, dy, dw, pool, workspace })
}

/// dw in the canonical order, written out.
fn correlate_plainly<T: Float>(p: &Conv2d, x: &[T], dy: &[T], dw: &mut [T]) {
    let (input, output, pixels) = (p.x.strides(), p.y.strides(), p.y.h * p.y.w);
    let at =
        |strides: [usize; 4], at: [usize; 4]| strides.iter().zip(at).map(|(stride, at)| stride * at).sum::<usize>();
    let [_, channels, rows, cols] = p.weights();
    for (index, dw) in dw.iter_mut().enumerate() {
        let (k, rest) = (index / (channels * rows * cols), index % (channels * rows * cols));
        let (c, r, s) = (rest / (rows * cols), rest / cols % rows, rest % cols);
        let c = k / p.group_out() * channels + c;
        *dw = T::default();
        for (n, start) in (0..p.y.n).flat_map(|n| (0..pixels).step_by(CHUNK).map(move |start| (n, start))) {
            let mut sum = T::default();
            for pixel in start..pixels.min(start + CHUNK) {
                let (i, j) = (pixel / p.y.w, pixel % p.y.w);
                let x = match (p.rows.index(i, r), p.cols.index(j, s)) {
                    (Some(h), Some(v)) => x[at(input, [n, c, h, v])],
                    _ => T::default(),
                };
                sum = dy[at(output, [n, k, i, j])].mul_add(x, sum);
            }
            *dw = *dw + sum;
        }
    }
}

/// The sum of each channel, in the order of [`channels`]; nothing, if `sums` is empty.
pub(crate) fn sum_channels<T: Float>(
    images: &Images,
    isa: Isa,
    x: &[T],
    sums: &mut [T],
    pool: &Pool,
) -> Result<(), KernelError> {
    if sums.is_empty() {
        return Ok(());
    }
    with_lanes(isa, channels::Sums { images, x, sums, pool }).map_err(KernelError::Isa)
}

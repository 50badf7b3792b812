//! Convolution of images: `y = relu(scale·(x ⋆ w) + bias)`, with stride, padding, dilation and groups.
//!
//! Shapes: x n×c×h×w and y n×k×h×w in NCHW or NHWC order without gaps, w k×(c/groups)×r×s in that order for both, scale and
//! bias k. f32 and f64; Winograd's algorithm computes f32 alone. The problem is [`Conv2d`]; its documentation fixes the
//! order of summation, and all kernels but Winograd's and the one over OpenBLAS keep it: the same bits on every
//! instruction set and for any number of threads.
//!
//! | kernel | what it does |
//! |---|---|
//! | `scalar` | the formula, in the canonical order |
//! | `im2col-avx2`, `im2col-avx512`, `openblas` | copies patches to blocks of a matrix, at most 4 MiB each, then a GEMM: ours, OpenBLAS's (NCHW) |
//! | `implicit-avx2`, `implicit-avx512` | GEMM that packs its panels from the images: no matrix of patches; 1×1 kernels read the images |
//! | `direct-avx2`, `direct-avx512` | few products or outputs (NCHW): taps times shifted rows, several output channels in registers |
//! | `depthwise-avx2`, `depthwise-avx512` | one input channel a group: taps times shifted rows, in registers |
//! | `avx2`, `avx512` | chooses among them: [`exact_way`] |
//! | `winograd2-…`, `winograd4-…`, `winograd6-…` | F(2×2), F(4×4), F(6×6) for 3×3 kernels of stride 1 |
//! | `winograd2-…-prepacked` and so on | the same with weights that were transformed once for several calls |
//! | `fast-avx2`, `fast-avx512` | chooses among all of them: [`fast_way`] |
//!
//! **Choice.** `fast-…` is the default in f32. The choice never looks at the number of images, so that an item of a batch gets
//! the bits that it gets alone. (For 7×7 maps of four and more images F(4) is faster: `winograd4-…`.) Every report times the
//! alternatives beside the default.
//!
//! | condition | `fast-…` takes | `avx2`, `avx512` take |
//! |---|---|---|
//! | one input channel and one output per group | depthwise | depthwise |
//! | 3×3, stride and dilation 1, ≥ 32 input channels per group, ≥ 32 outputs, maps ≥ 10×10 | F(4) | as below |
//! | the same, maps of 4 to 9 | F(2): F(4) has 4 tiles on 7×7, and its weights grow fourfold | as below |
//! | NCHW, not 1×1, ≥ 512 outputs per channel, ≤ 128 output channels (`direct::pays`) | direct | direct |
//! | the rest | implicit GEMM | implicit GEMM |
//!
//! **Workspace** in bytes, which is also in every record (`workspace_bytes`):
//!
//! | kernel | bytes |
//! |---|---|
//! | implicit GEMM | what GEMM packs, at most 16 MiB + 1 MiB per thread; by planes with padding, one image among its zeros |
//! | im2col | the same, and a block of patches of at most 4 MiB, or 32 columns if those are more |
//! | direct | the weights once: 4 per product of an output; per thread, the rows of x that a band of outputs needs |
//! | depthwise | by planes, one padded plane per thread; by pixels, the weights and a row |
//! | Winograd | per thread 4·n²·(c·t + 128·NR + t·NR) and some rows of the input, for t tiles: 1 MiB of inputs, 48 ≤ t ≤ 512 |
//! | `…-prepacked` | per thread 4·n²·(c·t + t·NR) and those rows; the plan is n²/9 times the weights, in panels of NR |
//!
//! The rows of a direct kernel's band take at most 32 KiB; 256 KiB, if one row of outputs needs more; what it needs, if that
//! is more.
//!
//! Error: see the operator's tolerance; Winograd's is derived in [`winograd`](etalon_reference::ops::winograd). NaN and ∞
//! follow the formula as long as weights are finite; Winograd's algorithm spreads them over a tile.

mod depthwise;
mod direct;
mod finish;
mod im2col;
pub(crate) mod implicit;
pub(crate) mod lower;
mod operands;
pub(crate) mod scalar;
mod winograd;

use etalon_reference::operator::downcast;
use etalon_reference::ops::conv2d::Conv2d;
use etalon_reference::ops::gemm::CHUNK;
use etalon_reference::ops::images::ImageLayout;
use etalon_reference::{Fill, Problem, Threshold, Tolerance, Types};
use ndarray::ArrayD;

pub(crate) use self::operands::{Operands, Order, Products};
use self::winograd::Transformed;
use crate::call::Call;
use crate::gemm::driver::{mc, nc};
use crate::gemm::skinny::Stream;
use crate::gemm::{DEPTH, FLOATS, Float, Tiled, with_float};
use crate::isa::Isa;
use crate::isa::wide::Wide;
use crate::kernel::{Kernel, KernelError, Tolerate};
use crate::pool::{Pool, WORTH_NS};
use crate::workspace::Workspace;

const F32: &[Types] = &[Types::F32];

/// The sizes at which a convolution by tiles of GEMM takes another path: blocks of rows, of columns, of products.
pub(crate) const THRESHOLDS: &[Threshold] = &[
    Threshold::axis("n", 5),
    Threshold::axis("n", 11),
    Threshold::axis("k", 64),
    Threshold::axis("k", mc::<f64>() as i64),
    Threshold::axis("k", mc::<f32>() as i64),
    Threshold::axis("c", CHUNK as i64),
    Threshold::axis("c", DEPTH as i64),
    Threshold::axis("w", nc::<f64>(1) as i64),
    Threshold::axis("w", nc::<f32>(1) as i64),
    Threshold::bytes("x", 1 << 20),
    Threshold::operations((WORTH_NS * 100) as i64),
    Threshold::operations(4_000_000),
];

/// The kernels; the last one that applies is the default.
pub static KERNELS: &[Kernel] = &[
    Kernel::new("scalar", Isa::Scalar, FLOATS, |call| exact(call, Isa::Scalar, None)),
    #[cfg(feature = "openblas")]
    Kernel::new("openblas", Isa::Scalar, FLOATS, im2col::run_openblas)
        .with_supports(im2col::supports)
        .of_library("openblas"),
    #[cfg(target_arch = "x86_64")]
    Kernel::new("im2col-avx2", Isa::Avx2, FLOATS, |call| exact(call, Isa::Avx2, Some(Way::Im2col)))
        .with_supports(im2col::supports)
        .with_thresholds(THRESHOLDS),
    #[cfg(target_arch = "x86_64")]
    Kernel::new("implicit-avx2", Isa::Avx2, FLOATS, |call| exact(call, Isa::Avx2, Some(Way::Implicit)))
        .with_thresholds(THRESHOLDS),
    #[cfg(target_arch = "x86_64")]
    Kernel::new("direct-avx2", Isa::Avx2, FLOATS, |call| exact(call, Isa::Avx2, Some(Way::Direct)))
        .with_supports(direct::supports)
        .with_thresholds(direct::THRESHOLDS),
    #[cfg(target_arch = "x86_64")]
    Kernel::new("depthwise-avx2", Isa::Avx2, FLOATS, |call| exact(call, Isa::Avx2, Some(Way::Depthwise)))
        .with_supports(depthwise::supports)
        .with_thresholds(depthwise::THRESHOLDS)
        .with_paths(depthwise::PATHS),
    #[cfg(target_arch = "x86_64")]
    Kernel::new("avx2", Isa::Avx2, FLOATS, |call| exact(call, Isa::Avx2, None))
        .with_thresholds(THRESHOLDS)
        .with_paths(depthwise::PATHS),
    #[cfg(target_arch = "x86_64")]
    winograd("winograd2-avx2", Isa::Avx2, |call| in_f32(call, Isa::Avx2, Way::Winograd(2)), tolerance_of::<2>),
    #[cfg(target_arch = "x86_64")]
    winograd("winograd4-avx2", Isa::Avx2, |call| in_f32(call, Isa::Avx2, Way::Winograd(4)), tolerance_of::<4>),
    #[cfg(target_arch = "x86_64")]
    winograd("winograd6-avx2", Isa::Avx2, |call| in_f32(call, Isa::Avx2, Way::Winograd(6)), tolerance_of::<6>),
    #[cfg(target_arch = "x86_64")]
    winograd(
        "winograd2-avx2-prepacked",
        Isa::Avx2,
        |call| in_f32(call, Isa::Avx2, Way::Winograd(2)),
        tolerance_of::<2>,
    )
    .with_plan(|inputs| winograd::plan(inputs, Isa::Avx2, 2)),
    #[cfg(target_arch = "x86_64")]
    winograd(
        "winograd4-avx2-prepacked",
        Isa::Avx2,
        |call| in_f32(call, Isa::Avx2, Way::Winograd(4)),
        tolerance_of::<4>,
    )
    .with_plan(|inputs| winograd::plan(inputs, Isa::Avx2, 4)),
    #[cfg(target_arch = "x86_64")]
    winograd(
        "winograd6-avx2-prepacked",
        Isa::Avx2,
        |call| in_f32(call, Isa::Avx2, Way::Winograd(6)),
        tolerance_of::<6>,
    )
    .with_plan(|inputs| winograd::plan(inputs, Isa::Avx2, 6)),
    #[cfg(target_arch = "x86_64")]
    fast("fast-avx2", Isa::Avx2, |call| in_f32(call, Isa::Avx2, fast_way(downcast(call.problem())))),
    #[cfg(target_arch = "x86_64")]
    Kernel::new("im2col-avx512", Isa::Avx512, FLOATS, |call| exact(call, Isa::Avx512, Some(Way::Im2col)))
        .with_supports(im2col::supports)
        .with_thresholds(THRESHOLDS),
    #[cfg(target_arch = "x86_64")]
    Kernel::new("implicit-avx512", Isa::Avx512, FLOATS, |call| exact(call, Isa::Avx512, Some(Way::Implicit)))
        .with_thresholds(THRESHOLDS),
    #[cfg(target_arch = "x86_64")]
    Kernel::new("direct-avx512", Isa::Avx512, FLOATS, |call| exact(call, Isa::Avx512, Some(Way::Direct)))
        .with_supports(direct::supports)
        .with_thresholds(direct::THRESHOLDS),
    #[cfg(target_arch = "x86_64")]
    Kernel::new("depthwise-avx512", Isa::Avx512, FLOATS, |call| exact(call, Isa::Avx512, Some(Way::Depthwise)))
        .with_supports(depthwise::supports)
        .with_thresholds(depthwise::THRESHOLDS)
        .with_paths(depthwise::PATHS),
    #[cfg(target_arch = "x86_64")]
    Kernel::new("avx512", Isa::Avx512, FLOATS, |call| exact(call, Isa::Avx512, None))
        .with_thresholds(THRESHOLDS)
        .with_paths(depthwise::PATHS),
    #[cfg(target_arch = "x86_64")]
    winograd("winograd2-avx512", Isa::Avx512, |call| in_f32(call, Isa::Avx512, Way::Winograd(2)), tolerance_of::<2>),
    #[cfg(target_arch = "x86_64")]
    winograd("winograd4-avx512", Isa::Avx512, |call| in_f32(call, Isa::Avx512, Way::Winograd(4)), tolerance_of::<4>),
    #[cfg(target_arch = "x86_64")]
    winograd("winograd6-avx512", Isa::Avx512, |call| in_f32(call, Isa::Avx512, Way::Winograd(6)), tolerance_of::<6>),
    #[cfg(target_arch = "x86_64")]
    winograd(
        "winograd2-avx512-prepacked",
        Isa::Avx512,
        |call| in_f32(call, Isa::Avx512, Way::Winograd(2)),
        tolerance_of::<2>,
    )
    .with_plan(|inputs| winograd::plan(inputs, Isa::Avx512, 2)),
    #[cfg(target_arch = "x86_64")]
    winograd(
        "winograd4-avx512-prepacked",
        Isa::Avx512,
        |call| in_f32(call, Isa::Avx512, Way::Winograd(4)),
        tolerance_of::<4>,
    )
    .with_plan(|inputs| winograd::plan(inputs, Isa::Avx512, 4)),
    #[cfg(target_arch = "x86_64")]
    winograd(
        "winograd6-avx512-prepacked",
        Isa::Avx512,
        |call| in_f32(call, Isa::Avx512, Way::Winograd(6)),
        tolerance_of::<6>,
    )
    .with_plan(|inputs| winograd::plan(inputs, Isa::Avx512, 6)),
    #[cfg(target_arch = "x86_64")]
    fast("fast-avx512", Isa::Avx512, |call| in_f32(call, Isa::Avx512, fast_way(downcast(call.problem())))),
];

type Run = fn(&mut Call<'_>) -> Result<(), KernelError>;

/// A kernel of one of Winograd's algorithms.
const fn winograd(name: &'static str, isa: Isa, run: Run, tolerance: Tolerate) -> Kernel {
    Kernel::new(name, isa, F32, run)
        .with_supports(winograd::supports)
        .with_tolerance(tolerance)
        .finite_only()
        .with_thresholds(winograd::THRESHOLDS)
}

/// A kernel that may choose Winograd's algorithm.
const fn fast(name: &'static str, isa: Isa, run: Run) -> Kernel {
    Kernel::new(name, isa, F32, run)
        .with_tolerance(fast_tolerance)
        .finite_only()
        .with_thresholds(THRESHOLDS)
        .with_paths(depthwise::PATHS)
}

fn tolerance_of<const M: usize>(
    problem: &dyn Problem,
    types: Types,
    inputs: &[ArrayD<f64>],
    expected: &[ArrayD<f64>],
) -> Vec<Tolerance> {
    etalon_reference::ops::winograd::tolerance(M, downcast(problem), types, inputs, expected)
}

fn fast_tolerance(
    problem: &dyn Problem,
    types: Types,
    inputs: &[ArrayD<f64>],
    expected: &[ArrayD<f64>],
) -> Vec<Tolerance> {
    match fast_way(downcast(problem)) {
        Way::Winograd(m) => etalon_reference::ops::winograd::tolerance(m, downcast(problem), types, inputs, expected),
        _ => problem.tolerance(types, Fill::Real, inputs, expected),
    }
}

/// An algorithm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// Patches copied to a matrix, then a GEMM.
    Im2col,
    /// A GEMM that packs its panels from the images.
    Implicit,
    /// Taps times shifted rows, for several output channels at once.
    Direct,
    /// Taps times shifted rows.
    Depthwise,
    /// F(m×m, 3×3), m of 2, 4 or 6.
    Winograd(usize),
}

/// The algorithm that is usually fastest among those that keep the canonical order.
///
/// - One input channel a group leaves a GEMM a depth of r·s only: [`Way::Depthwise`], if there are as many outputs as groups.
/// - By planes, patches that serve few output channels: [`Way::Direct`], where not packing them pays (`direct::pays`).
/// - Otherwise [`Way::Implicit`], which does im2col's work without its traffic.
pub fn exact_way<T: Float>(p: &Conv2d) -> Way {
    if depthwise::fits(p).is_ok() && p.group_out() == 1 {
        return Way::Depthwise;
    }
    if by_planes(p) && !implicit::is_pointwise(p) && direct::pays::<T>(p) { Way::Direct } else { Way::Implicit }
}

/// The algorithm that is usually fastest in f32, with an error of at most F(4)'s.
///
/// With at least 32 input channels a group and 32 outputs, Winograd's transformations pay: F(4) on maps of at least 10×10;
/// on smaller ones F(2), whose tiles fit them better and whose weights grow less.
pub fn fast_way(p: &Conv2d) -> Way {
    let channels = p.group_in() >= 32 && p.group_out() >= 32;
    let map = p.y.h.min(p.y.w);
    if channels && map >= 4 && etalon_reference::ops::winograd::fits(p).is_ok() {
        Way::Winograd(if map >= 10 { 4 } else { 2 })
    } else {
        exact_way::<f32>(p)
    }
}

/// Whether an algorithm reads weights that lie as [`Order::Exchanged`].
pub(crate) fn reads_exchanged(p: &Conv2d, way: Way) -> bool {
    match way {
        Way::Winograd(_) => true,
        Way::Implicit => implicit::is_pointwise(p),
        Way::Depthwise => p.group_out() == 1,
        Way::Im2col | Way::Direct => false,
    }
}

/// The kernels in the canonical order: by one algorithm, or by [`exact_way`].
fn exact(call: &mut Call<'_>, isa: Isa, way: Option<Way>) -> Result<(), KernelError> {
    let p: &Conv2d = downcast(call.problem());
    let pool = call.pool();
    with_float!(call.types(), T => {
        let (operands, workspace) = Operands::<T>::of(call);
        compute(p, isa, way.unwrap_or_else(|| exact_way::<T>(p)), operands, pool, workspace)
    })
}

/// The kernels that may choose Winograd's algorithm.
fn in_f32(call: &mut Call<'_>, isa: Isa, way: Way) -> Result<(), KernelError> {
    let p: &Conv2d = downcast(call.problem());
    let (pool, plan) = (call.pool(), call.plan::<Transformed>());
    let (mut operands, workspace) = Operands::of(call);
    if let (Way::Winograd(m), Some(plan)) = (way, plan) {
        let other = || KernelError::Unsupported("the plan was made for another problem".into());
        let w = plan.of(p, m, winograd::panel(isa)).ok_or_else(other)?;
        operands = Operands { w, order: Order::Transformed, ..operands };
    }
    compute_f32(p, isa, way, operands, pool, workspace)
}

/// Computes by an algorithm other than Winograd's, with operands of the problem's lengths.
pub(crate) fn compute<T: Float>(
    p: &Conv2d,
    isa: Isa,
    way: Way,
    operands: Operands<'_, T>,
    pool: &Pool,
    workspace: &mut Workspace,
) -> Result<(), KernelError> {
    if p.y.is_empty() {
        return Ok(());
    }
    match (isa, way) {
        (Isa::Scalar, _) => {
            scalar::convolve(p, operands);
            Ok(())
        }
        (_, Way::Direct) => direct::convolve(p, isa, operands, pool, workspace),
        (_, Way::Depthwise) => depthwise::convolve(p, isa, operands, pool, workspace),
        (_, Way::Im2col | Way::Implicit) => {
            T::with_tiles(isa, ByTiles { im2col: way == Way::Im2col, p, operands, pool, workspace })
        }
        (_, Way::Winograd(_)) => Err(KernelError::Unsupported(format!("Winograd's algorithm in {}", T::DTYPE))),
    }
}

/// Computes by any algorithm, with operands of the problem's lengths.
pub(crate) fn compute_f32(
    p: &Conv2d,
    isa: Isa,
    way: Way,
    operands: Operands<'_, f32>,
    pool: &Pool,
    workspace: &mut Workspace,
) -> Result<(), KernelError> {
    match way {
        Way::Winograd(m) if isa != Isa::Scalar && !p.y.is_empty() => {
            f32::with_tiles(isa, winograd::Step { m, p, operands, pool, workspace })
        }
        _ => compute(p, isa, way, operands, pool, workspace),
    }
}

/// An algorithm that lowers a convolution to GEMMs.
struct ByTiles<'a, T> {
    /// Whether the patches become a matrix.
    im2col: bool,
    p: &'a Conv2d,
    operands: Operands<'a, T>,
    pool: &'a Pool,
    workspace: &'a mut Workspace,
}

impl<T: Float> Tiled<T> for ByTiles<'_, T> {
    type Output = ();

    fn run<X: Stream<T = T>, L: Wide<T>>(self, tile: X, lanes: L) {
        let ByTiles { im2col, p, operands, pool, workspace } = self;
        if im2col {
            im2col::convolve(tile, lanes, p, operands, pool, workspace);
        } else {
            implicit::convolve(tile, lanes, p, operands, pool, workspace);
        }
    }
}

/// Whether planes of a channel lie together.
fn by_planes(p: &Conv2d) -> bool {
    p.x.layout == ImageLayout::Nchw
}

/// `supports` of kernels for images by planes.
fn planes_only(problem: &dyn Problem) -> Result<(), String> {
    let p: &Conv2d = downcast(problem);
    if by_planes(p) { Ok(()) } else { Err("only images by planes (NCHW)".into()) }
}

//! The gradient of a convolution with respect to its images: `dx`, from dy and w.
//!
//! Shapes: dy n×k×h'×w' and dx n×c×h×w in NCHW or NHWC order without gaps, w k×(c/groups)×r×s. f32 and f64; `fast-…`
//! f32 alone. The problem is [`Conv2dBackwardData`]; its documentation fixes the order of summation, and all kernels but
//! those that may choose Winograd's algorithm keep it: the same bits on every instruction set and for any number of threads.
//!
//! | kernel | what it does |
//! |---|---|
//! | `scalar` | the convolutions of the residues, in the canonical order |
//! | `avx2`, `avx512` | the same by [`conv2d`](crate::conv2d)'s kernels: [`exact_way`](crate::conv2d::exact_way) |
//! | `fast-avx2`, `fast-avx512` | the same, Winograd's algorithm among them: [`fast_way`] |
//!
//! A stride of s cuts dx into s×s residues; each is met by its own taps, and is a dense convolution of dy of stride 1 with
//! the weights turned around. Error: see the operator's tolerance, or Winograd's of that convolution. NaN and ∞ of dy follow
//! the formula as long as weights are finite.
//!
//! Workspace: the weights once (none for 1×1, depthwise and Winograd of stride 1, which read them as they lie); with
//! a stride, a row of residues of one image; and the convolution's.

pub(crate) mod by;
mod places;
pub(crate) mod spread;
mod turn;

use etalon_reference::operator::downcast;
use etalon_reference::ops::conv2d::Conv2d;
use etalon_reference::ops::conv2d_backward_data::Conv2dBackwardData;
use etalon_reference::ops::gemm::CHUNK;
use etalon_reference::{Domain, Fill, Problem, Threshold, Tolerance, Types};
use ndarray::{ArrayD, Axis, Slice};

use self::by::{Exact, Fast, Plainly};
use self::places::residues;
use self::spread::{Adjoint, Convolver, of_residue, spread};
use crate::call::{Call, elements};
use crate::conv2d::{Way, fast_way};
use crate::gemm::driver::{mc, nc};
use crate::gemm::{FLOATS, Float, with_float};
use crate::isa::Isa;
use crate::kernel::{Kernel, KernelError};

const F32: &[Types] = &[Types::F32];

/// The sizes at which an adjoint takes another path: weights that are turned by blocks, chunks of products of the output
/// channels, blocks of rows and columns.
pub(crate) const THRESHOLDS: &[Threshold] = &[
    Threshold::axis("n", 5),
    Threshold::axis("n", 11),
    Threshold::axis("c", 64),
    Threshold::axis("c", mc::<f64>() as i64),
    Threshold::axis("c", mc::<f32>() as i64),
    Threshold::axis("k", turn::task_columns::<f64>() as i64),
    Threshold::axis("k", turn::task_columns::<f32>() as i64),
    Threshold::axis("k", CHUNK as i64),
    Threshold::axis("k", 512),
    Threshold::axis("w", nc::<f64>(1) as i64),
    Threshold::axis("w", nc::<f32>(1) as i64),
    Threshold::bytes("w", 1 << 20),
    Threshold::operations(800_000),
    Threshold::operations(4_000_000),
];

/// Taps whose places are computed, not kept; and what the depthwise convolution unrolls.
pub(crate) const PATHS: &[Domain] = &[
    Domain { name: "many rows of taps", fixed: &[("r", MANY_TAPS), ("s", &[1, 2]), ("h", &[41, 43]), ("dh", &[1])] },
    Domain { name: "many columns of taps", fixed: &[("s", MANY_TAPS), ("r", &[1, 2]), ("w", &[41, 43]), ("dw", &[1])] },
    Domain { name: "depthwise 3x3", fixed: &[("r", &[3]), ("s", &[3]), ("c", &[1]), ("k", &[1]), ("g", &[3, 17, 33])] },
    Domain { name: "depthwise 5x5", fixed: &[("r", &[5]), ("s", &[5]), ("c", &[1]), ("k", &[1]), ("g", &[3, 17, 33])] },
    RESIDUES_3X3,
];

/// One residue of several is 3×3, of channels that Winograd's algorithm takes: it reads weights that were turned before.
const RESIDUES_3X3: Domain = Domain {
    name: "residues of 3x3",
    fixed: &[
        ("r", &[5, 6]),
        ("s", &[5, 6]),
        ("sh", &[2]),
        ("sw", &[2]),
        ("dh", &[1]),
        ("dw", &[1]),
        ("h", &[9, 21]),
        ("w", &[9, 21]),
        ("c", &[32, 33]),
        ("k", &[33, 48]),
        ("g", &[1, 2]),
    ],
};

const MANY_TAPS: &[i64] = &[turn::KNOWN as i64, turn::KNOWN as i64 + 1, turn::KNOWN as i64 + 8];

/// The kernels; the last one that applies is the default.
pub static KERNELS: &[Kernel] = &[
    Kernel::new("scalar", Isa::Scalar, FLOATS, scalar),
    #[cfg(target_arch = "x86_64")]
    Kernel::new("avx2", Isa::Avx2, FLOATS, |call| exact(call, Isa::Avx2)).with_thresholds(THRESHOLDS).with_paths(PATHS),
    #[cfg(target_arch = "x86_64")]
    Kernel::new("fast-avx2", Isa::Avx2, F32, |call| compute(call, &Fast(Isa::Avx2)))
        .with_tolerance(tolerance)
        .finite_only()
        .with_thresholds(THRESHOLDS)
        .with_paths(PATHS),
    #[cfg(target_arch = "x86_64")]
    Kernel::new("avx512", Isa::Avx512, FLOATS, |call| exact(call, Isa::Avx512))
        .with_thresholds(THRESHOLDS)
        .with_paths(PATHS),
    #[cfg(target_arch = "x86_64")]
    Kernel::new("fast-avx512", Isa::Avx512, F32, |call| compute(call, &Fast(Isa::Avx512)))
        .with_tolerance(tolerance)
        .finite_only()
        .with_thresholds(THRESHOLDS)
        .with_paths(PATHS),
];

fn scalar(call: &mut Call<'_>) -> Result<(), KernelError> {
    with_float!(call.types(), T => compute::<T>(call, &Plainly))
}

fn exact(call: &mut Call<'_>, isa: Isa) -> Result<(), KernelError> {
    with_float!(call.types(), T => compute::<T>(call, &Exact(isa)))
}

fn compute<T: Float>(call: &mut Call<'_>, by: &impl Convolver<T>) -> Result<(), KernelError> {
    let p = &downcast::<Conv2dBackwardData>(call.problem()).conv;
    let (pool, [dy, w]) = (call.pool(), [0, 1].map(|i| call.input(i)));
    let ([dx], workspace) = call.outputs();
    spread(p, by, Adjoint { dy, w, bias: &[], dx: elements(dx) }, pool, workspace)
}

/// The bound of an adjoint whose residues are computed as `fast-…` choose: the canonical one, and Winograd's where its
/// algorithm computes a residue. `operands` are dy, w and the bias, or an empty array.
pub fn adjoint_tolerance(
    p: &Conv2d,
    types: Types,
    operands: [&ArrayD<f64>; 3],
    expected: &[ArrayD<f64>],
    canonical: Vec<Tolerance>,
) -> Vec<Tolerance> {
    let [dy, w, bias] = operands;
    let [Tolerance::Bound { mut formula, mut bound }] = <[_; 1]>::try_from(canonical).expect("one output") else {
        panic!("an adjoint's results are rounded")
    };
    for (row, col) in residues(&p.rows).flat_map(|row| residues(&p.cols).map(move |col| (row, col))) {
        let Some(conv) = of_residue(p, p.y.n, &row, &col, !bias.is_empty()) else { continue };
        let Way::Winograd(m) = fast_way(&conv) else { continue };
        let turned = ArrayD::from_shape_fn(conv.weights().to_vec(), |at| {
            let (group, c) = (at[0] / p.group_in(), at[0] % p.group_in());
            let [r, s] = [(&row, at[2], conv.rows.taps), (&col, at[3], conv.cols.taps)]
                .map(|(places, t, taps)| places.tap + (taps - 1 - t) * places.step);
            w[[group * p.group_out() + at[1], c, r, s]]
        });
        // Without the outputs that no tap reaches, where the padding is wider than that.
        let kept = |unused: [usize; 2], extent: usize| Slice::from(unused[0]..unused[0] + extent);
        let rows = dy.slice_axis(Axis(2), kept(row.unused, conv.x.h));
        let reached = rows.slice_axis(Axis(3), kept(col.unused, conv.x.w)).to_owned();
        let none = ArrayD::zeros(vec![0]);
        let inputs = [reached, turned, none, bias.clone()];
        let [rows, cols] = [(&row, p.rows.stride), (&col, p.cols.stride)]
            .map(|(places, stride)| Slice::new(places.first as isize, None, stride as isize));
        let here = expected[0].slice_axis(Axis(2), rows).slice_axis(Axis(3), cols).to_owned();
        let of_conv = etalon_reference::ops::winograd::tolerance(m, &conv, types, &inputs, &[here]);
        let Some(Tolerance::Bound { formula: winograd, bound: own }) = of_conv.first() else { unreachable!() };
        formula = winograd;
        bound.slice_axis_mut(Axis(2), rows).slice_axis_mut(Axis(3), cols).assign(own);
    }
    vec![Tolerance::bound(formula, bound, &expected[0])]
}

fn tolerance(problem: &dyn Problem, types: Types, inputs: &[ArrayD<f64>], expected: &[ArrayD<f64>]) -> Vec<Tolerance> {
    let p = &downcast::<Conv2dBackwardData>(problem).conv;
    let canonical = problem.tolerance(types, Fill::Real, inputs, expected);
    adjoint_tolerance(p, types, [&inputs[0], &inputs[1], &ArrayD::zeros(vec![0])], expected, canonical)
}

#[cfg(all(test, target_arch = "x86_64"))]
mod tests {
    use etalon_reference::Point;

    use super::*;
    use crate::check::Prepared;

    /// Padding of 3 around 3 taps: the outermost outputs are sums of zeros alone.
    #[test]
    fn outputs_that_no_tap_reaches_have_no_part_in_the_bound() {
        let operator = &etalon_reference::ops::conv2d_backward_data::CONV2D_BACKWARD_DATA;
        let point = Point::parse(operator.axes, "c=32,h=4,w=4,k=32,r=3,s=3,pt=3,pl=3,pb=2,pr=1").expect("a point");
        let prepared = Prepared::new(operator, &point, Types::F32, Fill::Real, 1).expect("a problem");
        for kernel in KERNELS.iter().filter(|kernel| kernel.tolerance.is_some()) {
            let tolerances = prepared.tolerances_of(kernel);
            let Tolerance::Bound { bound, .. } = &tolerances[0] else { panic!("a bound") };
            assert_eq!(bound.shape(), prepared.expected()[0].shape());
        }
    }
}

//! Comparison of a buffer with the reference.

use ndarray::ArrayD;
use serde::{Deserialize, Serialize};

use crate::{DType, Tolerance};

/// What a comparison found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// Within the tolerance.
    Pass,
    /// Equal, but the expected output is constant or nearly all zeros, so that much could be wrong unseen.
    Mistrusted,
    /// Outside the tolerance.
    Fail,
}

/// How one output compares with the reference.
#[derive(Clone, Debug, PartialEq)]
pub struct Comparison {
    /// Verdict.
    pub verdict: Verdict,
    /// Largest |y − ŷ| over elements that are finite in both.
    pub max_abs: f64,
    /// Largest |y − ŷ| / |ŷ| where ŷ ≠ 0.
    pub max_rel: f64,
    /// Largest distance in units in the last place of the dtype.
    pub max_ulp: f64,
    /// Σ(y − ŷ)² / Σŷ².
    pub nmse: f64,
    /// Largest observed error as a share of its bound (0 where both are 0); above 1 is a failure.
    pub headroom: f64,
    /// Elements that are NaN or infinite in one and not, or otherwise, in the other.
    pub class_mismatches: usize,
    /// Index of the worst element, in the logical array.
    pub worst: Vec<usize>,
    /// The kernel's value there.
    pub got: f64,
    /// The reference there.
    pub expected: f64,
    /// The bound there.
    pub bound: f64,
    /// The bound's formula.
    pub formula: &'static str,
}

/// Compares `got` with `expected` (both logical arrays; `got` widened from `dtype`).
///
/// # Panics
/// If the shapes differ.
pub fn compare(dtype: DType, expected: &ArrayD<f64>, tolerance: &Tolerance, got: &ArrayD<f64>) -> Comparison {
    assert_eq!(expected.shape(), got.shape(), "same shape");
    let mut out = Comparison {
        verdict: Verdict::Pass,
        max_abs: 0.0,
        max_rel: 0.0,
        max_ulp: 0.0,
        nmse: 0.0,
        headroom: 0.0,
        class_mismatches: 0,
        worst: Vec::new(),
        got: 0.0,
        expected: 0.0,
        bound: 0.0,
        formula: tolerance.formula(),
    };
    let (mut square_error, mut square) = (0.0, 0.0);
    let mut worst_score = -1.0;
    let mut bounds = match tolerance {
        Tolerance::Exact => None,
        Tolerance::Bound { bound, .. } => {
            assert_eq!(expected.shape(), bound.shape(), "a bound for each element");
            Some(bound.iter())
        }
    };
    let mut worst = None;
    let exact = matches!(tolerance, Tolerance::Exact);
    for (position, (&want, &have)) in expected.iter().zip(got).enumerate() {
        let bound = bounds.as_mut().map_or(0.0, |bounds| *bounds.next().expect("as many as elements"));
        // What must be equal is the rounded number: a saturated one may be far from the reference.
        let want = if exact { dtype.round(want) } else { want };
        let (error, score) = if same_class(want, have) || overflowed(dtype, want, have, bound) {
            let error = if want.is_finite() && have.is_finite() { (have - want).abs() } else { 0.0 };
            (error, if error == 0.0 { 0.0 } else { error / bound })
        } else {
            out.class_mismatches += 1;
            (f64::INFINITY, f64::INFINITY)
        };
        if error.is_finite() && want.is_finite() {
            out.max_abs = out.max_abs.max(error);
            if want != 0.0 {
                out.max_rel = out.max_rel.max(error / want.abs());
            }
            if error > 0.0 {
                out.max_ulp = out.max_ulp.max(error / ulp(dtype, want));
            }
            square_error += error * error;
            square += want * want;
        }
        // A bound that is NaN or negative is a fault of the tolerance, and must not pass even where nothing is off.
        let score = if bound >= 0.0 { score } else { f64::INFINITY };
        if score > worst_score {
            worst_score = score;
            out.headroom = score;
            worst = Some(position);
            (out.got, out.expected, out.bound) = (have, want, bound);
        }
    }
    out.worst = worst.map_or(Vec::new(), |position| index(expected.shape(), position));
    out.nmse = if square > 0.0 { square_error / square } else { square_error };
    if worst_score > 1.0 {
        out.verdict = Verdict::Fail;
    } else if matches!(tolerance, Tolerance::Exact) && uninformative(dtype, expected) {
        out.verdict = Verdict::Mistrusted;
    }
    out
}

/// The index of the element that is the `position`-th in row-major order.
fn index(shape: &[usize], mut position: usize) -> Vec<usize> {
    let mut index = vec![0; shape.len()];
    for (index, &extent) in index.iter_mut().zip(shape).rev() {
        (*index, position) = (position % extent, position / extent);
    }
    index
}

/// Both NaN, both the same infinity, or both finite.
fn same_class(want: f64, have: f64) -> bool {
    if want.is_nan() || have.is_nan() {
        want.is_nan() && have.is_nan()
    } else if want.is_infinite() || have.is_infinite() {
        want == have
    } else {
        true
    }
}

/// The reference, in f64, is finite; within the bound, rounding to the dtype gives the infinity that the kernel has.
fn overflowed(dtype: DType, want: f64, have: f64, bound: f64) -> bool {
    have.is_infinite() && want.is_finite() && dtype.round(want + bound.copysign(have)) == have
}

/// Distance between neighbouring numbers of the dtype at `value`.
pub fn ulp(dtype: DType, value: f64) -> f64 {
    let spacing = 2.0 * dtype.unit_roundoff();
    if spacing == 0.0 {
        return 1.0;
    }
    // The power of two in it; 0 for subnormal numbers of f64.
    let power = f64::from_bits(value.to_bits() & f64::INFINITY.to_bits());
    (spacing * power).max(2.0 * dtype.underflow())
}

/// At least 16 elements, and, rounded to the dtype, constant or more than nine tenths zeros.
fn uninformative(dtype: DType, expected: &ArrayD<f64>) -> bool {
    let n = expected.len();
    if n < 16 {
        return false;
    }
    let rounded = || expected.iter().map(|v| dtype.round(*v));
    let first = rounded().next();
    let zeros = rounded().filter(|v| *v == 0.0).count();
    zeros * 10 > n * 9 || rounded().all(|v| Some(v) == first)
}

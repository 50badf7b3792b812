//! `clip_norm`: a gradient scaled down to a norm, as before a step of an optimizer.
//!
//! ```text
//! norm = √Σ g²,   y = g·min(1, max/(norm + 10⁻⁶))
//! ```
//! g is one array of n elements: gradients of several tensors lie one after the other. y has n elements, the norm one.
//!
//! **Order of summation**: in chunks of 4096 elements, four vectors of 64 bytes, each a chain of multiply-adds of every
//! fourth vector; these are added in pairs, lanes by halves, and chunks in order. The norm and the factor are rounded
//! once each.
//!
//! # Derivation of the bounds
//! A square passes through at most s = min(n, 128) + 6 + ⌈n/4096⌉ roundings, and loses at most η where it is subnormal:
//! with S the sum, e(S) = γ(s)·S + (n + s)·η. The root is off by at most e(S)/√S, and by √e(S), and a rounding. With
//! d = norm + 10⁻⁶, the quotient q = max/d is off by q·e(d)/(d − e(d)) and three roundings, and min(1, q) by no more. A
//! product then is off by |g|·e(factor) and one rounding. In f64 the reference rounds, too, and errors count twice.

use ndarray::{ArrayD, arr1};

use super::gemm::choice_value;
use crate::operator::{elements, size};
use crate::tolerance::{Sum, gamma};
use crate::{
    Axis, DType, Fill, Layout, Operator, Port, Problem, ProblemError, Tolerance, Types, Unit, Witness, Workload,
};

/// Elements whose squares are added at a time.
pub const CHUNK: usize = 4096;

/// What is added to the norm, so that nothing is divided by 0.
pub const SMALL: f64 = 1e-6;

const SIZES: &[i64] = &[0, 1, 2, 7, 8, 15, 16, 17, 31, 32, 33, 63, 64, 65, 127, 128, 129];

const AXES: &[Axis] =
    &[Axis::int("n", "elements", 1, 600, SIZES), Axis::choice("max", "norm at most", &["1", "0.25", "1000"])];

/// A validated clipping.
#[derive(Clone, Debug, PartialEq)]
pub struct ClipNorm {
    /// Elements.
    pub n: usize,
    /// The norm at most.
    pub max: f64,
}

impl ClipNorm {
    /// Of `n` elements, to a norm of at most `max`.
    ///
    /// # Errors
    /// [`ProblemError`] if a buffer does not fit the address space, or the norm is no finite number from 0 on.
    pub fn new(n: usize, max: f64) -> Result<ClipNorm, ProblemError> {
        if !(0.0..f64::INFINITY).contains(&max) {
            return Err(ProblemError::Conflict(format!("{max} is no norm")));
        }
        Ok(ClipNorm { n: elements("n", &[n])?, max })
    }

    /// What elements are multiplied with, given their norm. NaN stays.
    pub fn factor(&self, norm: f64) -> f64 {
        let factor = self.max / (norm + SMALL);
        if factor > 1.0 { 1.0 } else { factor }
    }

    fn chain(&self) -> usize {
        self.n.min(128) + 6 + self.n.div_ceil(CHUNK)
    }
}

impl Problem for ClipNorm {
    fn inputs(&self, types: Types) -> Vec<Port> {
        vec![Port::new("g", types, Layout::contiguous(&[self.n]))]
    }

    fn outputs(&self, types: Types) -> Vec<Port> {
        let of = |name, n| Port::new(name, types, Layout::contiguous(&[n]));
        vec![of("y", self.n), of("norm", 1)]
    }

    fn reference(&self, inputs: &[ArrayD<f64>]) -> Vec<ArrayD<f64>> {
        let norm = inputs[0].iter().map(|g| g * g).sum::<f64>().sqrt();
        let factor = self.factor(norm);
        vec![inputs[0].mapv(|g| g * factor), arr1(&[norm]).into_dyn()]
    }

    fn sums(&self) -> Vec<Sum> {
        vec![Sum::new(self.n.max(1), self.chain(), "of squares")]
    }

    fn tolerance(&self, types: Types, _: Fill, inputs: &[ArrayD<f64>], expected: &[ArrayD<f64>]) -> Vec<Tolerance> {
        let (u, eta) = (types.accumulator.unit_roundoff(), types.accumulator.underflow());
        let sides = if types.accumulator == DType::F64 { 2.0 } else { 1.0 };
        let norm = expected[1][[0]];
        let steps = self.chain();
        let of_sum = sides * (gamma(steps, u) * norm * norm + (self.n + steps) as f64 * eta);
        let root = if norm > 0.0 { (of_sum / norm).min(of_sum.sqrt()) } else { of_sum.sqrt() };
        let of_norm = root + sides * u * (norm + root);
        let d = norm + SMALL;
        let q = self.max / d;
        let moved = if of_norm < d { q * of_norm / (d - of_norm) } else { f64::INFINITY };
        let of_factor = (moved + sides * 4.0 * u * (q + moved)).min(1.0) + eta;
        let y = inputs[0].mapv(|g| g.abs() * (of_factor + sides * u * (1.0 + of_factor)) + sides * eta);
        vec![
            Tolerance::bound("|g|·(e(factor) + u), e(factor) of γ(s)·Σg²", y, &expected[0]),
            Tolerance::bound("γ(s)·√Σg² and a rounding", arr1(&[of_norm]).into_dyn(), &expected[1]),
        ]
    }

    /// A square and its sum, and a product.
    fn operations(&self) -> (f64, Unit) {
        (3.0 * self.n as f64, Unit::Fma)
    }

    fn degenerate(&self) -> bool {
        self.n < 32
    }
}

static WORKLOADS: &[Workload] = &[
    Workload::new("small.4096", "n=4096", "composed for the suite: within the first cache").smoke(),
    Workload::new("lstm512", "n=2101248", "the parameters of an LSTM of 512 units and inputs").smoke(),
    Workload::new("resnet50", "n=25557032,max=0.25", "the parameters of ResNet-50"),
];

/// The operator `clip_norm`.
pub static CLIP_NORM: Operator = Operator {
    name: "clip_norm",
    summary: "a gradient scaled down to a norm, and the norm that it had",
    axes: AXES,
    types: &[Types::F32, Types::F64],
    make: |point| {
        let max: f64 = choice_value(point, "max")?.parse().expect("the choices are numbers");
        Ok(Box::new(ClipNorm::new(size(point, "n")?, max)?))
    },
    workloads: WORKLOADS,
    special_values: "NaN makes all NaN; with ±∞ the factor is 0, which leaves 0, and NaN where the infinity was",
    domains: &[],
    gradient: None,
    witness: Witness::Libtorch,
    batch: None,
};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Point;

    fn outputs(max: f64, g: &[f64]) -> (Vec<f64>, f64) {
        let found = ClipNorm::new(g.len(), max).expect("a problem").reference(&[arr1(g).into_dyn()]);
        (found[0].iter().copied().collect(), found[1][[0]])
    }

    #[test]
    fn long_vectors_are_scaled_and_short_ones_stay() {
        let (y, norm) = outputs(1.0, &[3.0, -4.0]);
        assert!(norm == 5.0 && (y[0] - 0.6).abs() < 1e-6 && (y[1] + 0.8).abs() < 1e-6, "{y:?}");
        assert_eq!(outputs(10.0, &[3.0, -4.0]), (vec![3.0, -4.0], 5.0));
        assert_eq!(outputs(1.0, &[0.0, 0.0]), (vec![0.0, 0.0], 0.0));
        assert_eq!(outputs(1.0, &[]), (vec![], 0.0));
    }

    #[test]
    fn special_values_spread() {
        let (y, norm) = outputs(1.0, &[f64::INFINITY, 2.0]);
        assert!(norm == f64::INFINITY && y[0].is_nan() && y[1] == 0.0, "{y:?}");
        let (y, norm) = outputs(1.0, &[f64::NAN, 2.0]);
        assert!(norm.is_nan() && y.iter().all(|y| y.is_nan()), "{y:?}");
    }

    #[test]
    fn what_is_no_norm_is_an_error() {
        for max in [-1.0, f64::NAN, f64::INFINITY] {
            assert!(ClipNorm::new(3, max).is_err());
        }
        let point = Point::parse(AXES, "n=9223372036854775807").expect("a point");
        assert!(matches!(CLIP_NORM.problem(&point), Err(ProblemError::Overflow { .. })));
    }
}

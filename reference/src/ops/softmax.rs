//! `softmax`: exponentials that add up to 1 along one dimension, or their logarithms.
//!
//! x and y are n×c×s without gaps; the dimension of c elements is the one along which they add up: s = 1 if it is the
//! last one. With m the largest x along it and the temperature T:
//!
//! ```text
//! z = (x − m)/T
//! softmax:      y = e^z / Σ e^z
//! log_softmax:  y = z − ln Σ e^z
//! ```
//! **Order of summation**: with s = 1, a chain for each lane of a vector, in f32 of 16 lanes, added by halves; in f64, and
//! with s > 1, one chain. Sums are inverted, rounded, and multiplied with.
//!
//! # Derivation of the bounds
//! The difference x − m is rounded, which 1/T, a power of two, scales; e^z is off by an ulp, 2u: the factor is e^±E with
//! E = u|z| + 2u. With c_j = e^z(e^E − 1) + η the sum S is off by L = Σc + γ(c)(S + Σc), and y by
//! (c_j + yL)/(S − L) and two roundings. ln S is off by −ln(1 − L/S) and an ulp, z by u|z|, the difference by a rounding.
//! In f64 the reference rounds, too, and errors count twice.

use ndarray::{ArrayD, ArrayView1, Axis as NdAxis, Ix3, Zip};

use super::activation::Extents;
use super::gemm::choice_value;
use crate::tolerance::{Sum, gamma};
use crate::{
    Axis, DType, Fill, Layout, Operator, Point, Port, Problem, ProblemError, Tolerance, Types, Unit, Witness, Workload,
};

pub(super) const AXES: &[Axis] = &[
    Axis::choice("f", "the exponentials, or their logarithms", &["softmax", "log_softmax"]).variant(),
    Axis::int("n", "lines before the dimension", 1, 9, &[0, 1, 2, 3, 4, 5, 7, 33, 65]),
    Axis::int("c", "elements that add up to 1", 10, 300, &[0, 1, 2, 15, 16, 17, 31, 32, 33, 63, 64, 65, 127, 129]),
    Axis::int("s", "elements behind the dimension", 1, 40, &[0, 1, 2, 15, 16, 17, 31, 33]),
    Axis::choice("temperature", "what scores are divided by", &["1", "2", "0.5"]),
];

/// Which of both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Of {
    /// Exponentials.
    Softmax,
    /// Their logarithms.
    LogSoftmax,
}

/// A validated softmax.
#[derive(Clone, Debug, PartialEq)]
pub struct Softmax {
    /// Which of both.
    pub of: Of,
    /// Extents; those of c add up.
    pub extents: Extents,
    /// 1/T, a power of two.
    pub inverse: f64,
}

impl Softmax {
    /// With temperature 1.
    ///
    /// # Errors
    /// [`ProblemError::Overflow`] if the elements do not fit the address space.
    pub fn new(of: Of, n: usize, c: usize, s: usize) -> Result<Softmax, ProblemError> {
        Ok(Softmax { of, extents: Extents::new(n, c, s)?, inverse: 1.0 })
    }

    pub(super) fn of(point: &Point) -> Result<Softmax, ProblemError> {
        let of = if choice_value(point, "f")? == "softmax" { Of::Softmax } else { Of::LogSoftmax };
        let temperature: f64 = choice_value(point, "temperature")?.parse().expect("the choices are numbers");
        Ok(Softmax { of, extents: Extents::of(point)?, inverse: 1.0 / temperature })
    }

    pub(super) fn layout(&self) -> Layout {
        Layout::contiguous(&[self.extents.n, self.extents.c, self.extents.s])
    }

    /// z of a line, and Σ e^z.
    fn exponents(&self, x: ArrayView1<'_, f64>) -> (Vec<f64>, f64) {
        let largest = x.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let z: Vec<f64> = x.iter().map(|x| (x - largest) * self.inverse).collect();
        let sum = z.iter().map(|z| z.exp()).sum();
        (z, sum)
    }
}

impl Problem for Softmax {
    fn inputs(&self, types: Types) -> Vec<Port> {
        vec![Port::new("x", types, self.layout()).spread()]
    }

    fn outputs(&self, types: Types) -> Vec<Port> {
        vec![Port::new("y", types, self.layout())]
    }

    fn reference(&self, inputs: &[ArrayD<f64>]) -> Vec<ArrayD<f64>> {
        let x = inputs[0].view().into_dimensionality::<Ix3>().expect("n×c×s");
        let mut y = ndarray::Array3::zeros(x.dim());
        for (x, mut y) in x.lanes(NdAxis(1)).into_iter().zip(y.lanes_mut(NdAxis(1))) {
            let (z, sum) = self.exponents(x);
            for (y, z) in y.iter_mut().zip(z) {
                *y = if self.of == Of::Softmax { z.exp() / sum } else { z - sum.ln() };
            }
        }
        vec![y.into_dyn()]
    }

    fn sums(&self) -> Vec<Sum> {
        vec![Sum::new(self.extents.c, self.extents.c, "of exponentials")]
    }

    fn tolerance(&self, types: Types, _: Fill, inputs: &[ArrayD<f64>], expected: &[ArrayD<f64>]) -> Vec<Tolerance> {
        let sides = if types.accumulator == DType::F64 { 2.0 } else { 1.0 };
        let (u, eta) = (sides * types.accumulator.unit_roundoff(), sides * types.accumulator.underflow());
        let x = inputs[0].view().into_dimensionality::<Ix3>().expect("n×c×s");
        let mut bound = ndarray::Array3::zeros(x.dim());
        for (x, mut bound) in x.lanes(NdAxis(1)).into_iter().zip(bound.lanes_mut(NdAxis(1))) {
            let (z, sum) = self.exponents(x);
            let off: Vec<f64> = z
                .iter()
                .map(|z| if z.exp() == 0.0 { eta } else { z.exp() * (u * (z.abs() + 2.0)).exp_m1() + 2.0 * eta })
                .collect();
            let all: f64 = off.iter().sum();
            let lost = all + gamma(self.extents.c + 1, u) * (sum + all);
            let of_sum = if lost < sum { -(-lost / sum).ln_1p() } else { f64::INFINITY };
            for ((bound, z), off) in bound.iter_mut().zip(&z).zip(&off) {
                *bound = match self.of {
                    Of::Softmax => {
                        let y = z.exp() / sum;
                        let quotient = if lost < sum { (off + y * lost) / (sum - lost) } else { f64::INFINITY };
                        quotient + 2.0 * u * (y + quotient) + eta
                    }
                    Of::LogSoftmax => of_sum + u * (2.0 * z.abs() + 4.0 * sum.ln().abs()) + eta,
                };
            }
        }
        vec![Tolerance::bound("(c + yL)/(S − L) or −ln(1 − L/S), and roundings", bound.into_dyn(), &expected[0])]
    }

    /// An exponential for each element.
    fn operations(&self) -> (f64, Unit) {
        (8.0 * self.extents.len() as f64, Unit::Fma)
    }

    fn differentiable(&self) -> Vec<usize> {
        vec![0]
    }

    fn degenerate(&self) -> bool {
        self.extents.c < 2
    }
}

const fn w(name: &'static str, point: &'static str, source: &'static str) -> Workload {
    Workload::new(name, point, source)
}

const COMPOSED: &str = "composed for the suite";

pub(super) static WORKLOADS: &[Workload] = &[
    w("small.ci", "f=softmax,n=8,c=64", COMPOSED).smoke(),
    w("small.planes", "f=log_softmax,n=2,c=10,s=50", COMPOSED).smoke(),
    w("imagenet", "f=softmax,n=256,c=1000", "the classes of ImageNet"),
    w("imagenet_log", "f=log_softmax,n=256,c=1000", "the classes of ImageNet"),
    w("rows1024x4096", "f=softmax,n=1024,c=4096", COMPOSED),
    w("rows1024x4096_log", "f=log_softmax,n=1024,c=4096", COMPOSED),
    w("gpt2.vocabulary", "f=softmax,n=32,c=50257", "GPT-2's vocabulary"),
    w("gpt2.vocabulary_log", "f=log_softmax,n=32,c=50257", "GPT-2's vocabulary"),
    w("bert.scores", "f=softmax,n=98304,c=128", "64×12×128×128 of BertForMaskedLM"),
    w("nmt.240x20", "f=softmax,n=240,c=20", "scores of a translation"),
    w("segmentation", "f=softmax,n=8,c=21,s=4096", "21 classes of 64×64 pixels"),
    w("planes256x1024", "f=softmax,n=16,c=256,s=1024", COMPOSED),
];

/// The operator `softmax`.
pub static SOFTMAX: Operator = Operator {
    name: "softmax",
    summary: "exponentials that add up to 1 along a dimension, or their logarithms, with a temperature",
    axes: AXES,
    types: &[Types::F32, Types::F64],
    make: |point| Ok(Box::new(Softmax::of(point)?)),
    workloads: WORKLOADS,
    special_values: "NaN or ∞ makes its whole line NaN, and so does a line of −∞ alone; −∞ beside numbers gives 0, or −∞",
    domains: &[],
    gradient: None,
    witness: Witness::Libtorch,
    batch: Some("n"),
};

/// The magnitudes `|x|·|y|`, summed.
pub(super) fn size(x: ArrayView1<'_, f64>, y: ArrayView1<'_, f64>) -> f64 {
    Zip::from(x).and(y).fold(0.0, |sum, x, y| sum + (x * y).abs())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outputs(point: &str, x: &[f64]) -> Vec<f64> {
        let problem = SOFTMAX.problem(&Point::parse(AXES, point).expect("a point")).expect("a problem");
        let x = ArrayD::from_shape_vec(problem.inputs(Types::F64)[0].layout.shape.clone(), x.to_vec()).expect("all");
        problem.reference(&[x]).remove(0).into_iter().collect()
    }

    #[test]
    fn large_scores_do_not_overflow() {
        let half = -std::f64::consts::LN_2;
        assert_eq!(outputs("f=log_softmax,c=2", &[1e8, 1e8]), [half, half]);
        assert_eq!(outputs("f=log_softmax,c=1", &[88.72284]), [0.0]);
        assert_eq!(outputs("f=softmax,c=2,temperature=2", &[1e300, -1e300]), [1.0, 0.0]);
    }

    #[test]
    fn a_dimension_in_the_middle_adds_up() {
        let y = outputs("f=softmax,n=2,c=3,s=2", &[1.0, 9.0, 2.0, 8.0, 3.0, 7.0, 0.0, 0.5, 0.0, 0.5, 0.0, 0.5]);
        for start in [0, 1, 6, 7] {
            assert!((y[start] + y[start + 2] + y[start + 4] - 1.0).abs() < 1e-15);
        }
        assert!(y[0] < y[2] && y[1] > y[3] && (y[6] - 1.0 / 3.0).abs() < 1e-15);
    }
}

//! `l2_pool2d`: the Euclidean norm of the elements under a window that moves over each plane.
//!
//! `y[n, c, i, j] = √(Σ x[n, c, row, column]²)` over the elements under the window of output (i, j). Windows are those
//! of [`avg_pool2d`](super::avg_pool2d), and so is the order of summation, of rounded squares.
//!
//! # Derivation of the bound
//! The sum S of k squares is off by E = γ(steps)·S + k·η, with the steps of `avg_pool2d`'s chain and one for the
//! square. From √(S + e) − √S = e/(√(S + e) + √S) follows that the root is off by at most E/y, and by at most √E; it is
//! rounded once. In f64 the reference rounds, too, and errors count twice.

use ndarray::{Array4, ArrayD, Ix4};

use super::avg_pool2d::{AXES as AVERAGES, AvgPool2d, Count};
use super::pooling::Pooling;
use crate::tolerance::{Sum, gamma};
use crate::{
    Axis, DType, Domain, Fill, Operator, Point, Port, Problem, ProblemError, Tolerance, Types, Unit, Witness, Workload,
};

/// Those of the images and the windows.
pub(super) const AXES: &[Axis] = AVERAGES.split_at(12).0;

/// Windows that networks have.
pub(super) const DOMAINS: &[Domain] = super::avg_pool2d::DOMAINS.split_at(6).0;

/// A validated pooling.
#[derive(Clone, Debug, PartialEq)]
pub struct L2Pool2d {
    /// The pooling that adds up, without a divisor.
    pub pool: AvgPool2d,
}

impl L2Pool2d {
    pub(super) fn of(point: &Point) -> Result<L2Pool2d, ProblemError> {
        Ok(L2Pool2d { pool: AvgPool2d::new(Pooling::of(point, [1, 1])?, Count::Fixed(1)) })
    }
}

impl Problem for L2Pool2d {
    fn inputs(&self, types: Types) -> Vec<Port> {
        self.pool.inputs(types)
    }

    fn outputs(&self, types: Types) -> Vec<Port> {
        self.pool.outputs(types)
    }

    fn reference(&self, inputs: &[ArrayD<f64>]) -> Vec<ArrayD<f64>> {
        let squares = inputs[0].mapv(|x| x * x);
        self.pool.reference(&[squares]).into_iter().map(|sums| sums.mapv(f64::sqrt)).collect()
    }

    fn sums(&self) -> Vec<Sum> {
        let sum = self.pool.sums()[0];
        vec![Sum::new(sum.terms + 1, sum.steps + 1, "min(E/y, √E) + u|y|, E = γ(r + s + 1)·y² + k·η")]
    }

    /// With the exact fill, squares are integers, whose sum is exact, and whose root is rounded once.
    fn tolerance(&self, types: Types, fill: Fill, _: &[ArrayD<f64>], expected: &[ArrayD<f64>]) -> Vec<Tolerance> {
        let sum = self.sums()[0];
        if fill == Fill::Exact && sum.terms < 1 << 17 {
            return vec![Tolerance::Exact];
        }
        let sides = if types.accumulator == DType::F64 { 2.0 } else { 1.0 };
        let (u, eta) = (types.accumulator.unit_roundoff(), types.accumulator.underflow());
        let bound = expected[0].mapv(|y| {
            let error = sides * (gamma(sum.steps, u) * y * y + sum.terms as f64 * eta);
            let root = (error / y).min(error.sqrt());
            root + sides * (u * (y + root) + eta)
        });
        vec![Tolerance::bound(sum.formula, bound, &expected[0])]
    }

    /// A witness's roots need not be the nearest numbers.
    fn witness_tolerance(
        &self,
        types: Types,
        _: Fill,
        inputs: &[ArrayD<f64>],
        expected: &[ArrayD<f64>],
    ) -> Vec<Tolerance> {
        self.tolerance(types, Fill::Real, inputs, expected)
    }

    fn operations(&self) -> (f64, Unit) {
        let (operations, unit) = self.pool.operations();
        (2.0 * operations, unit)
    }

    fn differentiable(&self) -> Vec<usize> {
        vec![0]
    }
}

const fn w(name: &'static str, point: &'static str, source: &'static str) -> Workload {
    Workload::new(name, point, source)
}

const SERMANET: &str = "Sermanet et al. 2012, house numbers: pooling with p = 2";
const COMPOSED: &str = "composed for the suite";

/// What benchmarks time, of the gradient, too.
pub(super) static WORKLOADS: &[Workload] = &[
    w("svhn.first", "n=16,c=16,h=28,w=28", SERMANET).smoke(),
    w("svhn.first_nhwc", "n=16,c=16,h=28,w=28,layout=nhwc", SERMANET),
    w("planes3x3", "c=64,h=56,w=56,r=3,s=3,ph=1,pw=1", COMPOSED),
];

/// The operator `l2_pool2d`.
pub static L2_POOL2D: Operator = Operator {
    name: "l2_pool2d",
    summary: "Euclidean norm of the elements under a window that moves over each plane",
    axes: AXES,
    types: &[Types::F32, Types::F64],
    make: |point| Ok(Box::new(L2Pool2d::of(point)?)),
    workloads: WORKLOADS,
    special_values: "NaN under a window makes its output NaN, ∞ without NaN makes it ∞",
    domains: DOMAINS,
    gradient: None,
    witness: Witness::Libtorch,
    batch: Some("n"),
};

/// Outputs as images.
pub(super) fn images(x: &ArrayD<f64>) -> Array4<f64> {
    x.clone().into_dimensionality::<Ix4>().expect("images")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn norms_of_windows() {
        let point = Point::parse(AXES, "c=1,h=1,w=5,r=1,sh=1,ceil=yes").expect("a point");
        let x = ArrayD::from_shape_vec(vec![1, 1, 1, 5], vec![3.0, -4.0, 0.0, 0.0, -2.0]).expect("five");
        let y: Vec<f64> = L2_POOL2D.problem(&point).expect("a problem").reference(&[x]).remove(0).into_iter().collect();
        assert_eq!(y, [5.0, 0.0, 2.0]);
    }
}

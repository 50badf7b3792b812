//! `triplet`: an anchor should be closer to a positive sample than to a negative one, by a margin.
//!
//! a, p and n are N×C. For each row, with ε = 10⁻⁶:
//!
//! ```text
//! d(u, v) = √Σ(u − v + ε)²
//! loss of a row = max(margin + d(a, p) − d(a, n), 0)
//! loss = the mean over the rows, their sum, or one number a row
//! ```
//! The mean over no row is NaN. What the gradient needs is an output, too, if wanted: both distances of each row, N×2.
//!
//! **Order of summation**: in a row, one chain for each lane of a vector, in f32 of 16 lanes, in f64 of one, added by
//! halves. Over rows, one chain.
//!
//! # Derivation of the bounds
//! A difference d is off by e = 3u(|d| + ε), its square by 2|d|e + e², the sum S by E, those and γ(c + 3) of itself and
//! underflows; the distance by min(E/√S, √E) and a rounding. The loss of a row is off by both distances' errors and
//! three roundings; it is exact where it is 0 by more than that. In f64 the reference rounds, too, and errors count
//! twice.

use ndarray::{Array2, ArrayD, Ix2};

use super::cross_entropy::Reduction;
use super::gemm::choice_value;
use super::layer_norm::rounding;
use super::recurrent::{kept, or_none};
use super::row_losses::{REDUCTION, divisor, off, port, reduced, reduction};
use crate::operator::{elements, size};
use crate::tolerance::{Sum, gamma};
use crate::{
    Axis, Fill, Layout, Operator, Point, Port, Problem, ProblemError, Tolerance, Types, Unit, Witness, Workload,
};

/// What is added to differences.
pub const EPSILON: f64 = 1e-6;

/// The axes that the gradient shares.
pub(super) const SHARED: &[Axis] = AXES.split_at(4).0;

const AXES: &[Axis] = &[
    Axis::int("n", "rows", 1, 40, &[0, 1, 2, 3, 5, 33, 65]),
    Axis::int("c", "elements of a row", 10, 300, &[1, 2, 3, 15, 16, 17, 31, 33, 63, 64, 65, 127, 129]).positive(),
    REDUCTION,
    Axis::choice("margin", "how much farther negative samples should be", &["1", "0.2", "2"]),
    Axis::choice("keep", "whether the distances are an output, too", &["no", "yes"]),
];

/// A validated loss.
#[derive(Clone, Debug, PartialEq)]
pub struct Triplet {
    /// Rows.
    pub rows: usize,
    /// Elements of a row.
    pub columns: usize,
    /// What becomes of the rows' losses.
    pub reduction: Reduction,
    /// The margin.
    pub margin: f64,
    /// Whether the distances are an output.
    pub keep: bool,
}

impl Triplet {
    pub(super) fn of(point: &Point) -> Result<Triplet, ProblemError> {
        let (rows, columns) = (size(point, "n")?, size(point, "c")?);
        if columns == 0 {
            return Err(ProblemError::OutOfRange { axis: "c", value: 0, rule: "at least 1" });
        }
        elements("n·c", &[rows.max(1), columns])?;
        elements("n·2", &[rows, 2])?;
        let margin = choice_value(point, "margin")?.parse().expect("the choices are numbers");
        Ok(Triplet { rows, columns, reduction: reduction(point)?, margin, keep: false })
    }

    pub(super) fn samples(&self, name: &'static str, types: Types) -> Port {
        Port::new(name, types, Layout::contiguous(&[self.rows, self.columns]))
    }

    pub(super) fn operands(&self, types: Types) -> Vec<Port> {
        // Never infinite: a quotient of the gradient would hang on a rounding.
        ["anchor", "positive", "negative"].map(|name| self.samples(name, types).factor()).into()
    }

    pub(super) fn distances(&self, types: Types) -> Port {
        Port::new("distances", types, Layout::contiguous(&[self.rows, 2]))
    }

    /// The distances of each row, and how far they are off.
    pub(super) fn each(&self, inputs: &[ArrayD<f64>], types: Types, mut row: impl FnMut([f64; 2], [f64; 2])) {
        let (u, eta) = rounding(types);
        let two = |i: usize| inputs[i].view().into_dimensionality::<Ix2>().expect("n×c");
        let (a, others) = (two(0), [two(1), two(2)]);
        for i in 0..self.rows {
            let found = others.each_ref().map(|other| {
                let (mut sum, mut error) = (0.0, 0.0);
                for (a, b) in a.row(i).iter().zip(other.row(i)) {
                    let d = a - b + EPSILON;
                    let e = 3.0 * u * ((a - b).abs() + EPSILON);
                    sum += d * d;
                    error += 2.0 * d.abs() * e + e * e + 2.0 * eta;
                }
                let all = error + gamma(self.columns + 3, u) * (sum + error);
                let distance = sum.sqrt();
                let root = if distance > 0.0 { (all / distance).min(all.sqrt()) } else { all.sqrt() };
                (distance, root + 2.0 * u * (distance + root))
            });
            row(found.map(|(distance, _)| distance), found.map(|(_, off)| off));
        }
    }

    /// What is compared with 0.
    pub(super) fn excess(&self, [near, far]: [f64; 2]) -> f64 {
        self.margin + near - far
    }
}

impl Problem for Triplet {
    fn inputs(&self, types: Types) -> Vec<Port> {
        self.operands(types)
    }

    fn outputs(&self, types: Types) -> Vec<Port> {
        vec![port("loss", types, self.rows, self.reduction), kept(self.distances(types), self.keep)]
    }

    fn reference(&self, inputs: &[ArrayD<f64>]) -> Vec<ArrayD<f64>> {
        let (mut losses, mut all) = (Vec::new(), Vec::new());
        self.each(inputs, Types::F64, |distances, _| {
            let excess = self.excess(distances);
            losses.push(if excess < 0.0 { 0.0 } else { excess });
            all.extend(distances);
        });
        let all = Array2::from_shape_vec((self.rows, 2), all).expect("n×2").into_dyn();
        let loss = reduced(losses, self.reduction, divisor(self.rows, self.reduction));
        vec![loss, or_none(all, self.keep)]
    }

    fn sums(&self) -> Vec<Sum> {
        vec![Sum::new(self.columns.max(self.rows).max(1), self.columns.max(self.rows).max(1), "of columns or rows")]
    }

    fn tolerance(&self, types: Types, _: Fill, inputs: &[ArrayD<f64>], expected: &[ArrayD<f64>]) -> Vec<Tolerance> {
        let (u, eta) = rounding(types);
        let (mut errors, mut sizes, mut all) = (Vec::new(), Vec::new(), Vec::new());
        self.each(inputs, types, |distances, off| {
            let size = self.margin + distances[0] + distances[1];
            let error = off[0] + off[1] + 4.0 * u * (size + off[0] + off[1]);
            let excess = self.excess(distances);
            errors.push(if excess + error < 0.0 { 0.0 } else { error });
            sizes.push(excess.max(0.0) + error);
            all.extend(off);
        });
        let loss = off(errors, &sizes, self.reduction, divisor(self.rows, self.reduction), u, eta);
        let all = or_none(Array2::from_shape_vec((self.rows, 2), all).expect("n×2").into_dyn(), self.keep);
        let formulas = ["e(d(a, p)) + e(d(a, n)) + 4u·size, over rows", "min(E/√S, √E) + 2u·d"];
        let bounds = formulas.into_iter().zip([loss, all]).zip(expected);
        bounds.map(|((formula, bound), y)| Tolerance::bound(formula, bound, y)).collect()
    }

    fn operations(&self) -> (f64, Unit) {
        (8.0 * self.rows as f64 * self.columns as f64, Unit::Fma)
    }

    fn differentiable(&self) -> Vec<usize> {
        vec![0, 1, 2]
    }

    fn degenerate(&self) -> bool {
        self.columns < 2
    }
}

const fn w(name: &'static str, point: &'static str, source: &'static str) -> Workload {
    Workload::new(name, point, source)
}

pub(super) static WORKLOADS: &[Workload] = &[
    w("small.ci", "n=8,c=64", "composed for the suite").smoke(),
    w("facenet", "n=1800,c=128,margin=0.2", "FaceNet (Schroff et al. 2015): 128 dimensions, margin 0.2"),
    w("rows4096x512", "n=4096,c=512", "composed for the suite"),
];

/// The operator `triplet`.
pub static TRIPLET: Operator = Operator {
    name: "triplet",
    summary: "triplet loss: the distance to a positive sample less that to a negative one, and a margin",
    axes: AXES,
    types: &[Types::F32, Types::F64],
    make: |point| {
        let keep = choice_value(point, "keep")? == "yes";
        Ok(Box::new(Triplet { keep, ..Triplet::of(point)? }))
    },
    workloads: WORKLOADS,
    special_values: "NaN makes its row NaN; infinite samples are not defined",
    domains: &[],
    gradient: None,
    witness: Witness::Libtorch,
    batch: None,
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_are_compared() {
        let problem = TRIPLET.problem(&Point::parse(AXES, "n=2,c=2,reduction=none,keep=yes").expect("a point"));
        let array = |x: [f64; 4]| ArrayD::from_shape_vec(vec![2, 2], x.to_vec()).expect("2×2");
        let inputs = [array([0.0; 4]), array([3.0, 4.0, 0.0, 1.0]), array([0.0, 1.0, 3.0, 4.0])];
        let outputs = problem.expect("a problem").reference(&inputs);
        for (found, wanted) in outputs[0].iter().chain(&outputs[1]).zip([5.0, 0.0, 5.0, 1.0, 1.0, 5.0]) {
            assert!((found - wanted).abs() < 1e-5, "{found}, not {wanted}");
        }
    }
}

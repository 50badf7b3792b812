//! `multi_margin`: the hinge loss of several classes: scores that come closer than a margin to the label's cost.
//!
//! x is n×c; a label is a class below c; w are weights of the classes (1, if there are none). With y the label of a
//! row:
//!
//! ```text
//! z[j] = margin − x[y] + x[j]
//! loss of a row = w[y]/c·Σ max(z[j], 0)^p   over j ≠ y
//! loss = the mean over the rows, their sum, or one number a row
//! ```
//! The mean over no row is NaN.
//!
//! **Order of summation**: in a row, one chain for each lane of a vector, in f32 of 16 lanes, in f64 of one, over the
//! classes before the label, then over those behind it; lanes are added by halves. Over rows, one chain.
//!
//! # Derivation of the bounds
//! z is off by e, 2u of the magnitudes of margin, score and label's score, and so is max(z, 0), which is exact where
//! z + e ≤ 0; its square is off by 2ze + e² and a rounding. The sum is off by those and γ(c + 4) of itself, the product
//! with the rounded w/c by three roundings. In f64 the reference rounds, too, and errors count twice.

use ndarray::{ArrayD, Ix2};

use super::cross_entropy::Reduction;
use super::gemm::choice_value;
use super::layer_norm::rounding;
use super::row_losses::{REDUCTION, divisor, off, port, reduced, reduction};
use crate::operator::{elements, size};
use crate::tensor::Values;
use crate::tolerance::{Sum, gamma};
use crate::{
    Axis, DType, Fill, Layout, Operator, Point, Port, Problem, ProblemError, Tolerance, Types, Unit, Witness, Workload,
};

/// The axes, which the gradient shares.
pub(super) const AXES: &[Axis] = &[
    Axis::choice("p", "power", &["1", "2"]),
    Axis::int("n", "rows", 1, 40, &[0, 1, 2, 3, 5, 33, 65]),
    Axis::int("c", "classes", 10, 300, &[1, 2, 3, 15, 16, 17, 31, 33, 63, 64, 65, 127, 129]).positive(),
    REDUCTION,
    Axis::choice("margin", "how far other scores should stay below the label's", &["1", "0.5", "2"]),
    Axis::choice("weights", "whether classes have weights", &["no", "yes"]),
];

/// A validated loss.
#[derive(Clone, Debug, PartialEq)]
pub struct MultiMargin {
    /// Whether excesses are squared.
    pub squared: bool,
    /// Rows.
    pub rows: usize,
    /// Classes.
    pub classes: usize,
    /// What becomes of the rows' losses.
    pub reduction: Reduction,
    /// The margin.
    pub margin: f64,
    /// Whether classes have weights.
    pub weighted: bool,
}

impl MultiMargin {
    pub(super) fn of(point: &Point) -> Result<MultiMargin, ProblemError> {
        let (rows, classes) = (size(point, "n")?, size(point, "c")?);
        if classes == 0 {
            return Err(ProblemError::OutOfRange { axis: "c", value: 0, rule: "at least 1" });
        }
        elements("n·c", &[rows.max(1), classes])?;
        Ok(MultiMargin {
            squared: choice_value(point, "p")? == "2",
            rows,
            classes,
            reduction: reduction(point)?,
            margin: choice_value(point, "margin")?.parse().expect("the choices are numbers"),
            weighted: choice_value(point, "weights")? == "yes",
        })
    }

    pub(super) fn scores(&self, name: &'static str, types: Types) -> Port {
        Port::new(name, types, Layout::contiguous(&[self.rows, self.classes]))
    }

    pub(super) fn operands(&self, types: Types) -> Vec<Port> {
        let labels = Port::new("labels", types, Layout::contiguous(&[self.rows])).typed(DType::I64);
        let weights = Port::optional("weights", types, Layout::contiguous(&[self.classes]), self.weighted);
        vec![self.scores("x", types), labels.drawn(Values::Below(self.classes)), weights.positive()]
    }

    /// Each row's number, label and weight over c, of scores, labels and weights.
    pub(super) fn each(&self, operands: &[ArrayD<f64>], mut row: impl FnMut(usize, &[f64], usize, f64)) {
        let x = operands[0].view().into_dimensionality::<Ix2>().expect("n×c");
        for (i, (x, &label)) in x.rows().into_iter().zip(&operands[1]).enumerate() {
            let label = label as usize;
            let weight = if self.weighted { operands[2][[label]] } else { 1.0 };
            row(i, &x.to_vec(), label, weight / self.classes as f64);
        }
    }

    /// z of the classes but the label, with how far they are off.
    pub(super) fn excesses(&self, x: &[f64], label: usize, u: f64) -> impl Iterator<Item = (usize, f64, f64)> {
        let excess = move |(j, &x): (usize, &f64), of_label: f64, margin: f64| {
            (j, margin - of_label + x, 2.0 * u * (margin + of_label.abs() + x.abs()))
        };
        let (of_label, margin) = (x[label], self.margin);
        x.iter().enumerate().filter(move |(j, _)| *j != label).map(move |pair| excess(pair, of_label, margin))
    }

    /// max(z, 0)^p. NaN stays.
    fn cost(&self, z: f64) -> f64 {
        let above = if z < 0.0 { 0.0 } else { z };
        if self.squared { above * above } else { above }
    }
}

impl Problem for MultiMargin {
    fn inputs(&self, types: Types) -> Vec<Port> {
        self.operands(types)
    }

    fn outputs(&self, types: Types) -> Vec<Port> {
        vec![port("loss", types, self.rows, self.reduction)]
    }

    fn reference(&self, inputs: &[ArrayD<f64>]) -> Vec<ArrayD<f64>> {
        let mut losses = Vec::new();
        self.each(inputs, |_, x, label, weight| {
            losses.push(weight * self.excesses(x, label, 0.0).map(|(_, z, _)| self.cost(z)).sum::<f64>());
        });
        vec![reduced(losses, self.reduction, divisor(self.rows, self.reduction))]
    }

    fn sums(&self) -> Vec<Sum> {
        vec![Sum::new(self.classes.max(self.rows).max(1), self.classes.max(self.rows).max(1), "of classes or rows")]
    }

    fn tolerance(&self, types: Types, _: Fill, inputs: &[ArrayD<f64>], expected: &[ArrayD<f64>]) -> Vec<Tolerance> {
        let (u, eta) = rounding(types);
        let (mut errors, mut sizes) = (Vec::new(), Vec::new());
        self.each(inputs, |_, x, label, weight| {
            let (mut sum, mut error) = (0.0, 0.0);
            for (_, z, e) in self.excesses(x, label, u) {
                let cost = self.cost(z);
                if z + e > 0.0 || z.is_nan() {
                    error += if self.squared { 2.0 * z.abs() * e + e * e } else { e } + u * cost + eta;
                }
                sum += cost;
            }
            let off =
                weight * (error + (gamma(self.classes + 4, u) + 4.0 * u) * (sum + error)) + 4.0 * eta * (1.0 + sum);
            errors.push(off);
            sizes.push(weight * sum + off);
        });
        let bound = off(errors, &sizes, self.reduction, divisor(self.rows, self.reduction), u, eta);
        vec![Tolerance::bound("w/c·(Σe + γ(c + 4)·Σmax(z, 0)^p), over rows", bound, &expected[0])]
    }

    fn operations(&self) -> (f64, Unit) {
        (4.0 * self.rows as f64 * self.classes as f64, Unit::Fma)
    }

    fn differentiable(&self) -> Vec<usize> {
        vec![0]
    }

    fn degenerate(&self) -> bool {
        self.classes < 2
    }
}

const fn w(name: &'static str, point: &'static str, source: &'static str) -> Workload {
    Workload::new(name, point, source)
}

pub(super) static WORKLOADS: &[Workload] = &[
    w("cifar10", "n=256,c=10", "CS231n: a linear classifier of CIFAR-10").smoke(),
    w("small.squared", "p=2,n=20,c=100,weights=yes", "composed for the suite").smoke(),
    w("imagenet", "n=256,c=1000", "the classes of ImageNet"),
    w("imagenet_squared", "p=2,n=256,c=1000", "the classes of ImageNet"),
];

/// The operator `multi_margin`.
pub static MULTI_MARGIN: Operator = Operator {
    name: "multi_margin",
    summary: "hinge loss of several classes: excesses over a margin, or their squares, with weights of the classes",
    axes: AXES,
    types: &[Types::F32, Types::F64],
    make: |point| Ok(Box::new(MultiMargin::of(point)?)),
    workloads: WORKLOADS,
    special_values: "NaN makes its row NaN; ∞ follows the formula, so that a label of ∞ costs nothing beside finite scores",
    domains: &[],
    gradient: None,
    witness: Witness::Libtorch,
    batch: None,
};

#[cfg(test)]
mod tests {
    use super::*;

    fn loss(point: &str, x: &[f64], labels: &[f64], weights: &[f64]) -> Vec<f64> {
        let problem = MULTI_MARGIN.problem(&Point::parse(AXES, point).expect("a point")).expect("a problem");
        let ports = problem.inputs(Types::F64);
        let array = |(port, x): (&Port, &[f64])| ArrayD::from_shape_vec(port.layout.shape.clone(), x.to_vec());
        let inputs: Vec<_> = ports.iter().zip([x, labels, weights]).map(|pair| array(pair).expect("all")).collect();
        problem.reference(&inputs).remove(0).into_iter().collect()
    }

    /// The example of CS231n's notes: scores 13, −7, 11 with the label 0 and a margin of 10 cost 8, here over 3
    /// classes.
    #[test]
    fn excesses_cost() {
        let x = [1.3, -0.7, 1.1];
        let near = |found: Vec<f64>, wanted: f64| assert!((found[0] - wanted).abs() < 1e-12, "{found:?}, not {wanted}");
        near(loss("n=1,c=3", &x, &[0.0], &[]), 0.8 / 3.0);
        near(loss("n=1,c=3,p=2", &x, &[0.0], &[]), 0.64 / 3.0);
        near(loss("n=1,c=3,margin=2,weights=yes", &x, &[0.0], &[3.0, 1.0, 1.0]), 1.8);
        assert!(loss("n=0,c=3", &[], &[], &[])[0].is_nan());
        assert!(loss("n=1,c=2,reduction=none", &[1.0, f64::NAN], &[0.0], &[])[0].is_nan());
    }
}

//! `distillation`: how far a student's scores are from a teacher's, softened by a temperature, and from labels.
//!
//! x and z, the scores of student and teacher, are n×c; a label is a class below c. With the temperature T and a share
//! α, for each row, whose label is y:
//!
//! ```text
//! a = (z − max z)/T,   b = (x − max x)/T,   A = Σe^a,   B = Σe^b,   C = Σe^(x − max x)
//! KL = Σ e^a·(a − b)/A − ln A + ln B                      of softmax(z/T) to softmax(x/T)
//! loss of a row = α·T²·KL + (1 − α)·(ln C − (x[y] − max x))
//! loss = the mean over the rows, their sum, or one number a row
//! ```
//! (Hinton et al. 2015.) The mean over no row is NaN. What the gradient needs is an output, too, if wanted: for each
//! row the logarithms of Σe^x, Σe^(x/T) and Σe^(z/T), n×3.
//!
//! **Order of summation**: in a row, one chain for each lane of a vector, in f32 of 16 lanes, in f64 of one, added by
//! halves. Over rows, one chain.
//!
//! # Derivation of the bounds
//! As in [`softmax`](super::softmax), a power e^v is off by e^(u(|v| + 2)) − 1 of itself, a sum of them by L, its
//! logarithm by −ln(1 − L/S) and an ulp. With w those errors of e^a, Σe^a·(a − b) is off by Σw|a − b|, by the roundings
//! of a, b and a − b, and by γ(c + 2) of its magnitudes; its quotient by A as there. All else are single roundings. In
//! f64 the reference rounds, too, and errors count twice.

use ndarray::{Array2, ArrayD, ArrayView1, Ix2};

use super::cross_entropy::Reduction;
use super::gemm::choice_value;
use super::layer_norm::rounding;
use super::recurrent::{kept, or_none};
use super::row_losses::{REDUCTION, divisor, off, port, reduced, reduction};
use crate::operator::{elements, size};
use crate::tensor::Values;
use crate::tolerance::{Sum, gamma};
use crate::{
    Axis, DType, Fill, Layout, Operator, Point, Port, Problem, ProblemError, Tolerance, Types, Unit, Witness, Workload,
};

/// The axes that the gradient shares.
pub(super) const SHARED: &[Axis] = AXES.split_at(5).0;

const AXES: &[Axis] = &[
    Axis::int("n", "rows", 1, 40, &[0, 1, 2, 3, 5, 33, 65]),
    Axis::int("c", "classes", 10, 300, &[1, 2, 3, 15, 16, 17, 31, 33, 63, 64, 65, 127, 129]).positive(),
    REDUCTION,
    Axis::choice("temperature", "what scores are divided by", &["2", "4", "1"]),
    Axis::choice("alpha", "the teacher's share", &["0.5", "0.9"]),
    Axis::choice("keep", "whether the logarithms of the rows' sums are an output, too", &["no", "yes"]),
];

/// A validated loss.
#[derive(Clone, Debug, PartialEq)]
pub struct Distillation {
    /// Rows.
    pub rows: usize,
    /// Classes.
    pub classes: usize,
    /// What becomes of the rows' losses.
    pub reduction: Reduction,
    /// T, a power of two.
    pub temperature: f64,
    /// The teacher's share.
    pub alpha: f64,
    /// Whether the logarithms are an output.
    pub keep: bool,
}

/// Exponents below 0, the sum of their powers, how far it is off, and what was subtracted.
struct Powers {
    z: Vec<f64>,
    sum: f64,
    lost: f64,
    most: f64,
}

impl Powers {
    /// Of scores over a temperature, less the largest.
    fn of(x: ArrayView1<'_, f64>, inverse: f64, u: f64, eta: f64) -> Powers {
        let most = x.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let z: Vec<f64> = x.iter().map(|x| (x - most) * inverse).collect();
        let sum: f64 = z.iter().map(|z| z.exp()).sum();
        let all: f64 = z.iter().map(|&z| grown(z, u, eta)).sum();
        Powers { lost: all + gamma(z.len() + 1, u) * (sum + all), z, sum, most: most * inverse }
    }

    fn ln(&self) -> f64 {
        self.sum.ln()
    }

    /// How far the logarithm is off.
    fn of_ln(&self, u: f64, eta: f64) -> f64 {
        let of_sum = if self.lost < self.sum { -(-self.lost / self.sum).ln_1p() } else { f64::INFINITY };
        of_sum + 4.0 * u * self.ln().abs() + eta
    }

    fn lse(&self) -> f64 {
        self.most + self.ln()
    }

    /// How far lse is off.
    fn of_lse(&self, u: f64, eta: f64) -> f64 {
        self.of_ln(u, eta) + 2.0 * u * (self.most.abs() + self.lse().abs())
    }
}

/// How far e^z is off.
pub(super) fn grown(z: f64, u: f64, eta: f64) -> f64 {
    if z.exp() == 0.0 { eta } else { z.exp() * (u * (z.abs() + 2.0)).exp_m1() + 2.0 * eta }
}

impl Distillation {
    pub(super) fn of(point: &Point) -> Result<Distillation, ProblemError> {
        let (rows, classes) = (size(point, "n")?, size(point, "c")?);
        if classes == 0 {
            return Err(ProblemError::OutOfRange { axis: "c", value: 0, rule: "at least 1" });
        }
        elements("n·c", &[rows.max(1), classes])?;
        elements("n·3", &[rows, 3])?;
        let number = |axis| Ok(choice_value(point, axis)?.parse::<f64>().expect("the choices are numbers"));
        let (temperature, alpha) = (number("temperature")?, number("alpha")?);
        Ok(Distillation { rows, classes, reduction: reduction(point)?, temperature, alpha, keep: false })
    }

    pub(super) fn scores(&self, name: &'static str, types: Types) -> Port {
        Port::new(name, types, Layout::contiguous(&[self.rows, self.classes]))
    }

    /// Never infinite: a power of 0 times ∞ would hang on a rounding.
    pub(super) fn operands(&self, types: Types) -> Vec<Port> {
        let labels = Port::new("labels", types, Layout::contiguous(&[self.rows])).typed(DType::I64);
        vec![
            self.scores("x", types).factor(),
            self.scores("teacher", types).factor(),
            labels.drawn(Values::Below(self.classes)),
        ]
    }

    pub(super) fn logarithms(&self, types: Types) -> Port {
        Port::new("lse", types, Layout::contiguous(&[self.rows, 3]))
    }

    /// Of each row: its label, and the powers of x, x/T and z/T.
    fn each(&self, inputs: &[ArrayD<f64>], u: f64, eta: f64, mut row: impl FnMut(usize, [Powers; 3])) {
        let two = |i: usize| inputs[i].view().into_dimensionality::<Ix2>().expect("n×c");
        let (x, z, inverse) = (two(0), two(1), 1.0 / self.temperature);
        for ((x, z), &label) in x.rows().into_iter().zip(z.rows()).zip(&inputs[2]) {
            let powers = [Powers::of(x, 1.0, u, eta), Powers::of(x, inverse, u, eta), Powers::of(z, inverse, u, eta)];
            row(label as usize, powers);
        }
    }

    /// How far each of the logarithms is off.
    pub(super) fn of_logarithms(&self, types: Types, inputs: &[ArrayD<f64>]) -> ArrayD<f64> {
        let (u, eta) = rounding(types);
        let mut off = Vec::new();
        self.each(inputs, u, eta, |_, powers| off.extend(powers.iter().map(|powers| powers.of_lse(u, eta))));
        Array2::from_shape_vec((self.rows, 3), off).expect("n×3").into_dyn()
    }
}

impl Problem for Distillation {
    fn inputs(&self, types: Types) -> Vec<Port> {
        self.operands(types)
    }

    fn outputs(&self, types: Types) -> Vec<Port> {
        vec![port("loss", types, self.rows, self.reduction), kept(self.logarithms(types), self.keep)]
    }

    fn reference(&self, inputs: &[ArrayD<f64>]) -> Vec<ArrayD<f64>> {
        let (mut losses, mut logarithms) = (Vec::new(), Vec::new());
        let square = self.temperature * self.temperature;
        self.each(inputs, 0.0, 0.0, |label, powers| {
            let [own, student, teacher] = &powers;
            let product: f64 = teacher.z.iter().zip(&student.z).map(|(a, b)| a.exp() * (a - b)).sum();
            let divergence = product / teacher.sum - teacher.ln() + student.ln();
            losses.push(self.alpha * square * divergence + (1.0 - self.alpha) * (own.ln() - own.z[label]));
            logarithms.extend(powers.iter().map(Powers::lse));
        });
        let logarithms = Array2::from_shape_vec((self.rows, 3), logarithms).expect("n×3").into_dyn();
        let loss = reduced(losses, self.reduction, divisor(self.rows, self.reduction));
        vec![loss, or_none(logarithms, self.keep)]
    }

    fn sums(&self) -> Vec<Sum> {
        vec![Sum::new(self.classes.max(self.rows).max(1), self.classes.max(self.rows).max(1), "of classes or rows")]
    }

    fn tolerance(&self, types: Types, _: Fill, inputs: &[ArrayD<f64>], expected: &[ArrayD<f64>]) -> Vec<Tolerance> {
        let (u, eta) = rounding(types);
        let (mut errors, mut sizes) = (Vec::new(), Vec::new());
        let (ours, labels) = (self.alpha * self.temperature * self.temperature, 1.0 - self.alpha);
        self.each(inputs, u, eta, |label, [own, student, teacher]| {
            let (mut error, mut size) = (0.0, 0.0);
            for (a, b) in teacher.z.iter().zip(&student.z) {
                let (power, off) = (a.exp(), grown(*a, u, eta));
                let terms = (a - b).abs() + a.abs() + b.abs();
                error += off * (a - b).abs() + (power + off) * 3.0 * u * terms + eta;
                size += (power + off) * terms;
            }
            error += gamma(self.classes + 2, u) * size;
            let quotient = size / teacher.sum;
            let left = teacher.sum - teacher.lost;
            let of_quotient = if left > 0.0 { (error + quotient * teacher.lost) / left } else { f64::INFINITY };
            let logarithms = student.ln().abs() + teacher.ln().abs();
            let of_divergence = of_quotient + student.of_ln(u, eta) + teacher.of_ln(u, eta);
            let (of_label, size_of_label) = (own.of_ln(u, eta), own.ln().abs() + own.z[label].abs());
            let size = ours * (quotient + logarithms) + labels * size_of_label;
            let off = ours * of_divergence + labels * of_label;
            errors.push(off + 8.0 * u * (size + off) + 4.0 * eta);
            sizes.push(size + off);
        });
        let loss = off(errors, &sizes, self.reduction, divisor(self.rows, self.reduction), u, eta);
        let logarithms = or_none(self.of_logarithms(types, inputs), self.keep);
        let formulas = ["αT²·e(KL) + (1 − α)·e(ln C) + 8u·size, over rows", "−ln(1 − L/S) + 2u(|m| + |lse|)"];
        let bounds = formulas.into_iter().zip([loss, logarithms]).zip(expected);
        bounds.map(|((formula, bound), y)| Tolerance::bound(formula, bound, y)).collect()
    }

    fn operations(&self) -> (f64, Unit) {
        (24.0 * self.rows as f64 * self.classes as f64, Unit::Fma)
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
    w("small.ci", "n=8,c=10", "composed for the suite").smoke(),
    w("small.each", "n=20,c=100,reduction=none,temperature=4", "composed for the suite").smoke(),
    w("imagenet", "n=256,c=1000,temperature=4,alpha=0.9", "the classes of ImageNet"),
    w("distilbert.vocabulary", "n=32,c=30522,temperature=2", "DistilBERT (Sanh et al. 2019): T = 2, BERT's vocabulary"),
];

/// The operator `distillation`.
pub static DISTILLATION: Operator = Operator {
    name: "distillation",
    summary: "KL divergence to a teacher's softened distribution, and cross entropy with labels",
    axes: AXES,
    types: &[Types::F32, Types::F64],
    make: |point| {
        let keep = choice_value(point, "keep")? == "yes";
        Ok(Box::new(Distillation { keep, ..Distillation::of(point)? }))
    },
    workloads: WORKLOADS,
    special_values: "NaN makes its row NaN; an infinite score is not defined, as the rounding of a power decides between ∞ and \
 NaN",
    domains: &[],
    gradient: None,
    witness: Witness::Libtorch,
    batch: None,
};

#[cfg(test)]
mod tests {
    use super::*;

    fn outputs(point: &str, x: &[f64], z: &[f64], labels: &[f64]) -> Vec<f64> {
        let problem = DISTILLATION.problem(&Point::parse(AXES, point).expect("a point")).expect("a problem");
        let ports = problem.inputs(Types::F64);
        let array = |(port, x): (&Port, &[f64])| ArrayD::from_shape_vec(port.layout.shape.clone(), x.to_vec());
        let inputs: Vec<_> = ports.iter().zip([x, z, labels]).map(|pair| array(pair).expect("all")).collect();
        problem.reference(&inputs).remove(0).into_iter().collect()
    }

    #[test]
    fn a_student_like_its_teacher_has_the_labels_loss_alone() {
        let x = [1.0, -2.0, 0.5];
        let own = (1f64.exp() + (-2f64).exp() + 0.5f64.exp()).ln() + 2.0;
        assert!((outputs("n=1,c=3", &x, &x, &[1.0])[0] - 0.5 * own).abs() < 1e-12);
    }

    #[test]
    fn divergence_is_that_of_softened_distributions() {
        let half = [0.0, 0.0];
        // A teacher of 3/4 and 1/4 at T = 2.
        let teacher = [2.0 * 3f64.ln(), 0.0];
        let divergence = 0.75 * 1.5f64.ln() + 0.25 * 0.5f64.ln();
        let wanted = 0.9 * 4.0 * divergence + 0.1 * std::f64::consts::LN_2;
        let found = outputs("n=1,c=2,alpha=0.9", &half, &teacher, &[0.0])[0];
        assert!((found - wanted).abs() < 1e-12, "{found}, not {wanted}");
    }
}

//! `cross_entropy`: how far scores are from labels: the negative logarithm of the probability that softmax gives them.
//!
//! x is n×c; a label is a class below c, or −100 for none. With smoothing α, for each row that has a label:
//!
//! ```text
//! lse = m + ln Σ e^(x − m),  m the largest x
//! loss of a row = lse − (1 − α)·x[label] − α·Σx/c
//! loss = the mean over these rows, their sum, or one number a row, 0 where there is no label
//! ```
//! The mean over no row is NaN. What the gradient needs is an output, too, if wanted: lse, n elements.
//!
//! **Order of summation**: in a row, one chain for each lane of a vector, in f32 of 16 lanes, in f64 of one, added by
//! halves. Over rows, one chain.
//!
//! # Derivation of the bounds
//! As in [`softmax`](super::softmax), the logarithm is off by −ln(1 − L/S) and an ulp; lse by that and by u(|m| + |lse|).
//! Σx/c is off by s = γ(c + 1)·Σ|x|/c. A row's loss is off by e(lse) + α·s + 3u(|lse| + (1 − α)|x of the label| + αΣ|x|/c); a
//! sum over rows by those and γ(n + 1) of their magnitudes. In f64 the reference rounds, too, and errors count twice.

use ndarray::{Array1, ArrayD, ArrayView1, Ix2};

use super::gemm::choice_value;
use super::layer_norm::rounding;
use super::recurrent::{kept, or_none};
use crate::operator::{elements, size};
use crate::tensor::Values;
use crate::tolerance::{Sum, gamma};
use crate::{
    Axis, DType, Fill, Layout, Operator, Point, Port, Problem, ProblemError, Tolerance, Types, Unit, Witness, Workload,
};

/// Stands for no label.
pub const NONE: i64 = -100;

/// The axes that the gradient shares.
pub(super) const SHARED: &[Axis] = AXES.split_at(4).0;

const AXES: &[Axis] = &[
    Axis::int("n", "rows", 1, 40, &[0, 1, 2, 3, 5, 33, 65]),
    Axis::int("c", "classes", 10, 300, &[1, 2, 3, 15, 16, 17, 31, 33, 63, 64, 65, 127, 129]).positive(),
    Axis::choice("reduction", "what becomes of the rows' losses", &["mean", "sum", "none"]),
    Axis::choice("smoothing", "share of the label that all classes have", &["0", "0.1"]),
    Axis::choice("keep", "whether the logarithms of the rows' sums are an output, too", &["no", "yes"]),
];

/// What becomes of the rows' losses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reduction {
    /// Their mean.
    Mean,
    /// Their sum.
    Sum,
    /// They stay.
    None,
}

/// A validated loss.
#[derive(Clone, Debug, PartialEq)]
pub struct CrossEntropy {
    /// Rows.
    pub rows: usize,
    /// Classes.
    pub classes: usize,
    /// What becomes of the rows' losses.
    pub reduction: Reduction,
    /// Share of the label that all classes have.
    pub smoothing: f64,
    /// Whether the logarithms are an output.
    pub keep: bool,
}

impl CrossEntropy {
    /// Of a point; `keep` is left to the caller.
    pub(super) fn of(point: &Point) -> Result<CrossEntropy, ProblemError> {
        let (rows, classes) = (size(point, "n")?, size(point, "c")?);
        if classes == 0 {
            return Err(ProblemError::OutOfRange { axis: "c", value: 0, rule: "at least 1" });
        }
        elements("n·c", &[rows.max(1), classes])?;
        let reduction = match choice_value(point, "reduction")? {
            "mean" => Reduction::Mean,
            "sum" => Reduction::Sum,
            _ => Reduction::None,
        };
        let smoothing = choice_value(point, "smoothing")?.parse().expect("the choices are numbers");
        Ok(CrossEntropy { rows, classes, reduction, smoothing, keep: false })
    }

    pub(super) fn scores(&self, name: &'static str, types: Types) -> Port {
        Port::new(name, types, Layout::contiguous(&[self.rows, self.classes]))
    }

    pub(super) fn labels(&self, types: Types) -> Port {
        let labels = Port::new("labels", types, Layout::contiguous(&[self.rows])).typed(DType::I64);
        labels.drawn(Values::Label(self.classes, NONE))
    }

    pub(super) fn losses(&self, name: &'static str, types: Types) -> Port {
        Port::new(name, types, Layout::contiguous(&[if self.reduction == Reduction::None { self.rows } else { 1 }]))
    }

    /// What the losses are multiplied with where they are reduced.
    pub(super) fn factor(&self, labels: &ArrayD<f64>) -> f64 {
        let count = labels.iter().filter(|label| **label != NONE as f64).count() as f64;
        if self.reduction == Reduction::Mean { 1.0 / count } else { 1.0 }
    }

    /// m, S = Σ e^(x − m), and how far S is off.
    fn sum(&self, x: ArrayView1<'_, f64>, u: f64, eta: f64) -> (f64, f64, f64) {
        let largest = x.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let powers = || x.iter().map(|x| (x - largest, (x - largest).exp()));
        let sum: f64 = powers().map(|(_, p)| p).sum();
        let off = |(z, p): (f64, f64)| if p == 0.0 { eta } else { p * (u * (z.abs() + 2.0)).exp_m1() + 2.0 * eta };
        let all: f64 = powers().map(off).sum();
        (largest, sum, all + gamma(self.classes + 1, u) * (sum + all))
    }
}

impl Problem for CrossEntropy {
    fn inputs(&self, types: Types) -> Vec<Port> {
        vec![self.scores("x", types).spread(), self.labels(types)]
    }

    fn outputs(&self, types: Types) -> Vec<Port> {
        let lse = Port::new("lse", types, Layout::contiguous(&[self.rows]));
        vec![self.losses("loss", types), kept(lse, self.keep)]
    }

    fn reference(&self, inputs: &[ArrayD<f64>]) -> Vec<ArrayD<f64>> {
        let x = inputs[0].view().into_dimensionality::<Ix2>().expect("n×c");
        let (mut losses, mut logarithms) = (Vec::new(), Vec::new());
        for (x, &label) in x.rows().into_iter().zip(&inputs[1]) {
            let (largest, sum, _) = self.sum(x, 0.0, 0.0);
            let lse = largest + sum.ln();
            let smoothed = if self.smoothing == 0.0 { 0.0 } else { self.smoothing * x.sum() / self.classes as f64 };
            let of_label = || (1.0 - self.smoothing) * x[label as usize];
            losses.push(if label == NONE as f64 { 0.0 } else { lse - of_label() - smoothed });
            logarithms.push(lse);
        }
        let losses = match self.reduction {
            Reduction::None => losses,
            // 0/0 over no row.
            _ => vec![losses.iter().sum::<f64>() * self.factor(&inputs[1])],
        };
        vec![Array1::from(losses).into_dyn(), or_none(Array1::from(logarithms).into_dyn(), self.keep)]
    }

    fn sums(&self) -> Vec<Sum> {
        vec![Sum::new(self.classes.max(self.rows).max(1), self.classes.max(self.rows).max(1), "of classes or rows")]
    }

    fn tolerance(&self, types: Types, _: Fill, inputs: &[ArrayD<f64>], expected: &[ArrayD<f64>]) -> Vec<Tolerance> {
        let (u, eta) = rounding(types);
        let x = inputs[0].view().into_dimensionality::<Ix2>().expect("n×c");
        let (mut off, mut sizes, mut of_logarithms) = (Vec::new(), Vec::new(), Vec::new());
        for (x, &label) in x.rows().into_iter().zip(&inputs[1]) {
            let (largest, sum, lost) = self.sum(x, u, eta);
            let of_sum = if lost < sum { -(-lost / sum).ln_1p() } else { f64::INFINITY };
            let lse = largest + sum.ln();
            let of_lse = of_sum + 2.0 * u * (largest.abs() + lse.abs() + 2.0 * sum.ln().abs()) + eta;
            let labelled = label != NONE as f64;
            let all = || x.iter().map(|x| x.abs()).sum::<f64>() / self.classes as f64;
            let mean = if self.smoothing == 0.0 { 0.0 } else { self.smoothing * all() };
            let size = lse.abs() + if labelled { x[label as usize].abs() } else { 0.0 } + mean;
            let of_row = of_lse + gamma(self.classes + 2, u) * mean + 4.0 * u * (size + of_lse) + eta;
            off.push(if labelled { of_row } else { 0.0 });
            sizes.push(if labelled { size + of_row } else { 0.0 });
            of_logarithms.push(of_lse);
        }
        let off = match self.reduction {
            Reduction::None => off,
            _ => {
                let all: f64 = off.iter().sum::<f64>() + gamma(self.rows + 4, u) * sizes.iter().sum::<f64>();
                vec![all * self.factor(&inputs[1]) + eta]
            }
        };
        let bounds = [Array1::from(off).into_dyn(), or_none(Array1::from(of_logarithms).into_dyn(), self.keep)];
        let formulas = ["e(lse) + α·s + 4u·(|lse| + |x| + α|Σx|/c), over rows", "−ln(1 − L/S) + 2u(|m| + |lse|)"];
        formulas.into_iter().zip(bounds).zip(expected).map(|((f, bound), y)| Tolerance::bound(f, bound, y)).collect()
    }

    fn operations(&self) -> (f64, Unit) {
        (8.0 * self.rows as f64 * self.classes as f64, Unit::Fma)
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
    w("small.smoothed", "n=20,c=100,smoothing=0.1,reduction=none", "composed for the suite").smoke(),
    w("imagenet", "n=256,c=1000", "the classes of ImageNet"),
    w("imagenet_smoothed", "n=256,c=1000,smoothing=0.1", "the classes of ImageNet"),
    w("gpt2.vocabulary", "n=32,c=50257", "GPT-2's vocabulary"),
];

/// The operator `cross_entropy`.
pub static CROSS_ENTROPY: Operator = Operator {
    name: "cross_entropy",
    summary: "negative logarithm of the probability of labels, with smoothing; rows without a label do not count",
    axes: AXES,
    types: &[Types::F32, Types::F64],
    make: |point| {
        let keep = choice_value(point, "keep")? == "yes";
        Ok(Box::new(CrossEntropy { keep, ..CrossEntropy::of(point)? }))
    },
    workloads: WORKLOADS,
    special_values: "NaN or ∞ makes its row NaN; a label of −∞ costs ∞",
    domains: &[],
    gradient: None,
    witness: Witness::Libtorch,
    batch: None,
};

#[cfg(test)]
mod tests {
    use super::*;

    fn outputs(point: &str, x: &[f64], labels: &[f64]) -> Vec<f64> {
        let problem = CROSS_ENTROPY.problem(&Point::parse(AXES, point).expect("a point")).expect("a problem");
        let ports = problem.inputs(Types::F64);
        let array =
            |i: usize, x: &[f64]| ArrayD::from_shape_vec(ports[i].layout.shape.clone(), x.to_vec()).expect("all");
        problem.reference(&[array(0, x), array(1, labels)]).remove(0).into_iter().collect()
    }

    #[test]
    fn rows_without_a_label_do_not_count() {
        let x = [0.0, 0.0, 1e4, -1e4];
        let ln_2 = std::f64::consts::LN_2;
        assert_eq!(outputs("n=2,c=2", &x, &[1.0, -100.0]), [ln_2]);
        assert_eq!(outputs("n=2,c=2,reduction=none", &x, &[1.0, 1.0]), [ln_2, 2e4]);
        assert_eq!(outputs("n=2,c=2,reduction=sum", &x, &[0.0, 0.0]), [ln_2]);
        assert!(outputs("n=2,c=2", &x, &[-100.0, -100.0])[0].is_nan());
        let smoothed = outputs("c=2,smoothing=0.1", &[1.0, -1.0], &[0.0])[0];
        assert!((smoothed - (1.0 + (1.0 + (-2f64).exp()).ln() - 0.9)).abs() < 1e-12, "{smoothed}");
    }
}

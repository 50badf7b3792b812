//! `cross_entropy`: how far scores are from labels: the negative logarithm of the probability that softmax gives them.
//!
//! x is n×c. A row's label is a class below c, or −100 for none; or there are targets t, n×c, the probabilities of the
//! classes. With smoothing α and weights w of the classes (1, if there are none), for each row that has a label:
//!
//! ```text
//! lse = m + ln Σ e^(x − m),  m the largest x
//! q[j] = w[j]·((1 − α)·t[j] + α/c),   t[j] = 1 for the label, else 0;   S = Σq
//! loss of a row = lse·S − Σ q·x
//! loss = the mean over these rows, their sum, or one number a row, 0 where there is no label
//! ```
//! The mean is the sum over the sum of the labels' weights, with targets over n. The mean over no row is NaN. What the
//! gradient needs is an output, too, if wanted: lse, n elements.
//!
//! **Order of summation**: in a row, one chain for each lane of a vector, in f32 of 16 lanes, in f64 of one, added by
//! halves. Over rows, one chain.
//!
//! # Derivation of the bounds
//! As in [`softmax`](super::softmax), the logarithm is off by −ln(1 − L/S) and an ulp; lse by that and by u(|m| +
//! |lse|). With labels, a row's loss is h·(lse − x of the label) + (α/c)·(lse·Σw − Σw·x), h = (1 − α)·w of the label.
//! It is off by S·e(lse), γ(c + 4) of the magnitudes of the second part and 6u of all. With targets, it is S·ln Σe^z −
//! Σ q·z, z = x − m, off by S·e(ln Σ) and γ(c + 8)·Σ q·(|z| + |ln Σ|). A sum over rows is off by those and γ(n + 4) of
//! their magnitudes. In f64 the reference rounds, too, and errors count twice.

use ndarray::{Array1, ArrayD, ArrayView1, Ix2};

use super::gemm::choice_value;
use super::layer_norm::rounding;
use super::recurrent::{kept, or_none};
use crate::operator::{elements, size};
use crate::tensor::Values;
use crate::tolerance::{Sum, gamma};
use crate::{
    Axis, DType, Domain, Fill, Layout, Operator, Point, Port, Problem, ProblemError, Tolerance, Types, Unit, Witness,
    Workload,
};

/// Stands for no label.
pub const NONE: i64 = -100;

/// The axes that the gradient shares.
pub(super) const SHARED: &[Axis] = AXES.split_at(6).0;

const AXES: &[Axis] = &[
    Axis::int("n", "rows", 1, 40, &[0, 1, 2, 3, 5, 33, 65]),
    Axis::int("c", "classes", 10, 300, &[1, 2, 3, 15, 16, 17, 31, 33, 63, 64, 65, 127, 129]).positive(),
    Axis::choice("reduction", "what becomes of the rows' losses", &["mean", "sum", "none"]),
    Axis::choice("smoothing", "share of the label that all classes have", &["0", "0.1"]),
    Axis::choice("weights", "whether classes have weights", &["no", "yes"]),
    Axis::choice("targets", "whether rows have a label, or a probability for each class", &["labels", "probabilities"]),
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
    /// Whether classes have weights.
    pub weighted: bool,
    /// Whether rows have probabilities in place of labels.
    pub soft: bool,
    /// Whether the logarithms are an output.
    pub keep: bool,
}

/// What the labels or targets of a row ask for.
struct Asked {
    /// The class of the label and its share h; with targets none.
    hard: Option<(usize, f64)>,
    /// The share of each class besides; empty, if there is none.
    shares: Vec<f64>,
}

impl Asked {
    /// Σq.
    fn sum(&self) -> f64 {
        self.hard.map_or(0.0, |(_, share)| share) + self.shares.iter().sum::<f64>()
    }

    /// Σ of shares times what belongs to the classes.
    fn of(&self, x: impl Fn(usize) -> f64) -> f64 {
        let hard = self.hard.map_or(0.0, |(class, share)| share * x(class));
        hard + self.shares.iter().enumerate().map(|(class, share)| share * x(class)).sum::<f64>()
    }
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
        let weighted = choice_value(point, "weights")? == "yes";
        let soft = choice_value(point, "targets")? == "probabilities";
        Ok(CrossEntropy { rows, classes, reduction, smoothing, weighted, soft, keep: false })
    }

    pub(super) fn scores(&self, name: &'static str, types: Types) -> Port {
        Port::new(name, types, Layout::contiguous(&[self.rows, self.classes]))
    }

    pub(super) fn labels(&self, types: Types) -> Port {
        let labels = Port::optional("labels", types, Layout::contiguous(&[self.rows]), !self.soft).typed(DType::I64);
        labels.drawn(Values::Label(self.classes, NONE))
    }

    /// Weights and targets.
    pub(super) fn asked(&self, types: Types) -> [Port; 2] {
        let weights = Port::optional("weights", types, Layout::contiguous(&[self.classes]), self.weighted);
        let targets = Port::optional("targets", types, Layout::contiguous(&[self.rows, self.classes]), self.soft);
        [weights.positive(), if self.soft { targets.drawn(Values::Simplex(1)) } else { targets }]
    }

    pub(super) fn losses(&self, name: &'static str, types: Types) -> Port {
        Port::new(name, types, Layout::contiguous(&[if self.reduction == Reduction::None { self.rows } else { 1 }]))
    }

    /// Whether row `i` counts.
    pub(super) fn counts(&self, labels: &ArrayD<f64>, i: usize) -> bool {
        self.soft || labels[[i]] != NONE as f64
    }

    /// What the losses are divided by where they are reduced.
    pub(super) fn divisor(&self, labels: &ArrayD<f64>, weights: &ArrayD<f64>) -> f64 {
        let of_class = |label: f64| if self.weighted { weights[[label as usize]] } else { 1.0 };
        match self.reduction {
            Reduction::Mean if self.soft => self.rows as f64,
            Reduction::Mean => labels.iter().filter(|label| **label != NONE as f64).map(|label| of_class(*label)).sum(),
            _ => 1.0,
        }
    }

    /// The shares of the classes in row `i`, which counts.
    fn shares(&self, [labels, weights, targets]: [&ArrayD<f64>; 3], i: usize) -> Asked {
        let weight = |class: usize| if self.weighted { weights[[class]] } else { 1.0 };
        let (all, rest) = (self.smoothing / self.classes as f64, 1.0 - self.smoothing);
        let of = |share: &dyn Fn(usize) -> f64| (0..self.classes).map(|class| weight(class) * share(class)).collect();
        if self.soft {
            return Asked { hard: None, shares: of(&|class| rest * targets[[i, class]] + all) };
        }
        let class = labels[[i]] as usize;
        let shares = if self.smoothing == 0.0 { Vec::new() } else { of(&|_| all) };
        Asked { hard: Some((class, rest * weight(class))), shares }
    }

    /// q of each class in row `i`, and their sum, if the row counts.
    pub(super) fn targets(&self, asked: [&ArrayD<f64>; 3], i: usize) -> Option<(Vec<f64>, f64)> {
        if !self.counts(asked[0], i) {
            return None;
        }
        let shares = self.shares(asked, i);
        // Without weights, shares of a label add up to 1.
        let sum = if self.soft || self.weighted { shares.sum() } else { 1.0 };
        let mut q = if shares.shares.is_empty() { vec![0.0; self.classes] } else { shares.shares };
        if let Some((class, share)) = shares.hard {
            q[class] += share;
        }
        Some((q, sum))
    }

    /// How far the loss of a row is off, and its size, given how far ln Σ and lse are.
    fn off(&self, asked: &Asked, x: ArrayView1<'_, f64>, m: f64, ln: [f64; 2], lse: [f64; 2], u: f64) -> (f64, f64) {
        let sum = asked.sum();
        if self.soft {
            let size = asked.of(|class| (x[class] - m).abs() + ln[0].abs());
            return (sum * ln[1] + gamma(self.classes + 8, u) * (size + sum * ln[1]), size);
        }
        let size = asked.of(|class| lse[0].abs() + x[class].abs());
        let second: f64 = asked.shares.iter().zip(x).map(|(share, x)| share * (lse[0].abs() + x.abs())).sum();
        (sum * lse[1] + gamma(self.classes + 4, u) * second + 6.0 * u * (size + sum * lse[1]), size)
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
        let [weights, targets] = self.asked(types);
        vec![self.scores("x", types).spread(), self.labels(types), weights, targets]
    }

    fn outputs(&self, types: Types) -> Vec<Port> {
        let lse = Port::new("lse", types, Layout::contiguous(&[self.rows]));
        vec![self.losses("loss", types), kept(lse, self.keep)]
    }

    fn reference(&self, inputs: &[ArrayD<f64>]) -> Vec<ArrayD<f64>> {
        let x = inputs[0].view().into_dimensionality::<Ix2>().expect("n×c");
        let asked = [&inputs[1], &inputs[2], &inputs[3]];
        let (mut losses, mut logarithms) = (Vec::new(), Vec::new());
        for (i, x) in x.rows().into_iter().enumerate() {
            let (largest, sum, _) = self.sum(x, 0.0, 0.0);
            let lse = largest + sum.ln();
            losses.push(if !self.counts(&inputs[1], i) {
                0.0
            } else if self.soft {
                let shares = self.shares(asked, i);
                shares.sum() * sum.ln() - shares.of(|class| x[class] - largest)
            } else {
                self.shares(asked, i).of(|class| lse - x[class])
            });
            logarithms.push(lse);
        }
        let losses = match self.reduction {
            Reduction::None => losses,
            // 0/0 over no row.
            _ => vec![losses.iter().sum::<f64>() / self.divisor(&inputs[1], &inputs[2])],
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
        for (i, x) in x.rows().into_iter().enumerate() {
            let (largest, sum, lost) = self.sum(x, u, eta);
            let of_sum = if lost < sum { -(-lost / sum).ln_1p() } else { f64::INFINITY };
            let of_ln = of_sum + 4.0 * u * sum.ln().abs() + eta;
            let lse = largest + sum.ln();
            let of_lse = of_sum + 2.0 * u * (largest.abs() + lse.abs() + 2.0 * sum.ln().abs()) + eta;
            if self.counts(&inputs[1], i) {
                let asked = self.shares([&inputs[1], &inputs[2], &inputs[3]], i);
                let (of_row, size) = self.off(&asked, x, largest, [sum.ln(), of_ln], [lse, of_lse], u);
                let small = (self.classes + 4) as f64 * eta * (1.0 + lse.abs());
                off.push(of_row + if small.is_finite() { small } else { 0.0 });
                sizes.push(size + of_row);
            } else {
                off.push(0.0);
                sizes.push(0.0);
            }
            of_logarithms.push(of_lse);
        }
        let off = match self.reduction {
            Reduction::None => off,
            _ => {
                let all: f64 = off.iter().sum::<f64>() + gamma(self.rows + 4, u) * sizes.iter().sum::<f64>();
                vec![all / self.divisor(&inputs[1], &inputs[2]) + eta]
            }
        };
        let bounds = [Array1::from(off).into_dyn(), or_none(Array1::from(of_logarithms).into_dyn(), self.keep)];
        let formulas =
            ["S·e(lse) + γ(c + 4)·(smoothed) + 6u·Σ q·(|lse| + |x|), over rows", "−ln(1 − L/S) + 2u(|m| + |lse|)"];
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
    w("small.weighted", "n=20,c=100,smoothing=0.1,weights=yes", "composed for the suite").smoke(),
    w("mixup.imagenet", "n=256,c=1000,targets=probabilities", "mixup (Zhang et al. 2018), the classes of ImageNet"),
];

/// Weights with smoothing, and probabilities, which few points have.
pub(super) const DOMAINS: &[Domain] = &[
    Domain { name: "weighted and smoothed", fixed: &[("smoothing", &[1]), ("weights", &[1])] },
    Domain { name: "probabilities", fixed: &[("targets", &[1])] },
];

/// The operator `cross_entropy`.
pub static CROSS_ENTROPY: Operator = Operator {
    name: "cross_entropy",
    summary: "negative logarithm of the probability of labels, or of probabilities of classes, with smoothing and weights; rows \
 without a label do not count",
    axes: AXES,
    types: &[Types::F32, Types::F64],
    make: |point| {
        let keep = choice_value(point, "keep")? == "yes";
        Ok(Box::new(CrossEntropy { keep, ..CrossEntropy::of(point)? }))
    },
    workloads: WORKLOADS,
    special_values: "NaN or ∞ makes its row NaN; a label of −∞ costs ∞",
    domains: DOMAINS,
    gradient: None,
    witness: Witness::Libtorch,
    batch: None,
};

#[cfg(test)]
mod tests {
    use super::*;

    fn outputs(point: &str, x: &[f64], labels: &[f64]) -> Vec<f64> {
        of(point, [x, labels, &[], &[]])
    }

    fn of(point: &str, inputs: [&[f64]; 4]) -> Vec<f64> {
        let problem = CROSS_ENTROPY.problem(&Point::parse(AXES, point).expect("a point")).expect("a problem");
        let ports = problem.inputs(Types::F64);
        let array = |(port, x): (&Port, &[f64])| ArrayD::from_shape_vec(port.layout.shape.clone(), x.to_vec());
        let inputs: Vec<_> = ports.iter().zip(inputs).map(|pair| array(pair).expect("all")).collect();
        problem.reference(&inputs).remove(0).into_iter().collect()
    }

    #[test]
    fn weights_count_in_the_mean_and_probabilities_do_not() {
        let ln_2 = std::f64::consts::LN_2;
        let x = [0.0, 0.0, 3.0, 3.0];
        let near = |found: Vec<f64>, wanted: f64| assert!((found[0] - wanted).abs() < 1e-12, "{found:?}, not {wanted}");
        near(of("n=2,c=2,weights=yes", [&x, &[0.0, 1.0], &[1.0, 3.0], &[]]), ln_2);
        near(of("n=2,c=2,weights=yes,reduction=sum", [&x, &[0.0, 1.0], &[1.0, 3.0], &[]]), 4.0 * ln_2);
        let halves = [0.5, 0.5, 0.25, 0.75];
        near(of("n=2,c=2,targets=probabilities", [&x, &[], &[], &halves]), ln_2);
        near(of("n=2,c=2,weights=yes,targets=probabilities", [&x, &[], &[1.0, 3.0], &halves]), 2.25 * ln_2);
        // One label is a probability of 1.
        let (scores, smoothed) = ([1.0, -2.0, 0.5], "n=1,c=3,smoothing=0.1,weights=yes");
        let soft = of(&format!("{smoothed},targets=probabilities"), [&scores, &[], &[2.0, 1.0, 0.5], &[0.0, 1.0, 0.0]]);
        let hard = of(&format!("{smoothed},reduction=sum"), [&scores, &[1.0], &[2.0, 1.0, 0.5], &[]]);
        near(soft, hard[0]);
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

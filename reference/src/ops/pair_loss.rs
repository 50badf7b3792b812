//! `pair_loss`: a function of each pair of elements, such as a squared difference, and the mean or the sum of its
//! values.
//!
//! x and t are n×c without gaps. The axis `f` names the function, a row of
//! [`FUNCTIONS`](super::pair_loss_functions::FUNCTIONS). With ℓ its value:
//!
//! ```text
//! loss = ℓ(x, t), element by element; or Σℓ, Σℓ/(n·c) (mean), Σℓ/n (batchmean)
//! ```
//! A function may have a number as its parameter (β of `smooth_l1`, δ of `huber`), or a weight for each column (`bce`).
//! The mean over no element is NaN.
//!
//! **Order of summation**: in chunks of [`CHUNK`] elements in row-major order, each from its start: two vectors side
//! by side, in f32 of 16 lanes, in f64 of one; what is left of the chunk, or of a row where columns have weights, goes
//! to the first one. They are added, lanes by halves, chunks in order, in f64. The sum is divided and rounded
//! once.
//!
//! # Derivation of the bounds
//! A value is off by e = γ(roundings)·size, and by the underflow of each rounding, as
//! [`pair_loss_functions`](super::pair_loss_functions) says. The sum is off by Σe + γ(s)·Σ(|ℓ| + e), where s counts the
//! steps of a chunk's longest chain, and in f64 the chunks; division and rounding cost 3u. In f64 the reference rounds,
//! too, and errors count twice.

use ndarray::{ArrayD, arr1};

use super::gemm::choice_value;
use super::layer_norm::rounding;
use super::pair_loss_functions::{Formula, Function, NAMES, Parameter, WEIGHTED, find};
use crate::operator::{elements, size};
use crate::tolerance::{Sum, gamma};
use crate::{
    Axis, DType, Domain, Fill, Layout, Operator, Point, Port, Problem, ProblemError, Tolerance, Types, Unit, Witness,
    Workload,
};

/// Elements that are added at a time.
pub const CHUNK: usize = 4096;

/// The axes that the gradient shares.
pub(super) const AXES: &[Axis] = &[
    Axis::choice("f", "function of a pair", NAMES).variant(),
    Axis::int("n", "rows", 1, 40, &[0, 1, 2, 3, 5, 33, 65]),
    Axis::int("c", "elements of a row", 10, 300, &[0, 1, 2, 3, 15, 16, 17, 31, 33, 63, 64, 65, 127, 129]),
    Axis::choice("reduction", "what becomes of the elements' losses", &["mean", "sum", "none", "batchmean"]),
    Axis::choice("parameter", "β of `smooth_l1`, δ of `huber`", &["1", "0.5", "2"]),
    Axis::choice("weights", "whether positive labels of `bce` have a weight for each column", &["no", "yes"]),
];

/// What becomes of the elements' losses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reduction {
    /// Their mean.
    Mean,
    /// Their sum.
    Sum,
    /// They stay.
    None,
    /// Their sum over the number of rows.
    BatchMean,
}

/// A validated loss.
#[derive(Clone, Debug)]
pub struct PairLoss {
    /// The function.
    pub function: &'static Function,
    /// Rows.
    pub rows: usize,
    /// Elements of a row.
    pub columns: usize,
    /// What becomes of the elements' losses.
    pub reduction: Reduction,
    /// For functions that take a number.
    pub number: f64,
    /// Whether columns have weights.
    pub weighted: bool,
}

impl PairLoss {
    pub(super) fn of(point: &Point) -> Result<PairLoss, ProblemError> {
        let function = find(choice_value(point, "f")?).expect("a name of the list");
        let (rows, columns) = (size(point, "n")?, size(point, "c")?);
        elements("n·c", &[rows.max(1), columns.max(1)])?;
        let reduction = match choice_value(point, "reduction")? {
            "mean" => Reduction::Mean,
            "sum" => Reduction::Sum,
            "batchmean" => Reduction::BatchMean,
            _ => Reduction::None,
        };
        let number = choice_value(point, "parameter")?.parse().expect("the choices are numbers");
        let weighted = choice_value(point, "weights")? == "yes" && function.parameter == Parameter::Weights;
        Ok(PairLoss { function, rows, columns, reduction, number, weighted })
    }

    /// Elements.
    pub fn len(&self) -> usize {
        self.rows * self.columns
    }

    /// Whether there is no element.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What the sum is divided by.
    pub fn divisor(&self) -> f64 {
        match self.reduction {
            Reduction::Mean => self.len() as f64,
            Reduction::BatchMean => self.rows as f64,
            Reduction::Sum | Reduction::None => 1.0,
        }
    }

    pub(super) fn layout(&self) -> Layout {
        Layout::contiguous(&[self.rows, self.columns])
    }

    /// The operands of the function.
    pub(super) fn operands(&self, types: Types) -> Vec<Port> {
        let values = self.function.t.unwrap_or(self.function.x);
        vec![
            Port::new("x", types, self.layout()).drawn(self.function.x),
            Port::optional("target", types, self.layout(), self.function.t.is_some()).drawn(values),
            Port::optional("weights", types, Layout::contiguous(&[self.columns]), self.weighted).positive(),
        ]
    }

    pub(super) fn losses(&self, name: &'static str, types: Types) -> Port {
        let one = Layout::contiguous(&[1]);
        Port::new(name, types, if self.reduction == Reduction::None { self.layout() } else { one })
    }

    /// Each element's index, x, t (0 if there is none) and parameter.
    pub(super) fn each(&self, operands: &[ArrayD<f64>], mut one: impl FnMut([usize; 2], f64, f64, f64)) {
        let [x, t, weights] = operands else { panic!("x, t and weights") };
        for i in 0..self.rows {
            for j in 0..self.columns {
                let parameter = if self.weighted { weights[[j]] } else { self.parameter() };
                one([i, j], x[[i, j]], if self.function.t.is_some() { t[[i, j]] } else { 0.0 }, parameter);
            }
        }
    }

    /// The parameter of elements whose columns have no weights.
    pub fn parameter(&self) -> f64 {
        if self.function.parameter == Parameter::Number { self.number } else { 1.0 }
    }

    /// The longest chain of a sum. What is left of a piece, a row where columns have weights, is at most two vectors.
    fn steps(&self, types: Types) -> usize {
        let (chunk, chunks) = (self.len().min(CHUNK), self.len().div_ceil(CHUNK));
        let double = types.accumulator == DType::F64;
        let lanes = if double { 1 } else { 16 };
        let (pieces, piece) =
            if self.weighted { (chunk.div_ceil(self.columns.max(1)) + 1, self.columns) } else { (1, chunk) };
        let rest = pieces * piece.div_ceil(lanes).min(2);
        chunk.div_ceil(2 * lanes) + rest + 6 + if double { chunks } else { 0 }
    }

    fn bounds(
        &self,
        types: Types,
        inputs: &[ArrayD<f64>],
        expected: &[ArrayD<f64>],
        size: fn(f64, f64, f64) -> f64,
    ) -> Vec<Tolerance> {
        let (u, eta) = rounding(types);
        let of = Formula { size, ..self.function.loss };
        let (mut off, mut total, mut errors) = (ArrayD::zeros(vec![self.rows, self.columns]), 0.0, 0.0);
        self.each(inputs, |at, x, t, a| {
            let error = of.off(u, eta, x, t, a, 1);
            off[at] = error;
            errors += error;
            total += (of.value)(x, t, a).abs() + error;
        });
        if self.reduction == Reduction::None {
            return vec![Tolerance::bound("γ(roundings)·size, of the function's row", off, &expected[0])];
        }
        let all = errors + gamma(self.steps(types), u) * total + self.len() as f64 * eta;
        let divided = if self.divisor() > 0.0 { all / self.divisor() } else { 0.0 };
        let bound = divided + 3.0 * u * (expected[0][[0]].abs() + divided) + eta;
        let formula = "(Σγ(roundings)·size + γ(s)·Σ|ℓ|)/divisor + 3u|loss|";
        vec![Tolerance::bound(formula, arr1(&[bound]).into_dyn(), &expected[0])]
    }
}

impl Formula {
    /// How far an evaluation with so many roundings more may be off. An infinite operand has no roundings.
    pub(super) fn off(&self, u: f64, eta: f64, x: f64, t: f64, a: f64, more: usize) -> f64 {
        let roundings = self.roundings + more;
        let scale: f64 = [x, t, a].iter().filter(|x| x.is_finite()).map(|x| 1.0 + x.abs()).product();
        gamma(roundings, u) * (self.size)(x, t, a) + roundings as f64 * eta * scale
    }
}

impl Problem for PairLoss {
    fn inputs(&self, types: Types) -> Vec<Port> {
        self.operands(types)
    }

    fn outputs(&self, types: Types) -> Vec<Port> {
        vec![self.losses("loss", types)]
    }

    fn reference(&self, inputs: &[ArrayD<f64>]) -> Vec<ArrayD<f64>> {
        let mut losses = ArrayD::zeros(vec![self.rows, self.columns]);
        self.each(inputs, |at, x, t, a| losses[at] = (self.function.loss.value)(x, t, a));
        if self.reduction == Reduction::None {
            return vec![losses];
        }
        // 0/0 over no element.
        vec![arr1(&[losses.sum() / self.divisor()]).into_dyn()]
    }

    fn sums(&self) -> Vec<Sum> {
        vec![Sum::new(self.len().max(1), self.steps(Types::F32), "of losses")]
    }

    fn tolerance(&self, types: Types, _: Fill, inputs: &[ArrayD<f64>], expected: &[ArrayD<f64>]) -> Vec<Tolerance> {
        self.bounds(types, inputs, expected, self.function.loss.size)
    }

    /// With the magnitudes of the terms of libtorch's formula.
    fn witness_tolerance(
        &self,
        types: Types,
        _: Fill,
        inputs: &[ArrayD<f64>],
        expected: &[ArrayD<f64>],
    ) -> Vec<Tolerance> {
        self.bounds(types, inputs, expected, self.function.elsewhere.unwrap_or(self.function.loss.size))
    }

    /// One for each element: the number of those inside a function is the kernel's affair.
    fn operations(&self) -> (f64, Unit) {
        (self.len() as f64, Unit::Transcendental)
    }

    fn differentiable(&self) -> Vec<usize> {
        if self.function.by_t.is_some() { vec![0, 1] } else { vec![0] }
    }

    fn degenerate(&self) -> bool {
        self.len() < 2
    }
}

const fn w(name: &'static str, point: &'static str, source: &'static str) -> Workload {
    Workload::new(name, point, source)
}

/// One of each function.
pub(super) static WORKLOADS: &[Workload] = &[
    w("pix2pix.images-l1", "f=l1,n=1,c=196608", "pix2pix (Isola et al. 2017): an image of 3×256×256"),
    w("denoising.images-mse", "f=mse,n=32,c=196608,reduction=mean", "32 images of 3×256×256"),
    w(
        "fast-rcnn.boxes-smooth-l1",
        "f=smooth_l1,n=512,c=84,reduction=sum",
        "Fast R-CNN: 512 regions, 21 classes of VOC",
    )
    .smoke(),
    w("dqn.errors-huber", "f=huber,n=1024,c=18", "DQN (Mnih et al. 2015): 18 actions, 1024 transitions").smoke(),
    w("labels.1000-kl", "f=kl,n=256,c=1000,reduction=batchmean", "the classes of ImageNet"),
    w("gpt2.vocabulary-kl", "f=kl_log,n=32,c=50257,reduction=batchmean", "GPT-2's vocabulary"),
    w("coco.labels-bce", "f=bce,n=256,c=80,weights=yes", "the classes of COCO, several per image").smoke(),
    w("vae.mnist-bce", "f=bce,n=128,c=784,reduction=sum", "the VAE of PyTorch's examples, MNIST"),
    w("dcgan.patches-discriminator", "f=gan_discriminator,n=16,c=900", "pix2pix: patches of 30×30, 16 images"),
    w("dcgan.patches-generator", "f=gan_generator,n=16,c=900", "pix2pix: patches of 30×30, 16 images"),
    w("vae.latent-gaussian-kl", "f=gaussian_kl,n=128,c=20,reduction=sum", "the VAE of PyTorch's examples, MNIST")
        .smoke(),
];

/// Weights, which few points have.
const DOMAINS: &[Domain] = &[Domain {
    name: "weights",
    fixed: &[("f", &[WEIGHTED]), ("weights", &[1]), ("c", &[1, 3, 16, 17, 65, 130]), ("n", &[1, 2, 5, 33])],
}];

/// The operator `pair_loss`.
pub static PAIR_LOSS: Operator = Operator {
    name: "pair_loss",
    summary: "a function of pairs of elements and its mean or sum: L1, L2, smooth L1, Huber, KL divergence, binary cross \
 entropy, losses of GANs, KL divergence of Gaussians",
    axes: AXES,
    types: &[Types::F32, Types::F64],
    make: |point| Ok(Box::new(PairLoss::of(point)?)),
    workloads: WORKLOADS,
    special_values: "NaN stays; ±∞ follows the formula, so that 0·∞ and ∞ − ∞ are NaN; 0·ln 0 is 0; the mean of no element \
 is NaN",
    domains: DOMAINS,
    gradient: None,
    witness: Witness::Libtorch,
    batch: None,
};

#[cfg(test)]
mod tests {
    use super::*;

    fn loss(point: &str, x: &[f64], t: &[f64], weights: &[f64]) -> Vec<f64> {
        let problem = PAIR_LOSS.problem(&Point::parse(AXES, point).expect("a point")).expect("a problem");
        let ports = problem.inputs(Types::F64);
        let inputs: Vec<_> = ports
            .iter()
            .zip([x, t, weights])
            .map(|(port, x)| ArrayD::from_shape_vec(port.layout.shape.clone(), x.to_vec()).expect("all"))
            .collect();
        problem.reference(&inputs).remove(0).into_iter().collect()
    }

    #[test]
    fn losses_are_reduced() {
        let (x, t) = ([1.0, 2.0, 3.0, 4.0, 5.0, 6.0], [0.0; 6]);
        assert_eq!(loss("f=l1,n=2,c=3", &x, &t, &[]), [3.5]);
        assert_eq!(loss("f=l1,n=2,c=3,reduction=sum", &x, &t, &[]), [21.0]);
        assert_eq!(loss("f=l1,n=2,c=3,reduction=batchmean", &x, &t, &[]), [10.5]);
        assert_eq!(loss("f=mse,n=2,c=3,reduction=none", &x, &t, &[]), [1.0, 4.0, 9.0, 16.0, 25.0, 36.0]);
        assert!(loss("f=l1,n=0,c=3", &[], &[], &[])[0].is_nan());
        assert_eq!(loss("f=l1,n=0,c=3,reduction=sum", &[], &[], &[]), [0.0]);
    }

    #[test]
    fn weights_are_those_of_columns() {
        let found = loss("f=bce,n=2,c=2,weights=yes,reduction=none", &[0.0; 4], &[1.0; 4], &[1.0, 3.0]);
        let ln_2 = std::f64::consts::LN_2;
        assert!(
            found.iter().zip([ln_2, 3.0 * ln_2, ln_2, 3.0 * ln_2]).all(|(x, y)| (x - y).abs() < 1e-15),
            "{found:?}"
        );
    }

    #[test]
    fn huge_sizes_are_errors() {
        let point = Point::default_of(AXES).with("n", 1 << 31).with("c", 1 << 31);
        assert!(matches!(PAIR_LOSS.problem(&point), Err(ProblemError::Overflow { .. })));
    }
}

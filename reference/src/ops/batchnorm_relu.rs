//! `batchnorm_relu`: batch normalisation, an optional residual, an optional ReLU, over images.
//!
//! For each channel, with the mean μ and the variance σ² of its n·h·w values:
//! `y = act(γ·(x − μ)/√(σ² + ε) + β + residual)`. In training, μ and σ² (divided by the count) are those of the batch;
//! they are saved as μ and 1/√(σ² + ε), and move the running statistics:
//! `running ← (1 − m)·running + m·batch`, where the running variance takes the unbiased one (divided by the count less 1).
//! In inference μ and σ² are the running statistics, which stay.
//!
//! Training needs at least two values a channel: the unbiased variance of one is not defined, as libtorch also says.
//!
//! **Error.** Statistics are computed in one pass over memory, with the accuracy of two. Each chunk of a channel has
//! its own mean and sum of squared deviations, which Chan's formula merges in a fixed order. Sums are chains of at
//! most [`CHAIN`] additions, whose results are added in a tree: n values per channel give the depth d = min(n, 96) +
//! log₂n + 8. With A = √(mean x²):
//!
//! - The mean is off by at most ε_μ = γ(d)·mean|x| (Higham, section 4.2). So is the mean of each chunk, with its
//!   values.
//! - A sum of squares around a mean that is off by e is too large by n·e², and rounds by γ(d + 4)·σ². Chan's merge
//!   adds at most 2σ·γ(d)A + (γ(d)A)² per value, by Cauchy–Schwarz. Together: δσ² = γ(d+4)σ² + 2σγ(d)A + 2(γ(d)A)².
//! - 1/√ is convex, so its lower end decides: δr = 1/√(σ² − δσ² + ε) − 1/√(σ² + ε) + γ(4)/√(σ² − δσ² + ε).
//! - An output is off by at most |γ|(r̂·ε_μ + |x − μ|·δr) + γ(8)(|γ|(|x − μ| + ε_μ)·r̂ + |β| + |residual|), with r̂ =
//!   r + δr.
//!
//! At a mean of 4096 standard deviations δσ² is a few percent of σ². `E[x²] − E[x]²` is off by more than σ² itself
//! there; a wrong kernel computes it so, and is rejected.

use ndarray::{Array1, ArrayD, Axis as NdAxis, IxDyn};

use super::gemm::choice_value;
pub use super::images::{ImageLayout, Images};
use crate::{
    Axis, Fill, Layout, Operator, Point, Port, Problem, ProblemError, Tolerance, Types, Unit, Witness, tolerance,
};

/// Sums over a channel are made of chains of at most this many additions, whose results are added in a tree (or more
/// precisely).
pub const CHAIN: usize = 96;

pub(super) const N: Axis = Axis::int("n", "images", 2, 9, &[0, 1, 2, 3, 4, 5, 7, 11, 33]);
pub(super) const C: Axis =
    Axis::int("c", "channels", 1, 150, &[0, 1, 2, 3, 8, 15, 16, 17, 31, 32, 33, 63, 64, 65, 127, 128]);
pub(super) const H: Axis = Axis::int("h", "rows", 1, 80, &[0, 1, 2, 3, 4, 7, 8, 14, 16, 17, 56, 64, 65]);
pub(super) const W: Axis = Axis::int("w", "columns", 1, 80, &[0, 1, 2, 3, 5, 7, 8, 14, 15, 16, 17, 63, 64, 65]);
pub(super) const LAYOUT: Axis = Axis::choice("layout", "order of the axes in memory", &["nchw", "nhwc"]);
pub(super) const RESIDUAL: Axis = Axis::choice("residual", "what is added before the ReLU", &["none", "add"]);
pub(super) const RELU: Axis = Axis::choice("relu", "whether there is a ReLU", &["yes", "no"]);
pub(super) const AFFINE: Axis = Axis::choice("affine", "whether there are γ and β", &["yes", "no"]);

const AXES: &[Axis] = &[
    Axis::choice("mode", "statistics: of the batch, or the running ones", &["train", "infer"]),
    N,
    C,
    H,
    W,
    LAYOUT,
    RESIDUAL,
    RELU,
    AFFINE,
    Axis::choice("eps", "ε, added to the variance", &["1e-5", "1e-3"]),
    Axis::choice("momentum", "weight m of the batch in the running statistics", &["0.1", "0.01", "1", "0"]),
];

/// Whose statistics normalise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// The batch's.
    Train,
    /// The running ones.
    Infer,
}

impl Images {
    /// Training takes at least two values a channel.
    pub(super) fn trainable(&self) -> Result<(), ProblemError> {
        if self.count() < 2 {
            let message = format!("more than 1 value per channel is needed in training, not {}", self.count());
            return Err(ProblemError::Conflict(message));
        }
        Ok(())
    }
}

/// A validated batch normalisation.
#[derive(Clone, Debug, PartialEq)]
pub struct BatchnormRelu {
    /// Whose statistics.
    pub mode: Mode,
    /// Shape of x, y and the residual.
    pub images: Images,
    /// Whether a residual is added before the ReLU.
    pub residual: bool,
    /// Whether there is a ReLU: `max(x, 0)`, NaN stays NaN.
    pub relu: bool,
    /// Whether there are γ and β; otherwise they are 1 and 0.
    pub affine: bool,
    /// ε.
    pub eps: f64,
    /// Weight of the batch in the running statistics.
    pub momentum: f64,
}

impl BatchnormRelu {
    /// With γ, β and ReLU, without residual, ε = 1e-5, momentum 0.1.
    ///
    /// # Errors
    /// [`ProblemError`] as [`validated`](BatchnormRelu::validated).
    pub fn new(mode: Mode, images: Images) -> Result<BatchnormRelu, ProblemError> {
        let residual = false;
        BatchnormRelu { mode, images, residual, relu: true, affine: true, eps: 1e-5, momentum: 0.1 }.validated()
    }

    /// Checks sizes and attributes; call after changing fields.
    ///
    /// # Errors
    /// [`ProblemError`] if the elements do not fit the address space, training has less than two values a channel, or ε is
    /// not above zero.
    pub fn validated(self) -> Result<BatchnormRelu, ProblemError> {
        let Images { n, c, h, w, layout } = self.images;
        Images::new(n, c, h, w, layout)?;
        if self.mode == Mode::Train {
            self.images.trainable()?;
        }
        if self.eps.is_nan() || self.eps <= 0.0 {
            return Err(ProblemError::Conflict(format!("ε = {} is not above zero", self.eps)));
        }
        Ok(self)
    }

    fn vector(&self, name: &'static str, types: Types, present: bool) -> Port {
        Port::optional(name, types, Layout::contiguous(&[self.images.c]), present)
    }

    /// What the ReLU is applied to, with μ, σ² of each channel.
    pub fn preactivation(&self, inputs: &[ArrayD<f64>]) -> (ArrayD<f64>, Array1<f64>, Array1<f64>) {
        let [x, gamma, beta, residual, running_mean, running_var] = inputs else { panic!("six inputs") };
        let count = self.images.count() as f64;
        let (mut z, mut means, mut vars) = (x.clone(), Array1::zeros(self.images.c), Array1::zeros(self.images.c));
        for (c, mut x) in z.axis_iter_mut(NdAxis(1)).enumerate() {
            let (mean, var) = match self.mode {
                Mode::Train => {
                    let mean = x.sum() / count;
                    (mean, x.fold(0.0, |sum, x| sum + (x - mean) * (x - mean)) / count)
                }
                Mode::Infer => (running_mean[[c]], running_var[[c]]),
            };
            let (gamma, beta) = if self.affine { (gamma[[c]], beta[[c]]) } else { (1.0, 0.0) };
            x.mapv_inplace(|x| gamma * (x - mean) / (var + self.eps).sqrt() + beta);
            (means[c], vars[c]) = (mean, var);
        }
        if self.residual {
            z += residual;
        }
        (z, means, vars)
    }
}

/// Longest chain of roundings behind a sum of `n` terms: chains of at most [`CHAIN`], then a tree, and a few for the
/// products and the division around it.
pub fn depth(n: usize) -> usize {
    n.min(CHAIN) + n.max(1).ilog2() as usize + 8
}

/// What a channel's statistics may be off by.
struct StatisticsError {
    /// Of the mean.
    mean: f64,
    /// Of the variance.
    var: f64,
    /// Of 1/√(σ² + ε).
    rstd: f64,
}

impl BatchnormRelu {
    /// Errors of the statistics of a channel with values `x`, mean and variance as given.
    ///
    /// With d = [`depth`] and A the root mean square of x:
    /// - a mean is off by ε_μ = γ(d)·mean|x| ≤ γ(d)·A (Higham, §4.2); so is, with its own values, the mean of each chunk;
    /// - the sum of squares around a mean that is off by e is too large by n·e²; its roundings are γ(d + 4)·σ²;
    /// - Chan's merge adds Σ n_c(μ_c − μ)² with chunk means off by e_c: at most 2σ·γ(d)A + (γ(d)A)² a value, by
    ///   Cauchy–Schwarz. Together: δ = γ(d+4)σ² + 2σγ(d)A + 2(γ(d)A)².
    ///
    /// With a mean of 4096 standard deviations δ is a few percent of σ², where `E[x²] − E[x]²` is off by more than σ² itself.
    fn statistics_error(
        &self,
        u: f64,
        tiny: f64,
        x: &ndarray::ArrayViewD<'_, f64>,
        mean: f64,
        var: f64,
    ) -> StatisticsError {
        let rstd = 1.0 / (var + self.eps).sqrt();
        if self.mode == Mode::Infer {
            // Nothing is summed; kernels may fold γ, β, μ and σ into one factor and one summand.
            return StatisticsError { mean: 3.0 * u * mean.abs(), var: 0.0, rstd: tolerance::gamma(4, u) * rstd };
        }
        let count = self.images.count();
        let d = depth(count);
        let (mean_abs, square) = x.fold((0.0, 0.0), |(a, s), x| (a + x.abs(), s + x * x));
        let (mean_abs, rms) = (mean_abs / count as f64, (square / count as f64).sqrt());
        let spread = tolerance::gamma(d, u) * rms;
        let var_error = tolerance::gamma(d + 4, u) * var + 2.0 * var.sqrt() * spread + 2.0 * spread * spread + tiny;
        // 1/√ is convex: the lower end of the variance decides.
        let worst = 1.0 / ((var - var_error).max(0.0) + self.eps).sqrt();
        StatisticsError {
            mean: tolerance::gamma(d, u) * mean_abs + tiny,
            var: var_error,
            rstd: (worst - rstd) + tolerance::gamma(4, u) * worst,
        }
    }
}

impl Problem for BatchnormRelu {
    fn inputs(&self, types: Types) -> Vec<Port> {
        vec![
            Port::new("x", types, self.images.port_layout()),
            self.vector("gamma", types, self.affine).factor().weights(),
            self.vector("beta", types, self.affine).weights(),
            Port::optional("residual", types, self.images.port_layout(), self.residual),
            self.vector("running_mean", types, true).weights(),
            self.vector("running_var", types, true).positive().weights(),
        ]
    }

    fn outputs(&self, types: Types) -> Vec<Port> {
        let train = self.mode == Mode::Train;
        // An absent output starts from nothing.
        let updated = |port: Port, input: usize| if train { port.from_input(input) } else { port };
        vec![
            Port::new("y", types, self.images.port_layout()),
            updated(self.vector("running_mean", types, train), 4),
            updated(self.vector("running_var", types, train), 5),
            self.vector("saved_mean", types, train),
            self.vector("saved_rstd", types, train),
        ]
    }

    fn reference(&self, inputs: &[ArrayD<f64>]) -> Vec<ArrayD<f64>> {
        let (mut y, mean, var) = self.preactivation(inputs);
        if self.relu {
            y.mapv_inplace(|z| if z < 0.0 { 0.0 } else { z });
        }
        if self.mode == Mode::Infer {
            let none = || ArrayD::zeros(vec![0]);
            return vec![y, none(), none(), none(), none()];
        }
        let (m, count) = (self.momentum, self.images.count() as f64);
        let running_mean = &inputs[4] * (1.0 - m) + &mean * m;
        let running_var = &inputs[5] * (1.0 - m) + &var * (m * count / (count - 1.0));
        let rstd = var.mapv(|var| 1.0 / (var + self.eps).sqrt());
        vec![y, running_mean, running_var, mean.into_dyn(), rstd.into_dyn()]
    }

    fn tolerance(&self, types: Types, _fill: Fill, inputs: &[ArrayD<f64>], expected: &[ArrayD<f64>]) -> Vec<Tolerance> {
        let (u, tiny) = (types.accumulator.unit_roundoff(), 4.0 * types.accumulator.underflow());
        let [x, gamma, beta, residual, old_mean, old_var] = inputs else { panic!("six inputs") };
        let (_, means, vars) = self.preactivation(inputs);
        let (m, count) = (self.momentum, self.images.count() as f64);
        let few = tolerance::gamma(8, u);
        let mut y = x.clone();
        let mut statistics = vec![Array1::zeros(if self.mode == Mode::Train { self.images.c } else { 0 }); 4];
        for (c, (mut y, x)) in y.axis_iter_mut(NdAxis(1)).zip(x.axis_iter(NdAxis(1))).enumerate() {
            let (mean, var) = (means[c], vars[c]);
            let rstd = 1.0 / (var + self.eps).sqrt();
            let error = self.statistics_error(u, tiny, &x, mean, var);
            let (gamma, beta) = if self.affine { (gamma[[c]].abs(), beta[[c]].abs()) } else { (1.0, 0.0) };
            // γ·(x − μ̂)·r̂: the mean's error is scaled, the difference meets the error of 1/σ, each operation rounds.
            let r = rstd + error.rstd;
            y.mapv_inplace(|x| {
                let d = (x - mean).abs();
                gamma * (r * error.mean + d * error.rstd)
                    + few * (gamma * (d + error.mean) * r + beta)
                    + tiny * (1.0 + d)
            });
            if self.mode == Mode::Train {
                statistics[0][c] = m * error.mean + few * ((1.0 - m) * old_mean[[c]].abs() + m * mean.abs()) + tiny;
                statistics[1][c] =
                    m * error.var * count / (count - 1.0) + few * ((1.0 - m) * old_var[[c]] + 2.0 * m * var) + tiny;
                statistics[2][c] = error.mean + u * mean.abs();
                statistics[3][c] = error.rstd + u * rstd;
            }
        }
        if self.residual {
            ndarray::Zip::from(&mut y).and(residual).for_each(|b, r| *b += few * r.abs());
        }
        let formulas = [
            "|γ|(r̂·ε_μ + |x − μ|·δr) + γ(8)(|γ|·|x − μ|·r̂ + |β| + |residual|)",
            "m·ε_μ + γ(8)((1 − m)|running| + m|μ|)",
            "m·δσ²·n/(n − 1) + γ(8)((1 − m)·running + 2m·σ²)",
            "ε_μ + u|μ|, ε_μ = γ(d)·mean|x|, d = min(n, 96) + log₂n + 8",
            "1/√(σ² − δσ² + ε) − 1/√(σ² + ε) + γ(5)/√(σ² + ε), δσ² = γ(d + 4)σ² + 2σγ(d)A + 2(γ(d)A)², A = √mean x²",
        ];
        let of_y = if self.relu { Tolerance::bound_behind_zero } else { Tolerance::bound };
        let statistics = statistics.into_iter().zip(&formulas[1..]).zip(&expected[1..]);
        std::iter::once(of_y(formulas[0], y, &expected[0]))
            .chain(statistics.map(|((bound, formula), y)| Tolerance::bound(formula, bound.into_dyn(), y)))
            .collect()
    }

    fn operations(&self) -> (f64, Unit) {
        let elements = self.images.len() as f64;
        let residual = f64::from(u8::from(self.residual));
        // Sum; deviation, its sum, square, sum of squares; deviation, product, sum.
        let statistics = if self.mode == Mode::Train { 5.0 } else { 0.0 };
        (elements * (statistics + 3.0 + residual + f64::from(u8::from(self.relu))), Unit::Fma)
    }

    fn differentiable(&self) -> Vec<usize> {
        let mut inputs = vec![0];
        if self.affine {
            inputs.extend([1, 2]);
        }
        if self.residual {
            inputs.push(3);
        }
        inputs
    }
}

/// An attribute that is written as a number.
fn number(point: &Point, axis: &'static str) -> Result<f64, ProblemError> {
    choice_value(point, axis).map(|text| text.parse().expect("the choices are numbers"))
}

/// The operator `batchnorm_relu`.
pub static BATCHNORM_RELU: Operator = Operator {
    name: "batchnorm_relu",
    summary: "y = relu(γ·(x − μ)/√(σ² + ε) + β + residual), with statistics of the batch or running ones",
    axes: AXES,
    types: &[Types::F32],
    make,
    workloads: super::batchnorm_workloads::FORWARD,
    special_values: "training: a NaN or ∞ makes its channel NaN (the mean of a channel with ∞ is ∞); inference: by element; ReLU keeps NaN; \
 an infinite γ is not defined, as the rounding of x − μ decides between ∞ and NaN",
    domains: &[],
    gradient: None,
    witness: Witness::Libtorch,
    batch: None,
};

/// The problem at a point.
fn make(point: &Point) -> Result<Box<dyn Problem>, ProblemError> {
    let problem = BatchnormRelu {
        mode: if choice_value(point, "mode")? == "train" { Mode::Train } else { Mode::Infer },
        images: Images::of(point)?,
        residual: choice_value(point, "residual")? == "add",
        relu: choice_value(point, "relu")? == "yes",
        affine: choice_value(point, "affine")? == "yes",
        eps: number(point, "eps")?,
        momentum: number(point, "momentum")?,
    };
    Ok(Box::new(problem.validated()?))
}

/// The logical shape n×c×h×w.
pub(super) fn shape(images: &Images) -> IxDyn {
    IxDyn(&[images.n, images.c, images.h, images.w])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(text: &str) -> Point {
        Point::parse(AXES, text).expect("a point")
    }

    #[test]
    fn training_needs_two_values_a_channel() {
        for bad in ["n=1", "n=0,c=3,h=4", "n=2,h=0", "n=0,c=0"] {
            let error = BATCHNORM_RELU.problem(&point(bad)).expect_err(bad);
            assert!(error.to_string().contains("more than 1 value per channel"), "{bad}: {error}");
        }
        for good in ["n=2", "n=1,h=2", "n=1,mode=infer", "n=0,mode=infer", "c=0"] {
            BATCHNORM_RELU.problem(&point(good)).expect(good);
        }
    }

    #[test]
    fn huge_and_negative_sizes_are_errors() {
        let huge = 1i64 << 31;
        for layout in [0, 1] {
            let p = point("mode=infer").with("layout", layout);
            for axes in [["n", "c"], ["c", "h"], ["h", "w"], ["w", "n"]] {
                let p = p.clone().with(axes[0], huge).with(axes[1], huge);
                assert!(matches!(BATCHNORM_RELU.problem(&p), Err(ProblemError::Overflow { .. })), "{p}");
            }
            assert!(BATCHNORM_RELU.problem(&p.with("h", -1)).is_err());
        }
    }

    #[test]
    fn a_channel_by_hand() {
        // 1, 2, 3, 6: mean 3, variance 14/4, unbiased 14/3.
        let problem = BATCHNORM_RELU.problem(&point("n=2,h=2,momentum=1,relu=no")).expect("a problem");
        let x = ArrayD::from_shape_vec(vec![2, 1, 2, 1], vec![1.0, 2.0, 3.0, 6.0]).expect("the shape");
        let one = |v: f64| ArrayD::from_elem(vec![1], v);
        let none = ArrayD::zeros(vec![0]);
        let out = problem.reference(&[x, one(2.0), one(-1.0), none, one(9.0), one(9.0)]);
        let rstd = 1.0 / (3.5f64 + 1e-5).sqrt();
        assert_eq!(
            out[0].iter().copied().collect::<Vec<_>>(),
            [-2.0, -1.0, 0.0, 3.0].map(|d| 2.0 * d / (3.5f64 + 1e-5).sqrt() - 1.0)
        );
        assert!((out[2][[0]] - 14.0 / 3.0).abs() < 1e-15);
        assert_eq!((out[1][[0]], out[3][[0]], out[4][[0]]), (3.0, 3.0, rstd));
    }

    /// The variance of values around 4096 as `E[x²] − E[x]²` in f32 must not pass.
    #[test]
    fn the_cancelling_formula_is_rejected() {
        let problem = BATCHNORM_RELU.problem(&point("n=4,c=8,h=16,w=16")).expect("a problem");
        // Seeds 4 mod 6 choose the large common offset.
        let data = problem.draw(Types::F32, Fill::Hostile, 4);
        let ports = problem.inputs(Types::F32);
        let inputs: Vec<_> = ports.iter().zip(&data).map(|(p, d)| crate::gather(&p.layout, d)).collect();
        let expected = problem.reference(&inputs);
        let tolerances = problem.tolerance(Types::F32, Fill::Hostile, &inputs, &expected);
        let x = &inputs[0];
        let cancelling = Array1::from_shape_fn(8, |c| {
            let (mut sum, mut squares) = (0f32, 0f32);
            for &x in x.index_axis(NdAxis(1), c) {
                sum += x as f32;
                squares += x as f32 * x as f32;
            }
            let (mean, square) = (sum / 1024.0, squares / 1024.0);
            f64::from(1.0 / ((square - mean * mean).max(0.0) + 1e-5).sqrt())
        });
        let result = crate::compare::compare(crate::DType::F32, &expected[4], &tolerances[4], &cancelling.into_dyn());
        assert_eq!(result.verdict, crate::compare::Verdict::Fail);
        // The bound still says something: it is a small part of 1/σ.
        let Tolerance::Bound { bound, .. } = &tolerances[4] else { panic!("a bound") };
        assert!(bound.iter().zip(&expected[4]).all(|(b, r)| *b < 0.1 * r), "{bound} of {}", expected[4]);
    }
}

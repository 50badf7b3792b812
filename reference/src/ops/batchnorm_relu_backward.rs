//! `batchnorm_relu_backward`: the gradients of [`batchnorm_relu`](super::batchnorm_relu) in training.
//!
//! With `g = dy` where `y > 0` (everywhere without ReLU), `r = 1/√(σ² + ε)` and `x̂ = (x − μ)·r`, for each channel:
//! `dβ = Σg`, `dγ = Σg·x̂`, `dx = γ·r·(g − dβ/count − x̂·dγ/count)`; the gradient of the residual is g. The forward pass saves
//! μ and r; the mask is the sign of its output y.

use ndarray::{Array1, ArrayD, Axis as NdAxis, Zip};

use super::batchnorm_relu::{
    AFFINE, BATCHNORM_RELU, BatchnormRelu, C, H, Images, LAYOUT, N, RELU, RESIDUAL, W, depth, shape,
};
use super::gemm::choice_value;
use crate::operator::downcast;
use crate::{
    Axis, Fill, Gradient, Layout, Operator, Point, Port, Problem, ProblemError, Takes, Tolerance, Types, Unit, Witness,
    tolerance,
};

const AXES: &[Axis] = &[N, C, H, W, LAYOUT, RESIDUAL, RELU, AFFINE];

/// A validated gradient of a batch normalisation.
#[derive(Clone, Debug, PartialEq)]
pub struct BatchnormReluBackward {
    /// Shape of dy, x, y and dx.
    pub images: Images,
    /// Whether the gradient of a residual is wanted.
    pub residual: bool,
    /// Whether there is a ReLU, so that y is read.
    pub relu: bool,
    /// Whether there are γ and β, so that their gradients are wanted.
    pub affine: bool,
}

impl BatchnormReluBackward {
    /// With ReLU, γ and β, without residual.
    ///
    /// # Errors
    /// [`ProblemError::Conflict`] if there are less than two values a channel.
    pub fn new(images: Images) -> Result<BatchnormReluBackward, ProblemError> {
        BatchnormReluBackward { images, residual: false, relu: true, affine: true }.validated()
    }

    /// Checks sizes; call after changing fields.
    ///
    /// # Errors
    /// [`ProblemError`] if the elements do not fit the address space, or there are less than two values a channel.
    pub fn validated(self) -> Result<BatchnormReluBackward, ProblemError> {
        let Images { n, c, h, w, layout } = self.images;
        Images::new(n, c, h, w, layout)?;
        self.images.trainable()?;
        Ok(self)
    }

    fn image(&self, name: &'static str, types: Types, present: bool) -> Port {
        Port::optional(name, types, self.images.port_layout(), present)
    }

    fn vector(&self, name: &'static str, types: Types, present: bool) -> Port {
        Port::optional(name, types, Layout::contiguous(&[self.images.c]), present)
    }

    /// `dy` behind the ReLU: 0 where y ≤ 0, `dy` where y is NaN.
    fn gated(&self, dy: &ArrayD<f64>, y: &ArrayD<f64>) -> ArrayD<f64> {
        if self.relu { Zip::from(dy).and(y).map_collect(|&dy, &y| if y <= 0.0 { 0.0 } else { dy }) } else { dy.clone() }
    }

    fn gamma(&self, gamma: &ArrayD<f64>, c: usize) -> f64 {
        if self.affine { gamma[[c]] } else { 1.0 }
    }

    fn vector_or_none(&self, vector: Array1<f64>) -> ArrayD<f64> {
        if self.affine { vector.into_dyn() } else { ArrayD::zeros(vec![0]) }
    }
}

impl Problem for BatchnormReluBackward {
    fn inputs(&self, types: Types) -> Vec<Port> {
        vec![
            self.image("dy", types, true),
            self.image("x", types, true),
            self.vector("gamma", types, self.affine).factor().weights(),
            self.vector("saved_mean", types, true),
            self.vector("saved_rstd", types, true).positive(),
            self.image("y", types, self.relu),
        ]
    }

    fn outputs(&self, types: Types) -> Vec<Port> {
        vec![
            self.image("dx", types, true),
            self.vector("dgamma", types, self.affine),
            self.vector("dbeta", types, self.affine),
            self.image("dresidual", types, self.residual),
        ]
    }

    fn reference(&self, inputs: &[ArrayD<f64>]) -> Vec<ArrayD<f64>> {
        let [dy, x, gamma, mean, rstd, y] = inputs else { panic!("six inputs") };
        let count = self.images.count() as f64;
        let g = self.gated(dy, y);
        let (mut dx, mut dgamma, mut dbeta) =
            (ArrayD::zeros(shape(&self.images)), Array1::zeros(self.images.c), Array1::zeros(self.images.c));
        for c in 0..self.images.c {
            let (gamma, rstd) = (self.gamma(gamma, c), rstd[[c]]);
            let g = g.index_axis(NdAxis(1), c);
            let x_hat = x.index_axis(NdAxis(1), c).mapv(|x| (x - mean[[c]]) * rstd);
            dbeta[c] = g.sum();
            dgamma[c] = (&g * &x_hat).sum();
            let mut dx = dx.index_axis_mut(NdAxis(1), c);
            Zip::from(&mut dx).and(&g).and(&x_hat).for_each(|dx, g, x_hat| {
                *dx = gamma * rstd * (g - dbeta[c] / count - x_hat * dgamma[c] / count);
            });
        }
        let dresidual = if self.residual { g } else { ArrayD::zeros(vec![0]) };
        vec![dx, self.vector_or_none(dgamma), self.vector_or_none(dbeta), dresidual]
    }

    /// The statistics are inputs, so that x̂ is off by two roundings. With d = [`depth`] the sums are off by
    /// δβ = γ(d)·Σ|g| and δγ = γ(d + 4)·Σ|g·x̂|; dx adds to their share a rounding for each of its operations.
    fn tolerance(&self, types: Types, _fill: Fill, inputs: &[ArrayD<f64>], expected: &[ArrayD<f64>]) -> Vec<Tolerance> {
        let (u, tiny) = (types.accumulator.unit_roundoff(), 4.0 * types.accumulator.underflow());
        let [dy, x, gamma, mean, rstd, y] = inputs else { panic!("six inputs") };
        let count = self.images.count();
        let (d, n) = (depth(count), count as f64);
        let few = tolerance::gamma(8, u);
        let g = self.gated(dy, y);
        let (mut dx, mut dgamma, mut dbeta) =
            (ArrayD::zeros(shape(&self.images)), Array1::zeros(self.images.c), Array1::zeros(self.images.c));
        for c in 0..self.images.c {
            let (gamma, rstd) = (self.gamma(gamma, c).abs(), rstd[[c]]);
            let g = g.index_axis(NdAxis(1), c);
            let x_hat = x.index_axis(NdAxis(1), c).mapv(|x| (x - mean[[c]]).abs() * rstd);
            let (sum, sum_x) =
                (g.fold(0.0, |s, g| s + g.abs()), Zip::from(&g).and(&x_hat).fold(0.0, |s, g, x| s + g.abs() * x));
            let (off, off_x) =
                (tolerance::gamma(d, u) * sum, tolerance::gamma(d + 4, u) * sum_x + n * tiny * (1.0 + rstd));
            (dbeta[c], dgamma[c]) = (off + u * sum, off_x + u * sum_x + tiny);
            let mut dx = dx.index_axis_mut(NdAxis(1), c);
            Zip::from(&mut dx).and(&g).and(&x_hat).for_each(|dx, g, x_hat| {
                let magnitude = g.abs() + sum / n + x_hat * sum_x / n;
                let factor = gamma * rstd;
                *dx = factor * (few * magnitude + off / n + x_hat * off_x / n) + tiny * (1.0 + g.abs() + x_hat / rstd);
            });
        }
        let [of_dx, of_dgamma, of_dbeta, _] = expected else { panic!("four outputs") };
        let bound = Tolerance::bound;
        vec![
            bound("|γ|r(γ(8)(|g| + Σ|g|/n + |x̂|Σ|gx̂|/n) + δβ/n + |x̂|δγ/n)", dx, of_dx),
            bound("δγ + uΣ|gx̂|, δγ = γ(d + 4)Σ|gx̂|", self.vector_or_none(dgamma), of_dgamma),
            bound("δβ + uΣ|g|, δβ = γ(d)Σ|g|, d = min(n, 96) + log₂n + 8", self.vector_or_none(dbeta), of_dbeta),
            Tolerance::Exact,
        ]
    }

    fn operations(&self) -> (f64, Unit) {
        // Mask; deviation, product, two sums; deviation, two products, two sums.
        (self.images.len() as f64 * (9.0 + f64::from(u8::from(self.relu))), Unit::Fma)
    }
}

/// The operator `batchnorm_relu_backward`.
pub static BATCHNORM_RELU_BACKWARD: Operator = Operator {
    name: "batchnorm_relu_backward",
    summary: "gradients of batchnorm_relu in training: dx, dγ, dβ, dresidual",
    axes: AXES,
    types: &[Types::F32],
    make,
    workloads: super::batchnorm_workloads::BACKWARD,
    special_values: "NaN and ∞ of dy follow the formula, in the whole channel; where y ≤ 0, dy is not looked at; where y is NaN, it passes",
    domains: &[],
    gradient: Some(&GRADIENT),
    witness: Witness::Libtorch,
    batch: None,
};

/// The problem at a point.
fn make(point: &Point) -> Result<Box<dyn Problem>, ProblemError> {
    let problem = BatchnormReluBackward {
        images: Images::of(point)?,
        residual: choice_value(point, "residual")? == "add",
        relu: choice_value(point, "relu")? == "yes",
        affine: choice_value(point, "affine")? == "yes",
    };
    Ok(Box::new(problem.validated()?))
}

static GRADIENT: Gradient = Gradient {
    forward: &BATCHNORM_RELU,
    point: |point| {
        let forward = Point::default_of(BATCHNORM_RELU.axes);
        AXES.iter().fold(forward, |p, axis| p.with(axis.name, point.get(axis.name)))
    },
    takes: &[
        Takes::Upstream(0),
        Takes::Input(0),
        Takes::Input(1),
        Takes::Output(3),
        Takes::Output(4),
        Takes::Output(0),
    ],
    gives: &[(0, 0), (1, 1), (2, 2), (3, 3)],
    linear: |_| &[],
    autograd: None,
    near_kink,
};

/// Whether z is so near 0 that a step in an input could change its sign.
fn near_kink(forward: &dyn Problem, inputs: &[ArrayD<f64>], eps: f64) -> bool {
    let forward: &BatchnormRelu = downcast(forward);
    if !forward.relu {
        return false;
    }
    let (z, means, vars) = forward.preactivation(inputs);
    // A step in x moves z by at most |γ|·r·(2 + x̂²) steps, one in γ by |x̂|, one in β or the residual by one.
    let reach = (0..forward.images.c).fold(eps, |reach, c| {
        let rstd = 1.0 / (vars[c] + forward.eps).sqrt();
        let gamma = if forward.affine { inputs[1][[c]].abs() } else { 1.0 };
        let x = inputs[0].index_axis(NdAxis(1), c);
        let x_hat = x.fold(0.0, |m: f64, x| m.max((x - means[c]).abs() * rstd));
        reach.max(2.0 * eps * (gamma * rstd * (2.0 + x_hat * x_hat) + x_hat + 1.0))
    });
    z.iter().any(|z| z.abs() <= reach)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gradient::check_differences;

    #[test]
    fn gradients_match_differences() {
        let points = [
            "n=2,c=2,h=3,w=2",
            "n=3,c=3,h=2,w=2,layout=nhwc",
            "n=2,c=2,h=3,w=3,residual=add",
            "n=2,c=2,h=2,w=3,residual=add,relu=no",
            "n=2,c=1,h=4,w=4,affine=no",
            "n=1,c=2,h=1,w=2,relu=no",
        ];
        let mut compared = 0;
        for text in points {
            for seed in 0..8 {
                let point = Point::parse(AXES, text).expect("a point");
                compared += check_differences(&BATCHNORM_RELU_BACKWARD, &point, seed).expect(text).unwrap_or(0);
            }
        }
        assert!(compared > 500, "only {compared} elements were compared");
    }
}

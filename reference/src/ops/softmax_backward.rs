//! `softmax_backward`: the gradient of [`softmax`](super::softmax), of its outputs.
//!
//! Along the dimension that adds up:
//!
//! ```text
//! softmax:      dx = y·(dy − Σ dy·y)/T
//! log_softmax:  dx = (dy − e^y·Σ dy)/T
//! ```
//! Shapes are those of `softmax`. **Order of summation**: as there, by fused multiply-adds.
//!
//! # Derivation of the bounds
//! The sum is off by L = γ(c)·Σ|dy||y|, or γ(c)·Σ|dy|. The difference is off by L and a rounding, the product by another;
//! e^y is off by an ulp, 2u. A witness that computes the forward pass anew has another y, off by e(y): the sum is off by
//! Σ|dy|e(y) more, and a factor y by e(y), a factor e^y by e^y·(e^e(y) − 1). In f64 the reference rounds, too, and errors
//! count twice.

use ndarray::{ArrayD, Axis as NdAxis, Ix3};

use super::softmax::{AXES, Of, SOFTMAX, Softmax, size};
use crate::gradient::SMOOTH;
use crate::tolerance::{Sum, gamma};
use crate::{DType, Data, Fill, Gradient, Operator, Port, Problem, Takes, Tolerance, Types, Unit, Witness};

/// A validated gradient.
#[derive(Clone, Debug, PartialEq)]
pub struct SoftmaxBackward {
    /// The forward pass.
    pub forward: Softmax,
}

impl SoftmaxBackward {
    fn bounds(
        &self,
        types: Types,
        inputs: &[ArrayD<f64>],
        kept: Option<&ArrayD<f64>>,
        expected: &[ArrayD<f64>],
    ) -> Vec<Tolerance> {
        let sides = if types.accumulator == DType::F64 { 2.0 } else { 1.0 };
        let (u, eta) = (sides * types.accumulator.unit_roundoff(), sides * types.accumulator.underflow());
        let three = |x: &ArrayD<f64>| x.clone().into_dimensionality::<Ix3>().expect("n×c×s");
        let (dy, y) = (three(&inputs[0]), three(&inputs[1]));
        let kept = kept.map_or_else(|| ndarray::Array3::zeros(y.dim()), three);
        let mut bound = ndarray::Array3::zeros(y.dim());
        let of_sum = gamma(self.forward.extents.c + 1, u);
        let lanes = dy.lanes(NdAxis(1)).into_iter().zip(y.lanes(NdAxis(1))).zip(kept.lanes(NdAxis(1)));
        for (((dy, y), kept), mut bound) in lanes.zip(bound.lanes_mut(NdAxis(1))) {
            let terms = self.forward.extents.c as f64 * eta;
            let (sum, lost) = match self.forward.of {
                Of::Softmax => (dy.dot(&y), of_sum * size(dy, y) + (1.0 + of_sum) * size(dy, kept) + terms),
                Of::LogSoftmax => (dy.sum(), of_sum * dy.iter().map(|dy| dy.abs()).sum::<f64>() + terms),
            };
            for (((bound, dy), y), off) in bound.iter_mut().zip(dy).zip(y).zip(kept) {
                let all = match self.forward.of {
                    Of::Softmax => {
                        let (difference, f) = ((dy - sum).abs(), lost + u * (dy.abs() + sum.abs() + lost));
                        (y.abs() + off) * f + off * difference + 2.0 * u * (y.abs() + off) * (difference + f)
                    }
                    Of::LogSoftmax => {
                        let (power, grown) = (y.exp(), (2.0 * u + off).exp_m1());
                        let small = 2.0 * eta * (sum.abs() + lost) + eta;
                        let product = power * ((1.0 + grown) * lost + grown * sum.abs()) + small;
                        product + 2.0 * u * (dy.abs() + power * sum.abs() + product)
                    }
                };
                *bound = self.forward.inverse * all + 2.0 * eta;
            }
        }
        vec![Tolerance::bound("y·(L + u|…|) or e^y·(L + 2u|Σdy|), and roundings", bound.into_dyn(), &expected[0])]
    }
}

impl Problem for SoftmaxBackward {
    fn inputs(&self, types: Types) -> Vec<Port> {
        // Never infinite: a product that underflows would decide between ∞ and NaN.
        let dy = Port::new("dy", types, self.forward.layout()).factor();
        vec![dy, Port::new("y", types, self.forward.layout())]
    }

    fn outputs(&self, types: Types) -> Vec<Port> {
        vec![Port::new("dx", types, self.forward.layout())]
    }

    /// Outputs of the forward pass are those of inputs.
    fn draw(&self, types: Types, fill: Fill, seed: u64) -> Vec<Data> {
        GRADIENT.draw(self, &self.forward, types, fill, seed)
    }

    fn reference(&self, inputs: &[ArrayD<f64>]) -> Vec<ArrayD<f64>> {
        let three = |x: &ArrayD<f64>| x.clone().into_dimensionality::<Ix3>().expect("n×c×s");
        let (dy, y) = (three(&inputs[0]), three(&inputs[1]));
        let mut dx = ndarray::Array3::zeros(y.dim());
        let lanes = dy.lanes(NdAxis(1)).into_iter().zip(y.lanes(NdAxis(1)));
        for ((dy, y), mut dx) in lanes.zip(dx.lanes_mut(NdAxis(1))) {
            let sum = if self.forward.of == Of::Softmax { dy.dot(&y) } else { dy.sum() };
            for ((dx, dy), y) in dx.iter_mut().zip(dy).zip(y) {
                *dx = self.forward.inverse
                    * match self.forward.of {
                        Of::Softmax => y * (dy - sum),
                        Of::LogSoftmax => dy - y.exp() * sum,
                    };
            }
        }
        vec![dx.into_dyn()]
    }

    fn sums(&self) -> Vec<Sum> {
        self.forward.sums()
    }

    fn tolerance(&self, types: Types, _: Fill, inputs: &[ArrayD<f64>], expected: &[ArrayD<f64>]) -> Vec<Tolerance> {
        self.bounds(types, inputs, None, expected)
    }

    fn operations(&self) -> (f64, Unit) {
        (4.0 * self.forward.extents.len() as f64, Unit::Fma)
    }

    fn degenerate(&self) -> bool {
        self.forward.degenerate()
    }
}

/// The operator `softmax_backward`.
pub static SOFTMAX_BACKWARD: Operator = Operator {
    name: "softmax_backward",
    summary: "gradient of softmax or log-softmax, of its outputs",
    axes: AXES,
    types: &[Types::F32, Types::F64],
    make: |point| Ok(Box::new(SoftmaxBackward { forward: Softmax::of(point)? })),
    workloads: super::softmax::WORKLOADS,
    special_values: "NaN makes its whole line NaN",
    domains: &[],
    gradient: Some(&GRADIENT),
    witness: Witness::Libtorch,
    batch: Some("n"),
};

static GRADIENT: Gradient = Gradient {
    forward: &SOFTMAX,
    point: Clone::clone,
    takes: &[Takes::Upstream(0), Takes::Output(0)],
    gives: &[(0, 0)],
    linear: |_| &[],
    // y alone says nothing of x.
    autograd: None,
    near_kink: SMOOTH,
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gradients_of_a_line_add_up_to_0() {
        for of in [Of::Softmax, Of::LogSoftmax] {
            let problem = SoftmaxBackward { forward: Softmax::new(of, 1, 4, 1).expect("a problem") };
            let array = |values: [f64; 4]| ArrayD::from_shape_vec(vec![1, 4, 1], values.to_vec()).expect("all");
            let forward = problem.forward.reference(&[array([0.5, -1.0, 2.0, 0.0])]).remove(0);
            let dx = problem.reference(&[array([1.0, 2.0, -3.0, 0.25]), forward]).remove(0);
            assert!(dx.sum().abs() < 1e-14 && dx[[0, 2, 0]] < -0.5, "{dx}");
        }
    }
}

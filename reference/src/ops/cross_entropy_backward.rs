//! `cross_entropy_backward`: the gradient of [`cross_entropy`](super::cross_entropy) with respect to the scores.
//!
//! With the logarithms lse kept by the forward pass and the upstream gradient g of a row's loss, which is dloss over
//! the divisor for a mean:
//!
//! ```text
//! dx[j] = g·(e^(x[j] − lse)·S − q[j]),   0 in rows without a label
//! ```
//! with q and S = Σq as in the forward pass. x and dx are n×c, dloss has as many elements as the loss, labels and lse
//! n, weights c, targets n×c. Weights and targets have no gradient.
//!
//! # Derivation of the bounds
//! A power p is off by e^(u|x − lse| + 2u) − 1 of itself. q passes 4 roundings; so does S of one label, and γ(c + 4)
//! where classes are added. The difference is off by those and two roundings of its parts, g by one, a product by
//! another. A witness that computes the forward pass anew has another lse, off by e(lse): p is off by e^e(lse) − 1
//! more. In f64 the reference rounds, too, and errors count twice.

use ndarray::{Array2, ArrayD, Ix2};

use super::cross_entropy::{CROSS_ENTROPY, CrossEntropy, DOMAINS, Reduction, SHARED, WORKLOADS};
use super::layer_norm::rounding;
use crate::gradient::keeping;
use crate::operator::downcast;
use crate::tolerance::{Sum, gamma};
use crate::{Data, Fill, Gradient, Layout, Operator, Port, Problem, Takes, Tolerance, Types, Unit, Witness};

/// A validated gradient.
#[derive(Clone, Debug, PartialEq)]
pub struct CrossEntropyBackward {
    /// The forward pass, whose logarithms are an output.
    pub forward: CrossEntropy,
}

impl CrossEntropyBackward {
    /// Labels, weights and targets.
    fn asked<'a>(&self, inputs: &'a [ArrayD<f64>]) -> [&'a ArrayD<f64>; 3] {
        [&inputs[2], &inputs[4], &inputs[5]]
    }

    /// Of each row with a label and each class: x − lse, q, S, and g.
    fn each(&self, inputs: &[ArrayD<f64>], mut one: impl FnMut([usize; 2], f64, f64, f64, f64)) {
        let p = &self.forward;
        let x = inputs[1].view().into_dimensionality::<Ix2>().expect("n×c");
        let divisor = p.divisor(&inputs[2], &inputs[4]);
        for (i, x) in x.rows().into_iter().enumerate() {
            let Some((q, sum)) = p.targets(self.asked(inputs), i) else { continue };
            let g = inputs[0][[if p.reduction == Reduction::None { i } else { 0 }]] / divisor;
            for (j, (&x, q)) in x.iter().zip(q).enumerate() {
                one([i, j], x - inputs[3][[i]], q, sum, g);
            }
        }
    }

    fn bounds(
        &self,
        types: Types,
        inputs: &[ArrayD<f64>],
        off: Option<&ArrayD<f64>>,
        expected: &[ArrayD<f64>],
    ) -> Vec<Tolerance> {
        let (u, eta) = rounding(types);
        let mut bound = Array2::zeros((self.forward.rows, self.forward.classes));
        let of_sum = gamma(self.forward.classes + 4, u);
        let added = self.forward.soft || self.forward.weighted;
        self.each(inputs, |at, z, q, sum, g| {
            let p = z.exp();
            let grown =
                if p == 0.0 { 0.0 } else { p * (u * (z.abs() + 2.0) + off.map_or(0.0, |off| off[[at[0]]])).exp_m1() };
            let product = sum * grown + if added { of_sum * sum * (p + grown) } else { 0.0 };
            let difference = product + 5.0 * u * (p * sum + product + q) + 2.0 * eta * (1.0 + sum);
            // A witness may add the label's shares up over the classes, each of which may underflow.
            let small = if off.is_some() { (self.forward.classes + 4) as f64 * eta } else { 0.0 };
            bound[at] = small
                + g.abs() * (difference + 3.0 * u * ((p * sum - q).abs() + difference))
                + 2.0 * eta * (1.0 + g.abs() + p * sum + q);
        });
        vec![Tolerance::bound(
            "|g|·(p·S·(e^(u|z| + 2u) − 1) + 5u(p·S + q)), and roundings",
            bound.into_dyn(),
            &expected[0],
        )]
    }
}

impl Problem for CrossEntropyBackward {
    fn inputs(&self, types: Types) -> Vec<Port> {
        // Never infinite: a product that underflows would decide between ∞ and NaN.
        let dloss = self.forward.losses("dloss", types).factor();
        let lse = Port::new("lse", types, Layout::contiguous(&[self.forward.rows]));
        let [weights, targets] = self.forward.asked(types);
        vec![dloss, self.forward.scores("x", types).spread(), self.forward.labels(types), lse, weights, targets]
    }

    fn outputs(&self, types: Types) -> Vec<Port> {
        vec![self.forward.scores("dx", types)]
    }

    /// Logarithms are those of the scores.
    fn draw(&self, types: Types, fill: Fill, seed: u64) -> Vec<Data> {
        GRADIENT.draw(self, &self.forward, types, fill, seed)
    }

    fn reference(&self, inputs: &[ArrayD<f64>]) -> Vec<ArrayD<f64>> {
        let mut dx = Array2::zeros((self.forward.rows, self.forward.classes));
        self.each(inputs, |at, z, q, sum, g| dx[at] = g * (z.exp() * sum - q));
        vec![dx.into_dyn()]
    }

    fn sums(&self) -> Vec<Sum> {
        self.forward.sums()
    }

    fn tolerance(&self, types: Types, _: Fill, inputs: &[ArrayD<f64>], expected: &[ArrayD<f64>]) -> Vec<Tolerance> {
        self.bounds(types, inputs, None, expected)
    }

    /// A witness has logarithms of its own, off by what the forward pass is.
    fn witness_tolerance(
        &self,
        types: Types,
        fill: Fill,
        inputs: &[ArrayD<f64>],
        expected: &[ArrayD<f64>],
    ) -> Vec<Tolerance> {
        let forward = CrossEntropy { keep: true, ..self.forward.clone() };
        let taken = [1, 2, 4, 5].map(|i| inputs[i].clone());
        let kept = forward.reference(&taken);
        let Some(Tolerance::Bound { bound, .. }) = forward.tolerance(types, fill, &taken, &kept).pop() else {
            return self.tolerance(types, fill, inputs, expected);
        };
        let off = bound + (&kept[1] - &inputs[3]).mapv(|x| if x.is_finite() { x.abs() } else { 0.0 });
        self.bounds(types, inputs, Some(&off), expected)
    }

    fn operations(&self) -> (f64, Unit) {
        (8.0 * self.forward.rows as f64 * self.forward.classes as f64, Unit::Fma)
    }

    fn degenerate(&self) -> bool {
        self.forward.degenerate()
    }
}

/// The operator `cross_entropy_backward`.
pub static CROSS_ENTROPY_BACKWARD: Operator = Operator {
    name: "cross_entropy_backward",
    summary: "gradient of cross_entropy with respect to the scores",
    axes: SHARED,
    types: &[Types::F32, Types::F64],
    make: |point| {
        Ok(Box::new(CrossEntropyBackward { forward: CrossEntropy { keep: true, ..CrossEntropy::of(point)? } }))
    },
    workloads: WORKLOADS,
    special_values: "NaN makes its row NaN; rows without a label are 0, whatever they hold",
    domains: DOMAINS,
    gradient: Some(&GRADIENT),
    witness: Witness::Libtorch,
    batch: None,
};

static GRADIENT: Gradient = Gradient {
    forward: &CROSS_ENTROPY,
    point: |point| keeping(CROSS_ENTROPY.axes, point),
    takes: &[Takes::Upstream(0), Takes::Input(0), Takes::Input(1), Takes::Output(1), Takes::Input(2), Takes::Input(3)],
    gives: &[(0, 0)],
    linear: |_| &[],
    autograd: Some(|problem| Box::new(downcast::<CrossEntropyBackward>(problem).forward.clone())),
    // The mean over no row is no number.
    near_kink: |problem, inputs, _| downcast::<CrossEntropy>(problem).divisor(&inputs[1], &inputs[2]) == 0.0,
};

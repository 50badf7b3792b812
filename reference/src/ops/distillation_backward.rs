//! `distillation_backward`: the gradient of [`distillation`](super::distillation) with respect to the student's scores.
//!
//! With the logarithms l, m and k of Σe^x, Σe^(x/T) and Σe^(z/T), kept by the forward pass, and the upstream gradient g
//! of a row's loss, which is dloss over n for a mean:
//!
//! ```text
//! dx[j] = g·(α·T·(e^(x[j]/T − m) − e^(z[j]/T − k)) + (1 − α)·(e^(x[j] − l) − [j = label]))
//! ```
//! x, z and dx are n×c, lse n×3.
//!
//! # Derivation of the bounds
//! A power p of v is off by p·(e^(u(|v| + 2)) − 1), and in a witness that computes the logarithms anew by those, too.
//! With P the sum of the magnitudes of the four terms and E that of their errors, dx is off by |g|·(E + 8u(P + E)). In
//! f64 the reference rounds, too, and errors count twice.

use ndarray::{Array2, ArrayD};

use super::cross_entropy::Reduction;
use super::distillation::{DISTILLATION, Distillation, SHARED, WORKLOADS};
use super::layer_norm::rounding;
use super::row_losses::{divisor, port};
use crate::gradient::{SMOOTH, keeping};
use crate::operator::downcast;
use crate::tolerance::Sum;
use crate::{Data, Fill, Gradient, Operator, Port, Problem, Takes, Tolerance, Types, Unit, Witness};

/// A validated gradient.
#[derive(Clone, Debug, PartialEq)]
pub struct DistillationBackward {
    /// The forward pass, whose logarithms are an output.
    pub forward: Distillation,
}

impl DistillationBackward {
    /// Of each element: g, the exponents of its three powers with their factors, and the label's share.
    fn each(&self, inputs: &[ArrayD<f64>], mut one: impl FnMut([usize; 2], f64, [(f64, f64); 3], f64)) {
        let p = &self.forward;
        let divisor = divisor(p.rows, p.reduction);
        let inverse = 1.0 / p.temperature;
        for i in 0..p.rows {
            let g = inputs[0][[if p.reduction == Reduction::None { i } else { 0 }]] / divisor;
            for j in 0..p.classes {
                let (x, z) = (inputs[1][[i, j]], inputs[2][[i, j]]);
                let lse = |of: usize| inputs[4][[i, of]];
                let softened = p.alpha * p.temperature;
                let powers =
                    [(1.0 - p.alpha, x - lse(0)), (softened, x * inverse - lse(1)), (-softened, z * inverse - lse(2))];
                let share = if inputs[3][[i]] == j as f64 { 1.0 - p.alpha } else { 0.0 };
                one([i, j], g, powers, share);
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
        self.each(inputs, |at, g, powers, share| {
            let (mut size, mut error) = (share, 0.0);
            for (of, (factor, v)) in powers.into_iter().enumerate() {
                let moved = off.map_or(0.0, |off| off[[at[0], of]]);
                let p = v.exp();
                size += factor.abs() * p;
                error += factor.abs()
                    * if p == 0.0 { 2.0 * eta } else { p * (u * (v.abs() + 2.0) + moved).exp_m1() + 2.0 * eta };
            }
            // A witness may add a row's shares up, each of which may underflow.
            let small = if off.is_some() { (self.forward.classes + 4) as f64 * eta } else { 0.0 };
            bound[at] = g.abs() * (error + 8.0 * u * (size + error)) + 4.0 * eta * (1.0 + g.abs() + size) + small;
        });
        vec![Tolerance::bound("|g|·(Σp(e^(u(|v| + 2)) − 1) + 8u·Σp)", bound.into_dyn(), &expected[0])]
    }
}

impl Problem for DistillationBackward {
    fn inputs(&self, types: Types) -> Vec<Port> {
        // Never infinite: a product that underflows would decide between ∞ and NaN.
        let mut ports = vec![port("dloss", types, self.forward.rows, self.forward.reduction).factor()];
        ports.extend(self.forward.operands(types));
        ports.push(self.forward.logarithms(types));
        ports
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
        self.each(inputs, |at, g, powers, share| {
            let sum: f64 = powers.iter().map(|(factor, v)| factor * v.exp()).sum();
            dx[at] = g * (sum - share);
        });
        vec![dx.into_dyn()]
    }

    fn sums(&self) -> Vec<Sum> {
        self.forward.sums()
    }

    fn tolerance(&self, types: Types, _: Fill, inputs: &[ArrayD<f64>], expected: &[ArrayD<f64>]) -> Vec<Tolerance> {
        self.bounds(types, inputs, None, expected)
    }

    /// A witness has logarithms of its own, off by what the forward pass is, and by the rounding of those that are
    /// given.
    fn witness_tolerance(
        &self,
        types: Types,
        _: Fill,
        inputs: &[ArrayD<f64>],
        expected: &[ArrayD<f64>],
    ) -> Vec<Tolerance> {
        let off = self.forward.of_logarithms(types, &inputs[1..4]).mapv(|off| 2.0 * off);
        self.bounds(types, inputs, Some(&off), expected)
    }

    fn operations(&self) -> (f64, Unit) {
        self.forward.operations()
    }

    fn degenerate(&self) -> bool {
        self.forward.degenerate()
    }
}

/// The operator `distillation_backward`.
pub static DISTILLATION_BACKWARD: Operator = Operator {
    name: "distillation_backward",
    summary: "gradient of distillation with respect to the student's scores",
    axes: SHARED,
    types: &[Types::F32, Types::F64],
    make: |point| {
        Ok(Box::new(DistillationBackward { forward: Distillation { keep: true, ..Distillation::of(point)? } }))
    },
    workloads: WORKLOADS,
    special_values: "NaN makes its row NaN; an infinite score is not defined",
    domains: &[],
    gradient: Some(&GRADIENT),
    witness: Witness::Libtorch,
    batch: None,
};

static GRADIENT: Gradient = Gradient {
    forward: &DISTILLATION,
    point: |point| keeping(DISTILLATION.axes, point),
    takes: &[Takes::Upstream(0), Takes::Input(0), Takes::Input(1), Takes::Input(2), Takes::Output(1)],
    gives: &[(0, 0)],
    linear: |_| &[],
    autograd: Some(|problem| Box::new(downcast::<DistillationBackward>(problem).forward.clone())),
    near_kink: SMOOTH,
};

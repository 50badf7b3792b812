//! `triplet_backward`: the gradients of [`triplet`](super::triplet) with respect to its three operands.
//!
//! With the distances kept by the forward pass and the upstream gradient g of a row's loss, dloss over n for a mean,
//! where margin + d(a, p) − d(a, n) is at least 0:
//!
//! ```text
//! v = g·(a − p + ε)/d(a, p),   w = g·(a − n + ε)/d(a, n),   0 where the distance is 0
//! da = v − w,   dp = −v,   dn = w
//! ```
//! Elsewhere all are 0. Operands and gradients are n×c, distances n×2.
//!
//! # Derivation of the bounds
//! A difference is off by 3u of its magnitude, a quotient by a rounding, a product by another, da by one more. A
//! witness that computes the distances anew divides by others, off by e: the quotient is off by its e/(d − e), and by
//! no more than 2, as no difference exceeds the distance. Where the excess is nearer to 0 than the errors of what it is
//! made of, all or nothing is right. In f64 the reference rounds, too, and errors count twice.

use ndarray::{Array2, ArrayD};

use super::cross_entropy::Reduction;
use super::layer_norm::rounding;
use super::row_losses::{divisor, port};
use super::triplet::{EPSILON, SHARED, TRIPLET, Triplet, WORKLOADS};
use crate::gradient::keeping;
use crate::operator::downcast;
use crate::{Data, Fill, Gradient, Operator, Port, Problem, Takes, Tolerance, Types, Unit, Witness};

/// A validated gradient.
#[derive(Clone, Debug, PartialEq)]
pub struct TripletBackward {
    /// The forward pass, whose distances are an output.
    pub forward: Triplet,
}

impl TripletBackward {
    /// Of each element: g, the differences, and the distances.
    fn each(&self, inputs: &[ArrayD<f64>], mut one: impl FnMut([usize; 2], f64, [f64; 2], [f64; 2])) {
        let p = &self.forward;
        let divisor = divisor(p.rows, p.reduction);
        for i in 0..p.rows {
            let g = inputs[0][[if p.reduction == Reduction::None { i } else { 0 }]] / divisor;
            let distances = [0, 1].map(|of| inputs[4][[i, of]]);
            for j in 0..p.columns {
                let at = [i, j];
                one(at, g, [2, 3].map(|of| inputs[1][at] - inputs[of][at] + EPSILON), distances);
            }
        }
    }

    /// da, dp and dn of v and w.
    fn gradients([v, w]: [f64; 2]) -> [f64; 3] {
        [v - w, -v, w]
    }

    fn bounds(
        &self,
        types: Types,
        inputs: &[ArrayD<f64>],
        off: Option<&[[f64; 2]]>,
        expected: &[ArrayD<f64>],
    ) -> Vec<Tolerance> {
        let (u, eta) = rounding(types);
        let shape = (self.forward.rows, self.forward.columns);
        let mut bounds = [(); 3].map(|()| Array2::zeros(shape));
        self.each(inputs, |at, g, differences, distances| {
            let size = self.forward.margin + distances[0] + distances[1];
            let moved = off.map_or([0.0; 2], |off| off[at[0]]);
            let excess = self.forward.excess(distances);
            let near = 4.0 * u * size + moved[0] + moved[1];
            let either = excess.abs() <= near;
            let errors = [0, 1].map(|of| {
                let (d, e) = (distances[of], moved[of]);
                let quotient = if d == 0.0 { 0.0 } else { (differences[of] / d).abs() };
                let apart = if e < d { (quotient * e / (d - e)).min(2.0) } else { 2.0 * f64::from(e > 0.0) };
                let small = 3.0 * u * EPSILON / d.max(EPSILON);
                let error = apart + small + 8.0 * u * (quotient + apart) + eta;
                if either {
                    g.abs() * (quotient + error) + 4.0 * eta
                } else if excess < 0.0 {
                    0.0
                } else {
                    g.abs() * error + 4.0 * eta
                }
            });
            for (bound, error) in bounds.iter_mut().zip([errors[0] + errors[1], errors[0], errors[1]]) {
                bound[at] = if error.is_nan() { 0.0 } else { error };
            }
        });
        let formula = "|g|·(8u·|d|/distance), or all where the excess may turn its sign";
        bounds.into_iter().zip(expected).map(|(bound, y)| Tolerance::bound(formula, bound.into_dyn(), y)).collect()
    }
}

impl Problem for TripletBackward {
    fn inputs(&self, types: Types) -> Vec<Port> {
        // Never infinite: a quotient that is 0 would decide between 0 and NaN.
        let mut ports = vec![port("dloss", types, self.forward.rows, self.forward.reduction).factor()];
        ports.extend(self.forward.operands(types));
        ports.push(self.forward.distances(types));
        ports
    }

    fn outputs(&self, types: Types) -> Vec<Port> {
        ["danchor", "dpositive", "dnegative"].map(|name| self.forward.samples(name, types)).into()
    }

    /// Distances are those of the operands.
    fn draw(&self, types: Types, fill: Fill, seed: u64) -> Vec<Data> {
        GRADIENT.draw(self, &self.forward, types, fill, seed)
    }

    fn reference(&self, inputs: &[ArrayD<f64>]) -> Vec<ArrayD<f64>> {
        let shape = (self.forward.rows, self.forward.columns);
        let mut outputs = [(); 3].map(|()| Array2::zeros(shape));
        self.each(inputs, |at, g, differences, distances| {
            let excess = self.forward.excess(distances);
            let parts = [0, 1].map(|of| match distances[of] {
                0.0 => 0.0,
                distance => g * (differences[of] / distance),
            });
            for (output, value) in outputs.iter_mut().zip(TripletBackward::gradients(parts)) {
                // NaN in a distance is one in all gradients.
                output[at] = match excess {
                    _ if excess.is_nan() => excess,
                    _ if excess < 0.0 => 0.0,
                    _ => value,
                };
            }
        });
        outputs.map(|output| output.into_dyn()).into()
    }

    fn tolerance(&self, types: Types, _: Fill, inputs: &[ArrayD<f64>], expected: &[ArrayD<f64>]) -> Vec<Tolerance> {
        self.bounds(types, inputs, None, expected)
    }

    fn witness_tolerance(
        &self,
        types: Types,
        _: Fill,
        inputs: &[ArrayD<f64>],
        expected: &[ArrayD<f64>],
    ) -> Vec<Tolerance> {
        let mut off = Vec::new();
        self.forward.each(&inputs[1..4], types, |_, own| off.push(own.map(|off| 2.0 * off)));
        self.bounds(types, inputs, Some(&off), expected)
    }

    fn operations(&self) -> (f64, Unit) {
        self.forward.operations()
    }

    fn degenerate(&self) -> bool {
        self.forward.degenerate()
    }
}

/// The operator `triplet_backward`.
pub static TRIPLET_BACKWARD: Operator = Operator {
    name: "triplet_backward",
    summary: "gradients of triplet with respect to anchor, positive and negative samples",
    axes: SHARED,
    types: &[Types::F32, Types::F64],
    make: |point| Ok(Box::new(TripletBackward { forward: Triplet { keep: true, ..Triplet::of(point)? } })),
    workloads: WORKLOADS,
    special_values: "NaN makes its row NaN; where the excess is 0, the slope is 1; at a distance of 0 it is 0",
    domains: &[],
    gradient: Some(&GRADIENT),
    witness: Witness::Libtorch,
    batch: None,
};

static GRADIENT: Gradient = Gradient {
    forward: &TRIPLET,
    point: |point| keeping(TRIPLET.axes, point),
    takes: &[Takes::Upstream(0), Takes::Input(0), Takes::Input(1), Takes::Input(2), Takes::Output(1)],
    gives: &[(0, 0), (1, 1), (2, 2)],
    linear: |_| &[],
    autograd: Some(|problem| Box::new(downcast::<TripletBackward>(problem).forward.clone())),
    near_kink: |problem, inputs, eps| {
        let p = downcast::<Triplet>(problem);
        let mut near = false;
        p.each(inputs, Types::F64, |distances, _| {
            near |= p.excess(distances).abs() <= 10.0 * eps || distances.iter().any(|d| *d <= 1000.0 * eps);
        });
        near
    },
};

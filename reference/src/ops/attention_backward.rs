//! `attention_backward`: the gradients of [`attention`](super::attention) with respect to queries, keys and values.
//!
//! Of the forward pass, y and the logarithms lse are kept; scores s are computed again. For each query i and each key j
//! that it sees:
//!
//! ```text
//! p[i, j] = min(1, e^(s[i, j] − lse[i]))             δ[i] = Σ dy[i, ·]·y[i, ·]
//! t[i, j] = p[i, j]·(Σ dy[i, ·]·v[j, ·] − δ[i])
//! dv[j, ·] = Σ p[i, j]·dy[i, ·]                      over the queries of all heads that read v
//! dk[j, ·] = scale·Σ t[i, j]·q[i, ·]
//! dq[i, ·] = scale·Σ t[i, j]·k[j, ·]
//! ```
//! Shapes are those of `attention`. What a query does not see counts in no sum.
//!
//! **Order of summation**: queries of a head of keys follow each other, those of its first head of queries first, in blocks
//! of 96; keys in blocks of 96. Scores are those of the forward pass, to the base 2, from which `lse·log₂e`, rounded, is
//! taken; powers are those of the forward pass. Products with v are those of [`gemm`](super::gemm), as scores are; δ is one
//! chain. Sums over a block are chains; then they are added to those of the blocks before, with the scale as α of dq and
//! dk.
//!
//! # Derivation of the bounds
//! With δ(s) the error of a score as in the forward pass, the exponent x is off by E = δ(s) + u·(4|lse| + |s −
//! lse|) + 8u: p is between e^(x − E) and P = min(1, e^(x + E)), off by the larger distance and, where it is dropped,
//! by 2⁻¹²⁴: together e. The difference in t is off by f = γ(chain(Dv) + 1)·Σ|dy||v| +
//! γ(Dv)·Σ|dy||y| + u·|difference|; so t is off by g = P·(f + 2u(|difference| + f)) + e·|difference|. A sum over blocks of 96 passes c = 96 + blocks + 2 roundings: of terms x that are off by
//! e it is off by Σ(e + γ(c)(|x| + e))·|factor|. A witness that computes the forward pass anew has another y and lse,
//! off by what the forward pass is: the first is in f with Σ|dy|e(y), the second in E.

use ndarray::{Array4, ArrayD, ArrayView1, Axis as NdAxis, Ix4};

use super::attention::{ATTENTION, AXES, Attention, BLOCK, DOMAINS, lowest};
use super::attention_rows::At;
use super::gemm::chain;
use crate::gradient::{SMOOTH, keeping};
use crate::operator::downcast;
use crate::tolerance::{Sum, gamma};
use crate::{Axis, DType, Data, Fill, Gradient, Operator, Port, Problem, Takes, Tolerance, Types, Unit, Witness};

/// All but whether logarithms are an output.
const OWN: &[Axis] = AXES.split_at(AXES.len() - 1).0;

/// A validated gradient.
#[derive(Clone, Debug, PartialEq)]
pub struct AttentionBackward {
    /// The forward pass, whose logarithms are an output.
    pub forward: Attention,
}

/// Positions of the inputs: those of the forward pass begin at q.
const DY: usize = 0;
const Q: usize = 1;
const Y: usize = 6;
const LSE: usize = 7;

/// A pair of a query and a key that it sees.
struct Pair<'a> {
    i: usize,
    score: f64,
    /// scale·Σ|q||k|.
    size: f64,
    /// What is added to the score.
    added: f64,
    lse: f64,
    /// Σ dy·v, and of the magnitudes.
    product: (f64, f64),
    /// Σ dy·y, and of the magnitudes.
    of_outputs: (f64, f64),
    dy: ArrayView1<'a, f64>,
}

/// At most 1; NaN stays.
fn at_most_1(p: f64) -> f64 {
    if p > 1.0 { 1.0 } else { p }
}

/// p of a pair: 0 where its query sees nothing but −∞.
fn power(pair: &Pair<'_>) -> f64 {
    // No power is above 1: what is above 0 was rounded.
    if pair.lse == f64::NEG_INFINITY { 0.0 } else { at_most_1((pair.score - pair.lse).exp()) }
}

fn dot(x: ArrayView1<'_, f64>, y: ArrayView1<'_, f64>) -> (f64, f64) {
    x.iter().zip(y).fold((0.0, 0.0), |(sum, size), (x, y)| (sum + x * y, size + (x * y).abs()))
}

/// The gradients of q, k and v.
struct Sums {
    dq: Array4<f64>,
    dk: Array4<f64>,
    dv: Array4<f64>,
}

impl AttentionBackward {
    /// Of a forward pass.
    ///
    /// # Errors
    /// As [`Attention::validated`].
    pub fn new(forward: Attention) -> Result<AttentionBackward, crate::ProblemError> {
        Ok(AttentionBackward { forward: Attention { logarithms: true, ..forward }.validated()? })
    }

    /// Sums over all pairs: of each, `weights` gives the factors of dy in dv and of q and k in dk and dq. With `size`, of
    /// the magnitudes.
    fn sums(
        &self,
        inputs: &[ArrayD<f64>],
        size: bool,
        mut weights: impl FnMut([usize; 2], &Pair<'_>) -> (f64, f64),
    ) -> Sums {
        let p = &self.forward;
        let four = |i: usize| inputs[i].view().into_dimensionality::<Ix4>().expect("four dimensions");
        let zeros = |i: usize| Array4::zeros(four(i).dim());
        let mut sums = Sums { dq: zeros(Q), dk: zeros(Q + 1), dv: zeros(Q + 2) };
        let (dy, q, k, y) = (four(DY), four(Q), four(Q + 1), four(Y));
        p.each_row(&inputs[Q..Y], |At { b, h, i, v }, seen| {
            let of = h / p.group;
            let row = |x: &ndarray::ArrayView4<'_, f64>, head: usize, i: usize| -> ndarray::Array1<f64> {
                x.index_axis(NdAxis(0), b).index_axis_move(NdAxis(0), head).index_axis_move(NdAxis(0), i).to_owned()
            };
            let (dy, q, y) = (row(&dy, h, i), row(&q, h, i), row(&y, h, i));
            let lse = inputs[LSE][[b, h, i]];
            let of_outputs = dot(dy.view(), y.view());
            let magnitude = |x: &ndarray::Array1<f64>| if size { x.mapv(f64::abs) } else { x.clone() };
            let (dy_factor, q_factor) = (magnitude(&dy), magnitude(&q));
            let keys = k.index_axis(NdAxis(0), b).index_axis_move(NdAxis(0), of);
            let mut dq =
                sums.dq.index_axis_mut(NdAxis(0), b).index_axis_move(NdAxis(0), h).index_axis_move(NdAxis(0), i);
            let mut dk = sums.dk.index_axis_mut(NdAxis(0), b).index_axis_move(NdAxis(0), of);
            let mut dv = sums.dv.index_axis_mut(NdAxis(0), b).index_axis_move(NdAxis(0), of);
            for seen in seen {
                let j = seen.key;
                let product = dot(dy.view(), v.index_axis(NdAxis(0), j));
                let (score, size_of, added) = (seen.score, seen.size, seen.added);
                let pair = Pair { i, score, size: size_of, added, lse, product, of_outputs, dy: dy.view() };
                let (of_value, of_score) = weights([b, h], &pair);
                dv.index_axis_mut(NdAxis(0), j).scaled_add(of_value, &dy_factor);
                let of_score = of_score * p.scale;
                dk.index_axis_mut(NdAxis(0), j).scaled_add(of_score, &q_factor);
                let key = keys.index_axis(NdAxis(0), j);
                if size { dq.scaled_add(of_score, &key.mapv(f64::abs)) } else { dq.scaled_add(of_score, &key) }
            }
        });
        sums
    }

    /// The bounds where y and lse are off by so much.
    fn bounds(
        &self,
        types: Types,
        inputs: &[ArrayD<f64>],
        kept: Option<&[ArrayD<f64>]>,
        expected: &[ArrayD<f64>],
    ) -> Vec<Tolerance> {
        let p = &self.forward;
        let accumulator = types.accumulator;
        let sides = if accumulator == DType::F64 { 2.0 } else { 1.0 };
        let (u, eta) = (sides * accumulator.unit_roundoff(), sides * accumulator.underflow());
        let dropped = (lowest(accumulator) + 1.0).exp2();
        let of_scores = gamma(chain(p.depth) + 2, u);
        let (of_products, of_outputs) = (gamma(chain(p.width) + 1, u), gamma(p.width + 1, u));
        let rows = p.group * p.queries;
        let of_sums = gamma(BLOCK + p.keys.max(rows).div_ceil(BLOCK) + 2, u);
        let sums = self.sums(inputs, true, |[b, h], pair| {
            let (off_y, off_lse) = kept.map_or((0.0, 0.0), |kept| {
                let of_y = (pair.dy.iter().enumerate()).map(|(c, dy)| dy.abs() * kept[0][[b, h, pair.i, c]]).sum();
                (of_y, kept[1][[b, h, pair.i]])
            });
            let score = of_scores * pair.size + 2.0 * u * (pair.added.abs() + pair.score.abs()) + eta;
            let p = power(pair);
            let difference = (pair.product.0 - pair.of_outputs.0).abs();
            let f = of_products * pair.product.1 + of_outputs * pair.of_outputs.1 + off_y + u * difference + eta;
            let exponent = pair.score - pair.lse;
            if pair.lse == f64::NEG_INFINITY || pair.score == f64::NEG_INFINITY {
                return (dropped, dropped * (difference + f) + eta);
            }
            let off = score + off_lse + u * (4.0 * pair.lse.abs() + exponent.abs()) + 8.0 * u;
            let (most, least) = ((exponent + off).min(0.0).exp() * (1.0 + 8.0 * u), (exponent - off).exp());
            let e = (most - p).max(p - least) + dropped;
            let t = p * difference;
            let g = (most + dropped) * (f + 2.0 * u * (difference + f)) + e * difference + eta;
            (e + of_sums * (p + e), g + of_sums * (t + g))
        });
        let formulas = ["Σ(g + γ(c)(|t| + g))·scale·|k|", "Σ(g + γ(c)(|t| + g))·scale·|q|", "Σ(e + γ(c)(p + e))·|dy|"];
        let bounds = [sums.dq, sums.dk, sums.dv].map(|sum| sum.into_dyn());
        let terms = (p.keys.max(rows) + 1) as f64 * eta;
        (formulas.into_iter().zip(bounds).zip(expected))
            .map(|((formula, mut bound), y)| {
                bound.zip_mut_with(y, |bound, y| *bound += 2.0 * u * y.abs() + terms);
                Tolerance::bound(formula, bound, y)
            })
            .collect()
    }
}

impl Problem for AttentionBackward {
    fn inputs(&self, types: Types) -> Vec<Port> {
        let [y, lse] = <[Port; 2]>::try_from(self.forward.outputs(types)).expect("two outputs");
        let forward = self.forward.inputs(types).into_iter().enumerate();
        // Never infinite: a product that underflows would decide between ∞ and NaN.
        let forward = forward.map(|(index, port)| if index < 3 { port.factor() } else { port });
        let dy = Port { name: "dy", ..y.clone() }.factor();
        std::iter::once(dy).chain(forward).chain([y, lse]).collect()
    }

    fn outputs(&self, types: Types) -> Vec<Port> {
        let names = ["dq", "dk", "dv"];
        let of = |(name, port): (&'static str, Port)| Port::new(name, types, port.layout);
        names.into_iter().zip(self.forward.inputs(types)).map(of).collect()
    }

    /// Outputs of the forward pass are those of the inputs.
    fn draw(&self, types: Types, fill: Fill, seed: u64) -> Vec<Data> {
        GRADIENT.draw(self, &self.forward, types, fill, seed)
    }

    fn reference(&self, inputs: &[ArrayD<f64>]) -> Vec<ArrayD<f64>> {
        let sums = self.sums(inputs, false, |_, pair| {
            let p = power(pair);
            (p, p * (pair.product.0 - pair.of_outputs.0))
        });
        vec![sums.dq.into_dyn(), sums.dk.into_dyn(), sums.dv.into_dyn()]
    }

    fn tolerance(&self, types: Types, _: Fill, inputs: &[ArrayD<f64>], expected: &[ArrayD<f64>]) -> Vec<Tolerance> {
        self.bounds(types, inputs, None, expected)
    }

    /// A witness has outputs of its own, off by what the forward pass is.
    fn witness_tolerance(
        &self,
        types: Types,
        fill: Fill,
        inputs: &[ArrayD<f64>],
        expected: &[ArrayD<f64>],
    ) -> Vec<Tolerance> {
        let forward = &inputs[Q..Y];
        let kept = self.forward.reference(forward);
        let off = self.forward.tolerance(types, fill, forward, &kept).into_iter().zip(&kept).zip(&inputs[Y..]);
        let off: Vec<ArrayD<f64>> = off
            .map(|((tolerance, y), given)| match tolerance {
                Tolerance::Exact => (y - given).mapv(f64::abs),
                // Where both are −∞, nothing is off.
                Tolerance::Bound { bound, .. } => bound + (y - given).mapv(|x| if x.is_nan() { 0.0 } else { x.abs() }),
            })
            .collect();
        self.bounds(types, inputs, Some(&off), expected)
    }

    fn sums(&self) -> Vec<Sum> {
        let p = &self.forward;
        let most = p.keys.max(p.group * p.queries).max(1);
        let mut sums = p.sums();
        sums.push(Sum::new(p.width.max(1), chain(p.width.max(1)), "of products with v"));
        sums.push(Sum::new(most, most.min(BLOCK) + most.div_ceil(BLOCK), "over rows or keys"));
        sums
    }

    /// Scores, products with v, and three sums.
    fn operations(&self) -> (f64, Unit) {
        let p = &self.forward;
        let (forward, unit) = p.operations();
        let each = (3 * p.depth + 2 * p.width) as f64 / (p.depth + p.width) as f64;
        (forward * each, unit)
    }

    fn degenerate(&self) -> bool {
        self.forward.degenerate()
    }
}

/// The operator `attention_backward`.
pub static ATTENTION_BACKWARD: Operator = Operator {
    name: "attention_backward",
    summary: "gradients of attention with respect to queries, keys and values, from its outputs and logarithms",
    axes: OWN,
    types: &[Types::F32, Types::F64],
    make: |point| Ok(Box::new(AttentionBackward::new(Attention::of(&keeping(ATTENTION.axes, point))?)?)),
    workloads: super::attention_workloads::ATTENTION_BACKWARD,
    special_values: "NaN and ∞ follow the formula, of the pairs that count; what a query does not see is in no sum",
    domains: DOMAINS,
    gradient: Some(&GRADIENT),
    witness: Witness::Libtorch,
    batch: Some("n"),
};

static GRADIENT: Gradient = Gradient {
    forward: &ATTENTION,
    point: |point| keeping(ATTENTION.axes, point),
    takes: &[
        Takes::Upstream(0),
        Takes::Input(0),
        Takes::Input(1),
        Takes::Input(2),
        Takes::Input(3),
        Takes::Input(4),
        Takes::Output(0),
        Takes::Output(1),
    ],
    gives: &[(0, 0), (1, 1), (2, 2)],
    linear: |_| &[],
    autograd: Some(|problem| Box::new(downcast::<AttentionBackward>(problem).forward.clone())),
    near_kink: SMOOTH,
};

#[cfg(test)]
mod tests {
    use super::*;

    /// Of two equal keys each has half: dv is half of dy, and the gradients of the scores are ±(v₀ − v₁)·dy/4.
    #[test]
    fn two_equal_keys_share_a_gradient() {
        let forward = Attention { logarithms: true, ..Attention::new(1, 2, 1, 1).expect("a problem") };
        let problem = AttentionBackward::new(forward).expect("a problem");
        let array = |values: &[f64], shape: &[usize]| ArrayD::from_shape_vec(shape, values.to_vec()).expect("all");
        let none = || ArrayD::zeros(vec![0]);
        let inputs = [
            array(&[2.0], &[1, 1, 1, 1]),
            array(&[3.0], &[1, 1, 1, 1]),
            array(&[5.0, 5.0], &[1, 1, 2, 1]),
            array(&[1.0, 7.0], &[1, 1, 2, 1]),
            none(),
            none(),
            array(&[4.0], &[1, 1, 1, 1]),
            array(&[15.0 + std::f64::consts::LN_2], &[1, 1, 1]),
        ];
        let found = problem.reference(&inputs);
        let all: Vec<f64> = found.iter().flatten().copied().collect();
        let wanted = [0.0, -9.0, 9.0, 1.0, 1.0];
        assert!(all.iter().zip(wanted).all(|(found, wanted)| (found - wanted).abs() < 1e-12), "{all:?}");
    }
}

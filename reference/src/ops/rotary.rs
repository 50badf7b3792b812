//! `rotary`: pairs of elements of queries and keys turned by angles that grow with the position (rotary embedding).
//!
//! x and y are N×S×H×D, D even: N sequences of S rows of H heads. The cosines and sines of the angles are operands,
//! S×D/2 each, the same for all sequences and heads. For pair j of a row:
//!
//! ```text
//! y₁ = x₁·cos − x₂·sin,   y₂ = x₂·cos + x₁·sin
//! ```
//! A pair is j and j + D/2 with `pairs=halves`, as GPT-NeoX and Llama have it, and 2j and 2j + 1 with
//! `pairs=neighbours`, as GPT-J has it. [`rotary_backward`](super::rotary_backward) turns the other way.
//!
//! **Order of operations**: the product with the cosine, then one fused operation with the sine.
//!
//! # Derivation of the bounds
//! y₁ has a rounded product and a rounded sum: u·(2|x₁·cos| + |x₂·sin|), y₂ likewise. In f64 the reference rounds, too,
//! and errors count twice. A witness also rounds the second product: u·|x₂·sin| more.

use ndarray::{Array4, ArrayD, Ix2, Ix4};

use super::gemm::choice_value;
use crate::operator::{elements, size};
use crate::{
    Axis, DType, Fill, Layout, Operator, Point, Port, Problem, ProblemError, Tolerance, Types, Unit, Witness, Workload,
};

pub(super) const AXES: &[Axis] = &[
    Axis::choice("pairs", "which elements turn together: j and j + D/2, or 2j and 2j + 1", &["halves", "neighbours"])
        .variant(),
    Axis::int("n", "sequences", 1, 4, &[0, 1, 2, 5]),
    Axis::int("s", "rows of a sequence", 1, 20, &[0, 1, 2, 3, 17, 33, 65]),
    Axis::int("h", "heads of a row", 1, 5, &[0, 1, 2, 3, 8]),
    Axis::int("d", "pairs of a head", 1, 70, &[0, 1, 2, 7, 8, 9, 15, 16, 17, 31, 32, 33, 64]),
];

/// A validated turn.
#[derive(Clone, Debug, PartialEq)]
pub struct Rotary {
    /// Whether pairs are neighbours.
    pub neighbours: bool,
    /// Sequences N.
    pub batch: usize,
    /// Rows S.
    pub rows: usize,
    /// Heads H.
    pub heads: usize,
    /// Pairs of a head, D/2.
    pub pairs: usize,
    /// Whether it turns the other way.
    pub back: bool,
}

impl Rotary {
    pub(super) fn of(point: &Point, back: bool) -> Result<Rotary, ProblemError> {
        let [batch, rows, heads, pairs] = [size(point, "n")?, size(point, "s")?, size(point, "h")?, size(point, "d")?];
        let neighbours = choice_value(point, "pairs")? == "neighbours";
        // Strides are products of some of the extents: an extent of 0 does not excuse the others.
        elements("n·s·h·2·d", &[batch.max(1), rows.max(1), heads.max(1), 2, pairs.max(1)])?;
        Ok(Rotary { neighbours, batch, rows, heads, pairs, back })
    }

    /// Both elements of pair `j`.
    pub fn pair(&self, j: usize) -> [usize; 2] {
        if self.neighbours { [2 * j, 2 * j + 1] } else { [j, j + self.pairs] }
    }

    /// Of each pair, both results as `of` makes them: of the element that is multiplied with the cosine, the other one, the
    /// cosine, and the sine with its sign.
    fn map(&self, inputs: &[ArrayD<f64>], of: impl Fn(f64, f64, f64, f64) -> f64) -> ArrayD<f64> {
        let x = inputs[0].view().into_dimensionality::<Ix4>().expect("N×S×H×D");
        let [cos, sin] = [1, 2].map(|i| inputs[i].view().into_dimensionality::<Ix2>().expect("S×D/2"));
        let mut y = Array4::zeros(x.raw_dim());
        let sign = if self.back { -1.0 } else { 1.0 };
        for (n, s, h, j) in ndarray::indices((self.batch, self.rows, self.heads, self.pairs)) {
            let [first, second] = self.pair(j);
            let (x1, x2) = (x[[n, s, h, first]], x[[n, s, h, second]]);
            let (cos, sin) = (cos[[s, j]], sign * sin[[s, j]]);
            y[[n, s, h, first]] = of(x1, x2, cos, -sin);
            y[[n, s, h, second]] = of(x2, x1, cos, sin);
        }
        y.into_dyn()
    }

    fn bound(&self, types: Types, inputs: &[ArrayD<f64>], expected: &[ArrayD<f64>], products: f64) -> Vec<Tolerance> {
        let sides = if types.accumulator == DType::F64 { 2.0 } else { 1.0 };
        let (u, eta) = (sides * types.accumulator.unit_roundoff(), sides * types.accumulator.underflow());
        let bound = self.map(inputs, |x, other, cos, sin| {
            let (own, of_other) = ((x * cos).abs(), (other * sin).abs());
            u * ((2.0 + u) * own + products * (1.0 + u) * of_other) + 3.0 * eta
        });
        vec![Tolerance::bound("u·(2|x₁·cos| + |x₂·sin|)", bound, &expected[0])]
    }
}

impl Problem for Rotary {
    fn inputs(&self, types: Types) -> Vec<Port> {
        let angles = |name| Port::new(name, types, Layout::contiguous(&[self.rows, self.pairs])).weights();
        vec![self.rows_of(if self.back { "dy" } else { "x" }, types), angles("cos"), angles("sin")]
    }

    fn outputs(&self, types: Types) -> Vec<Port> {
        vec![self.rows_of(if self.back { "dx" } else { "y" }, types)]
    }

    fn reference(&self, inputs: &[ArrayD<f64>]) -> Vec<ArrayD<f64>> {
        vec![self.map(inputs, |x, other, cos, sin| x * cos + other * sin)]
    }

    fn tolerance(&self, types: Types, _: Fill, inputs: &[ArrayD<f64>], expected: &[ArrayD<f64>]) -> Vec<Tolerance> {
        self.bound(types, inputs, expected, 1.0)
    }

    fn witness_tolerance(
        &self,
        types: Types,
        _: Fill,
        inputs: &[ArrayD<f64>],
        expected: &[ArrayD<f64>],
    ) -> Vec<Tolerance> {
        self.bound(types, inputs, expected, 2.0)
    }

    fn operations(&self) -> (f64, Unit) {
        (8.0 * (self.batch * self.rows * self.heads) as f64 * self.pairs as f64, Unit::Fma)
    }

    fn differentiable(&self) -> Vec<usize> {
        if self.back { vec![] } else { vec![0] }
    }

    fn degenerate(&self) -> bool {
        self.pairs < 2
    }
}

impl Rotary {
    fn rows_of(&self, name: &'static str, types: Types) -> Port {
        Port::new(name, types, Layout::contiguous(&[self.batch, self.rows, self.heads, 2 * self.pairs]))
    }
}

const fn w(name: &'static str, point: &'static str, source: &'static str) -> Workload {
    Workload::new(name, point, source)
}

/// Of the gradient, too.
pub(super) static WORKLOADS: &[Workload] = &[
    w("small.7x5", "pairs=halves,s=7,h=5,d=33", "composed for the suite").smoke(),
    w("gptj.small", "pairs=neighbours,s=16,h=4,d=32", "composed for the suite").smoke(),
    w("llama2.prefill512", "pairs=halves,s=512,h=32,d=64", "Llama 2 7B, queries of 512 rows"),
    w("llama2.decode", "pairs=halves,s=1,h=32,d=64", "Llama 2 7B, queries of one row"),
    w("gptj.prefill512", "pairs=neighbours,s=512,h=16,d=32", "GPT-J 6B, the first 64 elements of a head"),
];

/// The operator `rotary`.
pub static ROTARY: Operator = Operator {
    name: "rotary",
    summary: "rotary embedding: pairs of elements of queries and keys turned by angles of their position",
    axes: AXES,
    types: &[Types::F32, Types::F64],
    make: |point| Ok(Box::new(Rotary::of(point, false)?)),
    workloads: WORKLOADS,
    special_values: "NaN and ∞ follow the formula, and stay in their pair",
    domains: &[],
    gradient: None,
    witness: Witness::Libtorch,
    batch: Some("n"),
};

#[cfg(test)]
mod tests {
    use super::*;

    fn turned(point: &str, x: &[f64], angles: &[f64]) -> Vec<f64> {
        let problem = ROTARY.problem(&Point::parse(AXES, point).expect("a point")).expect("a problem");
        let given = [x.to_vec(), angles.iter().map(|a| a.cos()).collect(), angles.iter().map(|a| a.sin()).collect()];
        let arrays: Vec<ArrayD<f64>> = (problem.inputs(Types::F64).iter().zip(given))
            .map(|(port, values)| ArrayD::from_shape_vec(port.layout.shape.clone(), values).expect("all"))
            .collect();
        problem.reference(&arrays).swap_remove(0).iter().copied().collect()
    }

    #[test]
    fn a_quarter_turn_swaps_a_pair() {
        let angles = [std::f64::consts::FRAC_PI_2, 0.0];
        let close = |found: Vec<f64>, wanted: [f64; 4]| found.iter().zip(wanted).all(|(x, y)| (x - y).abs() < 1e-15);
        assert!(close(turned("pairs=halves,s=1,h=1,d=2", &[1.0, 2.0, 3.0, 4.0], &angles), [-3.0, 2.0, 1.0, 4.0]));
        assert!(close(turned("pairs=neighbours,s=1,h=1,d=2", &[1.0, 2.0, 3.0, 4.0], &angles), [-2.0, 1.0, 3.0, 4.0]));
    }

    #[test]
    fn sizes_that_do_not_fit_are_an_error() {
        let point = Point::parse(AXES, "pairs=halves,s=4611686018427387904,d=4").expect("a point");
        assert!(matches!(ROTARY.problem(&point), Err(ProblemError::Overflow { .. })));
    }
}

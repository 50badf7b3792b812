//! How far from the reference an output may be.

use ndarray::ArrayD;

use crate::{DType, Fill, Types};

/// What a correct output satisfies.
#[derive(Clone, Debug)]
pub enum Tolerance {
    /// Equal to the reference rounded to the output's dtype, bit for bit (any NaN for NaN; −0 equals +0).
    Exact,
    /// `|y − ŷ| ≤ bound`, element by element. NaN for NaN and the same infinity for an infinity.
    Bound {
        /// The formula, for people.
        formula: &'static str,
        /// Its value for each element: a number, at least 0. Anything else is a fault of the definition, and fails.
        bound: ArrayD<f64>,
    },
}

impl Tolerance {
    /// A formula and its value for each element. Where the reference is NaN or infinite, nothing is off by a little: only the
    /// class counts, and the bound is 0 there, whatever the formula makes of such numbers.
    ///
    /// # Panics
    /// If the shapes differ.
    pub fn bound(formula: &'static str, mut bound: ArrayD<f64>, expected: &ArrayD<f64>) -> Tolerance {
        ndarray::Zip::from(&mut bound).and(expected).for_each(|bound, y| {
            if !y.is_finite() {
                *bound = 0.0;
            }
        });
        Tolerance::Bound { formula, bound }
    }

    /// [`bound`](Tolerance::bound) behind an activation whose limit at −∞ is 0 (ReLU, GELU). An infinite bound says that a
    /// summand is infinite, so that the sum is NaN, ∞ or −∞. Where the reference is 0, it was −∞, of which the activation makes
    /// 0 without a rounding.
    ///
    /// # Panics
    /// If the shapes differ.
    pub fn bound_behind_zero(formula: &'static str, mut bound: ArrayD<f64>, expected: &ArrayD<f64>) -> Tolerance {
        ndarray::Zip::from(&mut bound).and(expected).for_each(|bound, &y| {
            if *bound == f64::INFINITY && y == 0.0 {
                *bound = 0.0;
            }
        });
        Tolerance::bound(formula, bound, expected)
    }

    /// The formula, for people.
    pub fn formula(&self) -> &'static str {
        match self {
            Tolerance::Exact => "equal bits",
            Tolerance::Bound { formula, .. } => formula,
        }
    }
}

/// The longest sum behind an output.
#[derive(Clone, Copy, Debug)]
pub struct Sum {
    /// Its terms: roundings of one chain over all of them.
    pub terms: usize,
    /// The longest chain of roundings in the operator's order.
    pub steps: usize,
    /// The bound that follows, for people.
    pub formula: &'static str,
}

impl Sum {
    /// Of so many terms, by chains of so many steps.
    pub const fn new(terms: usize, steps: usize, formula: &'static str) -> Sum {
        Sum { terms, steps, formula }
    }
}

/// How many times longer than the operator's own chains one chain over all terms is, at most; at least 1.
pub fn one_chain(sums: &[Sum]) -> f64 {
    sums.iter().map(|sum| sum.terms as f64 / sum.steps.max(1) as f64).fold(1.0, f64::max)
}

/// Of outputs that are one sum each, over terms whose magnitudes sum to `magnitudes`: [`of_chains`]. Exact with the
/// exact fill, which asks for no magnitudes.
pub fn of_sums(
    sums: &[Sum],
    types: Types,
    fill: Fill,
    magnitudes: impl FnOnce() -> Vec<ArrayD<f64>>,
    expected: &[ArrayD<f64>],
) -> Vec<Tolerance> {
    if fill == Fill::Exact {
        return vec![Tolerance::Exact; sums.len()];
    }
    let one = |((sum, magnitude), y): ((&Sum, &ArrayD<f64>), &ArrayD<f64>)| {
        Tolerance::bound(sum.formula, of_chains(sum.steps, magnitude, types, y), y)
    };
    sums.iter().zip(&magnitudes()).zip(expected).map(one).collect()
}

/// `γ(n) = n·u / (1 − n·u)`: bound of the relative error of a chain of n roundings (Higham, *Accuracy and Stability of
/// Numerical Algorithms*, lemma 3.1).
pub fn gamma(n: usize, unit_roundoff: f64) -> f64 {
    let nu = n as f64 * unit_roundoff;
    nu / (1.0 - nu)
}

/// `γ(steps)·magnitude + steps·η + u|ŷ|` for each element: chains of `steps` roundings over terms whose magnitudes sum to
/// `magnitude`, and the rounding of the result; η is the error of an operation that underflows. In f64 the reference rounds,
/// too.
pub fn of_chains(steps: usize, magnitude: &ArrayD<f64>, types: Types, expected: &ArrayD<f64>) -> ArrayD<f64> {
    let (u, eta) = (types.accumulator.unit_roundoff(), types.accumulator.underflow());
    let sides = if types.accumulator == DType::F64 { 2.0 } else { 1.0 };
    ndarray::Zip::from(magnitude)
        .and(expected)
        .map_collect(|sum, y| sides * (gamma(steps, u) * sum + steps as f64 * eta) + u * y.abs() + eta)
}

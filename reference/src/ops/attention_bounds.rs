//! How far a kernel of [`attention`](super::attention) may be from the reference.
//!
//! # Derivation of the bounds
//! With u the unit roundoff, a score is off by δ = γ(chain(D) + 2)·scale·Σ|q||k| + 2u(|mask| + |s|). Exponents are
//! differences, rounded; over all corrections these roundings add up to no more than u·(m − s), of scores that are
//! off themselves. Each of at most B + 1 powers of a key, of B blocks, is off by 4u, and multiplied with one
//! rounding. So p is off by the factor e^±E, E = δ + u·(m − s + δ + max δ) + 5(B + 1)u, and by 2⁻¹²⁴ where it is
//! dropped. With c = p·(e^E − 1 + γ(96 + B + 1)·e^E) + 2⁻¹²⁴, the numerator is off by N = Σc|v|, the denominator by L
//! = Σc, and y by (N + |y|L)/(Σp − L) and three roundings. As a mean of the v, it is never off by more than these lie
//! apart. The logarithm is off by −ln(1 − L/Σp) and the roundings of its parts. In f64 the reference rounds, too, and
//! errors count twice. In bf16, y is rounded once more. A witness rounds powers to bf16 before they meet v: Σp|v|/Σp of such
//! roundings more; and takes the powers themselves from a cubic that is off by [`QUICK`], beside the 5u of each.

use ndarray::{ArrayD, Axis as NdAxis};

use super::attention::{Attention, BLOCK, lowest};
use super::attention_rows::{At, Seen, largest, sees_nothing};
use super::gemm::chain;
use crate::tolerance::gamma;
use crate::{DType, Tolerance, Types};

/// The constant term of the cubic with which libtorch's fused kernel computes powers of short types (`fexp_u20`): its largest
/// error, relative to the power.
const QUICK: f64 = 1.0704e-4;

/// Whether elements are shorter than what they are added in.
pub(super) fn short(types: Types) -> bool {
    types.element != types.accumulator
}

impl Attention {
    /// The bounds where powers are off by the part `rounded` of themselves as they meet v, and are quick ones if that is any.
    pub(super) fn bounds(
        &self,
        types: Types,
        inputs: &[ArrayD<f64>],
        expected: &[ArrayD<f64>],
        rounded: f64,
    ) -> Vec<Tolerance> {
        let accumulator = types.accumulator;
        let (of_element, of_small) = match short(types) {
            true => (types.element.unit_roundoff(), types.element.underflow()),
            false => (0.0, 0.0),
        };
        let sides = if accumulator == DType::F64 { 2.0 } else { 1.0 };
        let (u, eta) = (sides * accumulator.unit_roundoff(), sides * accumulator.underflow());
        let dropped = (lowest(accumulator) + 1.0).exp2();
        let of_scores = gamma(chain(self.depth) + 2, u);
        let quick = if rounded > 0.0 { QUICK } else { 0.0 };
        let of_powers = 5.0 * (self.blocks() + 1) as f64 * u + quick;
        let of_sums = gamma(self.keys.min(BLOCK) + self.blocks() + 1, u);
        let (mut of_y, mut of_lse) = (ArrayD::zeros(expected[0].shape()), ArrayD::zeros(expected[1].shape()));
        self.each_row(inputs, |At { b, h, i, v }, seen| {
            if sees_nothing(seen) {
                return;
            }
            let largest = largest(seen);
            // What is −∞ is so in any arithmetic.
            let off = |seen: &Seen| of_scores * seen.size + 2.0 * u * (seen.added.abs() + seen.score.abs()) + eta;
            let off: Vec<f64> =
                seen.iter().map(|seen| if seen.score.is_infinite() { 0.0 } else { off(seen) }).collect();
            let farthest = off.iter().copied().fold(0.0, f64::max);
            let mut numerator = vec![self.keys as f64 * eta; self.width];
            let mut range = vec![(f64::INFINITY, f64::NEG_INFINITY); self.width];
            let (mut sum, mut lost) = (0.0, 0.0);
            for (seen, off) in seen.iter().zip(&off) {
                let below = largest - seen.score;
                let p = (-below).exp();
                let grown = (off + u * (below + off + farthest) + of_powers).exp_m1();
                // What is dropped was 0 already.
                let c = if p == 0.0 { 0.0 } else { p * (grown + of_sums * (1.0 + grown)) } + dropped;
                sum += p;
                lost += c;
                let v = v.index_axis(NdAxis(0), seen.key);
                for ((numerator, (least, most)), &v) in numerator.iter_mut().zip(&mut range).zip(v) {
                    *numerator += (c + rounded * (p + c)) * v.abs();
                    (*least, *most) = (least.min(v), most.max(v));
                }
            }
            for (column, (numerator, (least, most))) in numerator.iter().zip(&range).enumerate() {
                let y = expected[0][[b, h, i, column]];
                let quotient = if lost < sum { (numerator + y.abs() * lost) / (sum - lost) } else { f64::INFINITY };
                let apart = most - least + (4.0 * of_sums + 2.0 * rounded) * most.abs().max(least.abs());
                let bound = if quotient < apart { quotient } else { apart };
                of_y[[b, h, i, column]] = bound + (3.0 * u + of_element) * (y.abs() + bound) + eta + of_small;
            }
            if !self.logarithms {
                return;
            }
            let lse = expected[1][[b, h, i]];
            let of_sum = if lost < sum { -(-lost / sum).ln_1p() } else { f64::INFINITY };
            let of_sum = of_sum.min(farthest + (self.keys as f64).ln() + 1.0);
            of_lse[[b, h, i]] = of_sum + 4.0 * u * (largest.abs() + lse.abs() + sum.ln()) + eta;
        });
        vec![
            Tolerance::bound("(Σc|v| + |y|Σc)/(Σp − Σc), c the errors of powers", of_y, &expected[0]),
            Tolerance::bound("−ln(1 − Σc/Σp) and roundings", of_lse, &expected[1]),
        ]
    }
}

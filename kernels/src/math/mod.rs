//! Functions of f32, each written once over [`Arithmetic`](crate::isa::arithmetic::Arithmetic): the same bits on
//! scalar, AVX2 and AVX-512. Those of f64 that formulas need stand in `double`, within the same budgets.
//!
//! NaN gives NaN, and everything else is right over the whole range: ±0, ±∞, overflow, subnormal arguments and results.
//! None has a branch or a table. Errors are in units in the last place of the exact value; `cargo xtask ulp` finds the
//! largest one over all 2³² arguments and holds it to the budget:
//!
//! | function | budget | how |
//! |---|---|---|
//! | [`exp()`], [`expm1`] | 1, 2 | n = round(x/ln 2), a polynomial in the rest, 2ⁿ in two factors |
//! | [`exp2_below_0`] | 2 | the same of x ≤ 0, without subnormal results |
//! | [`log()`], [`log1p`] | 1, 2 | exponent and mantissa in [⅔, 4/3), a polynomial |
//! | [`sigmoid`], [`tanh`] | 3 | of e^−\|x\|, of e^2\|x\| − 1: nothing cancels |
//! | [`erf()`] | 2 | a polynomial below 1, 1 − erfc above |
//! | [`gelu()`], [`silu`] | 7, 4 | x times the tail of the distribution: small below 0 as the exact value is |
//! | [`gelu_tanh`] | 3, and u·\|x\| | the same; the rounding of the exponent is not mended |
//! | [`softplus`] | 3 | max(x, 0) + log1p(e^−\|x\|) |
//!
//! Polynomials are fits of least squares whose weights were adapted until the relative errors levelled out (Lawson's
//! iteration). Coefficients were rounded to f32 from the lowest one on, and those behind each were fitted anew. The
//! error stands beside each.

pub mod accuracy;
mod double;
mod erf;
mod exp;
mod gate;
mod gelu;
mod log;
mod numbers;
mod rule;

pub use self::erf::erf;
pub use self::exp::{exp, exp2_below_0, expm1};
pub use self::gate::{gelu_tanh, gelu_tanh_slope, sigmoid, silu, silu_slope, tanh};
pub use self::gelu::{gelu, gelu_slope};
pub use self::log::{log, log1p, softplus};
pub(crate) use self::numbers::{Beside, Calculation, Numbers, Numeric, reciprocal};
pub use self::rule::{Rule, evaluate};
pub(crate) use self::rule::{Ruled, each};

/// 1/√(2π).
const INVERSE_ROOT_2PI: f32 = 0.398_942_3;

#[cfg(test)]
mod tests;

//! The activation functions: one row each, in f64.
//!
//! A new function is three rows: here, its vector expressions in `kernels/src/activation/functions.rs`, and libtorch's
//! names in `reference/src/torch/activation.rs`. Axes, tests, gradient checks, fuzzing, benches and the report follow.
//!
//! # Budgets
//! A [`Budget`] allows `ulps` units in the last place of the exact value, and `absolute` units roundoff of the argument
//! (of the upstream gradient, for derivatives). The first part is what the vector function needs; `cargo xtask ulp`
//! holds it to the budget over all arguments of f32, which proves it. The second part is for what cancels:
//! - GELU and its derivatives by `1 + erf` and `1 + tanh` (libtorch) lose digits where Φ is small: erf by a polynomial
//!   is off by 4u absolutely, the product with x/2 and the sums around it round twice more, so that 8u·|x| hold, as for
//!   the epilogue of `gemm`; the derivative with tanh adds a product of three such factors, 12u·|dy|. Ours needs none
//!   of it by `erf`, where `cargo xtask ulp` grants nothing, and 2u·|x| for its rounded exponent by `tanh`;
//! - the derivatives of GELU and SiLU cross 0, where a sum of terms of size 1 cancels; so do 1 − y² of tanh and x/3 +
//!   ½.
//!
//! The units roundoff of each row: a product, a quotient, a sum count 1 half-unit each, `exp` and `expm1` 2 (one ulp),
//! a factor α that is rounded itself 1.

use super::gemm::{gelu, gelu_derivative};

/// How far from the exact value an evaluation may be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Budget {
    /// Units in the last place of the exact value.
    pub ulps: f64,
    /// Units roundoff of the argument's magnitude.
    pub absolute: f64,
}

/// So many units in the last place.
const fn ulps(ulps: f64) -> Budget {
    Budget { ulps, absolute: 0.0 }
}

impl Budget {
    /// And so many units roundoff of the argument.
    const fn and(self, absolute: f64) -> Budget {
        Budget { absolute, ..self }
    }
}

/// What else than x a function depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Alpha {
    /// Nothing.
    None,
    /// A number, the same for all elements.
    Number,
    /// An operand with a number for each channel, which has a gradient.
    Channels,
}

/// The upstream gradient times the derivative, by upstream gradient, value and α.
#[derive(Clone, Copy)]
pub enum Gradient {
    /// The value is the function's argument.
    OfInput(fn(f64, f64, f64) -> f64),
    /// The value is the function's result.
    OfOutput(fn(f64, f64, f64) -> f64),
}

/// One function.
#[derive(Clone, Copy)]
pub struct Function {
    /// Its name on the axis `f`.
    pub name: &'static str,
    /// f(x, α). `None` for what is a rule for gradients alone.
    pub value: Option<fn(f64, f64) -> f64>,
    /// For the value.
    pub budget: Budget,
    /// The gradient.
    pub gradient: Gradient,
    /// For the gradient.
    pub gradient_budget: Budget,
    /// What α is.
    pub alpha: Alpha,
    /// Where it has no derivative.
    pub kinks: &'static [f64],
    /// Whether small integers give numbers that are exact, value and gradient.
    pub exact: bool,
}

impl std::fmt::Debug for Function {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

impl Function {
    /// The gradient from upstream gradient, the value that [`Gradient`] names, and α.
    pub fn gradient_of(&self, dy: f64, value: f64, alpha: f64) -> f64 {
        match self.gradient {
            Gradient::OfInput(of) | Gradient::OfOutput(of) => of(dy, value, alpha),
        }
    }

    /// Whether the gradient is one of the result.
    pub fn of_output(&self) -> bool {
        matches!(self.gradient, Gradient::OfOutput(_))
    }
}

/// A smooth function without α. Rows say what they have in place of it.
const SMOOTH: Function = Function {
    name: "",
    value: None,
    budget: ulps(0.0),
    gradient: Gradient::OfInput(|dy, _, _| dy),
    gradient_budget: ulps(0.0),
    alpha: Alpha::None,
    kinks: &[],
    exact: false,
};

/// Every function. What is a rule for gradients alone comes last.
pub const FUNCTIONS: &[Function] = &[
    Function {
        name: "sigmoid",
        value: Some(|x, _| sigmoid(x)),
        budget: ulps(3.0),
        gradient: Gradient::OfOutput(|dy, y, _| dy * (y * (1.0 - y))),
        gradient_budget: ulps(3.0),
        ..SMOOTH
    },
    Function {
        name: "tanh",
        value: Some(|x, _| x.tanh()),
        budget: ulps(3.0),
        gradient: Gradient::OfOutput(|dy, y, _| dy * (1.0 - y * y)),
        gradient_budget: ulps(2.0).and(1.0),
        ..SMOOTH
    },
    Function {
        name: "relu",
        value: Some(|x, _| if x < 0.0 { 0.0 } else { x }),
        gradient: Gradient::OfInput(|dy, x, _| if x <= 0.0 { 0.0 } else { dy }),
        kinks: &[0.0],
        exact: true,
        ..SMOOTH
    },
    Function {
        name: "leaky",
        value: Some(leaky),
        budget: ulps(2.0),
        gradient: Gradient::OfInput(|dy, x, alpha| if x > 0.0 { dy } else { alpha * dy }),
        gradient_budget: ulps(2.0),
        alpha: Alpha::Number,
        kinks: &[0.0],
        ..SMOOTH
    },
    Function {
        name: "prelu",
        value: Some(leaky),
        budget: ulps(1.0),
        gradient: Gradient::OfInput(|dy, x, alpha| if x > 0.0 { dy } else { alpha * dy }),
        gradient_budget: ulps(1.0),
        alpha: Alpha::Channels,
        kinks: &[0.0],
        exact: true,
    },
    Function {
        name: "elu",
        value: Some(|x, alpha| if x > 0.0 { x } else { alpha * x.exp_m1() }),
        budget: ulps(3.0),
        gradient: Gradient::OfInput(|dy, x, alpha| if x <= 0.0 { dy * (alpha * x.exp()) } else { dy }),
        gradient_budget: ulps(4.0),
        alpha: Alpha::Number,
        kinks: &[0.0],
        ..SMOOTH
    },
    Function {
        name: "gelu_erf",
        value: Some(|x, _| gelu(x)),
        budget: ulps(7.0).and(8.0),
        gradient: Gradient::OfInput(|dy, x, _| dy * gelu_derivative(x)),
        gradient_budget: ulps(6.0).and(8.0),
        ..SMOOTH
    },
    Function {
        name: "gelu_tanh",
        value: Some(|x, _| gated(x, gelu_gate(x))),
        budget: ulps(3.0).and(8.0),
        gradient: Gradient::OfInput(|dy, x, _| dy * gated_slope(x, gelu_gate(x), GELU[0] + 3.0 * GELU[1] * x * x)),
        gradient_budget: ulps(4.0).and(12.0),
        ..SMOOTH
    },
    Function {
        name: "silu",
        value: Some(|x, _| gated(x, x)),
        budget: ulps(4.0),
        gradient: Gradient::OfInput(|dy, x, _| dy * gated_slope(x, x, 1.0)),
        gradient_budget: ulps(5.0).and(3.0),
        ..SMOOTH
    },
    Function {
        name: "softplus",
        value: Some(|x, _| softplus(x)),
        budget: ulps(3.0),
        gradient: Gradient::OfInput(|dy, x, _| dy * sigmoid(x)),
        gradient_budget: ulps(4.0),
        ..SMOOTH
    },
    Function {
        name: "hard_swish",
        value: Some(hard_swish),
        budget: ulps(4.0),
        gradient: Gradient::OfInput(|dy, x, _| {
            if x <= -3.0 {
                0.0
            } else if x < 3.0 {
                dy * (x / 3.0 + 0.5)
            } else {
                dy
            }
        }),
        gradient_budget: ulps(3.0).and(2.0),
        kinks: &[-3.0, 3.0],
        ..SMOOTH
    },
    // Springenberg et al., Striving for Simplicity, section 3.4: what ReLU passes, if it is above 0 itself.
    Function {
        name: "guided_relu",
        gradient: Gradient::OfInput(|dy, x, _| if x <= 0.0 || dy < 0.0 { 0.0 } else { dy }),
        kinks: &[0.0],
        exact: true,
        ..SMOOTH
    },
];

/// Functions that have a value.
const VALUED: usize = valued();

const fn valued() -> usize {
    let mut count = 0;
    while count < FUNCTIONS.len() && FUNCTIONS[count].value.is_some() {
        count += 1;
    }
    count
}

const fn names<const N: usize>() -> [&'static str; N] {
    let mut names = [""; N];
    let mut i = 0;
    while i < N {
        names[i] = FUNCTIONS[i].name;
        i += 1;
    }
    names
}

/// The names of the functions that have a value.
pub(super) const NAMES: &[&str] = &names::<VALUED>();

/// The names of all that have a gradient.
pub(super) const GRADIENT_NAMES: &[&str] = &names::<{ FUNCTIONS.len() }>();

/// The position on the axis `f` of the function whose α is an operand.
pub const PRELU: i64 = {
    let mut i = 0;
    while !matches!(FUNCTIONS[i].alpha, Alpha::Channels) {
        i += 1;
    }
    i as i64
};

/// The row of this name.
pub fn find(name: &str) -> Option<&'static Function> {
    FUNCTIONS.iter().find(|function| function.name == name)
}

/// 2√(2/π), and 0.044715 times as much.
const GELU: [f64; 2] = [1.595_769_121_605_730_7, 0.071_354_816_272_600_24];

/// The argument of the sigmoid in GELU's form with tanh: x/2·(1 + tanh(g/2)) = x·σ(g).
fn gelu_gate(x: f64) -> f64 {
    x * (GELU[0] + GELU[1] * x * x)
}

fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

/// x·σ(g). The limit at −∞ is 0.
fn gated(x: f64, g: f64) -> f64 {
    if x == f64::NEG_INFINITY { 0.0 } else { x * sigmoid(g) }
}

/// Its derivative, where `turn` is the derivative of g. The limits at ±∞ are 1 and 0.
fn gated_slope(x: f64, g: f64, turn: f64) -> f64 {
    if x.is_infinite() {
        return if x > 0.0 { 1.0 } else { 0.0 };
    }
    sigmoid(g) + x * turn * sigmoid(g) * sigmoid(-g)
}

fn leaky(x: f64, alpha: f64) -> f64 {
    if x > 0.0 { x } else { alpha * x }
}

/// log(1 + e^x). NaN stays, which `max` would drop.
fn softplus(x: f64) -> f64 {
    (if x < 0.0 { 0.0 } else { x }) + (-x.abs()).exp().ln_1p()
}

/// 0 up to −3, x from 3 on, x·(x + 3)/6 between.
fn hard_swish(x: f64, _: f64) -> f64 {
    if x <= -3.0 {
        0.0
    } else if x >= 3.0 {
        x
    } else {
        x * (x + 3.0) / 6.0
    }
}

//! The functions of `pair_loss`: one row each, in f64.
//!
//! A new function is three rows: here, its vector expressions in `kernels/src/pair_loss/functions.rs`, and libtorch's
//! name in `reference/src/torch/pair_loss.rs`. Axes, tests, gradient checks, fuzzing, benches and the report follow.
//!
//! # Derivation of the bounds
//! A [`Formula`] has a value, the magnitudes of the terms that its evaluation adds, and the number of roundings that a
//! term passes at most: a sum, a difference, a product and a quotient count 1 each, `exp` and `log` 2 (one unit in the
//! last place), σ and softplus 6, a number that is rounded itself 1. An evaluation is off by γ(roundings)·size.
//! Near a seam of two pieces, the rounded difference may choose the other piece. The pieces of `smooth_l1` and `huber`
//! meet with equal slopes, so that this costs u² of the size.

use crate::tensor::Values;

/// A formula of x, t and the parameter.
#[derive(Clone, Copy)]
pub struct Formula {
    /// Its value.
    pub value: fn(f64, f64, f64) -> f64,
    /// The magnitudes of its terms, added; at least that of the value.
    pub size: fn(f64, f64, f64) -> f64,
    /// Roundings of a term.
    pub roundings: usize,
}

const fn formula(value: fn(f64, f64, f64) -> f64, size: fn(f64, f64, f64) -> f64, roundings: usize) -> Formula {
    Formula { value, size, roundings }
}

/// What else than x and t a function depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parameter {
    /// Nothing.
    None,
    /// A number, the same for all elements.
    Number,
    /// A weight for each column, or 1.
    Weights,
}

/// One function.
#[derive(Clone, Copy)]
pub struct Function {
    /// Its name on the axis `f`.
    pub name: &'static str,
    /// The loss of an element.
    pub loss: Formula,
    /// Its derivative with respect to x.
    pub by_x: Formula,
    /// Its derivative with respect to t. `None` where t is data.
    pub by_t: Option<Formula>,
    /// The magnitudes of the terms of libtorch's formula, where they are larger.
    pub elsewhere: Option<fn(f64, f64, f64) -> f64>,
    /// Which values suit x.
    pub x: Values,
    /// Which values suit t. `None` where there is no t.
    pub t: Option<Values>,
    /// What the parameter is.
    pub parameter: Parameter,
    /// Whether it has no derivative at x = t.
    pub kink: bool,
}

impl std::fmt::Debug for Function {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

/// A smooth function of two numbers of any sign. Rows say what they have in place of it.
const SMOOTH: Function = Function {
    name: "",
    loss: formula(|x, _, _| x, |x, _, _| x.abs(), 0),
    by_x: formula(|_, _, _| 1.0, |_, _, _| 1.0, 0),
    by_t: None,
    elsewhere: None,
    x: Values::Signed,
    t: Some(Values::Signed),
    parameter: Parameter::None,
    kink: false,
};

/// Every function.
pub const FUNCTIONS: &[Function] = &[
    Function {
        name: "l1",
        loss: formula(|x, t, _| (x - t).abs(), |x, t, _| (x - t).abs(), 1),
        by_x: formula(|x, t, _| sign(x - t), |_, _, _| 1.0, 0),
        by_t: Some(formula(|x, t, _| sign(t - x), |_, _, _| 1.0, 0)),
        kink: true,
        ..SMOOTH
    },
    Function {
        name: "mse",
        loss: formula(|x, t, _| (x - t) * (x - t), |x, t, _| (x - t) * (x - t), 3),
        by_x: formula(|x, t, _| 2.0 * (x - t), |x, t, _| 2.0 * (x - t).abs(), 1),
        by_t: Some(formula(|x, t, _| 2.0 * (t - x), |x, t, _| 2.0 * (x - t).abs(), 1)),
        ..SMOOTH
    },
    Function {
        name: "smooth_l1",
        loss: formula(
            |x, t, beta| {
                if (x - t).abs() < beta { (x - t) * (x - t) / (2.0 * beta) } else { (x - t).abs() - beta / 2.0 }
            },
            |x, t, beta| {
                if (x - t).abs() < beta { (x - t) * (x - t) / (2.0 * beta) } else { (x - t).abs() + beta / 2.0 }
            },
            6,
        ),
        by_x: formula(|x, t, beta| limited((x - t) / beta, 1.0), |x, t, beta| slope_of((x - t) / beta, 1.0), 3),
        by_t: Some(formula(|x, t, beta| limited((t - x) / beta, 1.0), |x, t, beta| slope_of((x - t) / beta, 1.0), 3)),
        parameter: Parameter::Number,
        ..SMOOTH
    },
    Function {
        name: "huber",
        loss: formula(
            |x, t, d| if (x - t).abs() < d { (x - t) * (x - t) / 2.0 } else { d * ((x - t).abs() - d / 2.0) },
            |x, t, d| if (x - t).abs() < d { (x - t) * (x - t) / 2.0 } else { d * ((x - t).abs() + d / 2.0) },
            6,
        ),
        by_x: formula(|x, t, d| limited(x - t, d), |x, t, d| slope_of(x - t, d), 2),
        by_t: Some(formula(|x, t, d| limited(t - x, d), |x, t, d| slope_of(x - t, d), 2)),
        parameter: Parameter::Number,
        ..SMOOTH
    },
    // Kullback–Leibler divergence: x is the logarithm of a probability, t a probability.
    Function {
        name: "kl",
        loss: formula(|x, t, _| t * (log_or_0(t) - x), |x, t, _| (t * log_or_0(t)).abs() + (t * x).abs(), 5),
        by_x: formula(|_, t, _| -t, |_, t, _| t.abs(), 0),
        x: Values::Spread,
        t: Some(Values::Unit),
        ..SMOOTH
    },
    // The same of the logarithm of t.
    Function {
        name: "kl_log",
        loss: formula(|x, t, _| t.exp() * (t - x), |x, t, _| t.exp() * (t - x).abs(), 4),
        by_x: formula(|_, t, _| -t.exp(), |_, t, _| t.exp(), 2),
        x: Values::Spread,
        ..SMOOTH
    },
    // Binary cross entropy: x is a logit, t the probability of the label, the parameter a positive label's weight.
    Function {
        name: "bce",
        loss: formula(
            |x, t, w| (if x < 0.0 { -w * t } else { 1.0 - t }) * x + grown(t, w) * softplus(-x.abs()),
            |x, t, w| ((if x < 0.0 { w * t } else { 1.0 - t }) * x).abs() + sizes(t, w) * softplus(-x.abs()),
            10,
        ),
        by_x: formula(
            |x, t, w| (w * t + (1.0 - t)) * sigmoid(x) - w * t,
            |x, t, w| ((w * t).abs() + (1.0 - t).abs()) * sigmoid(x) + (w * t).abs(),
            10,
        ),
        elsewhere: Some(|x, t, w| ((1.0 - t) * x).abs() + sizes(t, w) * (x.abs() + softplus(-x.abs()))),
        x: Values::Spread,
        t: Some(Values::Unit),
        parameter: Parameter::Weights,
        ..SMOOTH
    },
    // Goodfellow et al. 2014: x is the logit of a real sample, t that of a generated one.
    Function {
        name: "gan_discriminator",
        loss: formula(|x, t, _| softplus(-x) + softplus(t), |x, t, _| softplus(-x) + softplus(t), 7),
        by_x: formula(|x, _, _| -sigmoid(-x), |x, _, _| sigmoid(-x), 6),
        by_t: Some(formula(|_, t, _| sigmoid(t), |_, t, _| sigmoid(t), 6)),
        x: Values::Spread,
        t: Some(Values::Spread),
        ..SMOOTH
    },
    // The generator's loss that does not saturate: x is the logit of a generated sample.
    Function {
        name: "gan_generator",
        loss: formula(|x, _, _| softplus(-x), |x, _, _| softplus(-x), 6),
        by_x: formula(|x, _, _| -sigmoid(-x), |x, _, _| sigmoid(-x), 6),
        x: Values::Spread,
        t: None,
        ..SMOOTH
    },
    // Kingma & Welling 2014, appendix B: x is a mean, t the logarithm of a variance, against a normal distribution.
    Function {
        name: "gaussian_kl",
        loss: formula(
            |x, t, _| (x * x + (t.exp() - t - 1.0)) / 2.0,
            |x, t, _| (x * x + (t.exp() + t.abs() + 1.0)) / 2.0,
            6,
        ),
        by_x: formula(|x, _, _| x, |x, _, _| x.abs(), 0),
        by_t: Some(formula(|_, t, _| (t.exp() - 1.0) / 2.0, |_, t, _| (t.exp() + 1.0) / 2.0, 3)),
        ..SMOOTH
    },
];

const fn names<const N: usize>() -> [&'static str; N] {
    let mut names = [""; N];
    let mut i = 0;
    while i < N {
        names[i] = FUNCTIONS[i].name;
        i += 1;
    }
    names
}

/// The names of the functions.
pub(super) const NAMES: &[&str] = &names::<{ FUNCTIONS.len() }>();

/// The position on the axis `f` of the function with weights.
pub const WEIGHTED: i64 = {
    let mut i = 0;
    while !matches!(FUNCTIONS[i].parameter, Parameter::Weights) {
        i += 1;
    }
    i as i64
};

/// The row of this name.
pub fn find(name: &str) -> Option<&'static Function> {
    FUNCTIONS.iter().find(|function| function.name == name)
}

/// −1, 0 or 1. NaN stays.
fn sign(d: f64) -> f64 {
    if d == 0.0 { 0.0 } else { d.signum() }
}

/// d, at least −most and at most `most`. NaN stays.
fn limited(d: f64, most: f64) -> f64 {
    d.clamp(-most, most)
}

/// The magnitude of [`limited`]; NaN counts as nothing.
fn slope_of(d: f64, most: f64) -> f64 {
    d.abs().min(most)
}

/// ln t, and 0 for 0.
fn log_or_0(t: f64) -> f64 {
    if t == 0.0 { 0.0 } else { t.ln() }
}

/// The factor of the logarithm in binary cross entropy: 1, more or less where positive labels have a weight.
fn grown(t: f64, w: f64) -> f64 {
    (w - 1.0) * t + 1.0
}

/// The magnitudes of its terms.
fn sizes(t: f64, w: f64) -> f64 {
    ((w.abs() + 1.0) * t).abs() + 1.0
}

/// ln(1 + e^x). NaN stays.
fn softplus(x: f64) -> f64 {
    (if x < 0.0 { 0.0 } else { x }) + (-x.abs()).exp().ln_1p()
}

fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Where a loss is known without computing.
    #[test]
    fn losses_are_those_of_tables() {
        let ln_2 = std::f64::consts::LN_2;
        let table = [
            ("l1", 1.0, 3.5, 1.0, 2.5),
            ("mse", 1.0, 3.0, 1.0, 4.0),
            ("smooth_l1", 0.5, 0.0, 1.0, 0.125),
            ("smooth_l1", 4.0, 1.0, 2.0, 2.0),
            ("huber", 0.5, 0.0, 2.0, 0.125),
            ("huber", 4.0, 1.0, 2.0, 4.0),
            ("kl", -1.0, 0.5, 1.0, 0.5 * (1.0 - ln_2)),
            ("kl", -7.0, 0.0, 1.0, 0.0),
            ("kl_log", -1.0, 0.0, 1.0, 1.0),
            ("bce", 0.0, 0.25, 1.0, ln_2),
            ("bce", -1000.0, 0.0, 1.0, 0.0),
            ("bce", -1000.0, 1.0, 3.0, 3000.0),
            ("gan_discriminator", 0.0, 0.0, 1.0, 2.0 * ln_2),
            ("gan_generator", -1000.0, 0.0, 1.0, 1000.0),
            ("gaussian_kl", 2.0, 0.0, 1.0, 2.0),
        ];
        for (name, x, t, a, loss) in table {
            let found = (find(name).expect("a function").loss.value)(x, t, a);
            assert!((found - loss).abs() < 1e-12, "{name}({x}, {t}) = {found}, not {loss}");
        }
        assert!(FUNCTIONS.iter().all(|function| table.iter().any(|row| row.0 == function.name)));
    }

    #[test]
    fn nan_stays() {
        for function in FUNCTIONS {
            assert!((function.loss.value)(f64::NAN, 0.5, 1.0).is_nan(), "{function:?}");
            if function.t.is_some() {
                assert!((function.loss.value)(0.5, f64::NAN, 1.0).is_nan(), "{function:?}");
            }
        }
    }

    /// What bounds follow from.
    #[test]
    fn sizes_are_at_least_the_magnitudes() {
        for function in FUNCTIONS {
            for formula in [Some(function.loss), Some(function.by_x), function.by_t].into_iter().flatten() {
                for i in 0..400 {
                    let (x, t) = (f64::from(i % 20) - 9.5, f64::from(i / 20) / 20.0);
                    let (value, size) = ((formula.value)(x, t, 2.0), (formula.size)(x, t, 2.0));
                    assert!(value.abs() <= size * (1.0 + 1e-12), "{function:?} of {x}, {t}: {value}, {size}");
                }
            }
        }
    }
}

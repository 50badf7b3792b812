//! How far the functions are from the exact values, in units in the last place: what `cargo xtask ulp` measures.

use etalon_reference::ops::activation_functions::{Alpha, Budget, FUNCTIONS};

use super::{Rule, evaluate};
use crate::activation::{What, of_each};
use crate::isa::Isa;
use crate::isa::arithmetic::Arithmetic;

/// A function of one argument and what is promised of it.
pub struct Subject {
    /// Its name; that of a derivative ends in `'`.
    pub name: String,
    /// What it may be off by; `absolute` counts units roundoff of the argument, of 1 for a derivative.
    pub budget: Budget,
    /// The activation function, and whether it is its derivative. `None` for a function of mathematics.
    pub activation: Option<(&'static str, What)>,
    /// α.
    pub alpha: f64,
    truth: Box<dyn Fn(f64) -> f64 + Send + Sync>,
    values: Values,
}

/// The values at some arguments, on a level.
type Values = Box<dyn Fn(Isa, &[f32], &mut [f32]) -> Result<(), String> + Send + Sync>;

/// Functions of mathematics: name, rule, function, truth, ulps.
macro_rules! mathematics {
    ($($name:literal $rule:ident $function:path, $truth:path, $ulps:literal;)*) => {
        $(
            #[derive(Clone, Copy)]
            struct $rule;

            impl Rule<1> for $rule {
                #[inline(always)]
                fn at<L: Arithmetic>(l: L, [x]: [L::V; 1], _: L::V) -> L::V {
                    $function(l, x)
                }
            }
        )*

        fn mathematics() -> Vec<Subject> {
            vec![$(Subject {
                name: $name.into(),
                budget: Budget { ulps: $ulps, absolute: 0.0 },
                activation: None,
                alpha: 0.0,
                truth: Box::new($truth),
                values: Box::new(|isa, x, out| evaluate(isa, $rule, [x], 0.0, out)),
            }),*]
        }
    };
}

mathematics! {
    "exp" Exp super::exp, f64::exp, 1.0;
    "expm1" Expm1 super::expm1, f64::exp_m1, 2.0;
    "log" Log super::log, f64::ln, 1.0;
    "log1p" Log1p super::log1p, f64::ln_1p, 2.0;
    "erf" Erf super::erf, libm::erf, 2.0;
}

/// Every function of one argument: those of mathematics, then the activations with their derivatives, the ones with an
/// operand α left out.
pub fn subjects() -> Vec<Subject> {
    let mut all = mathematics();
    for function in FUNCTIONS.iter().filter(|function| function.alpha != Alpha::Channels) {
        let (name, alpha) = (function.name, 0.1);
        let values = |what| -> Values { Box::new(move |isa, x, out| of_each(isa, name, what, alpha as f32, x, out)) };
        if let Some(value) = function.value {
            all.push(Subject {
                name: name.into(),
                // Nothing cancels here by `erf`; by `tanh` the exponent is rounded.
                budget: Budget { absolute: function.budget.absolute.min(gelu_allowance(name)), ..function.budget },
                activation: Some((name, What::Value)),
                alpha,
                truth: Box::new(move |x| value(x, alpha)),
                values: values(What::Value),
            });
        }
        all.push(Subject {
            name: format!("{name}'"),
            budget: function.gradient_budget,
            activation: Some((name, What::Slope)),
            alpha,
            truth: Box::new(move |x| function.gradient_of(1.0, x, alpha)),
            values: values(What::Slope),
        });
    }
    all
}

/// Units roundoff of |x| that our form of GELU needs, where the budget is one for all forms.
fn gelu_allowance(name: &str) -> f64 {
    match name {
        "gelu_erf" => 0.0,
        "gelu_tanh" => 2.0,
        _ => f64::INFINITY,
    }
}

/// The largest error of some values.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Worst {
    /// In units in the last place.
    pub ulps: f64,
    /// The argument there.
    pub at: f32,
    /// Its value there.
    pub got: f32,
    /// The largest error as a share of what is allowed; above 1 is a failure.
    pub share: f64,
    /// The argument of that.
    pub share_at: f32,
}

impl Worst {
    /// Of no value.
    pub const NONE: Worst = Worst { ulps: 0.0, at: 0.0, got: 0.0, share: 0.0, share_at: 0.0 };

    /// The worse of both.
    pub fn and(self, other: Worst) -> Worst {
        let mut worst = if other.ulps > self.ulps { other } else { self };
        (worst.share, worst.share_at) =
            if other.share > self.share { (other.share, other.share_at) } else { (self.share, self.share_at) };
        worst
    }
}

impl Subject {
    /// Its values at `x` with the instructions of `isa`.
    ///
    /// # Errors
    /// If the CPU lacks them.
    pub fn values(&self, isa: Isa, x: &[f32], out: &mut [f32]) -> Result<(), String> {
        (self.values)(isa, x, out)
    }

    /// The exact values, to f64.
    pub fn truths(&self, x: &[f32], truths: &mut [f64]) {
        for (truth, &x) in truths.iter_mut().zip(x) {
            *truth = (self.truth)(f64::from(x));
        }
    }

    /// The largest error of `got` at `x`.
    pub fn worst(&self, x: &[f32], truths: &[f64], got: &[f32]) -> Worst {
        let mut worst = Worst::NONE;
        for ((&x, &truth), &got) in x.iter().zip(truths).zip(got) {
            // Nothing is divided but where it is the worst.
            let (error, ulp) = (error(truth, got), ulp(truth));
            if error > worst.ulps * ulp {
                (worst.ulps, worst.at, worst.got) = (error / ulp, x, got);
            }
            let allowed = self.allowed(x, ulp);
            if error > worst.share * allowed {
                (worst.share, worst.share_at) = (error / allowed, x);
            }
        }
        worst
    }

    /// How far a value may be off.
    fn allowed(&self, x: f32, ulp: f64) -> f64 {
        let slope = matches!(self.activation, Some((_, What::Slope)));
        let argument = if slope { 1.0 } else { f64::from(x).abs() };
        // A factor of a derivative that is subnormal itself.
        let underflow = if slope { SMALLEST * (1.0 + f64::from(x).abs()) } else { 0.0 };
        let finite = |x: f64| if x.is_finite() { x } else { 0.0 };
        self.budget.ulps * ulp + finite(self.budget.absolute * argument * UNIT_ROUNDOFF) + finite(underflow)
    }
}

/// Of f32.
const UNIT_ROUNDOFF: f64 = f32::EPSILON as f64 / 2.0;
/// The smallest number above 0 of f32.
const SMALLEST: f64 = 1.401_298_464_324_817e-45;

/// |got − truth|; ∞ counts as 2¹²⁸ where the truth is finite. NaN must meet NaN, and ∞ itself.
fn error(truth: f64, got: f32) -> f64 {
    if truth.is_nan() || got.is_nan() {
        return if truth.is_nan() && got.is_nan() { 0.0 } else { f64::INFINITY };
    }
    if truth.is_infinite() {
        return if f64::from(got) == truth { 0.0 } else { f64::INFINITY };
    }
    if got.is_infinite() {
        // Rounding gives it, too.
        return if truth as f32 == got { 0.0 } else { (2f64.powi(128).copysign(f64::from(got)) - truth).abs() };
    }
    (f64::from(got) - truth).abs()
}

/// The distance between neighbours of f32 at `value`.
fn ulp(value: f64) -> f64 {
    let exponent = ((value.to_bits() >> 52) & 0x7ff) as i64 - 1023;
    let exponent = exponent.clamp(-126, 127) - 23;
    f64::from_bits(((exponent + 1023) as u64) << 52)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_in_the_last_place() {
        assert_eq!(ulp(1.0), f64::from(f32::EPSILON));
        assert_eq!(ulp(-3.9), 2.0 * f64::from(f32::EPSILON));
        assert_eq!(ulp(1e-60), SMALLEST);
        assert_eq!(ulp(1e60), 2f64.powi(104));
    }

    #[test]
    fn classes_must_agree() {
        assert_eq!(error(f64::NAN, f32::NAN), 0.0);
        assert_eq!(error(f64::NAN, 1.0), f64::INFINITY);
        assert_eq!(error(f64::INFINITY, f32::MAX), f64::INFINITY);
        assert_eq!(error(1e39, f32::INFINITY), 0.0);
        assert!(error(1e38, f32::INFINITY) > 1e38);
    }

    #[test]
    fn a_wrong_value_is_found() {
        let exp = &subjects()[0];
        let (x, mut truths) = ([1.0, 2.0], [0.0; 2]);
        exp.truths(&x, &mut truths);
        let right = exp.worst(&x, &truths, &[1f32.exp(), 2f32.exp()]);
        assert!(right.share <= 1.0, "{right:?}");
        let wrong = exp.worst(&x, &truths, &[1f32.exp(), 2f32.exp() * (1.0 + 3.0 * f32::EPSILON)]);
        assert!(wrong.share > 1.0 && wrong.at == 2.0, "{wrong:?}");
    }
}

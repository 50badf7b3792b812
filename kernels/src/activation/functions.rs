//! The vector expressions of the functions: one row each, of
//! [`FUNCTIONS`](etalon_reference::ops::activation_functions).

use crate::faults::fault;
use crate::isa::arithmetic::Arithmetic;
use crate::math::{self, Rule};

/// A function and its gradient. Implementations are `#[inline(always)]`.
pub trait Function: Copy + Send + Sync {
    /// f(x, α).
    fn value<L: Arithmetic>(l: L, x: L::V, alpha: L::V) -> L::V;
    /// The upstream gradient times the derivative, of x or of y as the reference's row says.
    fn gradient<L: Arithmetic>(l: L, dy: L::V, of: L::V, alpha: L::V) -> L::V;
}

/// What is done with a function that a name chooses.
pub trait Visit {
    /// Its result.
    type Output;
    /// Does it.
    fn with<F: Function>(self, function: F) -> Self::Output;
}

/// One row for each function: name, type, value, gradient.
macro_rules! functions {
    ($($name:literal $type:ident
        |$l:ident, $x:ident, $a:ident| $value:expr,
        |$dy:ident, $of:ident| $gradient:expr;)*) => {
        $(
            #[doc = concat!("`", $name, "`.")]
            #[derive(Clone, Copy, Debug)]
            pub struct $type;

            impl Function for $type {
                #[inline(always)]
                fn value<L: Arithmetic>($l: L, $x: L::V, $a: L::V) -> L::V {
                    let _ = ($l, $a);
                    $value
                }
                #[inline(always)]
                fn gradient<L: Arithmetic>($l: L, $dy: L::V, $of: L::V, $a: L::V) -> L::V {
                    let _ = ($l, $a);
                    $gradient
                }
            }
        )*

        /// Calls `visit` with the function of this name; `None` if there is none.
        pub fn named<V: Visit>(name: &str, visit: V) -> Option<V::Output> {
            match name {
                $($name => Some(visit.with($type)),)*
                _ => None,
            }
        }

        /// The names of the rows.
        #[cfg(test)]
        pub const NAMES: &[&str] = &[$($name),*];
    };
}

functions! {
    "sigmoid" Sigmoid
        |l, x, a| math::sigmoid(l, x),
        |dy, y| l.mul(dy, l.mul(y, l.sub(l.constant(1.0), y)));
    "tanh" Tanh
        |l, x, a| math::tanh(l, x),
        |dy, y| l.mul(dy, l.fnma(y, y, l.constant(1.0)));
    "relu" Relu
        |l, x, a| if fault!("activation.relu-drops-nan") { l.max(x, l.constant(0.0)) } else { l.max(l.constant(0.0), x) },
        |dy, x| passed(l, dy, x);
    "leaky" Leaky
        |l, x, a| l.select(l.less(l.constant(0.0), x), x, l.mul(a, x)),
        |dy, x| l.select(l.less(l.constant(0.0), x), dy, l.mul(a, dy));
    "prelu" Prelu
        |l, x, a| Leaky::value(l, x, a),
        |dy, x| Leaky::gradient(l, dy, x, a);
    "elu" Elu
        |l, x, a| l.select(l.less(l.constant(0.0), x), x, l.mul(a, math::expm1(l, x))),
        |dy, x| l.select(l.at_most(x, l.constant(0.0)), l.mul(dy, l.mul(a, math::exp(l, x))), dy);
    "gelu_erf" GeluErf
        |l, x, a| math::gelu(l, x),
        |dy, x| l.mul(dy, math::gelu_slope(l, x));
    "gelu_tanh" GeluTanh
        |l, x, a| math::gelu_tanh(l, x),
        |dy, x| l.mul(dy, math::gelu_tanh_slope(l, x));
    "silu" Silu
        |l, x, a| math::silu(l, x),
        |dy, x| l.mul(dy, math::silu_slope(l, x));
    "softplus" Softplus
        |l, x, a| math::softplus(l, x),
        |dy, x| l.mul(dy, math::sigmoid(l, x));
    "hard_swish" HardSwish
        |l, x, a| hard_swish(l, x),
        |dy, x| hard_swish_gradient(l, dy, x);
    "guided_relu" GuidedRelu
        |l, x, a| x,
        |dy, x| passed(l, l.max(l.constant(0.0), dy), x);
}

/// What ReLU passes: 0 where x ≤ 0, else dy, also where x is NaN.
#[inline(always)]
fn passed<L: Arithmetic>(l: L, dy: L::V, x: L::V) -> L::V {
    let zero = l.constant(0.0);
    let stops = if fault!("activation_backward.passes-at-zero") { l.less(x, zero) } else { l.at_most(x, zero) };
    l.select(stops, zero, dy)
}

/// x·(x + 3)/6, with a factor between 0 and 1. Below −3 as at −3, so that nothing infinite meets the 0.
#[inline(always)]
fn hard_swish<L: Arithmetic>(l: L, x: L::V) -> L::V {
    let x = l.max(l.constant(-3.0), x);
    let factor = l.mul(l.add(x, l.constant(3.0)), l.constant(1.0 / 6.0));
    l.mul(x, l.min(l.constant(1.0), factor))
}

#[inline(always)]
fn hard_swish_gradient<L: Arithmetic>(l: L, dy: L::V, x: L::V) -> L::V {
    let slope = l.fma(x, l.constant(1.0 / 3.0), l.constant(0.5));
    let dx = l.select(l.less(x, l.constant(3.0)), l.mul(dy, slope), dy);
    l.select(l.at_most(x, l.constant(-3.0)), l.constant(0.0), dx)
}

/// A function, of x.
#[derive(Clone, Copy, Debug)]
pub struct Value<F>(pub F);

/// Its gradient, of dy and x or y.
#[derive(Clone, Copy, Debug)]
pub struct Gradient<F>(pub F);

impl<F: Function> Rule<1> for Value<F> {
    #[inline(always)]
    fn at<L: Arithmetic>(l: L, [x]: [L::V; 1], alpha: L::V) -> L::V {
        F::value(l, x, alpha)
    }
}

impl<F: Function> Rule<2> for Gradient<F> {
    #[inline(always)]
    fn at<L: Arithmetic>(l: L, [dy, of]: [L::V; 2], alpha: L::V) -> L::V {
        F::gradient(l, dy, of, alpha)
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn every_function_of_the_reference_has_a_row() {
        let defined: Vec<&str> =
            etalon_reference::ops::activation_functions::FUNCTIONS.iter().map(|function| function.name).collect();
        assert_eq!(super::NAMES, defined);
    }
}

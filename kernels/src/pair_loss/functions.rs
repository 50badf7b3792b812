//! The vector expressions of the functions: one row each, of
//! [`FUNCTIONS`](etalon_reference::ops::pair_loss_functions::FUNCTIONS).

use crate::kernel::KernelError;
use crate::math::Numbers;

/// A function and its derivatives. Implementations are `#[inline(always)]`.
pub trait Function: Copy + Send + Sync {
    /// The loss of x and t, with a parameter.
    fn loss<N: Numbers>(n: N, x: N::V, t: N::V, parameter: N::V) -> N::V;
    /// Its derivative with respect to x.
    fn by_x<N: Numbers>(n: N, x: N::V, t: N::V, parameter: N::V) -> N::V;
    /// Its derivative with respect to t; where t is data, it is not asked for.
    fn by_t<N: Numbers>(n: N, x: N::V, t: N::V, parameter: N::V) -> N::V;
}

/// What is done with a function that a name chooses.
pub trait Visit {
    /// Its result.
    type Output;
    /// Does it.
    fn with<F: Function>(self, function: F) -> Self::Output;
}

/// One row for each function: name, type, loss, derivatives.
macro_rules! functions {
    ($($name:literal $type:ident |$n:ident, $x:ident, $t:ident, $a:ident| $loss:expr, $by_x:expr, $by_t:expr;)*) => {
        $(
            #[doc = concat!("`", $name, "`.")]
            #[derive(Clone, Copy, Debug)]
            pub struct $type;

            impl Function for $type {
                #[inline(always)]
                fn loss<N: Numbers>($n: N, $x: N::V, $t: N::V, $a: N::V) -> N::V {
                    let _ = ($n, $x, $t, $a);
                    $loss
                }
                #[inline(always)]
                fn by_x<N: Numbers>($n: N, $x: N::V, $t: N::V, $a: N::V) -> N::V {
                    let _ = ($n, $x, $t, $a);
                    $by_x
                }
                #[inline(always)]
                fn by_t<N: Numbers>($n: N, $x: N::V, $t: N::V, $a: N::V) -> N::V {
                    let _ = ($n, $x, $t, $a);
                    $by_t
                }
            }
        )*

        /// Calls `visit` with the function of this name.
        ///
        /// # Errors
        /// If there is none.
        pub fn named<V: Visit>(name: &str, visit: V) -> Result<V::Output, KernelError> {
            match name {
                $($name => Ok(visit.with($type)),)*
                _ => Err(KernelError::Unsupported(format!("no function `{name}`"))),
            }
        }

        /// The names of the rows.
        #[cfg(test)]
        pub const NAMES: &[&str] = &[$($name),*];
    };
}

functions! {
    "l1" L1
        |n, x, t, a| n.abs(n.sub(x, t)), sign(n, n.sub(x, t)), sign(n, n.sub(t, x));
    "mse" Mse
        |n, x, t, a| square(n, n.sub(x, t)), twice(n, n.sub(x, t)), twice(n, n.sub(t, x));
    "smooth_l1" SmoothL1
        |n, x, t, a| bent(n, n.sub(x, t), a, n.one(), n.div(n.constant(0.5), a)),
        limited(n, n.div(n.sub(x, t), a), n.one()),
        limited(n, n.div(n.sub(t, x), a), n.one());
    "huber" Huber
        |n, x, t, a| bent(n, n.sub(x, t), a, a, n.constant(0.5)),
        limited(n, n.sub(x, t), a),
        limited(n, n.sub(t, x), a);
    "kl" Kl
        |n, x, t, a| n.mul(t, n.sub(log_or_0(n, t), x)), n.neg(t), t;
    "kl_log" KlLog
        |n, x, t, a| n.mul(n.exp(t), n.sub(t, x)), n.neg(n.exp(t)), t;
    "bce" Bce
        |n, x, t, w| bce(n, x, t, w), bce_slope(n, x, t, w), t;
    "gan_discriminator" Discriminator
        |n, x, t, a| n.add(n.softplus(n.neg(x)), n.softplus(t)), n.neg(n.sigmoid(n.neg(x))), n.sigmoid(t);
    "gan_generator" Generator
        |n, x, t, a| n.softplus(n.neg(x)), n.neg(n.sigmoid(n.neg(x))), t;
    "gaussian_kl" GaussianKl
        |n, x, t, a| n.mul(n.constant(0.5), n.fma(x, x, n.sub(n.sub(n.exp(t), t), n.one()))),
        x,
        n.mul(n.constant(0.5), n.sub(n.exp(t), n.one()));
}

#[inline(always)]
fn square<N: Numbers>(n: N, d: N::V) -> N::V {
    n.mul(d, d)
}

#[inline(always)]
fn twice<N: Numbers>(n: N, d: N::V) -> N::V {
    n.add(d, d)
}

/// −1, 0 or 1; NaN stays.
#[inline(always)]
fn sign<N: Numbers>(n: N, d: N::V) -> N::V {
    let (zero, one) = (n.constant(0.0), n.one());
    n.where_less(zero, d, one, n.where_less(d, zero, n.neg(one), d))
}

/// d between −most and `most`; NaN stays.
#[inline(always)]
fn limited<N: Numbers>(n: N, d: N::V, most: N::V) -> N::V {
    let least = n.neg(most);
    n.where_less(most, d, most, n.where_less(d, least, least, d))
}

/// `half·d²` below the seam, `slope·(|d| − seam/2)` above it.
#[inline(always)]
fn bent<N: Numbers>(n: N, d: N::V, seam: N::V, slope: N::V, half: N::V) -> N::V {
    let size = n.abs(d);
    let line = n.mul(slope, n.sub(size, n.mul(n.constant(0.5), seam)));
    n.where_less(size, seam, n.mul(half, n.mul(d, d)), line)
}

/// ln t, and 0 for ±0.
#[inline(always)]
fn log_or_0<N: Numbers>(n: N, t: N::V) -> N::V {
    let zero = n.constant(0.0);
    n.where_less(zero, n.abs(t), n.log(t), zero)
}

/// `(x < 0 ? −w·t : 1 − t)·x + (1 + (w − 1)·t)·log(1 + e^−|x|)`: terms of one sign.
#[inline(always)]
fn bce<N: Numbers>(n: N, x: N::V, t: N::V, w: N::V) -> N::V {
    let factor = n.where_less(x, n.constant(0.0), n.neg(n.mul(w, t)), n.rest(t));
    let grown = n.fma(n.sub(w, n.one()), t, n.one());
    n.fma(factor, x, n.mul(grown, n.softplus(n.neg(n.abs(x)))))
}

/// `(w·t + 1 − t)·σ(x) − w·t`.
#[inline(always)]
fn bce_slope<N: Numbers>(n: N, x: N::V, t: N::V, w: N::V) -> N::V {
    let positive = n.mul(w, t);
    n.sub(n.mul(n.add(positive, n.rest(t)), n.sigmoid(x)), positive)
}

#[cfg(test)]
mod tests {
    #[test]
    fn every_function_of_the_reference_has_a_row() {
        let defined: Vec<&str> =
            etalon_reference::ops::pair_loss_functions::FUNCTIONS.iter().map(|function| function.name).collect();
        assert_eq!(super::NAMES, defined);
    }
}

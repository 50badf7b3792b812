//! Wrong gradients of batch normalisation.

use etalon_kernels::call::Call;
use etalon_reference::Problem;
use etalon_reference::operator::downcast;
use etalon_reference::ops::batchnorm_relu_backward::BatchnormReluBackward;
use ndarray::{ArrayD, Axis, Zip};

use super::Wrong;
use super::spoil::{self, Result};

const NAME: &str = "batchnorm_relu_backward";

const fn wrong(name: &'static str, fault: &'static str, run: fn(&mut Call<'_>) -> Result) -> Wrong {
    Wrong::new(NAME, name, fault, run)
}

pub static WRONG: &[Wrong] = &[
    wrong("dx-without-variance", "dx lacks the term x̂·dγ/count", |call| {
        dx(call, |g, _, sums, count| g - sums.0 / count)
    }),
    wrong("dx-without-mean", "dx lacks the term dβ/count", |call| {
        dx(call, |g, x_hat, sums, count| g - x_hat * sums.1 / count)
    }),
    wrong("count-of-one-image", "the sums are divided by h·w instead of n·h·w", |call| {
        let images = problem(call).images.n as f64;
        dx(call, move |g, x_hat, sums, count| g - (sums.0 + x_hat * sums.1) / (count / images))
    }),
    wrong("mask-ignored", "dγ and dβ sum dy in place of g", |call| {
        after(call, |x, inputs, out| {
            if x.affine {
                let plain = BatchnormReluBackward { relu: false, ..x.clone() };
                out[1..3].clone_from_slice(&plain.reference(inputs)[1..3]);
            }
        })
    }),
    wrong("passes-at-zero", "the gradient passes where y = 0", |call| {
        masked(call, |g, dy, y| if y == 0.0 { dy } else { g })
    }),
    wrong("stops-nan", "the gradient stops where y is NaN", |call| {
        masked(call, |g, _, y| if y.is_nan() { 0.0 } else { g })
    }),
    wrong("dresidual-of-dy", "the gradient of the residual is dy in place of g", |call| {
        after(call, |x, inputs, out| {
            if x.residual {
                out[3].assign(&inputs[0]);
            }
        })
    }),
    wrong("dgamma-without-rstd", "dγ lacks the factor 1/σ", |call| {
        after(call, |x, inputs, out| {
            if x.affine {
                out[1] = &out[1] / &inputs[4];
            }
        })
    }),
];

fn problem(call: &Call<'_>) -> BatchnormReluBackward {
    downcast::<BatchnormReluBackward>(call.problem()).clone()
}

fn after(
    call: &mut Call<'_>,
    change: impl FnOnce(&BatchnormReluBackward, &[ArrayD<f64>], &mut [ArrayD<f64>]),
) -> Result {
    spoil::after(NAME, call, |call, _, out| change(&problem(call), &spoil::inputs(call), out))
}

/// `dx = γ·r·term(g, x̂, (Σg, Σg·x̂), count)`.
fn dx(call: &mut Call<'_>, term: impl Fn(f64, f64, (f64, f64), f64) -> f64) -> Result {
    after(call, |x, inputs, out| {
        let [dy, values, gamma, mean, rstd, y] = inputs else { panic!("six inputs") };
        let count = x.images.count() as f64;
        for c in 0..x.images.c {
            let mut g = dy.index_axis(Axis(1), c).to_owned();
            if x.relu {
                Zip::from(&mut g).and(y.index_axis(Axis(1), c)).for_each(|g, &y| *g = if y <= 0.0 { 0.0 } else { *g });
            }
            let x_hat = values.index_axis(Axis(1), c).mapv(|v| (v - mean[[c]]) * rstd[[c]]);
            let sums = (g.sum(), (&g * &x_hat).sum());
            let factor = rstd[[c]] * if x.affine { gamma[[c]] } else { 1.0 };
            let out = out[0].index_axis_mut(Axis(1), c);
            Zip::from(out).and(&g).and(&x_hat).for_each(|dx, &g, &x_hat| *dx = factor * term(g, x_hat, sums, count));
        }
    })
}

/// The gradient of the residual with another mask.
fn masked(call: &mut Call<'_>, mask: impl Fn(f64, f64, f64) -> f64) -> Result {
    after(call, |x, inputs, out| {
        if x.residual && x.relu {
            Zip::from(&mut out[3]).and(&inputs[0]).and(&inputs[5]).for_each(|g, &dy, &y| *g = mask(*g, dy, y));
        }
    })
}

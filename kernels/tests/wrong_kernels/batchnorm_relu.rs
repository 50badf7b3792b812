//! Wrong batch normalisations.

use std::cell::RefCell;

use etalon_kernels::call::Call;
use etalon_reference::operator::downcast;
use etalon_reference::ops::batchnorm_relu::{BatchnormRelu, ImageLayout, Mode};
use ndarray::{ArrayD, ArrayViewD, Axis};

use super::Wrong;
use super::spoil::{self, Result};

const NAME: &str = "batchnorm_relu";

const fn wrong(name: &'static str, fault: &'static str, run: fn(&mut Call<'_>) -> Result) -> Wrong {
    Wrong::new(NAME, name, fault, run)
}

pub static WRONG: &[Wrong] = &[
    wrong("running-kept", "the running statistics are not moved", |call| {
        spoil::after(NAME, call, |_, before, out| out[1..3].clone_from_slice(&before[1..3]))
    }),
    wrong("stale-saved-mean", "the saved mean is that of the call before", |call| {
        thread_local! {
            static BEFORE: RefCell<Option<ArrayD<f64>>> = const { RefCell::new(None) };
        }
        spoil::after(NAME, call, |_, _, out| {
            let own = out[3].clone();
            let before = BEFORE.replace(Some(own)).filter(|before| before.shape() == out[3].shape());
            out[3] = before.unwrap_or_else(|| out[3].clone());
        })
    }),
    wrong("biased-running", "the running variance takes the variance that is divided by the count", |call| {
        training(call, |x, inputs, out| {
            let (_, _, var) = x.preactivation(inputs);
            out[2] = &inputs[5] * (1.0 - x.momentum) + &var.into_dyn() * x.momentum;
        })
    }),
    wrong("unbiased-normalises", "the values are divided by the unbiased deviation", |call| {
        training(call, |x, inputs, out| {
            let count = x.images.count() as f64;
            normalise(x, inputs, out, |values, mean| {
                values.fold(0.0, |sum, v| sum + (v - mean) * (v - mean)) / (count - 1.0)
            });
        })
    }),
    wrong("cancelling-variance", "the variance is E[x²] − E[x]² in f32", |call| {
        training(call, |x, inputs, out| {
            let count = x.images.count() as f32;
            normalise(x, inputs, out, |values, _| {
                let sums = values.fold((0.0_f32, 0.0_f32), |(s, q), &v| (s + v as f32, q + v as f32 * v as f32));
                let (mean, square) = (sums.0 / count, sums.1 / count);
                (square - mean * mean).max(0.0).into()
            });
        })
    }),
    wrong("momentum-exchanged", "the momentum weighs the old statistics", |call| {
        training(call, |x, inputs, out| {
            let exchanged = BatchnormRelu { momentum: 1.0 - x.momentum, ..x.clone() };
            out.clone_from_slice(&etalon_reference::Problem::reference(&exchanged, inputs));
        })
    }),
    wrong("epsilon-outside", "1/σ is 1/(σ + ε)", |call| {
        training(call, |x, inputs, out| {
            let (_, _, var) = x.preactivation(inputs);
            out[4] = var.mapv(|var| 1.0 / (var.sqrt() + x.eps)).into_dyn();
        })
    }),
    wrong("lost-pixel", "the last value of each channel is missing in the mean", |call| {
        training(call, |x, inputs, out| {
            let count = x.images.count() as f64;
            for (c, values) in inputs[0].axis_iter(Axis(1)).enumerate() {
                out[3][[c]] -= values.iter().last().expect("two values") / count;
            }
        })
    }),
    wrong("relu-first", "the residual is added behind the ReLU", |call| {
        let residual = spoil::inputs(call).remove(3);
        let x = problem(call);
        if !(x.relu && x.residual) {
            return spoil::right(NAME, call);
        }
        let plain = BatchnormRelu { residual: false, ..x };
        spoil::after(NAME, call, |call, _, out| {
            out[0] = etalon_reference::Problem::reference(&plain, &spoil::inputs(call)).remove(0) + residual;
        })
    }),
    wrong("relu-drops-nan", "ReLU by a maximum that prefers numbers to NaN", |call| {
        spoil::after(NAME, call, |call, _, out| {
            if problem(call).relu {
                out[0].mapv_inplace(|y| y.max(0.0));
            }
        })
    }),
    wrong("gamma-of-neighbour", "channels last: each channel takes the γ of the next", |call| {
        spoil::after(NAME, call, |call, _, out| {
            let x = problem(call);
            if x.images.layout == ImageLayout::Nhwc && x.affine && x.images.c > 1 {
                let mut inputs = spoil::inputs(call);
                let first = inputs[1][[0]];
                (1..x.images.c).for_each(|c| inputs[1][[c - 1]] = inputs[1][[c]]);
                inputs[1][[x.images.c - 1]] = first;
                out[0] = etalon_reference::Problem::reference(&x, &inputs).remove(0);
            }
        })
    }),
    wrong("infers-from-batch", "inference uses the statistics of the batch", |call| {
        spoil::after(NAME, call, |call, _, out| {
            let x = problem(call);
            if x.mode == Mode::Infer && x.images.count() > 1 {
                let training = BatchnormRelu { mode: Mode::Train, ..x };
                out[0] = etalon_reference::Problem::reference(&training, &spoil::inputs(call)).remove(0);
            }
        })
    }),
    wrong("sums-by-thread", "the mean is summed in as many parts as there are threads", |call| {
        let parts = call.pool().threads();
        training(call, |x, inputs, out| {
            let count = x.images.count();
            for (c, values) in inputs[0].axis_iter(Axis(1)).enumerate() {
                let values: Vec<f32> = values.iter().map(|&v| v as f32).collect();
                let sums = values.chunks(count.div_ceil(parts)).map(|part| part.iter().fold(0.0_f32, |s, v| s + v));
                out[3][[c]] = (sums.fold(0.0_f32, |s, part| s + part) / count as f32).into();
            }
        })
    })
    .own_order(),
];

fn problem(call: &Call<'_>) -> BatchnormRelu {
    downcast::<BatchnormRelu>(call.problem()).clone()
}

/// The right outputs, changed in training.
fn training(call: &mut Call<'_>, change: impl FnOnce(&BatchnormRelu, &[ArrayD<f64>], &mut [ArrayD<f64>])) -> Result {
    spoil::after(NAME, call, |call, _, out| {
        let problem = problem(call);
        if problem.mode == Mode::Train {
            change(&problem, &spoil::inputs(call), out);
        }
    })
}

/// y and the saved 1/σ with another variance.
fn normalise(
    x: &BatchnormRelu,
    inputs: &[ArrayD<f64>],
    out: &mut [ArrayD<f64>],
    variance: impl Fn(&ArrayViewD<'_, f64>, f64) -> f64,
) {
    let (_, mean, _) = x.preactivation(inputs);
    for (c, values) in inputs[0].axis_iter(Axis(1)).enumerate() {
        let rstd = 1.0 / (variance(&values, mean[c]) + x.eps).sqrt();
        let (gamma, beta) = if x.affine { (inputs[1][[c]], inputs[2][[c]]) } else { (1.0, 0.0) };
        out[4][[c]] = rstd;
        let mut y = values.mapv(|v| gamma * (v - mean[c]) * rstd + beta);
        if x.residual {
            y += &inputs[3].index_axis(Axis(1), c);
        }
        if x.relu {
            y.mapv_inplace(|y| if y < 0.0 { 0.0 } else { y });
        }
        out[0].index_axis_mut(Axis(1), c).assign(&y);
    }
}

//! Wrong gradients of convolutions, and wrong transposed convolutions.

use etalon_kernels::call::Call;
use etalon_reference::Problem;
use etalon_reference::operator::downcast;
use etalon_reference::ops::conv_transpose2d::ConvTranspose2d;
use etalon_reference::ops::conv_transpose2d_backward::ConvTranspose2dBackward;
use etalon_reference::ops::conv2d_backward_data::Conv2dBackwardData;
use etalon_reference::ops::conv2d_backward_weights::Conv2dBackwardWeights;
use ndarray::{ArrayD, Axis};

use super::Wrong;
use super::spoil::{self, Result};

const DATA: &str = "conv2d_backward_data";
const WEIGHTS: &str = "conv2d_backward_weights";
const TRANSPOSED: &str = "conv_transpose2d";
const BACKWARD: &str = "conv_transpose2d_backward";

type Run = fn(&mut Call<'_>) -> Result;

const fn data(name: &'static str, fault: &'static str, run: Run) -> Wrong {
    Wrong::new(DATA, name, fault, run)
}

const fn weights(name: &'static str, fault: &'static str, run: Run) -> Wrong {
    Wrong::new(WEIGHTS, name, fault, run)
}

const fn transposed(name: &'static str, fault: &'static str, run: Run) -> Wrong {
    Wrong::new(TRANSPOSED, name, fault, run)
}

pub static WRONG: &[Wrong] = &[
    data("taps-not-turned", "the taps of the weights are not turned around", |call| {
        with_inputs(DATA, call, |inputs| {
            inputs[1].invert_axis(Axis(2));
            inputs[1].invert_axis(Axis(3));
        })
    }),
    data("padding-exchanged", "the zeros before and behind the rows change places", |call| {
        let mut p = downcast::<Conv2dBackwardData>(call.problem()).clone();
        let rows = &mut p.conv.rows;
        (rows.before, rows.after) = (rows.after, rows.before);
        on(DATA, call, &p)
    }),
    data("lost-residue", "the last residue of the stride stays 0", |call| {
        spoil::after(DATA, call, |call, _, out| {
            let stride = downcast::<Conv2dBackwardData>(call.problem()).conv.cols.stride;
            if stride > 1 {
                out[0].axis_iter_mut(Axis(3)).skip(stride - 1).step_by(stride).for_each(|mut column| column.fill(0.0));
            }
        })
    }),
    data("unmet-kept", "what no tap meets is not written", |call| {
        spoil::after(DATA, call, |_, before, out| {
            ndarray::Zip::from(&mut out[0]).and(&before[0]).for_each(|x, &old| *x = if *x == 0.0 { old } else { *x });
        })
    }),
    weights("lost-image", "the last image adds nothing", |call| {
        with_inputs(WEIGHTS, call, |inputs| {
            if let Some(mut last) = inputs[0].axis_iter_mut(Axis(0)).last() {
                last.fill(0.0);
            }
        })
    }),
    weights("lost-chunk", "outputs beyond the first 256 of an image are left out", |call| {
        with_inputs(WEIGHTS, call, |inputs| {
            let width = inputs[0].shape()[3];
            for (at, dy) in inputs[0].indexed_iter_mut() {
                *dy = if at[2] * width + at[3] >= 256 { 0.0 } else { *dy };
            }
        })
    }),
    weights("taps-turned", "the taps of dw are turned around", |call| {
        spoil::after(WEIGHTS, call, |_, _, out| {
            out[0].invert_axis(Axis(2));
            out[0].invert_axis(Axis(3));
        })
    }),
    weights("dbias-of-one-image", "dbias is that of the first image", |call| {
        spoil::after(WEIGHTS, call, |call, _, out| {
            if downcast::<Conv2dBackwardWeights>(call.problem()).bias {
                let dy = spoil::inputs(call).swap_remove(0);
                if dy.shape()[0] > 0 {
                    out[1] = dy.index_axis(Axis(0), 0).sum_axis(Axis(2)).sum_axis(Axis(1));
                }
            }
        })
    }),
    transposed("bias-in-each-tap", "the bias is added where a tap meets the output alone", |call| {
        spoil::after(TRANSPOSED, call, |call, _, out| {
            let p: &ConvTranspose2d = downcast(call.problem());
            let inputs = spoil::inputs(call);
            if p.bias {
                let plain = ConvTranspose2d { bias: false, ..p.clone() }.reference(&inputs).remove(0);
                ndarray::Zip::from(&mut out[0]).and(&plain).for_each(|y, &sum| *y = if sum == 0.0 { 0.0 } else { *y });
            }
        })
    }),
    transposed("added-lost", "the rows added to the output are not written", |call| {
        spoil::after(TRANSPOSED, call, |call, before, out| {
            let [added, _] = downcast::<ConvTranspose2d>(call.problem()).added;
            let rows = out[0].shape()[2];
            for row in rows.saturating_sub(added)..rows {
                let old: ArrayD<f64> = before[0].index_axis(Axis(2), row).to_owned();
                out[0].index_axis_mut(Axis(2), row).assign(&old);
            }
        })
    }),
    transposed("next-group", "each group takes the weights of the next", |call| {
        let groups = downcast::<ConvTranspose2d>(call.problem()).conv.groups;
        with_inputs(TRANSPOSED, call, |inputs| {
            let whole = inputs[1].clone();
            let filters = whole.shape()[0];
            for (k, mut filter) in inputs[1].axis_iter_mut(Axis(0)).enumerate() {
                filter.assign(&whole.index_axis(Axis(0), (k + filters / groups) % filters));
            }
        })
    }),
    Wrong::new(BACKWARD, "dw-of-dx", "dw is computed from dx instead of x", |call| {
        spoil::after(BACKWARD, call, |call, _, out| {
            let mut inputs = spoil::inputs(call);
            inputs[1] = out[0].clone();
            out[1] = downcast::<ConvTranspose2dBackward>(call.problem()).reference(&inputs).remove(1);
        })
    }),
    Wrong::new(BACKWARD, "dbias-of-x", "dbias sums the channels of x", |call| {
        spoil::after(BACKWARD, call, |call, _, out| {
            let x = spoil::inputs(call).swap_remove(1);
            let sums = x.sum_axis(Axis(3)).sum_axis(Axis(2)).sum_axis(Axis(0));
            out[2].iter_mut().zip(&sums).for_each(|(to, &sum)| *to = sum);
        })
    }),
];

/// The outputs for other inputs.
fn with_inputs(operator: &str, call: &mut Call<'_>, change: impl FnOnce(&mut [ArrayD<f64>])) -> Result {
    spoil::after(operator, call, |call, _, out| {
        let mut inputs = spoil::inputs(call);
        change(&mut inputs);
        out.clone_from_slice(&call.problem().reference(&inputs));
    })
}

/// The outputs of another problem with the same operands.
fn on(operator: &str, call: &mut Call<'_>, problem: &dyn Problem) -> Result {
    spoil::after(operator, call, |call, _, out| out.clone_from_slice(&problem.reference(&spoil::inputs(call))))
}

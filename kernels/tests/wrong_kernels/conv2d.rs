//! Wrong convolutions.

use etalon_kernels::call::Call;
use etalon_reference::operator::downcast;
use etalon_reference::ops::conv2d::Conv2d;
use etalon_reference::ops::images::ImageLayout;
use ndarray::{ArrayD, Axis};

use super::Wrong;
use super::spoil::{self, Result};

const NAME: &str = "conv2d";

const fn wrong(name: &'static str, fault: &'static str, run: fn(&mut Call<'_>) -> Result) -> Wrong {
    Wrong::new(NAME, name, fault, run)
}

pub static WRONG: &[Wrong] = &[
    wrong("flipped", "the taps are turned around, as the mathematicians' convolution does", |call| {
        formula(call, |p, at| (at.wr, at.ws) = (p.rows.taps - 1 - at.r, p.cols.taps - 1 - at.s))
    }),
    wrong("edge-repeated", "the edge of the image is repeated where there should be zeros", |call| {
        formula(call, |p, at| {
            at.h = at.h.clamp(0, p.x.h as isize - 1);
            at.v = at.v.clamp(0, p.x.w as isize - 1);
        })
    }),
    wrong("padding-exchanged", "the zeros behind a row are put before it", |call| {
        formula(call, |p, at| at.v += p.cols.before as isize - p.cols.after as isize)
    }),
    wrong("stride-of-rows", "columns take the stride of the rows", |call| {
        formula(call, |p, at| at.v += (at.j * p.rows.stride) as isize - (at.j * p.cols.stride) as isize)
    }),
    wrong("dilation-ignored", "the taps of a column lie side by side", |call| {
        formula(call, |p, at| at.h += at.r as isize - (at.r * p.rows.dilation) as isize)
    }),
    wrong("lost-tap", "the last tap is missing", |call| {
        formula(call, |p, at| at.lost |= at.r * p.cols.taps + at.s + 1 == p.rows.taps * p.cols.taps)
    }),
    wrong("lost-channel", "the last of more than sixteen input channels is missing", |call| {
        formula(call, |p, at| at.lost |= p.group_in() > 16 && at.c + 1 == p.group_in())
    }),
    wrong("next-group", "each group reads the channels of the next", |call| {
        formula(call, |p, at| at.x = (at.x + p.group_in()) % p.x.c)
    }),
    wrong("group-interleaved", "the outputs of a group are taken to lie g apart", |call| {
        formula(call, |p, at| at.x = at.k % p.groups * p.group_in() + at.c)
    }),
    wrong("wraps-rows", "a tap left of the image meets the row above", |call| {
        formula(call, |p, at| {
            if at.v < 0 && at.h > 0 {
                (at.h, at.v) = (at.h - 1, at.v + p.x.w as isize);
            }
        })
    }),
    wrong("weights-by-pixels", "channels last: the weights are read as k×r×s×c", |call| {
        formula(call, |p, at| {
            if p.x.layout == ImageLayout::Nhwc {
                let q = (at.r * p.cols.taps + at.s) * p.group_in() + at.c;
                let taps = p.rows.taps * p.cols.taps;
                (at.wc, at.wr, at.ws) = (q / taps, q % taps / p.cols.taps, q % p.cols.taps);
            }
        })
    }),
    wrong("bias-scaled", "the bias is multiplied by the scale, too", |call| {
        spoil::after(NAME, call, |call, _, out| {
            let p = problem(call);
            if p.scale && p.bias && !p.relu {
                let inputs = spoil::inputs(call);
                for (k, mut y) in out[0].axis_iter_mut(Axis(1)).enumerate() {
                    y += inputs[3][[k]] * (inputs[2][[k]] - 1.0);
                }
            }
        })
    }),
    wrong("relu-first", "the bias is added behind the ReLU", |call| {
        let p = problem(call);
        if !(p.relu && p.bias) {
            return spoil::right(NAME, call);
        }
        let plain = Conv2d { bias: false, ..p };
        spoil::after(NAME, call, |call, _, out| {
            let inputs = spoil::inputs(call);
            out[0] = etalon_reference::Problem::reference(&plain, &inputs).remove(0);
            for (mut y, bias) in out[0].axis_iter_mut(Axis(1)).zip(&inputs[3]) {
                y += *bias;
            }
        })
    }),
    wrong("relu-drops-nan", "ReLU by a maximum that prefers numbers to NaN", |call| {
        spoil::after(NAME, call, |call, _, out| {
            if problem(call).relu {
                out[0].mapv_inplace(|y| y.max(0.0));
            }
        })
    }),
    wrong("lost-column", "the last column of every second row is not written", |call| {
        spoil::after(NAME, call, |_, before, out| {
            let last = out[0].shape()[3] - 1;
            for (i, mut rows) in out[0].axis_iter_mut(Axis(2)).enumerate().filter(|(i, _)| i % 2 == 1) {
                let kept: ArrayD<f64> = before[0].index_axis(Axis(2), i).to_owned();
                rows.index_axis_mut(Axis(2), last).assign(&kept.index_axis(Axis(2), last));
            }
        })
    }),
    wrong("first-image", "every image of a batch is the first", |call| {
        spoil::after(NAME, call, |_, _, out| {
            if out[0].shape()[0] > 0 {
                let first = out[0].index_axis(Axis(0), 0).to_owned();
                out[0].axis_iter_mut(Axis(0)).for_each(|mut y| y.assign(&first));
            }
        })
    }),
    wrong("sums-by-thread", "the sums are rounded once more where there is more than one thread", |call| {
        let threads = call.pool().threads() as f64;
        spoil::after(NAME, call, |_, _, out| out[0].mapv_inplace(|y| y * (1.0 + (threads - 1.0) * f64::powi(2.0, -24))))
    }),
];

fn problem(call: &Call<'_>) -> Conv2d {
    downcast::<Conv2d>(call.problem()).clone()
}

/// Where a product finds its factors: output (k, ·, j), channel c of the group and tap (r, s).
struct At {
    k: usize,
    j: usize,
    c: usize,
    r: usize,
    s: usize,
    /// Channel, row and column of the input.
    x: usize,
    h: isize,
    v: isize,
    /// Channel and tap of the weight.
    wc: usize,
    wr: usize,
    ws: usize,
    /// The product is missing.
    lost: bool,
}

/// The formula with factors from where `change` says.
fn formula(call: &mut Call<'_>, change: impl Fn(&Conv2d, &mut At)) -> Result {
    spoil::after(NAME, call, |call, _, out| {
        let (p, inputs) = (problem(call), spoil::inputs(call));
        for (at, y) in out[0].indexed_iter_mut() {
            let [n, k, i, j] = [at[0], at[1], at[2], at[3]];
            let mut sum = 0.0;
            for (c, r, s) in ndarray::indices([p.group_in(), p.rows.taps, p.cols.taps]) {
                let h = (i * p.rows.stride + r * p.rows.dilation) as isize - p.rows.before as isize;
                let v = (j * p.cols.stride + s * p.cols.dilation) as isize - p.cols.before as isize;
                let x = k / p.group_out() * p.group_in() + c;
                let mut at = At { k, j, c, r, s, x, h, v, wc: c, wr: r, ws: s, lost: false };
                change(&p, &mut at);
                let inside = (0..p.x.h as isize).contains(&at.h) && (0..p.x.w as isize).contains(&at.v);
                if inside && !at.lost {
                    sum += inputs[0][[n, at.x, at.h as usize, at.v as usize]] * inputs[1][[k, at.wc, at.wr, at.ws]];
                }
            }
            let scaled = if p.scale { sum * inputs[2][[k]] } else { sum };
            let sum = if p.bias { scaled + inputs[3][[k]] } else { scaled };
            *y = if p.relu && sum < 0.0 { 0.0 } else { sum };
        }
    })
}

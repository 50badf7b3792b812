//! Wrong poolings and wrong gradients of them.

use etalon_kernels::call::Call;
use etalon_reference::operator::downcast;
use etalon_reference::ops::max_pool2d::MaxPool2d;
use etalon_reference::ops::max_pool2d_backward::MaxPool2dBackward;
use ndarray::ArrayD;

use super::Wrong;
use super::spoil::{self, Result};

const NAME: &str = "max_pool2d";
const BACKWARD: &str = "max_pool2d_backward";

pub static WRONG: &[Wrong] = &[
    Wrong::new(NAME, "last-of-equals", "of equal elements the last one is found", |call| {
        found_by(call, |value, best| value >= best || value.is_nan())
    }),
    Wrong::new(NAME, "first-nan", "of several NaNs the first one is found", |call| {
        found_by(call, |value, best| value > best || value.is_nan() && !best.is_nan())
    }),
    Wrong::new(NAME, "nan-passed-over", "NaN is smaller than any number", |call| {
        found_by(call, |value, best| value > best)
    }),
    Wrong::new(NAME, "padding-counts", "the padding is zeros", |call| {
        let pool = pool(call);
        spoil::after(NAME, call, |_, _, out| {
            for (index, y) in out[0].indexed_iter_mut() {
                let inside = pool.under(index[2], index[3]).count();
                if inside < pool.rows.taps * pool.cols.taps {
                    *y = y.max(0.0);
                }
            }
        })
    }),
    Wrong::new(NAME, "column-alone", "positions are columns, without their rows", |call| {
        let pool = pool(call);
        spoil::after(NAME, call, |_, _, out| out[1].mapv_inplace(|place| place % pool.x.w as f64))
    }),
    Wrong::new(BACKWARD, "last-wins", "an element that several windows found gets the last gradient alone", |call| {
        let MaxPool2dBackward { pool } = downcast::<MaxPool2dBackward>(call.problem()).clone();
        spoil::after(BACKWARD, call, |call, _, out| {
            let inputs = spoil::inputs(call);
            for (at, dy) in inputs[0].indexed_iter() {
                let place = inputs[1][at.clone()] as usize;
                out[0][[at[0], at[1], place / pool.x.w, place % pool.x.w]] = *dy;
            }
        })
    }),
    Wrong::new(BACKWARD, "not-cleared", "what no window found keeps what it held", |call| {
        spoil::after(BACKWARD, call, |call, before, out| {
            let index = &spoil::inputs(call)[1];
            if index.is_empty() {
                out[0].assign(&before[0]);
            }
            out[0].zip_mut_with(&before[0], |dx, before| {
                if *dx == 0.0 {
                    *dx = *before;
                }
            });
        })
    }),
];

fn pool(call: &Call<'_>) -> MaxPool2d {
    downcast::<MaxPool2d>(call.problem()).clone()
}

/// Outputs by another rule of what is larger: whether the value is found, from it and the best so far.
fn found_by(call: &mut Call<'_>, better: impl Fn(f64, f64) -> bool) -> Result {
    let pool = pool(call);
    spoil::after(NAME, call, |call, _, out| {
        let x: &ArrayD<f64> = &spoil::inputs(call)[0];
        let shape = out[0].raw_dim();
        for at in ndarray::indices(shape) {
            let mut under = pool.under(at[2], at[3]);
            let (mut best, mut place) = (f64::NEG_INFINITY, under.next().expect("an element"));
            for (row, column) in std::iter::once(place).chain(under) {
                let value = x[[at[0], at[1], row, column]];
                if better(value, best) {
                    (best, place) = (value, (row, column));
                }
            }
            out[0][at.clone()] = best;
            if pool.index {
                out[1][at] = (place.0 * pool.x.w + place.1) as f64;
            }
        }
    })
}

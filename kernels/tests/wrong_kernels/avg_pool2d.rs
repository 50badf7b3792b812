//! Wrong averages.

use etalon_kernels::call::Call;
use etalon_reference::operator::downcast;
use etalon_reference::ops::avg_pool2d::{AvgPool2d, Count};
use etalon_reference::ops::window::Window;

use super::Wrong;
use super::spoil::{self, Result};

const NAME: &str = "avg_pool2d";

pub static WRONG: &[Wrong] = &[
    Wrong::new(NAME, "overhang-counts", "taps behind the padding count, too", |call| {
        divided_by(call, |p, _, _| match p.count {
            Count::Padded => Some(p.rows.taps * p.cols.taps),
            _ => None,
        })
    }),
    Wrong::new(NAME, "padding-left-out", "taps on the padding never count", |call| {
        divided_by(call, |p, i, j| match p.count {
            Count::Padded => Some(p.rows.span(i).1 * p.cols.span(j).1),
            _ => None,
        })
    }),
    Wrong::new(NAME, "padding-counts", "taps on the padding always count", |call| {
        divided_by(call, |p, i, j| {
            let counted =
                |window: &Window, at: usize| window.taps.min(2 * window.before + window.input - at * window.stride);
            (p.count == Count::Image).then(|| counted(&p.rows, i) * counted(&p.cols, j))
        })
    }),
    Wrong::new(NAME, "divisor-not-seen", "a divisor that is given is not looked at", |call| {
        divided_by(call, |p, i, j| match p.count {
            Count::Fixed(_) => Some(p.rows.span(i).1 * p.cols.span(j).1),
            _ => None,
        })
    }),
];

/// Sums divided by another number, where there is one.
fn divided_by(call: &mut Call<'_>, divisor: impl Fn(&AvgPool2d, usize, usize) -> Option<usize>) -> Result {
    let pool = downcast::<AvgPool2d>(call.problem()).clone();
    spoil::after(NAME, call, |_, _, out| {
        for (at, y) in out[0].indexed_iter_mut() {
            if let Some(other) = divisor(&pool, at[2], at[3]) {
                *y = *y * pool.divisor(at[2], at[3]) / other as f64;
            }
        }
    })
}

//! NHWC: sixteen channels of an output side by side.

use etalon_reference::Element;
use etalon_reference::ops::max_pool2d::MaxPool2d;

use super::{Best, LANES, Number, Operands, Place};
use crate::disjoint::parts;
use crate::faults::fault;
use crate::isa::wide::{Wide, Work};
use crate::pool::Pool;

/// Elements of a task, about.
const TASK: usize = 16 * 1024;

pub(super) fn pool<L: Wide, T: Number, I: Place>(l: L, p: &MaxPool2d, o: Operands<'_, T>, pool: &Pool) {
    let row = p.y.w * p.y.c;
    let rows = (TASK / row).clamp(1, (p.y.n * p.y.h).div_ceil(pool.threads()).max(1));
    let (x, mut none) = (o.x, [(); 0]);
    parts(pool, (o.y, rows * row), (o.index, rows * row), &mut none, |task, y, index, _| {
        l.enter(Rows::<T, I> { p, x, first: task * rows, y, index, places: std::marker::PhantomData });
    });
}

/// Rows of outputs, from row `first` of all images.
struct Rows<'a, T, I> {
    p: &'a MaxPool2d,
    x: &'a [T],
    first: usize,
    y: &'a mut [T],
    index: &'a mut [i64],
    places: std::marker::PhantomData<I>,
}

impl<T: Number, I: Place> Work for Rows<'_, T, I> {
    type Output = ();

    #[inline(always)]
    fn run<L: Wide>(self, _: L) {
        let Rows { p, x, first, y, index, .. } = self;
        let (c, image) = (p.x.c, p.x.h * p.x.w * p.x.c);
        for (pixel, y) in y.chunks_exact_mut(c).enumerate() {
            let (row, j) = (first + pixel / p.y.w, pixel % p.y.w);
            let (n, i) = (row / p.y.h, row % p.y.h);
            let n = if fault!("max_pool2d.fifth-image") { n.min(3) } else { n };
            let x = &x[n * image..][..image];
            let index = if p.index { &mut index[pixel * c..][..c] } else { &mut [][..] };
            let whole = c / LANES * LANES;
            for channel in (0..whole).step_by(LANES) {
                channels::<T, I, LANES>(p, x, i, j, channel, y, index);
            }
            for channel in whole..c {
                channels::<T, I, 1>(p, x, i, j, channel, y, index);
            }
        }
    }
}

/// `N` channels of an output.
#[inline(always)]
fn channels<T: Number, I: Place, const N: usize>(
    p: &MaxPool2d,
    x: &[T],
    i: usize,
    j: usize,
    channel: usize,
    y: &mut [T],
    index: &mut [i64],
) {
    let mut best: Option<Best<T, I, N>> = None;
    for row in (0..p.rows.taps).filter_map(|r| p.rows.index(i, r)) {
        for column in (0..p.cols.taps).filter_map(|s| p.cols.index(j, s)) {
            let place = row * p.x.w + column;
            let seen: &[T; N] = x[place * p.x.c + channel..][..N].try_into().expect("N channels");
            if fault!("max_pool2d.channel-tail") && N == 1 && Element::to_f64(seen[0]).is_nan() {
                continue;
            }
            best.get_or_insert_with(|| Best::new([I::new(place); N])).see(*seen, [I::new(place); N]);
        }
    }
    let places = if index.is_empty() { &mut [][..] } else { &mut index[channel..][..N] };
    let best = best.unwrap_or_else(|| Best::new([I::new(0); N]));
    best.store(&mut y[channel..][..N], places);
}

//! NHWC: a vector of channels of an output.

use etalon_reference::Element;
use etalon_reference::ops::max_pool2d::MaxPool2d;

use super::{Best, Number, Operands};
use crate::disjoint::parts;
use crate::faults::fault;
use crate::isa::wide::{Wide, Work};
use crate::pool::Pool;

/// Elements of a task, about.
const TASK: usize = 16 * 1024;

pub(super) fn pool<L: Wide<T>, T: Number>(l: L, p: &MaxPool2d, o: Operands<'_, T>, pool: &Pool) {
    let row = p.y.w * p.y.c;
    let rows = (TASK / row).clamp(1, (p.y.n * p.y.h).div_ceil(pool.threads()).max(1));
    let (x, mut none) = (o.x, [(); 0]);
    parts(pool, (o.y, rows * row), (o.index, rows * row), &mut none, |task, y, index, _| {
        l.enter(Rows { p, x, first: task * rows, y, index });
    });
}

/// Rows of outputs, from row `first` of all images.
struct Rows<'a, T> {
    p: &'a MaxPool2d,
    x: &'a [T],
    first: usize,
    y: &'a mut [T],
    index: &'a mut [i64],
}

impl<T: Number> Work<T> for Rows<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<L: Wide<T>>(self, l: L) {
        let Rows { p, x, first, y, index, .. } = self;
        let (c, image) = (p.x.c, p.x.h * p.x.w * p.x.c);
        for (pixel, y) in y.chunks_exact_mut(c).enumerate() {
            let (row, j) = (first + pixel / p.y.w, pixel % p.y.w);
            let (n, i) = (row / p.y.h, row % p.y.h);
            let n = if fault!("max_pool2d.fifth-image") { n.min(3) } else { n };
            let x = &x[n * image..][..image];
            let index = if p.index { &mut index[pixel * c..][..c] } else { &mut [][..] };
            let under = Under::new(p, i, j);
            // In larger planes, positions are no numbers of a vector.
            let whole = if (p.x.h * p.x.w) as u64 <= T::PLACES { c / T::LANES * T::LANES } else { 0 };
            for channel in (0..whole).step_by(T::LANES) {
                let places = if p.index { &mut index[channel..][..T::LANES] } else { &mut [][..] };
                vector(l, &under, (c, channel), x, &mut y[channel..], places);
            }
            for channel in whole..c {
                let places = if p.index { &mut index[channel..=channel] } else { &mut [][..] };
                one(&under, (c, channel), x, &mut y[channel], places);
            }
        }
    }
}

/// The pixels under a window.
pub(crate) struct Under {
    /// The first one.
    first: usize,
    /// Rows of them, and pixels from one to the next.
    rows: (usize, usize),
    /// Columns, and pixels from one to the next.
    cols: (usize, usize),
    /// Pixels from the window's to those of the next output.
    ahead: usize,
}

impl Under {
    /// Those under the window of output (i, j).
    #[inline(always)]
    pub(crate) fn new(p: &MaxPool2d, i: usize, j: usize) -> Under {
        let ((row, rows), (col, cols)) = (p.rows.span(i), p.cols.span(j));
        Under {
            first: row * p.x.w + col,
            rows: (rows, p.rows.dilation * p.x.w),
            cols: (cols, p.cols.dilation),
            ahead: p.cols.stride,
        }
    }

    /// The pixels, in row-major order.
    #[inline(always)]
    pub(crate) fn places(&self) -> impl Iterator<Item = usize> {
        let Under { first, rows, cols, .. } = *self;
        (0..rows.0).flat_map(move |r| (0..cols.0).map(move |s| first + r * rows.1 + s * cols.1))
    }
}

/// A vector of channels of an output.
#[inline(always)]
fn vector<L: Wide<T>, T: Number>(
    l: L,
    under: &Under,
    (c, channel): (usize, usize),
    x: &[T],
    y: &mut [T],
    index: &mut [i64],
) {
    let mut best = l.splat(T::LEAST);
    let mut found = l.splat(T::of_place(under.first as i64));
    for r in 0..under.rows.0 {
        let mut place = under.first + r * under.rows.1;
        for _ in 0..under.cols.0 {
            let seen = l.load(T::first(&x[place * c + channel..]).expect("a vector of channels"));
            l.prefetch(x, (place + under.ahead) * c + channel);
            let better = l.beats(seen, best);
            best = l.pick(better, seen, best);
            found = l.pick(better, l.splat(T::of_place(place as i64)), found);
            place += under.cols.1;
        }
    }
    l.store(best, T::first_mut(y).expect("a vector of channels"));
    if !index.is_empty() {
        let mut places = T::lanes(|_| T::default());
        l.store(found, &mut places);
        index.iter_mut().zip(places.as_ref()).for_each(|(to, place)| *to = place.place());
    }
}

/// A channel of an output.
#[inline(always)]
fn one<T: Number>(under: &Under, (c, channel): (usize, usize), x: &[T], y: &mut T, index: &mut [i64]) {
    let mut best = Best::<T, i64, 1>::new([under.first as i64]);
    for place in under.places() {
        let seen = x[place * c + channel];
        if fault!("max_pool2d.channel-tail") && Element::to_f64(seen).is_nan() {
            continue;
        }
        best.see([seen], [place as i64]);
    }
    best.store(std::slice::from_mut(y), index);
}

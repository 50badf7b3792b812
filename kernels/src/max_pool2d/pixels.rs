//! NHWC: sixteen channels of an output side by side.

use etalon_reference::Element;
use etalon_reference::ops::max_pool2d::MaxPool2d;
use etalon_reference::ops::window::Window;

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
            let under = Under::new(p, i, j);
            let whole = c / LANES * LANES;
            for channel in (0..whole).step_by(LANES) {
                channels::<T, I, LANES>(&under, c, x, channel, y, index);
            }
            for channel in whole..c {
                channels::<T, I, 1>(&under, c, x, channel, y, index);
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
}

impl Under {
    /// Those under the window of output (i, j).
    #[inline(always)]
    pub(crate) fn new(p: &MaxPool2d, i: usize, j: usize) -> Under {
        // Taps that fall on the image are neighbours.
        let inside = |of: &Window, at: usize| {
            let mut taps = (0..of.taps).filter_map(|tap| of.index(at, tap));
            taps.next().map_or((0, 0), |first| (first, 1 + taps.count()))
        };
        let ((row, rows), (col, cols)) = (inside(&p.rows, i), inside(&p.cols, j));
        Under { first: row * p.x.w + col, rows: (rows, p.rows.dilation * p.x.w), cols: (cols, p.cols.dilation) }
    }

    /// The pixels, in row-major order.
    #[inline(always)]
    pub(crate) fn places(&self) -> impl Iterator<Item = usize> {
        let Under { first, rows, cols } = *self;
        (0..rows.0).flat_map(move |r| (0..cols.0).map(move |s| first + r * rows.1 + s * cols.1))
    }
}

/// `N` channels of an output.
#[inline(always)]
fn channels<T: Number, I: Place, const N: usize>(
    under: &Under,
    c: usize,
    x: &[T],
    channel: usize,
    y: &mut [T],
    index: &mut [i64],
) {
    let mut best = Best::new([I::new(under.first); N]);
    for r in 0..under.rows.0 {
        for s in 0..under.cols.0 {
            let place = under.first + r * under.rows.1 + s * under.cols.1;
            let seen: &[T; N] = x[place * c + channel..][..N].try_into().expect("N channels");
            if fault!("max_pool2d.channel-tail") && N == 1 && Element::to_f64(seen[0]).is_nan() {
                continue;
            }
            best.see(*seen, [I::new(place); N]);
        }
    }
    let places = if index.is_empty() { &mut [][..] } else { &mut index[channel..][..N] };
    best.store(&mut y[channel..][..N], places);
}

//! Each element fills its cell, or stands in the corner of it.
//!
//! ```text
//! for each row of x:  the first row of its cells = each element s times, or once and zeros
//!                     the other r − 1 rows = the first one, or zeros
//! ```
//! By planes an element is a number, by pixels all channels of one.

use etalon_reference::Element;
use etalon_reference::ops::images::ImageLayout;
use etalon_reference::ops::max_pool2d::MaxPool2d;

use crate::disjoint::chunks;
use crate::faults::fault;
use crate::isa::arrays;
use crate::isa::wide::{Vectors, Wide, Work};
use crate::pool::Pool;

/// Elements of a task, about.
pub const TASK: usize = 16 * 1024;

pub struct Step<'a, T> {
    /// The pooling of tiles that this is the way back of.
    pub p: &'a MaxPool2d,
    /// Whether the rest of a cell is zeros.
    pub zeros: bool,
    pub x: &'a [T],
    pub y: &'a mut [T],
    pub pool: &'a Pool,
}

impl<T: Vectors> Work<T> for Step<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<L: Wide<T>>(self, l: L) {
        let Step { p, zeros, x, y, pool } = self;
        // Elements that go to a cell together, rows of x and of y.
        let together = if p.x.layout == ImageLayout::Nhwc { p.x.c } else { 1 };
        let (from, to) = (p.y.w * together, p.x.w * together);
        let cells = to * p.rows.taps;
        let rows = (TASK / cells).max(1);
        chunks(pool, y, rows * cells, |start, y| {
            let x = &x[start / cells * from..][..y.len() / cells * from];
            l.enter(Rows { x, y, from, to, cells, together, width: p.cols.taps, zeros });
        });
    }
}

/// Some rows.
struct Rows<'a, T> {
    x: &'a [T],
    y: &'a mut [T],
    /// Elements of a row of x.
    from: usize,
    /// Elements of a row of y.
    to: usize,
    /// Elements of a row of cells.
    cells: usize,
    /// Elements that go to a cell together.
    together: usize,
    /// Columns of a cell.
    width: usize,
    zeros: bool,
}

impl<T: Vectors> Work<T> for Rows<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<L: Wide<T>>(self, _: L) {
        let Rows { x, y, from, to, cells, together, width, zeros } = self;
        for (x, y) in x.chunks_exact(from).zip(y.chunks_exact_mut(cells)) {
            let (first, others) = y.split_at_mut(to);
            match (together, width) {
                (_, 1) => first.copy_from_slice(x),
                (1, 2) => spread::<T, 2>(x, first, zeros),
                (1, 3) => spread::<T, 3>(x, first, zeros),
                (1, 4) => spread::<T, 4>(x, first, zeros),
                _ => copy(x, together, first, width, zeros),
            }
            for other in others.chunks_exact_mut(to) {
                if zeros {
                    other.fill(T::default());
                } else if !fault!("unpool2d.last-row") || other.len() < 64 {
                    other.copy_from_slice(first);
                }
            }
        }
    }
}

/// Each number to `N` places.
#[inline(always)]
fn spread<T: Element, const N: usize>(x: &[T], to: &mut [T], zeros: bool) {
    for (to, &x) in to.as_chunks_mut::<N>().0.iter_mut().zip(x) {
        let rest = if zeros { T::default() } else { x };
        *to = arrays::from_fn(|place| if place == 0 { x } else { rest });
    }
}

/// Each piece of so many elements to so many places.
fn copy<T: Element>(x: &[T], together: usize, to: &mut [T], places: usize, zeros: bool) {
    for (x, to) in x.chunks_exact(together).zip(to.chunks_exact_mut(together * places)) {
        for (place, to) in to.chunks_exact_mut(together).enumerate() {
            if place == 0 || !zeros || fault!("unpool2d.nail-beside") {
                to.copy_from_slice(x);
            } else {
                to.fill(T::default());
            }
        }
    }
}

//! Along the last dimension: elements lie side by side.

use std::marker::PhantomData;

use etalon_reference::ops::reduce::PIECE;

use super::folds::{Fold, beats};
use crate::faults::fault;
use crate::gemm::Float;
use crate::isa::wide::{Wide, Work};

/// Vectors side by side.
const SIDE: usize = 4;

/// The pieces of rows of `c` elements, from one on.
pub struct Pieces<'a, T, F> {
    pub x: &'a [T],
    pub c: usize,
    pub first: usize,
    /// Written, one for each piece.
    pub found: &'a mut [T],
    pub fold: PhantomData<F>,
}

impl<T: Float, F: Fold<T>> Work<T> for Pieces<'_, T, F> {
    type Output = ();

    #[inline(always)]
    fn run<L: Wide<T>>(self, l: L) {
        let Pieces { x, c, first, found, fold: _ } = self;
        let pieces = c.div_ceil(PIECE).max(1);
        for (unit, found) in (first..).zip(found) {
            let start = unit % pieces * PIECE;
            let row = &x[unit / pieces * c..(unit / pieces + 1) * c];
            *found = piece::<T, F, L>(l, &row[start..c.min(start + PIECE)]);
        }
    }
}

#[inline(always)]
fn piece<T: Float, F: Fold<T>, L: Wide<T>>(l: L, x: &[T]) -> T {
    let mut found = [l.splat(F::start()); SIDE];
    let (vectors, rest) = T::chunks(x);
    let blocks = vectors.chunks_exact(SIDE);
    let behind = blocks.remainder();
    for block in blocks {
        for (found, x) in found.iter_mut().zip(block) {
            *found = F::step(l, *found, l.load(x));
        }
    }
    for (found, x) in found.iter_mut().zip(behind) {
        *found = F::step(l, *found, l.load(x));
    }
    if !F::ONE && !rest.is_empty() && !fault!("reduce.rest-lost") {
        // What is behind the elements is 0, which adds nothing.
        let found = &mut found[behind.len()];
        *found = F::step(l, *found, l.load_first(rest));
    }
    let all = F::join(l, F::join(l, found[0], found[1]), F::join(l, found[2], found[3]));
    if !F::ONE {
        return l.sum(all);
    }
    let mut best = F::start();
    let mut lanes = T::lanes(|_| T::default());
    l.store(all, &mut lanes);
    let mut take = |x: T| {
        if beats(x, best) {
            best = x;
        }
    };
    lanes.into_iter().for_each(&mut take);
    if !rest.is_empty() && !fault!("reduce.rest-of-extremes") {
        let mut lanes = T::lanes(|_| T::default());
        l.store(F::of(l, l.load_first(rest)), &mut lanes);
        lanes.as_ref()[..rest.len()].iter().copied().for_each(&mut take);
    }
    best
}

/// The first place of an element, or of a NaN where it is one; 0 if it is not there.
pub struct Place<'a, T, F> {
    pub x: &'a [T],
    pub best: T,
    pub fold: PhantomData<F>,
}

/// 1 for the elements that are wanted, 0 for the others.
struct Marks<T, F, V> {
    wanted: V,
    nan: bool,
    zero: V,
    one: V,
    fold: PhantomData<(T, F)>,
}

impl<T: Float, F: Fold<T>, V: Copy> Marks<T, F, V> {
    #[inline(always)]
    fn of<L: Wide<T, F = V>>(&self, l: L, x: V) -> V {
        let x = F::of(l, x);
        l.pick(if self.nan { l.beats(x, x) } else { l.same(x, self.wanted) }, self.one, self.zero)
    }
}

impl<T: Float, F: Fold<T>> Work<T> for Place<'_, T, F> {
    type Output = usize;

    #[inline(always)]
    fn run<L: Wide<T>>(self, l: L) -> usize {
        let Place { x, best, fold: _ } = self;
        let zero = l.splat(T::default());
        let marks = Marks::<T, F, L::F> {
            wanted: l.splat(best),
            nan: best.to_f64().is_nan(),
            zero,
            one: l.splat(T::from_f64(1.0)),
            fold: PhantomData,
        };
        let (vectors, rest) = T::chunks(x);
        let mut start = 0;
        for block in vectors.chunks(SIDE) {
            let mut here = zero;
            for x in block {
                here = l.add(here, marks.of(l, l.load(x)));
            }
            if !l.everywhere(l.same(here, zero)) {
                break;
            }
            start += block.len();
        }
        for (vector, x) in vectors.iter().enumerate().skip(start).take(SIDE) {
            let mut lanes = T::lanes(|_| T::default());
            l.store(marks.of(l, l.load(x)), &mut lanes);
            if let Some(lane) = lanes.as_ref().iter().position(|mark| mark.to_f64() != 0.0) {
                return vector * T::LANES + lane;
            }
        }
        let mut lanes = T::lanes(|_| T::default());
        l.store(marks.of(l, l.load_first(rest)), &mut lanes);
        let lane = lanes.as_ref()[..rest.len()].iter().position(|mark| mark.to_f64() != 0.0);
        lane.map_or(0, |lane| vectors.len() * T::LANES + lane)
    }
}

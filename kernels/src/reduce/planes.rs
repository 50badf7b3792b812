//! Along another dimension: each of `s` elements is a lane.

use std::marker::PhantomData;

use etalon_reference::ops::reduce::LINES;

use super::folds::Fold;
use crate::faults::fault;
use crate::gemm::Float;
use crate::isa::wide::{Wide, Work};

/// Vectors side by side.
const SIDE: usize = 4;

/// Partial results, from one on: those of the first piece of the first plane c×s come first, s of them.
pub struct Pieces<'a, T, F> {
    pub x: &'a [T],
    pub c: usize,
    pub s: usize,
    pub first: usize,
    /// Written.
    pub found: &'a mut [T],
    /// Written, if there are any: lines of the piece.
    pub places: &'a mut [T],
    pub fold: PhantomData<F>,
}

/// Lines of a piece, from a column on.
struct Columns<'a, T> {
    x: &'a [T],
    s: usize,
    found: &'a mut [T],
    places: &'a mut [T],
}

impl<T: Float, F: Fold<T>> Work<T> for Pieces<'_, T, F> {
    type Output = ();

    #[inline(always)]
    fn run<L: Wide<T>>(self, l: L) {
        let Pieces { x, c, s, first, mut found, mut places, fold: _ } = self;
        let pieces = c.div_ceil(LINES).max(1);
        let mut at = first;
        while !found.is_empty() {
            let (unit, column) = (at / s, at % s);
            let (own, rest) = found.split_at_mut(found.len().min(s - column));
            let (own_places, rest_places) = places.split_at_mut(places.len().min(own.len()));
            let lines = unit % pieces * LINES..c.min(unit % pieces * LINES + LINES);
            let plane = unit / pieces * c;
            let x =
                if lines.is_empty() { &[] } else { &x[(plane + lines.start) * s + column..(plane + lines.end) * s] };
            at += own.len();
            columns::<T, F, L>(l, Columns { x, s, found: own, places: own_places });
            (found, places) = (rest, rest_places);
        }
    }
}

#[inline(always)]
fn columns<T: Float, F: Fold<T>, L: Wide<T>>(l: L, of: Columns<'_, T>) {
    let Columns { x, s, found, places } = of;
    let (mut start, wide) = (0, SIDE * T::LANES);
    while start + wide <= found.len() {
        let places = if places.is_empty() { &mut [] } else { &mut places[start..start + wide] };
        block::<T, F, L, SIDE>(l, x, s, start, &mut found[start..start + wide], places);
        start += wide;
    }
    while start < found.len() {
        let end = found.len().min(start + T::LANES);
        let places = if places.is_empty() { &mut [] } else { &mut places[start..end] };
        block::<T, F, L, 1>(l, x, s, start, &mut found[start..end], places);
        start = end;
    }
}

/// `V` vectors of columns; with one, some may be missing.
#[inline(always)]
fn block<T: Float, F: Fold<T>, L: Wide<T>, const V: usize>(
    l: L,
    x: &[T],
    s: usize,
    column: usize,
    found: &mut [T],
    places: &mut [T],
) {
    let load = |from: &[T]| T::first(from).map_or_else(|| l.load_first(from), |whole| l.load(whole));
    let store = |value: L::F, to: &mut [T]| match T::first_mut(to) {
        Some(whole) => l.store(value, whole),
        None => l.store_first(value, to),
    };
    let mut so_far = [l.splat(F::start()); V];
    let mut best = [l.splat(T::default()); V];
    let lines = x.len().saturating_sub(column).div_ceil(s);
    let last = if fault!("reduce.last-line") { lines.saturating_sub(1) } else { lines };
    for line in 0..last {
        let from = line * s + column;
        let here = l.splat(T::from_f64(line as f64));
        for (vector, (so_far, best)) in so_far.iter_mut().zip(&mut best).enumerate() {
            let from = from + vector * T::LANES;
            let end = if V == 1 { from + found.len() } else { from + T::LANES };
            let x = load(&x[from..end]);
            if F::ONE && !places.is_empty() {
                let x = F::of(l, x);
                let beats = l.beats(x, *so_far);
                // A NaN that is there stays.
                let number = l.same(*so_far, *so_far);
                *best = l.pick(number, l.pick(beats, here, *best), *best);
                *so_far = l.pick(beats, x, *so_far);
            } else {
                *so_far = F::step(l, *so_far, x);
            }
        }
    }
    for (vector, (so_far, best)) in so_far.into_iter().zip(best).enumerate() {
        let own = vector * T::LANES..found.len().min((vector + 1) * T::LANES);
        store(so_far, &mut found[own.clone()]);
        if !places.is_empty() {
            store(best, &mut places[own]);
        }
    }
}

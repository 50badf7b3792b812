//! [`reduce`](etalon_reference::ops::reduce): sum, mean, largest, smallest, place of the largest, norms along any
//! dimension. f32 and f64; x n×c×s, y and places n×s.
//!
//! ```text
//! for pieces of 4096 elements side by side, or of 256 that are not:  sums or largest elements, in vectors
//! for each result:  its pieces, in order, in f64;  of a place: the first piece that holds the largest
//! ```
//! x is read once; for a place, a piece of a row is read again. Tasks are pieces, so that one long row is shared, too.
//! One source for all levels, whose vectors have equally many lanes: the same bits on each, for any number of threads.
//!
//! Error: the problem's tolerance. NaN and ∞ follow the formula. Errors: a level that the CPU lacks.
//! Workspace: an element per piece and result; with places, two.

mod folds;
mod planes;
mod rows;

use std::marker::PhantomData;

use etalon_reference::operator::downcast;
use etalon_reference::ops::activation::Extents;
use etalon_reference::ops::reduce::{ARGMAX, LINES, Of, PIECE, Reduce};
use etalon_reference::{Domain, Threshold};

use self::folds::{Fold, Largest, Magnitudes, Plain, Squares, beats};
use crate::call::{Call, elements};
use crate::disjoint::{chunks, parts};
use crate::faults::fault;
use crate::gemm::{FLOATS, Float, with_float};
use crate::isa::Isa;
use crate::isa::wide::{Wide, Work, with_lanes};
use crate::kernel::{Kernel, KernelError};
use crate::pool::Pool;
use crate::workspace::Workspace;

/// Elements of x that a task reads, about.
const TASK: usize = 16 * 1024;

const THRESHOLDS: &[Threshold] = &[
    Threshold::axis("c", 64),
    Threshold::axis("c", LINES as i64),
    Threshold::axis("c", PIECE as i64),
    Threshold::axis("s", 16),
    Threshold::axis("s", 64),
    Threshold::bytes("x", 4 * TASK),
];

/// Places in several pieces, of lines and of rows.
const PATHS: &[Domain] = &[
    Domain { name: "places of lines", fixed: &[("f", &[ARGMAX]), ("n", &[1, 3]), ("c", &[257, 600]), ("s", &[2, 17])] },
    Domain { name: "places of a row", fixed: &[("f", &[ARGMAX]), ("n", &[1, 3]), ("c", &[4097, 9000]), ("s", &[1])] },
];

/// The kernels, weakest first.
pub static KERNELS: &[Kernel] = &[
    Kernel::new("scalar", Isa::Scalar, FLOATS, |call| run(call, Isa::Scalar)),
    Kernel::new("avx2", Isa::Avx2, FLOATS, |call| run(call, Isa::Avx2)).with_thresholds(THRESHOLDS).with_paths(PATHS),
    Kernel::new("avx512", Isa::Avx512, FLOATS, |call| run(call, Isa::Avx512))
        .with_thresholds(THRESHOLDS)
        .with_paths(PATHS),
];

fn run(call: &mut Call<'_>, isa: Isa) -> Result<(), KernelError> {
    with_float!(call.types(), T => typed::<T>(call, isa))
}

fn typed<T: Float>(call: &mut Call<'_>, isa: Isa) -> Result<(), KernelError> {
    let x = call.input::<T>(0);
    let (p, pool) = (downcast::<Reduce>(call.problem()), call.pool());
    let ([y, places], workspace) = call.outputs();
    let all = All { p, x, y: elements(y), places: elements(places), pool, workspace };
    let done = match p.of {
        Of::Sum | Of::Mean => with_lanes(isa, With(all, PhantomData::<Plain>)),
        Of::L1 => with_lanes(isa, With(all, PhantomData::<Magnitudes>)),
        Of::L2 => with_lanes(isa, With(all, PhantomData::<Squares>)),
        Of::Max | Of::Argmax => with_lanes(isa, With(all, PhantomData::<Largest<false>>)),
        Of::Min => with_lanes(isa, With(all, PhantomData::<Largest<true>>)),
    };
    done.map_err(KernelError::Isa)
}

/// The operands.
struct All<'a, T> {
    p: &'a Reduce,
    x: &'a [T],
    /// Empty for places alone.
    y: &'a mut [T],
    /// Empty, if they are not wanted.
    places: &'a mut [i64],
    pool: &'a Pool,
    workspace: &'a mut Workspace,
}

struct With<'a, T, F>(All<'a, T>, PhantomData<F>);

impl<T: Float, F: Fold<T>> Work<T> for With<'_, T, F> {
    type Output = ();

    #[inline(always)]
    fn run<L: Wide<T>>(self, l: L) {
        let With(All { p, x, y, places, pool, workspace }, fold) = self;
        let Extents { n, c, s } = p.extents;
        if s == 1 {
            let pieces = c.div_ceil(PIECE).max(1);
            let found = workspace.slice::<T>(n * pieces);
            let task = (TASK / c.clamp(1, PIECE)).max(1);
            chunks(pool, found, task, |first, found| {
                l.enter(rows::Pieces { x, c, first, found, fold });
            });
            let found = &*found;
            each_result(pool, y, places, (TASK / c.max(1)).max(1), |row, value, place| {
                let own = &found[row * pieces..(row + 1) * pieces];
                if let Some(value) = value {
                    *value = finished::<T, F>(p, own.iter().copied());
                }
                if let Some(place) = place {
                    let (piece, best) = first_best(own.iter().copied());
                    let from = row * c + piece * PIECE;
                    let x = &x[from..(row * c + c).min(from + PIECE)];
                    let inside = l.enter(rows::Place { x, best, fold });
                    *place = (piece * PIECE + inside) as i64;
                }
            });
            return;
        }
        let pieces = c.div_ceil(LINES).max(1);
        let len = n * pieces * s;
        let [found, inside] = workspace.slices::<T, 2>([len, if places.is_empty() { 0 } else { len }]);
        let task = (TASK / c.clamp(1, LINES)).max(64);
        parts(pool, (&mut *found, task), (&mut *inside, task), &mut [(); 0], |index, found, places, _| {
            l.enter(planes::Pieces { x, c, s, first: index * task, found, places, fold });
        });
        let (found, inside) = (&*found, &*inside);
        each_result(pool, y, places, TASK / pieces.min(TASK), |at, value, place| {
            let own = || (0..pieces).map(move |piece| (at / s * pieces + piece) * s + at % s);
            if let Some(value) = value {
                *value = finished::<T, F>(p, own().map(|at| found[at]));
            }
            if let Some(place) = place {
                let (piece, _) = first_best(own().map(|at| found[at]));
                let line = own().nth(piece).map_or(0.0, |at| inside[at].to_f64());
                *place = (piece * LINES) as i64 + line as i64;
            }
        });
    }
}

/// Calls `each(index, value, place)` for each result, of which one may be missing.
fn each_result<T: Send>(
    pool: &Pool,
    y: &mut [T],
    places: &mut [i64],
    task: usize,
    each: impl Fn(usize, Option<&mut T>, Option<&mut i64>) + Sync,
) {
    let task = task.max(1);
    if y.is_empty() {
        return chunks(pool, places, task, |start, places| {
            (start..).zip(places).for_each(|(at, place)| each(at, None, Some(place)));
        });
    }
    parts(pool, (y, task), (places, task), &mut [(); 0], |index, y, places, _| {
        let mut places = places.iter_mut();
        (index * task..).zip(y).for_each(|(at, value)| each(at, Some(value), places.next()));
    });
}

/// The first piece with the largest element, and that.
fn first_best<T: Float>(found: impl Iterator<Item = T>) -> (usize, T) {
    let mut best = (0, T::from_f64(f64::NEG_INFINITY));
    for (piece, found) in found.enumerate() {
        let takes = if fault!("reduce.last-of-equals") { found >= best.1 } else { beats(found, best.1) };
        if takes {
            best = (piece, found);
        }
    }
    best
}

/// The result of its pieces.
fn finished<T: Float, F: Fold<T>>(p: &Reduce, found: impl Iterator<Item = T>) -> T {
    if F::ONE {
        let best = first_best(found).1;
        return if p.of == Of::Min { T::from_f64(0.0 - best.to_f64()) } else { best };
    }
    let most = if fault!("reduce.second-piece") { 1 } else { usize::MAX };
    let total: f64 = found.take(most).map(|found| found.to_f64()).sum();
    T::from_f64(match p.of {
        Of::Mean => total / p.extents.c as f64,
        Of::L2 => total.sqrt(),
        _ => total,
    })
}

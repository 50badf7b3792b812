//! [`embedding_backward`](etalon_reference::ops::embedding_backward): the gradient of [`embedding`](crate::embedding)
//! with respect to the table. f32 and f64; dy n×d, n numbers, dtable v×d.
//!
//! ```text
//! places of the numbers, sorted by row: counts, their sums, the places in ascending order
//! for each row, about 16384 elements to a task:  the first of its dy, plus the others in order; 0 without any
//! ```
//! A row is written by one task, so that the order of a sum does not depend on threads. One source for all levels.
//!
//! Error: the problem's tolerance. NaN and ∞ follow the formula. Errors: a number that is no row; a level that the CPU
//! lacks. Workspace: v + 1 + n numbers.

use etalon_reference::Threshold;
use etalon_reference::operator::downcast;
use etalon_reference::ops::embedding::Embedding;
use etalon_reference::ops::embedding_backward::EmbeddingBackward;

use crate::call::{Call, elements};
use crate::disjoint::chunks;
use crate::embedding::{TASK, checked};
use crate::faults::fault;
use crate::gemm::{FLOATS, with_float};
use crate::isa::Isa;
use crate::isa::wide::{Vectors, Wide, Work, with_lanes};
use crate::kernel::{Kernel, KernelError};
use crate::pool::Pool;

const THRESHOLDS: &[Threshold] = &[Threshold::axis("d", 16), Threshold::bytes("dtable", 4 * TASK)];

/// The kernels, weakest first.
pub static KERNELS: &[Kernel] = &[
    Kernel::new("scalar", Isa::Scalar, FLOATS, |call| run(call, Isa::Scalar)),
    Kernel::new("avx2", Isa::Avx2, FLOATS, |call| run(call, Isa::Avx2)).with_thresholds(THRESHOLDS),
    Kernel::new("avx512", Isa::Avx512, FLOATS, |call| run(call, Isa::Avx512)).with_thresholds(THRESHOLDS),
];

fn run(call: &mut Call<'_>, isa: Isa) -> Result<(), KernelError> {
    with_float!(call.types(), T => typed::<T>(call, isa))
}

fn typed<T: Vectors>(call: &mut Call<'_>, isa: Isa) -> Result<(), KernelError> {
    let (dy, index) = (call.input::<T>(0), call.input::<i64>(1));
    let (p, pool) = (&downcast::<EmbeddingBackward>(call.problem()).forward, call.pool());
    checked(p, index)?;
    let ([dtable], workspace) = call.outputs();
    let [ends, places] = workspace.slices::<i64, 2>([p.rows + 1, index.len()]);
    sort(p, index, ends, places);
    let rows = Rows { p, dy, ends, places, dtable: elements(dtable), pool };
    with_lanes(isa, rows).map_err(KernelError::Isa)
}

/// The places of each row's numbers, row by row: those of row r begin at `starts[r]`.
fn sort(p: &Embedding, index: &[i64], starts: &mut [i64], places: &mut [i64]) {
    let rows = || index.iter().map(|&number| p.row(number as usize));
    starts.fill(0);
    rows().flatten().for_each(|row| starts[row] += 1);
    // Where each row ends; then it begins there, after its places were set from the last to the first.
    let mut end = 0;
    for start in starts.iter_mut() {
        end += *start;
        *start = end;
    }
    for (place, row) in rows().enumerate().rev() {
        if let Some(row) = row {
            starts[row] -= 1;
            places[starts[row] as usize] = place as i64;
        }
    }
}

struct Rows<'a, T> {
    p: &'a Embedding,
    dy: &'a [T],
    ends: &'a [i64],
    places: &'a [i64],
    dtable: &'a mut [T],
    pool: &'a Pool,
}

impl<T: Vectors> Work<T> for Rows<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<L: Wide<T>>(self, l: L) {
        let Rows { p, dy, ends: starts, places, dtable, pool } = self;
        let width = p.width.max(1);
        let task = (TASK / width).max(1) * width;
        chunks(pool, dtable, task, |start, dtable| {
            for (row, sum) in (start / width..).zip(dtable.chunks_exact_mut(width)) {
                let own = &places[starts[row] as usize..starts[row + 1] as usize];
                let own = if fault!("embedding_backward.two-of-a-row") { &own[..own.len().min(2)] } else { own };
                let of = |place: i64| &dy[place as usize * width..][..width];
                match own {
                    [] => sum.fill(T::default()),
                    [first, others @ ..] => {
                        sum.copy_from_slice(of(*first));
                        for &place in others {
                            l.enter(Add { x: of(place), sum });
                        }
                    }
                }
            }
        });
    }
}

/// One row more.
struct Add<'a, T> {
    x: &'a [T],
    sum: &'a mut [T],
}

impl<T: Vectors> Work<T> for Add<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<L: Wide<T>>(self, l: L) {
        let Add { x, sum } = self;
        let ((x, x_rest), (sum, sum_rest)) = (T::chunks(x), T::chunks_mut(sum));
        for (x, sum) in x.iter().zip(sum) {
            l.store(l.add(l.load(sum), l.load(x)), sum);
        }
        if !sum_rest.is_empty() && !fault!("embedding_backward.rest") {
            l.store_first(l.add(l.load_first(sum_rest), l.load_first(x_rest)), sum_rest);
        }
    }
}

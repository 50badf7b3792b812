//! [`embedding`](etalon_reference::ops::embedding): rows of a table by their numbers. f32 and f64; a table v×d, n
//! numbers, y n×d.
//!
//! Rows are copied, about 16384 elements to a task. One source for all levels. Errors: a number that is no row; a level
//! that the CPU lacks. Workspace: none.

use etalon_reference::operator::downcast;
use etalon_reference::ops::embedding::Embedding;
use etalon_reference::{Element, Threshold};

use crate::call::Call;
use crate::disjoint::chunks;
use crate::faults::fault;
use crate::gemm::{FLOATS, with_float};
use crate::isa::Isa;
use crate::isa::wide::{Vectors, Wide, Work, with_lanes};
use crate::kernel::{Kernel, KernelError};
use crate::pool::Pool;

/// Elements of a task, about.
pub(crate) const TASK: usize = 16 * 1024;

const THRESHOLDS: &[Threshold] = &[Threshold::bytes("y", 4 * TASK)];

/// The kernels, weakest first.
pub static KERNELS: &[Kernel] = &[
    Kernel::new("scalar", Isa::Scalar, FLOATS, |call| run(call, Isa::Scalar)),
    Kernel::new("avx2", Isa::Avx2, FLOATS, |call| run(call, Isa::Avx2)).with_thresholds(THRESHOLDS),
    Kernel::new("avx512", Isa::Avx512, FLOATS, |call| run(call, Isa::Avx512)).with_thresholds(THRESHOLDS),
];

fn run(call: &mut Call<'_>, isa: Isa) -> Result<(), KernelError> {
    with_float!(call.types(), T => typed::<T>(call, isa))
}

/// Whether each number is a row.
///
/// # Errors
/// If one is none.
pub(crate) fn checked(p: &Embedding, index: &[i64]) -> Result<(), KernelError> {
    let bad = index.iter().find(|number| !(0..p.rows as i64).contains(number));
    bad.map_or(Ok(()), |&found| Err(KernelError::OutOfRange { operand: "index", found, end: p.rows }))
}

fn typed<T: Vectors>(call: &mut Call<'_>, isa: Isa) -> Result<(), KernelError> {
    let (table, index) = (call.input::<T>(0), call.input::<i64>(1));
    let (p, pool) = (downcast::<Embedding>(call.problem()), call.pool());
    checked(p, index)?;
    with_lanes(isa, Rows { p, table, index, y: call.output(0), pool }).map_err(KernelError::Isa)
}

struct Rows<'a, T> {
    p: &'a Embedding,
    table: &'a [T],
    index: &'a [i64],
    y: &'a mut [T],
    pool: &'a Pool,
}

impl<T: Element + Vectors> Work<T> for Rows<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<L: Wide<T>>(self, _: L) {
        let Rows { p, table, index, y, pool } = self;
        let width = p.width.max(1);
        let task = (TASK / width).max(1) * width;
        chunks(pool, y, task, |start, y| {
            let from = if fault!("embedding.second-task") { 0 } else { start / width };
            for (y, &number) in y.chunks_exact_mut(width).zip(&index[from..]) {
                match p.row(number as usize) {
                    Some(row) => y.copy_from_slice(&table[row * width..(row + 1) * width]),
                    None if fault!("embedding.padding") => y.copy_from_slice(&table[..width]),
                    None => y.fill(T::default()),
                }
            }
        });
    }
}

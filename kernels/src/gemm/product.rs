//! A product of plain matrices, for kernels that are made of products.

use etalon_reference::ops::gemm::{Activation, Gemm, Matrix};

use super::driver::{self, Source, Task};
use super::epilogue::{Along, Finish};
use super::skinny::Stream;
use super::{Float, PackedB, Tiled, scalar};
use crate::isa::Isa;
use crate::isa::wide::Wide;
use crate::kernel::KernelError;
use crate::pool::Pool;
use crate::workspace::Workspace;

/// Rows of `cols` elements without gaps, one matrix.
pub fn rows(cols: usize) -> Matrix {
    Matrix { row: cols.max(1), col: 1, batch: 0 }
}

/// The transpose of what lies in rows of `rows` elements.
pub fn columns(rows: usize) -> Matrix {
    Matrix { row: 1, col: rows.max(1), batch: 0 }
}

/// `C = A·B + β·C` of one matrix, C in rows without gaps. The sizes are those of a problem that was checked.
pub fn plain([m, n, k]: [usize; 3], a: Matrix, b: Matrix, beta: f64) -> Gemm {
    let (alpha, bias, activation) = (1.0, false, Activation::None);
    Gemm { m, n, k, batch: 1, a, b, c: rows(n), alpha, beta, bias, activation }
}

/// `c = act(α·A·B + β·C + bias)` with the instructions of `isa`, in the canonical order. The operands are as long as
/// `p` says; an empty `bias` is none, whatever `p` says.
///
/// # Errors
/// If the CPU lacks the instructions.
pub fn product<T: Float>(
    p: &Gemm,
    isa: Isa,
    (a, b, bias): (&[T], &[T], &[T]),
    c: &mut [T],
    pool: &Pool,
    workspace: &mut Workspace,
) -> Result<(), KernelError> {
    let task = task(p, a, Source::Plain(b), bias);
    if isa == Isa::Scalar {
        scalar::gemm(&task, c);
        return Ok(());
    }
    T::with_tiles(isa, Product { task, c, pool, workspace })
}

/// The same with a B that [`packed_b`] made for these instructions, of a problem with the same B.
///
/// # Errors
/// If the CPU lacks the instructions, or `isa` has no tiles.
pub fn product_with_packed<T: Float>(
    p: &Gemm,
    isa: Isa,
    (a, b, bias): (&[T], &PackedB<T>, &[T]),
    c: &mut [T],
    pool: &Pool,
    workspace: &mut Workspace,
) -> Result<(), KernelError> {
    T::with_tiles(isa, Product { task: task(p, a, Source::Packed(b), bias), c, pool, workspace })
}

fn task<'a, T: Float>(p: &'a Gemm, a: &'a [T], b: Source<'a, T>, bias: &'a [T]) -> Task<'a, T> {
    let bias = (!bias.is_empty()).then_some(bias);
    let finish = Finish { scale: None, bias, along: Along::Columns, activation: p.activation };
    Task { p, a: Source::Plain(a), b, finish }
}

/// Packs the B of a problem for the tiles of `isa`.
///
/// # Errors
/// If the CPU lacks the instructions, or `isa` has no tiles.
pub fn packed_b<T: Float>(p: &Gemm, isa: Isa, b: &[T]) -> Result<PackedB<T>, KernelError> {
    T::with_tiles(isa, Pack(p, b))
}

struct Pack<'a, T>(&'a Gemm, &'a [T]);

impl<T: Float> Tiled<T> for Pack<'_, T> {
    type Output = PackedB<T>;

    fn run<X: Stream<T = T>, L: Wide<T>>(self, tile: X, _: L) -> PackedB<T> {
        PackedB::new(tile, self.0, self.1)
    }
}

struct Product<'a, T: Float> {
    task: Task<'a, T>,
    c: &'a mut [T],
    pool: &'a Pool,
    workspace: &'a mut Workspace,
}

impl<T: Float> Tiled<T> for Product<'_, T> {
    type Output = ();

    fn run<X: Stream<T = T>, L: Wide<T>>(self, tile: X, _: L) {
        driver::gemm(tile, &self.task, self.c, self.pool, self.workspace);
    }
}

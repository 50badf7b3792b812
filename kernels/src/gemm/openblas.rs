//! OpenBLAS's `cblas_sgemm`, `cblas_dgemm`, `cblas_sgemv` and `cblas_dgemv`, with our epilogue behind them.

use etalon_reference::operator::downcast;
use etalon_reference::ops::gemm::{Gemm, Matrix};
use etalon_reference::{Problem, Types};

use super::epilogue::{Along, Finish};
use super::{Float, with_float};
use crate::call::Call;
use crate::disjoint::chunks;
use crate::ffi::openblas::{self, GemmSizes, Op, OpenblasError};
use crate::isa::Isa;
use crate::kernel::{Kernel, KernelError};

/// The entry: sums in OpenBLAS's order, which depends on the CPU and the number of threads.
pub(super) const KERNEL: Kernel =
    Kernel::new("openblas", Isa::Scalar, super::FLOATS, run).with_supports(supports).of_library("openblas");

/// Plain or transposed operands with a leading dimension; other strides OpenBLAS can't express.
fn supports(problem: &dyn Problem, _dtype: Types) -> Result<(), String> {
    let p: &Gemm = downcast(problem);
    for (name, matrix, rows, cols) in [("A", &p.a, p.m, p.k), ("B", &p.b, p.k, p.n)] {
        stored(matrix, rows, cols).ok_or_else(|| format!("OpenBLAS has no way to say how {name} lies"))?;
    }
    Ok(())
}

/// Operation and leading dimension.
fn stored(matrix: &Matrix, rows: usize, cols: usize) -> Option<(Op, usize)> {
    if matrix.col == 1 && matrix.row >= cols {
        Some((Op::Plain, matrix.row))
    } else if matrix.row == 1 && matrix.col >= rows {
        Some((Op::Transposed, matrix.col))
    } else {
        None
    }
}

/// What OpenBLAS multiplies.
pub trait Blas: Float {
    /// `C = α·op(A)·op(B) + β·C`.
    fn gemm(
        s: &GemmSizes,
        alpha: Self,
        a: &[Self],
        b: &[Self],
        beta: Self,
        c: &mut [Self],
    ) -> Result<(), OpenblasError>;
}

impl Blas for f32 {
    fn gemm(s: &GemmSizes, alpha: f32, a: &[f32], b: &[f32], beta: f32, c: &mut [f32]) -> Result<(), OpenblasError> {
        openblas::sgemm(s, alpha, a, b, beta, c)
    }
}

impl Blas for f64 {
    fn gemm(s: &GemmSizes, alpha: f64, a: &[f64], b: &[f64], beta: f64, c: &mut [f64]) -> Result<(), OpenblasError> {
        openblas::dgemm(s, alpha, a, b, beta, c)
    }
}

fn run(call: &mut Call<'_>) -> Result<(), KernelError> {
    with_float!(call.types(), T => typed::<T>(call))
}

fn typed<T: Blas>(call: &mut Call<'_>) -> Result<(), KernelError> {
    let p: &Gemm = downcast(call.problem());
    let pool = call.pool();
    openblas::set_threads(pool.threads());
    let [a, b, bias] = [0, 1, 3].map(|i| call.input::<T>(i));
    let c = call.output::<T>(0);
    if p.m == 0 || p.n == 0 {
        return Ok(());
    }
    let unsupported = || KernelError::Unsupported("strides that OpenBLAS can't express".into());
    let (op_a, lda) = stored(&p.a, p.m, p.k).ok_or_else(unsupported)?;
    let (op_b, ldb) = stored(&p.b, p.k, p.n).ok_or_else(unsupported)?;
    let sizes = GemmSizes { op_a, op_b, m: p.m, n: p.n, k: p.k, lda, ldb, ldc: p.c.row.max(p.n) };
    let (alpha, beta) = (T::from_f64(p.alpha), T::from_f64(p.beta));
    let bias = p.bias.then_some(bias);
    let finish = Finish { scale: None, bias, along: Along::Columns, activation: p.activation };
    for z in 0..p.batch {
        let c = &mut c[z * p.c.batch..];
        let (a, b) = (&a[(z * p.a.batch).min(a.len())..], &b[(z * p.b.batch).min(b.len())..]);
        if p.alpha == 0.0 || p.k == 0 {
            // For small sizes OpenBLAS multiplies the sum by 0, so that ∞ and NaN of operands that don't count get into C.
            for row in c[..(p.m - 1) * p.c.row + p.n].chunks_mut(p.c.row.max(p.n)) {
                row[..p.n].iter_mut().for_each(|c| *c = if p.beta == 0.0 { T::default() } else { beta * *c });
            }
        } else {
            T::gemm(&sizes, alpha, a, b, beta, c).map_err(|e| KernelError::Unsupported(e.to_string()))?;
        }
        if !finish.is_nothing() {
            let span = (p.m - 1) * p.c.row + p.n;
            chunks(pool, &mut c[..span], p.c.row.max(p.n), |_, row| {
                row[..p.n].iter_mut().enumerate().for_each(|(j, x)| *x = finish.value(*x, 0, j));
            });
        }
    }
    Ok(())
}

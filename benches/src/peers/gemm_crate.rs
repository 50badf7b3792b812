//! The crate `gemm`.

use etalon_kernels::check::Prepared;
use etalon_reference::{Element, Types};
use gemm::{Parallelism, gemm};

use super::matmul::{Operands, no_dtype, subject};
use crate::subject::Subject;

/// `gemm::gemm`.
pub fn prepare(prepared: &Prepared, threads: usize) -> Result<Box<dyn Subject + '_>, String> {
    match prepared.types {
        Types::F32 => subject("gemm", prepared, move |x: &mut Operands<f32>| multiply(x, 0.0, 1.0, threads)),
        Types::F64 => subject("gemm", prepared, move |x: &mut Operands<f64>| multiply(x, 0.0, 1.0, threads)),
        other => Err(no_dtype("gemm", other)),
    }
}

fn multiply<T: Element>(x: &mut Operands<T>, zero: T, one: T, threads: usize) {
    let p = &x.p;
    let stride = |s: usize| s as isize;
    let parallelism = if threads == 1 { Parallelism::None } else { Parallelism::Rayon(threads) };
    // SAFETY: the operands were made as long as the problem reaches, and C is not one of the others.
    unsafe {
        gemm(
            p.m,
            p.n,
            p.k,
            x.c.as_mut_ptr(),
            1,
            stride(p.c.row),
            false,
            x.a.as_ptr(),
            stride(p.a.col),
            stride(p.a.row),
            x.b.as_ptr(),
            stride(p.b.col),
            stride(p.b.row),
            zero,
            one,
            false,
            false,
            false,
            parallelism,
        );
    }
}

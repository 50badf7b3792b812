//! The crate `faer`.

use etalon_kernels::check::Prepared;
use etalon_reference::Types;
use faer::linalg::matmul::matmul;
use faer::{Accum, MatMut, MatRef, Par};

use super::matmul::{Operands, no_dtype, subject};
use crate::subject::Subject;

/// `faer::linalg::matmul::matmul`.
pub fn prepare(prepared: &Prepared, threads: usize) -> Result<Box<dyn Subject + '_>, String> {
    match prepared.types {
        Types::F32 => subject("faer", prepared, move |x: &mut Operands<f32>| multiply(x, 1.0, threads)),
        Types::F64 => subject("faer", prepared, move |x: &mut Operands<f64>| multiply(x, 1.0, threads)),
        other => Err(no_dtype("faer", other)),
    }
}

fn multiply<T: faer::traits::ComplexField + etalon_reference::Element>(x: &mut Operands<T>, one: T, threads: usize) {
    let p = &x.p;
    let stride = |s: usize| s as isize;
    // SAFETY: the operands were made as long as the problem reaches, and C is not one of the others.
    let (a, b, c) = unsafe {
        (
            MatRef::from_raw_parts(x.a.as_ptr(), p.m, p.k, stride(p.a.row), stride(p.a.col)),
            MatRef::from_raw_parts(x.b.as_ptr(), p.k, p.n, stride(p.b.row), stride(p.b.col)),
            MatMut::from_raw_parts_mut(x.c.as_mut_ptr(), p.m, p.n, stride(p.c.row), 1),
        )
    };
    let par = if threads == 1 { Par::Seq } else { Par::rayon(threads) };
    matmul(c, Accum::Replace, a, b, one, par);
}

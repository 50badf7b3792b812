//! The crate `matrixmultiply`.

use etalon_kernels::check::Prepared;
use etalon_reference::Types;
use matrixmultiply::{dgemm, sgemm};

use super::matmul::{Operands, no_dtype, subject};
use crate::subject::Subject;

macro_rules! multiply {
    ($function:ident, $x:expr) => {{
        let (x, stride) = ($x, |s: usize| s as isize);
        let p = &x.p;
        // SAFETY: the operands were made as long as the problem reaches, and C is not one of the others.
        unsafe {
            $function(
                p.m,
                p.k,
                p.n,
                1.0,
                x.a.as_ptr(),
                stride(p.a.row),
                stride(p.a.col),
                x.b.as_ptr(),
                stride(p.b.row),
                stride(p.b.col),
                0.0,
                x.c.as_mut_ptr(),
                stride(p.c.row),
                1,
            )
        }
    }};
}

/// `matrixmultiply::sgemm` and `dgemm`, on one thread.
pub fn prepare(prepared: &Prepared, threads: usize) -> Result<Box<dyn Subject + '_>, String> {
    if threads > 1 {
        return Err("matrixmultiply is built for one thread".into());
    }
    match prepared.types {
        Types::F32 => subject("matrixmultiply", prepared, |x: &mut Operands<f32>| multiply!(sgemm, x)),
        Types::F64 => subject("matrixmultiply", prepared, |x: &mut Operands<f64>| multiply!(dgemm, x)),
        other => Err(no_dtype("matrixmultiply", other)),
    }
}

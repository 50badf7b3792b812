//! dz by element, then two GEMMs, then the sum of rows.

use etalon_reference::Types;
use etalon_reference::operator::downcast;
use etalon_reference::ops::gemm::{Activation, Gemm, Matrix, gelu_derivative};
use etalon_reference::ops::gemm_backward::GemmBackward;

use crate::activation;
use crate::call::{Call, elements};
use crate::disjoint::chunks;
use crate::faults::fault;
use crate::gemm::Float;
use crate::gemm::product::product;
use crate::isa::Isa;
use crate::kernel::KernelError;
use crate::pool::Pool;

/// Elements that one task computes at least.
pub const TASK: usize = 16 * 1024;
/// Columns of dbias that one task sums.
const COLUMNS: usize = 256;

/// All outputs, with the GEMM kernel of `isa`.
pub fn backward(call: &mut Call<'_>, isa: Isa) -> Result<(), KernelError> {
    match call.types() {
        Types::F32 => typed::<f32>(call, isa),
        Types::F64 => typed::<f64>(call, isa),
        other => Err(KernelError::Unsupported(format!("gemm_backward in {other}"))),
    }
}

/// f32 or f64.
trait Gated: Float {
    /// `dz = dy·gelu′(z)`.
    fn gelu_gate(isa: Isa, dy: &[Self], z: &[Self], dz: &mut [Self], pool: &Pool) -> Result<(), KernelError>;
}

impl Gated for f32 {
    fn gelu_gate(isa: Isa, dy: &[f32], z: &[f32], dz: &mut [f32], pool: &Pool) -> Result<(), KernelError> {
        activation::gradients(isa, "gelu_erf", 0.0, [dy, z], dz, pool)
    }
}

impl Gated for f64 {
    fn gelu_gate(_: Isa, dy: &[f64], z: &[f64], dz: &mut [f64], pool: &Pool) -> Result<(), KernelError> {
        chunks(pool, dz, TASK, |start, dz| {
            for ((dz, &dy), &z) in dz.iter_mut().zip(&dy[start..]).zip(&z[start..]) {
                *dz = dy * gelu_derivative(z);
            }
        });
        Ok(())
    }
}

fn typed<T: Gated>(call: &mut Call<'_>, isa: Isa) -> Result<(), KernelError> {
    let p: &GemmBackward = downcast(call.problem());
    let [dy, a, b, z] = [0, 1, 2, 3].map(|i| call.input::<T>(i));
    let pool = call.pool();
    let (outputs, workspace) = call.outputs();
    let [dz, da, db, dbias] = outputs.map(elements::<T>);
    if p.activation == Activation::Gelu {
        T::gelu_gate(isa, dy, z, dz, pool)?;
    } else {
        gate(p.activation == Activation::Relu, dy, z, dz, pool);
    }
    let dz = &*dz;

    let plain = |rows: usize, cols: usize| Matrix { row: cols.max(1), col: 1, batch: rows * cols };
    let exchanged = |rows: usize, cols: usize| Matrix { row: 1, col: cols.max(1), batch: rows * cols };
    let mut multiply = |m, n, k, x: (Matrix, &[T]), y: (Matrix, &[T]), out: &mut [T]| {
        let problem = Gemm {
            m,
            n,
            k,
            batch: p.batch,
            a: x.0,
            b: y.0,
            c: plain(m, n),
            alpha: if fault!("gemm_backward.alpha-of-db") && m == p.k { 1.0 } else { p.alpha },
            beta: 0.0,
            bias: false,
            activation: Activation::None,
        };
        product(&problem, isa, (x.1, y.1, &[]), out, pool, workspace)
    };
    multiply(p.m, p.k, p.n, (plain(p.m, p.n), dz), (exchanged(p.k, p.n), b), da)?;
    multiply(p.k, p.n, p.m, (exchanged(p.m, p.k), a), (plain(p.m, p.n), dz), db)?;
    if p.bias {
        sum_rows(dz, p.n, dbias, pool);
    }
    Ok(())
}

/// `dz = dy`, with ReLU where z is above 0.
fn gate<T: Float>(relu: bool, dy: &[T], z: &[T], dz: &mut [T], pool: &Pool) {
    chunks(pool, dz, TASK, |start, dz| {
        let range = start..start + dz.len();
        let dy = &dy[range.clone()];
        let range = if fault!("gemm_backward.second-task") { 0..dz.len() } else { range };
        if !relu {
            return dz.copy_from_slice(dy);
        }
        for ((dz, &dy), &z) in dz.iter_mut().zip(dy).zip(&z[range]) {
            let open = fault!("gemm_backward.passes-at-zero") && z == T::default();
            *dz = if z <= T::default() && !open { T::default() } else { dy };
        }
    });
}

/// The sum of each of `n` columns over all rows, in order.
pub(crate) fn sum_rows<T: Float>(dz: &[T], n: usize, dbias: &mut [T], pool: &Pool) {
    chunks(pool, dbias, COLUMNS, |start, sums| {
        sums.fill(T::default());
        let start = if fault!("gemm_backward.second-columns") { 0 } else { start };
        for row in dz.chunks_exact(n) {
            for (sum, &x) in sums.iter_mut().zip(&row[start..]) {
                *sum = *sum + x;
            }
        }
    });
}

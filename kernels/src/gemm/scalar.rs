//! The canonical order, written out: one chain of fused multiply-adds per output in each chunk of k.
//!
//! Other kernels are held against these bits. `mul_add` is exact on every CPU, if slow on one without FMA.

use etalon_reference::ops::gemm::{CHUNK, Gemm};

use super::Float;

/// All outputs of matrix `z` of the batch; `finish` is the bias and the activation.
pub fn gemm<T: Float>(p: &Gemm, z: usize, a: &[T], b: &[T], c: &mut [T], finish: impl Fn(T, usize) -> T) {
    if p.n == 0 {
        return;
    }
    let (alpha, beta) = (T::from_f64(p.alpha), T::from_f64(p.beta));
    let (a, b) = (&a[(z * p.a.batch).min(a.len())..], &b[(z * p.b.batch).min(b.len())..]);
    for i in 0..p.m {
        let row = z * p.c.batch + i * p.c.row;
        for (j, c) in c[row..row + p.n].iter_mut().enumerate() {
            let mut t = if p.beta == 0.0 { T::default() } else { beta * *c };
            if p.alpha != 0.0 {
                for start in (0..p.k).step_by(CHUNK) {
                    let sum = (start..p.k.min(start + CHUNK)).fold(T::default(), |sum, q| {
                        a[i * p.a.row + q * p.a.col].mul_add(b[q * p.b.row + j * p.b.col], sum)
                    });
                    t = alpha.mul_add(sum, t);
                }
            }
            *c = finish(t, j);
        }
    }
}

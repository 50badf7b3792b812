//! The canonical order, written out: one chain of fused multiply-adds per output in each chunk of k.
//!
//! Other kernels are held against these bits. `mul_add` is exact on every CPU, if slow on one without FMA.

use etalon_reference::ops::gemm::CHUNK;

use super::Float;
use super::driver::Task;

/// All outputs.
///
/// # Panics
/// If A or B is packed or lowered.
pub fn gemm<T: Float>(x: &Task<'_, T>, c: &mut [T]) {
    let p = x.p;
    let (a, b) = (x.a.plain().expect("A in memory"), x.b.plain().expect("B in memory"));
    let (alpha, beta) = (T::from_f64(p.alpha), T::from_f64(p.beta));
    for z in 0..p.batch {
        for i in 0..p.m {
            for j in 0..p.n {
                let c = &mut c[z * p.c.batch + i * p.c.row + j];
                let mut t = if p.beta == 0.0 { T::default() } else { beta * *c };
                for start in (0..p.k).step_by(CHUNK).filter(|_| p.alpha != 0.0) {
                    let mut sum = T::default();
                    for q in start..p.k.min(start + CHUNK) {
                        let a = a[z * p.a.batch + i * p.a.row + q * p.a.col];
                        let b = b[z * p.b.batch + q * p.b.row + j * p.b.col];
                        sum = a.mul_add(b, sum);
                    }
                    t = alpha.mul_add(sum, t);
                }
                *c = x.finish.value(t, i, j);
            }
        }
    }
}

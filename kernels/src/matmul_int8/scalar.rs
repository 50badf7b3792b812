//! The formula in plain loops: one row of sums at a time.

use super::{Left, Operands, Out};
use etalon_reference::ops::matmul_int8::MatmulInt8;

use crate::workspace::Workspace;

/// All outputs.
pub fn matmul<A: Left, O: Out>(p: &MatmulInt8, x: Operands<'_, A, O>, workspace: &mut Workspace) {
    let (n, k) = (p.n, p.k);
    let (row, col) = if p.transposed { (1, k) } else { (n, 1) };
    let za = x.za.first().map_or(0, |&za| za.into());
    let zb = |j: usize| super::of_column(x.zb, j).map_or(0, i32::from);
    let sums = workspace.slice::<i32>(n);
    for i in 0..p.m {
        for (j, sum) in sums.iter_mut().enumerate() {
            *sum = x.bias.get(j).copied().unwrap_or(0);
        }
        for kk in 0..k {
            let a = x.a[i * k + kk].into() - za;
            for (j, sum) in sums.iter_mut().enumerate() {
                *sum = sum.wrapping_add(a * (i32::from(x.b[kk * row + j * col]) - zb(j)));
            }
        }
        for (j, (out, &sum)) in x.out[i * n..][..n].iter_mut().zip(&*sums).enumerate() {
            *out = O::finished(sum, super::of_column(x.scale, j).unwrap_or(1.0), x.zo.first().copied(), p.relu);
        }
    }
}

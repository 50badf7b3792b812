//! The canonical orders, written out.

use etalon_reference::ops::gemm::CHUNK;
use etalon_reference::ops::matmul_nbits::MatmulNbits;

use super::Operands;
use crate::isa::narrow::Narrow;

/// Code of the weight in row `j`, column `k`, its zero point, its scale.
fn weight<E, O: Narrow>(p: &MatmulNbits, x: &Operands<'_, E, O>, j: usize, k: usize) -> (u8, u8, f32) {
    let code = p.code(&x.w[j * p.line()..], k);
    let at = j * p.groups() + k / p.group;
    (code, x.zero.get(at).copied().unwrap_or(p.middle()), x.scale[at].widened())
}

/// Real numbers: weights are rounded to f32, and added as GEMM adds.
pub fn reals<E: Narrow>(p: &MatmulNbits, x: Operands<'_, E, E>) {
    for (i, j) in (0..p.m).flat_map(|i| (0..p.n).map(move |j| (i, j))) {
        let mut total = 0.0f32;
        for start in (0..p.k).step_by(CHUNK) {
            let mut sum = 0.0f32;
            for k in start..p.k.min(start + CHUNK) {
                let (code, zero, scale) = weight(p, &x, j, k);
                sum = x.a[i * p.k + k].widened().mul_add((f32::from(code) - f32::from(zero)) * scale, sum);
            }
            total += sum;
        }
        if p.bias {
            total += x.bias[j].widened();
        }
        x.out[i * p.n + j] = E::rounded(total);
    }
}

/// Bytes: the integers of a group are added exactly, then groups in f32.
pub fn bytes(p: &MatmulNbits, x: Operands<'_, i8, f32>) {
    for (i, j) in (0..p.m).flat_map(|i| (0..p.n).map(move |j| (i, j))) {
        let mut total = 0.0f32;
        for group in 0..p.groups() {
            let (mut products, mut elements) = (0i32, 0i32);
            let columns = group * p.group..p.k.min((group + 1) * p.group);
            for k in columns.clone() {
                let a = i32::from(x.a[i * p.k + k]);
                products = products.wrapping_add(a.wrapping_mul(weight(p, &x, j, k).0.into()));
                elements = elements.wrapping_add(a);
            }
            let (_, zero, scale) = weight(p, &x, j, columns.start);
            let sum = (-f32::from(zero)).mul_add(elements as f32, products as f32);
            total = scale.mul_add(sum, total);
        }
        total *= x.a_scale[i];
        if p.bias {
            total += x.bias[j];
        }
        x.out[i * p.n + j] = total;
    }
}

//! The canonical order, written out.

use etalon_reference::ops::matmul_int4::{MIDDLE, MatmulInt4};

use super::Operands;
use crate::isa::narrow::Narrow;

/// All outputs.
pub fn matmul<E: Narrow>(p: &MatmulInt4, x: Operands<'_, E>) {
    let (line, groups) = (p.line(), p.groups());
    for i in 0..p.m {
        for j in 0..p.n {
            let mut total = 0.0f32;
            for group in 0..groups {
                let zero = x.zero.get(j * groups + group).copied().unwrap_or(MIDDLE);
                let mut sum = 0.0f32;
                for k in group * p.group..p.k.min((group + 1) * p.group) {
                    let code = x.w[j * line + k / 2] >> (4 * (k % 2)) & 15;
                    sum = x.a[i * p.k + k].widened().mul_add(f32::from(code) - f32::from(zero), sum);
                }
                total = x.scale[j * groups + group].mul_add(sum, total);
            }
            if p.bias {
                total += x.bias[j].widened();
            }
            x.out[i * p.n + j] = E::rounded(total);
        }
    }
}

//! The formula in plain loops.

use etalon_reference::ops::conv2d_int8::Conv2dInt8;

use crate::matmul_int8::{Left, Operands, Out, of_column};

/// All outputs.
pub fn convolve<A: Left, O: Out>(p: &Conv2dInt8, x: Operands<'_, A, O>) {
    let conv = &p.conv;
    let (input, output) = (conv.x.strides(), conv.y.strides());
    let (channels, taps) = (conv.group_in(), conv.rows.taps * conv.cols.taps);
    let zx: i32 = x.za.first().map_or(0, |&zx| zx.into());
    for n in 0..conv.y.n {
        for k in 0..conv.y.c {
            let (filter, first) = (&x.b[k * channels * taps..][..channels * taps], k / conv.group_out() * channels);
            let (zw, bias) = (of_column(x.zb, k).map_or(0, i32::from), x.bias.get(k).copied().unwrap_or(0));
            let scale = of_column(x.scale, k).unwrap_or(1.0);
            for i in 0..conv.y.h {
                for j in 0..conv.y.w {
                    let mut sum = bias;
                    for (at, &w) in filter.iter().enumerate() {
                        let (c, r, s) = (at / taps, at % taps / conv.cols.taps, at % conv.cols.taps);
                        if let (Some(h), Some(v)) = (conv.rows.index(i, r), conv.cols.index(j, s)) {
                            let x: i32 = x.a[offset(input, [n, first + c, h, v])].into();
                            sum = sum.wrapping_add((x - zx) * (i32::from(w) - zw));
                        }
                    }
                    x.out[offset(output, [n, k, i, j])] = O::finished(sum, scale, x.zo.first().copied(), p.relu);
                }
            }
        }
    }
}

fn offset(strides: [usize; 4], at: [usize; 4]) -> usize {
    strides.iter().zip(at).map(|(stride, at)| stride * at).sum()
}

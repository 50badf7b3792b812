//! The canonical order, written out.

use etalon_reference::ops::conv2d::Conv2d;
use etalon_reference::ops::gemm::CHUNK;

use super::operands::{Operands, Order, Products, finish};
use crate::gemm::Float;
use crate::gemm::epilogue::Along;

/// All outputs: one chain of fused multiply-adds each in each chunk.
pub fn convolve<T: Float>(p: &Conv2d, o: Operands<'_, T>) {
    let (input, output, products) = (p.x.strides(), p.y.strides(), Products::new(p, o.order));
    let taps = p.rows.taps * p.cols.taps;
    for n in 0..p.y.n {
        for k in 0..p.y.c {
            let group = k / p.group_out();
            let finish = finish(p, o.scale, o.bias, group, Along::Rows);
            for i in 0..p.y.h {
                for j in 0..p.y.w {
                    let mut total = T::default();
                    for start in (0..p.depth()).step_by(CHUNK) {
                        let mut sum = T::default();
                        for q in start..p.depth().min(start + CHUNK) {
                            let (c, r, s) = products.at(q);
                            let x = element(p, input, o.x, [n, group * p.group_in() + c, i, j], r, s);
                            let (tap, filter) = (r * p.cols.taps + s, &o.w[k * p.depth()..]);
                            let w = match o.order {
                                Order::ChannelsFirst => filter[c * taps + tap],
                                Order::TapsFirst => filter[tap * p.group_in() + c],
                                Order::Exchanged => {
                                    let channel = group * p.group_in() + c;
                                    o.w[(channel * p.group_out() + k % p.group_out() + 1) * taps - 1 - tap]
                                }
                                Order::Transformed => unreachable!("Winograd's kernels alone"),
                            };
                            sum = w.mul_add(x, sum);
                        }
                        total = total + sum;
                    }
                    o.y[offset(output, [n, k, i, j])] = finish.value(total, k % p.group_out(), 0);
                }
            }
        }
    }
}

/// What the tap (r, s) of output (i, j) meets in channel c of image n.
fn element<T: Float>(p: &Conv2d, strides: [usize; 4], x: &[T], [n, c, i, j]: [usize; 4], r: usize, s: usize) -> T {
    match (p.rows.index(i, r), p.cols.index(j, s)) {
        (Some(h), Some(v)) => x[offset(strides, [n, c, h, v])],
        _ => T::default(),
    }
}

fn offset(strides: [usize; 4], at: [usize; 4]) -> usize {
    strides.iter().zip(at).map(|(stride, at)| stride * at).sum()
}

//! `conv2d`.

use tch::{TchError, Tensor};

use super::{Operands, Twin, Way};
use crate::Problem;
use crate::operator::downcast;
use crate::ops::conv2d::Conv2d;
use crate::ops::gemm::chain;

pub(super) const CONV2D: Twin = Twin { op: "conv2d", forward, slack, ways };

fn slack(problem: &dyn Problem) -> f64 {
    let depth = downcast::<Conv2d>(problem).depth();
    (depth + 2) as f64 / (chain(depth) + 2) as f64
}

/// Stride, symmetric padding, dilation, as libtorch takes them.
pub(super) struct Geometry {
    pub stride: [i64; 2],
    pub padding: [i64; 2],
    pub dilation: [i64; 2],
    pub groups: i64,
    /// Left, right, top, bottom, where libtorch's padding does not do.
    pub pad: Option<[i64; 4]>,
}

impl Geometry {
    pub fn new(conv: &Conv2d) -> Geometry {
        let (rows, cols) = (&conv.rows, &conv.cols);
        let symmetric = rows.before == rows.after && cols.before == cols.after;
        let pad = [cols.before, cols.after, rows.before, rows.after].map(|x| x as i64);
        Geometry {
            stride: [rows.stride as i64, cols.stride as i64],
            padding: if symmetric { [rows.before as i64, cols.before as i64] } else { [0, 0] },
            dilation: [rows.dilation as i64, cols.dilation as i64],
            groups: conv.groups as i64,
            pad: (!symmetric).then_some(pad),
        }
    }

    /// With zeros around it where libtorch's padding does not do.
    pub fn padded(&self, x: &Tensor) -> Result<Tensor, TchError> {
        self.pad.map_or_else(|| Ok(x.shallow_clone()), |pad| x.f_constant_pad_nd(pad))
    }

    fn convolve(&self, x: &Tensor, w: &Tensor, bias: Option<&Tensor>) -> Result<Tensor, TchError> {
        self.padded(x)?.f_conv2d(w, bias, self.stride, self.padding, self.dilation, self.groups)
    }
}

/// A vector beside the channels.
fn channels(vector: &Tensor) -> Result<Tensor, TchError> {
    vector.f_reshape([1, -1, 1, 1])
}

fn forward(problem: &dyn Problem, inputs: &[Tensor]) -> Result<Vec<Tensor>, TchError> {
    let conv: &Conv2d = downcast(problem);
    let [x, w, scale, bias] = inputs else { panic!("four inputs") };
    let mut y = Geometry::new(conv).convolve(x, w, None)?;
    if conv.scale {
        y = y.f_mul(&channels(scale)?)?;
    }
    if conv.bias {
        y = y.f_add(&channels(bias)?)?;
    }
    Ok(vec![if conv.relu { y.f_relu()? } else { y }])
}

/// `conv2d`, which has no `out=` form of its own, what remains in place; and oneDNN by name.
fn ways(problem: &dyn Problem, operands: &Operands<'_>) -> Result<Vec<Way>, TchError> {
    let conv: &Conv2d = downcast(problem);
    let way = |name: &'static str, onednn: bool| {
        let [x, w, scale, bias] = [0, 1, 2, 3].map(|i| operands.inputs[i].shallow_clone());
        let (geometry, with_scale, with_bias, relu) = (Geometry::new(conv), conv.scale, conv.bias, conv.relu);
        Way::fresh(name, move || {
            // Without a scale the bias is the convolution's own.
            let own = (with_bias && !with_scale).then_some(&bias);
            let mut y = if onednn {
                let Geometry { stride, padding, dilation, groups, .. } = geometry;
                geometry.padded(&x)?.f_mkldnn_convolution(&w, own, padding, stride, dilation, groups)?
            } else {
                geometry.convolve(&x, &w, own)?
            };
            if with_scale {
                let _ = y.f_mul_(&channels(&scale)?)?;
                if with_bias {
                    let _ = y.f_add_(&channels(&bias)?)?;
                }
            }
            if relu {
                let _ = y.f_relu_()?;
            }
            Ok(vec![y])
        })
    };
    let mut ways = vec![way("conv2d", false).tried()?];
    // Not every libtorch has oneDNN, nor oneDNN every shape.
    ways.extend(way("mkldnn_convolution", true).tried());
    Ok(ways)
}

//! `conv2d`.

use tch::{IValue, TchError, Tensor};

use super::pixels::{self, Product};
use super::script::{Script, arguments};
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

    pub fn convolve(&self, x: &Tensor, w: &Tensor, bias: Option<&Tensor>) -> Result<Tensor, TchError> {
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

/// What remains behind the sums, in place.
struct Finish {
    scale: Option<Tensor>,
    bias: Option<Tensor>,
    relu: bool,
}

impl Finish {
    fn of(conv: &Conv2d, operands: &Operands<'_>) -> Finish {
        let [scale, bias] = [2, 3].map(|i| operands.inputs[i].shallow_clone());
        Finish { scale: conv.scale.then_some(scale), bias: conv.bias.then_some(bias), relu: conv.relu }
    }

    /// The bias that a convolution may add itself: with a scale it comes behind that.
    fn own(&mut self) -> Option<Tensor> {
        if self.scale.is_none() { self.bias.take() } else { None }
    }

    fn apply(&self, y: &mut Tensor) -> Result<(), TchError> {
        if let Some(scale) = &self.scale {
            let _ = y.f_mul_(&channels(scale)?)?;
        }
        if let Some(bias) = &self.bias {
            let _ = y.f_add_(&channels(bias)?)?;
        }
        if self.relu {
            let _ = y.f_relu_()?;
        }
        Ok(())
    }
}

/// `conv2d`, which has no `out=` form of its own, what remains in place; oneDNN by name, alone and with a ReLU as the graph
/// compiler uses it; a product of matrices, where it is one.
fn ways(problem: &dyn Problem, operands: &Operands<'_>) -> Result<Vec<Way>, TchError> {
    let conv: &Conv2d = downcast(problem);
    let mut ways = vec![called("conv2d", false, conv, operands).tried()?];
    // Not every libtorch has oneDNN, nor oneDNN every shape.
    ways.extend(called("mkldnn_convolution", true, conv, operands).tried());
    if conv.relu && !conv.scale {
        ways.extend(pointwise(conv, operands).and_then(Way::tried));
    }
    if pixels::is_product(conv) {
        ways.push(product(conv, operands)?.tried()?);
    }
    Ok(ways)
}

fn called(name: &'static str, onednn: bool, conv: &Conv2d, operands: &Operands<'_>) -> Way {
    let [x, w] = [0, 1].map(|i| operands.inputs[i].shallow_clone());
    let (geometry, mut finish) = (Geometry::new(conv), Finish::of(conv, operands));
    let own = finish.own();
    Way::fresh(name, move || {
        let mut y = if onednn {
            let Geometry { stride, padding, dilation, groups, .. } = geometry;
            geometry.padded(&x)?.f_mkldnn_convolution(&w, own.as_ref(), padding, stride, dilation, groups)?
        } else {
            geometry.convolve(&x, &w, own.as_ref())?
        };
        finish.apply(&mut y)?;
        Ok(vec![y])
    })
}

/// oneDNN's convolution with bias and ReLU in one.
fn pointwise(conv: &Conv2d, operands: &Operands<'_>) -> Result<Way, TchError> {
    let geometry = Geometry::new(conv);
    let Geometry { stride, padding, dilation, groups, .. } = geometry;
    let call = format!(
        "return ops.mkldnn._convolution_pointwise(x, w, bias, {padding:?}, {stride:?}, {dilation:?}, {groups}, \"relu\", [], \"\")"
    );
    let script = Script::new("x: Tensor, w: Tensor, bias: Optional[Tensor]", "Tensor", &[&call])?;
    let [x, w, bias] = [0, 1, 3].map(|i| operands.inputs[i].shallow_clone());
    let biased = conv.bias;
    Ok(Way::fresh("mkldnn._convolution_pointwise", move || {
        let mut arguments = arguments(&[&geometry.padded(&x)?, &w]);
        arguments.push(if biased { IValue::Tensor(bias.shallow_clone()) } else { IValue::None });
        script.call(&arguments)
    }))
}

fn product(conv: &Conv2d, operands: &Operands<'_>) -> Result<Way, TchError> {
    let (outputs, finish) = (operands.outputs()?, Finish::of(conv, operands));
    let w = pixels::weights(conv, &operands.inputs[1])?;
    let product = Product::of(&w, (&conv.x, &operands.inputs[0]), (&conv.y, &outputs[0]))?;
    let mut y = outputs[0].shallow_clone();
    Ok(Way::out(product.name, outputs, move || {
        product.call()?;
        finish.apply(&mut y)
    }))
}

//! `conv2d_int8`: libtorch's quantized convolution takes packed parameters alone, and no plain function of it convolves
//! integers. The witness is its convolution in f64, of which every sum is exact: below 2⁵³.

use tch::{Kind, TchError, Tensor};

use super::conv::Geometry;
use super::matmul_int8::finish;
use super::{Operands, Twin, Way};
use crate::Problem;
use crate::operator::downcast;
use crate::ops::conv2d_int8::Conv2dInt8;
use crate::ops::matmul_int8::Per;

pub(super) const CONV2D_INT8: Twin = Twin { op: "conv2d_int8", forward, slack: |_| 1.0, ways };

fn forward(problem: &dyn Problem, inputs: &[Tensor]) -> Result<Vec<Tensor>, TchError> {
    let p: &Conv2dInt8 = downcast(problem);
    let [x, w, zx, zw, bias, scale, zy] = inputs else { panic!("seven inputs") };
    let wide = |of: &Tensor| of.f_to_kind(Kind::Double);
    let (mut x, mut w) = (wide(x)?, wide(w)?);
    if p.zx {
        x = x.f_sub(&wide(zx)?)?;
    }
    if p.zw != Per::None {
        w = w.f_sub(&wide(zw)?.f_reshape([-1, 1, 1, 1])?)?;
    }
    // Zeros around x − zx are zx around x.
    let mut sums = Geometry::new(&p.conv).convolve(&x, &w, None)?.f_to_kind(Kind::Int64)?;
    if p.bias {
        sums = sums.f_add(&bias.f_to_kind(Kind::Int64)?.f_reshape([1, -1, 1, 1])?)?;
    }
    let scale = if scale.numel() == 0 { scale.shallow_clone() } else { scale.f_reshape([1, -1, 1, 1])? };
    Ok(vec![finish(sums.f_to_kind(Kind::Int)?, p.relu, &scale, zy, true)?])
}

fn ways(problem: &dyn Problem, operands: &Operands<'_>) -> Result<Vec<Way>, TchError> {
    let p: &Conv2dInt8 = downcast(problem);
    let (p, inputs) = (p.clone(), operands.inputs.iter().map(Tensor::shallow_clone).collect::<Vec<_>>());
    Ok(vec![Way::fresh("conv2d in f64", move || forward(&p, &inputs)).tried()?])
}

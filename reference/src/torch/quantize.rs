//! `quantize` and `dequantize`: by plain functions, and by libtorch's quantized tensors where a tensor or a row has a
//! scale. Those multiply with the reciprocal of the scale, which decides otherwise near a tie.

use tch::{Kind, TchError, Tensor};

use super::{Operands, Twin, Way};
use crate::Problem;
use crate::operator::downcast;
use crate::ops::dequantize::Dequantize;
use crate::ops::quantize::{Per, Quantize, Scheme};

pub(super) const QUANTIZE: Twin = Twin { op: "quantize", forward: quantize, slack: |_| 1.0, ways: quantize_ways };

pub(super) const DEQUANTIZE: Twin =
    Twin { op: "dequantize", forward: dequantize, slack: |_| 1.0, ways: dequantize_ways };

/// Scales or zero points, one for each element of a row, or one for all.
fn spread(scheme: &Scheme, of: &Tensor) -> Result<Tensor, TchError> {
    let of = of.f_to_kind(Kind::Float)?;
    match scheme.per {
        Per::Group(group) => of.f_repeat_interleave_self_int(group as i64, 1, None)?.f_narrow(1, 0, scheme.cols as i64),
        _ => Ok(of),
    }
}

fn quantize(problem: &dyn Problem, inputs: &[Tensor]) -> Result<Vec<Tensor>, TchError> {
    let Quantize { scheme } = downcast(problem);
    let [x, scale, zero] = inputs else { panic!("three inputs") };
    let kind = zero.kind();
    let (low, high) = if kind == Kind::Uint8 { (0, 255) } else { (-128, 127) };
    let mut q = x.f_to_kind(Kind::Float)?.f_div(&spread(scheme, scale)?)?;
    let mut q = q.f_nan_to_num_(f64::NEG_INFINITY, f64::INFINITY, f64::NEG_INFINITY)?.f_round_()?;
    if scheme.zeros {
        q = q.f_add_(&spread(scheme, zero)?)?;
    }
    Ok(vec![q.f_clamp_(low, high)?.f_to_kind(kind)?])
}

fn dequantize(problem: &dyn Problem, inputs: &[Tensor]) -> Result<Vec<Tensor>, TchError> {
    let Dequantize { scheme } = downcast(problem);
    let [q, scale, zero] = inputs else { panic!("three inputs") };
    let mut y = q.f_to_kind(Kind::Float)?;
    if scheme.zeros {
        y = y.f_sub_(&spread(scheme, zero)?)?;
    }
    Ok(vec![y.f_mul_(&spread(scheme, scale)?)?.f_to_kind(scale.kind())?])
}

/// What libtorch's quantized tensors have: f32 with a scale for all, or one for each row.
fn native(scheme: &Scheme, operands: &Operands<'_>) -> bool {
    operands.inputs[1].kind() == Kind::Float && !matches!(scheme.per, Per::Group(_)) && scheme.rows * scheme.cols > 0
}

/// Makes a quantized tensor of x.
type Quantizer = Box<dyn Fn(&Tensor) -> Result<Tensor, TchError>>;

/// What makes x a quantized tensor.
fn quantized(scheme: &Scheme, operands: &Operands<'_>) -> Result<Quantizer, TchError> {
    let (scale, zero) = (&operands.inputs[1], &operands.inputs[2]);
    let kind = if zero.kind() == Kind::Uint8 { Kind::QUInt8 } else { Kind::QInt8 };
    if scheme.per == Per::Tensor {
        let scale = scale.f_double_value(&[0, 0])?;
        let zero = if scheme.zeros { zero.f_int64_value(&[0, 0])? } else { 0 };
        return Ok(Box::new(move |x| x.f_quantize_per_tensor(scale, zero, kind)));
    }
    let scale = scale.f_reshape([-1])?.f_to_kind(Kind::Double)?;
    let zero = match scheme.zeros {
        true => zero.f_reshape([-1])?.f_to_kind(Kind::Int64)?,
        false => Tensor::f_zeros([scheme.rows as i64], (Kind::Int64, scale.device()))?,
    };
    Ok(Box::new(move |x| x.f_quantize_per_channel(&scale, &zero, 0, kind)))
}

fn quantize_ways(problem: &dyn Problem, operands: &Operands<'_>) -> Result<Vec<Way>, TchError> {
    let problem: &Quantize = downcast(problem);
    let inputs: Vec<Tensor> = operands.inputs.iter().map(Tensor::shallow_clone).collect();
    let mut ways = Vec::new();
    if native(&problem.scheme, operands) {
        let (x, quantized) = (inputs[0].shallow_clone(), quantized(&problem.scheme, operands)?);
        let outputs = operands.outputs()?;
        let out = outputs[0].shallow_clone();
        let name = if problem.scheme.per == Per::Tensor { "quantize_per_tensor" } else { "quantize_per_channel" };
        ways.extend(Way::out(name, outputs, move || quantized(&x)?.f_int_repr_out(&out).map(drop)).tried());
    }
    let problem = problem.clone();
    ways.push(Way::fresh("div, round, clamp", move || quantize(&problem, &inputs)).tried()?);
    Ok(ways)
}

fn dequantize_ways(problem: &dyn Problem, operands: &Operands<'_>) -> Result<Vec<Way>, TchError> {
    let problem: &Dequantize = downcast(problem);
    let inputs: Vec<Tensor> = operands.inputs.iter().map(Tensor::shallow_clone).collect();
    let mut ways = Vec::new();
    if native(&problem.scheme, operands) {
        // The tensor that holds these integers: each is its own quantization, by scale and zero point.
        let wide = dequantize(problem, &inputs)?.remove(0);
        let tensor = quantized(&problem.scheme, operands)?(&wide)?;
        if tensor.f_int_repr()? == inputs[0] {
            ways.extend(Way::fresh("dequantize", move || Ok(vec![tensor.f_dequantize()?])).tried());
        }
    }
    let problem = problem.clone();
    ways.push(Way::fresh("sub, mul", move || dequantize(&problem, &inputs)).tried()?);
    Ok(ways)
}

//! `matmul_binary`: libtorch has no product of bits; signs are unpacked, and multiplied as f32, which has every sum below
//! 2²⁴.

use tch::{Kind, TchError, Tensor};

use super::{Operands, Twin, Way};
use crate::Problem;
use crate::operator::downcast;
use crate::ops::matmul_binary::MatmulBinary;

pub(super) const MATMUL_BINARY: Twin = Twin { op: "matmul_binary", forward, slack: |_| 1.0, ways };

/// −1 and 1, rows×k.
fn signs(p: &MatmulBinary, bytes: &Tensor) -> Result<Tensor, TchError> {
    let place = |i: i64| bytes.f_bitwise_right_shift_tensor_scalar(i)?.f_bitwise_and(1);
    let places = (0..8).map(place).collect::<Result<Vec<_>, _>>()?;
    let rows = bytes.size()[0];
    let bits = Tensor::f_stack(&places, 2)?.f_reshape([rows, 8 * p.line() as i64])?.f_narrow(1, 0, p.k as i64)?;
    let kind = if p.k < 1 << 24 { Kind::Float } else { Kind::Double };
    bits.f_to_kind(kind)?.f_mul_scalar(2.0)?.f_sub_scalar(1.0)
}

fn forward(problem: &dyn Problem, inputs: &[Tensor]) -> Result<Vec<Tensor>, TchError> {
    let p: &MatmulBinary = downcast(problem);
    let out = signs(p, &inputs[0])?.f_matmul(&signs(p, &inputs[1])?.f_transpose(0, 1)?)?;
    Ok(vec![out.f_to_kind(Kind::Int)?])
}

/// Weights are unpacked outside the clock, as our kernels pack them there.
fn ways(problem: &dyn Problem, operands: &Operands<'_>) -> Result<Vec<Way>, TchError> {
    let p: &MatmulBinary = downcast(problem);
    let (p, a) = (p.clone(), operands.inputs[0].shallow_clone());
    let weights = signs(&p, &operands.inputs[1])?.f_transpose(0, 1)?.f_contiguous()?;
    let call = move || Ok(vec![signs(&p, &a)?.f_matmul(&weights)?.f_to_kind(Kind::Int)?]);
    Ok(vec![Way::fresh("unpack, matmul", call).tried()?])
}

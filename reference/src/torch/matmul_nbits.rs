//! `matmul_nbits`: by libtorch's own kernel of packed weights, where it takes the sizes, or by a product with weights that
//! are made real numbers in each call.

use tch::{Kind, TchError, Tensor};

use super::{Operands, Twin, Way};
use crate::Problem;
use crate::operator::downcast;
use crate::ops::matmul_nbits::MatmulNbits;

pub(super) const MATMUL_NBITS: Twin = Twin { op: "matmul_nbits", forward, slack: |_| 1.0, ways };

/// The codes, n×k.
fn codes(p: &MatmulNbits, w: &Tensor) -> Result<Tensor, TchError> {
    let place =
        |i: usize| w.f_bitwise_right_shift_tensor_scalar((i * p.bits) as i64)?.f_bitwise_and((1i64 << p.bits) - 1);
    let places = (0..p.of_byte()).map(place).collect::<Result<Vec<_>, _>>()?;
    Tensor::f_stack(&places, 2)?.f_reshape([p.n as i64, (p.line() * p.of_byte()) as i64])?.f_narrow(1, 0, p.k as i64)
}

/// The weights, n×k, in f32.
fn weights(p: &MatmulNbits, inputs: &[Tensor]) -> Result<Tensor, TchError> {
    let [_, w, scale, zero, ..] = inputs else { panic!("six inputs") };
    let spread = |x: &Tensor| x.f_repeat_interleave_self_int(p.group as i64, 1, None)?.f_narrow(1, 0, p.k as i64);
    let codes = codes(p, w)?.f_to_kind(Kind::Float)?;
    let codes = match p.zeros {
        true => codes.f_sub(&spread(&zero.f_to_kind(Kind::Float)?)?)?,
        false => codes.f_sub_scalar(f64::from(p.middle()))?,
    };
    codes.f_mul(&spread(&scale.f_to_kind(Kind::Float)?)?)
}

/// Scales of A and the bias.
fn finish(p: &MatmulNbits, mut out: Tensor, a_scale: &Tensor, bias: &Tensor) -> Result<Tensor, TchError> {
    if a_scale.numel() > 0 {
        out = out.f_mul_(&a_scale.f_unsqueeze(1)?)?;
    }
    if p.bias { out.f_add_(&bias.f_to_kind(out.kind())?) } else { Ok(out) }
}

fn forward(problem: &dyn Problem, inputs: &[Tensor]) -> Result<Vec<Tensor>, TchError> {
    let p: &MatmulNbits = downcast(problem);
    let [a, _, scale, _, a_scale, bias] = inputs else { panic!("six inputs") };
    let out = a.f_to_kind(Kind::Float)?.f_matmul(&weights(p, inputs)?.f_transpose(0, 1)?)?;
    Ok(vec![finish(p, out, a_scale, bias)?.f_to_kind(scale.kind())?])
}

fn ways(problem: &dyn Problem, operands: &Operands<'_>) -> Result<Vec<Way>, TchError> {
    let p: &MatmulNbits = downcast(problem);
    let mut ways: Vec<Way> = packed(p, operands).and_then(|way| way.and_then(Way::tried).ok()).into_iter().collect();
    let (p, inputs) = (p.clone(), operands.inputs.iter().map(Tensor::shallow_clone).collect::<Vec<_>>());
    // Where the packed kernel is a plain loop, as for f32, this one is faster.
    ways.push(Way::fresh("matmul of widened weights", move || forward(&p, &inputs)).tried()?);
    Ok(ways)
}

/// libtorch's kernel, if it takes the sizes. Its weights are `(code − 8)·scale + offset`; they are packed outside the clock.
/// In bf16 an offset is rounded to bf16, too, so that only zero points of 8 are the same product.
fn packed(p: &MatmulNbits, operands: &Operands<'_>) -> Option<Result<Way, TchError>> {
    let kind = operands.inputs[2].kind();
    let takes =
        p.bits == 4 && [32, 64, 128, 256].contains(&p.group) && p.k.is_multiple_of(p.group) && p.n.is_multiple_of(32);
    if !takes || p.m * p.k == 0 || kind != Kind::Float && p.zeros {
        return None;
    }
    let pack = || {
        let [a, w, scale, zero, a_scale, bias] = &operands.inputs[..] else { panic!("six inputs") };
        let weights =
            codes(p, w)?.f_to_kind(Kind::Int)?.f_contiguous()?.f_internal_convert_weight_to_int4pack_for_cpu(1)?;
        let offset = match p.zeros {
            true => zero.f_to_kind(kind)?.f_neg()?.f_add_scalar(f64::from(p.middle()))?.f_mul(scale)?,
            false => scale.f_zeros_like()?,
        };
        let pairs = Tensor::f_stack(&[scale, &offset], 2)?.f_permute([1, 0, 2])?.f_contiguous()?;
        let (p, a, a_scale, bias) = (p.clone(), a.shallow_clone(), a_scale.shallow_clone(), bias.shallow_clone());
        Ok(Way::fresh("_weight_int4pack_mm_for_cpu", move || {
            let a = if a.kind() == kind { a.shallow_clone() } else { a.f_to_kind(kind)? };
            let out = a.f_internal_weight_int4pack_mm_for_cpu(&weights, p.group as i64, &pairs)?;
            Ok(vec![finish(&p, out, &a_scale, &bias)?])
        }))
    };
    Some(pack())
}

//! `matmul_int8`: by `_int_mm`, libtorch's product of s8, with corrections for what it lacks; the witness by plain
//! integers.

use tch::{Kind, TchError, Tensor};

use super::{Operands, Twin, Way};
use crate::Problem;
use crate::operator::downcast;
use crate::ops::matmul_int8::{MatmulInt8, Per};

pub(super) const MATMUL_INT8: Twin = Twin { op: "matmul_int8", forward, slack: |_| 1.0, ways };

/// In 64 bits, where no sum overflows.
fn forward(problem: &dyn Problem, inputs: &[Tensor]) -> Result<Vec<Tensor>, TchError> {
    let p: &MatmulInt8 = downcast(problem);
    let wide = |i: usize| inputs[i].f_to_kind(Kind::Int64);
    let (mut a, mut b) = (wide(0)?, wide(1)?);
    if p.za {
        a = a.f_sub(&wide(2)?)?;
    }
    if p.zb != Per::None {
        b = b.f_sub(&wide(3)?)?;
    }
    let mut sums = a.f_matmul(&b)?;
    if p.bias {
        sums = sums.f_add(&wide(4)?)?;
    }
    Ok(vec![finish(sums.f_to_kind(Kind::Int)?, p.relu, &inputs[5], &inputs[6], true)?])
}

/// What becomes of the sums. libtorch leaves open what integer NaN becomes; if `all`, it is the definition's.
pub(super) fn finish(sums: Tensor, relu: bool, scale: &Tensor, zero: &Tensor, all: bool) -> Result<Tensor, TchError> {
    if zero.numel() == 0 {
        return if relu { sums.f_clamp_min(0) } else { Ok(sums) };
    }
    let (low, high) = if zero.kind() == Kind::Uint8 { (0, 255) } else { (-128, 127) };
    let mut y = sums.f_to_kind(Kind::Float)?.f_mul(scale)?;
    if all {
        y = y.f_nan_to_num(f64::NEG_INFINITY, f64::INFINITY, f64::NEG_INFINITY)?;
    }
    if relu {
        y = y.f_relu_()?;
    }
    y.f_round_()?.f_add_(&zero.f_to_kind(Kind::Float)?)?.f_clamp_(low, high)?.f_to_kind(zero.kind())
}

fn ways(problem: &dyn Problem, operands: &Operands<'_>) -> Result<Vec<Way>, TchError> {
    let p: &MatmulInt8 = downcast(problem);
    // Not every shape.
    if let Ok(way) = int_mm(p, operands).and_then(Way::tried) {
        return Ok(vec![way]);
    }
    let (p, inputs) = (p.clone(), operands.inputs.iter().map(Tensor::shallow_clone).collect::<Vec<_>>());
    Ok(vec![Way::fresh("matmul", move || forward(&p, &inputs)).tried()?])
}

/// `_int_mm`. Of u8 it takes the numbers 128 less; what depends on weights alone is computed before.
fn int_mm(p: &MatmulInt8, operands: &Operands<'_>) -> Result<Way, TchError> {
    let [a, b, za, zb, bias, scale, zero] = &operands.inputs[..] else { panic!("seven inputs") };
    let [a, scale, zero] = [a, scale, zero].map(Tensor::shallow_clone);
    // Of a B that lies transposed with k = 1, `_int_mm` takes the stride between rows for their length, and gives wrong
    // numbers: it gets weights that lie by rows, with strides that say so.
    let mut by_rows = b.f_new_empty([p.k as i64, p.n as i64], (Kind::Int8, b.device()))?;
    by_rows.f_copy_(b)?;
    let b = by_rows;
    let unsigned = a.kind() == Kind::Uint8;
    if !(unsigned || p.za || p.bias || p.relu) && p.zb == Per::None && zero.numel() == 0 {
        let outputs = operands.outputs()?;
        let out = outputs[0].shallow_clone();
        return Ok(Way::out("_int_mm.out", outputs, move || a.f_internal_int_mm_out(&out, &b).map(|_| ())));
    }
    let za = if p.za { za.f_int64_value(&[0])? } else { 0 } - if unsigned { 128 } else { 0 };
    let zb = if p.zb == Per::None {
        b.f_new_zeros([p.n as i64], (Kind::Int, b.device()))?
    } else {
        zb.f_to_kind(Kind::Int)?
    };
    let mut constants = zb.f_to_kind(Kind::Int64)?.f_mul_scalar(p.k as i64 * za)?;
    constants = constants.f_sub(&b.f_sum_dim_intlist([0i64].as_slice(), false, Kind::Int64)?.f_mul_scalar(za)?)?;
    if p.bias {
        constants = constants.f_add(&bias.f_to_kind(Kind::Int64)?)?;
    }
    let constants = constants.f_to_kind(Kind::Int)?;
    let p = p.clone();
    Ok(Way::fresh("_int_mm", move || {
        let a = if unsigned { a.f_bitwise_xor(128)?.f_view_dtype(Kind::Int8)? } else { a.shallow_clone() };
        let mut sums = a.f_internal_int_mm(&b)?.f_add_(&constants)?;
        if p.zb != Per::None {
            sums = sums.f_sub_(&a.f_sum_dim_intlist([1i64].as_slice(), true, Kind::Int)?.f_mul(&zb)?)?;
        }
        Ok(vec![finish(sums, p.relu, &scale, &zero, false)?])
    }))
}

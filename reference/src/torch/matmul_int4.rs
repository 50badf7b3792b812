//! `matmul_int4`: weights made real numbers and a product; and libtorch's own kernel of packed weights, where it takes
//! the sizes.

use tch::{Kind, TchError, Tensor};

use super::{Operands, Twin, Way};
use crate::Problem;
use crate::operator::downcast;
use crate::ops::matmul_int4::{MIDDLE, MatmulInt4};

pub(super) const MATMUL_INT4: Twin = Twin { op: "matmul_int4", forward, slack: |_| 1.0, ways };

/// The weights, n×k, in f32.
fn weights(p: &MatmulInt4, inputs: &[Tensor]) -> Result<Tensor, TchError> {
    let [_, w, scale, zero, _] = inputs else { panic!("five inputs") };
    let halves = [w.f_bitwise_and(15)?, w.f_bitwise_right_shift_tensor_scalar(4)?];
    let codes = Tensor::f_stack(&halves, 2)?.f_reshape([p.n as i64, -1])?.f_narrow(1, 0, p.k as i64)?;
    let spread = |x: &Tensor| x.f_repeat_interleave_self_int(p.group as i64, 1, None)?.f_narrow(1, 0, p.k as i64);
    let codes = codes.f_to_kind(Kind::Float)?;
    let codes = match p.zeros {
        true => codes.f_sub(&spread(&zero.f_to_kind(Kind::Float)?)?)?,
        false => codes.f_sub_scalar(f64::from(MIDDLE))?,
    };
    codes.f_mul(&spread(scale)?)
}

fn forward(problem: &dyn Problem, inputs: &[Tensor]) -> Result<Vec<Tensor>, TchError> {
    let p: &MatmulInt4 = downcast(problem);
    let (a, bias) = (&inputs[0], &inputs[4]);
    let mut out = a.f_to_kind(Kind::Float)?.f_matmul(&weights(p, inputs)?.f_t()?)?;
    if p.bias {
        out = out.f_add_(&bias.f_to_kind(Kind::Float)?)?;
    }
    Ok(vec![out.f_to_kind(a.kind())?])
}

fn ways(problem: &dyn Problem, operands: &Operands<'_>) -> Result<Vec<Way>, TchError> {
    let p: &MatmulInt4 = downcast(problem);
    let (p, inputs) = (p.clone(), operands.inputs.iter().map(Tensor::shallow_clone).collect::<Vec<_>>());
    Ok(vec![Way::fresh("matmul of widened weights", move || forward(&p, &inputs)).tried()?])
}

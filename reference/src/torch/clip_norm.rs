//! `clip_norm`, by the operators of `torch.nn.utils.clip_grad_norm_`.

use tch::{TchError, Tensor};

use super::{Operands, Twin, Way};
use crate::Problem;
use crate::operator::downcast;
use crate::ops::clip_norm::{ClipNorm, SMALL};
use crate::tolerance::one_chain;

pub(super) const CLIP_NORM: Twin = Twin { op: "clip_norm", forward, slack: |problem| one_chain(&problem.sums()), ways };

fn clipped(max: f64, g: &Tensor) -> Result<Vec<Tensor>, TchError> {
    let norm = g.f_norm()?;
    let factor = norm.f_add_scalar(SMALL)?.f_reciprocal()?.f_mul_scalar(max)?.f_clamp_max(1.0)?;
    Ok(vec![g.f_mul(&factor)?, norm.f_reshape([1])?])
}

fn forward(problem: &dyn Problem, inputs: &[Tensor]) -> Result<Vec<Tensor>, TchError> {
    clipped(downcast::<ClipNorm>(problem).max, &inputs[0])
}

fn ways(problem: &dyn Problem, operands: &Operands<'_>) -> Result<Vec<Way>, TchError> {
    let max = downcast::<ClipNorm>(problem).max;
    let g = operands.inputs[0].shallow_clone();
    Ok(vec![Way::fresh("clip_grad_norm_", move || clipped(max, &g)).tried()?])
}

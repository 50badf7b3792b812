//! `mixed_precision_sgd`: by plain functions in f32. libtorch's own fused step takes gradients of the masters' type alone.

use tch::{Kind, TchError, Tensor};

use super::{Operands, Twin, Way};
use crate::Problem;
use crate::operator::downcast;
use crate::ops::mixed_precision_sgd::{MixedPrecisionSgd, Momentum};

pub(super) const MIXED_PRECISION_SGD: Twin = Twin { op: "mixed_precision_sgd", forward, slack: |_| 1.0, ways };

fn forward(problem: &dyn Problem, inputs: &[Tensor]) -> Result<Vec<Tensor>, TchError> {
    let p: &MixedPrecisionSgd = downcast(problem);
    let [w, v, g, scale, good, rate, momentum, decay] = inputs else { panic!("eight inputs") };
    let (loss_scale, count) = (scale.f_double_value(&[0])?, good.f_int64_value(&[0])? as f64);
    let finite = g.numel() == 0 || g.f_isfinite()?.f_all()?.f_int64_value(&[])? != 0;
    let (next_scale, next_count) = p.next_scale(loss_scale, count, finite);
    let next = [
        Tensor::f_from_slice(&[next_scale])?.f_to_kind(Kind::Float)?,
        Tensor::f_from_slice(&[next_count])?.f_to_kind(Kind::Int)?,
    ];
    let (mut after, mut moved) = (w.shallow_clone(), v.shallow_clone());
    if finite {
        let mut u = g.f_to_kind(Kind::Float)?.f_div(scale)?;
        if p.decay {
            u = u.f_add(&w.f_mul(decay)?)?;
        }
        let mut step = u.shallow_clone();
        if p.moves() {
            moved = v.f_mul(momentum)?.f_add(&u)?;
            step = moved.shallow_clone();
        }
        if p.momentum == Momentum::Nesterov {
            step = moved.f_mul(momentum)?.f_add(&u)?;
        }
        after = w.f_sub(&step.f_mul(rate)?)?;
    }
    let h = after.f_to_kind(g.kind())?;
    let [scale, good] = next;
    Ok(vec![after, moved, h, scale, good])
}

fn ways(problem: &dyn Problem, operands: &Operands<'_>) -> Result<Vec<Way>, TchError> {
    let p: &MixedPrecisionSgd = downcast(problem);
    let (p, inputs) = (p.clone(), operands.inputs.iter().map(Tensor::shallow_clone).collect::<Vec<_>>());
    Ok(vec![Way::fresh("div, mul, add", move || forward(&p, &inputs)).tried()?])
}

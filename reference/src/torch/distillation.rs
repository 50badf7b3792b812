//! `distillation`: libtorch's `kl_div` of log-softmax, and its cross entropy.

use tch::{Reduction as Reduce, TchError, Tensor};

use super::{Operands, Twin, Way};
use crate::Problem;
use crate::operator::downcast;
use crate::ops::cross_entropy::Reduction;
use crate::ops::distillation::Distillation;

pub(super) const DISTILLATION: Twin = Twin { op: "distillation", forward, slack: |_| 4.0, ways };

/// No label is this one.
const NONE: i64 = -100;

fn all(p: &Distillation, inputs: &[Tensor]) -> Result<Vec<Tensor>, TchError> {
    let [x, teacher, labels] = inputs else { panic!("three inputs") };
    let inverse = 1.0 / p.temperature;
    let (student, teacher) = (x.f_mul_scalar(inverse)?, teacher.f_mul_scalar(inverse)?);
    let [log, of_teacher] = [&student, &teacher].map(|of| of.f_log_softmax(1, None));
    let divergence =
        log?.f_kl_div(&of_teacher?, Reduce::None, true)?.f_sum_dim_intlist([1i64].as_slice(), false, x.kind())?;
    let of_labels = x.f_cross_entropy_loss(labels, None::<Tensor>, Reduce::None, NONE, 0.0)?;
    let softened = divergence.f_mul_scalar(p.alpha * p.temperature * p.temperature)?;
    let losses = of_labels.f_mul_scalar(1.0 - p.alpha)?.f_add(&softened)?;
    let loss = match p.reduction {
        Reduction::Mean => losses.f_mean(x.kind())?.f_reshape([1])?,
        Reduction::Sum => losses.f_sum(x.kind())?.f_reshape([1])?,
        Reduction::None => losses,
    };
    let lse = if p.keep {
        let of = |of: &Tensor| of.f_logsumexp([1], false);
        Tensor::f_stack(&[of(x)?, of(&student)?, of(&teacher)?], 1)?
    } else {
        Tensor::f_empty([0], (x.kind(), x.device()))?
    };
    Ok(vec![loss, lse])
}

fn forward(problem: &dyn Problem, inputs: &[Tensor]) -> Result<Vec<Tensor>, TchError> {
    all(downcast(problem), inputs)
}

fn ways(problem: &dyn Problem, operands: &Operands<'_>) -> Result<Vec<Way>, TchError> {
    let p = downcast::<Distillation>(problem).clone();
    let own: Vec<Tensor> = operands.inputs.iter().map(Tensor::shallow_clone).collect();
    Ok(vec![Way::fresh("kl_div and cross_entropy_loss", move || all(&p, &own)).tried()?])
}

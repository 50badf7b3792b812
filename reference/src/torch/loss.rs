//! `cross_entropy`: libtorch's own function; the logarithms by another.

use tch::{Reduction as Reduce, TchError, Tensor};

use super::{Operands, Twin, Way};
use crate::Problem;
use crate::operator::downcast;
use crate::ops::cross_entropy::{CrossEntropy, NONE, Reduction};

pub(super) const CROSS_ENTROPY: Twin = Twin { op: "cross_entropy", forward, slack: |_| 2.0, ways };

fn loss(p: &CrossEntropy, inputs: &[Tensor]) -> Result<Tensor, TchError> {
    let [x, labels, weights, targets] = inputs else { panic!("four inputs") };
    let reduction = match p.reduction {
        Reduction::Mean => Reduce::Mean,
        Reduction::Sum => Reduce::Sum,
        Reduction::None => Reduce::None,
    };
    let target = if p.soft { targets } else { labels };
    let loss = x.f_cross_entropy_loss(target, p.weighted.then_some(weights), reduction, NONE, p.smoothing)?;
    if p.reduction == Reduction::None { Ok(loss) } else { loss.f_reshape([1]) }
}

fn all(p: &CrossEntropy, inputs: &[Tensor]) -> Result<Vec<Tensor>, TchError> {
    let x = &inputs[0];
    let lse = if p.keep { x.f_logsumexp([1], false)? } else { Tensor::f_empty([0], (x.kind(), x.device()))? };
    Ok(vec![loss(p, inputs)?, lse])
}

fn forward(problem: &dyn Problem, inputs: &[Tensor]) -> Result<Vec<Tensor>, TchError> {
    all(downcast(problem), inputs)
}

fn ways(problem: &dyn Problem, operands: &Operands<'_>) -> Result<Vec<Way>, TchError> {
    let p = downcast::<CrossEntropy>(problem).clone();
    let own: Vec<Tensor> = operands.inputs.iter().map(Tensor::shallow_clone).collect();
    Ok(vec![Way::fresh("cross_entropy_loss", move || all(&p, &own)).tried()?])
}

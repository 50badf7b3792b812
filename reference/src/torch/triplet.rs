//! `triplet`: libtorch's own function; the distances by another.

use tch::{Reduction as Reduce, TchError, Tensor};

use super::{Operands, Twin, Way};
use crate::Problem;
use crate::operator::downcast;
use crate::ops::cross_entropy::Reduction;
use crate::ops::triplet::{EPSILON, Triplet};

pub(super) const TRIPLET: Twin = Twin { op: "triplet", forward, slack: |_| 2.0, ways };

fn all(p: &Triplet, inputs: &[Tensor]) -> Result<Vec<Tensor>, TchError> {
    let [a, positive, negative] = inputs else { panic!("three inputs") };
    let reduction = match p.reduction {
        Reduction::Mean => Reduce::Mean,
        Reduction::Sum => Reduce::Sum,
        Reduction::None => Reduce::None,
    };
    let loss = Tensor::f_triplet_margin_loss(a, positive, negative, p.margin, 2.0, EPSILON, false, reduction)?;
    let loss = if p.reduction == Reduction::None { loss } else { loss.f_reshape([1])? };
    let distances = if p.keep {
        let of = |other: &Tensor| Tensor::f_pairwise_distance(a, other, 2.0, EPSILON, false);
        Tensor::f_stack(&[of(positive)?, of(negative)?], 1)?
    } else {
        Tensor::f_empty([0], (a.kind(), a.device()))?
    };
    Ok(vec![loss, distances])
}

fn forward(problem: &dyn Problem, inputs: &[Tensor]) -> Result<Vec<Tensor>, TchError> {
    all(downcast(problem), inputs)
}

fn ways(problem: &dyn Problem, operands: &Operands<'_>) -> Result<Vec<Way>, TchError> {
    let p = downcast::<Triplet>(problem).clone();
    let own: Vec<Tensor> = operands.inputs.iter().map(Tensor::shallow_clone).collect();
    Ok(vec![Way::fresh("triplet_margin_loss", move || all(&p, &own)).tried()?])
}

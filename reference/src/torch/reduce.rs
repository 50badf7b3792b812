//! `reduce`: libtorch's own functions.

use tch::{TchError, Tensor};

use super::{Operands, Twin, Way};
use crate::Problem;
use crate::operator::downcast;
use crate::ops::activation::Extents;
use crate::ops::reduce::{Of, Reduce};
use crate::ops::reduce_backward::ReduceBackward;
use crate::tolerance::one_chain;

pub(super) const REDUCE: Twin = Twin { op: "reduce", forward, slack: |problem| one_chain(&problem.sums()), ways };

pub(super) const REDUCE_BACKWARD: Twin =
    Twin { op: "reduce_backward", forward: backward, slack: |_| 1.0, ways: ways_back };

/// The dimension that disappears.
const DIMENSION: i64 = 1;

fn all(p: &Reduce, x: &Tensor) -> Result<Vec<Tensor>, TchError> {
    let (kind, along) = (x.kind(), [DIMENSION]);
    let none = || Tensor::f_empty([0], (tch::Kind::Int64, x.device()));
    let y = match p.of {
        Of::Sum => x.f_sum_dim_intlist(along.as_slice(), false, kind)?,
        Of::Mean => x.f_mean_dim(along.as_slice(), false, kind)?,
        Of::L1 => x.f_norm_scalaropt_dim(1, along.as_slice(), false)?,
        Of::L2 => x.f_norm_scalaropt_dim(2, along.as_slice(), false)?,
        Of::Max if !p.places => x.f_amax(along.as_slice(), false)?,
        Of::Min if !p.places => x.f_amin(along.as_slice(), false)?,
        Of::Max | Of::Min => {
            let (y, places) =
                if p.of == Of::Max { x.f_max_dim(DIMENSION, false)? } else { x.f_min_dim(DIMENSION, false)? };
            return Ok(vec![y, places]);
        }
        Of::Argmax => return Ok(vec![Tensor::f_empty([0], (kind, x.device()))?, x.f_argmax(DIMENSION, false)?]),
    };
    Ok(vec![y, none()?])
}

fn forward(problem: &dyn Problem, inputs: &[Tensor]) -> Result<Vec<Tensor>, TchError> {
    all(downcast(problem), &inputs[0])
}

fn ways(problem: &dyn Problem, operands: &Operands<'_>) -> Result<Vec<Way>, TchError> {
    let p = downcast::<Reduce>(problem).clone();
    let (x, outputs) = (operands.inputs[0].shallow_clone(), operands.outputs()?);
    let (kind, along) = (x.kind(), [DIMENSION]);
    let (y, places) = (outputs[0].shallow_clone(), outputs[1].shallow_clone());
    let name = match p.of {
        Of::Sum => "sum_out",
        Of::Mean => "mean_out",
        Of::L1 | Of::L2 => "norm_out",
        Of::Max if p.places => "max_dim_max",
        Of::Min if p.places => "min_dim_min",
        Of::Max => "amax_out",
        Of::Min => "amin_out",
        Of::Argmax => "argmax_out",
    };
    let call = move || {
        let made = match p.of {
            Of::Sum => x.f_sum_intlist_out(&y, along.as_slice(), false, kind)?,
            Of::Mean => x.f_mean_out(&y, along.as_slice(), false, kind)?,
            Of::L1 => x.f_norm_out(&y, 1, along.as_slice(), false)?,
            Of::L2 => x.f_norm_out(&y, 2, along.as_slice(), false)?,
            Of::Max if p.places => x.f_max_dim_max(&y, &places, DIMENSION, false)?.0,
            Of::Min if p.places => x.f_min_dim_min(&y, &places, DIMENSION, false)?.0,
            Of::Max => x.f_amax_out(&y, along.as_slice(), false)?,
            Of::Min => x.f_amin_out(&y, along.as_slice(), false)?,
            Of::Argmax => x.f_argmax_out(&places, DIMENSION, false)?,
        };
        drop(made);
        Ok(())
    };
    Ok(vec![Way::out(name, outputs, call).tried()?])
}

/// The gradient by the formulas that autograd has.
fn gradient(p: &Reduce, inputs: &[Tensor]) -> Result<Vec<Tensor>, TchError> {
    let [dy, x, y, places] = inputs else { panic!("four inputs") };
    let Extents { n, c, s } = p.extents;
    let shape = [n, c, s].map(|extent| extent as i64);
    let dy = dy.f_unsqueeze(DIMENSION)?;
    let all = |of: &Tensor| of.f_expand(shape, false)?.f_contiguous();
    Ok(vec![match p.of {
        Of::Sum | Of::Argmax => all(&dy)?,
        Of::Mean => all(&dy)?.f_div_scalar(c as f64)?,
        Of::Max | Of::Min => {
            let zeros = Tensor::f_zeros(shape, (dy.kind(), dy.device()))?;
            zeros.f_scatter(DIMENSION, &places.f_unsqueeze(DIMENSION)?, &dy)?
        }
        Of::L1 => x.f_sgn()?.f_mul(&dy)?,
        Of::L2 => {
            let y = y.f_unsqueeze(DIMENSION)?;
            x.f_div(&y)?.f_masked_fill(&y.f_eq(0)?, 0.0)?.f_mul(&dy)?
        }
    }])
}

fn backward(problem: &dyn Problem, inputs: &[Tensor]) -> Result<Vec<Tensor>, TchError> {
    gradient(&downcast::<ReduceBackward>(problem).forward, inputs)
}

fn ways_back(problem: &dyn Problem, operands: &Operands<'_>) -> Result<Vec<Way>, TchError> {
    let p = downcast::<ReduceBackward>(problem).forward.clone();
    let own: Vec<Tensor> = operands.inputs.iter().map(Tensor::shallow_clone).collect();
    let name = match p.of {
        Of::Sum | Of::Argmax => "expand",
        Of::Mean => "div",
        Of::Max | Of::Min => "scatter",
        Of::L1 => "sgn",
        Of::L2 => "masked_fill",
    };
    Ok(vec![Way::fresh(name, move || gradient(&p, &own)).tried()?])
}

//! `pair_loss`: libtorch's own functions, and single operators where it has none.

use tch::{Reduction as Reduce, TchError, Tensor};

use super::{Operands, Twin, Way};
use crate::Problem;
use crate::operator::downcast;
use crate::ops::pair_loss::{PairLoss, Reduction};
use crate::tolerance::one_chain;

pub(super) const PAIR_LOSS: Twin = Twin { op: "pair_loss", forward, slack, ways };

/// x, t and weights, which may have no element.
type Inputs<'a> = &'a [Tensor];

/// A function: its name, what libtorch calls it, and its reduced losses.
struct Row {
    name: &'static str,
    by: &'static str,
    loss: fn(&PairLoss, Inputs<'_>, Reduce) -> Result<Tensor, TchError>,
}

/// One row for each function.
static ROWS: &[Row] = &[
    Row { name: "l1", by: "l1_loss", loss: |_, i, reduce| i[0].f_l1_loss(&i[1], reduce) },
    Row { name: "mse", by: "mse_loss", loss: |_, i, reduce| i[0].f_mse_loss(&i[1], reduce) },
    Row {
        name: "smooth_l1",
        by: "smooth_l1_loss",
        loss: |p, i, reduce| i[0].f_smooth_l1_loss(&i[1], reduce, p.number),
    },
    Row { name: "huber", by: "huber_loss", loss: |p, i, reduce| i[0].f_huber_loss(&i[1], reduce, p.number) },
    Row { name: "kl", by: "kl_div", loss: |_, i, reduce| i[0].f_kl_div(&i[1], reduce, false) },
    Row { name: "kl_log", by: "kl_div", loss: |_, i, reduce| i[0].f_kl_div(&i[1], reduce, true) },
    Row {
        name: "bce",
        by: "binary_cross_entropy_with_logits",
        loss: |p, i, reduce| i[0].f_binary_cross_entropy_with_logits(&i[1], None, p.weighted.then_some(&i[2]), reduce),
    },
    Row {
        name: "gan_discriminator",
        by: "log_sigmoid",
        loss: |_, i, reduce| {
            let losses = i[0].f_log_sigmoid()?.f_add(&i[1].f_neg()?.f_log_sigmoid()?)?.f_neg()?;
            reduced(&losses, reduce)
        },
    },
    Row {
        name: "gan_generator",
        by: "log_sigmoid",
        loss: |_, i, reduce| reduced(&i[0].f_log_sigmoid()?.f_neg()?, reduce),
    },
    Row {
        name: "gaussian_kl",
        by: "exp",
        loss: |_, i, reduce| {
            let of_variance = i[1].f_exp()?.f_sub(&i[1])?.f_sub_scalar(1.0)?;
            reduced(&i[0].f_square()?.f_add(&of_variance)?.f_mul_scalar(0.5)?, reduce)
        },
    },
];

fn row(p: &PairLoss) -> Result<&'static Row, TchError> {
    let found = ROWS.iter().find(|row| row.name == p.function.name);
    found.ok_or_else(|| TchError::Torch(format!("no libtorch name for `{}`", p.function.name)))
}

fn reduced(losses: &Tensor, reduce: Reduce) -> Result<Tensor, TchError> {
    match reduce {
        Reduce::Mean => losses.f_mean(losses.kind()),
        Reduce::Sum => losses.f_sum(losses.kind()),
        _ => Ok(losses.shallow_clone()),
    }
}

fn loss(p: &PairLoss, inputs: Inputs<'_>) -> Result<Vec<Tensor>, TchError> {
    let reduce = match p.reduction {
        Reduction::Mean => Reduce::Mean,
        Reduction::None => Reduce::None,
        Reduction::Sum | Reduction::BatchMean => Reduce::Sum,
    };
    let loss = (row(p)?.loss)(p, inputs, reduce)?;
    let loss = if p.reduction == Reduction::BatchMean { loss.f_div_scalar(p.rows as f64)? } else { loss };
    Ok(vec![if p.reduction == Reduction::None { loss } else { loss.f_reshape([1])? }])
}

fn forward(problem: &dyn Problem, inputs: &[Tensor]) -> Result<Vec<Tensor>, TchError> {
    loss(downcast(problem), inputs)
}

/// Losses that stay are no sums.
fn slack(problem: &dyn Problem) -> f64 {
    if downcast::<PairLoss>(problem).reduction == Reduction::None { 1.0 } else { one_chain(&problem.sums()) }
}

fn ways(problem: &dyn Problem, operands: &Operands<'_>) -> Result<Vec<Way>, TchError> {
    let p = downcast::<PairLoss>(problem).clone();
    let own: Vec<Tensor> = operands.inputs.iter().map(Tensor::shallow_clone).collect();
    Ok(vec![Way::fresh(row(&p)?.by, move || loss(&p, &own)).tried()?])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::pair_loss_functions::FUNCTIONS;

    #[test]
    fn every_function_has_a_name() {
        assert!(ROWS.iter().map(|row| row.name).eq(FUNCTIONS.iter().map(|function| function.name)));
    }
}

//! `multi_margin`: libtorch's own function, which `tch` does not expose.

use tch::{TchError, Tensor};

use super::script::{Script, arguments};
use super::{Operands, Twin, Way};
use crate::Problem;
use crate::operator::downcast;
use crate::ops::cross_entropy::Reduction;
use crate::ops::multi_margin::MultiMargin;

pub(super) const MULTI_MARGIN: Twin = Twin { op: "multi_margin", forward, slack: |_| 1.0, ways };

fn script(p: &MultiMargin) -> Result<Script, TchError> {
    let power = if p.squared { 2 } else { 1 };
    let weights = if p.weighted { "weights" } else { "None" };
    let reduction = match p.reduction {
        Reduction::None => 0,
        Reduction::Mean => 1,
        Reduction::Sum => 2,
    };
    let call = format!("torch.multi_margin_loss(x, labels, {power}, {:?}, {weights}, {reduction})", p.margin);
    let shape = if p.reduction == Reduction::None { p.rows } else { 1 };
    let last = format!("return torch.reshape({call}, [{shape}])");
    Script::new("x: Tensor, labels: Tensor, weights: Tensor", "Tensor", &[&last])
}

fn forward(problem: &dyn Problem, inputs: &[Tensor]) -> Result<Vec<Tensor>, TchError> {
    script(downcast(problem))?.call(&arguments(&inputs.iter().collect::<Vec<_>>()))
}

fn ways(problem: &dyn Problem, operands: &Operands<'_>) -> Result<Vec<Way>, TchError> {
    let script = script(downcast(problem))?;
    let given = arguments(&operands.inputs.iter().collect::<Vec<_>>());
    Ok(vec![Way::fresh("multi_margin_loss", move || script.call(&given)).tried()?])
}

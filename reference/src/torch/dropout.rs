//! `dropout_backward`: libtorch has it as an operator of its own. The forward pass draws other numbers there.

use tch::{TchError, Tensor};

use super::{Operands, Twin, Way};
use crate::Problem;
use crate::operator::downcast;
use crate::ops::dropout_backward::DropoutBackward;

pub(super) const DROPOUT_BACKWARD: Twin = Twin { op: "dropout_backward", forward, slack: |_| 1.0, ways };

fn forward(problem: &dyn Problem, inputs: &[Tensor]) -> Result<Vec<Tensor>, TchError> {
    let DropoutBackward { dropout } = downcast(problem);
    let [dy, mask] = inputs else { panic!("two inputs") };
    Ok(vec![Tensor::f_native_dropout_backward(dy, mask, dropout.scale())?])
}

fn ways(problem: &dyn Problem, operands: &Operands<'_>) -> Result<Vec<Way>, TchError> {
    let DropoutBackward { dropout } = downcast(problem);
    let (scale, outputs) = (dropout.scale(), operands.outputs()?);
    let [dy, mask] = [0, 1].map(|i| operands.inputs[i].shallow_clone());
    let dx = outputs[0].shallow_clone();
    let way = Way::out("native_dropout_backward_out", outputs, move || {
        Tensor::f_native_dropout_backward_out(&dx, &dy, &mask, scale).map(|_| ())
    });
    Ok(vec![way.tried()?])
}

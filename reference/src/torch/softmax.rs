//! `softmax` and `softmax_backward`: libtorch's own functions.

use tch::{TchError, Tensor};

use super::{Operands, Twin, Way};
use crate::Problem;
use crate::operator::downcast;
use crate::ops::softmax::{Of, Softmax};
use crate::ops::softmax_backward::SoftmaxBackward;

pub(super) const SOFTMAX: Twin = Twin { op: "softmax", forward, slack: |_| 1.0, ways };

pub(super) const SOFTMAX_BACKWARD: Twin =
    Twin { op: "softmax_backward", forward: backward, slack: |_| 1.0, ways: ways_back };

/// The dimension that adds up.
const DIMENSION: i64 = 1;

/// Scores over the temperature.
fn scaled(p: &Softmax, x: &Tensor) -> Result<Tensor, TchError> {
    if p.inverse == 1.0 { Ok(x.shallow_clone()) } else { x.f_mul_scalar(p.inverse) }
}

fn forward(problem: &dyn Problem, inputs: &[Tensor]) -> Result<Vec<Tensor>, TchError> {
    let p = downcast::<Softmax>(problem);
    let x = scaled(p, &inputs[0])?;
    Ok(vec![match p.of {
        Of::Softmax => x.f_softmax(DIMENSION, None)?,
        Of::LogSoftmax => x.f_log_softmax(DIMENSION, None)?,
    }])
}

fn ways(problem: &dyn Problem, operands: &Operands<'_>) -> Result<Vec<Way>, TchError> {
    let p = downcast::<Softmax>(problem).clone();
    let (x, outputs) = (operands.inputs[0].shallow_clone(), operands.outputs()?);
    let y = outputs[0].shallow_clone();
    let name = if p.of == Of::Softmax { "softmax_out" } else { "log_softmax_out" };
    let call = move || {
        let x = scaled(&p, &x)?;
        let made = match p.of {
            Of::Softmax => x.f_internal_softmax_out(&y, DIMENSION, false),
            Of::LogSoftmax => x.f_internal_log_softmax_out(&y, DIMENSION, false),
        };
        made.map(drop)
    };
    Ok(vec![Way::out(name, outputs, call).tried()?])
}

/// The gradient by x over the temperature.
fn gradient(p: &Softmax, dy: &Tensor, y: &Tensor) -> Result<Tensor, TchError> {
    let kind = y.kind();
    match p.of {
        Of::Softmax => Tensor::f_internal_softmax_backward_data(dy, y, DIMENSION, kind),
        Of::LogSoftmax => Tensor::f_internal_log_softmax_backward_data(dy, y, DIMENSION, kind),
    }
}

fn backward(problem: &dyn Problem, inputs: &[Tensor]) -> Result<Vec<Tensor>, TchError> {
    let p = &downcast::<SoftmaxBackward>(problem).forward;
    Ok(vec![scaled(p, &gradient(p, &inputs[0], &inputs[1])?)?])
}

fn ways_back(problem: &dyn Problem, operands: &Operands<'_>) -> Result<Vec<Way>, TchError> {
    let p = downcast::<SoftmaxBackward>(problem).forward.clone();
    let [dy, y] = [0, 1].map(|i| operands.inputs[i].shallow_clone());
    let name = if p.of == Of::Softmax { "_softmax_backward_data" } else { "_log_softmax_backward_data" };
    Ok(vec![Way::fresh(name, move || Ok(vec![scaled(&p, &gradient(&p, &dy, &y)?)?])).tried()?])
}

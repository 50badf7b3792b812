//! `batchnorm_relu` and `batchnorm_relu_backward`.

use tch::{IValue, TchError, Tensor};

use super::script::Script;
use super::{Operands, Twin, Way};
use crate::Problem;
use crate::operator::downcast;
use crate::ops::batchnorm_relu::{BatchnormRelu, Images, Mode, depth};
use crate::ops::batchnorm_relu_backward::BatchnormReluBackward;

pub(super) const BATCHNORM_RELU: Twin = Twin { op: "batchnorm_relu", forward, slack, ways };

pub(super) const BATCHNORM_RELU_BACKWARD: Twin =
    Twin { op: "batchnorm_relu_backward", forward: backward, slack: backward_slack, ways: backward_ways };

/// A channel's sum in one chain, as libtorch adds where channels lie side by side.
fn chain_of(images: &Images) -> f64 {
    (images.count() + 8) as f64 / depth(images.count()) as f64
}

fn slack(problem: &dyn Problem) -> f64 {
    chain_of(&downcast::<BatchnormRelu>(problem).images)
}

fn backward_slack(problem: &dyn Problem) -> f64 {
    chain_of(&downcast::<BatchnormReluBackward>(problem).images)
}

/// No element, of the kind of `like`.
fn none(like: &Tensor) -> Result<Tensor, TchError> {
    Tensor::f_empty([0], (like.kind(), like.device()))
}

fn forward(problem: &dyn Problem, inputs: &[Tensor]) -> Result<Vec<Tensor>, TchError> {
    let norm: &BatchnormRelu = downcast(problem);
    let [x, gamma, beta, residual, mean, var] = inputs else { panic!("six inputs") };
    let train = norm.mode == Mode::Train;
    // Training updates the running statistics in place.
    let (mean, var) = (mean.f_detach_copy()?, var.f_detach_copy()?);
    let (gamma, beta) = (norm.affine.then_some(gamma), norm.affine.then_some(beta));
    let (mut y, saved_mean, saved_rstd) =
        x.f_native_batch_norm(gamma, beta, Some(&mean), Some(&var), train, norm.momentum, norm.eps)?;
    if norm.residual {
        y = y.f_add(residual)?;
    }
    if norm.relu {
        y = y.f_relu()?;
    }
    if train {
        return Ok(vec![y, mean, var, saved_mean, saved_rstd]);
    }
    let absent = none(x)?;
    Ok(std::iter::once(y).chain((0..4).map(|_| absent.shallow_clone())).collect())
}

/// What a way of the forward operator works on.
struct Forward {
    norm: BatchnormRelu,
    x: Tensor,
    gamma: Option<Tensor>,
    beta: Option<Tensor>,
    residual: Tensor,
    /// Running statistics: in training they are updated in the outputs.
    mean: Tensor,
    var: Tensor,
    /// A buffer for each output. In inference nothing is saved: all but the first are empty.
    outputs: Vec<Tensor>,
}

impl Forward {
    fn new(norm: &BatchnormRelu, operands: &Operands<'_>) -> Result<Forward, TchError> {
        let outputs = operands.outputs()?;
        let [x, gamma, beta, residual, mean, var] = [0, 1, 2, 3, 4, 5].map(|i| operands.inputs[i].shallow_clone());
        let train = norm.mode == Mode::Train;
        let [mean, var] = if train { [&outputs[1], &outputs[2]].map(Tensor::shallow_clone) } else { [mean, var] };
        let (gamma, beta) = (norm.affine.then_some(gamma), norm.affine.then_some(beta));
        Ok(Forward { norm: norm.clone(), x, gamma, beta, residual, mean, var, outputs })
    }

    fn kept(&self) -> Vec<Tensor> {
        self.outputs.iter().map(Tensor::shallow_clone).collect()
    }

    /// What remains behind the normalisation, in place.
    fn finish(&self, y: &mut Tensor) -> Result<(), TchError> {
        if self.norm.residual {
            let _ = y.f_add_(&self.residual)?;
        }
        if self.norm.relu {
            let _ = y.f_relu_()?;
        }
        Ok(())
    }

    /// Into the buffers.
    fn native_out(&self) -> Result<(), TchError> {
        let BatchnormRelu { momentum, eps, .. } = self.norm;
        let [y, saved_mean, saved_rstd] = [0, 3, 4].map(|i| &self.outputs[i]);
        let (gamma, beta, mean, var) = (self.gamma.as_ref(), self.beta.as_ref(), Some(&self.mean), Some(&self.var));
        let train = self.norm.mode == Mode::Train;
        let _ =
            self.x.f_native_batch_norm_out(y, saved_mean, saved_rstd, gamma, beta, mean, var, train, momentum, eps)?;
        self.finish(&mut y.shallow_clone())
    }

    /// Fresh tensors.
    fn native(&self) -> Result<Vec<Tensor>, TchError> {
        let BatchnormRelu { momentum, eps, .. } = self.norm;
        let (gamma, beta, mean, var) = (self.gamma.as_ref(), self.beta.as_ref(), Some(&self.mean), Some(&self.var));
        let train = self.norm.mode == Mode::Train;
        let (y, saved_mean, saved_rstd) = self.x.f_native_batch_norm(gamma, beta, mean, var, train, momentum, eps)?;
        let mut outputs = self.kept();
        outputs[0] = y;
        if train {
            (outputs[3], outputs[4]) = (saved_mean, saved_rstd);
        }
        self.finish(&mut outputs[0])?;
        Ok(outputs)
    }

    /// A fresh tensor, by the function that layers call.
    fn layer(&self) -> Result<Vec<Tensor>, TchError> {
        let BatchnormRelu { momentum, eps, .. } = self.norm;
        let (gamma, beta, mean, var) = (self.gamma.as_ref(), self.beta.as_ref(), Some(&self.mean), Some(&self.var));
        let mut outputs = self.kept();
        outputs[0] = self.x.f_batch_norm(gamma, beta, mean, var, false, momentum, eps, false)?;
        self.finish(&mut outputs[0])?;
        Ok(outputs)
    }
}

/// Into buffers that are ready, and into fresh ones; the function that layers call does not tell what it saves in training.
fn ways(problem: &dyn Problem, operands: &Operands<'_>) -> Result<Vec<Way>, TchError> {
    let norm: &BatchnormRelu = downcast(problem);
    let one = Forward::new(norm, operands)?;
    let mut ways = vec![Way::out("native_batch_norm_out", one.kept(), move || one.native_out()).tried()?];
    let one = Forward::new(norm, operands)?;
    ways.push(Way::fresh("native_batch_norm", move || one.native()).tried()?);
    if norm.mode == Mode::Infer {
        let one = Forward::new(norm, operands)?;
        // Without elements it fails.
        ways.extend(Way::fresh("batch_norm", move || one.layer()).tried());
    }
    Ok(ways)
}

/// `native_batch_norm_backward` behind the ReLU's gate, which `tch` does not expose. The gate is written to `gate`, where
/// there is a ReLU. ε is not used in training: 1/σ is given.
fn script(norm: &BatchnormReluBackward) -> Result<Script, TchError> {
    let gate = if norm.relu { "g = torch.threshold_backward(dy, y, 0, grad_input=gate)" } else { "g = dy" };
    let wanted = if norm.affine { "[True, True, True]" } else { "[True, False, False]" };
    let call = format!(
        "dx, dgamma, dbeta = torch.native_batch_norm_backward(g, x, gamma, None, None, mean, rstd, True, 1e-05, {wanted})"
    );
    let parameters =
        "dy: Tensor, x: Tensor, gamma: Optional[Tensor], mean: Tensor, rstd: Tensor, y: Tensor, gate: Tensor";
    if norm.affine {
        Script::new(
            parameters,
            "Tuple[Tensor, Tensor, Tensor, Tensor]",
            &[gate, &call, "return (dx, dgamma, dbeta, g)"],
        )
    } else {
        Script::new(parameters, "Tuple[Tensor, Tensor]", &[gate, &call, "return (dx, g)"])
    }
}

fn script_arguments(norm: &BatchnormReluBackward, inputs: &[Tensor], gate: &Tensor) -> Vec<IValue> {
    let optional =
        |there: bool, tensor: &Tensor| if there { IValue::Tensor(tensor.shallow_clone()) } else { IValue::None };
    inputs
        .iter()
        .enumerate()
        .map(|(i, tensor)| optional(i != 2 || norm.affine, tensor))
        .chain([IValue::Tensor(gate.shallow_clone())])
        .collect()
}

/// What the script gives, in the order of the outputs.
fn sorted(norm: &BatchnormReluBackward, mut results: Vec<Tensor>) -> Result<Vec<Tensor>, TchError> {
    let dx = results.remove(0);
    let (dgamma, dbeta) = if norm.affine { (results.remove(0), results.remove(0)) } else { (none(&dx)?, none(&dx)?) };
    let dresidual = if norm.residual { results.remove(0) } else { none(&dx)? };
    Ok(vec![dx, dgamma, dbeta, dresidual])
}

fn backward(problem: &dyn Problem, inputs: &[Tensor]) -> Result<Vec<Tensor>, TchError> {
    let norm: &BatchnormReluBackward = downcast(problem);
    let gate = inputs[0].f_empty_like()?;
    sorted(norm, script(norm)?.call(&script_arguments(norm, inputs, &gate))?)
}

/// The gate has a buffer; the gradients are fresh, because libtorch's `out=` form computes fresh ones and copies them.
fn backward_ways(problem: &dyn Problem, operands: &Operands<'_>) -> Result<Vec<Way>, TchError> {
    let norm = downcast::<BatchnormReluBackward>(problem).clone();
    let gate = operands.inputs[0].f_empty_like()?;
    let (script, arguments) = (script(&norm)?, script_arguments(&norm, &operands.inputs, &gate));
    let way = Way::fresh("native_batch_norm_backward", move || sorted(&norm, script.call(&arguments)?));
    Ok(vec![way.tried()?])
}

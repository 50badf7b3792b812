//! `layer_norm` and `layer_norm_backward`: libtorch's fused functions; the gradient of RMS norm by single operators.

use tch::{TchError, Tensor};

use super::script::{Script, arguments};
use super::{Operands, Twin, Way};
use crate::Problem;
use crate::operator::downcast;
use crate::ops::layer_norm::{EPSILON, LayerNorm, Of};
use crate::ops::layer_norm_backward::LayerNormBackward;
use crate::tolerance::one_chain;

pub(super) const LAYER_NORM: Twin =
    Twin { op: "layer_norm", forward, slack: |problem| one_chain(&problem.sums()), ways };

pub(super) const LAYER_NORM_BACKWARD: Twin =
    Twin { op: "layer_norm_backward", forward: backward, slack: |problem| one_chain(&problem.sums()), ways: ways_back };

fn none(like: &Tensor) -> Result<Tensor, TchError> {
    Tensor::f_empty([0], (like.kind(), like.device()))
}

fn norm(p: &LayerNorm, inputs: &[Tensor]) -> Result<Vec<Tensor>, TchError> {
    let [x, gain, bias] = inputs else { panic!("three inputs") };
    let (gain, bias) = (p.gain.then_some(gain), p.bias.then_some(bias));
    let shape = [p.columns as i64];
    let (y, mean, factor) = match p.of {
        Of::Layer => x.f_native_layer_norm(shape, gain, bias, EPSILON)?,
        Of::Rms => {
            let (y, factor) = x.f_internal_fused_rms_norm(shape, gain, EPSILON)?;
            let y = if let Some(bias) = bias { y.f_add(bias)? } else { y };
            (y, none(x)?, factor)
        }
    };
    let rows = [p.rows as i64];
    let keep = |of: Tensor, present: bool| if present { of.f_reshape(rows) } else { none(x) };
    Ok(vec![y, keep(mean, p.keep && p.of == Of::Layer)?, keep(factor, p.keep)?])
}

fn forward(problem: &dyn Problem, inputs: &[Tensor]) -> Result<Vec<Tensor>, TchError> {
    norm(downcast(problem), inputs)
}

fn ways(problem: &dyn Problem, operands: &Operands<'_>) -> Result<Vec<Way>, TchError> {
    let p = downcast::<LayerNorm>(problem).clone();
    let own: Vec<Tensor> = operands.inputs.iter().map(Tensor::shallow_clone).collect();
    let name = if p.of == Of::Layer { "native_layer_norm" } else { "_fused_rms_norm" };
    let mut ways = vec![];
    if p.of == Of::Rms && !p.keep {
        // The fused function is not the fastest on every processor.
        let (p, own) = (p.clone(), operands.inputs.iter().map(Tensor::shallow_clone).collect::<Vec<_>>());
        let empty = none(&own[0])?;
        let single = move || {
            let square = own[0].f_square()?.f_mean_dim([1i64].as_slice(), true, own[0].kind())?;
            let mut y = own[0].f_mul(&square.f_add_scalar(EPSILON)?.f_rsqrt()?)?;
            if p.gain {
                y = y.f_mul_(&own[1])?;
            }
            if p.bias {
                y = y.f_add_(&own[2])?;
            }
            Ok(vec![y, empty.shallow_clone(), empty.shallow_clone()])
        };
        ways.push(Way::fresh("single operators", single).tried()?);
    }
    ways.insert(0, Way::fresh(name, move || norm(&p, &own)).tried()?);
    Ok(ways)
}

/// `native_layer_norm_backward`: dx, and of γ and β those that there are.
fn script(p: &LayerNorm) -> Result<Script, TchError> {
    let flag = |present| if present { "True" } else { "False" };
    let tensor = |present| if present { "gamma" } else { "None" };
    let call = format!(
        "a, b, c = torch.native_layer_norm_backward(dy, x, [{}], mean, factor, {}, {}, [True, {}, {}])",
        p.columns,
        tensor(p.gain),
        tensor(p.bias),
        flag(p.gain),
        flag(p.bias)
    );
    let (kind, values) = match (p.gain, p.bias) {
        (false, _) => ("Tensor", "a"),
        (true, false) => ("Tuple[Tensor, Tensor]", "(a, b)"),
        (true, true) => ("Tuple[Tensor, Tensor, Tensor]", "(a, b, c)"),
    };
    let parameters = "dy: Tensor, x: Tensor, mean: Tensor, factor: Tensor, gamma: Tensor";
    Script::new(parameters, kind, &[&call, &format!("return {values}")])
}

/// dx, dγ and dβ; without `script` by single operators.
fn gradients(p: &LayerNorm, script: Option<&Script>, inputs: &[Tensor]) -> Result<Vec<Tensor>, TchError> {
    let [dy, x, gain, mean, factor] = inputs else { panic!("five inputs") };
    let column = |of: &Tensor| of.f_reshape([p.rows as i64, 1]);
    let factor = column(factor)?;
    if let Some(script) = script {
        let mut all = script.call(&arguments(&[dy, x, &column(mean)?, &factor, gain]))?;
        while all.len() < 3 {
            all.push(none(x)?);
        }
        return Ok(all);
    }
    let layer = p.of == Of::Layer;
    let scaled = if layer { x.f_sub(&column(mean)?)? } else { x.shallow_clone() }.f_mul(&factor)?;
    let a = if p.gain { dy.f_mul(gain)? } else { dy.shallow_clone() };
    let of_row = |x: &Tensor| x.f_mean_dim([1i64].as_slice(), true, x.kind());
    let mut bracket = a.f_sub(&scaled.f_mul(&of_row(&a.f_mul(&scaled)?)?)?)?;
    if layer {
        bracket = bracket.f_sub(&of_row(&a)?)?;
    }
    let over_rows = |x: &Tensor| x.f_sum_dim_intlist([0i64].as_slice(), false, x.kind());
    let of_gain = if p.gain { over_rows(&dy.f_mul(&scaled)?)? } else { none(x)? };
    let of_bias = if p.bias { over_rows(dy)? } else { none(x)? };
    Ok(vec![bracket.f_mul(&factor)?, of_gain, of_bias])
}

/// The fused function, where there is one.
fn fused(p: &LayerNorm) -> Result<Option<Script>, TchError> {
    if p.of == Of::Layer && p.rows > 0 { script(p).map(Some) } else { Ok(None) }
}

fn backward(problem: &dyn Problem, inputs: &[Tensor]) -> Result<Vec<Tensor>, TchError> {
    let p = &downcast::<LayerNormBackward>(problem).norm;
    gradients(p, fused(p)?.as_ref(), inputs)
}

fn ways_back(problem: &dyn Problem, operands: &Operands<'_>) -> Result<Vec<Way>, TchError> {
    let p = downcast::<LayerNormBackward>(problem).norm.clone();
    let own: Vec<Tensor> = operands.inputs.iter().map(Tensor::shallow_clone).collect();
    let script = fused(&p)?;
    let name = if script.is_some() { "native_layer_norm_backward" } else { "single operators" };
    Ok(vec![Way::fresh(name, move || gradients(&p, script.as_ref(), &own)).tried()?])
}

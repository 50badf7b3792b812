//! The gradients of `conv2d`; `conv_transpose2d` and its gradients.

use tch::{TchError, Tensor};

use super::conv::Geometry;
use super::pixels;
use super::script::{Script, arguments};
use super::{Operands, Twin, Way};
use crate::Problem;
use crate::operator::downcast;
use crate::ops::conv_transpose2d::ConvTranspose2d;
use crate::ops::conv_transpose2d_backward::ConvTranspose2dBackward;
use crate::ops::conv2d::Conv2d;
use crate::ops::conv2d_backward_data::Conv2dBackwardData;
use crate::ops::conv2d_backward_weights::Conv2dBackwardWeights;
use crate::ops::gemm::{CHUNK, chain};
use crate::ops::images::ImageLayout;
use crate::tolerance::one_chain;

pub(super) const BACKWARD_DATA: Twin =
    Twin { op: "conv2d_backward_data", forward: data, slack: data_slack, ways: data_ways };
pub(super) const BACKWARD_WEIGHTS: Twin =
    Twin { op: "conv2d_backward_weights", forward: weights, slack: weights_slack, ways: weights_ways };
pub(super) const TRANSPOSED: Twin =
    Twin { op: "conv_transpose2d", forward: transposed, slack: transposed_slack, ways: transposed_ways };
pub(super) const TRANSPOSED_BACKWARD: Twin = Twin {
    op: "conv_transpose2d_backward",
    forward: transposed_gradients,
    slack: |problem| one_chain(&problem.sums()),
    ways: transposed_gradients_ways,
};

fn spread_slack(conv: &Conv2d) -> f64 {
    let depth = conv.spread_depth();
    (depth + 1) as f64 / (chain(depth) + 1) as f64
}

/// Over all images in one chain.
fn correlated_slack(conv: &Conv2d) -> f64 {
    let pixels = conv.y.h * conv.y.w;
    let ours = pixels.min(CHUNK) + conv.y.n * pixels.div_ceil(CHUNK);
    (conv.y.n * pixels) as f64 / ours.max(1) as f64
}

fn data_slack(problem: &dyn Problem) -> f64 {
    spread_slack(&downcast::<Conv2dBackwardData>(problem).conv)
}

fn weights_slack(problem: &dyn Problem) -> f64 {
    correlated_slack(&downcast::<Conv2dBackwardWeights>(problem).conv)
}

fn transposed_slack(problem: &dyn Problem) -> f64 {
    spread_slack(&downcast::<ConvTranspose2d>(problem).conv)
}

/// Which gradients of a convolution are wanted.
#[derive(Clone, Copy)]
struct Wanted {
    data: bool,
    weights: bool,
    bias: bool,
}

/// Those of a convolution.
fn gradients(conv: &Conv2d, wanted: Wanted) -> Result<Script, TchError> {
    gradients_of(conv, (conv.y.c, "False", [0, 0]), wanted)
}

/// `convolution_backward`, which `tch` does not expose, of (dy, x, w): the gradients that are wanted, in order. The bias has
/// so many channels; whether it is a transposed convolution, and with how many rows and columns added.
fn gradients_of(
    conv: &Conv2d,
    (channels, transposed, added): (usize, &str, [usize; 2]),
    wanted: Wanted,
) -> Result<Script, TchError> {
    let Geometry { stride, padding, dilation, groups, .. } = Geometry::new(conv);
    let mask = [wanted.data, wanted.weights, wanted.bias].map(|there| if there { "True" } else { "False" }).join(", ");
    let call = format!(
        "dx, dw, dbias = torch.convolution_backward(dy, x, w, [{channels}], {stride:?}, {padding:?}, {dilation:?}, \
         {transposed}, {added:?}, {groups}, [{mask}])"
    );
    let names = [(wanted.data, "dx"), (wanted.weights, "dw"), (wanted.bias, "dbias")];
    let names: Vec<&str> = names.into_iter().filter(|(there, _)| *there).map(|(_, name)| name).collect();
    let kinds = vec!["Tensor"; names.len()].join(", ");
    let (kind, values) = match names[..] {
        [name] => ("Tensor".to_owned(), name.to_owned()),
        _ => (format!("Tuple[{kinds}]"), format!("({})", names.join(", "))),
    };
    Script::new("dy: Tensor, x: Tensor, w: Tensor", &kind, &[&call, &format!("return {values}")])
}

/// The images of a tensor like x: of which a gradient asks the shape alone.
fn like(x: &crate::ops::images::Images, of: &Tensor) -> Result<Tensor, TchError> {
    let shape = [x.n, x.c, x.h, x.w].map(|extent| extent as i64);
    let strides = x.strides().map(|stride| stride as i64);
    Tensor::f_empty_strided(shape, strides, (of.kind(), of.device()))
}

/// Without the zeros that were put around by hand.
fn cropped(geometry: &Geometry, x: &Tensor) -> Result<Tensor, TchError> {
    let Some([left, right, top, bottom]) = geometry.pad else { return Ok(x.shallow_clone()) };
    let size = x.size();
    x.f_narrow(2, top, size[2] - top - bottom)?.f_narrow(3, left, size[3] - left - right)
}

fn data_of(conv: &Conv2d, script: &Script, dy: &Tensor, x: &Tensor, w: &Tensor) -> Result<Vec<Tensor>, TchError> {
    let dx = script.call(&arguments(&[dy, x, w]))?.remove(0);
    Ok(vec![cropped(&Geometry::new(conv), &dx)?])
}

const DATA: Wanted = Wanted { data: true, weights: false, bias: false };

fn data(problem: &dyn Problem, inputs: &[Tensor]) -> Result<Vec<Tensor>, TchError> {
    let conv = &downcast::<Conv2dBackwardData>(problem).conv;
    let x = Geometry::new(conv).padded(&like(&conv.x, &inputs[0])?)?;
    data_of(conv, &gradients(conv, DATA)?, &inputs[0], &x, &inputs[1])
}

fn data_ways(problem: &dyn Problem, operands: &Operands<'_>) -> Result<Vec<Way>, TchError> {
    let conv = downcast::<Conv2dBackwardData>(problem).conv.clone();
    let [dy, w] = [0, 1].map(|i| operands.inputs[i].shallow_clone());
    let x = Geometry::new(&conv).padded(&like(&conv.x, &dy)?)?;
    let script = gradients(&conv, DATA)?;
    let product = pixels::is_product(&conv).then(|| pixels::data_gradient(&conv, operands)?.tried());
    let mut ways = vec![Way::fresh("convolution_backward", move || data_of(&conv, &script, &dy, &x, &w)).tried()?];
    ways.extend(product.transpose()?);
    Ok(ways)
}

/// dw and dbias; the padded images are made in each call, as the convolution's are.
fn weights_of(
    problem: &Conv2dBackwardWeights,
    script: &Script,
    dy: &Tensor,
    x: &Tensor,
    w: &Tensor,
) -> Result<Vec<Tensor>, TchError> {
    let x = Geometry::new(&problem.conv).padded(x)?;
    let mut results = script.call(&arguments(&[dy, &x, w]))?;
    if !problem.bias {
        results.push(dy.f_new_empty([0], (dy.kind(), dy.device()))?);
    }
    Ok(results)
}

fn weights_script(problem: &Conv2dBackwardWeights) -> Result<Script, TchError> {
    gradients(&problem.conv, Wanted { data: false, weights: true, bias: problem.bias })
}

/// Weights, of which a gradient asks the shape alone.
fn like_weights(conv: &Conv2d, of: &Tensor) -> Result<Tensor, TchError> {
    of.f_new_empty(conv.weights().map(|extent| extent as i64), (of.kind(), of.device()))
}

fn weights(problem: &dyn Problem, inputs: &[Tensor]) -> Result<Vec<Tensor>, TchError> {
    let problem: &Conv2dBackwardWeights = downcast(problem);
    let w = like_weights(&problem.conv, &inputs[0])?;
    weights_of(problem, &weights_script(problem)?, &inputs[0], &inputs[1], &w)
}

fn weights_ways(problem: &dyn Problem, operands: &Operands<'_>) -> Result<Vec<Way>, TchError> {
    let problem = downcast::<Conv2dBackwardWeights>(problem).clone();
    let [dy, x] = [0, 1].map(|i| operands.inputs[i].shallow_clone());
    let (script, w) = (weights_script(&problem)?, like_weights(&problem.conv, &dy)?);
    let one = problem.conv.x.n == 1 || problem.conv.x.layout == ImageLayout::Nhwc;
    let product = (one && pixels::is_product(&problem.conv))
        .then(|| pixels::weights_gradient(&problem.conv, problem.bias, operands)?.tried());
    let mut ways =
        vec![Way::fresh("convolution_backward", move || weights_of(&problem, &script, &dy, &x, &w)).tried()?];
    ways.extend(product.transpose()?);
    Ok(ways)
}

/// What libtorch's padding leaves out; where it differs before and behind, all is computed and cut.
fn transposed(problem: &dyn Problem, inputs: &[Tensor]) -> Result<Vec<Tensor>, TchError> {
    let ConvTranspose2d { conv, added, bias: biased } = downcast(problem);
    let [x, w, bias] = inputs else { panic!("three inputs") };
    let geometry = Geometry::new(conv);
    let added = added.map(|x| x as i64);
    let bias = biased.then_some(bias);
    let Geometry { stride, padding, dilation, groups, .. } = geometry;
    let y = x.f_conv_transpose2d(w, bias, stride, padding, added, groups, dilation)?;
    Ok(vec![cropped(&geometry, &y)?])
}

fn transposed_ways(problem: &dyn Problem, operands: &Operands<'_>) -> Result<Vec<Way>, TchError> {
    let problem = downcast::<ConvTranspose2d>(problem).clone();
    let inputs = [0, 1, 2].map(|i| operands.inputs[i].shallow_clone());
    let (slow, gradient) = (slow_transposed(&problem, operands)?, transposed_by_gradient(&problem, operands)?);
    let mut ways = vec![Way::fresh("conv_transpose2d", move || transposed(&problem, &inputs)).tried()?];
    ways.extend(slow.map(Way::tried).transpose()?);
    ways.push(gradient.tried()?);
    Ok(ways)
}

/// A product and the scattering of its columns, which writes where it is told. It has no groups.
fn slow_transposed(problem: &ConvTranspose2d, operands: &Operands<'_>) -> Result<Option<Way>, TchError> {
    let Geometry { stride, padding, dilation, groups, pad } = Geometry::new(&problem.conv);
    let outputs = operands.outputs()?;
    if groups != 1 || pad.is_some() || problem.conv.x.is_empty() || problem.conv.y.is_empty() {
        return Ok(None);
    }
    let ([x, w, bias], y) = ([0, 1, 2].map(|i| operands.inputs[i].shallow_clone()), outputs[0].shallow_clone());
    let (biased, added) = (problem.bias, problem.added.map(|x| x as i64));
    let taps = [problem.conv.rows.taps as i64, problem.conv.cols.taps as i64];
    Ok(Some(Way::out("slow_conv_transpose2d_out", outputs, move || {
        let bias = biased.then_some(&bias);
        x.f_slow_conv_transpose2d_out(&y, &w, taps, bias, stride, padding, added, dilation).map(drop)
    })))
}

/// As the gradient of the convolution whose transpose it is, with the bias behind it.
fn transposed_by_gradient(problem: &ConvTranspose2d, operands: &Operands<'_>) -> Result<Way, TchError> {
    let (conv, biased) = (problem.conv.clone(), problem.bias);
    let [x, w, bias] = [0, 1, 2].map(|i| operands.inputs[i].shallow_clone());
    let (y, bias) = (Geometry::new(&conv).padded(&like(&conv.x, &x)?)?, bias.f_reshape([1, -1, 1, 1])?);
    let script = gradients(&conv, DATA)?;
    Ok(Way::fresh("convolution_backward", move || {
        let mut y = data_of(&conv, &script, &x, &y, &w)?;
        if biased {
            let _ = y[0].f_add_(&bias)?;
        }
        Ok(y)
    }))
}

/// dx, dw and dbias, of dy with zeros where the forward pass cut.
fn transposed_gradients_of(
    problem: &ConvTranspose2d,
    script: &Script,
    [dy, x, w]: [&Tensor; 3],
) -> Result<Vec<Tensor>, TchError> {
    let padded = Geometry::new(&problem.conv).padded(dy)?;
    let mut results = script.call(&arguments(&[&padded, x, w]))?;
    if !problem.bias {
        results.push(dy.f_new_empty([0], (dy.kind(), dy.device()))?);
    }
    Ok(results)
}

fn transposed_script(problem: &ConvTranspose2d) -> Result<Script, TchError> {
    let wanted = Wanted { data: true, weights: true, bias: problem.bias };
    gradients_of(&problem.conv, (problem.conv.x.c, "True", problem.added), wanted)
}

fn transposed_gradients(problem: &dyn Problem, inputs: &[Tensor]) -> Result<Vec<Tensor>, TchError> {
    let problem = &downcast::<ConvTranspose2dBackward>(problem).forward;
    transposed_gradients_of(problem, &transposed_script(problem)?, [0, 1, 2].map(|i| &inputs[i]))
}

fn transposed_gradients_ways(problem: &dyn Problem, operands: &Operands<'_>) -> Result<Vec<Way>, TchError> {
    let problem = downcast::<ConvTranspose2dBackward>(problem).forward.clone();
    let inputs = [0, 1, 2].map(|i| operands.inputs[i].shallow_clone());
    let script = transposed_script(&problem)?;
    let call = move || transposed_gradients_of(&problem, &script, inputs.each_ref());
    Ok(vec![Way::fresh("convolution_backward", call).tried()?])
}

//! What validation must say, in arithmetic that can't overflow: integers of 128 bits that saturate.
//!
//! Written from the operators' documents, not from their code. The rule for all of them: every size is at least 0, and every
//! operand's extents, line lengths and strides, and with them its span, are sizes of a buffer of 8-byte elements in the address
//! space. Where that fails for the other sizes of a buffer that is empty, validation may answer either way.

mod activation;
mod attention;
mod batchnorm_relu;
mod clip_norm;
mod conv2d;
mod dropout;
mod embedding;
mod gemm;
mod gradient;
mod layer_norm;
mod matmul_binary;
mod matmul_int8;
mod matmul_nbits;
mod mixed_precision;
mod pair_loss;
mod pool;
mod quantize;
mod recurrent;
mod reduce;
mod rotary;

use etalon_reference::{Operator, Point, Types};

/// Elements that a buffer has at most.
pub const LIMIT: i128 = isize::MAX as i128 / 8;

/// The model of this operator, if it has one of its own. Gradients need none, unless they differ from what their
/// declaration says: in choices that make no forward problem, or in operands that are computed.
fn own(operator: &str) -> Option<fn(&Point) -> Model> {
    Some(match operator {
        "layer_norm" => layer_norm::layer_norm,
        "cross_entropy" => layer_norm::cross_entropy,
        "softmax" => activation::softmax,
        "attention" => attention::attention,
        "activation" => activation::activation,
        "activation_backward" => activation::activation_backward,
        "gemm" => gemm::gemm,
        "gemm_backward" => gemm::gemm_backward,
        "batchnorm_relu" => batchnorm_relu::batchnorm_relu,
        "conv2d" => conv2d::conv2d,
        "conv2d_int8" => conv2d::conv2d_int8,
        "conv_transpose2d" => conv2d::conv_transpose2d,
        "dropout" => dropout::dropout,
        "matmul_int8" => matmul_int8::matmul_int8,
        "lstm" => recurrent::lstm,
        "gru" => recurrent::gru,
        "rnn" => recurrent::rnn,
        "rotary" => rotary::rotary,
        "recurrent_layers" => recurrent::layers,
        "clip_norm" => clip_norm::clip_norm,
        "multi_margin" => pair_loss::multi_margin,
        "reduce" => reduce::reduce,
        "embedding" => embedding::embedding,
        "distillation" => pair_loss::distillation,
        "triplet" => pair_loss::triplet,
        "pair_loss" => pair_loss::pair_loss,
        "max_pool2d" => pool::max_pool2d,
        "avg_pool2d" => pool::avg_pool2d,
        "adaptive_max_pool2d" => pool::adaptive_max_pool2d,
        "adaptive_avg_pool2d" => pool::adaptive_avg_pool2d,
        "fractional_max_pool2d" => pool::fractional_max_pool2d,
        "l2_pool2d" => pool::l2_pool2d,
        "unpool2d" => pool::unpool2d,
        "matmul_binary" => matmul_binary::matmul_binary,
        "matmul_nbits" => matmul_nbits::matmul_nbits,
        "mixed_precision_sgd" => mixed_precision::sgd,
        "quantization_range" => quantize::quantization_range,
        "quantize" => quantize::quantize,
        "dequantize" => quantize::dequantize,
        _ => return None,
    })
}

/// What a gradient's declaration does not say: an operand that is there in some problems, or that has another name.
fn amend(operator: &str, model: &mut Model, point: &Point) {
    match operator {
        "batchnorm_relu_backward" => batchnorm_relu::backward(model, point),
        "reduce_backward" => reduce::backward(model, point),
        "pair_loss_backward" => pair_loss::backward(model, point),
        "lstm_backward" | "rnn_backward" => recurrent::one_bias_gradient(model),
        _ => {}
    }
}

/// The operator's model at a point: its own, or the one that follows from its forward operator's.
pub fn at(operator: &Operator, point: &Point) -> Option<Model> {
    if let Some(model) = own(operator.name) {
        return Some(model(point));
    }
    let of = operator.gradient?;
    let mut model = gradient::of(operator, of, at(of.forward, &(of.point)(point))?, point);
    amend(operator.name, &mut model, point);
    Some(model)
}

/// What a point should become.
#[derive(Clone, Debug, Default)]
pub struct Model {
    /// Elements that each input spans.
    pub inputs: Vec<(String, i128)>,
    /// Elements that each output spans.
    pub outputs: Vec<(String, i128)>,
    /// Operands that a problem of these types does not have, whatever the point says.
    pub absent: Option<fn(Types) -> &'static [&'static str]>,
    reason: Option<String>,
    doubtful: bool,
}

impl Model {
    /// Why the point makes no problem; `None` if it makes one.
    pub fn reason(&self) -> Option<&str> {
        self.reason.as_deref()
    }

    /// The point makes no problem unless `holds`. The first reason stays.
    pub fn require(&mut self, holds: bool, reason: impl FnOnce() -> String) {
        if !holds && self.reason.is_none() {
            self.reason = Some(reason());
        }
    }

    /// The input is not there.
    pub fn without(&mut self, input: &str) {
        self.inputs.iter_mut().filter(|(name, _)| name == input).for_each(|(_, len)| *len = 0);
    }

    /// The output has another name.
    pub fn rename(&mut self, output: &str, name: &str) {
        self.outputs.iter_mut().filter(|(old, _)| old == output).for_each(|(old, _)| *old = name.into());
    }

    /// Whether the sizes beside a 0 would not fit.
    pub fn doubtful(&self) -> bool {
        self.doubtful
    }

    /// The product fits. Beside a factor 0, the others may or may not.
    pub fn fits(&mut self, what: &str, factors: &[i128]) {
        let product = factors.iter().fold(1i128, |p, &f| p.saturating_mul(f.max(1)));
        if factors.contains(&0) {
            self.doubtful |= product > LIMIT;
        } else {
            self.require(product <= LIMIT, || format!("{what} = {product} is too large"));
        }
    }

    /// The size on an axis, which is not negative.
    pub fn size(&mut self, point: &Point, axis: &'static str) -> i128 {
        let value = i128::from(point.get(axis));
        self.require(value >= 0, || format!("{axis} = {value} is negative"));
        value
    }

    /// Elements from the first to one past the last, of an array with these extents and strides.
    pub fn span(&mut self, what: &str, dimensions: &[(i128, i128)]) -> i128 {
        if dimensions.iter().any(|(extent, _)| *extent <= 0) {
            return 0;
        }
        let steps = dimensions.iter().map(|(extent, stride)| (extent - 1).saturating_mul(*stride));
        let span = steps.fold(1, i128::saturating_add);
        self.require(span <= LIMIT, || format!("{what} spans {span} elements"));
        span
    }
}

/// The position chosen on an axis of names, if there is such a name.
pub fn choice(model: &mut Model, point: &Point, axis: &str) -> &'static str {
    let name = point.choice(axis);
    model.require(name.is_some(), || format!("{axis} has no choice {}", point.get(axis)));
    name.unwrap_or("")
}

/// Operands by name, with the elements that each spans.
fn spans(operands: &[(&str, i128)]) -> Vec<(String, i128)> {
    operands.iter().map(|&(name, len)| (name.into(), len)).collect()
}

#[cfg(test)]
mod tests {
    use etalon_reference::gradient::Gradient;
    use etalon_reference::ops::conv2d_backward_weights::CONV2D_BACKWARD_WEIGHTS;
    use etalon_reference::{Takes, ops};

    use super::*;
    use crate::problem;

    /// The gradient of the convolution's weights, with what another declaration says.
    fn declared(change: impl FnOnce(&Gradient) -> Gradient) -> Result<(), String> {
        let right = CONV2D_BACKWARD_WEIGHTS.gradient.expect("a gradient");
        let operator = Operator { gradient: Some(Box::leak(Box::new(change(right)))), ..CONV2D_BACKWARD_WEIGHTS };
        let point = Point::parse(operator.axes, "n=2,c=3,h=5,w=4,k=6,r=2,bias=channel").expect("a point");
        problem::check(&operator, at(&operator, &point).expect("a model"), &point)
    }

    #[test]
    fn a_wrong_declaration_is_found() {
        assert_eq!(declared(|right| Gradient { ..*right }), Ok(()));
        let takes = &[Takes::Upstream(0), Takes::Input(1)];
        assert!(declared(|right| Gradient { takes, ..*right }).is_err());
        let gives = &[(0, 0), (1, 3)];
        assert!(declared(|right| Gradient { gives, ..*right }).is_err());
        let point = |point: &Point| (CONV2D_BACKWARD_WEIGHTS.gradient.expect("a gradient").point)(point).with("n", 1);
        assert!(declared(|right| Gradient { point, ..*right }).is_err());
    }

    #[test]
    fn every_operator_has_a_model_and_most_gradients_need_none() {
        let gradients = || ops::ALL.iter().filter(|operator| operator.gradient.is_some());
        assert!(ops::ALL.iter().all(|operator| at(operator, &Point::default_of(operator.axes)).is_some()));
        let own: Vec<&str> = gradients().map(|operator| operator.name).filter(|name| own(name).is_some()).collect();
        assert_eq!(own, ["gemm_backward", "activation_backward"]);
    }
}

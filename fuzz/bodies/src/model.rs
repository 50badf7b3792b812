//! What validation must say, in arithmetic that can't overflow: integers of 128 bits that saturate.
//!
//! Written from the operators' documents, not from their code. The rule for all of them: every size is at least 0, and every
//! operand's extents, line lengths and strides, and with them its span, are sizes of a buffer of 8-byte elements in the address
//! space. Where that fails for the other sizes of a buffer that is empty, validation may answer either way.

mod activation;
mod batchnorm_relu;
mod conv2d;
mod dropout;
mod gemm;
mod lstm;
mod matmul_int8;
mod pool;

use etalon_reference::{Point, Types};

/// Elements that a buffer has at most.
pub const LIMIT: i128 = isize::MAX as i128 / 8;

/// The model of this operator.
pub fn find(operator: &str) -> Option<fn(&Point) -> Model> {
    Some(match operator {
        "activation" => activation::activation,
        "activation_backward" => activation::activation_backward,
        "gemm" => gemm::gemm,
        "gemm_backward" => gemm::gemm_backward,
        "batchnorm_relu" => batchnorm_relu::batchnorm_relu,
        "batchnorm_relu_backward" => batchnorm_relu::batchnorm_relu_backward,
        "conv2d" => conv2d::conv2d,
        "conv2d_backward_data" => conv2d::conv2d_backward_data,
        "conv2d_backward_weights" => conv2d::conv2d_backward_weights,
        "conv_transpose2d" => conv2d::conv_transpose2d,
        "conv_transpose2d_backward" => conv2d::conv_transpose2d_backward,
        "dropout" => dropout::dropout,
        "dropout_backward" => dropout::dropout_backward,
        "matmul_int8" => matmul_int8::matmul_int8,
        "lstm" => lstm::lstm,
        "lstm_backward" => lstm::lstm_backward,
        "max_pool2d" => pool::max_pool2d,
        "max_pool2d_backward" => pool::max_pool2d_backward,
        _ => return None,
    })
}

/// What a point should become.
#[derive(Clone, Debug, Default)]
pub struct Model {
    /// Elements that each input spans.
    pub inputs: Vec<(&'static str, i128)>,
    /// Elements that each output spans.
    pub outputs: Vec<(&'static str, i128)>,
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

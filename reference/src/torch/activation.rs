//! `activation` and `activation_backward`: libtorch's names for the functions.

use tch::{IValue, Kind, TchError, Tensor};

use super::script::{Script, arguments};
use super::{Operands, Twin, Way, message};
use crate::Problem;
use crate::operator::downcast;
use crate::ops::activation::Activation;
use crate::ops::activation_backward::{ActivationBackward, CHAIN};

pub(super) const ACTIVATION: Twin = Twin { op: "activation", forward, slack: |_| 1.0, ways };

pub(super) const ACTIVATION_BACKWARD: Twin =
    Twin { op: "activation_backward", forward: backward, slack: backward_slack, ways: backward_ways };

/// A function of libtorch and its arguments. `ALPHA` stands for a number.
struct Call {
    name: &'static str,
    arguments: &'static str,
    /// Where it takes a buffer for its result: the argument's name, and the name of that way.
    into: Option<(&'static str, &'static str)>,
}

/// `name(arguments)`, with the argument that is the result's buffer, if there is one.
macro_rules! call {
    ($name:literal($arguments:literal)) => {
        Call { name: $name, arguments: $arguments, into: None }
    };
    ($name:literal($arguments:literal, $out:literal)) => {
        Call { name: $name, arguments: $arguments, into: Some(($out, concat!($name, "_", $out))) }
    };
}

/// A function: its value and its gradient by libtorch.
struct Row {
    name: &'static str,
    value: Call,
    gradient: Call,
    /// How many times wider than the budget libtorch's gradient is off, where its formula cancels and ours does not.
    slack: Option<f64>,
}

impl Row {
    const fn new(name: &'static str, value: Call, gradient: Call) -> Row {
        Row { name, value, gradient, slack: None }
    }

    const fn slack(self, slack: f64) -> Row {
        Row { slack: Some(slack), ..self }
    }
}

/// One row for each function.
static ROWS: &[Row] = &[
    Row::new("sigmoid", call!("sigmoid"("x", "out")), call!("sigmoid_backward"("dy, y", "grad_input"))),
    Row::new("tanh", call!("tanh"("x", "out")), call!("tanh_backward"("dy, y", "grad_input"))),
    Row::new("relu", call!("relu"("x", "out")), call!("threshold_backward"("dy, x, 0", "grad_input"))),
    Row::new(
        "leaky",
        call!("leaky_relu"("x, ALPHA", "out")),
        call!("leaky_relu_backward"("dy, x, ALPHA, False", "grad_input")),
    ),
    Row::new(
        "prelu",
        call!("prelu"("x, alpha")),
        call!("_prelu_kernel_backward"("dy, x, torch.reshape(alpha, [1, -1, 1])")),
    ),
    Row::new(
        "elu",
        call!("elu"("x, ALPHA, 1, 1", "out")),
        call!("elu_backward"("dy, ALPHA, 1, 1, False, x", "grad_input")),
    ),
    Row::new(
        "gelu_erf",
        call!("gelu"("x, approximate=\"none\"", "out")),
        call!("gelu_backward"("dy, x, approximate=\"none\"", "grad_input")),
    ),
    Row::new(
        "gelu_tanh",
        call!("gelu"("x, approximate=\"tanh\"", "out")),
        call!("gelu_backward"("dy, x, approximate=\"tanh\"", "grad_input")),
    )
    // ½x·(1 − t²)·g′ with g′ = 0.8·(1 + 0.134x²). 1 − t² is off by 3u up to |x| = 5.5, where t is 1: 33u|dy|, beside
    // the 12u|dy| of the budget.
    .slack(4.0),
    // σ·(1 + x·(1 − σ)). Near σ = 1 the difference is off by one unit of σ and one rounding, 2u, up to |x| = 17.4,
    // where σ is 1: 35u|dy|. The budget gives 13u|dy| there.
    Row::new("silu", call!("silu"("x", "out")), call!("silu_backward"("dy, x", "grad_input"))).slack(3.0),
    Row::new(
        "softplus",
        call!("softplus"("x, 1, 20", "out")),
        call!("softplus_backward"("dy, x, 1, 20", "grad_input")),
    ),
    Row::new("hard_swish", call!("hardswish"("x", "out")), call!("hardswish_backward"("dy, x", "out"))),
    Row::new(
        "guided_relu",
        call!("relu"("x", "out")),
        call!("threshold_backward"("torch.relu(dy), x, 0", "grad_input")),
    ),
];

fn row(function: &str) -> Result<&'static Row, TchError> {
    let found = ROWS.iter().find(|row| row.name == function);
    found.ok_or_else(|| TchError::Torch(format!("no libtorch name for `{function}`")))
}

impl Call {
    /// `torch.name(arguments)`, into the buffer `out` if wanted.
    fn text(&self, alpha: f64, into: bool) -> String {
        let arguments = self.arguments.replace("ALPHA", &format!("{alpha:?}"));
        let out = self.into.filter(|_| into).map_or(String::new(), |(name, _)| format!(", {name}=out"));
        format!("torch.{}({arguments}{out})", self.name)
    }

    /// As a script of the problem's inputs; into the buffer `out`, if wanted and possible.
    fn script(&self, parameters: &str, alpha: f64, into: bool) -> Result<Script, TchError> {
        let text = self.text(alpha, into);
        if self.name == "_prelu_kernel_backward" {
            let body = [&format!("dx, terms = {text}")[..], "return (dx, torch.sum(terms, [0, 2]))"];
            return Script::new(parameters, "Tuple[Tensor, Tensor]", &body);
        }
        Script::new(parameters, "Tensor", &[&format!("return {text}")[..]])
    }
}

const FORWARD: &str = "x: Tensor, alpha: Tensor, out: Tensor";
const BACKWARD: &str = "dy: Tensor, x: Tensor, alpha: Tensor, y: Tensor, out: Tensor";

/// The inputs and a buffer that may be looked at.
fn with_buffer(inputs: &[Tensor], out: &Tensor) -> Vec<IValue> {
    arguments(&inputs.iter().chain([out]).collect::<Vec<_>>())
}

fn forward(problem: &dyn Problem, inputs: &[Tensor]) -> Result<Vec<Tensor>, TchError> {
    let problem: &Activation = downcast(problem);
    let script = row(problem.function.name)?.value.script(FORWARD, problem.alpha, false)?;
    script.call(&with_buffer(inputs, &inputs[0]))
}

fn ways(problem: &dyn Problem, operands: &Operands<'_>) -> Result<Vec<Way>, TchError> {
    let problem: &Activation = downcast(problem);
    of_call(&row(problem.function.name)?.value, FORWARD, problem.alpha, operands)
}

/// With a buffer that is ready, where libtorch takes one, and with a fresh result.
fn of_call(call: &Call, parameters: &str, alpha: f64, operands: &Operands<'_>) -> Result<Vec<Way>, TchError> {
    let mut ways = Vec::new();
    if let Some((_, name)) = call.into {
        let (script, outputs) = (call.script(parameters, alpha, true)?, operands.outputs()?);
        let given = with_buffer(&operands.inputs, &outputs[0]);
        ways.push(Way::out(name, outputs, move || script.call(&given).map(drop)).tried()?);
    }
    let (script, given) = (call.script(parameters, alpha, false)?, with_buffer(&operands.inputs, &operands.inputs[0]));
    let absent = operands.outputs()?.split_off(1);
    let fresh = move || {
        let mut results = script.call(&given)?;
        results.extend(absent.iter().skip(results.len() - 1).map(Tensor::shallow_clone));
        Ok(results)
    };
    ways.push(Way::fresh(call.name, fresh).tried()?);
    Ok(ways)
}

/// What the function's row says; else that of dα, in one chain.
fn backward_slack(problem: &dyn Problem) -> f64 {
    let ActivationBackward { function, extents, .. } = downcast(problem);
    let own = row(function.name).ok().and_then(|row| row.slack);
    own.unwrap_or((extents.n * extents.s) as f64 / CHAIN as f64)
}

fn backward(problem: &dyn Problem, inputs: &[Tensor]) -> Result<Vec<Tensor>, TchError> {
    let problem: &ActivationBackward = downcast(problem);
    let script = row(problem.function.name)?.gradient.script(BACKWARD, problem.alpha, false)?;
    let mut results = script.call(&with_buffer(inputs, &inputs[0]))?;
    if results.len() == 1 {
        results.push(Tensor::f_empty([0], (inputs[0].kind(), inputs[0].device()))?);
    }
    Ok(results)
}

fn backward_ways(problem: &dyn Problem, operands: &Operands<'_>) -> Result<Vec<Way>, TchError> {
    let problem: &ActivationBackward = downcast(problem);
    of_call(&row(problem.function.name)?.gradient, BACKWARD, problem.alpha, operands)
}

/// A function of one argument by libtorch, for all arguments of f32.
pub struct Elementwise(Script);

impl Elementwise {
    /// `torch.name(x)`: a function of mathematics.
    ///
    /// # Errors
    /// If libtorch has no such function.
    pub fn plain(name: &str) -> Result<Elementwise, String> {
        let script = Script::new("x: Tensor, one: Tensor", "Tensor", &[&format!("return torch.{name}(x)")[..]]);
        script.map(Elementwise).map_err(message)
    }

    /// An activation function.
    ///
    /// # Errors
    /// If libtorch has no such function of one argument.
    pub fn value(function: &str, alpha: f64) -> Result<Elementwise, String> {
        let script = || row(function)?.value.script("x: Tensor, one: Tensor", alpha, false);
        script().map(Elementwise).map_err(message)
    }

    /// Its derivative, of x or y as the function's row says.
    ///
    /// # Errors
    /// If libtorch has no such function of one argument.
    pub fn slope(function: &str, alpha: f64) -> Result<Elementwise, String> {
        let script = || {
            let text = row(function)?.gradient.text(alpha, false);
            let last = format!("return {text}");
            Script::new("v: Tensor, one: Tensor", "Tensor", &["x = v", "y = v", "dy = one", &last])
        };
        script().map(Elementwise).map_err(message)
    }

    /// Its values.
    ///
    /// # Errors
    /// What libtorch says.
    pub fn of(&self, x: &[f32], values: &mut [f32]) -> Result<(), String> {
        let mut of = || {
            let x = Tensor::f_from_slice(x)?;
            let one = Tensor::f_ones([x.numel() as i64], (Kind::Float, x.device()))?;
            let results = tch::no_grad(|| self.0.call(&arguments(&[&x, &one])))?;
            results[0].f_copy_data(values, values.len())
        };
        of().map_err(message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::activation_functions::FUNCTIONS;

    #[test]
    fn every_function_has_a_name() {
        for function in FUNCTIONS {
            assert!(row(function.name).is_ok(), "{function:?}");
        }
        assert_eq!(ROWS.len(), FUNCTIONS.len());
    }

    #[test]
    fn functions_of_one_argument_are_evaluated() {
        let mut values = [0.0; 2];
        for (function, at_zero) in [(Elementwise::plain("exp"), 1.0), (Elementwise::slope("silu", 0.0), 0.5)] {
            function.expect("a function").of(&[0.0, f32::NAN], &mut values).expect("values");
            assert!(values[0] == at_zero && values[1].is_nan());
        }
        assert!(Elementwise::value("prelu", 0.0).is_err() && Elementwise::plain("no_such_function").is_err());
    }
}

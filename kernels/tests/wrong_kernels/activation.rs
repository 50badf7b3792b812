//! Wrong activations and wrong gradients of them.

use etalon_kernels::call::Call;
use etalon_reference::operator::downcast;
use etalon_reference::ops::activation::Activation;
use etalon_reference::ops::activation_backward::ActivationBackward;
use etalon_reference::ops::activation_functions::find;
use ndarray::{ArrayD, Zip};

use super::Wrong;
use super::spoil::{self, Result};

const FORWARD: &str = "activation";
const BACKWARD: &str = "activation_backward";

pub static WRONG: &[Wrong] = &[
    Wrong::new(FORWARD, "gelu-by-tanh", "the approximation with tanh stands in for GELU", |call| {
        of_x(call, "gelu_erf", |y, x| *y = find("gelu_tanh").and_then(|f| f.value).expect("a function")(x, 0.0))
    }),
    Wrong::new(FORWARD, "tanh-saturates-early", "tanh is 1 from 8 on, not from 9.02", |call| {
        of_x(call, "tanh", |y, x| *y = if x.abs() > 8.0 { x.signum() } else { *y })
    }),
    Wrong::new(FORWARD, "silu-without-tail", "SiLU is 0 below −16", |call| {
        of_x(call, "silu", |y, x| *y = if x < -16.0 { 0.0 } else { *y })
    }),
    Wrong::new(FORWARD, "prelu-of-one-alpha", "PReLU takes the first channel's α for all", |call| {
        let alpha = spoil::inputs(call)[1].first().copied();
        of_x(call, "prelu", |y, x| *y = if x < 0.0 { x * alpha.expect("an α") } else { *y })
    }),
    Wrong::new(BACKWARD, "dalpha-of-all", "dα sums the elements above 0, too", |call| {
        after(call, "prelu", |inputs, out| {
            let terms = &inputs[0] * &inputs[1];
            out[1].indexed_iter_mut().for_each(|(c, sum)| *sum = terms.index_axis(ndarray::Axis(1), c[0]).sum());
        })
    }),
    Wrong::new(BACKWARD, "passes-at-zero", "ReLU passes the gradient where x = 0", |call| {
        dx(call, "relu", |dx, dy, x| *dx = if x == 0.0 { dy } else { *dx })
    }),
    Wrong::new(BACKWARD, "guided-as-relu", "guided backpropagation passes what is below 0", |call| {
        dx(call, "guided_relu", |dx, dy, x| *dx = if x > 0.0 { dy } else { *dx })
    }),
    Wrong::new(BACKWARD, "gelu-without-density", "the derivative of GELU lacks the term x·φ(x)", |call| {
        dx(call, "gelu_erf", |dx, dy, x| {
            *dx -= dy * x * (-0.5 * x * x).exp() / (2.0 * std::f64::consts::PI).sqrt();
        })
    }),
];

/// y of one function, changed by x.
fn of_x(call: &mut Call<'_>, function: &str, change: impl Fn(&mut f64, f64)) -> Result {
    let asked = downcast::<Activation>(call.problem()).function.name == function;
    spoil::after(FORWARD, call, |call, _, out| {
        if asked {
            Zip::from(&mut out[0]).and(&spoil::inputs(call)[0]).for_each(|y, &x| change(y, x));
        }
    })
}

/// The outputs for one function, changed by the inputs.
fn after(call: &mut Call<'_>, function: &str, change: impl Fn(&[ArrayD<f64>], &mut [ArrayD<f64>])) -> Result {
    let asked = downcast::<ActivationBackward>(call.problem()).function.name == function;
    spoil::after(BACKWARD, call, |call, _, out| {
        if asked {
            change(&spoil::inputs(call), out);
        }
    })
}

/// dx of one function, changed by dy and x.
fn dx(call: &mut Call<'_>, function: &str, change: impl Fn(&mut f64, f64, f64)) -> Result {
    after(call, function, |inputs, out| {
        Zip::from(&mut out[0]).and(&inputs[0]).and(&inputs[1]).for_each(|dx, &dy, &x| change(dx, dy, x));
    })
}

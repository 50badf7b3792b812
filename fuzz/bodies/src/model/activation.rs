//! Activations and their gradients, and softmax: n×c×s without gaps; for PReLU a value for each channel.

use etalon_reference::Point;

use super::{Model, choice, spans};

/// The function, the elements of x, and those of α.
fn sizes(model: &mut Model, point: &Point) -> (&'static str, i128, i128) {
    let [f, _] = ["f", "alpha"].map(|axis| choice(model, point, axis));
    let [n, c, s] = ["n", "c", "s"].map(|axis| model.size(point, axis));
    model.fits("n·c·s", &[n, c, s]);
    (f, n.saturating_mul(c).saturating_mul(s), if f == "prelu" { c } else { 0 })
}

/// `activation`.
pub fn activation(point: &Point) -> Model {
    let mut model = Model::default();
    let (_, x, alpha) = sizes(&mut model, point);
    model.inputs = spans(&[("x", x), ("alpha", alpha)]);
    model.outputs = spans(&[("y", x)]);
    model
}

/// `activation_backward`: sigmoid and tanh take y, the others x.
pub fn activation_backward(point: &Point) -> Model {
    let mut model = Model::default();
    let (f, dx, alpha) = sizes(&mut model, point);
    let (x, y) = if ["sigmoid", "tanh"].contains(&f) { (0, dx) } else { (dx, 0) };
    model.inputs = spans(&[("dy", dx), ("x", x), ("alpha", alpha), ("y", y)]);
    model.outputs = spans(&[("dx", dx), ("dalpha", alpha)]);
    model
}

/// `softmax`.
pub fn softmax(point: &Point) -> Model {
    let mut model = Model::default();
    let [n, c, s] = ["n", "c", "s"].map(|axis| model.size(point, axis));
    for axis in ["f", "temperature"] {
        choice(&mut model, point, axis);
    }
    model.fits("n·c·s", &[n, c, s]);
    let x = n.saturating_mul(c).saturating_mul(s);
    model.inputs = spans(&[("x", x)]);
    model.outputs = spans(&[("y", x)]);
    model
}

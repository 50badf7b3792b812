//! Reductions along one dimension: n×c×s without gaps, of which n×s are left.

use etalon_reference::Point;

use super::{Model, choice, spans};

/// `reduce`.
pub fn reduce(point: &Point) -> Model {
    let mut model = Model::default();
    let [n, c, s] = ["n", "c", "s"].map(|axis| model.size(point, axis));
    let f = choice(&mut model, point, "f");
    let keep = choice(&mut model, point, "keep") == "yes";
    let of_one = ["max", "min", "argmax"].contains(&f);
    model.require(c > 0 || !of_one, || "c is 0".into());
    model.fits("n·c·s", &[n, c, s]);
    let y = n.saturating_mul(s);
    let places = f == "argmax" || keep && of_one;
    model.inputs = spans(&[("x", y.saturating_mul(c))]);
    model.outputs = spans(&[("y", if f == "argmax" { 0 } else { y }), ("index", if places { y } else { 0 })]);
    model
}

/// Of its gradient: norms take x, and the L2 norm y.
pub fn backward(model: &mut Model, point: &Point) {
    let f = choice(model, point, "f");
    if !["l1", "l2"].contains(&f) {
        model.without("x");
    }
    if f != "l2" {
        model.without("y");
    }
}

//! Clipping: one extent, and a norm.

use etalon_reference::Point;

use super::{Model, choice, spans};

/// `clip_norm`.
pub fn clip_norm(point: &Point) -> Model {
    let mut model = Model::default();
    let n = model.size(point, "n");
    choice(&mut model, point, "max");
    model.fits("n", &[n]);
    model.inputs = spans(&[("g", n)]);
    model.outputs = spans(&[("y", n), ("norm", 1)]);
    model
}

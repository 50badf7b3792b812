//! Dropout: one extent, and a probability in percent.

use etalon_reference::Point;

use super::{Model, spans};

/// `dropout`.
pub fn dropout(point: &Point) -> Model {
    let mut model = Model::default();
    let (n, percent) = (model.size(point, "n"), model.size(point, "p"));
    model.fits("n", &[n]);
    model.require(percent <= 99, || format!("p = {percent} is no probability below 1"));
    model.inputs = spans(&[("x", n), ("key", 4)]);
    model.outputs = spans(&[("y", n), ("mask", n)]);
    model
}

//! Dropout: one extent, and a probability in percent.

use etalon_reference::Point;

use super::Model;

fn extent(point: &Point) -> (Model, i128) {
    let mut model = Model::default();
    let (n, percent) = (model.size(point, "n"), model.size(point, "p"));
    model.fits("n", &[n]);
    model.require(percent <= 99, || format!("p = {percent} is no probability below 1"));
    (model, n.max(0))
}

/// `dropout`.
pub fn dropout(point: &Point) -> Model {
    let (mut model, n) = extent(point);
    model.inputs = vec![("x", n), ("key", 4)];
    model.outputs = vec![("y", n), ("mask", n)];
    model
}

/// `dropout_backward`.
pub fn dropout_backward(point: &Point) -> Model {
    let (mut model, n) = extent(point);
    model.inputs = vec![("dy", n), ("mask", n)];
    model.outputs = vec![("dx", n)];
    model
}

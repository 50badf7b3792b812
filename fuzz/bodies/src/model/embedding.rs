//! An embedding: a table, and rows of it.

use etalon_reference::Point;

use super::{Model, choice, spans};

/// `embedding`.
pub fn embedding(point: &Point) -> Model {
    let mut model = Model::default();
    let [n, v, d] = ["n", "v", "d"].map(|axis| model.size(point, axis));
    model.require(v > 0, || "v is 0".into());
    choice(&mut model, point, "padding");
    model.fits("n·d", &[n, d]);
    model.fits("v·d", &[v, d]);
    model.fits("n", &[n]);
    model.inputs = spans(&[("table", v.saturating_mul(d)), ("index", n)]);
    model.outputs = spans(&[("y", n.saturating_mul(d))]);
    model
}

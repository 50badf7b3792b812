//! Rotary embedding: heads of pairs.

use etalon_reference::Point;

use super::{Model, choice, spans};

/// `rotary`.
pub fn rotary(point: &Point) -> Model {
    let mut model = Model::default();
    choice(&mut model, point, "pairs");
    let [n, s, h, d] = ["n", "s", "h", "d"].map(|axis| model.size(point, axis));
    model.fits("n·s·h·2·d", &[n, s, h, 2, d]);
    let len = |factors: &[i128]| factors.iter().fold(1i128, |p, &f| p.saturating_mul(f.max(0)));
    let (x, angles) = (len(&[n, s, h, 2, d]), len(&[s, d]));
    model.inputs = spans(&[("x", x), ("cos", angles), ("sin", angles)]);
    model.outputs = spans(&[("y", x)]);
    model
}

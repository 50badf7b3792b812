//! The product of bits.

use etalon_reference::Point;

use super::{Model, spans};

/// `matmul_binary`: a row begins with a byte of its own.
pub fn matmul_binary(point: &Point) -> Model {
    let mut model = Model::default();
    let [m, n, k] = ["m", "n", "k"].map(|axis| model.size(point, axis));
    model.fits("m·n", &[m, n]);
    model.fits("m·k", &[m, k]);
    model.fits("n·k", &[n, k]);
    model.require(k <= i128::from(i32::MAX), || "sums must fit i32".into());
    let bytes = |rows: i128| rows.saturating_mul((k + 7) / 8);
    model.inputs = spans(&[("a", bytes(m)), ("w", bytes(n))]);
    model.outputs = spans(&[("out", m.saturating_mul(n))]);
    model
}

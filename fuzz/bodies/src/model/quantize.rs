//! Quantization: a matrix, and as many scales and zero points as the scheme says.

use etalon_reference::Point;

use super::{Model, choice, spans};

/// `quantize` from x to q, and `dequantize` from q to y.
fn of(point: &Point, from: &str, to: &str) -> Model {
    let mut model = Model::default();
    let [rows, cols, group] = ["rows", "cols", "group"].map(|axis| model.size(point, axis));
    let [per, zero] = ["per", "zero"].map(|axis| choice(&mut model, point, axis));
    model.fits("rows·cols", &[rows, cols]);
    model.fits("group", &[group]);
    model.require(per != "group" || group > 0, || "a group has no elements".into());
    let scales = match per {
        "tensor" => 1,
        "row" => rows,
        _ => rows.saturating_mul((cols + group - 1) / group.max(1)),
    };
    let all = rows.saturating_mul(cols);
    model.inputs = spans(&[(from, all), ("scale", scales), ("zero", if zero == "given" { scales } else { 0 })]);
    model.outputs = spans(&[(to, all)]);
    model
}

/// `quantize`.
pub fn quantize(point: &Point) -> Model {
    of(point, "x", "q")
}

/// `dequantize`.
pub fn dequantize(point: &Point) -> Model {
    of(point, "q", "y")
}

//! Quantization: a matrix, and as many scales and zero points as the scheme says.

use etalon_reference::Point;

use super::{Model, choice, spans};

/// Elements of the matrix, and groups that have a scale.
fn extents(model: &mut Model, point: &Point) -> (i128, i128) {
    let [rows, cols, group] = ["rows", "cols", "group"].map(|axis| model.size(point, axis));
    let per = choice(model, point, "per");
    model.fits("rows·cols", &[rows, cols]);
    model.fits("rows", &[rows]);
    model.fits("group", &[group]);
    model.require(per != "group" || group > 0, || "a group has no elements".into());
    let scales = match per {
        "tensor" => 1,
        "row" => rows,
        _ => rows.saturating_mul((cols + group - 1) / group.max(1)),
    };
    (rows.saturating_mul(cols), scales)
}

/// `quantize` from x to q, and `dequantize` from q to y.
fn of(point: &Point, from: &str, to: &str) -> Model {
    let mut model = Model::default();
    let zero = choice(&mut model, point, "zero");
    let (all, scales) = extents(&mut model, point);
    model.inputs = spans(&[(from, all), ("scale", scales), ("zero", if zero == "given" { scales } else { 0 })]);
    model.outputs = spans(&[(to, all)]);
    model
}

/// `quantization_range`.
pub fn quantization_range(point: &Point) -> Model {
    let mut model = Model::default();
    let [_, _] = ["scheme", "to"].map(|axis| choice(&mut model, point, axis));
    let cut = model.size(point, "cut");
    model.require(cut < 5000, || format!("cut = {cut} leaves nothing of the middle"));
    let (all, scales) = extents(&mut model, point);
    model.inputs = spans(&[("x", all)]);
    model.outputs = spans(&[("scale", scales), ("zero", scales)]);
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

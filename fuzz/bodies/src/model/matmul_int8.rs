//! The product of 8-bit integers: contiguous operands, vectors of one or n numbers.

use etalon_reference::{DType, Point};

use super::{Model, choice, spans};

/// `matmul_int8`. Only types that requantize have scales and a zero point of the output.
pub fn matmul_int8(point: &Point) -> Model {
    let mut model = Model::default();
    let [m, n, k] = ["m", "n", "k"].map(|axis| model.size(point, axis));
    let [_, za, zb, bias, scale, _] =
        ["b", "za", "zb", "bias", "scale", "act"].map(|axis| choice(&mut model, point, axis));
    model.fits("m·n", &[m, n]);
    model.fits("m·k", &[m, k]);
    model.fits("k·n", &[k, n]);
    let product = |x: i128, y: i128| x.saturating_mul(y);
    let columns = |per: &str| match per {
        "tensor" => n.min(1),
        "column" => n,
        _ => 0,
    };
    let one = |there: bool| i128::from(there);
    model.inputs = spans(&[
        ("a", product(m, k)),
        ("b", product(k, n)),
        ("za", one(za == "tensor")),
        ("zb", columns(zb)),
        ("bias", if bias == "row" { n } else { 0 }),
        ("scale", columns(scale)),
        ("zo", 1),
    ]);
    model.absent = Some(|types| if types.of("out") == DType::I32 { &["scale", "zo"] } else { &[] });
    model.outputs = spans(&[("out", product(m, n))]);
    model
}

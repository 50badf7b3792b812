//! The product with weights of 4 or 2 bits.

use etalon_reference::{DType, Point};

use super::{Model, choice, spans};

/// `matmul_nbits`: a row of weights begins with a byte of its own, and its last group may be shorter.
pub fn matmul_nbits(point: &Point) -> Model {
    let mut model = Model::default();
    let [m, n, k, group] = ["m", "n", "k", "group"].map(|axis| model.size(point, axis));
    let [bits, zero, bias] = ["bits", "zero", "bias"].map(|axis| choice(&mut model, point, axis));
    model.fits("m·n", &[m, n]);
    model.fits("m·k", &[m, k]);
    model.fits("n·k", &[n, k]);
    model.fits("group", &[group]);
    model.require(group > 0, || "a group has no elements".into());
    let product = |x: i128, y: i128| x.saturating_mul(y);
    let scales = product(n, (k + group - 1) / group.max(1));
    model.inputs = spans(&[
        ("a", product(m, k)),
        ("w", product(n, if bits == "4" { (k + 1) / 2 } else { (k + 3) / 4 })),
        ("scale", scales),
        ("zero", if zero == "given" { scales } else { 0 }),
        ("a_scale", m),
        ("bias", if bias == "row" { n } else { 0 }),
    ]);
    model.absent = Some(|types| if types.of("a") == DType::I8 { &[] } else { &["a_scale"] });
    model.outputs = spans(&[("out", product(m, n))]);
    model
}

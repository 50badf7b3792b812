//! GEMM and its gradient.

use etalon_reference::Point;

use super::{Model, choice, spans};

/// `gemm`: A, B and C with padded lines, transposed or with every second column; a batch, of which an operand may be shared.
pub fn gemm(point: &Point) -> Model {
    let mut model = Model::default();
    let [m, n, k, batch, lda, ldb, ldc] =
        ["m", "n", "k", "batch", "lda", "ldb", "ldc"].map(|axis| model.size(point, axis));
    let [a, b, share, ..] =
        ["a", "b", "share", "alpha", "beta", "bias", "act"].map(|axis| choice(&mut model, point, axis));
    model.fits("m·n·batch", &[m, n, batch]);
    model.fits("m·k·batch", &[m, k, batch]);
    model.fits("k·n·batch", &[k, n, batch]);
    let a = operand(&mut model, "a", a, [m, k], lda, batch, share == "a");
    let b = operand(&mut model, "b", b, [k, n], ldb, batch, share == "b");
    let c = operand(&mut model, "c", "n", [m, n], ldc, batch, false);
    let bias = if point.choice("bias") == Some("row") { n } else { 0 };
    model.inputs = spans(&[("a", a), ("b", b), ("c", c), ("bias", bias)]);
    model.outputs = spans(&[("out", c)]);
    model
}

/// The span of a batch of matrices.
fn operand(
    model: &mut Model,
    name: &str,
    how: &str,
    [rows, cols]: [i128; 2],
    padding: i128,
    batch: i128,
    shared: bool,
) -> i128 {
    // A transposed operand is stored as cols lines of rows elements; a spaced one takes two places an element.
    let (lines, length, space) = match how {
        "t" => (cols, rows, 1),
        "s" => (rows, cols, 2),
        _ => (rows, cols, 1),
    };
    let line = space * (length + padding).max(1);
    model.fits(&format!("matrix {name}"), &[line, lines]);
    let along = if how == "t" { (1, line) } else { (line, space) };
    let matrix = if shared { 0 } else { line.saturating_mul(lines) };
    model.span(name, &[(batch, matrix), (rows, along.0), (cols, along.1)])
}

/// `gemm_backward`: contiguous operands.
pub fn gemm_backward(point: &Point) -> Model {
    let mut model = Model::default();
    let [m, n, k, batch] = ["m", "n", "k", "batch"].map(|axis| model.size(point, axis));
    let [_, bias, act] = ["alpha", "bias", "act"].map(|axis| choice(&mut model, point, axis));
    model.fits("m·n·batch", &[m, n, batch]);
    model.fits("m·k·batch", &[m, k, batch]);
    model.fits("k·n·batch", &[k, n, batch]);
    let [mn, mk, kn] = [[m, n], [m, k], [k, n]].map(|[x, y]| batch.saturating_mul(x).saturating_mul(y));
    let z = if act == "none" { 0 } else { mn };
    model.inputs = spans(&[("dy", mn), ("a", mk), ("b", kn), ("z", z)]);
    model.outputs = spans(&[("dz", mn), ("da", mk), ("db", kn), ("dbias", if bias == "row" { n } else { 0 })]);
    model
}

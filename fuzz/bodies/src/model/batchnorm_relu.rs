//! Batch normalisation: images without gaps, vectors of one value a channel.

use etalon_reference::Point;

use super::{Model, choice, spans};

/// `batchnorm_relu`.
pub fn batchnorm_relu(point: &Point) -> Model {
    let mut model = Model::default();
    let [mode, residual, affine, ..] =
        ["mode", "residual", "affine", "layout", "relu", "eps", "momentum"].map(|axis| choice(&mut model, point, axis));
    let [n, c, h, w] = ["n", "c", "h", "w"].map(|axis| model.size(point, axis));
    model.fits("n·c·h·w", &[n, c, h, w]);
    let count = n.saturating_mul(h).saturating_mul(w);
    let x = count.saturating_mul(c);
    let training = mode == "train";
    model.require(!training || count >= 2, || format!("{count} values a channel have no unbiased variance"));
    let if_so = |present: bool, len: i128| if present { len } else { 0 };
    let (vector, statistics) = (if_so(affine == "yes", c), if_so(training, c));
    model.inputs = spans(&[
        ("x", x),
        ("gamma", vector),
        ("beta", vector),
        ("residual", if_so(residual == "add", x)),
        ("running_mean", c),
        ("running_var", c),
    ]);
    model.outputs = spans(&[
        ("y", x),
        ("running_mean", statistics),
        ("running_var", statistics),
        ("saved_mean", statistics),
        ("saved_rstd", statistics),
    ]);
    model
}

/// The gradient takes y where there is a ReLU.
pub fn backward(model: &mut Model, point: &Point) {
    if point.choice("relu") == Some("no") {
        model.without("y");
    }
}

//! Batch normalisation and its gradient: images without gaps, vectors of one value a channel.

use etalon_reference::Point;

use super::{Model, choice};

/// n, c, h, w; the elements of x, and the values of a channel.
fn images(model: &mut Model, point: &Point) -> (i128, i128) {
    let [n, c, h, w] = ["n", "c", "h", "w"].map(|axis| model.size(point, axis));
    model.fits("n·c·h·w", &[n, c, h, w]);
    let count = n.saturating_mul(h).saturating_mul(w);
    (count.saturating_mul(c), count)
}

fn trainable(model: &mut Model, count: i128) {
    model.require(count >= 2, || format!("{count} values a channel have no unbiased variance"));
}

/// `batchnorm_relu`.
pub fn batchnorm_relu(point: &Point) -> Model {
    let mut model = Model::default();
    let [mode, residual, affine, ..] =
        ["mode", "residual", "affine", "layout", "relu", "eps", "momentum"].map(|axis| choice(&mut model, point, axis));
    let (x, count) = images(&mut model, point);
    let c = i128::from(point.get("c"));
    let training = mode == "train";
    if training {
        trainable(&mut model, count);
    }
    let if_so = |present: bool, len: i128| if present { len } else { 0 };
    let (vector, statistics) = (if_so(affine == "yes", c), if_so(training, c));
    model.inputs = vec![
        ("x", x),
        ("gamma", vector),
        ("beta", vector),
        ("residual", if_so(residual == "add", x)),
        ("running_mean", c),
        ("running_var", c),
    ];
    model.outputs = vec![
        ("y", x),
        ("running_mean", statistics),
        ("running_var", statistics),
        ("saved_mean", statistics),
        ("saved_rstd", statistics),
    ];
    model
}

/// `batchnorm_relu_backward`.
pub fn batchnorm_relu_backward(point: &Point) -> Model {
    let mut model = Model::default();
    let [residual, relu, affine, _] =
        ["residual", "relu", "affine", "layout"].map(|axis| choice(&mut model, point, axis));
    let (x, count) = images(&mut model, point);
    let c = i128::from(point.get("c"));
    trainable(&mut model, count);
    let if_so = |present: bool, len: i128| if present { len } else { 0 };
    let vector = if_so(affine == "yes", c);
    model.inputs = vec![
        ("dy", x),
        ("x", x),
        ("gamma", vector),
        ("saved_mean", c),
        ("saved_rstd", c),
        ("y", if_so(relu == "yes", x)),
    ];
    model.outputs = vec![("dx", x), ("dgamma", vector), ("dbeta", vector), ("dresidual", if_so(residual == "add", x))];
    model
}

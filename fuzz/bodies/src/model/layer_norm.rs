//! Layer norm and cross entropy: rows and columns, and what belongs to them.

use etalon_reference::Point;

use super::{Model, choice, spans};

/// `layer_norm`.
pub fn layer_norm(point: &Point) -> Model {
    let mut model = Model::default();
    let [n, c] = ["n", "c"].map(|axis| model.size(point, axis));
    model.require(c > 0, || "c is 0".into());
    let layer = choice(&mut model, point, "f") == "layer";
    let affine = choice(&mut model, point, "affine");
    let keep = choice(&mut model, point, "keep") == "yes";
    model.fits("n·c", &[n, c]);
    let if_so = |there, len: i128| if there { len } else { 0 };
    let x = n.saturating_mul(c);
    model.inputs = spans(&[("x", x), ("gamma", if_so(affine != "none", c)), ("beta", if_so(affine == "both", c))]);
    model.outputs = spans(&[("y", x), ("mean", if_so(keep && layer, n)), ("factor", if_so(keep, n))]);
    model
}

/// `cross_entropy`.
pub fn cross_entropy(point: &Point) -> Model {
    let mut model = Model::default();
    let [n, c] = ["n", "c"].map(|axis| model.size(point, axis));
    model.require(c > 0, || "c is 0".into());
    choice(&mut model, point, "smoothing");
    let each = choice(&mut model, point, "reduction") == "none";
    let keep = choice(&mut model, point, "keep") == "yes";
    let weighted = choice(&mut model, point, "weights") == "yes";
    let soft = choice(&mut model, point, "targets") == "probabilities";
    model.fits("n·c", &[n, c]);
    let (x, if_so) = (n.saturating_mul(c), |there, len: i128| if there { len } else { 0 });
    let (labels, targets) = (if_so(!soft, n), if_so(soft, x));
    model.inputs = spans(&[("x", x), ("labels", labels), ("weights", if_so(weighted, c)), ("targets", targets)]);
    model.outputs = spans(&[("loss", if each { n } else { 1 }), ("lse", if keep { n } else { 0 })]);
    model
}

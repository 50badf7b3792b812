//! Losses of pairs: rows and columns without gaps, weights of columns.

use etalon_reference::Point;

use super::{Model, choice, spans};

/// `pair_loss`.
pub fn pair_loss(point: &Point) -> Model {
    let mut model = Model::default();
    let [n, c] = ["n", "c"].map(|axis| model.size(point, axis));
    let f = choice(&mut model, point, "f");
    let each = choice(&mut model, point, "reduction") == "none";
    choice(&mut model, point, "parameter");
    let weighted = choice(&mut model, point, "weights") == "yes" && f == "bce";
    model.fits("n·c", &[n, c]);
    let x = n.saturating_mul(c);
    let target = if f == "gan_generator" { 0 } else { x };
    model.inputs = spans(&[("x", x), ("target", target), ("weights", if weighted { c } else { 0 })]);
    model.outputs = spans(&[("loss", if each { x } else { 1 })]);
    model
}

/// Of its gradient: that of what is data, or not wanted, is not there.
pub fn backward(model: &mut Model, point: &Point) {
    let data = ["kl", "kl_log", "bce", "gan_generator"].contains(&choice(model, point, "f"));
    if data || choice(model, point, "also") != "target" {
        model.outputs[1].1 = 0;
    }
}

/// `multi_margin`.
pub fn multi_margin(point: &Point) -> Model {
    let mut model = Model::default();
    let [n, c] = ["n", "c"].map(|axis| model.size(point, axis));
    model.require(c > 0, || "c is 0".into());
    for axis in ["p", "margin"] {
        choice(&mut model, point, axis);
    }
    let each = choice(&mut model, point, "reduction") == "none";
    let weighted = choice(&mut model, point, "weights") == "yes";
    model.fits("n·c", &[n, c]);
    model.inputs = spans(&[("x", n.saturating_mul(c)), ("labels", n), ("weights", if weighted { c } else { 0 })]);
    model.outputs = spans(&[("loss", if each { n } else { 1 })]);
    model
}

/// `distillation`.
pub fn distillation(point: &Point) -> Model {
    let mut model = Model::default();
    let [n, c] = ["n", "c"].map(|axis| model.size(point, axis));
    model.require(c > 0, || "c is 0".into());
    for axis in ["temperature", "alpha"] {
        choice(&mut model, point, axis);
    }
    let each = choice(&mut model, point, "reduction") == "none";
    let keep = choice(&mut model, point, "keep") == "yes";
    model.fits("n·c", &[n, c]);
    model.fits("n·3", &[n, 3]);
    let (x, lse) = (n.saturating_mul(c), if keep { n.saturating_mul(3) } else { 0 });
    model.inputs = spans(&[("x", x), ("teacher", x), ("labels", n)]);
    model.outputs = spans(&[("loss", if each { n } else { 1 }), ("lse", lse)]);
    model
}

/// `triplet`.
pub fn triplet(point: &Point) -> Model {
    let mut model = Model::default();
    let [n, c] = ["n", "c"].map(|axis| model.size(point, axis));
    model.require(c > 0, || "c is 0".into());
    choice(&mut model, point, "margin");
    let each = choice(&mut model, point, "reduction") == "none";
    let keep = choice(&mut model, point, "keep") == "yes";
    model.fits("n·c", &[n, c]);
    model.fits("n·2", &[n, 2]);
    let (x, distances) = (n.saturating_mul(c), if keep { n.saturating_mul(2) } else { 0 });
    model.inputs = spans(&[("anchor", x), ("positive", x), ("negative", x)]);
    model.outputs = spans(&[("loss", if each { n } else { 1 }), ("distances", distances)]);
    model
}

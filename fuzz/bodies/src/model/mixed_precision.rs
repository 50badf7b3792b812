//! Training in two precisions: vectors of n elements, single numbers, and what some problems do without.

use etalon_reference::Point;

use super::{Model, choice, spans};

/// `mixed_precision_sgd`.
pub fn sgd(point: &Point) -> Model {
    let mut model = Model::default();
    let [momentum, decay] = ["momentum", "decay"].map(|axis| choice(&mut model, point, axis));
    let (n, interval) = (model.size(point, "n"), model.size(point, "interval"));
    model.fits("n", &[n]);
    model.require((1..=i128::from(i32::MAX)).contains(&interval), || format!("interval = {interval} is no count"));
    let moves = momentum != "none";
    let v = if moves { n } else { 0 };
    model.inputs = spans(&[
        ("w", n),
        ("v", v),
        ("g", n),
        ("scale", 1),
        ("good", 1),
        ("rate", 1),
        ("momentum", i128::from(moves)),
        ("decay", i128::from(decay == "given")),
    ]);
    model.outputs = spans(&[("w", n), ("v", v), ("h", n), ("scale", 1), ("good", 1)]);
    model
}

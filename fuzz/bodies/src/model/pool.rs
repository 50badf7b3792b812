//! Pooling: images without gaps, windows that fall on the image.

use etalon_reference::Point;

use super::conv2d::{at_least_one, places};
use super::{Model, choice, spans};

/// `max_pool2d`.
pub fn max_pool2d(point: &Point) -> Model {
    let mut model = Model::default();
    choice(&mut model, point, "layout");
    let mut along = |what: &str, names: [&'static str; 6]| {
        let outputs = places(&mut model, point, what, names);
        let [input, taps, _, dilation, padding, _] = names.map(|axis| i128::from(point.get(axis)));
        model.require(padding <= taps / 2, || format!("{what}: {padding} is more than half of {taps}"));
        model.require(taps == 1 || dilation <= input, || format!("{what}: taps {dilation} apart may miss {input}"));
        outputs
    };
    let rows = along("rows", ["h", "r", "sh", "dh", "ph", "ph"]);
    let columns = along("columns", ["w", "s", "sw", "dw", "pw", "pw"]);
    let (n, c) = (model.size(point, "n"), at_least_one(&mut model, point, "c"));
    let [h, w] = ["h", "w"].map(|axis| i128::from(point.get(axis)));
    let (x, y) = ([n, c, h, w], [n, c, rows, columns]);
    model.fits("elements of x", &x);
    model.fits("elements of y", &y);
    let len = |factors: &[i128]| factors.iter().fold(1i128, |p, &f| p.saturating_mul(f.max(0)));
    let index = choice(&mut model, point, "index") == "yes";
    model.inputs = spans(&[("x", len(&x))]);
    model.outputs = spans(&[("y", len(&y)), ("index", if index { len(&y) } else { 0 })]);
    model
}

//! Convolution: images without gaps, windows that fit.

use etalon_reference::Point;

use super::{Model, choice};

/// The number of places of a window of `taps`, `dilation` apart, on a padded input.
fn places(
    model: &mut Model,
    point: &Point,
    what: &str,
    [input, taps, stride, dilation, before, after]: [&'static str; 6],
) -> i128 {
    let [input, taps, stride, dilation] = [input, taps, stride, dilation].map(|axis| at_least_one(model, point, axis));
    let [before, after] = [before, after].map(|axis| model.size(point, axis));
    model.fits("stride", &[stride.max(0)]);
    model.fits("dilation", &[dilation.max(0)]);
    let padded = input + before + after;
    let reach = (taps - 1).max(0).saturating_mul(dilation) + 1;
    model.require(padded <= u64::MAX.into(), || format!("{what}: {padded} is no size"));
    model.require(reach <= padded, || format!("{what}: {reach} elements do not fit {padded}"));
    (padded - reach).max(0) / stride.max(1) + 1
}

fn at_least_one(model: &mut Model, point: &Point, axis: &'static str) -> i128 {
    let value = i128::from(point.get(axis));
    model.require(value >= 1, || format!("{axis} = {value} is below 1"));
    value
}

/// `conv2d`.
pub fn conv2d(point: &Point) -> Model {
    let mut model = Model::default();
    let [bias, scale, ..] = ["bias", "scale", "relu", "layout"].map(|axis| choice(&mut model, point, axis));
    let n = model.size(point, "n");
    let [c, k, groups] = ["c", "k", "g"].map(|axis| at_least_one(&mut model, point, axis));
    let rows = places(&mut model, point, "rows", ["h", "r", "sh", "dh", "pt", "pb"]);
    let columns = places(&mut model, point, "columns", ["w", "s", "sw", "dw", "pl", "pr"]);
    let [h, w, r, s] = ["h", "w", "r", "s"].map(|axis| i128::from(point.get(axis)));
    let (inputs, outputs) = ([n, groups, c, h, w], [n, groups, k, rows, columns]);
    let weights = [groups, k, c, r, s];
    model.fits("elements of x", &inputs);
    model.fits("elements of y", &outputs);
    model.fits("elements of w", &weights);
    let len = |factors: &[i128]| factors.iter().fold(1i128, |p, &f| p.saturating_mul(f.max(0)));
    let vector = |present: bool| if present { len(&[groups, k]) } else { 0 };
    model.inputs = vec![
        ("x", len(&inputs)),
        ("w", len(&weights)),
        ("scale", vector(scale == "channel")),
        ("bias", vector(bias == "channel")),
    ];
    model.outputs = vec![("y", len(&outputs))];
    model
}

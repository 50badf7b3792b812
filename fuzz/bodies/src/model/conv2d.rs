//! Convolution: images without gaps, windows that fit.

use etalon_reference::{DType, Point};

use super::{Model, choice, spans};

/// The number of places of a window of `taps`, `dilation` apart, on a padded input.
pub(super) fn places(
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

pub(super) fn at_least_one(model: &mut Model, point: &Point, axis: &'static str) -> i128 {
    let value = i128::from(point.get(axis));
    model.require(value >= 1, || format!("{axis} = {value} is below 1"));
    value
}

/// Elements of the images, outputs and weights of a convolution.
struct Sizes {
    x: i128,
    y: i128,
    w: i128,
    groups: i128,
}

/// Whether everything fits: images of n×g·c×h×w, of n×g·k×rows×columns, weights.
fn sizes(model: &mut Model, point: &Point, rows: i128, columns: i128) -> Sizes {
    let n = model.size(point, "n");
    let [c, k, groups] = ["c", "k", "g"].map(|axis| at_least_one(model, point, axis));
    let [h, w, r, s] = ["h", "w", "r", "s"].map(|axis| i128::from(point.get(axis)));
    let (x, y, weights) = ([n, groups, c, h, w], [n, groups, k, rows, columns], [groups, k, c, r, s]);
    model.fits("elements of x", &x);
    model.fits("elements of y", &y);
    model.fits("elements of w", &weights);
    let len = |factors: &[i128]| factors.iter().fold(1i128, |p, &f| p.saturating_mul(f.max(0)));
    Sizes { x: len(&x), y: len(&y), w: len(&weights), groups }
}

/// The output channels, if `axis` says that there is a vector of them.
fn vector(model: &mut Model, point: &Point, axis: &'static str, groups: i128) -> i128 {
    let present = choice(model, point, axis) == "channel";
    if present { groups.max(0).saturating_mul(i128::from(point.get("k")).max(0)) } else { 0 }
}

/// `conv2d`.
pub fn conv2d(point: &Point) -> Model {
    let mut model = Model::default();
    let [_, _] = ["relu", "layout"].map(|axis| choice(&mut model, point, axis));
    let rows = places(&mut model, point, "rows", ["h", "r", "sh", "dh", "pt", "pb"]);
    let columns = places(&mut model, point, "columns", ["w", "s", "sw", "dw", "pl", "pr"]);
    let Sizes { x, y, w, groups } = sizes(&mut model, point, rows, columns);
    let [scale, bias] = ["scale", "bias"].map(|axis| vector(&mut model, point, axis, groups));
    model.inputs = spans(&[("x", x), ("w", w), ("scale", scale), ("bias", bias)]);
    model.outputs = spans(&[("y", y)]);
    model
}

/// `conv2d_int8`. Only types that requantize have scales and a zero point of the output.
pub fn conv2d_int8(point: &Point) -> Model {
    let mut model = Model::default();
    let [_, _, zx, zw, scale] = ["layout", "act", "zx", "zw", "scale"].map(|axis| choice(&mut model, point, axis));
    let rows = places(&mut model, point, "rows", ["h", "r", "sh", "dh", "pt", "pb"]);
    let columns = places(&mut model, point, "columns", ["w", "s", "sw", "dw", "pl", "pr"]);
    let Sizes { x, y, w, groups } = sizes(&mut model, point, rows, columns);
    let bias = vector(&mut model, point, "bias", groups);
    let channels = groups.max(0).saturating_mul(i128::from(point.get("k")).max(0));
    let per_channel = |per: &str| match per {
        "none" => 0,
        "tensor" => channels.min(1),
        _ => channels,
    };
    model.inputs = spans(&[
        ("x", x),
        ("w", w),
        ("zx", i128::from(zx == "tensor")),
        ("zw", per_channel(zw)),
        ("bias", bias),
        ("scale", per_channel(scale)),
        ("zy", 1),
    ]);
    model.absent = Some(|types| if types.of("y") == DType::I32 { &["scale", "zy"] } else { &[] });
    model.outputs = spans(&[("y", y)]);
    model
}

/// The extent of a transposed convolution's output.
fn spread(
    model: &mut Model,
    point: &Point,
    what: &str,
    [input, taps, stride, dilation, before, after, added]: [&'static str; 7],
) -> i128 {
    let [input, taps, stride, dilation] = [input, taps, stride, dilation].map(|axis| at_least_one(model, point, axis));
    let [before, after, added] = [before, after, added].map(|axis| model.size(point, axis));
    model.require(added < stride, || format!("{what}: {added} added, stride {stride}"));
    model.fits("stride", &[stride.max(0)]);
    model.fits("dilation", &[dilation.max(0)]);
    let full = (input - 1).saturating_mul(stride) + (taps - 1).saturating_mul(dilation) + added + 1;
    model.require(full <= u64::MAX.into(), || format!("{what}: {full} is no size"));
    model.require(before + after < full, || format!("{what}: nothing is left of {full}"));
    full - before - after
}

/// `conv_transpose2d`.
pub fn conv_transpose2d(point: &Point) -> Model {
    let mut model = Model::default();
    choice(&mut model, point, "layout");
    let rows = spread(&mut model, point, "rows", ["h", "r", "sh", "dh", "pt", "pb", "oh"]);
    let columns = spread(&mut model, point, "columns", ["w", "s", "sw", "dw", "pl", "pr", "ow"]);
    let Sizes { x, y, w, groups } = sizes(&mut model, point, rows, columns);
    let bias = vector(&mut model, point, "bias", groups);
    model.inputs = spans(&[("x", x), ("w", w), ("bias", bias)]);
    model.outputs = spans(&[("y", y)]);
    model
}

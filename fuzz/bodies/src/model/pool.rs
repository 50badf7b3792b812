//! Pooling: images without gaps, windows that fall on the image.

use etalon_reference::Point;

use super::conv2d::at_least_one;
use super::{Model, choice, spans};

/// Places of a window along one dimension.
struct Along {
    what: &'static str,
    /// Axes of the input's extent, the taps, the stride, the padding on each side.
    axes: [&'static str; 4],
    dilation: i128,
}

impl Along {
    fn places(&self, model: &mut Model, point: &Point, ceil: bool) -> i128 {
        let (what, dilation) = (self.what, self.dilation);
        let [input, taps, stride] = [0, 1, 2].map(|i| at_least_one(model, point, self.axes[i]));
        let padding = model.size(point, self.axes[3]);
        model.fits("stride", &[stride.max(0)]);
        model.fits("dilation", &[dilation.max(0)]);
        let rest = input + 2 * padding - (taps - 1).saturating_mul(dilation) - 1;
        let stride = stride.max(1);
        let mut places = (rest + if ceil { stride - 1 } else { 0 }).div_euclid(stride) + 1;
        if ceil && (places - 1).saturating_mul(stride) >= input + padding {
            places -= 1;
        }
        model.require(places >= 1, || format!("{what}: no window fits"));
        model.require(padding <= taps / 2, || format!("{what}: {padding} is more than half of {taps}"));
        model.require(taps == 1 || dilation <= input, || format!("{what}: taps {dilation} apart may miss {input}"));
        places
    }
}

/// The product of what is not negative.
fn product(factors: &[i128]) -> i128 {
    factors.iter().fold(1i128, |p, &f| p.saturating_mul(f.max(0)))
}

/// Elements of images with these rows and columns, and of outputs with those.
fn images(model: &mut Model, point: &Point, [rows, columns]: [i128; 2]) -> [i128; 2] {
    choice(model, point, "layout");
    let (n, c) = (model.size(point, "n"), at_least_one(model, point, "c"));
    let [h, w] = ["h", "w"].map(|axis| i128::from(point.get(axis)));
    let (x, y) = ([n, c, h, w], [n, c, rows, columns]);
    model.fits("elements of x", &x);
    model.fits("elements of y", &y);
    [product(&x), product(&y)]
}

/// Elements of images and outputs of a pooling with these dilations.
fn windows(model: &mut Model, point: &Point, [dh, dw]: [i128; 2]) -> [i128; 2] {
    let ceil = choice(model, point, "ceil") == "yes";
    let rows = Along { what: "rows", axes: ["h", "r", "sh", "ph"], dilation: dh }.places(model, point, ceil);
    let columns = Along { what: "columns", axes: ["w", "s", "sw", "pw"], dilation: dw }.places(model, point, ceil);
    images(model, point, [rows, columns])
}

/// `max_pool2d`.
pub fn max_pool2d(point: &Point) -> Model {
    let mut model = Model::default();
    let dilations = ["dh", "dw"].map(|axis| at_least_one(&mut model, point, axis));
    let [x, y] = windows(&mut model, point, dilations);
    let index = choice(&mut model, point, "index") == "yes";
    model.inputs = spans(&[("x", x)]);
    model.outputs = spans(&[("y", y), ("index", if index { y } else { 0 })]);
    model
}

/// `avg_pool2d`.
pub fn avg_pool2d(point: &Point) -> Model {
    let mut model = Model::default();
    let [x, y] = windows(&mut model, point, [1, 1]);
    choice(&mut model, point, "count");
    let divisor = model.size(point, "divisor");
    model.require(divisor <= 1 << 24, || format!("a divisor of {divisor}"));
    model.inputs = spans(&[("x", x)]);
    model.outputs = spans(&[("y", y)]);
    model
}

/// `l2_pool2d`.
pub fn l2_pool2d(point: &Point) -> Model {
    let mut model = Model::default();
    let [x, y] = windows(&mut model, point, [1, 1]);
    model.inputs = spans(&[("x", x)]);
    model.outputs = spans(&[("y", y)]);
    model
}

/// Elements of images and outputs of an adaptive pooling.
fn adaptive(model: &mut Model, point: &Point) -> [i128; 2] {
    let [h, w, rows, columns] = ["h", "w", "oh", "ow"].map(|axis| at_least_one(model, point, axis));
    model.fits("rows", &[h, rows]);
    model.fits("columns", &[w, columns]);
    images(model, point, [rows, columns])
}

/// `adaptive_avg_pool2d`.
pub fn adaptive_avg_pool2d(point: &Point) -> Model {
    let mut model = Model::default();
    let [x, y] = adaptive(&mut model, point);
    model.inputs = spans(&[("x", x)]);
    model.outputs = spans(&[("y", y)]);
    model
}

/// `adaptive_max_pool2d`.
pub fn adaptive_max_pool2d(point: &Point) -> Model {
    let mut model = Model::default();
    let [x, y] = adaptive(&mut model, point);
    let index = choice(&mut model, point, "index") == "yes";
    model.inputs = spans(&[("x", x)]);
    model.outputs = spans(&[("y", y), ("index", if index { y } else { 0 })]);
    model
}

/// `unpool2d`.
pub fn unpool2d(point: &Point) -> Model {
    let mut model = Model::default();
    let by_index = choice(&mut model, point, "f") == "max";
    choice(&mut model, point, "layout");
    let n = model.size(point, "n");
    let [c, h, w, r, s] = ["c", "h", "w", "r", "s"].map(|axis| at_least_one(&mut model, point, axis));
    let y = [n, c, h.saturating_mul(r), w.saturating_mul(s)];
    model.fits("elements of y", &y);
    let x = product(&[n, c, h, w]);
    model.inputs = spans(&[("x", x), ("index", if by_index { x } else { 0 })]);
    model.outputs = spans(&[("y", product(&y))]);
    model
}

/// `fractional_max_pool2d`.
pub fn fractional_max_pool2d(point: &Point) -> Model {
    let mut model = Model::default();
    let regions = choice(&mut model, point, "regions");
    let random = choice(&mut model, point, "sequence") == "random";
    let outputs = ["oh", "ow"].map(|axis| at_least_one(&mut model, point, axis));
    let windows = ["r", "s"].map(|axis| at_least_one(&mut model, point, axis));
    let inputs = ["h", "w"].map(|axis| at_least_one(&mut model, point, axis));
    for (input, (output, window)) in inputs.into_iter().zip(outputs.into_iter().zip(windows)) {
        let least = if regions == "window" { output + window - 1 } else { output };
        model.require(least <= input, || format!("{least} elements do not fit {input}"));
        model.fits("input times output", &[input, output]);
    }
    let uniforms = if random { outputs[0] + outputs[1] } else { 2 };
    let of_planes = [model.size(point, "n"), at_least_one(&mut model, point, "c"), uniforms];
    model.fits("uniforms", &of_planes);
    let [x, y] = images(&mut model, point, outputs);
    let index = choice(&mut model, point, "index") == "yes";
    model.inputs = spans(&[("x", x), ("u", product(&of_planes))]);
    model.outputs = spans(&[("y", y), ("index", if index { y } else { 0 })]);
    model
}

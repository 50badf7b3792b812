//! `max_pool2d`: the largest element under a window that moves over each plane, and where it lies.
//!
//! `y[n, c, i, j] = max x[n, c, i·sh + r·dh − ph, j·sw + s·dw − pw]` over the taps (r, s) that fall on the image. Of equal
//! elements the first one counts, in row-major order; NaN counts as larger than any number, and the last NaN is the one that
//! is found. `index` is the position of that element in its plane, row·w + column.

use ndarray::{Array4, ArrayD, Ix4};

use super::gemm::choice_value;
use super::images::Images;
use super::pooling::{Pooling, positive, under};
use super::window::Window;
use crate::{
    Axis, DType, Domain, Fill, Layout, Operator, Point, Port, Problem, ProblemError, Tolerance, Types, Unit, Witness,
    Workload,
};

const EXTENTS: &[i64] = &[1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 32, 33, 65];
const CHANNELS: &[i64] = &[1, 2, 3, 7, 8, 9, 15, 16, 17, 31, 32, 33];
const TAPS: &[i64] = &[1, 2, 3, 5];

/// Whether windows may end behind the padding.
pub(super) const CEIL: Axis =
    Axis::choice("ceil", "whether a last window may end behind the padding, if it begins before it", &["no", "yes"]);

/// Whether positions are an output.
pub(super) const INDEX: Axis = Axis::choice("index", "whether positions are an output, too", &["yes", "no"]);

/// The axes of the window and the images, which the gradient shares.
pub(super) const GEOMETRY: &[Axis] = AXES.split_at(14).0;

pub(super) const AXES: &[Axis] = &[
    Axis::int("n", "images", 1, 5, &[0, 1, 2, 4, 5, 33]),
    Axis::int("c", "channels", 1, 40, CHANNELS).positive(),
    Axis::int("h", "rows of the input", 8, 34, EXTENTS).positive(),
    Axis::int("w", "columns of the input", 8, 34, EXTENTS).positive(),
    Axis::int("r", "rows of the window", 2, 5, TAPS).positive().bounded(),
    Axis::int("s", "columns of the window", 2, 5, TAPS).positive().bounded(),
    Axis::int("sh", "rows from one output to the next", 2, 4, &[1, 2, 3]).positive().bounded(),
    Axis::int("sw", "columns from one output to the next", 2, 4, &[1, 2, 3]).positive().bounded(),
    Axis::int("dh", "rows from one tap to the next", 1, 3, &[1, 2]).positive().bounded(),
    Axis::int("dw", "columns from one tap to the next", 1, 3, &[1, 2]).positive().bounded(),
    Axis::int("ph", "rows outside the image, above and below", 0, 2, &[0, 1]),
    Axis::int("pw", "columns outside the image, on both sides", 0, 2, &[0, 1]),
    Axis::choice("layout", "order of the images' axes in memory", &["nchw", "nhwc"]),
    CEIL,
    INDEX,
];

/// Windows that networks have, which kernels compute on paths of their own.
pub(super) const DOMAINS: &[Domain] = &[
    Domain {
        name: "2x2s2",
        fixed: &[("r", &[2]), ("s", &[2]), ("sh", &[2]), ("sw", &[2]), ("dh", &[1]), ("dw", &[1])],
    },
    Domain {
        name: "3x3s2",
        fixed: &[("r", &[3]), ("s", &[3]), ("sh", &[2]), ("sw", &[2]), ("dh", &[1]), ("dw", &[1])],
    },
    Domain {
        name: "3x3s1",
        fixed: &[("r", &[3]), ("s", &[3]), ("sh", &[1]), ("sw", &[1]), ("dh", &[1]), ("dw", &[1])],
    },
    Domain { name: "nhwc", fixed: &[("layout", &[1])] },
    Domain { name: "ceil", fixed: &[("ceil", &[1])] },
];

/// A validated pooling.
#[derive(Clone, Debug, PartialEq)]
pub struct MaxPool2d {
    /// The input.
    pub x: Images,
    /// The output.
    pub y: Images,
    /// Rows.
    pub rows: Window,
    /// Columns.
    pub cols: Window,
    /// Whether positions are an output.
    pub index: bool,
}

impl MaxPool2d {
    /// Without positions.
    pub(super) fn new(Pooling { x, y, rows, cols }: Pooling) -> MaxPool2d {
        MaxPool2d { x, y, rows, cols, index: false }
    }

    /// Of a point with the axes of [`GEOMETRY`]; without positions.
    pub(super) fn plain(point: &Point) -> Result<MaxPool2d, ProblemError> {
        Ok(MaxPool2d::new(Pooling::of(point, [positive(point, "dh")?, positive(point, "dw")?])?))
    }

    /// The elements under a window in row-major order: row and column.
    pub fn under(&self, i: usize, j: usize) -> impl Iterator<Item = (usize, usize)> + use<> {
        under(self.rows, self.cols, i, j)
    }
}

impl Problem for MaxPool2d {
    fn inputs(&self, types: Types) -> Vec<Port> {
        vec![Port::new("x", types, self.x.port_layout())]
    }

    fn outputs(&self, types: Types) -> Vec<Port> {
        let layout = if self.index { self.y.port_layout() } else { Layout::absent() };
        vec![Port::new("y", types, self.y.port_layout()), Port::new("index", types, layout).typed(DType::I64)]
    }

    fn reference(&self, inputs: &[ArrayD<f64>]) -> Vec<ArrayD<f64>> {
        let x = inputs[0].view().into_dimensionality::<Ix4>().expect("images");
        let shape = (self.y.n, self.y.c, self.y.h, self.y.w);
        let (mut y, mut index) = (Array4::zeros(shape), Array4::zeros(shape));
        for ((n, c, i, j), y) in y.indexed_iter_mut() {
            let mut found = self.under(i, j).next().expect("every window falls on the image");
            *y = f64::NEG_INFINITY;
            for (row, column) in self.under(i, j) {
                let value = x[[n, c, row, column]];
                if value > *y || value.is_nan() {
                    (*y, found) = (value, (row, column));
                }
            }
            index[[n, c, i, j]] = (found.0 * self.x.w + found.1) as f64;
        }
        let index = if self.index { index.into_dyn() } else { ArrayD::zeros(vec![0]) };
        vec![y.into_dyn(), index]
    }

    fn tolerance(&self, _: Types, _: Fill, _: &[ArrayD<f64>], _: &[ArrayD<f64>]) -> Vec<Tolerance> {
        // One of the inputs and its place: nothing is rounded.
        vec![Tolerance::Exact, Tolerance::Exact]
    }

    fn operations(&self) -> (f64, Unit) {
        (self.y.len() as f64 * (self.rows.taps * self.cols.taps) as f64, Unit::Integer)
    }

    fn differentiable(&self) -> Vec<usize> {
        vec![0]
    }

    fn degenerate(&self) -> bool {
        // A single window has a single place, and in a plane of one column or row many have the same. Many elements of the
        // exact fill have its largest number among them.
        self.y.h * self.y.w <= 1 || self.x.h * self.x.w <= 2 || self.rows.taps * self.cols.taps >= 32
    }
}

const VGG: &str = "VGG-16, pools after each block";
const RESNET: &str = "ResNet-50, pool1";
const GOOGLENET: &str = "GoogLeNet, pool1, pool2, inception 3a";

/// What benchmarks time, of the gradient, too.
pub(super) static WORKLOADS: &[Workload] = &[
    Workload::new("resnet50.pool1_n1", "c=64,h=112,w=112,r=3,s=3,ph=1,pw=1", RESNET).smoke(),
    Workload::new("resnet50.pool1_n8", "n=8,c=64,h=112,w=112,r=3,s=3,ph=1,pw=1", RESNET),
    Workload::new("resnet50.pool1_nhwc", "c=64,h=112,w=112,r=3,s=3,ph=1,pw=1,layout=nhwc", RESNET),
    Workload::new("vgg16.pool1", "c=64,h=224,w=224", VGG),
    Workload::new("vgg16.pool3_n4", "n=4,c=256,h=56,w=56", VGG),
    Workload::new("vgg16.pool5", "c=512,h=14,w=14", VGG).smoke(),
    Workload::new("vgg16.pool3_nhwc", "n=4,c=256,h=56,w=56,layout=nhwc", VGG),
    Workload::new("googlenet.pool2", "c=192,h=56,w=56,r=3,s=3,ph=1,pw=1", GOOGLENET),
    Workload::new("squeezenet.pool4", "c=256,h=54,w=54,r=3,s=3,ceil=yes", "SqueezeNet 1.0, pool after fire4, 224×224"),
    Workload::new("googlenet.3a_pool", "c=192,h=28,w=28,r=3,s=3,sh=1,sw=1,ph=1,pw=1", GOOGLENET),
];

/// The operator `max_pool2d`.
pub static MAX_POOL2D: Operator = Operator {
    name: "max_pool2d",
    summary: "largest element under a window that moves over each plane, and its position",
    axes: AXES,
    types: &[Types::F32, Types::F64],
    make: |point| {
        let index = choice_value(point, "index")? == "yes";
        Ok(Box::new(MaxPool2d { index, ..MaxPool2d::plain(point)? }))
    },
    workloads: WORKLOADS,
    special_values: "NaN is larger than any number, and the last one under a window is found; of equal elements, +0 and −0 among \
 them, the first one",
    domains: DOMAINS,
    gradient: None,
    witness: Witness::Libtorch,
    batch: Some("n"),
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_may_end_behind_the_image() {
        let outputs = |text: &str| {
            let point = Point::parse(AXES, text).expect("a point");
            let pool = MaxPool2d::plain(&point).expect("a problem");
            let x = ArrayD::from_shape_fn(vec![1, 1, pool.x.h, pool.x.w], |at| (at[2] * pool.x.w + at[3]) as f64);
            let y = pool.reference(&[x]).remove(0);
            (y.shape()[2..].to_vec(), y.into_iter().collect::<Vec<_>>())
        };
        let line = "c=1,h=1,r=1,sh=1,w=5,pw=1";
        assert_eq!(outputs(&format!("{line},ceil=yes")), (vec![1, 3], vec![0.0, 2.0, 4.0]));
        assert_eq!(outputs("c=1,h=1,r=1,sh=1,w=5,ceil=yes"), (vec![1, 3], vec![1.0, 3.0, 4.0]));
        assert_eq!(outputs("c=1,h=6,w=7,r=1,s=1,ceil=yes").0, [3, 4]);
        let (shape, values) = outputs("c=1,h=8,w=10,r=3,s=3,sh=4,sw=4,ceil=yes");
        assert_eq!((shape, values), (vec![2, 3], vec![22.0, 26.0, 29.0, 62.0, 66.0, 69.0]));
    }
}

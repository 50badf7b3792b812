//! `avg_pool2d`: the mean of the elements under a window that moves over each plane.
//!
//! `y[n, c, i, j] = (Σ x[n, c, row, column]) / d` over the elements under the window of output (i, j). The divisor d
//! counts the window's taps on the image and its padding, or those on the image alone, or is a number. Taps behind the
//! padding, where `ceil` lets a window end, do not count.
//!
//! **Order of summation**: each column under the window from above; then the columns, from left to right. Where one
//! window takes in the whole image, it is added in chains of at most an eighth of it, and 8 more. The sum is divided
//! once.
//!
//! The bound is that of a chain: its roundings, and that of the quotient.

use ndarray::{Array4, ArrayD, Ix4};

use super::gemm::choice_value;
use super::images::Images;
use super::max_pool2d::CEIL;
use super::pooling::Pooling;
use super::window::Window;
use crate::operator::size;
use crate::tolerance::Sum;
use crate::{
    Axis, Domain, Fill, Operator, Point, Port, Problem, ProblemError, Tolerance, Types, Unit, Witness, Workload,
};

pub(super) const EXTENTS: &[i64] = &[1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 32, 33, 65];
pub(super) const CHANNELS: &[i64] = &[1, 2, 3, 7, 8, 9, 15, 16, 17, 31, 32, 33, 63, 64, 65];
const TAPS: &[i64] = &[1, 2, 3, 5, 7];
/// The largest divisor: integers up to it are numbers of f32.
const LARGEST: usize = 1 << 24;

pub(super) const AXES: &[Axis] = &[
    Axis::int("n", "images", 1, 5, &[0, 1, 2, 4, 5, 33]),
    Axis::int("c", "channels", 1, 70, CHANNELS).positive(),
    Axis::int("h", "rows of the input", 8, 34, EXTENTS).positive(),
    Axis::int("w", "columns of the input", 8, 34, EXTENTS).positive(),
    Axis::int("r", "rows of the window", 2, 8, TAPS).positive().bounded(),
    Axis::int("s", "columns of the window", 2, 8, TAPS).positive().bounded(),
    Axis::int("sh", "rows from one output to the next", 2, 4, &[1, 2, 3]).positive().bounded(),
    Axis::int("sw", "columns from one output to the next", 2, 4, &[1, 2, 3]).positive().bounded(),
    Axis::int("ph", "rows outside the image, above and below", 0, 2, &[0, 1]),
    Axis::int("pw", "columns outside the image, on both sides", 0, 2, &[0, 1]),
    Axis::choice("layout", "order of the images' axes in memory", &["nchw", "nhwc"]),
    CEIL,
    Axis::choice("count", "what the divisor counts: taps on the padded image, or on the image", &["padded", "image"]),
    Axis::int("divisor", "what sums are divided by; 0 for the count", 0, 12, &[0, 0, 0, 1, 3, 4]),
];

/// Windows that networks have, and the whole image.
pub(super) const DOMAINS: &[Domain] = &[
    Domain { name: "2x2s2", fixed: &[("r", &[2]), ("s", &[2]), ("sh", &[2]), ("sw", &[2])] },
    Domain { name: "3x3s1", fixed: &[("r", &[3]), ("s", &[3]), ("sh", &[1]), ("sw", &[1])] },
    Domain { name: "3x3s2", fixed: &[("r", &[3]), ("s", &[3]), ("sh", &[2]), ("sw", &[2])] },
    Domain { name: "nhwc", fixed: &[("layout", &[1])] },
    Domain { name: "ceil", fixed: &[("ceil", &[1])] },
    Domain {
        name: "global7",
        fixed: &[("h", &[7]), ("w", &[7]), ("r", &[7]), ("s", &[7]), ("ph", &[0]), ("pw", &[0])],
    },
    Domain {
        name: "global9x8",
        fixed: &[("h", &[9]), ("w", &[8]), ("r", &[9]), ("s", &[8]), ("ph", &[0]), ("pw", &[0])],
    },
    Domain {
        name: "global33x17",
        fixed: &[("h", &[33]), ("w", &[17]), ("r", &[33]), ("s", &[17]), ("ph", &[0]), ("pw", &[0])],
    },
];

/// What sums are divided by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Count {
    /// The number of taps on the image and its padding.
    Padded,
    /// The number of taps on the image.
    Image,
    /// This.
    Fixed(usize),
}

/// A validated pooling.
#[derive(Clone, Debug, PartialEq)]
pub struct AvgPool2d {
    /// The input.
    pub x: Images,
    /// The output.
    pub y: Images,
    /// Rows.
    pub rows: Window,
    /// Columns.
    pub cols: Window,
    /// What sums are divided by.
    pub count: Count,
}

impl AvgPool2d {
    pub(super) fn new(Pooling { x, y, rows, cols }: Pooling, count: Count) -> AvgPool2d {
        AvgPool2d { x, y, rows, cols, count }
    }

    pub(super) fn of(point: &Point) -> Result<AvgPool2d, ProblemError> {
        let pooling = Pooling::of(point, [1, 1])?;
        let count = if choice_value(point, "count")? == "padded" { Count::Padded } else { Count::Image };
        let count = match size(point, "divisor")? {
            0 => count,
            divisor if divisor <= LARGEST => Count::Fixed(divisor),
            _ => {
                let value = point.get("divisor");
                return Err(ProblemError::OutOfRange { axis: "divisor", value, rule: "at most 16777216" });
            }
        };
        Ok(AvgPool2d::new(pooling, count))
    }

    /// The rows that the divisor of output row i counts. Divisors are products of rows and columns.
    pub fn rows_counted(&self, i: usize) -> usize {
        if let Count::Fixed(divisor) = self.count { divisor } else { self.counted(self.rows, i) }
    }

    /// The columns that the divisor of output column j counts.
    pub fn columns_counted(&self, j: usize) -> usize {
        if let Count::Fixed(_) = self.count { 1 } else { self.counted(self.cols, j) }
    }

    fn counted(&self, window: Window, output: usize) -> usize {
        if self.count == Count::Image || window.stride == 0 {
            return window.span(output).1;
        }
        // The padding behind the image is as wide as that before it.
        let (start, end) = (output * window.stride, 2 * window.before + window.input);
        window.taps.min(end - start)
    }

    /// What the sum of output (i, j) is divided by.
    pub fn divisor(&self, i: usize, j: usize) -> f64 {
        (self.rows_counted(i) * self.columns_counted(j)) as f64
    }

    /// Whether every divisor is a power of two: quotients are then exact.
    pub fn divides_exactly(&self) -> bool {
        let rows = (0..self.y.h).all(|i| self.rows_counted(i).is_power_of_two());
        rows && (0..self.y.w).all(|j| self.columns_counted(j).is_power_of_two())
    }

    /// Whether there is one window, and the whole image lies under it.
    pub fn is_global(&self) -> bool {
        self.rows.is_whole() && self.cols.is_whole()
    }
}

impl Problem for AvgPool2d {
    fn inputs(&self, types: Types) -> Vec<Port> {
        vec![Port::new("x", types, self.x.port_layout())]
    }

    fn outputs(&self, types: Types) -> Vec<Port> {
        vec![Port::new("y", types, self.y.port_layout())]
    }

    fn reference(&self, inputs: &[ArrayD<f64>]) -> Vec<ArrayD<f64>> {
        let x = inputs[0].view().into_dimensionality::<Ix4>().expect("images");
        let y = Array4::from_shape_fn((self.y.n, self.y.c, self.y.h, self.y.w), |(n, c, i, j)| {
            let ((top, height), (left, width)) = (self.rows.span(i), self.cols.span(j));
            let of_column = |column| (top..top + height).map(|row| x[[n, c, row, column]]).sum::<f64>();
            (left..left + width).map(of_column).sum::<f64>() / self.divisor(i, j)
        });
        vec![y.into_dyn()]
    }

    fn sums(&self) -> Vec<Sum> {
        let terms = self.rows.taps * self.cols.taps;
        let steps = if self.is_global() { terms.div_ceil(8) + 8 } else { self.rows.taps + self.cols.taps };
        vec![Sum::new(terms, steps, "γ(r + s)·Σ|x|/d + u|y|")]
    }

    /// A witness may divide by the rows that are counted, and then by the columns: quotients are then rounded twice.
    fn witness_tolerance(
        &self,
        types: Types,
        fill: Fill,
        inputs: &[ArrayD<f64>],
        expected: &[ArrayD<f64>],
    ) -> Vec<Tolerance> {
        let twice = self.count == Count::Image && !self.divides_exactly();
        self.tolerance(types, if twice { Fill::Real } else { fill }, inputs, expected)
    }

    fn operations(&self) -> (f64, Unit) {
        (self.y.len() as f64 * (self.rows.taps * self.cols.taps) as f64, Unit::Fma)
    }

    fn differentiable(&self) -> Vec<usize> {
        vec![0]
    }
}

const fn w(name: &'static str, point: &'static str, source: &'static str) -> Workload {
    Workload::new(name, point, source)
}

const RESNET: &str = "ResNet-50, global pool";
const DENSENET: &str = "DenseNet-121, pools of the transitions";
const INCEPTION: &str = "Inception-v3, pools of the blocks' branches";

/// What benchmarks time, of the gradient, too.
pub(super) static WORKLOADS: &[Workload] = &[
    w("lenet5.s2", "n=16,c=6,h=28,w=28", "LeNet-5, first subsampling, 16 images").smoke(),
    w("densenet121.transition1", "c=128,h=56,w=56", DENSENET),
    w("densenet121.transition1_nhwc", "c=128,h=56,w=56,layout=nhwc", DENSENET),
    w("densenet121.transition3", "n=4,c=512,h=14,w=14", DENSENET),
    w("inceptionv3.mixed5b", "c=192,h=35,w=35,r=3,s=3,sh=1,sw=1,ph=1,pw=1", INCEPTION),
    w("inceptionv3.mixed5b_nhwc", "c=192,h=35,w=35,r=3,s=3,sh=1,sw=1,ph=1,pw=1,layout=nhwc", INCEPTION),
    w("inceptionv3.mixed6b", "c=768,h=17,w=17,r=3,s=3,sh=1,sw=1,ph=1,pw=1,count=image", INCEPTION),
    w("resnetd.shortcut", "c=256,h=56,w=56,ceil=yes,count=image", "ResNet-50-D, shortcut of the second stage"),
    w("resnet50.global_n1", "c=2048,h=7,w=7,r=7,s=7", RESNET).smoke(),
    w("resnet50.global_n8", "n=8,c=2048,h=7,w=7,r=7,s=7", RESNET),
    w("resnet50.global_nhwc", "n=8,c=2048,h=7,w=7,r=7,s=7,layout=nhwc", RESNET),
    w("efficientnet_b0.squeeze1", "c=32,h=112,w=112,r=112,s=112", "EfficientNet-B0, squeeze of the first block"),
    w(
        "efficientnet_b0.squeeze1_nhwc",
        "c=32,h=112,w=112,r=112,s=112,layout=nhwc",
        "EfficientNet-B0, the same by pixels",
    ),
];

/// The operator `avg_pool2d`.
pub static AVG_POOL2D: Operator = Operator {
    name: "avg_pool2d",
    summary: "mean of the elements under a window that moves over each plane, the whole plane at most",
    axes: AXES,
    types: &[Types::F32, Types::F64],
    make: |point| Ok(Box::new(AvgPool2d::of(point)?)),
    workloads: WORKLOADS,
    special_values: "NaN and ∞ under a window follow the formula; those outside do not reach its output",
    domains: DOMAINS,
    gradient: None,
    witness: Witness::Libtorch,
    batch: Some("n"),
};

#[cfg(test)]
mod tests {
    use super::*;

    fn of_line(text: &str) -> Vec<f64> {
        let problem = AVG_POOL2D.problem(&Point::parse(AXES, text).expect("a point")).expect("a problem");
        let x = ArrayD::from_shape_fn(vec![1, 1, 1, 5], |at| 1.0 + at[3] as f64);
        problem.reference(&[x]).remove(0).into_iter().collect()
    }

    #[test]
    fn taps_behind_the_padding_do_not_count() {
        let line = "c=1,h=1,w=5,r=1,sh=1";
        assert_eq!(of_line(&format!("{line},ceil=yes")), [1.5, 3.5, 5.0]);
        assert_eq!(of_line(line), [1.5, 3.5]);
        assert_eq!(of_line(&format!("{line},pw=1")), [0.5, 2.5, 4.5]);
        assert_eq!(of_line(&format!("{line},pw=1,count=image")), [1.0, 2.5, 4.5]);
        assert_eq!(of_line(&format!("{line},ceil=yes,divisor=4")), [0.75, 1.75, 1.25]);
        // The last window has 4, 5 and a zero of the padding under it, and a tap behind that.
        assert_eq!(of_line(&format!("{line},s=4,sw=2,pw=1,ceil=yes")), [1.5, 3.5, 3.0]);
        assert_eq!(of_line("c=1,h=1,w=5,r=1,s=5,sh=1"), [3.0]);
    }
}

//! `adaptive_avg_pool2d`: the mean of the elements under windows that cover a plane, as many as there are to be
//! outputs.
//!
//! Output row i has the rows from ⌊i·h/oh⌋ to ⌈(i + 1)·h/oh⌉ under it, and columns likewise; all of them count.
//! Otherwise it is [`avg_pool2d`](super::avg_pool2d): its problem, order of summation and bound.

use super::avg_pool2d::{AvgPool2d, CHANNELS, Count, EXTENTS};
use super::pooling::Pooling;
use crate::{Axis, Domain, Operator, Types, Witness, Workload};

const OUTPUTS: &[i64] = &[1, 2, 3, 5, 6, 7, 8, 16, 17];

pub(super) const AXES: &[Axis] = &[
    Axis::int("n", "images", 1, 5, &[0, 1, 2, 4, 5, 33]),
    Axis::int("c", "channels", 1, 70, CHANNELS).positive(),
    Axis::int("h", "rows of the input", 13, 34, EXTENTS).positive(),
    Axis::int("w", "columns of the input", 13, 34, EXTENTS).positive(),
    Axis::int("oh", "rows of the output", 6, 18, OUTPUTS).positive().bounded(),
    Axis::int("ow", "columns of the output", 6, 18, OUTPUTS).positive().bounded(),
    Axis::choice("layout", "order of the images' axes in memory", &["nchw", "nhwc"]),
];

/// Outputs that divide the input, the whole image, more outputs than inputs.
pub(super) const DOMAINS: &[Domain] = &[
    Domain { name: "halved", fixed: &[("h", &[14, 34]), ("w", &[14, 34]), ("oh", &[7, 17]), ("ow", &[7, 17])] },
    Domain { name: "global", fixed: &[("oh", &[1]), ("ow", &[1])] },
    Domain { name: "more", fixed: &[("h", &[2, 3]), ("w", &[2, 3]), ("oh", &[5, 7]), ("ow", &[5, 7])] },
    Domain { name: "nhwc", fixed: &[("layout", &[1])] },
];

const fn w(name: &'static str, point: &'static str, source: &'static str) -> Workload {
    Workload::new(name, point, source)
}

const ALEXNET: &str = "AlexNet of torchvision, pool before fc6, image of 256×256";
const VGG: &str = "VGG-16 of torchvision, pool before fc6, image of 320×320";
const PSPNET: &str = "PSPNet, pyramid on 60×60 features";

/// What benchmarks time, of the gradient, too.
pub(super) static WORKLOADS: &[Workload] = &[
    w("alexnet.pool", "c=256,h=7,w=7", ALEXNET).smoke(),
    w("vgg16.pool_n4", "n=4,c=512,h=10,w=10,oh=7,ow=7", VGG),
    w("vgg16.pool_nhwc", "n=4,c=512,h=10,w=10,oh=7,ow=7,layout=nhwc", VGG).smoke(),
    w("pspnet.bin6", "c=2048,h=60,w=60", PSPNET),
    w("pspnet.bin1", "c=2048,h=60,w=60,oh=1,ow=1", PSPNET),
];

/// The operator `adaptive_avg_pool2d`.
pub static ADAPTIVE_AVG_POOL2D: Operator = Operator {
    name: "adaptive_avg_pool2d",
    summary: "mean of the elements under windows that cover a plane, as many as there are to be outputs",
    axes: AXES,
    types: &[Types::F32, Types::F64],
    make: |point| Ok(Box::new(AvgPool2d::new(Pooling::adaptive(point)?, Count::Image))),
    workloads: WORKLOADS,
    special_values: "NaN and ∞ under a window follow the formula; those outside do not reach its output",
    domains: DOMAINS,
    gradient: None,
    witness: Witness::Libtorch,
    batch: Some("n"),
};

#[cfg(test)]
mod tests {
    use ndarray::ArrayD;

    use super::*;
    use crate::Point;

    fn of_line(outputs: &str) -> Vec<f64> {
        let point = Point::parse(AXES, &format!("c=1,h=1,w=5,oh=1,ow={outputs}")).expect("a point");
        let x = ArrayD::from_shape_fn(vec![1, 1, 1, 5], |at| 1.0 + at[3] as f64);
        ADAPTIVE_AVG_POOL2D.problem(&point).expect("a problem").reference(&[x]).remove(0).into_iter().collect()
    }

    #[test]
    fn windows_cover_the_line() {
        assert_eq!(of_line("1"), [3.0]);
        assert_eq!(of_line("2"), [2.0, 4.0]);
        assert_eq!(of_line("3"), [1.5, 3.0, 4.5]);
        assert_eq!(of_line("5"), [1.0, 2.0, 3.0, 4.0, 5.0]);
        assert_eq!(of_line("7"), [1.0, 1.5, 2.5, 3.0, 3.5, 4.5, 5.0]);
    }
}

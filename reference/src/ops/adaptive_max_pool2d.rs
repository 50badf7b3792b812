//! `adaptive_max_pool2d`: the largest element under windows that cover a plane, as many as there are to be outputs, and
//! where it lies.
//!
//! Windows are those of [`adaptive_avg_pool2d`](super::adaptive_avg_pool2d). Otherwise it is
//! [`max_pool2d`](super::max_pool2d): its problem, and its rules for equal elements, NaN and positions.

pub(super) use super::adaptive_avg_pool2d::{AXES as GEOMETRY, DOMAINS};
use super::gemm::choice_value;
use super::max_pool2d::{INDEX, MaxPool2d};
use super::pooling::Pooling;
use crate::{Axis, Operator, Types, Witness, Workload};

pub(super) const AXES: &[Axis] =
    &[GEOMETRY[0], GEOMETRY[1], GEOMETRY[2], GEOMETRY[3], GEOMETRY[4], GEOMETRY[5], GEOMETRY[6], INDEX];

const fn w(name: &'static str, point: &'static str, source: &'static str) -> Workload {
    Workload::new(name, point, source)
}

const SPP: &str = "SPP-net, pyramid on 13×13 features of its network ZF-5";

/// What benchmarks time, of the gradient, too.
pub(super) static WORKLOADS: &[Workload] = &[
    w("sppnet.bin6", "c=256", SPP).smoke(),
    w("sppnet.bin6_nhwc", "c=256,layout=nhwc", SPP),
    w("sppnet.bin3", "c=256,oh=3,ow=3", SPP),
    w("sppnet.bin1", "c=256,oh=1,ow=1", SPP),
    w("small.halves", "n=4,c=64,h=14,w=14,oh=7,ow=7", "composed for the suite: windows that are tiles"),
];

/// The operator `adaptive_max_pool2d`.
pub static ADAPTIVE_MAX_POOL2D: Operator = Operator {
    name: "adaptive_max_pool2d",
    summary: "largest element under windows that cover a plane, as many as there are to be outputs, and its position",
    axes: AXES,
    types: &[Types::F32, Types::F64],
    make: |point| {
        let index = choice_value(point, "index")? == "yes";
        Ok(Box::new(MaxPool2d { index, ..MaxPool2d::new(Pooling::adaptive(point)?) }))
    },
    workloads: WORKLOADS,
    special_values: "NaN is larger than any number, and the last one under a window is found; of equal elements, +0 and −0 among \
 them, the first one",
    domains: DOMAINS,
    gradient: None,
    witness: Witness::Libtorch,
    batch: Some("n"),
};

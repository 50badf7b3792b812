//! `unpool2d`: each element of a plane becomes a cell of r×s elements.
//!
//! x is n×c×h×w, y n×c×(h·r)×(w·s). On the axis `f`:
//!
//! ```text
//! max      y[n, c, index[n, c, i, j]] += x[n, c, i, j], from 0: max-unpooling, by the positions that a pooling found
//! nearest  y[n, c, row, column] = x[n, c, row/r, column/s]
//! nails    y[n, c, i·r, j·s] = x[n, c, i, j], 0 elsewhere: a bed of nails
//! ```
//! A position is row·(w·s) + column. **Where several elements have one position, they are added**, from +0 by ascending
//! (i, j): that keeps the operator linear, and makes a gather its gradient. An index outside its plane is an error.
//!
//! By positions it is the function of [`max_pool2d_backward`](super::max_pool2d_backward), and has its bound;
//! everything else is a copy.

use ndarray::{Array4, ArrayD, Ix4};

use super::avg_pool2d::{AvgPool2d, Count};
use super::gemm::choice_value;
use super::images::{ImageLayout, Images};
use super::max_pool2d::MaxPool2d;
use super::max_pool2d_backward::MaxPool2dBackward;
use super::pooling::{Pooling, positive};
use super::window::Window;
use crate::operator::size;
use crate::tensor::Values;
use crate::{
    Axis, DType, Data, Domain, Fill, Layout, Operator, Point, Port, Problem, ProblemError, Tolerance, Types, Unit,
    Witness, Workload,
};

pub(super) const AXES: &[Axis] = &[
    Axis::choice("f", "where an element goes in its cell", &["max", "nearest", "nails"]).variant(),
    Axis::int("n", "images", 1, 5, &[0, 1, 2, 4, 5, 33]),
    Axis::int("c", "channels", 1, 40, &[1, 2, 3, 7, 8, 9, 15, 16, 17, 31, 32, 33]).positive(),
    Axis::int("h", "rows of the input", 8, 20, &[1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17]).positive(),
    Axis::int("w", "columns of the input", 8, 20, &[1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 33]).positive(),
    Axis::int("r", "rows of a cell", 2, 4, &[1, 2, 3]).positive().bounded(),
    Axis::int("s", "columns of a cell", 2, 4, &[1, 2, 3]).positive().bounded(),
    Axis::choice("layout", "order of the images' axes in memory", &["nchw", "nhwc"]),
];

/// Cells that networks have.
pub(super) const DOMAINS: &[Domain] =
    &[Domain { name: "2x2", fixed: &[("r", &[2]), ("s", &[2])] }, Domain { name: "nhwc", fixed: &[("layout", &[1])] }];

/// Where an element goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum To {
    /// Where an index says.
    Index,
    /// To all of its cell.
    Cell,
    /// To the first element of its cell.
    Corner,
}

/// A validated unpooling.
#[derive(Clone, Debug, PartialEq)]
pub struct Unpool2d {
    /// Where elements go.
    pub to: To,
    /// The pooling of tiles whose input is y, and whose output is x.
    pub pool: MaxPool2d,
}

impl Unpool2d {
    pub(super) fn of(point: &Point) -> Result<Unpool2d, ProblemError> {
        let to = match choice_value(point, "f")? {
            "max" => To::Index,
            "nearest" => To::Cell,
            _ => To::Corner,
        };
        let tiles = |what, [input, taps]: [&'static str; 2]| {
            let (output, taps) = (positive(point, input)?, positive(point, taps)?);
            let overflow = ProblemError::Overflow { what: "extent of the output" };
            Window::pooling(what, [output.checked_mul(taps).ok_or(overflow)?, taps, taps, 1, 0], false)
        };
        let layout = if choice_value(point, "layout")? == "nchw" { ImageLayout::Nchw } else { ImageLayout::Nhwc };
        let (rows, cols) = (tiles("rows", ["h", "r"])?, tiles("columns", ["w", "s"])?);
        let (n, c) = (size(point, "n")?, positive(point, "c")?);
        let x = Images::new(n, c, rows.input, cols.input, layout)?;
        let y = Images::new(n, c, rows.output, cols.output, layout)?;
        Ok(Unpool2d { to, pool: MaxPool2d::new(Pooling { x, y, rows, cols }) })
    }

    /// Positions, if there are any.
    pub(super) fn index(&self, types: Types) -> Port {
        let (x, y) = (&self.pool.y, &self.pool.x);
        let layout = if self.to == To::Index { x.port_layout() } else { Layout::absent() };
        Port::new("index", types, layout).typed(DType::I64).drawn(Values::Below(y.h * y.w))
    }

    /// By positions: what it is the gradient of, as a function of upstream gradients and positions.
    fn scatter(&self) -> Option<MaxPool2dBackward> {
        (self.to == To::Index).then(|| MaxPool2dBackward { pool: self.pool.clone() })
    }

    /// The pooling that adds up a cell.
    pub fn cells(&self) -> AvgPool2d {
        let MaxPool2d { x, y, rows, cols, .. } = self.pool;
        AvgPool2d { x, y, rows, cols, count: Count::Fixed(1) }
    }
}

impl Problem for Unpool2d {
    fn inputs(&self, types: Types) -> Vec<Port> {
        vec![Port::new("x", types, self.pool.y.port_layout()), self.index(types)]
    }

    fn outputs(&self, types: Types) -> Vec<Port> {
        vec![Port::new("y", types, self.pool.x.port_layout())]
    }

    /// An index lies in its cell.
    fn draw(&self, types: Types, fill: Fill, seed: u64) -> Vec<Data> {
        self.scatter().map_or_else(|| fill.make(&self.inputs(types), seed), |scatter| scatter.draw(types, fill, seed))
    }

    fn reference(&self, inputs: &[ArrayD<f64>]) -> Vec<ArrayD<f64>> {
        if let Some(scatter) = self.scatter() {
            return scatter.reference(inputs);
        }
        let MaxPool2d { x: large, rows, cols, .. } = &self.pool;
        let x = inputs[0].view().into_dimensionality::<Ix4>().expect("images");
        let shape = (large.n, large.c, large.h, large.w);
        let y = Array4::from_shape_fn(shape, |(n, c, row, column)| {
            let corner = row % rows.taps == 0 && column % cols.taps == 0;
            if corner || self.to == To::Cell { x[[n, c, row / rows.taps, column / cols.taps]] } else { 0.0 }
        });
        vec![y.into_dyn()]
    }

    fn tolerance(&self, types: Types, fill: Fill, inputs: &[ArrayD<f64>], expected: &[ArrayD<f64>]) -> Vec<Tolerance> {
        self.scatter().map_or(vec![Tolerance::Exact], |scatter| scatter.tolerance(types, fill, inputs, expected))
    }

    fn operations(&self) -> (f64, Unit) {
        (self.pool.x.len() as f64, Unit::Integer)
    }

    fn differentiable(&self) -> Vec<usize> {
        vec![0]
    }

    fn degenerate(&self) -> bool {
        // Nearly all of a large cell is 0.
        self.to != To::Cell && self.pool.rows.taps * self.pool.cols.taps >= 8
    }
}

const fn w(name: &'static str, point: &'static str, source: &'static str) -> Workload {
    Workload::new(name, point, source)
}

const SEGNET: &str = "SegNet, unpooling of the decoder";
const LAINA: &str = "Laina et al. 2016, first up-projection";
const YOLO: &str = "YOLOv3, upsampling before the second scale";

/// What benchmarks time, of the gradient, too.
pub(super) static WORKLOADS: &[Workload] = &[
    w("segnet.last", "f=max,c=64,h=112,w=112", SEGNET),
    w("segnet.last_nhwc", "f=max,c=64,h=112,w=112,layout=nhwc", SEGNET),
    w("segnet.second", "f=max,c=512,h=14,w=14", SEGNET).smoke(),
    w("yolov3.upsample", "f=nearest,c=256,h=13,w=13", YOLO).smoke(),
    w("yolov3.upsample_nhwc", "f=nearest,c=256,h=13,w=13,layout=nhwc", YOLO),
    w("fpn.top_down", "f=nearest,n=2,c=256,h=56,w=56", "FPN on ResNet-50, last upsampling"),
    w("laina.unpool1", "f=nails,c=1024,h=8,w=10", LAINA).smoke(),
    w("laina.unpool1_nhwc", "f=nails,c=1024,h=8,w=10,layout=nhwc", LAINA),
];

/// The operator `unpool2d`.
pub static UNPOOL2D: Operator = Operator {
    name: "unpool2d",
    summary: "each element becomes a cell: max-unpooling by positions, nearest neighbour, bed of nails",
    axes: AXES,
    types: &[Types::F32, Types::F64],
    make: |point| Ok(Box::new(Unpool2d::of(point)?)),
    workloads: WORKLOADS,
    special_values: "NaN and ∞ are copied; elements of one position are added; an index outside its plane is an error",
    domains: DOMAINS,
    gradient: None,
    witness: Witness::Libtorch,
    batch: Some("n"),
};

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str, positions: &[f64]) -> Vec<f64> {
        let point = Point::parse(AXES, &format!("c=1,h=1,w=2,{text}")).expect("a point");
        let array = |shape: &[usize], values: &[f64]| ArrayD::from_shape_vec(shape, values.to_vec()).expect("all");
        let shape = if positions.is_empty() { vec![0] } else { vec![1, 1, 1, 2] };
        let inputs = [array(&[1, 1, 1, 2], &[3.0, 5.0]), array(&shape, positions)];
        UNPOOL2D.problem(&point).expect("a problem").reference(&inputs).remove(0).into_iter().collect()
    }

    #[test]
    fn elements_fill_their_cells() {
        assert_eq!(of("f=nearest", &[]), [3.0, 3.0, 5.0, 5.0, 3.0, 3.0, 5.0, 5.0]);
        assert_eq!(of("f=nails", &[]), [3.0, 0.0, 5.0, 0.0, 0.0, 0.0, 0.0, 0.0]);
        assert_eq!(of("f=max", &[4.0, 3.0]), [0.0, 0.0, 0.0, 5.0, 3.0, 0.0, 0.0, 0.0]);
    }

    #[test]
    fn elements_of_one_position_are_added() {
        assert_eq!(of("f=max", &[6.0, 6.0])[6], 8.0);
    }
}

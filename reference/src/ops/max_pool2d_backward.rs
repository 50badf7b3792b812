//! `max_pool2d_backward`: the gradient of [`max_pool2d`](super::max_pool2d) with respect to its images.
//!
//! `dx[n, c, p] = Σ dy[n, c, i, j]` over the outputs whose index is p. **Order of summation**: from +0, by ascending (i, j).
//! An index outside its plane is an error.

use ndarray::{ArrayD, Ix4};

use super::max_pool2d::{AXES, DOMAINS, GEOMETRY, MAX_POOL2D, MaxPool2d, WORKLOADS};
use crate::tensor::Values;
use crate::{
    Axis, DType, Data, Fill, Gradient, Operator, Point, Port, Problem, Takes, Tolerance, Types, Unit, Witness, scatter,
    tolerance,
};

/// A validated gradient.
#[derive(Clone, Debug, PartialEq)]
pub struct MaxPool2dBackward {
    /// The pooling.
    pub pool: MaxPool2d,
}

impl MaxPool2dBackward {
    /// For each input element, the sum of what the outputs that found it have.
    fn sums(&self, dy: &ArrayD<f64>, index: &ArrayD<f64>) -> ArrayD<f64> {
        let x = &self.pool.x;
        let mut dx = ndarray::Array4::zeros((x.n, x.c, x.h, x.w));
        let [dy, index] = [dy, index].map(|a| a.view().into_dimensionality::<Ix4>().expect("images"));
        for ((n, c, i, j), dy) in dy.indexed_iter() {
            let place = index[[n, c, i, j]] as usize;
            dx[[n, c, place / x.w, place % x.w]] += dy;
        }
        dx.into_dyn()
    }
}

impl Problem for MaxPool2dBackward {
    fn inputs(&self, types: Types) -> Vec<Port> {
        let y = &self.pool.y;
        vec![
            Port::new("dy", types, y.port_layout()),
            Port::new("index", types, y.port_layout())
                .typed(DType::I64)
                .drawn(Values::Below(self.pool.x.h * self.pool.x.w)),
        ]
    }

    fn outputs(&self, types: Types) -> Vec<Port> {
        vec![Port::new("dx", types, self.pool.x.port_layout())]
    }

    /// An index lies under its window.
    fn draw(&self, types: Types, fill: Fill, seed: u64) -> Vec<Data> {
        let ports = self.inputs(types);
        let mut data = fill.make(&ports, seed);
        draw_positions(&self.pool, &ports[1], &mut data[1]);
        data
    }

    fn reference(&self, inputs: &[ArrayD<f64>]) -> Vec<ArrayD<f64>> {
        vec![self.sums(&inputs[0], &inputs[1])]
    }

    /// A chain of as many additions as outputs found the element that most of them found.
    fn tolerance(&self, types: Types, fill: Fill, inputs: &[ArrayD<f64>], expected: &[ArrayD<f64>]) -> Vec<Tolerance> {
        if fill == Fill::Exact {
            return vec![Tolerance::Exact];
        }
        let magnitude = self.sums(&inputs[0].mapv(f64::abs), &inputs[1]);
        let found = self.sums(&inputs[0].mapv(|_| 1.0), &inputs[1]);
        let most = found.iter().fold(0.0, |most: f64, &count| most.max(count));
        let bound = tolerance::of_chains(most as usize, &magnitude, types, &expected[0]);
        vec![Tolerance::bound("γ(times found)·Σ|dy| + u|dx|", bound, &expected[0])]
    }

    fn operations(&self) -> (f64, Unit) {
        (self.pool.y.len() as f64, Unit::Integer)
    }

    fn degenerate(&self) -> bool {
        // Where windows are few, most elements are found by none.
        let (x, y) = (&self.pool.x, &self.pool.y);
        8 * y.h * y.w < x.h * x.w || y.h * y.w <= 1
    }
}

/// Positions that a pooling may have found, of drawn ones.
pub(super) fn draw_positions(pool: &MaxPool2d, port: &Port, data: &mut Data) {
    let mut index = crate::gather(&port.layout, data).into_dimensionality::<Ix4>().expect("images");
    for ((_, _, i, j), index) in index.indexed_iter_mut() {
        let under: Vec<_> = pool.under(i, j).collect();
        let (row, column) = under[*index as usize % under.len()];
        *index = (row * pool.x.w + column) as f64;
    }
    scatter(&port.layout, &index.into_dyn(), data);
}

/// The pooling's point with the geometry of the gradient's.
fn forward_point(point: &Point) -> Point {
    GEOMETRY.iter().fold(Point::default_of(AXES), |to: Point, axis: &Axis| to.with(axis.name, point.get(axis.name)))
}

/// The operator `max_pool2d_backward`.
pub static MAX_POOL2D_BACKWARD: Operator = Operator {
    name: "max_pool2d_backward",
    summary: "gradient of max_pool2d with respect to its images",
    axes: GEOMETRY,
    types: &[Types::F32, Types::F64],
    make: |point| Ok(Box::new(MaxPool2dBackward { pool: MaxPool2d::plain(point)? })),
    workloads: WORKLOADS,
    special_values: "NaN and ∞ of dy follow the formula; an index outside its plane is an error",
    domains: DOMAINS,
    gradient: Some(&GRADIENT),
    witness: Witness::Libtorch,
    batch: Some("n"),
};

static GRADIENT: Gradient = Gradient {
    forward: &MAX_POOL2D,
    point: forward_point,
    takes: &[Takes::Upstream(0), Takes::Output(1)],
    gives: &[(0, 0)],
    linear: |_| &[],
    autograd: None,
    near_kink,
};

/// Where the largest two elements under a window are close, a step changes which one is found.
pub(super) fn near_kink(problem: &dyn Problem, inputs: &[ArrayD<f64>], step: f64) -> bool {
    let pool: &MaxPool2d = crate::operator::downcast(problem);
    let x = inputs[0].view().into_dimensionality::<Ix4>().expect("images");
    ndarray::indices((pool.y.n, pool.y.c, pool.y.h, pool.y.w)).into_iter().any(|(n, c, i, j)| {
        let mut values: Vec<f64> = pool.under(i, j).map(|(row, column)| x[[n, c, row, column]]).collect();
        values.sort_by(f64::total_cmp);
        matches!(values[..], [.., a, b] if b - a <= 4.0 * step)
    })
}

//! `max_pool2d`, `adaptive_max_pool2d` and their gradients.

use tch::{Kind, TchError, Tensor};

use super::{Operands, Twin, Way};
use crate::Problem;
use crate::operator::downcast;
use crate::ops::images::Images;
use crate::ops::max_pool2d::MaxPool2d;
use crate::ops::max_pool2d_backward::MaxPool2dBackward;

pub(super) const MAX_POOL2D: Twin = Twin { op: "max_pool2d", forward, slack: |_| 1.0, ways };
pub(super) const MAX_POOL2D_BACKWARD: Twin =
    Twin { op: "max_pool2d_backward", forward: backward, slack: |_| 1.0, ways: backward_ways };

pub(super) const ADAPTIVE: Twin =
    Twin { op: "adaptive_max_pool2d", forward: adaptive, slack: |_| 1.0, ways: ways_adaptive };
pub(super) const ADAPTIVE_BACKWARD: Twin = Twin {
    op: "adaptive_max_pool2d_backward",
    forward: adaptive_backward,
    slack: |_| 1.0,
    ways: ways_adaptive_backward,
};

/// Window, stride, padding and dilation as libtorch takes them.
#[derive(Clone, Copy)]
struct Geometry {
    taps: [i64; 2],
    stride: [i64; 2],
    padding: [i64; 2],
    dilation: [i64; 2],
    ceil: bool,
}

impl Geometry {
    fn new(pool: &MaxPool2d) -> Geometry {
        let both = |of: fn(&crate::ops::window::Window) -> usize| [of(&pool.rows) as i64, of(&pool.cols) as i64];
        Geometry {
            taps: both(|w| w.taps),
            stride: both(|w| w.stride),
            padding: both(|w| w.before),
            dilation: both(|w| w.dilation),
            ceil: pool.rows.after > pool.rows.before || pool.cols.after > pool.cols.before,
        }
    }
}

fn forward(problem: &dyn Problem, inputs: &[Tensor]) -> Result<Vec<Tensor>, TchError> {
    let pool: &MaxPool2d = downcast(problem);
    let Geometry { taps, stride, padding, dilation, ceil } = Geometry::new(pool);
    let (y, index) = inputs[0].f_max_pool2d_with_indices(taps, stride, padding, dilation, ceil)?;
    let none = Tensor::f_empty([0], (Kind::Int64, y.device()))?;
    Ok(vec![y, if pool.index { index } else { none }])
}

fn ways(problem: &dyn Problem, operands: &Operands<'_>) -> Result<Vec<Way>, TchError> {
    let pool: &MaxPool2d = downcast(problem);
    let Geometry { taps, stride, padding, dilation, ceil } = Geometry::new(pool);
    let outputs = operands.outputs()?;
    let (x, y) = (operands.inputs[0].shallow_clone(), outputs[0].shallow_clone());
    // libtorch finds positions whether they are wanted or not.
    let index = if pool.index { outputs[1].shallow_clone() } else { y.f_zeros_like()?.f_to_kind(Kind::Int64)? };
    let out = Way::out("max_pool2d_with_indices_out", outputs, move || {
        x.f_max_pool2d_with_indices_out(&y, &index, taps, stride, padding, dilation, ceil).map(|_| ())
    });
    let (x, wanted) = (operands.inputs[0].shallow_clone(), pool.index);
    let fresh = Way::fresh("max_pool2d", move || {
        let none = Tensor::f_empty([0], (Kind::Int64, x.device()))?;
        if wanted {
            let (y, index) = x.f_max_pool2d_with_indices(taps, stride, padding, dilation, ceil)?;
            return Ok(vec![y, index]);
        }
        Ok(vec![x.f_max_pool2d(taps, stride, padding, dilation, ceil)?, none])
    });
    Ok(vec![out.tried()?, fresh.tried()?])
}

/// The images, of which libtorch reads the shape alone.
pub(super) fn images(x: &Images, like: &Tensor) -> Result<Tensor, TchError> {
    let layout = x.port_layout();
    let [shape, strides] =
        [&layout.shape, &layout.strides].map(|list| list.iter().map(|&x| x as i64).collect::<Vec<_>>());
    Tensor::f_empty_strided(shape, strides, (like.kind(), like.device()))
}

fn backward(problem: &dyn Problem, inputs: &[Tensor]) -> Result<Vec<Tensor>, TchError> {
    let MaxPool2dBackward { pool } = downcast(problem);
    let Geometry { taps, stride, padding, dilation, ceil } = Geometry::new(pool);
    let [dy, index] = inputs else { panic!("two inputs") };
    let x = images(&pool.x, dy)?;
    Ok(vec![x.f_max_pool2d_with_indices_backward(dy, taps, stride, padding, dilation, ceil, index)?])
}

fn backward_ways(problem: &dyn Problem, operands: &Operands<'_>) -> Result<Vec<Way>, TchError> {
    let MaxPool2dBackward { pool } = downcast(problem);
    let Geometry { taps, stride, padding, dilation, ceil } = Geometry::new(pool);
    let outputs = operands.outputs()?;
    let [dy, index] = [0, 1].map(|i| operands.inputs[i].shallow_clone());
    let (x, dx) = (images(&pool.x, &dy)?, outputs[0].shallow_clone());
    let way = Way::out("max_pool2d_with_indices_backward", outputs, move || {
        x.f_max_pool2d_with_indices_backward_grad_input(&dx, &dy, taps, stride, padding, dilation, ceil, &index)
            .map(|_| ())
    });
    Ok(vec![way.tried()?])
}

/// Rows and columns of images.
pub(super) fn extents(images: &Images) -> [i64; 2] {
    [images.h as i64, images.w as i64]
}

fn adaptive(problem: &dyn Problem, inputs: &[Tensor]) -> Result<Vec<Tensor>, TchError> {
    let pool: &MaxPool2d = downcast(problem);
    let (y, index) = inputs[0].f_adaptive_max_pool2d(extents(&pool.y))?;
    let none = Tensor::f_empty([0], (Kind::Int64, y.device()))?;
    Ok(vec![y, if pool.index { index } else { none }])
}

fn ways_adaptive(problem: &dyn Problem, operands: &Operands<'_>) -> Result<Vec<Way>, TchError> {
    let pool: &MaxPool2d = downcast(problem);
    let (size, outputs) = (extents(&pool.y), operands.outputs()?);
    let (x, y) = (operands.inputs[0].shallow_clone(), outputs[0].shallow_clone());
    let index = if pool.index { outputs[1].shallow_clone() } else { y.f_zeros_like()?.f_to_kind(Kind::Int64)? };
    let way =
        Way::out("adaptive_max_pool2d_out", outputs, move || x.f_adaptive_max_pool2d_out(&y, &index, size).map(|_| ()));
    Ok(vec![way.tried()?])
}

fn adaptive_backward(problem: &dyn Problem, inputs: &[Tensor]) -> Result<Vec<Tensor>, TchError> {
    let MaxPool2dBackward { pool } = downcast(problem);
    let [dy, index] = inputs else { panic!("two inputs") };
    Ok(vec![images(&pool.x, dy)?.f_adaptive_max_pool2d_backward(dy, index)?])
}

fn ways_adaptive_backward(problem: &dyn Problem, operands: &Operands<'_>) -> Result<Vec<Way>, TchError> {
    let MaxPool2dBackward { pool } = downcast(problem);
    let outputs = operands.outputs()?;
    let [dy, index] = [0, 1].map(|i| operands.inputs[i].shallow_clone());
    let (x, dx) = (images(&pool.x, &dy)?, outputs[0].shallow_clone());
    let way = Way::out("adaptive_max_pool2d_backward", outputs, move || {
        x.f_adaptive_max_pool2d_backward_grad_input(&dx, &dy, &index).map(|_| ())
    });
    Ok(vec![way.tried()?])
}

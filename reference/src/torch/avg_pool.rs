//! `avg_pool2d`, `adaptive_avg_pool2d` and their gradients.

use tch::{TchError, Tensor};

use super::pool::{extents, images};
use super::{Operands, Twin, Way};
use crate::Problem;
use crate::operator::downcast;
use crate::ops::avg_pool2d::{AvgPool2d, Count};
use crate::ops::avg_pool2d_backward::AvgPool2dBackward;
use crate::tolerance::one_chain;

fn slack(problem: &dyn Problem) -> f64 {
    one_chain(&problem.sums())
}

pub(super) const AVG_POOL2D: Twin = Twin { op: "avg_pool2d", forward, slack, ways };
pub(super) const AVG_POOL2D_BACKWARD: Twin =
    Twin { op: "avg_pool2d_backward", forward: backward, slack, ways: ways_back };
pub(super) const ADAPTIVE: Twin = Twin { op: "adaptive_avg_pool2d", forward: adaptive, slack, ways: ways_adaptive };
pub(super) const ADAPTIVE_BACKWARD: Twin =
    Twin { op: "adaptive_avg_pool2d_backward", forward: adaptive_backward, slack, ways: ways_adaptive_back };

/// Window, stride, padding and divisor as libtorch takes them.
#[derive(Clone, Copy)]
struct Geometry {
    taps: [i64; 2],
    stride: [i64; 2],
    padding: [i64; 2],
    ceil: bool,
    counts: bool,
    divisor: Option<i64>,
}

impl Geometry {
    fn new(p: &AvgPool2d) -> Geometry {
        let both = |of: fn(&crate::ops::window::Window) -> usize| [of(&p.rows) as i64, of(&p.cols) as i64];
        Geometry {
            taps: both(|w| w.taps),
            stride: both(|w| w.stride),
            padding: both(|w| w.before),
            ceil: p.rows.after > p.rows.before || p.cols.after > p.cols.before,
            counts: p.count != Count::Image,
            divisor: if let Count::Fixed(divisor) = p.count { Some(divisor as i64) } else { None },
        }
    }
}

fn forward(problem: &dyn Problem, inputs: &[Tensor]) -> Result<Vec<Tensor>, TchError> {
    let Geometry { taps, stride, padding, ceil, counts, divisor } = Geometry::new(downcast(problem));
    Ok(vec![inputs[0].f_avg_pool2d(taps, stride, padding, ceil, counts, divisor)?])
}

/// The mean over the planes, if there is one window and it counts what is under it.
fn mean(p: &AvgPool2d, operands: &Operands<'_>) -> Result<Option<Way>, TchError> {
    if !p.is_global() || p.divisor(0, 0) != (p.x.h * p.x.w) as f64 {
        return Ok(None);
    }
    let outputs = operands.outputs()?;
    let (x, y) = (operands.inputs[0].shallow_clone(), outputs[0].shallow_clone());
    let way = Way::out("mean_out", outputs, move || {
        x.f_mean_out(&y, [2i64, 3].as_slice(), true, None::<tch::Kind>).map(|_| ())
    });
    way.tried().map(Some)
}

fn ways(problem: &dyn Problem, operands: &Operands<'_>) -> Result<Vec<Way>, TchError> {
    let p: &AvgPool2d = downcast(problem);
    let Geometry { taps, stride, padding, ceil, counts, divisor } = Geometry::new(p);
    let outputs = operands.outputs()?;
    let (x, y) = (operands.inputs[0].shallow_clone(), outputs[0].shallow_clone());
    let way = Way::out("avg_pool2d_out", outputs, move || {
        x.f_avg_pool2d_out(&y, taps, stride, padding, ceil, counts, divisor).map(|_| ())
    });
    Ok([Some(way.tried()?), mean(p, operands)?].into_iter().flatten().collect())
}

fn backward(problem: &dyn Problem, inputs: &[Tensor]) -> Result<Vec<Tensor>, TchError> {
    let AvgPool2dBackward { pool } = downcast(problem);
    let Geometry { taps, stride, padding, ceil, counts, divisor } = Geometry::new(pool);
    let x = images(&pool.x, &inputs[0])?;
    Ok(vec![x.f_avg_pool2d_backward(&inputs[0], taps, stride, padding, ceil, counts, divisor)?])
}

fn ways_back(problem: &dyn Problem, operands: &Operands<'_>) -> Result<Vec<Way>, TchError> {
    let AvgPool2dBackward { pool } = downcast(problem);
    let Geometry { taps, stride, padding, ceil, counts, divisor } = Geometry::new(pool);
    let outputs = operands.outputs()?;
    let (dy, dx) = (operands.inputs[0].shallow_clone(), outputs[0].shallow_clone());
    let x = images(&pool.x, &dy)?;
    let way = Way::out("avg_pool2d_backward", outputs, move || {
        x.f_avg_pool2d_backward_grad_input(&dx, &dy, taps, stride, padding, ceil, counts, divisor).map(|_| ())
    });
    Ok(vec![way.tried()?])
}

fn adaptive(problem: &dyn Problem, inputs: &[Tensor]) -> Result<Vec<Tensor>, TchError> {
    let p: &AvgPool2d = downcast(problem);
    Ok(vec![inputs[0].f_adaptive_avg_pool2d(extents(&p.y))?])
}

fn ways_adaptive(problem: &dyn Problem, operands: &Operands<'_>) -> Result<Vec<Way>, TchError> {
    let p: &AvgPool2d = downcast(problem);
    let (size, outputs) = (extents(&p.y), operands.outputs()?);
    let (x, y) = (operands.inputs[0].shallow_clone(), outputs[0].shallow_clone());
    let way = Way::out("adaptive_avg_pool2d_out", outputs, move || x.f_adaptive_avg_pool2d_out(&y, size).map(|_| ()));
    Ok([Some(way.tried()?), mean(p, operands)?].into_iter().flatten().collect())
}

fn adaptive_backward(problem: &dyn Problem, inputs: &[Tensor]) -> Result<Vec<Tensor>, TchError> {
    let AvgPool2dBackward { pool } = downcast(problem);
    Ok(vec![images(&pool.x, &inputs[0])?.f_internal_adaptive_avg_pool2d_backward(&inputs[0])?])
}

fn ways_adaptive_back(problem: &dyn Problem, operands: &Operands<'_>) -> Result<Vec<Way>, TchError> {
    let AvgPool2dBackward { pool } = downcast(problem);
    let outputs = operands.outputs()?;
    let (dy, dx) = (operands.inputs[0].shallow_clone(), outputs[0].shallow_clone());
    let x = images(&pool.x, &dy)?;
    let way = Way::out("_adaptive_avg_pool2d_backward", outputs, move || {
        x.f_internal_adaptive_avg_pool2d_backward_out(&dx, &dy).map(|_| ())
    });
    Ok(vec![way.tried()?])
}

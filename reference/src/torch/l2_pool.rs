//! `l2_pool2d` and its gradient, by single operators: sums of squares are means with a divisor of 1.

use tch::{TchError, Tensor};

use super::{Operands, Twin, Way};
use crate::Problem;
use crate::operator::downcast;
use crate::ops::avg_pool2d::AvgPool2d;
use crate::ops::l2_pool2d::L2Pool2d;
use crate::ops::l2_pool2d_backward::L2Pool2dBackward;
use crate::ops::window::Window;
use crate::tolerance::one_chain;

fn slack(problem: &dyn Problem) -> f64 {
    one_chain(&problem.sums())
}

pub(super) const L2_POOL2D: Twin = Twin { op: "l2_pool2d", forward, slack, ways };
pub(super) const L2_POOL2D_BACKWARD: Twin =
    Twin { op: "l2_pool2d_backward", forward: backward, slack, ways: ways_back };

/// Window, stride and padding, and whether windows may end behind it.
fn geometry(p: &AvgPool2d) -> ([[i64; 2]; 3], bool) {
    let both = |of: fn(&Window) -> usize| [of(&p.rows) as i64, of(&p.cols) as i64];
    let ceil = p.rows.after > p.rows.before || p.cols.after > p.cols.before;
    ([both(|w| w.taps), both(|w| w.stride), both(|w| w.before)], ceil)
}

fn norms(p: &AvgPool2d, x: &Tensor) -> Result<Tensor, TchError> {
    let ([taps, stride, padding], ceil) = geometry(p);
    x.f_square()?.f_avg_pool2d(taps, stride, padding, ceil, true, 1)?.f_sqrt()
}

fn forward(problem: &dyn Problem, inputs: &[Tensor]) -> Result<Vec<Tensor>, TchError> {
    Ok(vec![norms(&downcast::<L2Pool2d>(problem).pool, &inputs[0])?])
}

fn ways(problem: &dyn Problem, operands: &Operands<'_>) -> Result<Vec<Way>, TchError> {
    let (p, x) = (downcast::<L2Pool2d>(problem).pool.clone(), operands.inputs[0].shallow_clone());
    Ok(vec![Way::fresh("square, avg_pool2d, sqrt", move || Ok(vec![norms(&p, &x)?])).tried()?])
}

/// x·Σ dy/y, where y is not 0.
fn gradient(p: &AvgPool2d, inputs: &[Tensor]) -> Result<Tensor, TchError> {
    let ([taps, stride, padding], ceil) = geometry(p);
    let [dy, x, y] = inputs else { panic!("three inputs") };
    let shares = dy.f_div(y)?.f_masked_fill(&y.f_eq(0.0)?, 0.0)?;
    let all = |dy: &Tensor| x.f_avg_pool2d_backward(dy, taps, stride, padding, ceil, true, 1);
    let dx = all(&shares)?.f_mul(x)?;
    let under_none = |window: &Window| (0..window.input).any(|at| window.covering(at).1 == 0);
    if under_none(&p.rows) || under_none(&p.cols) {
        // There the factor is 0, and x may be no number.
        return dx.f_masked_fill(&all(&dy.f_ones_like()?)?.f_eq(0.0)?, 0.0);
    }
    Ok(dx)
}

fn backward(problem: &dyn Problem, inputs: &[Tensor]) -> Result<Vec<Tensor>, TchError> {
    Ok(vec![gradient(&downcast::<L2Pool2dBackward>(problem).forward.pool, inputs)?])
}

fn ways_back(problem: &dyn Problem, operands: &Operands<'_>) -> Result<Vec<Way>, TchError> {
    let p = downcast::<L2Pool2dBackward>(problem).forward.pool.clone();
    let own: Vec<Tensor> = operands.inputs.iter().map(Tensor::shallow_clone).collect();
    Ok(vec![Way::fresh("single operators", move || Ok(vec![gradient(&p, &own)?])).tried()?])
}

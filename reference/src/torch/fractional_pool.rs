//! `fractional_max_pool2d` and its gradient. libtorch has windows at pseudorandom places; other regions are gathered.

use tch::{Kind, TchError, Tensor};

use super::pool::{extents, images};
use super::tensors::to_array;
use super::{Operands, Twin, Way};
use crate::operator::downcast;
use crate::ops::fractional_max_pool2d::{Along, FractionalMaxPool2d, Regions};
use crate::ops::images::ImageLayout;
use crate::ops::max_pool2d_backward::MaxPool2dBackward;
use crate::{DType, Data, Problem};

pub(super) const FRACTIONAL: Twin = Twin { op: "fractional_max_pool2d", forward, slack: |_| 1.0, ways };
pub(super) const FRACTIONAL_BACKWARD: Twin =
    Twin { op: "fractional_max_pool2d_backward", forward: backward, slack: |_| 1.0, ways: ways_back };

/// The window, if it is libtorch's form.
fn window(p: &FractionalMaxPool2d) -> Option<[i64; 2]> {
    match (p.rows, p.cols) {
        (
            Along { regions: Regions::Window(r), random: false, .. },
            Along { regions: Regions::Window(s), random: false, .. },
        ) => Some([r as i64, s as i64]),
        _ => None,
    }
}

/// Whether libtorch's windows begin elsewhere: it rounds their places in the type of the uniforms.
pub(super) fn moves(p: &FractionalMaxPool2d, u: &Data) -> bool {
    let rounded = |x: f64| if u.dtype() == DType::F64 { x } else { f64::from(x as f32) };
    let elsewhere = |along: Along, u: f64| {
        let Regions::Window(taps) = along.regions else { return false };
        let alpha = rounded((along.input - taps) as f64 / (along.output - 1).max(1) as f64);
        let place = |i: usize| rounded(rounded(i as f64 + u) * alpha) as usize;
        let mut differ = false;
        along.each(|_| u, |i, start, _| differ |= i + 1 < along.output && start != place(i).wrapping_sub(place(0)));
        differ
    };
    window(p).is_some() && u.to_f64().chunks(2).any(|u| elsewhere(p.cols, u[0]) || elsewhere(p.rows, u[1]))
}

/// The largest elements of all regions and their positions: each region is a row of elements, the first one repeated
/// before the others so that all rows are equally long.
fn gathered(p: &FractionalMaxPool2d, x: &Tensor, u: &Tensor) -> Result<[Tensor; 2], TchError> {
    let uniforms: Vec<f64> = to_array(u)?.into_iter().collect();
    let mut all = Vec::new();
    for uniforms in uniforms.chunks(p.uniforms()) {
        let [rows, cols] = p.regions(uniforms);
        for (rows, cols) in rows.iter().flat_map(|rows| cols.iter().map(move |cols| (rows, cols))) {
            let of_row = |row: usize| (cols.0..cols.1).map(move |column| (row * p.x.w + column) as i64);
            all.push((rows.0..rows.1).flat_map(of_row).collect::<Vec<i64>>());
        }
    }
    let longest = all.iter().map(Vec::len).max().unwrap_or(1);
    let places: Vec<i64> = all
        .iter()
        .flat_map(|region| std::iter::repeat_n(region[0], longest - region.len()).chain(region.iter().copied()))
        .collect();
    let [planes, outputs] = [p.y.n * p.y.c, p.y.h * p.y.w].map(|extent| extent as i64);
    let longest = longest as i64;
    let places = Tensor::f_from_slice(&places)?;
    let of_planes = places.f_reshape([planes, outputs * longest])?;
    let values = x.f_reshape([planes, (p.x.h * p.x.w) as i64])?.f_gather(1, &of_planes, false)?;
    let rows = values.f_reshape([planes * outputs, 1, 1, longest])?;
    let (y, found) = rows.f_max_pool2d_with_indices([1, longest], [1, 1], [0, 0], [1, 1], false)?;
    let index =
        places.f_reshape([planes * outputs, longest])?.f_gather(1, &found.f_reshape([planes * outputs, 1])?, false)?;
    let shape = [p.y.n, p.y.c, p.y.h, p.y.w].map(|extent| extent as i64);
    Ok([y.f_reshape(shape)?, index.f_reshape(shape)?])
}

fn forward(problem: &dyn Problem, inputs: &[Tensor]) -> Result<Vec<Tensor>, TchError> {
    let p: &FractionalMaxPool2d = downcast(problem);
    let [x, u] = inputs else { panic!("two inputs") };
    let [y, index] = match window(p) {
        Some(window) => {
            let (y, index) = x.f_fractional_max_pool2d(window, extents(&p.y), u)?;
            [y, index]
        }
        None => gathered(p, x, u)?,
    };
    let none = Tensor::f_empty([0], (Kind::Int64, x.device()))?;
    Ok(vec![y, if p.index { index } else { none }])
}

fn ways(problem: &dyn Problem, operands: &Operands<'_>) -> Result<Vec<Way>, TchError> {
    let p = downcast::<FractionalMaxPool2d>(problem).clone();
    let [x, u] = [0, 1].map(|i| operands.inputs[i].shallow_clone());
    let window = match window(&p) {
        Some(window) if p.x.layout == ImageLayout::Nchw => window,
        of_its_own => {
            // What is given to be written is written as if it lay by planes.
            let name = if of_its_own.is_some() { "fractional_max_pool2d" } else { "gather, max_pool2d_with_indices" };
            return Ok(vec![Way::fresh(name, move || forward(&p, &[x.shallow_clone(), u.shallow_clone()])).tried()?]);
        }
    };
    let (size, outputs) = (extents(&p.y), operands.outputs()?);
    let y = outputs[0].shallow_clone();
    // libtorch finds positions whether they are wanted or not.
    let index = if p.index { outputs[1].shallow_clone() } else { y.f_zeros_like()?.f_to_kind(Kind::Int64)? };
    let way = Way::out("fractional_max_pool2d_out", outputs, move || {
        x.f_fractional_max_pool2d_output(&y, &index, window, size, &u).map(|_| ())
    });
    Ok(vec![way.tried()?])
}

/// libtorch reads positions, and writes gradients, as if they lay by planes.
fn backward(problem: &dyn Problem, inputs: &[Tensor]) -> Result<Vec<Tensor>, TchError> {
    let MaxPool2dBackward { pool } = downcast(problem);
    let [dy, index] = inputs else { panic!("two inputs") };
    let (x, dy, index) = (images(&pool.x, dy)?.f_contiguous()?, dy.f_contiguous()?, index.f_contiguous()?);
    Ok(vec![x.f_fractional_max_pool2d_backward(&dy, [1, 1], extents(&pool.y), &index)?])
}

fn ways_back(problem: &dyn Problem, operands: &Operands<'_>) -> Result<Vec<Way>, TchError> {
    let MaxPool2dBackward { pool } = downcast(problem);
    let [dy, index] = [0, 1].map(|i| operands.inputs[i].shallow_clone());
    if pool.x.layout == ImageLayout::Nhwc {
        let again = MaxPool2dBackward { pool: pool.clone() };
        let way = move || backward(&again, &[dy.shallow_clone(), index.shallow_clone()]);
        return Ok(vec![Way::fresh("contiguous, fractional_max_pool2d_backward", way).tried()?]);
    }
    let (size, outputs) = (extents(&pool.y), operands.outputs()?);
    let (x, dx) = (images(&pool.x, &dy)?, outputs[0].shallow_clone());
    let way = Way::out("fractional_max_pool2d_backward", outputs, move || {
        x.f_fractional_max_pool2d_backward_grad_input(&dx, &dy, [1, 1], size, &index).map(|_| ())
    });
    Ok(vec![way.tried()?])
}

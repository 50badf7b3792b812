//! What is summed and what is computed for each element. Inputs are dy, x and, with a ReLU, y.

use crate::batchnorm_relu::{Map, Terms};
use crate::faults::fault;
use crate::isa::wide::Wide;

/// g and g·(x − μ).
#[derive(Clone, Copy, Debug)]
pub struct Products;

impl<L: Wide> Terms<L, 2, 1, 2> for Products {
    #[inline(always)]
    fn of(l: L, [g, x]: [L::F; 2], [mean]: [L::F; 1]) -> [L::F; 2] {
        [g, l.mul(g, l.sub(x, mean))]
    }
}

impl<L: Wide> Terms<L, 3, 1, 2> for Products {
    #[inline(always)]
    fn of(l: L, [dy, x, y]: [L::F; 3], params: [L::F; 1]) -> [L::F; 2] {
        <Products as Terms<L, 2, 1, 2>>::of(l, [l.gate(dy, y), x], params)
    }
}

/// The same in f64.
pub fn products(values: impl Iterator<Item = (f32, f32, Option<f32>)>, mean: f32) -> (f64, f64) {
    values.fold((0.0, 0.0), |(sum, products), (dy, x, y)| {
        let open = |y: f32| fault!("batchnorm_relu_backward.plain-mask") && y == 0.0;
        let g = if y.is_some_and(|y| y <= 0.0 && !open(y)) { 0.0 } else { f64::from(dy) };
        (sum + g, products + g * (f64::from(x) - f64::from(mean)))
    })
}

/// `of_g·g − (constant + (x − mean)·of_x)`.
#[derive(Clone, Copy, Debug)]
pub struct Gradient;

impl<L: Wide> Map<L, 2, 4> for Gradient {
    #[inline(always)]
    fn at(l: L, [g, x]: [L::F; 2], [mean, of_g, constant, of_x]: [L::F; 4]) -> L::F {
        l.sub(l.mul(of_g, g), l.add(constant, l.mul(l.sub(x, mean), of_x)))
    }
}

impl<L: Wide> Map<L, 3, 4> for Gradient {
    #[inline(always)]
    fn at(l: L, [dy, x, y]: [L::F; 3], params: [L::F; 4]) -> L::F {
        <Gradient as Map<L, 2, 4>>::at(l, [l.gate(dy, y), x], params)
    }
}

/// g.
#[derive(Clone, Copy, Debug)]
pub struct Gate;

impl<L: Wide> Map<L, 1, 0> for Gate {
    #[inline(always)]
    fn at(_: L, [dy]: [L::F; 1], []: [L::F; 0]) -> L::F {
        dy
    }
}

impl<L: Wide> Map<L, 2, 0> for Gate {
    #[inline(always)]
    fn at(l: L, [dy, y]: [L::F; 2], []: [L::F; 0]) -> L::F {
        l.gate(dy, y)
    }
}

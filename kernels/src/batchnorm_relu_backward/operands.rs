//! Operands with names, and what gradients are made with.

use crate::batchnorm_relu::at;
use crate::faults::fault;

/// Operands of a backward pass. Images lie as the problem says; vectors have an element per channel.
#[derive(Debug)]
pub struct Backward<'a> {
    /// Gradient of the output.
    pub dy: &'a [f32],
    /// The forward pass's input.
    pub x: &'a [f32],
    /// γ; empty without affine.
    pub gamma: &'a [f32],
    /// The forward pass's mean.
    pub saved_mean: &'a [f32],
    /// The forward pass's 1/√(σ² + ε).
    pub saved_rstd: &'a [f32],
    /// The forward pass's output; empty without ReLU.
    pub y: &'a [f32],
    /// Gradient of x, written.
    pub dx: &'a mut [f32],
    /// Gradient of γ, written; empty without affine.
    pub dgamma: &'a mut [f32],
    /// Gradient of β, written; empty without affine.
    pub dbeta: &'a mut [f32],
    /// Gradient of the residual, written; empty without residual.
    pub dresidual: &'a mut [f32],
}

/// What the gradients of a channel are made with, and its vectors' elements.
#[derive(Clone, Copy, Debug)]
pub struct Coefficients {
    /// `dx = of_g·g − (constant + (x − mean)·of_x)`: mean, of_g, constant, of_x.
    pub params: [f32; 4],
    /// dγ.
    pub dgamma: f32,
    /// dβ.
    pub dbeta: f32,
}

impl Coefficients {
    /// From `Σg` and `Σg·(x − μ)` over `count` values of channel `c`.
    pub fn new(
        gamma: &[f32],
        mean: f32,
        rstd: f32,
        c: usize,
        count: usize,
        (sum, products): (f64, f64),
    ) -> Coefficients {
        let gamma = if fault!("batchnorm_relu_backward.last-gamma") && c >= 128 { &gamma[..0] } else { gamma };
        let (gamma, rstd, count) = (f64::from(at(gamma, c, 1.0)), f64::from(rstd), count as f64);
        let (of_g, dgamma) = (gamma * rstd, products * rstd);
        let params = [mean, of_g as f32, (of_g * (sum / count)) as f32, (of_g * (rstd * (dgamma / count))) as f32];
        Coefficients { params, dgamma: dgamma as f32, dbeta: sum as f32 }
    }
}

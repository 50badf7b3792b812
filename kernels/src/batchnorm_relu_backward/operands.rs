//! Operands with names, and their lengths.

use etalon_reference::ops::batchnorm_relu_backward::BatchnormReluBackward;

use crate::batchnorm_relu::at;
use crate::faults::fault;
use crate::kernel::{KernelError, long_enough};

/// Operands of a backward pass. Images lie as the problem says; vectors have an element a channel. Longer slices are fine.
#[derive(Debug)]
pub struct Backward<'a> {
    /// Gradient of the output.
    pub dy: &'a [f32],
    /// The forward pass's input.
    pub x: &'a [f32],
    /// γ; not looked at without affine.
    pub gamma: &'a [f32],
    /// The forward pass's mean.
    pub saved_mean: &'a [f32],
    /// The forward pass's 1/√(σ² + ε).
    pub saved_rstd: &'a [f32],
    /// The forward pass's output; not looked at without ReLU.
    pub y: &'a [f32],
    /// Gradient of x, written.
    pub dx: &'a mut [f32],
    /// Gradient of γ, written; not touched without affine.
    pub dgamma: &'a mut [f32],
    /// Gradient of β, written; not touched without affine.
    pub dbeta: &'a mut [f32],
    /// Gradient of the residual, written; not touched without residual.
    pub dresidual: &'a mut [f32],
}

impl<'a> Backward<'a> {
    /// Checks lengths; takes away what the problem does not have and what is longer.
    pub fn checked(self, p: &BatchnormReluBackward) -> Result<Backward<'a>, KernelError> {
        let (len, c) = (p.images.len(), p.images.c);
        let if_has = |has: bool, len: usize| if has { len } else { 0 };
        let (affine, relu, residual) = (if_has(p.affine, c), if_has(p.relu, len), if_has(p.residual, len));
        long_enough([
            ("dy", self.dy.len(), len),
            ("x", self.x.len(), len),
            ("gamma", self.gamma.len(), affine),
            ("saved_mean", self.saved_mean.len(), c),
            ("saved_rstd", self.saved_rstd.len(), c),
            ("y", self.y.len(), relu),
            ("dx", self.dx.len(), len),
            ("dgamma", self.dgamma.len(), affine),
            ("dbeta", self.dbeta.len(), affine),
            ("dresidual", self.dresidual.len(), residual),
        ])?;
        Ok(Backward {
            dy: &self.dy[..len],
            x: &self.x[..len],
            gamma: &self.gamma[..affine],
            saved_mean: &self.saved_mean[..c],
            saved_rstd: &self.saved_rstd[..c],
            y: &self.y[..relu],
            dx: &mut self.dx[..len],
            dgamma: &mut self.dgamma[..affine],
            dbeta: &mut self.dbeta[..affine],
            dresidual: &mut self.dresidual[..residual],
        })
    }
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

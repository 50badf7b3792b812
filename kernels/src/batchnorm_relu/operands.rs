//! Operands with names, and their lengths.

use etalon_reference::ops::batchnorm_relu::BatchnormRelu;

use super::moments::Normalisation;
use crate::kernel::KernelError;

/// Operands of a training step. Images lie as the problem says; vectors have an element a channel. Longer slices are fine.
#[derive(Debug)]
pub struct Train<'a> {
    /// Images.
    pub x: &'a [f32],
    /// γ; not looked at without affine.
    pub gamma: &'a [f32],
    /// β; not looked at without affine.
    pub beta: &'a [f32],
    /// Added before the ReLU; not looked at without residual.
    pub residual: &'a [f32],
    /// Images, written.
    pub y: &'a mut [f32],
    /// Updated.
    pub running_mean: &'a mut [f32],
    /// Updated.
    pub running_var: &'a mut [f32],
    /// Mean of the batch, written: the backward pass takes it.
    pub saved_mean: &'a mut [f32],
    /// 1/√(σ² + ε), written: the backward pass takes it.
    pub saved_rstd: &'a mut [f32],
}

/// Operands of an inference.
#[derive(Debug)]
pub struct Infer<'a> {
    /// Images.
    pub x: &'a [f32],
    /// γ; not looked at without affine.
    pub gamma: &'a [f32],
    /// β; not looked at without affine.
    pub beta: &'a [f32],
    /// Added before the ReLU; not looked at without residual.
    pub residual: &'a [f32],
    /// Mean.
    pub running_mean: &'a [f32],
    /// Variance.
    pub running_var: &'a [f32],
    /// Images, written.
    pub y: &'a mut [f32],
}

/// An error if an operand is shorter than it must be.
pub fn long_enough<const N: usize>(operands: [(&'static str, usize, usize); N]) -> Result<(), KernelError> {
    match operands.into_iter().find(|(_, found, needed)| found < needed) {
        Some((operand, found, needed)) => Err(KernelError::TooShort { operand, found, needed }),
        None => Ok(()),
    }
}

/// Element `c`, or what stands for it where there is no vector.
pub fn at(vector: &[f32], c: usize, absent: f32) -> f32 {
    vector.get(c).copied().unwrap_or(absent)
}

impl<'a> Train<'a> {
    /// Checks lengths; takes away what the problem does not have and what is longer.
    pub fn checked(self, p: &BatchnormRelu) -> Result<Train<'a>, KernelError> {
        let (len, c) = (p.images.len(), p.images.c);
        let (affine, residual) = (if p.affine { c } else { 0 }, if p.residual { len } else { 0 });
        long_enough([
            ("x", self.x.len(), len),
            ("gamma", self.gamma.len(), affine),
            ("beta", self.beta.len(), affine),
            ("residual", self.residual.len(), residual),
            ("y", self.y.len(), len),
            ("running_mean", self.running_mean.len(), c),
            ("running_var", self.running_var.len(), c),
            ("saved_mean", self.saved_mean.len(), c),
            ("saved_rstd", self.saved_rstd.len(), c),
        ])?;
        Ok(Train {
            x: &self.x[..len],
            gamma: &self.gamma[..affine],
            beta: &self.beta[..affine],
            residual: &self.residual[..residual],
            y: &mut self.y[..len],
            running_mean: &mut self.running_mean[..c],
            running_var: &mut self.running_var[..c],
            saved_mean: &mut self.saved_mean[..c],
            saved_rstd: &mut self.saved_rstd[..c],
        })
    }
}

impl<'a> Infer<'a> {
    /// Checks lengths; takes away what the problem does not have and what is longer.
    pub fn checked(self, p: &BatchnormRelu) -> Result<Infer<'a>, KernelError> {
        let (len, c) = (p.images.len(), p.images.c);
        let (affine, residual) = (if p.affine { c } else { 0 }, if p.residual { len } else { 0 });
        long_enough([
            ("x", self.x.len(), len),
            ("gamma", self.gamma.len(), affine),
            ("beta", self.beta.len(), affine),
            ("residual", self.residual.len(), residual),
            ("running_mean", self.running_mean.len(), c),
            ("running_var", self.running_var.len(), c),
            ("y", self.y.len(), len),
        ])?;
        Ok(Infer {
            x: &self.x[..len],
            gamma: &self.gamma[..affine],
            beta: &self.beta[..affine],
            residual: &self.residual[..residual],
            running_mean: &self.running_mean[..c],
            running_var: &self.running_var[..c],
            y: &mut self.y[..len],
        })
    }
}

/// The normalisation of channel `c` by running statistics.
pub fn running(p: &BatchnormRelu, [gamma, beta, mean, var]: [&[f32]; 4], c: usize) -> Normalisation {
    Normalisation::new(f64::from(mean[c]), f64::from(var[c]), p.eps, at(gamma, c, 1.0), at(beta, c, 0.0))
}

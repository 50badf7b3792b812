//! Operands with names, and their lengths.

use etalon_reference::ops::batchnorm_relu::BatchnormRelu;

use super::moments::Normalisation;
use crate::kernel::{KernelError, long_enough};
use crate::workspace::Workspace;

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

/// Centre, scale and shift of each channel.
#[derive(Clone, Copy, Debug)]
pub struct Vectors<'a>(pub [&'a [f32]; 3]);

impl Vectors<'_> {
    /// Those of channel `c`.
    #[inline(always)]
    pub fn of(&self, c: usize) -> [f32; 3] {
        self.0.map(|vector| vector[c])
    }

    /// Channels.
    #[inline(always)]
    pub fn channels(&self) -> usize {
        self.0[0].len()
    }
}

/// The vectors of inference, in workspace.
pub fn running<'w>(p: &BatchnormRelu, o: &Infer<'_>, workspace: &'w mut Workspace) -> Vectors<'w> {
    let [centers, scales, shifts] = workspace.slices::<f32, 3>([p.images.c; 3]);
    for c in 0..p.images.c {
        let (mean, var) = (f64::from(o.running_mean[c]), f64::from(o.running_var[c]));
        let n = Normalisation::new(mean, var, p.eps, at(o.gamma, c, 1.0), at(o.beta, c, 0.0));
        (centers[c], scales[c], shifts[c]) = (n.center, n.scale, n.shift);
    }
    Vectors([centers, scales, shifts])
}

//! Operands with names.

use etalon_reference::ops::batchnorm_relu::BatchnormRelu;

use super::moments::Normalisation;
use crate::workspace::Workspace;

/// Operands of a training step. Images lie as the problem says; vectors have an element per channel.
#[derive(Debug)]
pub struct Train<'a> {
    /// Images.
    pub x: &'a [f32],
    /// γ; empty without affine.
    pub gamma: &'a [f32],
    /// β; empty without affine.
    pub beta: &'a [f32],
    /// Added before the ReLU; empty without residual.
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
    /// γ; empty without affine.
    pub gamma: &'a [f32],
    /// β; empty without affine.
    pub beta: &'a [f32],
    /// Added before the ReLU; empty without residual.
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

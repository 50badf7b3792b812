//! Operands with names, and their lengths.

use etalon_reference::Element;
use etalon_reference::ops::conv2d::Conv2d;

use crate::gemm::Float;
use crate::gemm::epilogue::{Along, Finish};
use crate::kernel::{Call, KernelError};
use crate::workspace::Workspace;
use etalon_reference::ops::gemm::Activation;

/// Operands of a convolution. Images lie as the problem says. Longer slices are fine.
#[derive(Debug)]
pub struct Operands<'a, T> {
    /// Images.
    pub x: &'a [T],
    /// Weights, k×(c/groups)×r×s.
    pub w: &'a [T],
    /// A factor of each output channel; not looked at where the problem has none.
    pub scale: &'a [T],
    /// A summand of each output channel; not looked at where the problem has none.
    pub bias: &'a [T],
    /// Images, written.
    pub y: &'a mut [T],
}

impl<'a, T: Element> Operands<'a, T> {
    /// Checks lengths; takes away what the problem does not have and what is longer.
    pub fn checked(self, p: &Conv2d) -> Result<Operands<'a, T>, KernelError> {
        let vector = |there: bool| if there { p.y.c } else { 0 };
        let (weights, scale, bias) = (p.weights().iter().product(), vector(p.scale), vector(p.bias));
        let lengths = [
            ("x", self.x.len(), p.x.len()),
            ("w", self.w.len(), weights),
            ("scale", self.scale.len(), scale),
            ("bias", self.bias.len(), bias),
            ("y", self.y.len(), p.y.len()),
        ];
        if let Some((operand, found, needed)) = lengths.into_iter().find(|(_, found, needed)| found < needed) {
            return Err(KernelError::TooShort { operand, found, needed });
        }
        Ok(Operands {
            x: &self.x[..p.x.len()],
            w: &self.w[..weights],
            scale: &self.scale[..scale],
            bias: &self.bias[..bias],
            y: &mut self.y[..p.y.len()],
        })
    }

    /// Those of a call, checked, and its workspace.
    pub fn of<'c>(call: &'c mut Call<'a>, p: &Conv2d) -> Result<(Operands<'c, T>, &'c mut Workspace), KernelError> {
        let [x, w, scale, bias] = [0, 1, 2, 3].map(|i| call.input::<T>(i));
        let y = T::slice_mut(call.outputs[0].reborrow()).expect("the port's dtype");
        Ok((Operands { x, w, scale, bias, y }.checked(p)?, call.workspace))
    }
}

/// What becomes of the sums of the group's output channels, which are rows or columns.
pub fn finish<'a, T: Float>(p: &Conv2d, scale: &'a [T], bias: &'a [T], group: usize, along: Along) -> Finish<'a, T> {
    let channels = group * p.group_out()..(group + 1) * p.group_out();
    let of = |vector: &'a [T]| (!vector.is_empty()).then(|| &vector[channels.clone()]);
    let activation = if p.relu { Activation::Relu } else { Activation::None };
    Finish { scale: of(scale), bias: of(bias), along, activation }
}

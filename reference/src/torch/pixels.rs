//! Convolutions of single pixels as the products of matrices that they are.

use tch::{TchError, Tensor};

use super::{Operands, Way};
use crate::ops::conv2d::Conv2d;
use crate::ops::images::{ImageLayout, Images};

/// Whether each output pixel is the product of the weights with the input pixel in its place.
pub(super) fn is_product(conv: &Conv2d) -> bool {
    let plain = [&conv.rows, &conv.cols].iter().all(|w| w.taps == 1 && w.stride == 1 && w.before + w.after == 0);
    plain && conv.groups == 1 && !conv.x.is_empty() && !conv.y.is_empty()
}

/// A product that is ready: `out = left · right`, or one for each image.
pub(super) struct Product {
    /// libtorch's function.
    pub name: &'static str,
    left: Tensor,
    right: Tensor,
    out: Tensor,
}

impl Product {
    /// `to`'s pixels from `from`'s, by weights of `to.c` × `from.c`.
    pub fn of(weights: &Tensor, from: (&Images, &Tensor), to: (&Images, &Tensor)) -> Result<Product, TchError> {
        let (x, y) = (matrices(from.0, from.1)?, matrices(to.0, to.1)?);
        match from.0.layout {
            ImageLayout::Nhwc => Ok(Product { name: "mm_out", left: x, right: weights.f_transpose(0, 1)?, out: y }),
            ImageLayout::Nchw if from.0.n == 1 => {
                let [x, y] = [x.f_select(0, 0)?, y.f_select(0, 0)?];
                Ok(Product { name: "mm_out", left: weights.shallow_clone(), right: x, out: y })
            }
            ImageLayout::Nchw => {
                let sizes = [from.0.n as i64, to.0.c as i64, from.0.c as i64];
                Ok(Product { name: "bmm_out", left: weights.f_expand(sizes, false)?, right: x, out: y })
            }
        }
    }

    /// Computes it.
    pub fn call(&self) -> Result<(), TchError> {
        let Product { left, right, out, .. } = self;
        let done = if left.dim() == 2 { left.f_mm_out(out, right) } else { left.f_bmm_out(out, right) };
        done.map(drop)
    }
}

/// Images without a copy: pixels × channels where channels lie side by side, else one matrix of channels × pixels each.
fn matrices(images: &Images, tensor: &Tensor) -> Result<Tensor, TchError> {
    let [n, c, pixels] = [images.n, images.c, images.h * images.w].map(|x| x as i64);
    match images.layout {
        ImageLayout::Nhwc => tensor.f_permute([0, 2, 3, 1])?.f_view([n * pixels, c]),
        ImageLayout::Nchw => tensor.f_view([n, c, pixels]),
    }
}

/// Weights as a matrix: output channels × input channels.
pub(super) fn weights(conv: &Conv2d, w: &Tensor) -> Result<Tensor, TchError> {
    w.f_view([conv.y.c as i64, conv.x.c as i64])
}

/// dx = wᵀ·dy.
pub(super) fn data_gradient(conv: &Conv2d, operands: &Operands<'_>) -> Result<Way, TchError> {
    let outputs = operands.outputs()?;
    let w = weights(conv, &operands.inputs[1])?.f_transpose(0, 1)?;
    let product = Product::of(&w, (&conv.y, &operands.inputs[0]), (&conv.x, &outputs[0]))?;
    Ok(Way::out(product.name, outputs, move || product.call()))
}

/// dw = Σ dy·xᵀ: one product where all pixels lie in one matrix.
pub(super) fn weights_gradient(conv: &Conv2d, bias: bool, operands: &Operands<'_>) -> Result<Way, TchError> {
    let outputs = operands.outputs()?;
    let dy = operands.inputs[0].shallow_clone();
    let (rows, columns) = (matrices(&conv.y, &dy)?, matrices(&conv.x, &operands.inputs[1])?);
    let (left, right) = match conv.x.layout {
        ImageLayout::Nhwc => (rows.f_transpose(0, 1)?, columns),
        ImageLayout::Nchw if conv.x.n == 1 => (rows.f_select(0, 0)?, columns.f_select(0, 0)?.f_transpose(0, 1)?),
        ImageLayout::Nchw => return Err(TchError::Shape("the images are matrices of their own".into())),
    };
    let product = Product { name: "mm_out", left, right, out: weights(conv, &outputs[0])? };
    let dbias = outputs[1].shallow_clone();
    Ok(Way::out(product.name, outputs, move || {
        product.call()?;
        if bias {
            let _ = dy.f_sum_intlist_out(&dbias, [0i64, 2, 3].as_slice(), false, None::<tch::Kind>)?;
        }
        Ok(())
    }))
}

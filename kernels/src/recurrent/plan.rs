//! Weights in the order in which products read them, for several passes: steps of a decoder, one after the other.

use etalon_reference::ops::recurrent::Layer;

use super::driver::{Shape, pack};
use crate::aligned::AlignedVec;
use crate::call::Inputs;
use crate::gemm::product::{columns, packed_b, plain, rows};
use crate::gemm::{PackedB, with_float};
use crate::isa::Isa;
use crate::kernel::{KernelError, Plan};
use crate::math::Numeric;
use crate::pool::Pool;

/// Packed weights of a layer.
pub struct Packed<T: Numeric> {
    /// W_ih.
    pub w_ih: PackedB<T>,
    /// W_hh, as [`driver`](super::driver) packs it.
    pub w_hh: AlignedVec<T>,
    layer: Layer,
    isa: Isa,
}

impl<T: Numeric> Packed<T> {
    fn new(isa: Isa, layer: &Layer, w_ih: &[T], w_hh: &[T]) -> Result<Packed<T>, KernelError> {
        let of_inputs = plain([0, layer.columns(), layer.inputs], rows(layer.inputs), columns(layer.inputs), 0.0);
        let shape = Shape { depth: layer.hidden, units: layer.hidden, gates: layer.gates };
        let mut panels = AlignedVec::zeroed(shape.packed_len::<T>(isa)?);
        pack(isa, shape, (w_hh, columns(layer.hidden)), &mut panels, &Pool::new(1))?;
        Ok(Packed { w_ih: packed_b(&of_inputs, isa, w_ih)?, w_hh: panels, layer: *layer, isa })
    }

    /// Whether the weights are those of such a layer, for these instructions.
    pub fn fits(&self, layer: &Layer, isa: Isa) -> bool {
        let sizes = |layer: &Layer| (layer.gates, layer.inputs, layer.hidden);
        sizes(&self.layer) == sizes(layer) && self.isa == isa
    }
}

/// Of a call's weights, which are inputs 1 and 2.
///
/// # Errors
/// If the CPU lacks the instructions of `isa`, or it has no tiles.
pub fn plan(inputs: &Inputs<'_>, layer: &Layer, isa: Isa) -> Result<Plan, KernelError> {
    with_float!(inputs.types(), T => Ok(Box::new(Packed::<T>::new(isa, layer, inputs.input(1), inputs.input(2))?)))
}

//! [`recurrent_layers_backward`](etalon_reference::ops::recurrent_layers_backward): a training step of
//! [`recurrent_layers`](crate::recurrent_layers). f32 and f64; shapes and layouts are the problem's.
//!
//! The forward pass is computed again, and each layer keeps its outputs, its gates and its cells, or q of a GRU, in the
//! workspace. The gradients of a layer are those of [`lstm_backward`](crate::lstm_backward),
//! [`gru_backward`](crate::gru_backward) or [`rnn_backward`](crate::rnn_backward), with their bits.
//!
//! Error: the problem's tolerance. NaN and ∞ follow the formulas. Errors: a level that the CPU lacks; a number of steps out
//! of range. Workspace: (G + 2)·L·D·T·N·H elements for what is kept, 2·L·T·N·H more with two directions, dx of two layers
//! and of a direction, and what a layer needs.

use etalon_reference::operator::downcast;
use etalon_reference::ops::recurrent_layers::Cells;
use etalon_reference::ops::recurrent_layers_backward::RecurrentLayersBackward;

use crate::call::{Call, elements};
use crate::gemm::{FLOATS, with_float};
use crate::gru::GruCell;
use crate::isa::Isa;
use crate::kernel::{Kernel, KernelError};
use crate::lstm::LstmCell;
use crate::math::Numeric;
use crate::recurrent::cells::Cell;
use crate::recurrent::layers::{Gradients, Layers, Operands, Upstream};
use crate::recurrent_layers::{PATHS, THRESHOLDS};
use crate::rnn::RnnCell;

/// The kernels, weakest first.
pub static KERNELS: &[Kernel] = &[
    Kernel::new("scalar", Isa::Scalar, FLOATS, |call| run(call, Isa::Scalar)),
    Kernel::new("avx2", Isa::Avx2, FLOATS, |call| run(call, Isa::Avx2)).with_thresholds(THRESHOLDS).with_paths(PATHS),
    Kernel::new("avx512", Isa::Avx512, FLOATS, |call| run(call, Isa::Avx512))
        .with_thresholds(THRESHOLDS)
        .with_paths(PATHS),
];

fn run(call: &mut Call<'_>, isa: Isa) -> Result<(), KernelError> {
    let cells = downcast::<RecurrentLayersBackward>(call.problem()).layers.cells;
    with_float!(call.types(), T => match cells {
        Cells::Lstm => typed::<T, _>(call, isa, LstmCell),
        Cells::Gru => typed::<T, _>(call, isa, GruCell),
        Cells::Plain(function) => typed::<T, _>(call, isa, RnnCell(function)),
    })
}

fn typed<T: Numeric, C: Cell>(call: &mut Call<'_>, isa: Isa, cell: C) -> Result<(), KernelError> {
    let [dy, dh_n, dc_n, x, parameters, h0, c0] = [0, 1, 2, 3, 4, 5, 6].map(|i| call.input::<T>(i));
    let operands = Operands { x, parameters, h0, c0, lengths: call.input(7) };
    let p = &downcast::<RecurrentLayersBackward>(call.problem()).layers;
    let layers = Layers { cell, p, isa, pool: call.pool() };
    let (outputs, workspace) = call.outputs();
    let [dx, parameters, dh0, dc0] = outputs.map(elements);
    let gradients = Gradients { dx, parameters, dh0, dc0 };
    layers.backward(operands, Upstream { dy, dh_n, dc_n }, gradients, workspace)
}

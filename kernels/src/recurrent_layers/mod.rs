//! [`recurrent_layers`](etalon_reference::ops::recurrent_layers): layers of cells, one upon the other. f32 and f64; shapes
//! and layouts are the problem's.
//!
//! Each layer is [`lstm`](crate::lstm), [`gru`](crate::gru) or [`rnn`](crate::rnn), by the loop of all recurrent layers
//! (`recurrent`), with its bits.
//!
//! Error: the problem's tolerance. NaN and ∞ follow the formulas. Errors: a level that the CPU lacks; a number of steps out
//! of range. Workspace: 2·T·N·D·H elements for outputs of layers, T·N·H with two directions, and what a layer needs.

use etalon_reference::operator::downcast;
use etalon_reference::ops::recurrent_layers::{Cells, RecurrentLayers};
use etalon_reference::{Domain, Threshold};

use crate::call::{Call, elements};
use crate::gemm::{FLOATS, with_float};
use crate::gru::GruCell;
use crate::isa::Isa;
use crate::kernel::{Kernel, KernelError};
use crate::lstm::LstmCell;
use crate::math::Numeric;
use crate::recurrent::cells::Cell;
use crate::recurrent::layers::{Layers, Operands, Outputs};
use crate::rnn::RnnCell;

/// Steps and sequences at which a layer takes another way.
pub(crate) const THRESHOLDS: &[Threshold] =
    &[Threshold::axis("t", 4), Threshold::axis("n", 8), Threshold::axis("h", 32)];

/// More steps than a layer computes the input's products of at once.
pub(crate) const PATHS: &[Domain] =
    &[Domain { name: "many rows", fixed: &[("t", &[70]), ("n", &[17]), ("i", &[2]), ("h", &[3]), ("dirs", &[1])] }];

/// The kernels, weakest first.
pub static KERNELS: &[Kernel] = &[
    Kernel::new("scalar", Isa::Scalar, FLOATS, |call| run(call, Isa::Scalar)),
    Kernel::new("avx2", Isa::Avx2, FLOATS, |call| run(call, Isa::Avx2)).with_thresholds(THRESHOLDS).with_paths(PATHS),
    Kernel::new("avx512", Isa::Avx512, FLOATS, |call| run(call, Isa::Avx512))
        .with_thresholds(THRESHOLDS)
        .with_paths(PATHS),
];

fn run(call: &mut Call<'_>, isa: Isa) -> Result<(), KernelError> {
    let cells = downcast::<RecurrentLayers>(call.problem()).cells;
    with_float!(call.types(), T => match cells {
        Cells::Lstm => typed::<T, _>(call, isa, LstmCell),
        Cells::Gru => typed::<T, _>(call, isa, GruCell),
        Cells::Plain(function) => typed::<T, _>(call, isa, RnnCell(function)),
    })
}

fn typed<T: Numeric, C: Cell>(call: &mut Call<'_>, isa: Isa, cell: C) -> Result<(), KernelError> {
    let [x, parameters, h0, c0] = [0, 1, 2, 3].map(|i| call.input::<T>(i));
    let operands = Operands { x, parameters, h0, c0, lengths: call.input(4) };
    let layers = Layers { cell, p: downcast(call.problem()), isa, pool: call.pool() };
    let (outputs, workspace) = call.outputs();
    let [y, h_n, c_n] = outputs.map(elements);
    layers.forward(operands, Outputs { y, h_n, c_n }, workspace)
}

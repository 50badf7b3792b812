//! [`lstm_backward`](etalon_reference::ops::lstm_backward): the gradients of [`lstm`](crate::lstm) by backpropagation
//! through time. f32 and f64; shapes and layouts are the problem's.
//!
//! ```text
//! for each step t, the last one first:
//!   dz[t], dc of the gates and cells         rows of sequences are tasks
//!   dh = dz[t]·W_hh                          a product of N rows
//! dx = dz·W_ih                               one product over all T·N rows
//! dW_ih = dzᵀ·x,  dW_hh = dzᵀ·h₋₁            sums over all T·N rows
//! db = Σ dz                                  in order
//! ```
//! One source for all levels, as in the forward pass: the same bits on each, for any number of threads. Absent initial
//! states are zeros, as if they were given. The biases are not read.
//!
//! Error: the problem's tolerance. NaN and ∞ follow the formula. Errors: a level that the CPU lacks.
//! Workspace: T·N·4H elements for dz, 3·N·H for states, and what the products need.

mod cell;
mod rows;

use etalon_reference::Threshold;
use etalon_reference::operator::downcast;
use etalon_reference::ops::lstm_backward::LstmBackward;

use self::cell::CellBack;
use self::rows::Step;
use crate::call::{Call, elements};
use crate::faults::fault;
use crate::gemm::product::{columns, plain, product, rows};
use crate::gemm::{FLOATS, with_float};
use crate::gemm_backward::sum_rows;
use crate::isa::Isa;
use crate::kernel::{Kernel, KernelError};
use crate::lstm::{set, thresholds};
use crate::pool::Pool;
use crate::workspace::Workspace;

const THRESHOLDS: &[Threshold] = &thresholds("dh_n");

/// The kernels, weakest first.
pub static KERNELS: &[Kernel] = &[
    Kernel::new("scalar", Isa::Scalar, FLOATS, |call| run(call, Isa::Scalar)),
    Kernel::new("avx2", Isa::Avx2, FLOATS, |call| run(call, Isa::Avx2)).with_thresholds(THRESHOLDS),
    Kernel::new("avx512", Isa::Avx512, FLOATS, |call| run(call, Isa::Avx512)).with_thresholds(THRESHOLDS),
];

/// What is read. Operands that the problem does not have are empty.
#[derive(Clone, Copy)]
struct Inputs<'a, T> {
    /// Upstream gradient of the outputs, T×N×H.
    dy: &'a [T],
    /// Of the last output, N×H.
    dh_n: &'a [T],
    /// Of the last cells, N×H.
    dc_n: &'a [T],
    /// Inputs of the forward pass, T×N×I.
    x: &'a [T],
    /// Weights of the inputs, 4H×I.
    w_ih: &'a [T],
    /// Weights of the states, 4H×H.
    w_hh: &'a [T],
    /// Initial output, N×H.
    h0: &'a [T],
    /// Initial cells, N×H.
    c0: &'a [T],
    /// Outputs of the forward pass, T×N×H.
    y: &'a [T],
    /// Its gates i, f, g, o, T×N×4H.
    gates: &'a [T],
    /// Its cells, T×N×H.
    cells: &'a [T],
}

/// What is written. Operands that the problem does not have are empty.
struct Outputs<'a, T> {
    /// T×N×I.
    dx: &'a mut [T],
    /// 4H×I.
    dw_ih: &'a mut [T],
    /// 4H×H.
    dw_hh: &'a mut [T],
    /// Of each of the two biases, 4H.
    db: &'a mut [T],
    /// N×H.
    dh0: &'a mut [T],
    /// N×H.
    dc0: &'a mut [T],
}

/// All outputs, with the instructions of `isa`.
fn lstm_backward<T: CellBack>(
    problem: &LstmBackward,
    isa: Isa,
    i: Inputs<'_, T>,
    o: Outputs<'_, T>,
    pool: &Pool,
    workspace: &mut Workspace,
) -> Result<(), KernelError> {
    let p = &problem.lstm;
    let (steps, hidden, state, gates) = (p.steps, p.hidden, p.state_len(), p.gates_len());
    let (scratch, inner) = workspace.slice_and_inner::<T>(steps * gates + 3 * state);
    let (dz, scratch) = scratch.split_at_mut(steps * gates);
    let (dh, scratch) = scratch.split_at_mut(state);
    let (dc, zeros) = scratch.split_at_mut(state);
    dh.copy_from_slice(i.dh_n);
    dc.copy_from_slice(i.dc_n);
    if fault!("lstm_backward.one-upstream") {
        dc.fill(T::default());
    }

    let back = plain([p.batch, hidden, 4 * hidden], rows(4 * hidden), rows(hidden), 0.0);
    for t in (0..steps).rev() {
        let of = |width: usize| t * width..(t + 1) * width;
        let step = Step {
            hidden,
            dy: &i.dy[of(state)],
            gates: &i.gates[of(gates)],
            cells: &i.cells[of(state)],
            before: if t > 0 { &i.cells[(t - 1) * state..t * state] } else { i.c0 },
            dh: &*dh,
            dc: &mut *dc,
            dz: &mut dz[of(gates)],
        };
        T::step_back(isa, step, pool)?;
        product(&back, isa, (&dz[of(gates)], i.w_hh, &[]), dh, pool, inner)?;
    }
    if p.state {
        o.dh0.copy_from_slice(dh);
        o.dc0.copy_from_slice(dc);
    }

    let count = steps * p.batch;
    let of_x = plain([count, p.inputs, 4 * hidden], rows(4 * hidden), rows(p.inputs), 0.0);
    product(&of_x, isa, (dz, i.w_ih, &[]), o.dx, pool, inner)?;
    let weights =
        |cols: usize, count: usize, beta: f64| plain([4 * hidden, cols, count], columns(4 * hidden), rows(cols), beta);
    product(&weights(p.inputs, count, 0.0), isa, (dz, i.x, &[]), o.dw_ih, pool, inner)?;
    set(zeros, i.h0);
    let (first, rest) = dz.split_at(gates.min(dz.len()));
    let first_rows = if steps == 0 || fault!("lstm_backward.first-of-dw") { 0 } else { p.batch };
    product(&weights(hidden, first_rows, 0.0), isa, (first, zeros, &[]), o.dw_hh, pool, inner)?;
    if steps > 1 {
        product(&weights(hidden, count - p.batch, 1.0), isa, (rest, i.y, &[]), o.dw_hh, pool, inner)?;
    }
    if !o.db.is_empty() {
        sum_rows(dz, 4 * hidden, o.db, pool);
    }
    Ok(())
}

fn run(call: &mut Call<'_>, isa: Isa) -> Result<(), KernelError> {
    with_float!(call.types(), T => typed::<T>(call, isa))
}

fn typed<T: CellBack>(call: &mut Call<'_>, isa: Isa) -> Result<(), KernelError> {
    let [dy, dh_n, dc_n, x, w_ih, w_hh] = [0, 1, 2, 3, 4, 5].map(|i| call.input::<T>(i));
    // 6 and 7 are the biases.
    let [h0, c0, y, gates, cells] = [8, 9, 10, 11, 12].map(|i| call.input::<T>(i));
    let (problem, pool) = (downcast(call.problem()), call.pool());
    let (outputs, workspace) = call.outputs();
    let [dx, dw_ih, dw_hh, db, dh0, dc0] = outputs.map(elements);
    let inputs = Inputs { dy, dh_n, dc_n, x, w_ih, w_hh, h0, c0, y, gates, cells };
    let outputs = Outputs { dx, dw_ih, dw_hh, db, dh0, dc0 };
    lstm_backward(problem, isa, inputs, outputs, pool, workspace)
}

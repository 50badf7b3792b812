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
//! Error: the problem's tolerance. NaN and ∞ follow the formula. Errors: a short operand, a level that the CPU lacks.
//! Workspace: T·N·4H elements for dz, 3·N·H for states, and what the products need.

mod cell;
mod rows;

use etalon_reference::Threshold;
use etalon_reference::operator::downcast;
use etalon_reference::ops::lstm_backward::LstmBackward;

pub use self::cell::CellBack;
use self::rows::Step;
use crate::faults::fault;
use crate::gemm::product::{columns, plain, product, rows};
use crate::gemm::{FLOATS, with_float};
use crate::gemm_backward::sum_rows;
use crate::isa::Isa;
use crate::kernel::{Call, Kernel, KernelError, long_enough};
use crate::lstm::{elements, set, thresholds};
use crate::pool::Pool;
use crate::workspace::Workspace;

const THRESHOLDS: &[Threshold] = &thresholds("dh_n");

/// The kernels, weakest first.
pub static KERNELS: &[Kernel] = &[
    Kernel::new("scalar", Isa::Scalar, FLOATS, |call| run(call, Isa::Scalar)),
    Kernel::new("avx2", Isa::Avx2, FLOATS, |call| run(call, Isa::Avx2)).with_thresholds(THRESHOLDS),
    Kernel::new("avx512", Isa::Avx512, FLOATS, |call| run(call, Isa::Avx512)).with_thresholds(THRESHOLDS),
];

/// What is read. Operands that the problem does not have may be empty.
#[derive(Clone, Copy)]
pub struct Inputs<'a, T> {
    /// Upstream gradient of the outputs, T×N×H.
    pub dy: &'a [T],
    /// Of the last output, N×H.
    pub dh_n: &'a [T],
    /// Of the last cells, N×H.
    pub dc_n: &'a [T],
    /// Inputs of the forward pass, T×N×I.
    pub x: &'a [T],
    /// Weights of the inputs, 4H×I.
    pub w_ih: &'a [T],
    /// Weights of the states, 4H×H.
    pub w_hh: &'a [T],
    /// Initial output, N×H.
    pub h0: &'a [T],
    /// Initial cells, N×H.
    pub c0: &'a [T],
    /// Outputs of the forward pass, T×N×H.
    pub y: &'a [T],
    /// Its gates i, f, g, o, T×N×4H.
    pub gates: &'a [T],
    /// Its cells, T×N×H.
    pub cells: &'a [T],
}

/// What is written. Operands that the problem does not have may be empty.
pub struct Outputs<'a, T> {
    /// T×N×I.
    pub dx: &'a mut [T],
    /// 4H×I.
    pub dw_ih: &'a mut [T],
    /// 4H×H.
    pub dw_hh: &'a mut [T],
    /// Of each of the two biases, 4H.
    pub db: &'a mut [T],
    /// N×H.
    pub dh0: &'a mut [T],
    /// N×H.
    pub dc0: &'a mut [T],
}

/// Both, cut to the lengths of the problem.
fn checked<'a, T>(
    p: &LstmBackward,
    i: Inputs<'a, T>,
    o: Outputs<'a, T>,
) -> Result<(Inputs<'a, T>, Outputs<'a, T>), KernelError> {
    let p = &p.lstm;
    let (rows, state) = (4 * p.hidden, p.state_len());
    let [all_x, all_y] = [p.batch * p.inputs, state].map(|len| p.steps * len);
    let (w_ih, w_hh, initial) = (rows * p.inputs, rows * p.hidden, if p.state { state } else { 0 });
    let bias = if p.bias { rows } else { 0 };
    long_enough([
        ("dy", i.dy.len(), all_y),
        ("dh_n", i.dh_n.len(), state),
        ("dc_n", i.dc_n.len(), state),
        ("x", i.x.len(), all_x),
        ("w_ih", i.w_ih.len(), w_ih),
        ("w_hh", i.w_hh.len(), w_hh),
        ("h0", i.h0.len(), initial),
        ("c0", i.c0.len(), initial),
        ("y", i.y.len(), all_y),
        ("gates", i.gates.len(), 4 * all_y),
        ("cells", i.cells.len(), all_y),
        ("dx", o.dx.len(), all_x),
        ("dw_ih", o.dw_ih.len(), w_ih),
        ("dw_hh", o.dw_hh.len(), w_hh),
        ("db", o.db.len(), bias),
        ("dh0", o.dh0.len(), initial),
        ("dc0", o.dc0.len(), initial),
    ])?;
    let inputs = Inputs {
        dy: &i.dy[..all_y],
        dh_n: &i.dh_n[..state],
        dc_n: &i.dc_n[..state],
        x: &i.x[..all_x],
        w_ih: &i.w_ih[..w_ih],
        w_hh: &i.w_hh[..w_hh],
        h0: &i.h0[..initial],
        c0: &i.c0[..initial],
        y: &i.y[..all_y],
        gates: &i.gates[..4 * all_y],
        cells: &i.cells[..all_y],
    };
    let outputs = Outputs {
        dx: &mut o.dx[..all_x],
        dw_ih: &mut o.dw_ih[..w_ih],
        dw_hh: &mut o.dw_hh[..w_hh],
        db: &mut o.db[..bias],
        dh0: &mut o.dh0[..initial],
        dc0: &mut o.dc0[..initial],
    };
    Ok((inputs, outputs))
}

/// All outputs, with the instructions of `isa`.
///
/// # Errors
/// [`KernelError`] if an operand is too short or the CPU lacks the instructions.
pub fn lstm_backward<T: CellBack>(
    problem: &LstmBackward,
    isa: Isa,
    inputs: Inputs<'_, T>,
    outputs: Outputs<'_, T>,
    pool: &Pool,
    workspace: &mut Workspace,
) -> Result<(), KernelError> {
    let (i, o) = checked(problem, inputs, outputs)?;
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
    with_float!(call.types, T => typed::<T>(call, isa))
}

fn typed<T: CellBack>(call: &mut Call<'_>, isa: Isa) -> Result<(), KernelError> {
    let [dy, dh_n, dc_n, x, w_ih, w_hh] = [0, 1, 2, 3, 4, 5].map(|i| call.input::<T>(i));
    // 6 and 7 are the biases.
    let [h0, c0, y, gates, cells] = [8, 9, 10, 11, 12].map(|i| call.input::<T>(i));
    let [dx, dw_ih, dw_hh, db, dh0, dc0] = &mut *call.outputs else { panic!("six outputs") };
    let [dx, dw_ih, dw_hh, db, dh0, dc0] = [dx, dw_ih, dw_hh, db, dh0, dc0].map(elements);
    let inputs = Inputs { dy, dh_n, dc_n, x, w_ih, w_hh, h0, c0, y, gates, cells };
    let outputs = Outputs { dx, dw_ih, dw_hh, db, dh0, dc0 };
    lstm_backward(downcast(call.problem), isa, inputs, outputs, call.pool, call.workspace)
}

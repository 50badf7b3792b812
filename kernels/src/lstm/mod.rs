//! [`lstm`](etalon_reference::ops::lstm): one layer over a sequence. f32 and f64; shapes and layouts are the problem's.
//!
//! ```text
//! z = x·W_ihᵀ + b_ih                        one product over all T·N rows
//! turn W_hh once, if there are several steps
//! for each step t:
//!   z[t] += h·W_hhᵀ + b_hh                  a product of N rows
//!   gates, c, y[t] of z[t]                  rows of sequences are tasks
//! ```
//! One source for all levels: the products are those of [`gemm`](crate::gemm), in its canonical order, and σ and tanh
//! of f32 those of [`math`](crate::math). So all levels give the same bits, for any number of threads, and a sequence
//! of a batch those that it has alone. In f64, σ and tanh are computed one by one by the C library's functions; the
//! products are in vectors.
//!
//! An absent initial state is zeros, as if it were given: NaN of W_hh is NaN in the first step, too.
//!
//! Error: the problem's tolerance. NaN and ∞ follow the formula. Errors: a level that the CPU lacks.
//! Workspace: T·N·4H elements if the gates are not kept, 4H·H for the turned weights, and what the products need.

mod cell;
mod numbers;
mod rows;

use etalon_reference::Threshold;
use etalon_reference::operator::downcast;
use etalon_reference::ops::gemm::CHUNK;
use etalon_reference::ops::lstm::Lstm;

pub(crate) use self::cell::{Cell, load, on_lanes, store};
pub(crate) use self::numbers::{Double, Lanes, Numbers};
use self::rows::Step;
pub(crate) use self::rows::{TASK, tasks};
use crate::call::{Call, elements};
use crate::conv2d_backward_weights::Transpose;
use crate::faults::fault;
use crate::gemm::product::{columns, plain, product, rows};
use crate::gemm::{DEPTH, FLOATS, Float, with_float};
use crate::isa::Isa;
use crate::isa::wide::{Wide, Work, with_lanes};
use crate::kernel::{Kernel, KernelError};
use crate::pool::Pool;
use crate::workspace::Workspace;

/// Where the products take another path, and where there is a second task of cells: by an operand of N×H.
pub(crate) const fn thresholds(state: &'static str) -> [Threshold; 8] {
    [
        Threshold::axis("t", 2),
        Threshold::axis("n", 8),
        Threshold::axis("n", 64),
        Threshold::axis("i", CHUNK as i64),
        Threshold::axis("i", DEPTH as i64),
        Threshold::axis("h", CHUNK as i64),
        Threshold::bytes("w_hh", 1 << 20),
        Threshold::bytes(state, TASK * size_of::<f32>()),
    ]
}

const THRESHOLDS: &[Threshold] = &thresholds("c_n");

/// The kernels, weakest first.
pub static KERNELS: &[Kernel] = &[
    Kernel::new("scalar", Isa::Scalar, FLOATS, |call| run(call, Isa::Scalar)),
    Kernel::new("avx2", Isa::Avx2, FLOATS, |call| run(call, Isa::Avx2)).with_thresholds(THRESHOLDS),
    Kernel::new("avx512", Isa::Avx512, FLOATS, |call| run(call, Isa::Avx512)).with_thresholds(THRESHOLDS),
];

/// The operands. Those that the problem does not have are empty.
struct Operands<'a, T> {
    /// Inputs, T×N×I.
    x: &'a [T],
    /// Weights of the inputs, 4H×I.
    w_ih: &'a [T],
    /// Weights of the states, 4H×H.
    w_hh: &'a [T],
    /// Biases, 4H each.
    bias: [&'a [T]; 2],
    /// Initial output, N×H.
    h0: &'a [T],
    /// Initial cells, N×H.
    c0: &'a [T],
    /// Outputs, T×N×H.
    y: &'a mut [T],
    /// The last output, N×H.
    h_n: &'a mut [T],
    /// The last cells, N×H.
    c_n: &'a mut [T],
    /// The gates i, f, g, o, T×N×4H, if they are kept.
    gates: &'a mut [T],
    /// The cells, T×N×H, if they are kept.
    cells: &'a mut [T],
}

/// All outputs, with the instructions of `isa`.
fn lstm<T: Cell>(
    p: &Lstm,
    isa: Isa,
    operands: Operands<'_, T>,
    pool: &Pool,
    workspace: &mut Workspace,
) -> Result<(), KernelError> {
    let Operands { x, w_ih, w_hh, bias: [b_ih, b_hh], h0, c0, y, h_n, c_n, gates, cells } = operands;
    let (batch, hidden, state) = (p.batch, p.hidden, p.state_len());
    let columns_of_z = 4 * hidden;
    // The last states hold the first ones until there are others.
    set(h_n, h0);
    set(c_n, c0);
    let turns = p.steps > 1;
    let (sums_len, turned_len) = (if p.keep { 0 } else { p.steps * 4 * state }, if turns { w_hh.len() } else { 0 });
    let (scratch, inner) = workspace.slice_and_inner::<T>(sums_len + turned_len);
    let (sums, turned) = scratch.split_at_mut(sums_len);
    let z = if p.keep { gates } else { sums };

    let all = plain([p.steps * batch, columns_of_z, p.inputs], rows(p.inputs), columns(p.inputs), 0.0);
    product(&all, isa, (x, w_ih, b_ih), z, pool, inner)?;
    let (w_hh, lies) = if turns {
        turn(isa, Transpose { from: w_hh, to: turned, rows: columns_of_z, cols: hidden })?;
        (&*turned, rows(columns_of_z))
    } else {
        (w_hh, columns(hidden))
    };
    let step = plain([batch, columns_of_z, hidden], rows(hidden), lies, 1.0);
    for t in 0..p.steps {
        let (before, now) = y.split_at_mut(t * state);
        let stale = if fault!("lstm.stale-state") && t > 2 { 2 } else { 1 };
        let h = if t == 0 { &*h_n } else { &before[(t - stale) * state..][..state] };
        let z = &mut z[t * 4 * state..][..4 * state];
        let b_hh = if fault!("lstm.late-bias") && t > 0 { &[][..] } else { b_hh };
        product(&step, isa, (h, w_hh, b_hh), z, pool, inner)?;
        let cells = if p.keep { &mut cells[t * state..][..state] } else { &mut [][..] };
        T::step(isa, Step { hidden, gates: z, c: c_n, y: &mut now[..state], cells, keep: p.keep }, pool)?;
    }
    if let Some(last) = y.rchunks(state.max(1)).next() {
        h_n.copy_from_slice(last);
    }
    Ok(())
}

/// The state that is given, or zeros.
pub(crate) fn set<T: Float>(to: &mut [T], given: &[T]) {
    if given.is_empty() { to.fill(T::default()) } else { to.copy_from_slice(given) }
}

/// Writes a transpose with the lanes of `isa`.
fn turn<T: Float>(isa: Isa, transpose: Transpose<'_, T>) -> Result<(), KernelError> {
    struct Entered<'a, T>(Transpose<'a, T>);
    impl<T: Float> Work<T> for Entered<'_, T> {
        type Output = ();
        #[inline(always)]
        fn run<L: Wide<T>>(self, l: L) {
            l.enter(self.0);
        }
    }
    with_lanes(isa, Entered(transpose)).map_err(KernelError::Isa)
}

fn run(call: &mut Call<'_>, isa: Isa) -> Result<(), KernelError> {
    with_float!(call.types(), T => typed::<T>(call, isa))
}

fn typed<T: Cell>(call: &mut Call<'_>, isa: Isa) -> Result<(), KernelError> {
    let [x, w_ih, w_hh, b_ih, b_hh, h0, c0] = [0, 1, 2, 3, 4, 5, 6].map(|i| call.input::<T>(i));
    let (problem, pool) = (downcast(call.problem()), call.pool());
    let (outputs, workspace) = call.outputs();
    let [y, h_n, c_n, gates, cells] = outputs.map(elements);
    let operands = Operands { x, w_ih, w_hh, bias: [b_ih, b_hh], h0, c0, y, h_n, c_n, gates, cells };
    lstm(problem, isa, operands, pool, workspace)
}

//! Backpropagation through all steps of a layer.
//!
//! ```text
//! pack W_hh, if there are several steps
//! the last step back
//! for each step t, the last one first:
//!   dh = dr[t]·W_hh                           units of all sequences are tasks,
//!   step t − 1 back of dh                     with a few units of dh still close
//! dx = dz·W_ih                                one product over all T·N rows
//! dW_ih = dzᵀ·x,  dW_hh = drᵀ·h₋₁             sums over all T·N rows
//! db_ih = Σ dz,   db_hh = Σ dr                in order
//! ```

use etalon_reference::ops::gemm::{Gemm, Matrix};
use etalon_reference::ops::recurrent::Layer;

use super::cells::Cell;
use super::driver::{self, Behind, Product, Shape};
use super::forward::set;
use super::present::Present;
use super::rows::{BackStep, all};
use super::{line, packs};
use crate::disjoint::Disjoint;
use crate::faults::fault;
use crate::gemm::Float;
use crate::gemm::product::{plain, product, rows};
use crate::gemm_backward::sum_rows;
use crate::isa::Isa;
use crate::kernel::KernelError;
use crate::math::Numeric;
use crate::pool::Pool;
use crate::workspace::Workspace;

/// What is read. Operands that the problem does not have are empty.
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
    /// Weights of the inputs, G·H×I.
    pub w_ih: &'a [T],
    /// Weights of the states, G·H×H.
    pub w_hh: &'a [T],
    /// Initial output, N×H.
    pub h0: &'a [T],
    /// Outputs of the forward pass, T×N×H.
    pub y: &'a [T],
    /// Its gates, T×N×G·H.
    pub gates: &'a [T],
    /// What else it kept, T×N×H.
    pub extra: &'a [T],
    /// The state that the formulas of a step need: initially, N×H, and of all steps, T×N×H.
    pub state: (&'a [T], &'a [T]),
    /// Whether that is the state before a step, and not behind it.
    pub before: bool,
    /// Steps of each sequence.
    pub lengths: &'a [i64],
}

/// What is written. Operands that the problem does not have are empty.
pub struct Outputs<'a, T> {
    /// T×N×I.
    pub dx: &'a mut [T],
    /// G·H×I.
    pub dw_ih: &'a mut [T],
    /// G·H×H.
    pub dw_hh: &'a mut [T],
    /// Of the biases, G·H each; the second one only if it is another.
    pub db: [&'a mut [T]; 2],
    /// N×H.
    pub dh0: &'a mut [T],
    /// N×H, if the layer has cells.
    pub dc0: &'a mut [T],
}

/// What all steps have in common.
struct Loop<'a, T, C> {
    cell: C,
    layer: &'a Layer,
    isa: Isa,
    inputs: Inputs<'a, T>,
    present: Present<'a>,
    line: usize,
}

/// Part `t` of a sequence of parts of `len` elements; nothing of an empty one.
fn part<T>(all: &[T], t: usize, len: usize) -> &[T] {
    if all.is_empty() { all } else { &all[t * len..(t + 1) * len] }
}

impl<'a, T: Numeric, C: Cell> Loop<'a, T, C> {
    /// The step after `index` others, with what the next one says of its output and beside that, and the lines of dz and
    /// dr that it makes.
    fn step<'b>(
        &self,
        index: usize,
        [dh, carry]: [Disjoint<'b, T>; 2],
        [dz, dr]: [&'b mut [T]; 2],
    ) -> BackStep<'b, T, C>
    where
        'a: 'b,
    {
        let (i, state, t) = (self.inputs, self.layer.state_len(), self.layer.step(index));
        let (first, states) = i.state;
        let copied = !self.present.all();
        BackStep {
            isa: self.isa,
            cell: self.cell,
            batch: self.layer.batch,
            hidden: self.layer.hidden,
            present: self.present.at(t),
            last: if copied && !self.layer.reverse { i.dh_n } else { &[] },
            dy: part(i.dy, t, state),
            dh,
            carry,
            gates: part(i.gates, t, self.layer.gates_len()),
            extra: part(i.extra, t, state),
            // With numbers of steps, the states before each step are copied to its place.
            state: match index.checked_sub(1) {
                _ if copied || !i.before => part(states, t, state),
                Some(before) => part(states, self.layer.step(before), state),
                None => first,
            },
            dz: Disjoint::new(dz),
            dr: Disjoint::new(dr),
            line: self.line,
        }
    }
}

/// Lines of dz, and of dr, which may be none.
type Lines<'a, T> = [&'a mut [T]; 2];

/// Two lists of lines, the second of which may be empty, cut at line `at`.
fn cut<T>([dz, dr]: Lines<'_, T>, at: usize) -> [Lines<'_, T>; 2] {
    let (dz, behind) = dz.split_at_mut(at);
    let (dr, behind_r) = dr.split_at_mut(at.min(dr.len()));
    [[dz, dr], [behind, behind_r]]
}

/// The lines of step `t`, and those from the one before it or up to it, the last of which or the first is that of the
/// step before in the layer's direction.
fn beside<'a, T>(layer: &Layer, lines: Lines<'a, T>, t: usize, len: usize) -> [Lines<'a, T>; 2] {
    if layer.reverse {
        let [lines, before] = cut(lines, (t + 1) * len);
        let [_, now] = cut(lines, t * len);
        let [before, _] = if t + 1 < layer.steps { cut(before, len) } else { [before, [&mut [], &mut []]] };
        [now, before]
    } else {
        let [before, lines] = cut(lines, t * len);
        let [now, _] = cut(lines, len);
        let [_, before] = cut(before, t.saturating_sub(1) * len);
        [now, before]
    }
}

/// All outputs, with the instructions of `isa`.
///
/// # Errors
/// If the CPU lacks them.
pub fn backward<T: Numeric, C: Cell>(
    cell: C,
    layer: &Layer,
    isa: Isa,
    i: Inputs<'_, T>,
    o: Outputs<'_, T>,
    pool: &Pool,
    workspace: &mut Workspace,
) -> Result<(), KernelError> {
    let &Layer { steps, batch, inputs, hidden, reverse, .. } = layer;
    let present = Present::new(layer, i.lengths)?;
    let (state, width) = (layer.state_len(), layer.columns());
    let line = line(width);
    let (count, step_len) = (steps * batch, batch * line);
    let shape = Shape { depth: width, units: hidden, gates: 1 };
    let packed = if packs(layer, isa) { shape.packed_len::<T>(isa)? } else { 0 };
    let others = if C::APART { count * line } else { 0 };
    // With numbers of steps: outputs before each step, cells before each step, and inputs, zeros where there is none.
    let cells = !i.dc_n.is_empty();
    let copied = if present.all() { 0 } else { count * hidden };
    let (of_cells, of_x) = (if cells { copied } else { 0 }, if present.all() { 0 } else { count * inputs });
    let all_len = count * line + others + packed + 3 * state + copied + of_cells + of_x;
    let (scratch, inner) = workspace.slice_and_inner::<T>(all_len);
    let (dz, scratch) = scratch.split_at_mut(count * line);
    let (dr, scratch) = scratch.split_at_mut(others);
    let (panels, scratch) = scratch.split_at_mut(packed);
    let (dh, scratch) = scratch.split_at_mut(state);
    let (carry, scratch) = scratch.split_at_mut(state);
    let (zeros, scratch) = scratch.split_at_mut(state);
    let (before, scratch) = scratch.split_at_mut(copied);
    let (cells_before, x) = scratch.split_at_mut(of_cells);
    let mut i = i;
    if !present.all() {
        present.before(layer, (i.h0, i.y), hidden, before);
        if cells {
            present.before(layer, i.state, hidden, cells_before);
        }
        x.copy_from_slice(&i.x[..of_x]);
        present.clear(inputs, x);
        i.x = x;
        if i.before {
            i.state.1 = if cells { cells_before } else { before };
        }
    }
    dh.copy_from_slice(i.dh_n);
    set(carry, if fault!("lstm_backward.one-upstream") { &[] } else { i.dc_n });
    if packed > 0 {
        driver::pack(isa, shape, (i.w_hh, rows(hidden)), panels, pool)?;
    }

    let all_steps = Loop { cell, layer, isa, inputs: i, present, line };
    let a = Matrix { row: line, col: 1, batch: 0 };
    for index in (0..steps).rev() {
        let t = layer.step(index);
        let [[dz, dr], lines] = beside(layer, [&mut *dz, &mut *dr], t, step_len);
        let states = [Disjoint::new(&mut *dh), Disjoint::new(&mut *carry)];
        if packed == 0 || index + 1 == steps {
            all(&mut all_steps.step(index, states, [&mut *dz, &mut *dr]), pool);
        }
        let of_h = if C::APART { &*dr } else { &*dz };
        if packed == 0 {
            let of_step = Gemm { a, ..plain([batch, hidden, width], rows(width), rows(hidden), 0.0) };
            product(&of_step, isa, (of_h, i.w_hh, &[]), dh, pool, inner)?;
        } else {
            let mut earlier = index.checked_sub(1).map(|index| all_steps.step(index, states, lines));
            let behind = earlier.as_mut().map(|step| step as &mut dyn Behind);
            let mut of_step = Product {
                shape,
                panels,
                a: of_h,
                a_row: line,
                c: states[0],
                c_row: hidden,
                joint: 0,
                moved: 0,
                bias: &[],
                back: index % 2 == 1,
            };
            driver::product(isa, &mut of_step, behind, batch, pool)?;
        }
        if reverse && !fault!("lstm_backward.shorter-in-reverse") {
            // Their first step is behind others that they lack.
            shorter(present, t, hidden, dh, o.dh0);
        }
    }
    if layer.state {
        for (n, (dh0, dh)) in o.dh0.chunks_exact_mut(hidden.max(1)).zip(dh.chunks_exact(hidden.max(1))).enumerate() {
            if !present.at(0).has(n) {
                dh0.copy_from_slice(&i.dh_n[n * hidden..][..hidden]);
            } else if !reverse || present.all() {
                dh0.copy_from_slice(dh);
            }
        }
        if o.dc0.is_empty() {
            // What does not go through the sums goes to the output before.
            for (dh0, &carry) in o.dh0.iter_mut().zip(&*carry) {
                *dh0 = *dh0 + carry;
            }
        } else {
            o.dc0.copy_from_slice(carry);
        }
    }

    let of_h = if C::APART { &*dr } else { &*dz };
    let of_x = Gemm { a, ..plain([count, inputs, width], rows(width), rows(inputs), 0.0) };
    product(&of_x, isa, (dz, i.w_ih, &[]), o.dx, pool, inner)?;
    if !fault!("rnn_backward.dx-behind-end") {
        present.clear(inputs, o.dx);
    }
    let weights = |cols: usize, count: usize, beta: f64| {
        let a = Matrix { row: 1, col: line, batch: 0 };
        Gemm { a, ..plain([width, cols, count], rows(width), rows(cols), beta) }
    };
    product(&weights(inputs, count, 0.0), isa, (dz, i.x, &[]), o.dw_ih, pool, inner)?;
    set(zeros, i.h0);
    // The layer's first step is the last one in memory if it goes in reverse; beside the others lie the states before them.
    let ([first, rest], behind) = match steps {
        0 => ([0, 0], 0),
        _ if reverse => ([count - batch, 0], batch),
        _ => ([0, batch], 0),
    };
    let (of_first, of_rest) = (&of_h[first * line..], &of_h[rest * line..]);
    let (of_zeros, of_states) = match present.all() {
        true => (&*zeros, &i.y[behind * hidden..]),
        false => (&before[first * hidden..], &before[rest * hidden..]),
    };
    let first_rows = if steps == 0 || fault!("lstm_backward.first-of-dw") { 0 } else { batch };
    product(&weights(hidden, first_rows, 0.0), isa, (of_first, of_zeros, &[]), o.dw_hh, pool, inner)?;
    if steps > 1 {
        product(&weights(hidden, count - batch, 1.0), isa, (of_rest, of_states, &[]), o.dw_hh, pool, inner)?;
    }
    let [db, other] = o.db;
    sum_rows(dz, line, db, pool);
    sum_rows(of_h, line, other, pool);
    Ok(())
}

/// What step `t` says of the initial output of the sequences that begin with it, short of others.
fn shorter<T: Float>(present: Present<'_>, t: usize, hidden: usize, dh: &[T], dh0: &mut [T]) {
    let rows = dh0.chunks_exact_mut(hidden.max(1)).zip(dh.chunks_exact(hidden.max(1)));
    for (_, (dh0, dh)) in rows.enumerate().filter(|(n, _)| present.at(t).is_last(*n)) {
        dh0.copy_from_slice(dh);
    }
}

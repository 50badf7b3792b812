//! All steps of a layer.
//!
//! ```text
//! pack W_hh, if there are several steps and it is not packed already
//! for blocks of steps, in the layer's direction:
//!   sums = x·W_ihᵀ + b_ih                     one product over the rows of all steps of the block
//!   for each step t:
//!     sums += h·W_hhᵀ + b_hh                  units of all sequences are tasks; or a plain product of N rows,
//!     gates, h of the sums                    with the sums of a few units still close; or rows are tasks
//! ```
//! With numbers of steps, the states of all sequences lie in h_n, and a product has the rows up to the last sequence
//! that has the step: sequences that are sorted by length cost nothing behind their end.

use etalon_reference::ops::gemm::Gemm;
use etalon_reference::ops::recurrent::Layer;

use super::cells::Cell;
use super::driver::{self, Product, Shape};
use super::plan::Packed;
use super::present::Present;
use super::rows::{Step, all, rest};
use super::{line, packs};
use crate::disjoint::Disjoint;
use crate::faults::fault;
use crate::gemm::Float;
use crate::gemm::product::{columns, plain, product, product_with_packed, rows};
use crate::isa::Isa;
use crate::kernel::KernelError;
use crate::math::Numeric;
use crate::pool::Pool;
use crate::workspace::Workspace;

/// Rows of a block of steps, about: their sums stay in a cache.
pub const BLOCK_ROWS: usize = 1024;

/// The operands. Those that the problem does not have are empty.
pub struct Operands<'a, T> {
    /// Inputs, T×N×I.
    pub x: &'a [T],
    /// Weights of the inputs, G·H×I.
    pub w_ih: &'a [T],
    /// Weights of the states, G·H×H.
    pub w_hh: &'a [T],
    /// Biases, G·H each.
    pub bias: [&'a [T]; 2],
    /// Initial output, N×H.
    pub h0: &'a [T],
    /// Initial cells, N×H.
    pub c0: &'a [T],
    /// Steps of each sequence.
    pub lengths: &'a [i64],
    /// Outputs, T×N×H.
    pub y: &'a mut [T],
    /// The last output, N×H.
    pub h_n: &'a mut [T],
    /// The last cells, N×H, if the layer has cells.
    pub c_n: &'a mut [T],
    /// The gates, T×N×G·H, if they are kept.
    pub gates: &'a mut [T],
    /// What else is kept, T×N×H.
    pub extra: &'a mut [T],
}

/// The state that is given, or zeros.
pub fn set<T: Float>(to: &mut [T], given: &[T]) {
    if given.is_empty() { to.fill(T::default()) } else { to.copy_from_slice(given) }
}

/// All outputs, with the instructions of `isa`.
///
/// # Errors
/// If the CPU lacks them.
pub fn forward<T: Numeric, C: Cell>(
    cell: C,
    layer: &Layer,
    isa: Isa,
    o: Operands<'_, T>,
    plan: Option<&Packed<T>>,
    pool: &Pool,
    workspace: &mut Workspace,
) -> Result<(), KernelError> {
    if plan.is_some_and(|plan| !plan.fits(layer, isa)) {
        return Err(KernelError::Unsupported("the plan was made for another problem".into()));
    }
    let Operands { x, w_ih, w_hh, bias: [b_ih, b_hh], h0, c0, lengths, y, h_n, c_n, gates, extra } = o;
    let &Layer { steps, batch, inputs, hidden, reverse, .. } = layer;
    let present = Present::new(layer, lengths)?;
    let (state, width, apart) = (layer.state_len(), layer.columns(), usize::from(C::APART));
    // The last states hold the first ones until there are others.
    set(h_n, h0);
    set(c_n, c0);
    let joint = C::GATES - apart;
    let line = line(width + apart * hidden);
    let block = (BLOCK_ROWS / batch.max(1)).clamp(1, steps.max(1));
    let shape = Shape { depth: hidden, units: hidden, gates: C::GATES };
    let packed = if plan.is_none() && packs(layer, isa) { shape.packed_len::<T>(isa)? } else { 0 };
    // Rows of h are copied to lines that start in different sets of a cache.
    let h_line = if (packed > 0 || plan.is_some()) && batch > 1 { self::line(hidden) } else { 0 };
    let sums_len = block * batch * line;
    let (scratch, inner) = workspace.slice_and_inner::<T>(sums_len + packed + batch * h_line);
    let (sums, scratch) = scratch.split_at_mut(sums_len);
    let (panels, h_lines) = scratch.split_at_mut(packed);
    if packed > 0 {
        driver::pack(isa, shape, (w_hh, columns(hidden)), panels, pool)?;
    }
    let panels = plan.map_or(&*panels, |plan| &plan.w_hh[..]);

    for start in (0..steps).step_by(block) {
        let end = steps.min(start + block);
        // The block's first step in memory.
        let least = if reverse && !fault!("rnn.reverse-second-block") { steps - end } else { start };
        let count = (end - start) * batch;
        let of_inputs = lines(plain([count, width, inputs], rows(inputs), columns(inputs), 0.0), line);
        let x = &x[least * batch * inputs..];
        match plan {
            Some(plan) => product_with_packed(&of_inputs, isa, (x, &plan.w_ih, b_ih), sums, pool, inner)?,
            None => product(&of_inputs, isa, (x, w_ih, b_ih), sums, pool, inner)?,
        }
        for index in start..end {
            let t = layer.step(index);
            let stale = if fault!("lstm.stale-state") && index > 2 { 2 } else { 1 };
            let (h, now) = if reverse {
                let (now, behind) = y.split_at_mut((t + 1) * state);
                (behind.get((stale - 1) * state..stale * state), &mut now[t * state..])
            } else {
                let (before, now) = y.split_at_mut(t * state);
                (before.rchunks_exact(state.max(1)).nth(stale - 1), &mut now[..state])
            };
            let h = h.filter(|_| present.all()).unwrap_or(h_n);
            let sums = &mut sums[(t - least) * batch * line..][..batch * line];
            let b_hh = if fault!("lstm.late-bias") && index > 0 { &[][..] } else { b_hh };
            if panels.is_empty() {
                let (joint_rows, apart_rows) = w_hh.split_at(joint * hidden * hidden);
                let (joint_bias, apart_bias) = b_hh.split_at(b_hh.len().min(joint * hidden));
                let of_state =
                    |cols, beta| lines(plain([batch, cols, hidden], rows(hidden), columns(hidden), beta), line);
                product(&of_state(joint * hidden, 1.0), isa, (h, joint_rows, joint_bias), sums, pool, inner)?;
                if C::APART {
                    let sums = &mut sums[width.min(batch * line)..];
                    product(&of_state(hidden, 0.0), isa, (h, apart_rows, apart_bias), sums, pool, inner)?;
                }
            }
            let kept = |there: bool, len: usize| if there { t * len..(t + 1) * len } else { 0..0 };
            let (of_gates, of_extra) = (kept(!gates.is_empty(), batch * width), kept(!extra.is_empty(), state));
            let sums = Disjoint::new(sums);
            let mut step = Step {
                isa,
                cell,
                batch,
                hidden,
                present: present.at(t),
                sums,
                line,
                h,
                c: Disjoint::new(c_n),
                y: Disjoint::new(&mut now[..state]),
                gates: Disjoint::new(&mut gates[of_gates]),
                extra: Disjoint::new(&mut extra[of_extra]),
            };
            let rows = present.rows(t);
            if panels.is_empty() || rows == 0 {
                all(&mut step, pool);
                keep(present, t, (&now[..state], h_n), hidden);
                continue;
            }
            let (a, a_row) = if h_line > 0 {
                for (to, from) in h_lines.chunks_exact_mut(h_line).zip(h.chunks_exact(hidden)) {
                    to[..hidden].copy_from_slice(from);
                }
                (&*h_lines, h_line)
            } else {
                (h, hidden)
            };
            let back = index % 2 == 1;
            let mut all =
                Product { shape, panels, a, a_row, c: sums, c_row: line, joint, moved: apart, bias: b_hh, back };
            driver::product(isa, &mut all, Some(&mut step), rows, pool)?;
            rest(&mut step, rows);
            keep(present, t, (&now[..state], h_n), hidden);
        }
    }
    if steps > 0 && present.all() {
        let last = layer.step(steps - 1);
        h_n.copy_from_slice(&y[last * state..(last + 1) * state]);
    }
    Ok(())
}

/// With numbers of steps, keeps the outputs of the sequences that have step `t`.
fn keep<T: Float>(present: Present<'_>, t: usize, (y, h_n): (&[T], &mut [T]), hidden: usize) {
    let rows = h_n.chunks_exact_mut(hidden.max(1)).zip(y.chunks_exact(hidden.max(1))).enumerate();
    for (n, (h, y)) in rows.filter(|_| !present.all()) {
        if present.at(t).has(n) || fault!("gru.state-behind-end") {
            h.copy_from_slice(y);
        }
    }
}

/// The product with C in lines.
pub fn lines(p: Gemm, line: usize) -> Gemm {
    Gemm { c: rows(line), ..p }
}

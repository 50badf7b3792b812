//! Layers, one upon the other.
//!
//! ```text
//! for each layer, for each direction:
//!   all steps of the layer, over x or the outputs below
//!   with two directions: its outputs to their columns
//! ```
//! The gradient goes through all layers again, keeps what each one's gradient needs, and then goes back.

use etalon_reference::ops::recurrent::Layer;
use etalon_reference::ops::recurrent_layers::RecurrentLayers;

use super::backward::{self, backward};
use super::cells::Cell;
use super::forward::{self, forward};
use crate::faults::fault;
use crate::gemm::Float;
use crate::isa::Isa;
use crate::kernel::KernelError;
use crate::math::Numeric;
use crate::pool::Pool;
use crate::workspace::Workspace;

/// What a pass reads. Operands that the problem does not have are empty.
#[derive(Clone, Copy)]
pub struct Operands<'a, T> {
    /// Inputs, T×N×I.
    pub x: &'a [T],
    /// The parameters of all layers.
    pub parameters: &'a [T],
    /// Initial outputs, L·D×N×H.
    pub h0: &'a [T],
    /// Initial cells, L·D×N×H.
    pub c0: &'a [T],
    /// Steps of each sequence.
    pub lengths: &'a [i64],
}

/// What a pass writes.
pub struct Outputs<'a, T> {
    /// T×N×D·H.
    pub y: &'a mut [T],
    /// L·D×N×H.
    pub h_n: &'a mut [T],
    /// L·D×N×H, if the layers have cells.
    pub c_n: &'a mut [T],
}

/// Upstream gradients.
#[derive(Clone, Copy)]
pub struct Upstream<'a, T> {
    /// T×N×D·H.
    pub dy: &'a [T],
    /// L·D×N×H.
    pub dh_n: &'a [T],
    /// L·D×N×H, if the layers have cells.
    pub dc_n: &'a [T],
}

/// Gradients.
pub struct Gradients<'a, T> {
    /// T×N×I.
    pub dx: &'a mut [T],
    /// Of all parameters.
    pub parameters: &'a mut [T],
    /// L·D×N×H.
    pub dh0: &'a mut [T],
    /// L·D×N×H.
    pub dc0: &'a mut [T],
}

/// Part `index` of parts of `len` elements; nothing of what is empty.
fn nth<T>(all: &[T], index: usize, len: usize) -> &[T] {
    if all.is_empty() { all } else { &all[index * len..(index + 1) * len] }
}

/// The same to be written.
fn nth_mut<T>(all: &mut [T], index: usize, len: usize) -> &mut [T] {
    if all.is_empty() { all } else { &mut all[index * len..(index + 1) * len] }
}

/// Rows of a direction from rows of both, or to them.
fn columns<T>(both: &[T], direction: usize, hidden: usize) -> impl Iterator<Item = &[T]> {
    both.chunks_exact((2 * hidden).max(1)).map(move |row| &row[direction * hidden..(direction + 1) * hidden])
}

/// Writes the rows of a direction among those of both.
fn join<T: Copy>(own: &[T], both: &mut [T], direction: usize, hidden: usize) {
    for (row, own) in both.chunks_exact_mut((2 * hidden).max(1)).zip(own.chunks_exact(hidden.max(1))) {
        row[direction * hidden..(direction + 1) * hidden].copy_from_slice(own);
    }
}

/// How the cells of all layers are computed.
pub struct Layers<'a, C> {
    /// Their kind.
    pub cell: C,
    /// The problem.
    pub p: &'a RecurrentLayers,
    /// The instructions.
    pub isa: Isa,
    /// The threads.
    pub pool: &'a Pool,
}

/// What one layer in one direction writes.
struct Made<'a, T> {
    y: &'a mut [T],
    h_n: &'a mut [T],
    c_n: &'a mut [T],
    gates: &'a mut [T],
    extra: &'a mut [T],
}

impl<C: Cell> Layers<'_, C> {
    /// A layer in a direction, and its place among the states.
    fn layer(&self, (layer, direction): (usize, usize)) -> (Layer, usize) {
        let turned = if fault!("recurrent_layers.both-forward") { 0 } else { direction };
        (self.p.layer(layer, turned), layer * self.p.directions + direction)
    }

    fn one<T: Numeric>(
        &self,
        at: (usize, usize),
        x: &[T],
        o: Operands<'_, T>,
        made: Made<'_, T>,
        workspace: &mut Workspace,
    ) -> Result<(), KernelError> {
        let (layer, place) = self.layer(at);
        let [w_ih, w_hh, b_ih, b_hh] = self.p.places(at.0, at.1).map(|range| &o.parameters[range]);
        let [h0, c0] = [o.h0, o.c0].map(|state| nth(state, place, layer.state_len()));
        let Made { y, h_n, c_n, gates, extra } = made;
        let (bias, lengths) = ([b_ih, b_hh], o.lengths);
        let operands = forward::Operands { x, w_ih, w_hh, bias, h0, c0, lengths, y, h_n, c_n, gates, extra };
        forward(self.cell, &layer, self.isa, operands, None, self.pool, workspace)
    }

    /// All outputs.
    ///
    /// # Errors
    /// If the CPU lacks the instructions, or a number of steps is out of range.
    pub fn forward<T: Numeric>(
        &self,
        o: Operands<'_, T>,
        outputs: Outputs<'_, T>,
        workspace: &mut Workspace,
    ) -> Result<(), KernelError> {
        let RecurrentLayers { layers, directions, first, .. } = *self.p;
        let (rows, state) = (first.steps * first.batch, first.state_len());
        let own_len = if directions == 2 { rows * first.hidden } else { 0 };
        let below = if layers > 1 { rows * self.p.width() } else { 0 };
        let (scratch, inner) = workspace.slice_and_inner::<T>(own_len + 2 * below);
        let (own, scratch) = scratch.split_at_mut(own_len);
        let (mut from, mut to) = scratch.split_at_mut(below);
        for layer in 0..layers {
            let target = if layer + 1 == layers { &mut *outputs.y } else { &mut *to };
            for direction in 0..directions {
                let x = if layer == 0 { o.x } else { &*from };
                let place = layer * directions + direction;
                let made = Made {
                    y: if directions == 2 { &mut *own } else { &mut *target },
                    h_n: nth_mut(outputs.h_n, place, state),
                    c_n: nth_mut(outputs.c_n, place, state),
                    gates: &mut [],
                    extra: &mut [],
                };
                self.one((layer, direction), x, o, made, inner)?;
                if directions == 2 {
                    join(own, target, direction, first.hidden);
                }
            }
            if layer != 1 || !fault!("recurrent_layers.third-layer") {
                std::mem::swap(&mut from, &mut to);
            }
        }
        Ok(())
    }

    /// All gradients.
    ///
    /// # Errors
    /// If the CPU lacks the instructions, or a number of steps is out of range.
    pub fn backward<T: Numeric>(
        &self,
        o: Operands<'_, T>,
        upstream: Upstream<'_, T>,
        gradients: Gradients<'_, T>,
        workspace: &mut Workspace,
    ) -> Result<(), KernelError> {
        let RecurrentLayers { layers, directions, first, .. } = *self.p;
        let (rows, state, width) = (first.steps * first.batch, first.state_len(), self.p.width());
        let keep = Keep::new::<C>(self.p);
        let both = directions == 2;
        // Rows of dy of a direction, dx of layers above the first, and dx of the direction in reverse.
        let own_len = if both { rows * first.hidden } else { 0 };
        let above_len = if layers > 1 { rows * width } else { 0 };
        let turned_len = if both { rows * first.inputs.max(above_len / rows.max(1)) } else { 0 };
        let all = layers * keep.layer() + own_len + 2 * above_len + turned_len + 2 * state;
        let (scratch, inner) = workspace.slice_and_inner::<T>(all);
        let (kept, scratch) = scratch.split_at_mut(layers * keep.layer());
        let (own, scratch) = scratch.split_at_mut(own_len);
        let (mut above, scratch) = scratch.split_at_mut(above_len);
        let (mut next, scratch) = scratch.split_at_mut(above_len);
        let (turned, scratch) = scratch.split_at_mut(turned_len);
        let (h_n, c_n) = scratch.split_at_mut(state);

        for layer in 0..layers {
            let (below, here) = kept.split_at_mut(layer * keep.layer());
            let x = if layer == 0 { o.x } else { keep.outputs(&below[(layer - 1) * keep.layer()..]) };
            for direction in 0..directions {
                let (of_directions, joined) = here.split_at_mut(directions * keep.direction());
                let [y, gates, extra] = keep.parts_mut(nth_mut(of_directions, direction, keep.direction()));
                let c_n = if C::CELLS { &mut *c_n } else { &mut [] };
                let made = Made { y: &mut *y, h_n: &mut *h_n, c_n, gates, extra };
                self.one((layer, direction), x, o, made, inner)?;
                if both {
                    join(y, &mut joined[..rows * width], direction, first.hidden);
                }
            }
        }

        for layer in (0..layers).rev() {
            let dy = if layer + 1 == layers { upstream.dy } else { &*above };
            let (below, here) = kept.split_at(layer * keep.layer());
            let x = if layer == 0 { o.x } else { keep.outputs(&below[(layer - 1) * keep.layer()..]) };
            let dx = if layer == 0 { &mut *gradients.dx } else { &mut *next };
            for direction in 0..directions {
                let at = (layer, direction);
                let (of, place) = self.layer(at);
                let ranges = self.p.places(layer, direction);
                let [w_ih, w_hh, ..] = ranges.clone().map(|range| &o.parameters[range]);
                let [h0, c0] = [o.h0, o.c0].map(|initial| nth(initial, place, state));
                let [y, gates, extra] = keep.parts(nth(here, direction, keep.direction()));
                let dy = if both {
                    own.chunks_exact_mut(first.hidden.max(1))
                        .zip(columns(dy, direction, first.hidden))
                        .for_each(|(to, from)| to.copy_from_slice(from));
                    &*own
                } else {
                    dy
                };
                let inputs = backward::Inputs {
                    dy,
                    dh_n: nth(upstream.dh_n, place, state),
                    dc_n: if C::CELLS { nth(upstream.dc_n, place, state) } else { &[] },
                    x,
                    w_ih,
                    w_hh,
                    h0,
                    y,
                    gates,
                    extra,
                    state: if C::CELLS { (c0, extra) } else { (h0, y) },
                    before: C::KEEPS,
                    lengths: o.lengths,
                };
                let mut parameters = &mut gradients.parameters[ranges[0].start..ranges[3].end];
                let [dw_ih, dw_hh, db_ih, db_hh] = ranges.map(|range| {
                    let (part, rest) = std::mem::take(&mut parameters).split_at_mut(range.len());
                    parameters = rest;
                    part
                });
                let dx_len = rows * of.inputs;
                let outputs = backward::Outputs {
                    dx: if direction == 0 { &mut dx[..dx_len] } else { &mut turned[..dx_len] },
                    dw_ih,
                    dw_hh,
                    db: [&mut *db_ih, if C::APART { &mut *db_hh } else { &mut [] }],
                    dh0: nth_mut(gradients.dh0, place, state),
                    dc0: if C::CELLS { nth_mut(gradients.dc0, place, state) } else { &mut [] },
                };
                backward(self.cell, &of, self.isa, inputs, outputs, self.pool, inner)?;
                if !C::APART && !fault!("recurrent_layers_backward.second-bias") {
                    db_hh.copy_from_slice(db_ih);
                }
                if direction == 1 && !(fault!("recurrent_layers_backward.one-direction") && layer > 0) {
                    add(&mut dx[..dx_len], turned);
                }
            }
            std::mem::swap(&mut above, &mut next);
        }
        Ok(())
    }
}

fn add<T: Float>(to: &mut [T], other: &[T]) {
    for (to, &other) in to.iter_mut().zip(other) {
        *to = *to + other;
    }
}

/// What a pass keeps for its gradient. Of each layer: for each direction the outputs, T×N×H, the gates, T×N×G·H, and what
/// else a kind of cell keeps, T×N×H; with two directions, the outputs of both, T×N×2H.
struct Keep {
    own: usize,
    gates: usize,
    extra: usize,
    joined: usize,
    directions: usize,
}

impl Keep {
    fn new<C: Cell>(p: &RecurrentLayers) -> Keep {
        let rows = p.first.steps * p.first.batch;
        let own = rows * p.first.hidden;
        let (gates, extra) = if C::KEEPS { (rows * p.first.columns(), own) } else { (0, 0) };
        let joined = if p.directions == 2 { 2 * own } else { 0 };
        Keep { own, gates, extra, joined, directions: p.directions }
    }

    fn direction(&self) -> usize {
        self.own + self.gates + self.extra
    }

    fn layer(&self) -> usize {
        self.directions * self.direction() + self.joined
    }

    /// The outputs of a layer.
    fn outputs<'a, T>(&self, layer: &'a [T]) -> &'a [T] {
        match self.directions {
            2 => &layer[2 * self.direction()..][..self.joined],
            _ => &layer[..self.own],
        }
    }

    fn parts<'a, T>(&self, direction: &'a [T]) -> [&'a [T]; 3] {
        let (own, rest) = direction.split_at(self.own);
        let (gates, extra) = rest.split_at(self.gates);
        [own, gates, extra]
    }

    fn parts_mut<'a, T>(&self, direction: &'a mut [T]) -> [&'a mut [T]; 3] {
        let (own, rest) = direction.split_at_mut(self.own);
        let (gates, extra) = rest.split_at_mut(self.gates);
        [own, gates, extra]
    }
}

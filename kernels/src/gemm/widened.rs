//! Products of bf16, f16 and 8-bit floats: widened to f32 while they are packed, so that the sums are those of f32.
//!
//! f32 has every value of these types, and products and sums are GEMM's of f32 in its canonical order: the same bits on
//! every ISA. C of f32 is updated in place. C of a shorter type is computed in f32, a block of rows at a time, and
//! rounded once.
//!
//! Workspace: that of f32, n elements of bias, and for a shorter C about [`BLOCK`] elements, at least [`ROWS`] rows.
//! The kernel `scalar` widens its operands as a whole.

use std::ops::Range;

use etalon_reference::Element;
use etalon_reference::ops::gemm::{Gemm, Matrix};

use super::driver::{self, Lowered, Source, Task};
use super::epilogue::{Along, Finish};
use super::scalar;
use super::short::{Short, widen_first};
use super::skinny::{self, Stream};
use crate::call::{Call, elements};
use crate::disjoint::chunks;
use crate::faults::fault;
use crate::isa::arrays;
use crate::isa::narrow::{Convert, Job, Narrow, enter};
use crate::isa::wide::LANES;
use crate::pool::Pool;
use crate::workspace::Workspace;

/// Elements of a shorter C that are kept in f32, about.
pub const BLOCK: usize = 1 << 20;
/// Rows of such a block at least: B is packed anew for each.
pub const ROWS: usize = 240;
/// Elements that one task rounds, about.
const ROUNDED: usize = 1 << 14;

/// The operands, of the problem's lengths.
pub struct Operands<'a, E, O> {
    /// A.
    pub a: &'a [E],
    /// B.
    pub b: &'a [E],
    /// Bias, or nothing.
    pub bias: &'a [O],
    /// C, updated.
    pub c: &'a mut [O],
}

impl<'a, E: Narrow, O: Narrow> Operands<'a, E, O> {
    /// Those of a call, and its workspace.
    pub fn of(call: &'a mut Call<'_>) -> (Operands<'a, E, O>, &'a mut Workspace) {
        let ([a, b], bias) = ([0, 1].map(|i| call.input(i)), call.input(3));
        let ([c], workspace) = call.outputs();
        (Operands { a, b, bias, c: elements(c) }, workspace)
    }
}

/// Everything that `p` says.
pub fn gemm<X: Stream<T = f32>, L: Convert, E: Narrow, O: Narrow>(
    (tile, l): (X, L),
    p: &Gemm,
    x: Operands<'_, E, O>,
    pool: &Pool,
    workspace: &mut Workspace,
) {
    if p.m == 0 || p.n == 0 || p.batch == 0 {
        return;
    }
    let whole = p.batch * p.m * p.n <= BLOCK;
    let (matrices, rows) = if whole { (p.batch, p.m) } else { (1, (BLOCK / p.n).max(ROWS).min(p.m)) };
    let block = if O::DTYPE == f32::DTYPE { 0 } else { matrices * rows * p.n };
    let (scratch, inner) = workspace.slice_and_inner::<f32>(x.bias.len() + block);
    let (bias, block) = scratch.split_at_mut(x.bias.len());
    enter(l, Line { from: x.bias, to: bias });
    let finish =
        Finish { scale: None, bias: p.bias.then_some(&*bias), along: Along::Columns, activation: p.activation };
    let lines = |cols: usize| Matrix { row: cols.max(1), col: 1, batch: 0 };
    let of_lines = Gemm { a: lines(p.k), b: lines(p.n), ..p.clone() };
    if let Some(c) = <f32 as Element>::slice_mut(O::erase_mut(x.c)) {
        if skinny::of_elements((tile, Short(l)), p, finish, (x.a, x.b), c, pool, inner) {
            return;
        }
        let (a, b) = (Widened { l, x: x.a, at: p.a }, Widened { l, x: x.b, at: p.b });
        let task = Task { p: &of_lines, a: Source::Lowered(&a), b: Source::Lowered(&b), finish };
        return driver::gemm(tile, &task, c, pool, inner);
    }
    for (z, top) in (0..p.batch).step_by(matrices).flat_map(|z| (0..p.m).step_by(rows).map(move |top| (z, top))) {
        let m = rows.min(p.m - top);
        let c = Matrix { row: p.n, col: 1, batch: m * p.n };
        let part = Gemm { m, batch: matrices, c, ..of_lines.clone() };
        let block = &mut block[..matrices * m * p.n];
        let start = z * p.c.batch + top * p.c.row;
        if p.beta != 0.0 {
            for (i, to) in block.chunks_exact_mut(p.n).enumerate() {
                let from = &x.c[start + i / m * p.c.batch + i % m * p.c.row..][..p.n];
                enter(l, Line { from, to });
            }
        }
        let a = &x.a[(z * p.a.batch + top * p.a.row).min(x.a.len())..];
        let b = &x.b[(z * p.b.batch).min(x.b.len())..];
        let thin = Gemm { a: p.a, b: p.b, ..part.clone() };
        if !skinny::of_elements((tile, Short(l)), &thin, finish, (a, b), block, pool, inner) {
            let (a, b) = (Widened { l, x: a, at: p.a }, Widened { l, x: b, at: p.b });
            let task = Task { p: &part, a: Source::Lowered(&a), b: Source::Lowered(&b), finish };
            driver::gemm(tile, &task, block, pool, inner);
        }
        if fault!("gemm.short-second-block") && top > 0 {
            continue;
        }
        for (matrix, from) in block.chunks_exact(m * p.n).enumerate() {
            // Whole rows of C: what lies between them stays.
            let rows = &mut x.c[start + matrix * p.c.batch..][..(m - 1) * p.c.row + p.n];
            chunks(pool, rows, p.c.row * (ROUNDED / p.n).max(1), |first, to| {
                let from = from[first / p.c.row * p.n..].chunks_exact(p.n);
                to.chunks_mut(p.c.row).zip(from).for_each(|(to, from)| enter(l, Round { from, to: &mut to[..p.n] }));
            });
        }
    }
}

/// In plain Rust.
pub fn plainly<E: Narrow, O: Narrow>(p: &Gemm, x: Operands<'_, E, O>, workspace: &mut Workspace) {
    if p.n == 0 {
        return;
    }
    let lens = [x.a.len(), x.b.len(), x.bias.len(), x.c.len()];
    let [a, b, bias, c] = workspace.slices::<f32, 4>(lens);
    let widen = |from: &[E], to: &mut [f32]| to.iter_mut().zip(from).for_each(|(to, x)| *to = x.widened());
    widen(x.a, a);
    widen(x.b, b);
    bias.iter_mut().zip(x.bias).for_each(|(to, x)| *to = x.widened());
    if p.beta != 0.0 {
        c.iter_mut().zip(&*x.c).for_each(|(to, x)| *to = x.widened());
    }
    let finish =
        Finish { scale: None, bias: p.bias.then_some(&*bias), along: Along::Columns, activation: p.activation };
    scalar::gemm(&Task { p, a: Source::Plain(a), b: Source::Plain(b), finish }, c);
    for (z, i) in (0..p.batch).flat_map(|z| (0..p.m).map(move |i| (z, i))) {
        let at = z * p.c.batch + i * p.c.row;
        x.c[at..][..p.n].iter_mut().zip(&c[at..]).for_each(|(to, &x)| *to = O::rounded(x));
    }
}

/// A line of elements, as f32.
pub struct Line<'a, E> {
    /// The elements.
    pub from: &'a [E],
    /// As many.
    pub to: &'a mut [f32],
}

impl<E: Narrow> Job for Line<'_, E> {
    type Output = ();
    #[inline(always)]
    fn run<L: Convert>(self, l: L) {
        let ((from, rest), (to, rest_to)) = (self.from.as_chunks(), self.to.as_chunks_mut());
        // Loops, not closures: those may become functions without the instructions.
        for (from, to) in from.iter().zip(to) {
            l.store(E::widen(l, from), to);
        }
        if !rest.is_empty() {
            l.store_first(widen_first(l, rest), &mut rest_to[..rest.len()]);
        }
    }
}

/// A line of f32, rounded.
pub struct Round<'a, O> {
    /// The numbers.
    pub from: &'a [f32],
    /// As many.
    pub to: &'a mut [O],
}

impl<O: Narrow> Job for Round<'_, O> {
    type Output = ();
    #[inline(always)]
    fn run<L: Convert>(self, l: L) {
        let ((from, rest), (to, rest_to)) = (self.from.as_chunks(), self.to.as_chunks_mut());
        for (from, to) in from.iter().zip(to) {
            O::narrow(l, l.load(from), to);
        }
        if !rest.is_empty() && !fault!("gemm.short-last-columns") {
            let mut last = [O::default(); LANES];
            O::narrow(l, l.load_first(rest), &mut last);
            rest_to.copy_from_slice(&last[..rest.len()]);
        }
    }
}

/// Matrices of shorter elements, written as f32.
pub struct Widened<'a, E, L> {
    /// The vectors.
    pub l: L,
    /// The elements.
    pub x: &'a [E],
    /// Where they lie.
    pub at: Matrix,
}

impl<E: Narrow, L: Convert> Lowered<f32> for Widened<'_, E, L> {
    fn write(&self, z: usize, rows: Range<usize>, cols: Range<usize>, width: usize, line: usize, to: &mut [f32]) {
        let Matrix { row, col, batch } = self.at;
        let x = &self.x[z * batch + rows.start * row + cols.start * col..];
        enter(self.l, Write { x, row, col, rows: rows.len(), cols: cols.len(), width, line, to });
    }
}

/// Part of a matrix, whose element (i, j) is `x[i·row + j·col]`.
struct Write<'a, E> {
    x: &'a [E],
    row: usize,
    col: usize,
    rows: usize,
    cols: usize,
    width: usize,
    line: usize,
    to: &'a mut [f32],
}

impl<E: Narrow> Job for Write<'_, E> {
    type Output = ();
    #[inline(always)]
    fn run<L: Convert>(self, l: L) {
        match (self.row, self.col) {
            (_, 1) => self.by_lines(l),
            (1, _) => self.transposed(l),
            _ => self.one_by_one(),
        }
    }
}

impl<E: Narrow> Write<'_, E> {
    #[inline(always)]
    fn by_lines<L: Convert>(self, l: L) {
        for (i, to) in self.to.chunks_mut(self.line).enumerate().take(self.rows) {
            Line { from: &self.x[i * self.row..][..self.cols], to: &mut to[..self.cols] }.run(l);
            to[self.cols..self.width].fill(0.0);
        }
    }

    /// Lines of the operand are columns here: squares are transposed.
    #[inline(always)]
    fn transposed<L: Convert>(self, l: L) {
        for (first, to) in (0..self.rows).step_by(LANES).zip(self.to.chunks_mut(LANES * self.line)) {
            let deep = LANES.min(self.rows - first);
            for left in (0..self.width).step_by(LANES) {
                let square = arrays::from_fn(|j| match left + j < self.cols {
                    false => l.splat(0.0),
                    true => widen_first(l, &self.x[(left + j) * self.col + first..][..deep]),
                });
                for (x, to) in l.transpose(square).into_iter().zip(to.chunks_mut(self.line)).take(deep) {
                    l.store_first(x, &mut to[left..self.width.min(left + LANES)]);
                }
            }
        }
    }

    fn one_by_one(self) {
        for (i, to) in self.to.chunks_mut(self.line).enumerate().take(self.rows) {
            for (j, to) in to[..self.cols].iter_mut().enumerate() {
                *to = self.x[i * self.row + j * self.col].widened();
            }
            to[self.cols..self.width].fill(0.0);
        }
    }
}

//! GEMM with one narrow operand: a vector, or a few of them, times a matrix.
//!
//! Each element of the wide operand is used a few times only: the product takes as long as it takes to read it. It is
//! read once, where it lies.
//!
//! ```text
//! out[r][q] = Σ w[r][k]·x[k][q]            r: wide, n (or m);  q: narrow, m (or n)
//! for strips of r:
//!   totals[r][q] = β·C
//!   for each chunk of k:                   ascending: the canonical order
//!     sums[r][q] = 0
//!     Rows:  for 8 rows of w at a time:    outputs side by side: a strip of each, sums in L1
//!     Dots:  for blocks of LANES × LANES:  products side by side: transposed in registers
//!       sums += w·x
//!     totals += α·sums
//!   C = act(totals + bias)
//! ```
//! Workspace a thread: two panels of [`PANEL_BYTES`], and for Dots a part of x of at most [`X_BYTES`].

use std::ops::Range;

use etalon_reference::ops::gemm::{CHUNK, Gemm};

use super::Float;
use super::driver::Task;
use super::epilogue::{Finish, Fold};
use super::tile::{Block, Tile, part};
use crate::disjoint::Disjoint;
use crate::faults::fault;
use crate::pool::Pool;
use crate::workspace::Workspace;

/// Bytes of a strip's sums.
const PANEL_BYTES: usize = 16 * 1024;
/// Bytes of the narrow operand that are packed at a time.
const X_BYTES: usize = 64 * 1024;
/// Elements that packed rows of the narrow operand are longer than their contents, so that they start in different sets
/// of a cache.
const X_PAD: usize = 16;
/// Narrow indices at most.
pub const NARROW: usize = 8;
/// Bytes of a wide operand of rows from which this is faster than tiles: it does not fit the second cache.
pub const ROWS_FROM: usize = 1024 * 1024;
/// The same for one whose products lie side by side, which tiles would pack, where there are more than `DOTS_NARROW`.
pub const DOTS_FROM: usize = 64 * 1024;
const DOTS_NARROW: usize = 4;
/// Wide outputs of a strip of f32, with four narrow indices.
pub const STRIP: i64 = (PANEL_BYTES / size_of::<f32>() / 4) as i64;
/// Products of a part of the narrow operand that is packed, with all narrow indices.
pub const X_DEPTH: i64 = (X_BYTES / size_of::<f32>() / NARROW) as i64;
/// Bytes of the wide operand that one thread reads in a nanosecond, about.
const BYTES_A_NS: u64 = 20;

/// The loops of one ISA.
pub trait Stream: Tile {
    /// Lanes of a vector.
    const LANES: usize;

    /// Adds the products of the strip's rows to the sums.
    fn add_rows(self, strip: Strip<'_, Self::T>, sums: &mut [Self::T]);

    /// Adds the dot products of up to `LANES` rows to the sums.
    fn add_dots(self, strip: Strip<'_, Self::T>, sums: &mut [Self::T]);

    /// `totals += α·sums; sums = 0`.
    fn fold(self, alpha: Self::T, sums: &mut [Self::T], totals: &mut [Self::T]);
}

/// The loops over the wide operand, whose elements may be shorter than those of the narrow one and of the sums.
pub trait Streams<T, E>: Copy + Send + Sync {
    /// Wide outputs side by side in a panel of sums.
    const LANES: usize;
    /// Whether elements of the narrow operand must be widened first.
    const SHORT: bool;

    /// Adds the products of the strip's rows to the sums.
    fn add_rows(self, strip: Strip<'_, T, E>, sums: &mut [T]);

    /// Adds the dot products of up to `LANES` rows to the sums.
    fn add_dots(self, strip: Strip<'_, T, E>, sums: &mut [T]);

    /// An element as the sums have it.
    fn widened(x: E) -> T;
    /// Elements of the narrow operand that need not be widened.
    fn same(x: &[E]) -> Option<&[T]>;
}

impl<X: Stream> Streams<X::T, X::T> for X {
    const LANES: usize = X::LANES;
    const SHORT: bool = false;

    fn add_rows(self, strip: Strip<'_, X::T>, sums: &mut [X::T]) {
        Stream::add_rows(self, strip, sums);
    }
    fn add_dots(self, strip: Strip<'_, X::T>, sums: &mut [X::T]) {
        Stream::add_dots(self, strip, sums);
    }
    fn widened(x: X::T) -> X::T {
        x
    }
    fn same(x: &[X::T]) -> Option<&[X::T]> {
        Some(x)
    }
}

/// Part of the operands, for one chunk.
#[derive(Clone, Copy, Debug)]
pub struct Strip<'a, T, E = T> {
    /// The wide operand from its first element.
    pub w: &'a [E],
    /// Elements between its lines.
    pub w_line: usize,
    /// Wide outputs.
    pub wide: usize,
    /// Products of a sum.
    pub depth: usize,
    /// The narrow operand from its first element.
    pub x: &'a [T],
    /// Elements between products.
    pub x_k: usize,
    /// Elements between narrow indices.
    pub x_q: usize,
    /// Narrow indices.
    pub narrow: usize,
}

/// How the wide operand lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lie {
    /// Outputs side by side.
    Rows,
    /// Products side by side.
    Dots,
}

/// The problem, seen from the wide operand.
#[derive(Clone, Copy, Debug)]
struct View {
    lie: Lie,
    /// The wide operand is A: its outputs run down the columns of C.
    down: bool,
    wide: usize,
    narrow: usize,
    /// Elements between lines of the wide operand.
    w_line: usize,
    x_k: usize,
    x_q: usize,
    /// The narrow operand's elements are shorter than the sums'.
    short: bool,
}

impl View {
    /// `None` if no operand is narrow, or the wide one's elements are not side by side.
    fn new(p: &Gemm, short: bool) -> Option<View> {
        let down = p.n < p.m;
        let (narrow, wide) = if down { (p.n, p.m) } else { (p.m, p.n) };
        let (w_k, w_r) = if down { (p.a.col, p.a.row) } else { (p.b.row, p.b.col) };
        let (x_k, x_q) = if down { (p.b.row, p.b.col) } else { (p.a.col, p.a.row) };
        let (lie, w_line) = match (w_r, w_k) {
            (1, _) => (Lie::Rows, w_k),
            (_, 1) => (Lie::Dots, w_r),
            _ => return None,
        };
        (narrow <= NARROW).then_some(View { lie, down, wide, narrow, w_line, x_k, x_q, short })
    }

    /// Whether reading the wide operand takes longer than computing.
    fn pays<T>(&self, k: usize) -> bool {
        let bytes = self.wide * k * size_of::<T>();
        match self.lie {
            // Tiles would widen and pack all of it.
            _ if self.short => true,
            Lie::Rows => bytes >= ROWS_FROM,
            Lie::Dots => bytes >= DOTS_FROM || self.narrow <= DOTS_NARROW,
        }
    }

    /// Wide outputs of a strip.
    fn strip<T>(&self, lanes: usize) -> usize {
        match self.lie {
            Lie::Rows => PANEL_BYTES / size_of::<T>() / self.narrow / lanes * lanes,
            Lie::Dots => lanes,
        }
    }

    /// Whether the narrow operand is packed.
    fn packs_x(&self) -> bool {
        self.short || self.lie == Lie::Dots && (self.x_k != 1 || self.narrow > 1)
    }

    /// Products of all outputs that are added before the next ones: whole chunks.
    fn depth<T>(&self, k: usize) -> usize {
        if self.packs_x() { (X_BYTES / size_of::<T>() / self.narrow).next_multiple_of(CHUNK).min(k) } else { k }
    }
}

/// All outputs, if an operand is narrow; `false` if none is, and nothing is done.
pub fn gemm<X: Stream>(tile: X, x: &Task<'_, X::T>, c: &mut [X::T], pool: &Pool, workspace: &mut Workspace) -> bool {
    let (Some(a), Some(b)) = (x.a.plain(), x.b.plain()) else { return false };
    of_elements((tile, tile), x.p, x.finish, (a, b), c, pool, workspace)
}

/// Whether short operands are taken.
pub fn fits_short(p: &Gemm) -> bool {
    p.k > 0 && p.alpha != 0.0 && View::new(p, true).is_some()
}

/// The same for operands of any element that there are loops for.
pub fn of_elements<X: Stream, S: Streams<X::T, E>, E: Copy + Sync>(
    loops: (X, S),
    p: &Gemm,
    finish: Finish<'_, X::T>,
    (a, b): (&[E], &[E]),
    c: &mut [X::T],
    pool: &Pool,
    workspace: &mut Workspace,
) -> bool {
    if p.k == 0 || p.alpha == 0.0 {
        return false;
    }
    let view = View::new(p, S::SHORT).filter(|view| pool.is_eager() || view.pays::<E>(p.k));
    let Some(view) = view else { return false };
    let bytes = [p.batch, view.wide, p.k, size_of::<E>()].iter().fold(1u64, |all, &x| all.saturating_mul(x as u64));
    let threads = pool.threads_for(bytes / BYTES_A_NS);
    let parts = if p.batch >= threads { 1 } else { threads.div_ceil(p.batch).min(view.wide.div_ceil(S::LANES)) };
    let tasks = p.batch * parts;
    let panel = view.strip::<X::T>(S::LANES).min(view.wide.next_multiple_of(S::LANES)) * view.narrow;
    let packed = if view.packs_x() { (view.depth::<X::T>(p.k) + X_PAD) * view.narrow } else { 0 };
    let each = (2 * panel + packed).next_multiple_of(64);
    let scratch = Disjoint::new(workspace.slice::<X::T>(each * threads.min(tasks)));
    let out = Disjoint::new(c);
    let body = |task: usize, worker: usize| {
        let (z, range) = (task / parts, part(view.wide, S::LANES, parts, task % parts));
        // SAFETY: a worker runs one task at a time, and no other worker has its index.
        let scratch = unsafe { scratch.part(worker * each..(worker + 1) * each) };
        let step = if view.down { p.c.row } else { 1 };
        // SAFETY: tasks have different matrices, rows or columns, and C's rows and matrices do not overlap.
        let mut block = unsafe { Block::new(&out, z * p.c.batch + range.start * step, p.c.row) };
        let (a, b) = (&a[(z * p.a.batch).min(a.len())..], &b[(z * p.b.batch).min(b.len())..]);
        let (w, narrow) = if view.down { (a, b) } else { (b, a) };
        let part = Part { p, finish, view: &view, w, narrow, range, panel };
        part.outputs(loops, &mut block, scratch);
    };
    if threads == 1 || tasks == 1 {
        (0..tasks).for_each(|task| body(task, 0));
    } else if tasks >= threads {
        pool.run(tasks, body);
    } else {
        pool.run(tasks, |task, _| body(task, task));
    }
    true
}

/// A range of the wide outputs of one matrix, by one thread.
struct Part<'a, T, E> {
    p: &'a Gemm,
    finish: Finish<'a, T>,
    view: &'a View,
    /// The wide operand.
    w: &'a [E],
    /// The narrow one.
    narrow: &'a [E],
    range: Range<usize>,
    /// Elements of a strip's sums.
    panel: usize,
}

impl<T: Float, E: Copy> Part<'_, T, E> {
    fn outputs<X: Stream<T = T>, S: Streams<T, E>>(
        &self,
        (tile, streams): (X, S),
        out: &mut Block<'_, T>,
        scratch: &mut [T],
    ) {
        let Part { p, finish, view, w, narrow, range, panel } = self;
        let panel = *panel;
        let (sums, rest) = scratch.split_at_mut(panel);
        let (totals, packed) = rest.split_at_mut(panel);
        let (alpha, beta) = (T::from_f64(p.alpha), T::from_f64(p.beta));
        let (depth, strip) = (view.depth::<T>(p.k), view.strip::<T>(S::LANES));
        for k0 in (0..p.k).step_by(depth) {
            let end = p.k.min(k0 + depth);
            let from = &narrow[k0 * view.x_k..];
            let (narrow, x_k, x_q) = match S::same(from).filter(|_| !view.packs_x()) {
                Some(x) => (x, view.x_k, view.x_q),
                None => {
                    let line = depth + X_PAD;
                    pack(from, view, end - k0, line, packed, S::widened);
                    (&*packed, 1, line)
                }
            };
            for r in range.clone().step_by(strip) {
                if fault!("gemm.skinny-second-strip") && view.lie == Lie::Rows && r == range.start + strip {
                    continue;
                }
                let wide = strip.min(range.end - r);
                let used = wide.next_multiple_of(S::LANES) * view.narrow;
                let (sums, totals) = (&mut sums[..used], &mut totals[..used]);
                let finish = if view.down {
                    finish.part(r..r + wide, 0..view.narrow)
                } else {
                    finish.part(0..view.narrow, r..r + wide)
                };
                let first = k0 == 0 || fault!("gemm.skinny-second-depth");
                let fold = Fold { alpha, beta, first, last: end == p.k, finish };
                let mut panel = Panel { lanes: S::LANES, view, start: r - range.start, wide };
                panel.load(totals, out, &fold);
                if !fault!("gemm.skinny-stale-sums") {
                    sums.fill(T::default());
                }
                for k in (k0..end).step_by(CHUNK) {
                    let from = match view.lie {
                        Lie::Rows => k * view.w_line + r,
                        Lie::Dots => r * view.w_line + k,
                    };
                    let strip = Strip {
                        w: &w[from..],
                        w_line: view.w_line,
                        wide,
                        depth: CHUNK.min(end - k),
                        x: &narrow[(k - k0) * x_k..],
                        x_k,
                        x_q,
                        narrow: view.narrow,
                    };
                    match view.lie {
                        Lie::Rows => streams.add_rows(strip, sums),
                        Lie::Dots => streams.add_dots(strip, sums),
                    }
                    tile.fold(alpha, sums, totals);
                }
                panel.store(tile, totals, out, &fold);
            }
        }
    }
}

/// Copies the narrow operand so that products lie side by side, `line` elements between narrow indices.
fn pack<T, E: Copy>(x: &[E], view: &View, depth: usize, line: usize, packed: &mut [T], widened: impl Fn(E) -> T) {
    for (q, packed) in packed.chunks_mut(line).enumerate().take(view.narrow) {
        let x = &x[q * view.x_q..];
        if view.x_k == 1 {
            packed[..depth].iter_mut().zip(x).for_each(|(packed, &x)| *packed = widened(x));
        } else {
            for (k, packed) in packed[..depth].iter_mut().enumerate() {
                *packed = widened(x[k * view.x_k]);
            }
        }
    }
}

/// Where a strip's totals lie in C.
struct Panel<'a> {
    lanes: usize,
    view: &'a View,
    start: usize,
    wide: usize,
}

impl Panel<'_> {
    /// Calls `f(totals, c)` for parts of the panel and of C that belong together: `step` elements of the panel apart.
    fn each<T: Float>(&self, out: &mut Block<'_, T>, mut f: impl FnMut(usize, usize, &mut [T])) {
        let narrow = self.view.narrow;
        if self.view.down {
            for r in 0..self.wide {
                f(r / self.lanes * self.lanes * narrow + r % self.lanes, self.lanes, out.row(self.start + r, narrow));
            }
        } else {
            for q in 0..narrow {
                let row = &mut out.row(q, self.start + self.wide)[self.start..];
                for (block, c) in row.chunks_mut(self.lanes).enumerate() {
                    f((block * narrow + q) * self.lanes, 1, c);
                }
            }
        }
    }

    /// β·C, or what earlier products have left there.
    fn load<T: Float>(&mut self, totals: &mut [T], out: &mut Block<'_, T>, fold: &Fold<'_, T>) {
        if fold.first && fold.beta == T::default() && !fault!("gemm.skinny-beta-zero-reads") {
            totals.fill(T::default());
        } else {
            let scales = fold.first && fold.beta != T::from_f64(1.0);
            self.each(out, |at, step, c| {
                for (i, &c) in c.iter().enumerate() {
                    totals[at + i * step] = if scales { fold.beta * c } else { c };
                }
            });
        }
    }

    fn store<X: Stream>(&mut self, tile: X, totals: &[X::T], out: &mut Block<'_, X::T>, fold: &Fold<'_, X::T>) {
        self.each(out, |at, step, c| {
            for (i, c) in c.iter_mut().enumerate() {
                *c = totals[at + i * step];
            }
        });
        if fold.last && !fold.finish.is_nothing() {
            let (rows, cols) =
                if self.view.down { (self.wide, self.view.narrow) } else { (self.view.narrow, self.wide) };
            let (down, right) = if self.view.down { (self.start, 0) } else { (0, self.start) };
            for i in 0..rows {
                tile.finish_row(&mut out.row(down + i, right + cols)[right..], i, &fold.finish);
            }
        }
    }
}

//! From operands to tiles.
//!
//! The output is cut into blocks of [`ROWS`] rows, and, where there are too few of them for the threads, into groups of
//! panels. A task packs its rows of A into memory of its thread, then goes through its panels: a panel stays in the
//! first cache while all tiles of the block use it, and sums stay in registers over all of k.

use std::ops::Range;

use etalon_reference::ops::matmul_int8::MatmulInt8;

use super::pack::{PackPanel, PackedB, Shape, pack_a};
use super::{Left, Operands, Out, of_column};
use crate::disjoint::{Disjoint, parts};
use crate::faults::fault;
use crate::isa::dot::{self, Dot, Job};
use crate::pool::Pool;
use crate::workspace::Workspace;

/// Rows of a block: whole tiles of every height.
pub const ROWS: usize = 48;
/// Operations in a nanosecond of one thread, about.
pub const OPERATIONS_A_NS: u64 = 400;
/// Tasks per thread at least, where the output has as many blocks.
const TASKS: usize = 4;

/// All outputs.
pub fn matmul<D: Dot, A: Left, O: Out>(
    d: D,
    p: &MatmulInt8,
    x: Operands<'_, A, O>,
    packed: Option<&PackedB>,
    pool: &Pool,
    workspace: &mut Workspace,
) {
    if p.m == 0 || p.n == 0 {
        return;
    }
    let shape = Shape::new::<D>(p);
    let operations = [p.m, p.n, p.k.max(1)].iter().fold(2u64, |all, &x| all.saturating_mul(x as u64));
    let threads = pool.threads_for(operations / OPERATIONS_A_NS);
    let (down, across) = cut(p.m, shape.panels, threads);
    let tasks = down * across;
    // A share of scratch memory for each thread: rows of A, and their sums.
    let tiles = ROWS.min(p.m).div_ceil(D::ROWS);
    let share = tiles * shape.tile_words + ROWS;
    let own = |len: usize| if packed.is_some() { 0 } else { len };
    let columns = shape.columns();
    let lens = [own(shape.words()), own(columns), columns, columns, share * threads.min(tasks)];
    let ([words, sums, constants, zeros, scratch], [scales]) = workspace.slices2::<i32, f32, 5, 1>(lens, [columns]);
    let (words, sums) = match packed {
        Some(packed) => (&packed.words[..], &packed.sums[..]),
        None => {
            pack_b(d, p, &shape, x.b, words, sums, (threads > 1).then_some(pool));
            (&*words, &*sums)
        }
    };
    let columns = Columns::new::<A, O>(p, &x, sums, constants, zeros, scales);
    let range = O::range(x.zo.first().copied(), p.relu && !fault!("matmul_int8.relu-below-zero"));
    let (out, scratch) = (Disjoint::new(x.out), Disjoint::new(scratch));
    let body = |task: usize, thread: usize| {
        let rows = task / across * ROWS..p.m.min((task / across + 1) * ROWS);
        let panels = part(shape.panels, across, task % across);
        // SAFETY: a thread runs one task at a time, and no other thread has its index.
        let scratch = unsafe { scratch.part(thread * share..(thread + 1) * share) };
        d.enter(Block { d, p, shape, a: x.a, words, columns, range, rows, panels, scratch, out });
    };
    if threads == 1 {
        let lost = fault!("matmul_int8.inline-tasks") && threads < pool.threads() && tasks > 1;
        (0..tasks - usize::from(lost)).for_each(|task| body(task, 0));
    } else if tasks >= threads {
        pool.run(tasks, body);
    } else {
        pool.run(tasks, |task, _| body(task, task));
    }
}

/// Into how many blocks of rows and groups of panels the output is cut.
fn cut(m: usize, panels: usize, threads: usize) -> (usize, usize) {
    let down = m.div_ceil(ROWS);
    if threads == 1 {
        return (down, 1);
    }
    (down, (TASKS * threads).div_ceil(down).min(panels))
}

/// Part `index` of `len` things in about equal parts.
fn part(len: usize, parts: usize, index: usize) -> Range<usize> {
    len * index / parts..len * (index + 1) / parts
}

/// Packs all panels, on the threads of `pool`, if it pays.
fn pack_b<D: Dot>(
    d: D,
    p: &MatmulInt8,
    shape: &Shape,
    b: &[i8],
    words: &mut [i32],
    sums: &mut [i32],
    pool: Option<&Pool>,
) {
    if p.k == 0 {
        sums.fill(0);
        return;
    }
    let pack = |panel, words: &mut [i32], sums: &mut [i32]| d.enter(PackPanel { d, p, b, panel, words, sums });
    let (words_each, sums_each) = (shape.panel_words(), shape.width);
    match pool {
        Some(pool) => {
            parts(pool, (words, words_each), (sums, sums_each), &mut [(); 0], |panel, words, sums, _| {
                pack(panel, words, sums);
            });
        }
        None => {
            let panels = words.chunks_exact_mut(words_each).zip(sums.chunks_exact_mut(sums_each));
            panels.enumerate().for_each(|(panel, (words, sums))| pack(panel, words, sums));
        }
    }
}

/// What each column adds to its sums and multiplies them with, as long as all panels.
#[derive(Clone, Copy)]
struct Columns<'a> {
    /// `bias − za·Σb + k·za·zb`, with za of unsigned elements.
    constants: &'a [i32],
    /// Zero points of B; none if all are 0.
    zeros: Option<&'a [i32]>,
    /// Scales of requantization.
    scales: &'a [f32],
}

impl<'a> Columns<'a> {
    fn new<A: Left, O: Out>(
        p: &MatmulInt8,
        x: &Operands<'_, A, O>,
        sums: &[i32],
        constants: &'a mut [i32],
        zeros: &'a mut [i32],
        scales: &'a mut [f32],
    ) -> Columns<'a> {
        let za = A::SHIFT + x.za.first().map_or(0, |&za| za.into());
        let depth = (p.k as i32).wrapping_mul(za);
        for j in 0..p.n {
            let column = if fault!("matmul_int8.first-zero-point") { j.min(1) } else { j };
            let zb = of_column(x.zb, column).map_or(0, i32::from);
            let bias = x.bias.get(j).copied().unwrap_or(0);
            constants[j] = bias.wrapping_sub(za.wrapping_mul(sums[j])).wrapping_add(depth.wrapping_mul(zb));
            zeros[j] = zb;
        }
        if O::NARROW {
            scales[..p.n].iter_mut().enumerate().for_each(|(j, to)| *to = of_column(x.scale, j).unwrap_or(1.0));
        }
        // What the workspace held behind the last column is computed with, and never stored.
        Columns { constants, zeros: (!x.zb.is_empty()).then_some(zeros), scales }
    }
}

/// One task.
struct Block<'a, D, A, O> {
    d: D,
    p: &'a MatmulInt8,
    shape: Shape,
    a: &'a [A],
    words: &'a [i32],
    columns: Columns<'a>,
    range: dot::Range,
    rows: Range<usize>,
    panels: Range<usize>,
    scratch: &'a mut [i32],
    out: Disjoint<'a, O>,
}

impl<D: Dot, A: Left, O: Out> Job for Block<'_, D, A, O> {
    #[inline(always)]
    fn run(mut self) {
        let sum_rows = self.columns.zeros.is_some();
        let (rows, scratch) = (self.rows.clone(), std::mem::take(&mut self.scratch));
        let (sums, words) = scratch.split_at_mut(ROWS);
        pack_a::<D, A>(self.p.k, self.a, rows.clone(), words, sums, sum_rows);
        for panel in self.panels.clone() {
            for (tile, top) in rows.clone().step_by(D::ROWS).enumerate() {
                let height = D::ROWS.min(rows.end - top);
                let a = &words[tile * self.shape.tile_words..][..self.shape.tile_words];
                let sums = &sums[tile * D::ROWS..][..height];
                match height {
                    1 => self.tile::<1>(panel, top, a, sums),
                    2 => self.tile::<2>(panel, top, a, sums),
                    3..=4 => self.tile::<4>(panel, top, a, sums),
                    5..=6 => self.tile::<6>(panel, top, a, sums),
                    7..=8 if D::ROWS > 6 => self.tile::<8>(panel, top, a, sums),
                    _ if D::ROWS > 6 => self.tile::<12>(panel, top, a, sums),
                    _ => unreachable!("a tile has at most `D::ROWS` rows"),
                }
            }
        }
    }
}

impl<D: Dot, A: Left, O: Out> Block<'_, D, A, O> {
    /// The rows from `top` of a panel, as many as `row_sums` has; `R` is at least that.
    #[inline(always)]
    fn tile<const R: usize>(&self, panel: usize, top: usize, a: &[i32], row_sums: &[i32]) {
        let (d, n) = (self.d, self.p.n);
        let mut b = &self.words[panel * self.shape.panel_words()..][..self.shape.panel_words()];
        if fault!("matmul_int8.third-chunk") {
            b = &b[..b.len().min(2 * dot::CHUNK * self.shape.width)];
        }
        let sums = dot::sums::<D, R>(d, a, b);
        for (i, (sums, &row_sum)) in sums.iter().zip(row_sums).enumerate() {
            let left = panel * self.shape.width;
            let start = (top + i) * n;
            // SAFETY: tasks have different rows or panels, and no other part of this task's is in use.
            let out = unsafe { self.out.part(start + left..start + n.min(left + self.shape.width)) };
            for (v, &sum) in sums.iter().enumerate() {
                let (from, skip) = (left + v * D::LANES, v * D::LANES);
                if skip >= out.len() {
                    break;
                }
                let mut sum = d.add(sum, d.load(&self.columns.constants[from..]));
                if let Some(zeros) = self.columns.zeros {
                    sum = d.sub(sum, d.mul(d.splat(row_sum), d.load(&zeros[from..])));
                }
                if O::NARROW {
                    sum = d.requantize(sum, &self.columns.scales[from..], self.range);
                } else if self.p.relu {
                    sum = d.max(sum, d.splat(0));
                }
                let out = &mut out[skip..];
                if out.len() >= D::LANES {
                    O::store(d, sum, out);
                } else {
                    let mut lanes = [O::default(); 16];
                    O::store(d, sum, &mut lanes);
                    out.copy_from_slice(&lanes[..out.len()]);
                }
            }
        }
    }
}

//! From operands to tiles.

use std::ops::Range;

use etalon_reference::ops::matmul_int4::{MIDDLE, MatmulInt4};

use super::Operands;
use crate::disjoint::Disjoint;
use crate::faults::fault;
use crate::isa::narrow::{Convert, Job, Narrow, enter};
use crate::isa::wide::LANES;
use crate::pool::Pool;
use crate::workspace::Workspace;

/// Rows of a block.
pub const ROWS: usize = 48;
/// Outputs of a panel.
pub const WIDTH: usize = 2 * LANES;
/// Codes of a part of a group.
pub const DEPTH: usize = 128;
/// Elements between lines of A's copy: they start in different sets of a cache.
const A_LINE: usize = DEPTH + LANES;
/// Elements of scratch memory of a thread: codes, a part of A, sums, totals.
pub const SCRATCH: usize = DEPTH * WIDTH + ROWS * A_LINE + 2 * ROWS * WIDTH;
/// Operations in a nanosecond of one thread, about.
pub const OPERATIONS_A_NS: u64 = 50;
/// Tasks per thread at least, where the output has as many panels.
const TASKS: usize = 4;

/// All outputs.
pub fn matmul<L: Convert, E: Narrow>(l: L, p: &MatmulInt4, x: Operands<'_, E>, pool: &Pool, workspace: &mut Workspace) {
    if p.m == 0 || p.n == 0 {
        return;
    }
    let operations = [p.m, p.n, p.k.max(1)].iter().fold(2u64, |all, &x| all.saturating_mul(x as u64));
    let threads = pool.threads_for(operations / OPERATIONS_A_NS);
    let (down, panels) = (p.m.div_ceil(ROWS), p.n.div_ceil(WIDTH));
    let across = if threads == 1 { 1 } else { (TASKS * threads).div_ceil(down).min(panels) };
    let tasks = down * across;
    let scratch = Disjoint::new(workspace.slice::<f32>(SCRATCH * threads.min(tasks)));
    let Operands { a, w, scale, zero, bias, out } = x;
    let out = Disjoint::new(out);
    let body = |task: usize, thread: usize| {
        let (block, part) = (task / across, task % across);
        let rows = block * ROWS..p.m.min((block + 1) * ROWS);
        // SAFETY: a thread runs one task at a time, and no other thread has its index.
        let scratch = unsafe { scratch.part(thread * SCRATCH..(thread + 1) * SCRATCH) };
        for panel in panels * part / across..panels * (part + 1) / across {
            let cols = panel * WIDTH..p.n.min((panel + 1) * WIDTH);
            enter(l, Panel { p, a, w, scale, zero, rows: rows.clone(), cols: cols.clone(), scratch: &mut *scratch });
            let totals = &scratch[SCRATCH - ROWS * WIDTH..];
            for (i, totals) in rows.clone().zip(totals.chunks_exact(WIDTH)) {
                // SAFETY: tasks have different rows or panels.
                let out = unsafe { out.part(i * p.n + cols.start..i * p.n + cols.end) };
                let bias = bias.get(cols.clone()).unwrap_or(&[]);
                enter(l, Finish { totals, bias, out });
            }
        }
    };
    if threads == 1 {
        (0..tasks).for_each(|task| body(task, 0));
    } else if tasks >= threads {
        pool.run(tasks, body);
    } else {
        pool.run(tasks, |task, _| body(task, task));
    }
}

/// The totals of a block of rows and a panel.
struct Panel<'a, E> {
    p: &'a MatmulInt4,
    a: &'a [E],
    w: &'a [u8],
    scale: &'a [f32],
    zero: &'a [u8],
    rows: Range<usize>,
    cols: Range<usize>,
    scratch: &'a mut [f32],
}

impl<E: Narrow> Job for Panel<'_, E> {
    type Output = ();

    #[inline(always)]
    fn run<L: Convert>(self, l: L) {
        let Panel { p, a, w, scale, zero, rows, cols, scratch } = self;
        let (codes, rest) = scratch.split_at_mut(DEPTH * WIDTH);
        let (copy, rest) = rest.split_at_mut(ROWS * A_LINE);
        let (sums, totals) = rest.split_at_mut(ROWS * WIDTH);
        let height = rows.len();
        totals[..height * WIDTH].fill(0.0);
        let groups = p.groups();
        for group in 0..groups {
            if fault!("matmul_int4.third-group") && group == 2 {
                continue;
            }
            sums[..height * WIDTH].fill(0.0);
            let whole = group * p.group..p.k.min((group + 1) * p.group);
            let mut zeros = [MIDDLE; WIDTH];
            let mut scales = [0.0; WIDTH];
            for (at, j) in cols.clone().enumerate() {
                scales[at] = scale[j * groups + group];
                zeros[at] = zero.get(j * groups + group).copied().unwrap_or(MIDDLE);
            }
            for k in whole.clone().step_by(DEPTH) {
                let part = k..whole.end.min(k + DEPTH);
                unpack(l, p, w, &cols, part.clone(), &zeros, codes);
                for (i, line) in rows.clone().zip(copy.chunks_exact_mut(A_LINE)) {
                    widen(l, &a[i * p.k..][part.clone()], line);
                }
                products(l, copy, codes, part.len(), &mut sums[..height * WIDTH]);
            }
            let vectors = scales.as_chunks::<LANES>().0;
            let sums = sums[..height * WIDTH].as_chunks::<LANES>().0;
            for (v, (sum, total)) in sums.iter().zip(totals.as_chunks_mut::<LANES>().0).enumerate() {
                l.store(l.fma(l.load(&vectors[v % 2]), l.load(sum), l.load(total)), total);
            }
        }
    }
}

/// Sixteen neighbouring codes of a row, of which `count` are wanted, less the zero point; 0 behind them.
#[inline(always)]
fn codes_of(row: &[u8], k: usize, count: usize, zero: f32) -> [f32; LANES] {
    if let (0, LANES, Some(bytes)) = (k % 2, count, row[k / 2..].first_chunk::<{ LANES / 2 }>()) {
        return std::array::from_fn(|i| f32::from(bytes[i / 2] >> (4 * (i % 2)) & 15) - zero);
    }
    std::array::from_fn(|i| match i < count {
        true => f32::from(row[(k + i) / 2] >> (4 * ((k + i) % 2)) & 15) - zero,
        false => 0.0,
    })
}

/// `code − zero` of a panel, outputs side by side.
#[inline(always)]
fn unpack<L: Convert>(
    l: L,
    p: &MatmulInt4,
    w: &[u8],
    cols: &Range<usize>,
    part: Range<usize>,
    zeros: &[u8; WIDTH],
    codes: &mut [f32],
) {
    let line = p.line();
    for (k, to) in part.clone().step_by(LANES).zip(codes.chunks_exact_mut(LANES * WIDTH)) {
        let count = LANES.min(part.end - k);
        for half in [0, LANES] {
            let square = std::array::from_fn(|j| match half + j < cols.len() {
                true => {
                    let row = &w[(cols.start + half + j) * line..][..line];
                    l.load(&codes_of(row, k, count, zeros[half + j].into()))
                }
                false => l.splat(0.0),
            });
            for (x, to) in l.transpose(square).into_iter().zip(to.chunks_exact_mut(WIDTH)).take(count) {
                let to: &mut [f32; LANES] = to[half..].first_chunk_mut().expect("half a line");
                l.store(x, to);
            }
        }
    }
}

/// A line as f32.
#[inline(always)]
fn widen<L: Convert, E: Narrow>(l: L, from: &[E], to: &mut [f32]) {
    let ((from, rest), (to, behind)) = (from.as_chunks::<LANES>(), to.as_chunks_mut::<LANES>());
    let whole = from.len();
    from.iter().zip(&mut *to).for_each(|(from, to)| l.store(E::widen(l, from), to));
    if !rest.is_empty() {
        let mut all = [E::default(); LANES];
        all[..rest.len()].copy_from_slice(rest);
        match to.get_mut(whole) {
            Some(to) => l.store(E::widen(l, &all), to),
            None => l.store_first(E::widen(l, &all), &mut behind[..rest.len()]),
        }
    }
}

/// Adds the products of a part to the sums, tile by tile.
#[inline(always)]
fn products<L: Convert>(l: L, a: &[f32], codes: &[f32], depth: usize, sums: &mut [f32]) {
    let mut rest = sums;
    let mut a = a;
    while !rest.is_empty() {
        let left = rest.len() / WIDTH;
        let height = match left {
            8.. if L::ROWS == 8 => 8,
            4.. if L::ROWS == 8 => 4,
            2.. => 2,
            _ => 1,
        };
        let (tile, behind) = rest.split_at_mut(height * WIDTH);
        match height {
            8 => products_of::<L, 8>(l, a, codes, depth, tile),
            4 => products_of::<L, 4>(l, a, codes, depth, tile),
            2 => products_of::<L, 2>(l, a, codes, depth, tile),
            _ => products_of::<L, 1>(l, a, codes, depth, tile),
        }
        rest = behind;
        a = &a[height * A_LINE..];
    }
}

#[inline(always)]
fn products_of<L: Convert, const R: usize>(l: L, a: &[f32], codes: &[f32], depth: usize, sums: &mut [f32]) {
    let sums = &mut sums.as_chunks_mut::<LANES>().0[..2 * R];
    let mut held: [[L::F; 2]; R] = std::array::from_fn(|r| [l.load(&sums[2 * r]), l.load(&sums[2 * r + 1])]);
    let lines: [&[f32]; R] = std::array::from_fn(|r| &a[r * A_LINE..][..depth]);
    for (k, codes) in codes.as_chunks::<LANES>().0.chunks_exact(2).enumerate().take(depth) {
        let b = [l.load(&codes[0]), l.load(&codes[1])];
        for (held, line) in held.iter_mut().zip(lines) {
            let x = l.splat(line[k]);
            *held = [l.fma(x, b[0], held[0]), l.fma(x, b[1], held[1])];
        }
    }
    for (r, held) in held.into_iter().enumerate() {
        l.store(held[0], &mut sums[2 * r]);
        l.store(held[1], &mut sums[2 * r + 1]);
    }
}

/// What becomes of a row's totals.
struct Finish<'a, E> {
    totals: &'a [f32],
    bias: &'a [E],
    out: &'a mut [E],
}

impl<E: Narrow> Job for Finish<'_, E> {
    type Output = ();

    #[inline(always)]
    fn run<L: Convert>(self, _: L) {
        let Finish { totals, bias, out } = self;
        for (j, (out, &total)) in out.iter_mut().zip(totals).enumerate() {
            *out = E::rounded(bias.get(j).map_or(total, |bias| total + bias.widened()));
        }
    }
}

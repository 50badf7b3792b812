//! Products with packed weights: codes are unpacked in registers, once for a block of rows of A.

use std::ops::Range;

use etalon_reference::ops::matmul_nbits::MatmulNbits;

use super::Operands;
use super::pack::{PackedW, Shape, VECTORS, WIDTH};
use crate::disjoint::Disjoint;
use crate::dotted::Size;
use crate::faults::fault;
use crate::gemm::short::widen_first;
use crate::isa::arrays;
use crate::isa::codes::{MOST_CODES, Prepare, Products};
use crate::isa::dot::Job;
use crate::isa::narrow::Narrow;
use crate::isa::wide::{LANES, Wide};
use crate::pool::Pool;
use crate::workspace::Workspace;

/// Operations in a nanosecond of one thread, about.
pub const OPERATIONS_A_NS: u64 = 40;
/// Sums of an output at most that are kept apart.
const CHAINS: usize = 4;

/// All outputs.
pub fn matmul<M, E, O>(
    m: M,
    p: &MatmulNbits,
    x: Operands<'_, E, O>,
    packed: &PackedW,
    pool: &Pool,
    workspace: &mut Workspace,
) where
    M: Prepare<E>,
    E: etalon_reference::Element,
    O: Narrow,
{
    if p.m == 0 || p.n == 0 {
        return;
    }
    let shape = packed.shape();
    let (steps, groups) = (shape.words() * M::STEPS, shape.groups);
    let ([lines], [sums]) = workspace.slices2::<M::A, f32, 1, 1>([p.m * steps], [p.m * groups]);
    let size = Size { m: p.m, n: p.n, k: p.k, batch: 1, of_b: 1 };
    let threads = pool.threads_for(size.operations() / OPERATIONS_A_NS);
    {
        let (lines, sums) = (Disjoint::new(lines), Disjoint::new(sums));
        let row = |i: usize| {
            // SAFETY: rows have their own lines and sums.
            let (to, sums) =
                unsafe { (lines.part(i * steps..(i + 1) * steps), sums.part(i * groups..(i + 1) * groups)) };
            m.enter(Line { m, shape, from: &x.a[i * p.k..][..p.k], to, sums });
        };
        if threads == 1 || p.m < threads { (0..p.m).for_each(row) } else { pool.run(p.m, |i, _| row(i)) }
    }
    let Operands { a_scale, bias, out, .. } = x;
    let out = Disjoint::new(out);
    let (lines, sums) = (&*lines, &*sums);
    pool.ranges(threads, shape.panels(), |panels| {
        m.enter(Panels { m, p, packed, lines, sums, a_scale, bias, panels, out: &out });
    });
}

/// Prepares a row of A, and the sum of each group.
struct Line<'a, M: Products, E> {
    m: M,
    shape: Shape,
    from: &'a [E],
    to: &'a mut [M::A],
    sums: &'a mut [f32],
}

impl<M: Prepare<E>, E: etalon_reference::Element> Job for Line<'_, M, E> {
    #[inline(always)]
    fn run(self) {
        let Line { m, shape, from, mut to, sums } = self;
        for (g, sum) in sums.iter_mut().enumerate() {
            let columns = &from[shape.columns(g)];
            *sum = M::sum(columns);
            let words = columns.chunks_exact(M::CODES);
            let rest = words.remainder();
            let (steps, behind) = to.split_at_mut(words.len() * M::STEPS);
            words.zip(steps.chunks_exact_mut(M::STEPS)).for_each(|(word, step)| m.prepare(word, step));
            to = behind;
            if !rest.is_empty() {
                let mut word = [E::default(); MOST_CODES];
                word[..rest.len()].copy_from_slice(rest);
                let (step, behind) = to.split_at_mut(M::STEPS);
                m.prepare(&word[..M::CODES], step);
                to = behind;
            }
        }
    }
}

/// Some panels, for all rows.
struct Panels<'a, M: Products, O> {
    m: M,
    p: &'a MatmulNbits,
    packed: &'a PackedW,
    lines: &'a [M::A],
    sums: &'a [f32],
    a_scale: &'a [f32],
    bias: &'a [O],
    panels: Range<usize>,
    out: &'a Disjoint<'a, O>,
}

impl<M: Products, O: Narrow> Job for Panels<'_, M, O> {
    #[inline(always)]
    fn run(self) {
        for panel in self.panels.clone() {
            let mut top = 0;
            while top < self.p.m {
                top += match self.p.m - top {
                    6.. if M::ROWS >= 6 => self.block::<6>(panel, top),
                    4.. if M::ROWS >= 4 => self.block::<4>(panel, top),
                    2.. if M::ROWS >= 2 => self.block::<2>(panel, top),
                    _ => self.block::<1>(panel, top),
                };
            }
        }
    }
}

impl<M: Products, O: Narrow> Panels<'_, M, O> {
    /// `R` rows from `top` on; says how many.
    #[inline(always)]
    fn block<const R: usize>(&self, panel: usize, top: usize) -> usize {
        let (m, l, shape) = (self.m, self.m.lanes(), self.packed.shape());
        let (words, groups) = (shape.words(), shape.groups);
        let mut left = self.packed.words[panel * words * WIDTH..][..words * WIDTH].as_chunks::<LANES>().0;
        let scales = self.packed.scales[panel * groups * WIDTH..][..groups * WIDTH].as_chunks::<LANES>().0;
        let zeros = self.packed.zeros[panel * groups * WIDTH..][..groups * WIDTH].as_chunks::<LANES>().0;
        let mut lines: [&[M::A]; R] =
            arrays::from_fn(|r| &self.lines[(top + r) * words * M::STEPS..][..words * M::STEPS]);
        let columns = panel * WIDTH..self.p.n.min((panel + 1) * WIDTH);
        let outs: [&mut [O]; R] = std::array::from_fn(|r| {
            let row = (top + r) * self.p.n;
            // SAFETY: tasks have different panels, which are columns.
            let out = unsafe { self.out.part(row + columns.start..row + columns.end) };
            // Stores that miss would wait for each other.
            l.prefetch(out, 0);
            l.prefetch(out, columns.len() - 1);
            out
        });
        let chains = (M::CHAINS / (VECTORS * R)).clamp(1, M::STEPS.min(CHAINS));
        let mut totals = [[l.splat(0.0); VECTORS]; R];
        for (g, (scales, zeros)) in scales.chunks_exact(VECTORS).zip(zeros.chunks_exact(VECTORS)).enumerate() {
            let (now, later) = left.split_at(shape.words_of(g) * VECTORS);
            left = later;
            let steps = now.len() / VECTORS * M::STEPS;
            let here: [&[M::A]; R] = lines.map(|line| &line[..steps]);
            lines = lines.map(|line| &line[steps..]);
            if fault!("matmul_nbits.third-group") && g == 2 {
                continue;
            }
            let mut sums = [[[m.none(); CHAINS]; VECTORS]; R];
            for (w, words) in now.chunks_exact(VECTORS).enumerate() {
                let words: [M::W; VECTORS] = arrays::from_fn(|v| m.words(&words[v]));
                // The inner loop is short enough to be unrolled always, and sums stay in registers.
                for first in (0..M::STEPS).step_by(chains) {
                    #[expect(clippy::needless_range_loop, reason = "a place in arrays of arrays")]
                    for chain in 0..chains {
                        let step = first + chain;
                        let codes: [M::V; VECTORS] = arrays::from_fn(|v| m.unpack(words[v], step));
                        for r in 0..R {
                            // SAFETY: `w` is below the words of the group, of which each line has the steps.
                            let a = unsafe { *here[r].get_unchecked(w * M::STEPS + step) };
                            for v in 0..VECTORS {
                                sums[r][v][chain] = m.add(sums[r][v][chain], a, codes[v]);
                            }
                        }
                    }
                }
            }
            for v in 0..VECTORS {
                let (scale, zero) = (l.load(&scales[v]), l.load(&zeros[v].map(|zero| -f32::from(zero))));
                for r in 0..R {
                    let mut sum = sums[r][v][0];
                    for chain in &sums[r][v][1..chains] {
                        sum = m.join(sum, *chain);
                    }
                    let of_a = l.splat(self.sums[(top + r) * groups + g]);
                    totals[r][v] = l.fma(scale, l.fma(zero, of_a, m.real(sum)), totals[r][v]);
                }
            }
        }
        for (r, (totals, out)) in totals.into_iter().zip(outs).enumerate() {
            let scale = self.a_scale.get(top + r).map(|&scale| l.splat(scale));
            let bias = self.bias.get(columns.clone()).unwrap_or(&[]);
            for (v, (total, out)) in totals.into_iter().zip(out.chunks_mut(LANES)).enumerate() {
                let mut total = scale.map_or(total, |scale| l.mul(total, scale));
                let bias = bias.get(v * LANES..v * LANES + out.len()).unwrap_or(&[]);
                if !bias.is_empty() {
                    total = l.add(total, widen_first(l, bias));
                }
                match out.first_chunk_mut() {
                    Some(out) => O::narrow(l, total, out),
                    None => {
                        let mut last = [O::default(); LANES];
                        O::narrow(l, total, &mut last);
                        out.copy_from_slice(&last[..out.len()]);
                    }
                }
            }
        }
        R
    }
}

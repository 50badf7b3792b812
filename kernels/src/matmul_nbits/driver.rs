//! Products with packed weights: codes are unpacked in registers, once for a block of rows of A.

use std::ops::Range;

use etalon_reference::ops::matmul_nbits::MatmulNbits;

use super::Operands;
use super::pack::{PackedW, Shape, VECTORS, WIDTH};
use crate::disjoint::Disjoint;
use crate::faults::fault;
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
/// Tasks per thread at least, where the output has as many panels.
const TASKS: usize = 4;

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
    for i in 0..p.m {
        let (line, sums) = (&mut lines[i * steps..][..steps], &mut sums[i * groups..][..groups]);
        m.enter(Line { m, shape, from: &x.a[i * p.k..][..p.k], to: line, sums });
    }
    let operations = [p.m, p.n, p.k.max(1)].iter().fold(2u64, |all, &x| all.saturating_mul(x as u64));
    let threads = pool.threads_for(operations / OPERATIONS_A_NS);
    let panels = shape.panels();
    let tasks = if threads == 1 { 1 } else { (TASKS * threads).min(panels) };
    let Operands { a_scale, bias, out, .. } = x;
    let out = Disjoint::new(out);
    let (lines, sums) = (&*lines, &*sums);
    let body = |task: usize| {
        let panels = panels * task / tasks..panels * (task + 1) / tasks;
        m.enter(Panels { m, p, packed, lines, sums, a_scale, bias, panels, out: &out });
    };
    if tasks == 1 { body(0) } else { pool.run(tasks, |task, _| body(task)) }
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
            for of_word in columns.chunks(M::CODES) {
                let mut x = [E::default(); MOST_CODES];
                x[..of_word.len()].copy_from_slice(of_word);
                let (step, rest) = to.split_at_mut(M::STEPS);
                m.prepare(&x[..M::CODES], step);
                to = rest;
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
            std::array::from_fn(|r| &self.lines[(top + r) * words * M::STEPS..][..words * M::STEPS]);
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
                let codes: [_; VECTORS] = std::array::from_fn(|v| m.unpack(&words[v]));
                for step in 0..M::STEPS {
                    let chain = step % chains;
                    for r in 0..R {
                        // SAFETY: `w` is below the words of the group, of which each line has the steps.
                        let a = unsafe { *here[r].get_unchecked(w * M::STEPS + step) };
                        for v in 0..VECTORS {
                            sums[r][v][chain] = m.add(sums[r][v][chain], a, codes[v][step]);
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
        let columns = panel * WIDTH..self.p.n.min((panel + 1) * WIDTH);
        for (r, totals) in totals.into_iter().enumerate() {
            let i = top + r;
            // SAFETY: tasks have different panels, which are columns.
            let out = unsafe { self.out.part(i * self.p.n + columns.start..i * self.p.n + columns.end) };
            let mut lanes = [[0.0; LANES]; VECTORS];
            for (total, lanes) in totals.into_iter().zip(&mut lanes) {
                l.store(self.a_scale.get(i).map_or(total, |&scale| l.mul(total, l.splat(scale))), lanes);
            }
            for (j, (out, &total)) in out.iter_mut().zip(lanes.as_flattened()).enumerate() {
                let bias = self.bias.get(columns.start + j);
                *out = O::rounded(bias.map_or(total, |bias| total + bias.widened()));
            }
        }
        R
    }
}

//! Products with packed weights: codes are unpacked in registers, once for a block of rows of A.

use std::ops::Range;

use etalon_reference::ops::matmul_nbits::MatmulNbits;

use super::Operands;
use super::pack::{PackedW, Shape};
use crate::disjoint::Disjoint;
use crate::faults::fault;
use crate::isa::codes::{MOST_CODES, MOST_STEPS, Prepare, Products};
use crate::isa::dot::Job;
use crate::isa::narrow::Narrow;
use crate::isa::wide::{LANES, Wide};
use crate::pool::Pool;
use crate::workspace::Workspace;

/// Operations in a nanosecond of one thread, about.
pub const OPERATIONS_A_NS: u64 = 40;
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
                    8.. if M::ROWS >= 8 => self.block::<8>(panel, top),
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
        let mut left = self.packed.words[panel * words * LANES..][..words * LANES].as_chunks::<LANES>().0;
        let scales = self.packed.scales[panel * groups * LANES..][..groups * LANES].as_chunks::<LANES>().0;
        let zeros = self.packed.zeros[panel * groups * LANES..][..groups * LANES].as_chunks::<LANES>().0;
        let mut lines: [&[M::A]; R] =
            std::array::from_fn(|r| &self.lines[(top + r) * words * M::STEPS..][..words * M::STEPS]);
        let chains = (M::CHAINS / R).clamp(1, M::STEPS);
        let mut totals = [l.splat(0.0); R];
        for (g, (scale, zero)) in scales.iter().zip(zeros).enumerate() {
            let (now, later) = left.split_at(shape.words_of(g));
            left = later;
            let here: [&[M::A]; R] = lines.map(|line| &line[..now.len() * M::STEPS]);
            lines = lines.map(|line| &line[now.len() * M::STEPS..]);
            if fault!("matmul_nbits.third-group") && g == 2 {
                continue;
            }
            let mut sums = [[m.none(); MOST_STEPS]; R];
            for (w, word) in now.iter().enumerate() {
                let codes = m.unpack(word);
                for r in 0..R {
                    let a = &here[r][w * M::STEPS..][..M::STEPS];
                    for step in 0..M::STEPS {
                        let chain = step % chains;
                        sums[r][chain] = m.add(sums[r][chain], a[step], codes[step]);
                    }
                }
            }
            let (scale, zero) = (l.load(scale), l.load(&zero.map(|zero| -f32::from(zero))));
            for (r, (total, sums)) in totals.iter_mut().zip(sums).enumerate() {
                let mut sum = sums[0];
                for chain in &sums[1..chains] {
                    sum = m.join(sum, *chain);
                }
                let of_a = l.splat(self.sums[(top + r) * groups + g]);
                *total = l.fma(scale, l.fma(zero, of_a, m.real(sum)), *total);
            }
        }
        let columns = panel * LANES..self.p.n.min((panel + 1) * LANES);
        for (r, total) in totals.into_iter().enumerate() {
            let i = top + r;
            // SAFETY: tasks have different panels, which are columns.
            let out = unsafe { self.out.part(i * self.p.n + columns.start..i * self.p.n + columns.end) };
            let total = self.a_scale.get(i).map_or(total, |&scale| l.mul(total, l.splat(scale)));
            let mut lanes = [0.0; LANES];
            l.store(total, &mut lanes);
            for (j, (out, total)) in out.iter_mut().zip(lanes).enumerate() {
                let bias = self.bias.get(columns.start + j);
                *out = O::rounded(bias.map_or(total, |bias| total + bias.widened()));
            }
        }
        R
    }
}

//! One input channel a group: the taps times shifted rows, sums in registers. Bound by memory, but for the shifts.
//!
//! By planes, each plane is copied once between zeros, so that no tap needs a test; by pixels, vectors run along channels.
//!
//! Workspace: a padded plane a thread; by pixels, the weights once more.

use etalon_reference::operator::downcast;
use etalon_reference::ops::conv2d::Conv2d;
use etalon_reference::ops::gemm::CHUNK;
use etalon_reference::{DType, Problem};

use super::by_planes;
use super::operands::Operands;
use crate::disjoint::{Disjoint, chunks};
use crate::isa::Isa;
use crate::isa::wide::{LANES, Wide, Work, with_lanes};
use crate::kernel::KernelError;
use crate::pool::Pool;
use crate::workspace::Workspace;

/// Whether the kernel computes the problem.
pub fn supports(problem: &dyn Problem, _: DType) -> Result<(), String> {
    fits(downcast(problem)).map_err(Into::into)
}

/// Whether the kernel computes the problem.
pub fn fits(p: &Conv2d) -> Result<(), &'static str> {
    if p.group_in() != 1 {
        return Err("only one input channel a group");
    }
    if !by_planes(p) && p.group_out() != 1 {
        return Err("by pixels (NHWC), only one output channel a group");
    }
    if p.depth() > CHUNK {
        return Err("more taps than a chunk of the canonical order");
    }
    Ok(())
}

/// All outputs.
pub fn convolve(
    p: &Conv2d,
    isa: Isa,
    operands: Operands<'_, f32>,
    pool: &Pool,
    workspace: &mut Workspace,
) -> Result<(), KernelError> {
    with_lanes(isa, Step { p, operands, pool, workspace }).map_err(KernelError::Isa)
}

struct Step<'a> {
    p: &'a Conv2d,
    operands: Operands<'a, f32>,
    pool: &'a Pool,
    workspace: &'a mut Workspace,
}

impl Work for Step<'_> {
    type Output = ();

    #[inline(always)]
    fn run<L: Wide>(self, l: L) {
        let Step { p, operands, pool, workspace } = self;
        if by_planes(p) { planes(l, p, operands, pool, workspace) } else { pixels(l, p, operands, pool, workspace) }
    }
}

/// What becomes of the sums of one channel or of sixteen.
struct Finish<F> {
    scale: Option<F>,
    bias: Option<F>,
    relu: bool,
}

impl<F: Copy> Finish<F> {
    #[inline(always)]
    fn of<L: Wide<F = F>>(&self, l: L, sum: F) -> F {
        // The chunk's sum is added to +0, as everywhere: what underflowed to −0 becomes +0.
        let sum = l.add(l.splat(0.0), sum);
        let y = self.scale.map_or(sum, |scale| l.mul(sum, scale));
        let y = self.bias.map_or(y, |bias| l.add(y, bias));
        if self.relu { l.relu(y) } else { y }
    }
}

/// Elements of a line of the padded plane: what the last vector of a row reaches.
fn line(p: &Conv2d) -> usize {
    let reach = p.y.w.next_multiple_of(LANES) * p.cols.stride + (p.cols.taps - 1) * p.cols.dilation;
    reach.max(p.cols.padded()).next_multiple_of(LANES)
}

#[inline(always)]
fn planes<L: Wide>(l: L, p: &Conv2d, o: Operands<'_, f32>, pool: &Pool, workspace: &mut Workspace) {
    let (line, taps) = (line(p), p.rows.taps * p.cols.taps);
    let (plane, padded) = (p.x.h * p.x.w, p.rows.padded() * line);
    let scratch = workspace.slice::<f32>(padded * pool.threads());
    scratch.fill(0.0);
    let scratch = Disjoint::new(scratch);
    let pixels = p.y.h * p.y.w;
    let y = Disjoint::new(o.y);
    pool.run(p.y.n * p.y.c, |task, worker| {
        let (n, k) = (task / p.y.c, task % p.y.c);
        // SAFETY: a worker runs one task at a time, and no other worker has its index.
        let scratch = unsafe { scratch.part(worker * padded..(worker + 1) * padded) };
        // SAFETY: each task has a plane of its own.
        let y = unsafe { y.part(task * pixels..(task + 1) * pixels) };
        let x = &o.x[(n * p.x.c + k / p.group_out()) * plane..][..plane];
        l.enter(Plane {
            p,
            x,
            w: &o.w[k * taps..][..taps],
            scale: o.scale.get(k),
            bias: o.bias.get(k),
            scratch,
            line,
            y,
        });
    });
}

/// One plane of the output.
struct Plane<'a> {
    p: &'a Conv2d,
    x: &'a [f32],
    w: &'a [f32],
    scale: Option<&'a f32>,
    bias: Option<&'a f32>,
    /// The padded plane; its borders are 0.
    scratch: &'a mut [f32],
    line: usize,
    y: &'a mut [f32],
}

impl Work for Plane<'_> {
    type Output = ();

    #[inline(always)]
    fn run<L: Wide>(self, l: L) {
        let p = self.p;
        for (row, to) in self.x.chunks_exact(p.x.w).zip(self.scratch.chunks_exact_mut(self.line).skip(p.rows.before)) {
            to[p.cols.before..][..p.x.w].copy_from_slice(row);
        }
        let dilation = (p.rows.dilation, p.cols.dilation);
        match (p.rows.taps, p.cols.taps, p.cols.stride, dilation) {
            (3, 3, 1, (1, 1)) => self.of_size::<L, 3, 3, 1>(l),
            (3, 3, 2, (1, 1)) => self.of_size::<L, 3, 3, 2>(l),
            (5, 5, 1, (1, 1)) => self.of_size::<L, 5, 5, 1>(l),
            _ => self.of_any_size(l),
        }
    }
}

impl Plane<'_> {
    #[inline(always)]
    fn finish<L: Wide>(&self, l: L) -> Finish<L::F> {
        Finish { scale: self.scale.map(|&x| l.splat(x)), bias: self.bias.map(|&x| l.splat(x)), relu: self.p.relu }
    }

    /// With dilation 1 and a size that is known: the weights stay in registers.
    #[inline(always)]
    fn of_size<L: Wide, const R: usize, const S: usize, const STRIDE: usize>(self, l: L) {
        let (p, line, finish) = (self.p, self.line, self.finish(l));
        let w: [[L::F; S]; R] = std::array::from_fn(|r| std::array::from_fn(|s| l.splat(self.w[r * S + s])));
        for (i, y) in self.y.chunks_exact_mut(p.y.w).enumerate() {
            let top = i * p.rows.stride * line;
            let rows: [&[f32]; R] = std::array::from_fn(|r| &self.scratch[top + r * line..][..line]);
            for (j, y) in y.chunks_mut(LANES).enumerate() {
                let start = j * LANES * STRIDE;
                let mut sum = l.splat(0.0);
                for (row, w) in rows.iter().zip(&w) {
                    for (s, &w) in w.iter().enumerate() {
                        sum = l.fma(w, shifted::<L, STRIDE>(l, &row[start + s..]), sum);
                    }
                }
                let sum = finish.of(l, sum);
                match y.first_chunk_mut() {
                    Some(y) => l.store(sum, y),
                    None => l.store_first(sum, y),
                }
            }
        }
    }

    #[inline(always)]
    fn of_any_size<L: Wide>(self, l: L) {
        let (p, line, finish) = (self.p, self.line, self.finish(l));
        let stride = p.cols.stride;
        for (i, y) in self.y.chunks_exact_mut(p.y.w).enumerate() {
            let top = i * p.rows.stride * line;
            for (j, y) in y.chunks_mut(LANES).enumerate() {
                let mut sum = l.splat(0.0);
                for (r, w) in self.w.chunks_exact(p.cols.taps).enumerate() {
                    let row = &self.scratch[top + r * p.rows.dilation * line..][..line];
                    for (s, &w) in w.iter().enumerate() {
                        let from = &row[j * LANES * stride + s * p.cols.dilation..];
                        let x = match stride {
                            1 => shifted::<L, 1>(l, from),
                            2 => shifted::<L, 2>(l, from),
                            _ => {
                                let mut x = [0.0; LANES];
                                x.iter_mut().zip(from.iter().step_by(stride)).for_each(|(to, &x)| *to = x);
                                l.load(&x)
                            }
                        };
                        sum = l.fma(l.splat(w), x, sum);
                    }
                }
                l.store_first(finish.of(l, sum), y);
            }
        }
    }
}

/// Sixteen elements `STRIDE` apart.
#[inline(always)]
fn shifted<L: Wide, const STRIDE: usize>(l: L, from: &[f32]) -> L::F {
    if STRIDE == 1 {
        return l.load(from.first_chunk().expect("the line reaches as far"));
    }
    let (low, high) = from.split_at(LANES.min(from.len()));
    l.evens(l.load_first(low), l.load_first(&high[..high.len().min(LANES)]))
}

#[inline(always)]
fn pixels<L: Wide>(l: L, p: &Conv2d, o: Operands<'_, f32>, pool: &Pool, workspace: &mut Workspace) {
    let (c, taps) = (p.y.c, p.rows.taps * p.cols.taps);
    // By taps, then channels.
    let w = workspace.slice::<f32>(taps * c);
    for (k, filter) in o.w.chunks_exact(taps).enumerate() {
        filter.iter().enumerate().for_each(|(tap, &x)| w[tap * c + k] = x);
    }
    let w = &*w;
    chunks(pool, o.y, p.y.w * c, |start, row| {
        let i = start / (p.y.w * c);
        let (n, i) = (i / p.y.h, i % p.y.h);
        let x = &o.x[n * p.x.h * p.x.w * c..][..p.x.h * p.x.w * c];
        l.enter(Row { p, x, w, scale: o.scale, bias: o.bias, i, row });
    });
}

/// One row of pixels of the output.
struct Row<'a> {
    p: &'a Conv2d,
    /// The image.
    x: &'a [f32],
    /// Weights by taps.
    w: &'a [f32],
    scale: &'a [f32],
    bias: &'a [f32],
    i: usize,
    row: &'a mut [f32],
}

impl Work for Row<'_> {
    type Output = ();

    #[inline(always)]
    fn run<L: Wide>(self, l: L) {
        let (p, c) = (self.p, self.p.y.c);
        for (j, pixel) in self.row.chunks_exact_mut(c).enumerate() {
            for first in (0..c).step_by(LANES) {
                let channels = first..c.min(first + LANES);
                let mut sum = l.splat(0.0);
                for (tap, w) in self.w.chunks_exact(c).enumerate() {
                    let (r, s) = (tap / p.cols.taps, tap % p.cols.taps);
                    let x = match (p.rows.index(self.i, r), p.cols.index(j, s)) {
                        (Some(h), Some(v)) => l.load_first(&self.x[(h * p.x.w + v) * c..][channels.clone()]),
                        _ => l.splat(0.0),
                    };
                    sum = l.fma(l.load_first(&w[channels.clone()]), x, sum);
                }
                let vector = |of: &[f32]| if of.is_empty() { None } else { Some(l.load_first(&of[channels.clone()])) };
                let finish = Finish { scale: vector(self.scale), bias: vector(self.bias), relu: p.relu };
                l.store_first(finish.of(l, sum), &mut pixel[channels.clone()]);
            }
        }
    }
}

//! By planes: a vector of outputs of a row side by side.

use etalon_reference::ops::conv2d::Conv2d;

use crate::conv2d::finish::Finish;
use crate::conv2d::lower::copy;
use crate::conv2d::operands::{Operands, Order};
use crate::disjoint::Disjoint;
use crate::faults::fault;
use crate::isa::arrays;
use crate::isa::wide::{Vectors, Wide, Work};
use crate::pool::Pool;
use crate::workspace::Workspace;

/// Elements of a line of the padded plane: what the last vector of a row reaches.
fn line<T: Vectors>(p: &Conv2d) -> usize {
    let reach = p.y.w.next_multiple_of(T::LANES) * p.cols.stride + (p.cols.taps - 1) * p.cols.dilation;
    reach.max(p.cols.padded()).next_multiple_of(T::LANES)
}

/// All outputs.
#[inline(always)]
pub fn convolve<T: Vectors, L: Wide<T>>(l: L, p: &Conv2d, o: Operands<'_, T>, pool: &Pool, workspace: &mut Workspace) {
    let (line, taps) = (line::<T>(p), p.rows.taps * p.cols.taps);
    let (plane, padded) = (p.x.h * p.x.w, p.rows.padded() * line);
    let scratch = workspace.slice::<T>(padded * pool.threads());
    if !fault!("conv2d.depthwise-stale-border") {
        scratch.fill(T::default());
    }
    let scratch = Disjoint::new(scratch);
    let pixels = p.y.h * p.y.w;
    let y = Disjoint::new(o.y);
    pool.run(p.y.n * p.y.c, |task, worker| {
        let (n, k) = (task / p.y.c, task % p.y.c);
        // SAFETY: a worker runs one task at a time, and no other worker has its index.
        let scratch = unsafe { scratch.part(worker * padded..(worker + 1) * padded) };
        // SAFETY: each task has a plane of its own.
        let y = unsafe { y.part(task * pixels..(task + 1) * pixels) };
        let channel = if fault!("conv2d.depthwise-multiplier") { k % p.x.c } else { k / p.group_out() };
        let x = &o.x[(n * p.x.c + channel) * plane..][..plane];
        l.enter(Plane {
            p,
            x,
            w: &o.w[k * taps..][..taps],
            reversed: o.order == Order::Exchanged,
            scale: o.scale.get(k),
            bias: o.bias.get(k),
            scratch,
            line,
            y,
        });
    });
}

/// One plane of the output.
struct Plane<'a, T> {
    p: &'a Conv2d,
    x: &'a [T],
    w: &'a [T],
    /// Whether the last weight is the first tap's.
    reversed: bool,
    scale: Option<&'a T>,
    bias: Option<&'a T>,
    /// The padded plane; its borders are 0.
    scratch: &'a mut [T],
    line: usize,
    y: &'a mut [T],
}

impl<T: Vectors> Work<T> for Plane<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<L: Wide<T>>(self, l: L) {
        let p = self.p;
        for (row, to) in self.x.chunks_exact(p.x.w).zip(self.scratch.chunks_exact_mut(self.line).skip(p.rows.before)) {
            copy(l, row, &mut to[p.cols.before..][..p.x.w]);
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

impl<T: Vectors> Plane<'_, T> {
    #[inline(always)]
    fn finish<L: Wide<T>>(&self, l: L) -> Finish<L::F> {
        Finish { scale: self.scale.map(|&x| l.splat(x)), bias: self.bias.map(|&x| l.splat(x)), relu: self.p.relu }
    }

    /// The weight of a tap.
    #[inline(always)]
    fn weight(&self, tap: usize) -> T {
        if self.reversed { self.w[self.w.len() - 1 - tap] } else { self.w[tap] }
    }

    /// With dilation 1 and a size that is known: the weights stay in registers.
    #[inline(always)]
    fn of_size<L: Wide<T>, const R: usize, const S: usize, const STRIDE: usize>(self, l: L) {
        let (p, line, finish) = (self.p, self.line, self.finish(l));
        let mut w: [[L::F; S]; R] = arrays::from_fn(|r| arrays::from_fn(|s| l.splat(self.weight(r * S + s))));
        if fault!("conv2d.depthwise-5x5") && R == 5 {
            w[R - 1][S - 1] = l.splat(T::default());
        }
        for (i, y) in self.y.chunks_exact_mut(p.y.w).enumerate() {
            let top = i * p.rows.stride * line;
            let rows: [&[T]; R] = arrays::from_fn(|r| &self.scratch[top + r * line..][..line]);
            for (j, y) in y.chunks_mut(T::LANES).enumerate() {
                let start = j * T::LANES * STRIDE;
                let mut sum = l.splat(T::default());
                for (row, w) in rows.iter().zip(&w) {
                    for (s, &w) in w.iter().enumerate() {
                        sum = l.fma(w, shifted::<T, L, STRIDE>(l, &row[start + s..]), sum);
                    }
                }
                let sum = finish.of_chunk(l, sum);
                match T::first_mut(y) {
                    Some(y) => l.store(sum, y),
                    None => l.store_first(sum, y),
                }
            }
        }
    }

    #[inline(always)]
    fn of_any_size<L: Wide<T>>(mut self, l: L) {
        let (p, line, finish, y) = (self.p, self.line, self.finish(l), std::mem::take(&mut self.y));
        let stride = p.cols.stride;
        for (i, y) in y.chunks_exact_mut(p.y.w).enumerate() {
            let top = i * p.rows.stride * line;
            for (j, y) in y.chunks_mut(T::LANES).enumerate() {
                let mut sum = l.splat(T::default());
                for r in 0..p.rows.taps {
                    let row = &self.scratch[top + r * p.rows.dilation * line..][..line];
                    for s in 0..p.cols.taps {
                        let w = self.weight(r * p.cols.taps + s);
                        let from = &row[j * T::LANES * stride + s * p.cols.dilation..];
                        let x = match stride {
                            1 => shifted::<T, L, 1>(l, from),
                            2 => shifted::<T, L, 2>(l, from),
                            _ => {
                                let mut x = T::lanes(|_| T::default());
                                let from = from.iter().step_by(stride);
                                x.as_mut().iter_mut().zip(from).for_each(|(to, &x)| *to = x);
                                l.load(&x)
                            }
                        };
                        sum = l.fma(l.splat(w), x, sum);
                    }
                }
                l.store_first(finish.of_chunk(l, sum), y);
            }
        }
    }
}

/// A vector of elements `STRIDE` apart.
#[inline(always)]
fn shifted<T: Vectors, L: Wide<T>, const STRIDE: usize>(l: L, from: &[T]) -> L::F {
    if STRIDE == 1 {
        return l.load(T::first(from).expect("the line reaches as far"));
    }
    let part = |i: usize| l.load(T::first(&from[i * T::LANES..]).expect("the line reaches as far"));
    l.evens(part(0), part(1))
}

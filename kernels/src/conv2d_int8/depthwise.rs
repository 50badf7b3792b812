//! Groups of one input and one output channel: the channels of a pixel side by side in vectors of i32.
//!
//! ```text
//! in a plan:  w − zw of each tap, channel beside channel
//! for each output pixel:  the taps that meet the image
//!   for vectors of channels:  sum = bias;  for each tap:  sum += (x − zx)·(w − zw);  requantize, store
//! ```
//! Taps on the padding are left out: they contribute 0.

use std::ops::Range;

use etalon_reference::Problem;
use etalon_reference::operator::downcast;
use etalon_reference::ops::conv2d_int8::Conv2dInt8;
use etalon_reference::ops::window::Window;

use super::driver::by_pixels;
use crate::aligned::AlignedVec;
use crate::call::Inputs;
use crate::disjoint::chunks;
use crate::faults::fault;
use crate::isa::dot::{Integers, Job};
use crate::kernel::{KernelError, Plan};
use crate::matmul_int8::driver::{Columns, Whole};
use crate::matmul_int8::{Left, Operands, Out, of_column};
use crate::pool::Pool;
use crate::workspace::Workspace;

/// Products of a task, about.
const TASK: usize = 16 * 1024;

/// Whether each group has one channel on either side.
pub fn supports(problem: &dyn Problem) -> Result<(), String> {
    let conv = &downcast::<Conv2dInt8>(problem).conv;
    let one = (conv.group_in(), conv.group_out()) == (1, 1);
    if one { Ok(()) } else { Err("groups have several channels".into()) }
}

/// Weights of the taps, less their zero points.
pub struct Taps {
    /// Tap by tap, a number per channel, zeros up to whole vectors.
    words: AlignedVec<i32>,
    /// Channels and taps.
    fits: (usize, usize),
    /// From one tap to the next.
    each: usize,
}

impl Taps {
    /// Whether it was made for such a problem and these instructions.
    pub fn fits<D: Integers>(&self, p: &Conv2dInt8) -> bool {
        self.fits == (p.conv.y.c, p.conv.depth()) && self.each.is_multiple_of(D::LANES)
    }
}

/// The plan.
pub fn plan<D: Integers>(inputs: &Inputs<'_>) -> Result<Plan, KernelError> {
    let p: &Conv2dInt8 = downcast(inputs.problem());
    let (w, zw) = (inputs.input::<i8>(1), inputs.input::<i8>(3));
    let (channels, taps) = (p.conv.y.c, p.conv.depth());
    let each = channels.next_multiple_of(D::LANES);
    let mut words = AlignedVec::zeroed(each * taps);
    for (channel, filter) in w.chunks_exact(taps).enumerate() {
        let zero = of_column(zw, channel).map_or(0, i32::from);
        for (tap, &w) in filter.iter().enumerate() {
            words[tap * each + channel] = i32::from(w) - zero;
        }
    }
    Ok(Box::new(Taps { words, fits: (channels, taps), each }))
}

/// All outputs.
pub fn convolve<D: Integers, A: Left, O: Out>(
    d: D,
    p: &Conv2dInt8,
    x: Operands<'_, A, O>,
    taps: &Taps,
    pool: &Pool,
    workspace: &mut Workspace,
) {
    by_pixels(p, x, pool, workspace, |x, workspace| pixels(d, p, x, taps, pool, workspace));
}

/// Of images by pixels.
fn pixels<D: Integers, A: Left, O: Out>(
    d: D,
    p: &Conv2dInt8,
    x: Operands<'_, A, O>,
    taps: &Taps,
    pool: &Pool,
    workspace: &mut Workspace,
) {
    let ([constants], [scales]) = workspace.slices2::<i32, f32, 1, 1>([taps.each], [taps.each]);
    let finish = Whole::new(&x, p.relu, Columns::of_differences(&x, p.conv.y.c, constants, scales));
    let zx = x.za.first().map_or(0, |&zx| zx.into());
    let line = p.conv.y.w * p.conv.y.c;
    let rows = (TASK / (line * p.conv.depth()).max(1)).max(1);
    let part = |start: usize, y: &mut [O]| {
        for (i, y) in y.chunks_exact_mut(line).enumerate() {
            d.enter(Line { d, p, x: x.a, zx, taps, finish: &finish, row: start / line + i, y });
        }
    };
    chunks(pool, x.out, rows * line, part);
}

/// A row of output pixels.
struct Line<'a, 'w, D, A, O> {
    d: D,
    p: &'a Conv2dInt8,
    x: &'a [A],
    zx: i32,
    taps: &'a Taps,
    finish: &'a Whole<'w, O>,
    /// Its number among the rows of all images.
    row: usize,
    y: &'a mut [O],
}

impl<D: Integers, A: Left, O: Out> Job for Line<'_, '_, D, A, O> {
    #[inline(always)]
    fn run(self) {
        let Line { d, p, x, zx, taps, finish, row, y } = self;
        let conv = &p.conv;
        let (image, i) = (row / conv.y.h, row % conv.y.h);
        let (channels, width) = (conv.x.c, conv.x.w * conv.x.c);
        let x = &x[image * conv.x.h * width..][..conv.x.h * width];
        let zx = d.splat(zx);
        let rows = met(&conv.rows, i);
        for (j, y) in y.chunks_exact_mut(channels).enumerate() {
            let cols = met(&conv.cols, j);
            for (v, y) in y.chunks_mut(D::LANES).enumerate() {
                let first = v * D::LANES;
                let mut sum = d.splat(0);
                for r in rows.clone() {
                    let h = i * conv.rows.stride + r * conv.rows.dilation - conv.rows.before;
                    for s in cols.clone() {
                        let at = j * conv.cols.stride + s * conv.cols.dilation - conv.cols.before;
                        let from = &x[h * width + at * channels + first..];
                        let w = d.load(&taps.words[(r * conv.cols.taps + s) * taps.each + first..]);
                        sum = d.add(sum, d.mul(d.sub(lanes::<D, A>(d, from), zx), w));
                    }
                }
                let lost = fault!("conv2d_int8.depthwise-last-channels") && y.len() < D::LANES && v > 0;
                finish.store(d, first, sum, 0, if lost { &mut [] } else { y });
            }
        }
    }
}

/// A vector of elements; of those behind the last one, anything.
#[inline(always)]
fn lanes<D: Integers, A: Left>(d: D, from: &[A]) -> D::V {
    if from.len() >= D::LANES {
        return A::widen(d, from);
    }
    let mut last = [A::default(); 16];
    last[..from.len()].copy_from_slice(from);
    A::widen(d, &last)
}

/// The taps of an output that fall on the input: a range, as they are in order.
#[inline(always)]
fn met(window: &Window, output: usize) -> Range<usize> {
    let start = output * window.stride;
    let before = |end: usize| end.saturating_sub(start).div_ceil(window.dilation).min(window.taps);
    before(window.before)..before(window.before + window.input)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn taps_that_meet_the_input() {
        for sizes in
            [[5, 3, 1, 1, 1, 1], [5, 3, 2, 2, 3, 0], [2, 2, 3, 1, 4, 4], [7, 1, 1, 1, 0, 0], [1, 4, 1, 3, 9, 9]]
        {
            let window = Window::new("rows", sizes).expect("a window");
            for output in 0..window.output {
                let by_one = (0..window.taps).filter(|&tap| window.index(output, tap).is_some());
                assert!(met(&window, output).eq(by_one), "{window:?} {output}");
            }
        }
    }
}

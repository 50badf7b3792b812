//! The adjoint of a convolution, by the convolutions of its residues.
//!
//! ```text
//! turn the weights: by residues, outputs and inputs exchanged, taps in descending order
//!     (not where one residue has all taps, and its algorithm reads them as they lie)
//! for each residue (a, b) of the strides:
//!   part = dy ⋆ turned weights, a convolution of stride 1       straight to dx, where the strides are 1
//!   dx[a::sh, b::sw] = part
//! ```
//! Workspace: the weights; where a stride is above 1, a row of residues of one image; where the padding is wider
//! than the reach of the taps, dy without what no tap reaches; and what the convolutions need.

use etalon_reference::ops::conv2d::Conv2d;
use etalon_reference::ops::images::{ImageLayout, Images};

use super::places::{Places, residues};
use super::turn::{Turn, taps};
use crate::conv2d::{Operands, Order};
use crate::disjoint::chunks;
use crate::faults::fault;
use crate::gemm::Float;
use crate::kernel::KernelError;
use crate::pool::Pool;
use crate::workspace::Workspace;

/// What the adjoint of a convolution is made of.
pub trait Convolver<T> {
    /// Writes the weights of the residues.
    fn turn(&self, turn: &Turn<'_>, w: &[T], to: &mut [T], pool: &Pool);

    /// Whether it convolves with weights that lie as [`Order::Exchanged`].
    fn reads_exchanged(&self, p: &Conv2d) -> bool;

    /// Convolves.
    fn convolve(
        &self,
        p: &Conv2d,
        operands: Operands<'_, T>,
        pool: &Pool,
        workspace: &mut Workspace,
    ) -> Result<(), KernelError>;
}

/// Operands of the adjoint, of the lengths of the problem.
pub struct Adjoint<'a, T> {
    /// Images as large as the convolution's y.
    pub dy: &'a [T],
    /// The convolution's weights, or what became of them.
    pub w: &'a [T],
    /// A summand of each channel of dx, or nothing.
    pub bias: &'a [T],
    /// Images as large as the convolution's x, written.
    pub dx: &'a mut [T],
}

/// The convolution of a residue of `n` images, if a tap meets it: from `dy` to its part of `dx`.
pub fn of_residue(p: &Conv2d, n: usize, row: &Places, col: &Places, bias: bool) -> Option<Conv2d> {
    let (rows, cols) = (row.window?, col.window?);
    Some(Conv2d {
        x: Images { n, c: p.y.c, h: rows.input, w: cols.input, layout: p.y.layout },
        y: Images { n, c: p.x.c, h: row.count, w: col.count, layout: p.x.layout },
        groups: p.groups,
        rows,
        cols,
        bias,
        scale: false,
        relu: false,
    })
}

/// All of dx.
pub fn spread<T: Float>(
    p: &Conv2d,
    by: &impl Convolver<T>,
    o: Adjoint<'_, T>,
    pool: &Pool,
    workspace: &mut Workspace,
) -> Result<(), KernelError> {
    if p.x.is_empty() {
        return Ok(());
    }
    let turn = Turn::new(p);
    let exchanged = reads_exchanged(p, by, !o.bias.is_empty());
    let (filters, workspace) = workspace.slice_and_inner::<T>(if exchanged { 0 } else { turn.total() });
    if !exchanged {
        by.turn(&turn, o.w, filters, pool);
    }
    let weights = |range| if exchanged { (o.w, Order::Exchanged) } else { (&filters[range], Order::TapsFirst) };
    if (p.rows.stride, p.cols.stride) == (1, 1) {
        let (row, col) = (residues(&p.rows).next(), residues(&p.cols).next());
        let (row, col) = row.zip(col).expect("the input is not empty");
        let (w, order) = weights(0..turn.total());
        return part(p, p.y.n, by, (&row, &col), order, Adjoint { w, ..o }, pool, workspace);
    }
    let (image_in, image_out) = (p.y.len() / p.y.n, p.x.len() / p.x.n);
    let most = p.x.h.div_ceil(p.rows.stride) * p.x.w.div_ceil(p.cols.stride) * p.x.c;
    let (parts, inner) = workspace.slice_and_inner::<T>(most * p.cols.stride.min(p.x.w));
    let images = if fault!("conv_transpose2d.fifth-image") { &o.dy[..o.dy.len().min(4 * image_in)] } else { o.dy };
    for (dy, dx) in images.chunks_exact(image_in).zip(o.dx.chunks_exact_mut(image_out)) {
        let mut above = 0;
        for row in residues(&p.rows) {
            let mut left = 0;
            for (col, to) in residues(&p.cols).zip(parts.chunks_exact_mut(most)) {
                let to = &mut to[..row.count * col.count * p.x.c];
                let (w, order) = weights(turn.part(&row, above, &col, left));
                part(p, 1, by, (&row, &col), order, Adjoint { dy, w, bias: o.bias, dx: to }, pool, inner)?;
                left += taps(&col);
            }
            above += taps(&row);
            weave(p, &row, parts, most, dx, pool);
        }
    }
    Ok(())
}

/// Whether one residue has all taps, and its algorithm reads the weights as they lie.
fn reads_exchanged<T>(p: &Conv2d, by: &impl Convolver<T>, bias: bool) -> bool {
    let row = residues(&p.rows).find(|row| taps(row) == p.rows.taps);
    let col = residues(&p.cols).find(|col| taps(col) == p.cols.taps);
    let conv = row.zip(col).and_then(|(row, col)| of_residue(p, p.y.n, &row, &col, bias));
    conv.is_some_and(|conv| by.reads_exchanged(&conv))
}

/// The part of dx of one residue, of `n` images, without gaps.
fn part<T: Float>(
    p: &Conv2d,
    n: usize,
    by: &impl Convolver<T>,
    (row, col): (&Places, &Places),
    order: Order,
    o: Adjoint<'_, T>,
    pool: &Pool,
    workspace: &mut Workspace,
) -> Result<(), KernelError> {
    let Some(conv) = of_residue(p, n, row, col, !o.bias.is_empty()) else {
        fill(p, o.bias, row.count * col.count, o.dx);
        return Ok(());
    };
    let cropped = row.unused != [0, 0] || col.unused != [0, 0];
    let (dy, inner) = workspace.slice_and_inner::<T>(if cropped { conv.x.len() } else { 0 });
    if cropped {
        crop(p, &conv, row.unused[0], col.unused[0], o.dy, dy);
    }
    let x = if cropped { &*dy } else { o.dy };
    by.convolve(&conv, Operands { x, w: o.w, order, scale: &[], bias: o.bias, y: o.dx }, pool, inner)
}

/// What no tap meets: the bias.
fn fill<T: Float>(p: &Conv2d, bias: &[T], pixels: usize, dx: &mut [T]) {
    match p.x.layout {
        _ if bias.is_empty() || fault!("conv_transpose2d.no-tap-no-bias") => dx.fill(T::default()),
        ImageLayout::Nchw => {
            dx.chunks_exact_mut(pixels).zip(bias.iter().cycle()).for_each(|(plane, &bias)| plane.fill(bias));
        }
        ImageLayout::Nhwc => dx.chunks_exact_mut(p.x.c).for_each(|pixel| pixel.copy_from_slice(bias)),
    }
}

/// Images without what no tap meets.
fn crop<T: Float>(p: &Conv2d, conv: &Conv2d, top: usize, left: usize, dy: &[T], to: &mut [T]) {
    // Rows of a plane, or rows of pixels.
    let (planes, pixel) = match p.y.layout {
        ImageLayout::Nchw => (p.y.c, 1),
        ImageLayout::Nhwc => (1, p.y.c),
    };
    let (from, line) = (p.y.w * pixel, conv.x.w * pixel);
    for (plane, to) in to.chunks_exact_mut(conv.x.h * line).enumerate().take(conv.x.n * planes) {
        let dy = &dy[plane * p.y.h * from..][..p.y.h * from];
        for (to, dy) in to.chunks_exact_mut(line).zip(dy.chunks_exact(from).skip(top)) {
            let left = if fault!("conv2d_backward_data.crop-left") { left } else { left * pixel };
            to.copy_from_slice(&dy[left..][..line]);
        }
    }
}

/// Writes the rows of one residue from the parts of the residues of the columns.
fn weave<T: Float>(p: &Conv2d, row: &Places, parts: &[T], most: usize, dx: &mut [T], pool: &Pool) {
    let stride = p.cols.stride;
    let (line, lines) = match p.x.layout {
        ImageLayout::Nchw => (p.x.w, p.x.h),
        ImageLayout::Nhwc => (p.x.w * p.x.c, 1),
    };
    // One plane a task, or one row of pixels.
    chunks(pool, dx, line * lines, |start, to| {
        let task = start / (line * lines);
        match p.x.layout {
            ImageLayout::Nchw => {
                for (i, to) in to.chunks_exact_mut(line).skip(row.first).step_by(p.rows.stride).enumerate() {
                    let from = |b: usize| {
                        let count = (p.x.w - b).div_ceil(stride);
                        &parts[b * most + (task * row.count + i) * count..][..count]
                    };
                    if stride == 2 && p.x.w > 1 {
                        pairs(from(0), from(1), to);
                        continue;
                    }
                    let written = if fault!("conv2d_backward_data.third-residue") { 2 } else { stride };
                    for b in 0..written.min(p.x.w) {
                        to[b..].iter_mut().step_by(stride).zip(from(b)).for_each(|(to, &x)| *to = x);
                    }
                }
            }
            ImageLayout::Nhwc => {
                if task < row.first || !(task - row.first).is_multiple_of(p.rows.stride) {
                    return;
                }
                let i = (task - row.first) / p.rows.stride;
                for (v, to) in to.chunks_exact_mut(p.x.c).enumerate() {
                    let (b, j) = (v % stride, v / stride);
                    let count = (p.x.w - b).div_ceil(stride);
                    to.copy_from_slice(&parts[b * most + (i * count + j) * p.x.c..][..p.x.c]);
                }
            }
        }
    });
}

/// `to = even[0], odd[0], even[1], …`
fn pairs<T: Copy>(even: &[T], odd: &[T], to: &mut [T]) {
    let (whole, last) = to.as_chunks_mut::<2>();
    for ((to, &even), &odd) in whole.iter_mut().zip(even).zip(odd) {
        *to = [even, odd];
    }
    if let ([last], Some(&even), false) = (last, even.last(), fault!("conv_transpose2d.odd-width")) {
        *last = even;
    }
}

//! Direct convolution of few products or few output channels by planes: no patches are packed, as each would serve few products.
//!
//! ```text
//! pack the weights: blocks of ROWS output channels, product by product
//! for each band of rows of outputs:                            a thread each
//!   copy the rows of x that it needs among their zeros,
//!       columns of one residue of the stride side by side      stays in the first cache
//!   for each block of channels:
//!     for each VECTORS pieces of a row, a vector of outputs each:
//!       sums += weight · piece, shifted by the tap             ROWS·VECTORS sums in registers
//! ```
//! Workspace: the weights in blocks, one element per product; a thread, the rows of a band and one more: at most
//! [`BAND_BYTES`], otherwise [`DEEP_BAND_BYTES`], otherwise what one row of outputs needs.

use std::ops::Range;

use etalon_reference::operator::downcast;
use etalon_reference::ops::conv2d::Conv2d;
use etalon_reference::ops::gemm::CHUNK;
use etalon_reference::{Element, Problem, Threshold, Types};

use super::finish::Finish;
use super::lower::{copy, spaced, zero};
use super::operands::{Operands, Order, Products};
use crate::disjoint::Disjoint;
use crate::faults::fault;
use crate::gemm::Float;
use crate::isa::Isa;
use crate::isa::arrays;
use crate::isa::wide::{LANES, LANES_64, Vectors, Wide, Work, with_lanes};
use crate::kernel::KernelError;
use crate::pool::{Pool, WORTH_NS};
use crate::workspace::Workspace;

/// Bytes of the rows of a band, if a row of outputs does not need more: they share the first cache with weights and outputs.
const BAND_BYTES: usize = 32 * 1024;
/// The same of many input channels, of which a row alone is more: it stays in the second cache.
const DEEP_BAND_BYTES: usize = 256 * 1024;
/// Products of an output at most: their weights, a block of channels, stay in the second cache.
const PRODUCTS: usize = 16 * 1024;
/// Multiply-adds of a thread in a nanosecond, about.
const PRODUCTS_A_NS: u64 = 50;
/// Output channels of a group that have a tile of their own.
pub const FEW: usize = 4;

/// The sizes at which it takes another path: bands of rows, groups of output channels, products of an output.
pub const THRESHOLDS: &[Threshold] = &[
    Threshold::axis("n", 5),
    Threshold::axis("k", FEW as i64),
    Threshold::axis("k", 8),
    Threshold::axis("w", 6 * LANES_64 as i64),
    Threshold::axis("w", 6 * LANES as i64),
    Threshold::bytes("x", BAND_BYTES),
    Threshold::bytes("x", DEEP_BAND_BYTES),
    Threshold::bytes("x", 1 << 20),
    Threshold::operations((2 * WORTH_NS * PRODUCTS_A_NS) as i64),
];

/// Whether the kernel computes the problem.
pub fn supports(problem: &dyn Problem, types: Types) -> Result<(), String> {
    super::planes_only(problem)?;
    let fits = if types == Types::F64 { fits::<f64> } else { fits::<f32> };
    fits(downcast(problem)).map_err(Into::into)
}

/// Whether the kernel computes a problem by planes.
pub fn fits<T: Float>(p: &Conv2d) -> Result<(), &'static str> {
    if !matches!(p.cols.stride, 1 | 2 | 4) {
        return Err("only strides of columns of 1, 2 and 4");
    }
    if p.depth() == 0 || p.depth() > PRODUCTS {
        return Err("only 1 to 16384 products of an output");
    }
    if i32::try_from(Cut::new::<T>(p).band).is_err() {
        return Err("only bands of less than 2^31 elements");
    }
    Ok(())
}

/// Whether it is usually faster than packing patches for a GEMM.
///
/// Packing an element costs about as much as eight multiply-adds with it, against what tiles of four or eight channels by
/// pieces of a vector in a row lose at the borders. Where a band leaves the first cache, few channels alone pay; with
/// more than 128, packing does not show.
pub fn pays<T: Float>(p: &Conv2d) -> bool {
    if fits::<T>(p).is_err() || p.y.h * p.y.w < 512 {
        return false;
    }
    let (k, w) = (p.group_out(), p.y.w);
    let most = if Cut::new::<T>(p).band * size_of::<T>() <= BAND_BYTES { 128 } else { 32 };
    let padded = k.next_multiple_of(if k <= FEW { FEW } else { 8 }) * w.next_multiple_of(T::LANES);
    k <= most && padded <= (k + 8) * w
}

/// All outputs.
pub fn convolve<T: Float>(
    p: &Conv2d,
    isa: Isa,
    operands: Operands<'_, T>,
    pool: &Pool,
    workspace: &mut Workspace,
) -> Result<(), KernelError> {
    let wide = isa == Isa::Avx512;
    with_lanes(isa, Step { p, wide, operands, pool, workspace }).map_err(KernelError::Isa)
}

struct Step<'a, T> {
    p: &'a Conv2d,
    /// Whether there are 32 registers for vectors, instead of as many as eight.
    wide: bool,
    operands: Operands<'a, T>,
    pool: &'a Pool,
    workspace: &'a mut Workspace,
}

impl<T: Float> Work<T> for Step<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<L: Wide<T>>(self, l: L) {
        let Step { p, wide, operands, pool, workspace } = self;
        match (wide, p.group_out() <= FEW) {
            (true, false) => images::<T, L, 8, 3>(l, p, operands, pool, workspace),
            (true, true) => images::<T, L, FEW, 6>(l, p, operands, pool, workspace),
            (false, false) => images::<T, L, 6, 1>(l, p, operands, pool, workspace),
            (false, true) => images::<T, L, FEW, 1>(l, p, operands, pool, workspace),
        }
    }
}

/// How a group of an image is cut.
struct Cut {
    /// Elements of a line: columns of one residue of the stride.
    line: usize,
    /// Elements of a row: the lines of all residues.
    row: usize,
    /// Rows of x that a band needs.
    reach: usize,
    /// Elements of a channel: its rows, and a cache line, so that channels start in different sets.
    channel: usize,
    /// Rows of outputs of a band.
    rows: usize,
    /// Elements of a band: rows of all channels, then a row on its way.
    band: usize,
}

impl Cut {
    fn new<T: Vectors>(p: &Conv2d) -> Cut {
        let last = (p.cols.taps - 1) * p.cols.dilation / p.cols.stride;
        let line = (last + p.y.w.next_multiple_of(T::LANES)).next_multiple_of(T::LANES);
        let row = line * p.cols.stride;
        let first = (p.rows.taps - 1) * p.rows.dilation + 1;
        let rows_within = |bytes: usize| {
            let channel = (bytes / size_of::<T>()).saturating_sub(row) / p.group_in();
            let reach = channel.saturating_sub(T::LANES) / row;
            reach.checked_sub(first).map(|more| p.y.h.min(more / p.rows.stride + 1))
        };
        let rows = rows_within(BAND_BYTES).or_else(|| rows_within(DEEP_BAND_BYTES)).unwrap_or(1);
        let reach = first + (rows - 1) * p.rows.stride;
        let channel = reach * row + T::LANES;
        Cut { line, row, reach, channel, rows, band: p.group_in() * channel + row }
    }
}

#[inline(always)]
fn images<T: Float, L: Wide<T>, const ROWS: usize, const VECTORS: usize>(
    l: L,
    p: &Conv2d,
    o: Operands<'_, T>,
    pool: &Pool,
    workspace: &mut Workspace,
) {
    let cut = Cut::new::<T>(p);
    let (depth, outputs) = (p.depth(), p.group_out());
    let blocks = outputs.div_ceil(ROWS);
    let of_group = blocks * depth * ROWS;
    let lens = [p.groups * of_group, cut.band * pool.threads()];
    let ([weights, scratch], [places]) = workspace.slices2::<T, i32, 2, 1>(lens, [depth]);
    for (weights, w) in weights.chunks_exact_mut(of_group).zip(o.w.chunks_exact(outputs * depth)) {
        pack::<T, ROWS>(w, depth, weights);
    }
    let (weights, scratch, y) = (&*weights, Disjoint::new(scratch), Disjoint::new(o.y));
    write_places(p, &cut, o.order, places);
    let places = &*places;
    let bands = p.y.h.div_ceil(cut.rows);
    let plane = p.x.h * p.x.w;
    let body = |task: usize, worker: usize| {
        let (image, rest) = (task / (p.groups * bands), task % (p.groups * bands));
        let (group, first) = (rest / bands, rest % bands * cut.rows);
        if fault!("conv2d.direct-third-band") && first == 2 * cut.rows {
            return;
        }
        let channel = image * p.x.c + group * p.group_in();
        l.enter(Band::<T, ROWS, VECTORS> {
            p,
            cut: &cut,
            places,
            x: &o.x[channel * plane..][..p.group_in() * plane],
            rows: first..p.y.h.min(first + cut.rows),
            weights: &weights[group * of_group..][..of_group],
            channels: group * outputs..(group + 1) * outputs,
            scale: o.scale,
            bias: o.bias,
            // SAFETY: a worker runs one task at a time, and no other worker has its index.
            scratch: unsafe { scratch.part(worker * cut.band..(worker + 1) * cut.band) },
            image,
            y: &y,
        });
    };
    let tasks = p.x.n * p.groups * bands;
    if pool.threads_for((p.y.len() * depth) as u64 / PRODUCTS_A_NS) == 1 {
        (0..tasks).for_each(|task| body(task, 0));
    } else {
        pool.run(tasks, body);
    }
}

/// Weights k × products of a group to blocks of `ROWS` channels, product by product; 0 behind the last channel.
fn pack<T: Element, const ROWS: usize>(w: &[T], depth: usize, to: &mut [T]) {
    for (block, w) in to.chunks_exact_mut(depth * ROWS).zip(w.chunks(depth * ROWS)) {
        for (q, to) in block.as_chunks_mut::<ROWS>().0.iter_mut().enumerate() {
            *to = arrays::from_fn(|k| w.get(k * depth + q).copied().unwrap_or_default());
        }
    }
}

/// Where the products of the first output find their elements in a band.
fn write_places(p: &Conv2d, cut: &Cut, order: Order, places: &mut [i32]) {
    let products = Products::new(p, order);
    let mut product = products.at(0);
    for place in places {
        let (c, r, s) = product;
        let (row, col) = (r * p.rows.dilation, s * p.cols.dilation);
        *place = (c * cut.channel + row * cut.row + col % p.cols.stride * cut.line + col / p.cols.stride) as i32;
        product = products.next(product);
    }
}

/// Some rows of the outputs of a group of an image.
struct Band<'a, 'y, T, const ROWS: usize, const VECTORS: usize> {
    p: &'a Conv2d,
    cut: &'a Cut,
    places: &'a [i32],
    /// The group's planes.
    x: &'a [T],
    rows: Range<usize>,
    /// In blocks.
    weights: &'a [T],
    /// The group's output channels.
    channels: Range<usize>,
    scale: &'a [T],
    bias: &'a [T],
    scratch: &'a mut [T],
    image: usize,
    y: &'a Disjoint<'y, T>,
}

impl<T: Float, const ROWS: usize, const VECTORS: usize> Work<T> for Band<'_, '_, T, ROWS, VECTORS> {
    type Output = ();

    #[inline(always)]
    fn run<L: Wide<T>>(mut self, l: L) {
        self.fill(l);
        let p = self.p;
        let (pieces, weights) = (p.y.w.div_ceil(T::LANES), self.places.len() * ROWS);
        let all = pieces * self.rows.len();
        for (block, w) in self.weights.chunks_exact(weights).enumerate() {
            let mut block = self.block(l, block, w);
            let mut piece = 0;
            while piece < all {
                let at = |i: usize| ((piece + i) / pieces, (piece + i) % pieces * T::LANES);
                piece += match all - piece {
                    left if left >= VECTORS => self.tile::<L, VECTORS>(l, &mut block, arrays::from_fn(at)),
                    left if left >= 2 => self.tile::<L, 2>(l, &mut block, arrays::from_fn(at)),
                    _ => self.tile::<L, 1>(l, &mut block, arrays::from_fn(at)),
                };
            }
        }
    }
}

/// A block of output channels in a band.
struct Block<'a, T, F, const ROWS: usize> {
    w: &'a [T],
    finish: [Finish<F>; ROWS],
    /// The band's rows of the channels' planes; nothing behind the last channel.
    y: [&'a mut [T]; ROWS],
}

impl<T: Float, const ROWS: usize, const VECTORS: usize> Band<'_, '_, T, ROWS, VECTORS> {
    /// Copies the rows of x.
    #[inline(always)]
    fn fill<L: Wide<T>>(&mut self, l: L) {
        let (p, cut) = (self.p, self.cut);
        let (channels, line) = self.scratch.split_at_mut(p.group_in() * cut.channel);
        let line = &mut line[..cut.row];
        let top = self.rows.start * p.rows.stride;
        let rows = channels
            .chunks_exact_mut(cut.channel)
            .flat_map(|channel| channel.chunks_exact_mut(cut.row).take(cut.reach));
        for (i, to) in rows.enumerate() {
            let (c, row) = (i / cut.reach, top + i % cut.reach);
            let Some(h) = row.checked_sub(p.rows.before).filter(|&h| h < p.x.h) else {
                zero(l, to);
                continue;
            };
            let from = &self.x[(c * p.x.h + h) * p.x.w..][..p.x.w];
            match p.cols.stride {
                1 => between(l, p, from, to),
                stride => {
                    between(l, p, from, line);
                    for (residue, to) in to.chunks_exact_mut(cut.line).enumerate() {
                        if fault!("conv2d.direct-stride-4") && residue == 3 {
                            continue;
                        }
                        for (i, to) in T::chunks_mut(to).0.iter_mut().enumerate() {
                            let from = &line[i * T::LANES * stride + residue..];
                            let reach = (T::LANES - 1) * stride + 1;
                            let x = if stride == 2 {
                                spaced::<T, L, 2>(l, &from[..reach])
                            } else {
                                spaced::<T, L, 4>(l, &from[..reach])
                            };
                            l.store(x, to);
                        }
                    }
                }
            }
        }
    }

    #[inline(always)]
    fn block<'b, L: Wide<T>>(&self, l: L, block: usize, w: &'b [T]) -> Block<'b, T, L::F, ROWS>
    where
        Self: 'b,
    {
        let p = self.p;
        let channel = |k: usize| self.channels.start + block * ROWS + k;
        let y = std::array::from_fn(|k| {
            let plane = (self.image * p.y.c + channel(k)) * p.y.h;
            let rows = plane + self.rows.start..plane + self.rows.end;
            let there = channel(k) < self.channels.end;
            // SAFETY: each task has rows of its own, which one block of channels at a time writes.
            unsafe { self.y.part(if there { rows.start * p.y.w..rows.end * p.y.w } else { 0..0 }) }
        });
        let finish = arrays::from_fn(|k| Finish::of_channel(l, self.scale, self.bias, p.relu, channel(k)));
        Block { w, finish, y }
    }

    /// `N` pieces of a block, each of which begins in a row of the band, at a column. Returns `N`.
    #[inline(always)]
    fn tile<L: Wide<T>, const N: usize>(
        &self,
        l: L,
        block: &mut Block<'_, T, L::F, ROWS>,
        at: [(usize, usize); N],
    ) -> usize {
        let p = self.p;
        let from = at.map(|(row, col)| &self.scratch[row * p.rows.stride * self.cut.row + col..]);
        let to = at.map(|(row, col)| row * p.y.w + col..row * p.y.w + p.y.w.min(col + T::LANES));
        let sums: [[L::F; N]; ROWS] = sums(l, from, self.places, block.w);
        for ((y, finish), sums) in block.y.iter_mut().zip(&block.finish).zip(sums) {
            if y.is_empty() {
                break;
            }
            for (to, sum) in to.iter().zip(sums) {
                let (y, sum) = (&mut y[to.clone()], finish.of(l, sum));
                match T::first_mut(y) {
                    Some(y) => l.store(sum, y),
                    None => l.store_first(sum, y),
                }
            }
        }
        N
    }
}

/// A row of x among its zeros, as long as `to`.
#[inline(always)]
fn between<T: Vectors, L: Wide<T>>(l: L, p: &Conv2d, from: &[T], to: &mut [T]) {
    let before = p.cols.before.min(to.len());
    let len = from.len().min(to.len() - before);
    zero(l, &mut to[..before]);
    copy(l, &from[..len], &mut to[before..before + len]);
    zero(l, &mut to[before + len..]);
}

/// The sums of a tile, in the canonical order.
#[inline(always)]
fn sums<T: Float, L: Wide<T>, const ROWS: usize, const N: usize>(
    l: L,
    from: [&[T]; N],
    places: &[i32],
    w: &[T],
) -> [[L::F; N]; ROWS] {
    let mut total = [[l.splat(T::default()); N]; ROWS];
    let (w, _) = w.as_chunks::<ROWS>();
    for (places, w) in places.chunks(CHUNK).zip(w.chunks(CHUNK)) {
        let mut sums = [[l.splat(T::default()); N]; ROWS];
        for (&place, w) in places.iter().zip(w) {
            let x = from.map(|from| l.load(T::first(&from[place as usize..]).expect("a band has all products")));
            for (sums, &w) in sums.iter_mut().zip(w) {
                let w = l.splat(w);
                for (sum, x) in sums.iter_mut().zip(x) {
                    *sum = l.fma(w, x, *sum);
                }
            }
        }
        for (total, sum) in total.as_flattened_mut().iter_mut().zip(sums.as_flattened()) {
            *total = l.add(*total, *sum);
        }
    }
    total
}

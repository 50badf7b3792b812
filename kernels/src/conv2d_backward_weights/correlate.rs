//! The gradient of the weights as a GEMM over pixels: `dw = dy·patchesᵀ`, one a group and an image.
//!
//! | images | A | B | C |
//! |---|---|---|---|
//! | NCHW | dy, k × pixels, as it lies | patches, pixels × crs, packed from the images | dw |
//! | NCHW, many more pixels than k | patches, crs × pixels, packed from the images | dy, the transpose of what lies there | the transpose of dw, put right at the end |
//! | NHWC | dy, k × pixels, the transpose of what lies there | patches, pixels × rsc, packed from the images | dw with (r, s, c) in another order, put right at the end |
//!
//! A 1×1 kernel that meets every pixel once reads the images as they lie. Images follow each other: the second adds to what
//! the first gave, so that no sum depends on the number of threads. Workspace: what a GEMM packs, and by pixels the weights.

use std::ops::Range;

use etalon_reference::ops::conv2d::Conv2d;
use etalon_reference::ops::gemm::{Activation, CHUNK, Gemm, Matrix};
use etalon_reference::ops::images::ImageLayout;

use crate::conv2d::implicit::is_pointwise;
use crate::conv2d::lower::{self, Image, Pixels, Planes};
use crate::conv2d::{Order, Products};
use crate::faults::fault;
use crate::gemm::driver::{self, Lowered, Source, Task};
use crate::gemm::epilogue::{Along, Finish};
use crate::gemm::skinny::Stream;
use crate::gemm::{Float, Tiled};
use crate::isa::wide::{Vectors, Wide, Work};
use crate::pool::Pool;
use crate::workspace::Workspace;

/// All of dw.
pub struct Correlate<'a, T> {
    /// The convolution.
    pub p: &'a Conv2d,
    /// Its images.
    pub x: &'a [T],
    /// The gradient of its outputs.
    pub dy: &'a [T],
    /// The gradient of its weights.
    pub dw: &'a mut [T],
    /// Threads.
    pub pool: &'a Pool,
    /// Memory.
    pub workspace: &'a mut Workspace,
}

impl<T: Float> Tiled<T> for Correlate<'_, T> {
    type Output = ();

    fn run<X: Stream<T = T>, L: Wide<T>>(self, tile: X, lanes: L) {
        let Correlate { p, x, dy, dw, pool, workspace } = self;
        if p.y.is_empty() {
            return dw.fill(T::default());
        }
        let taps = p.rows.taps * p.cols.taps;
        let by_pixels = p.x.layout == ImageLayout::Nhwc;
        if turns(p) {
            let (turned, inner) = workspace.slice_and_inner::<T>(dw.len());
            products(tile, lanes, p, x, dy, turned, pool, inner);
            let (k, depth) = (p.group_out(), p.depth());
            for (from, to) in turned.chunks_exact(k * depth).zip(dw.chunks_exact_mut(k * depth)) {
                lanes.enter(Transpose { from, to, rows: depth, cols: k });
            }
        } else if by_pixels && taps > 1 {
            let (by_taps, inner) = workspace.slice_and_inner::<T>(dw.len());
            products(tile, lanes, p, x, dy, by_taps, pool, inner);
            for (to, from) in dw.chunks_exact_mut(p.depth()).zip(by_taps.chunks_exact(p.depth())) {
                for (tap, from) in from.chunks_exact(p.group_in()).enumerate() {
                    to[tap..].iter_mut().step_by(taps).zip(from).for_each(|(to, &x)| *to = x);
                }
            }
        } else {
            products(tile, lanes, p, x, dy, dw, pool, workspace);
        }
    }
}

/// Pixels for each output channel from which patches are packed as rows: that needs no transposition of theirs, but one of
/// dw and of dy.
const MANY_PIXELS: usize = 4;

/// Whether [`products`] gives products × k instead of k × products.
fn turns(p: &Conv2d) -> bool {
    let pixels = p.y.n * p.y.h * p.y.w;
    p.x.layout == ImageLayout::Nchw && !is_pointwise(p) && pixels >= MANY_PIXELS * p.group_out()
}

/// k × products of each group, or their transpose.
fn products<X: Stream, L: Wide<X::T>>(
    tile: X,
    lanes: L,
    p: &Conv2d,
    x: &[X::T],
    dy: &[X::T],
    dw: &mut [X::T],
    pool: &Pool,
    workspace: &mut Workspace,
) {
    let (c, k, depth, pixels) = (p.group_in(), p.group_out(), p.depth(), p.y.h * p.y.w);
    let in_place = is_pointwise(p);
    let by_planes = p.x.layout == ImageLayout::Nchw;
    let plane = p.x.h * p.x.w;
    let nothing = Finish { scale: None, bias: None, along: Along::Rows, activation: Activation::None };
    let copied = if by_planes && !in_place { lower::copied(p) } else { 0 };
    let (copy, inner) = workspace.slice_and_inner::<X::T>(copied);
    for n in 0..p.y.n {
        let (x, dy) = (&x[n * p.x.c * plane..][..p.x.c * plane], &dy[n * p.y.c * pixels..][..p.y.c * pixels]);
        let image = if copied > 0 { Image::new(p, x, copy, pool) } else { Image::plain(p, x) };
        for g in 0..p.groups {
            let dw = &mut dw[g * k * depth..][..k * depth];
            let planes =
                Planes { lanes, p, x: image, channel: g * c, products: Products::new(p, Order::ChannelsFirst) };
            let turns = turns(p);
            let columns = Columns { planes: &planes };
            let patches = Pixels { p, x, channel: g * c };
            let (a, a_at, b, b_at) = match p.x.layout {
                ImageLayout::Nchw if in_place => {
                    let a = Source::Plain(&dy[g * k * pixels..]);
                    (a, (pixels, 1), Source::Plain(&x[g * c * plane..]), (1, pixels))
                }
                ImageLayout::Nchw if turns => {
                    (Source::Lowered(&planes), (pixels, 1), Source::Plain(&dy[g * k * pixels..]), (1, pixels))
                }
                ImageLayout::Nchw => {
                    (Source::Plain(&dy[g * k * pixels..]), (pixels, 1), Source::Lowered(&columns), (depth, 1))
                }
                ImageLayout::Nhwc => {
                    let a = Source::Plain(&dy[g * k..]);
                    let b = if in_place { Source::Plain(&x[g * c..]) } else { Source::Lowered(&patches) };
                    (a, (1, p.y.c), b, (if in_place { p.x.c } else { depth }, 1))
                }
            };
            let matrix = |(row, col)| Matrix { row, col, batch: 0 };
            let (rows, cols) = if turns { (depth, k) } else { (k, depth) };
            let gemm = Gemm {
                m: rows,
                n: cols,
                k: pixels,
                batch: 1,
                a: matrix(a_at),
                b: matrix(b_at),
                c: matrix((cols, 1)),
                alpha: 1.0,
                beta: if n == 0 || fault!("conv2d_backward_weights.fifth-image") && n == 4 { 0.0 } else { 1.0 },
                bias: false,
                activation: Activation::None,
            };
            let task = Task { p: &gemm, a, b, finish: nothing };
            driver::gemm(tile, &task, dw, pool, inner);
        }
    }
}

/// The patches of an image by planes, transposed: pixels × crs.
struct Columns<'a, T, L> {
    planes: &'a Planes<'a, T, L>,
}

impl<T: Float, L: Wide<T>> Lowered<T> for Columns<'_, T, L> {
    fn write(&self, z: usize, rows: Range<usize>, cols: Range<usize>, width: usize, line: usize, to: &mut [T]) {
        self.planes.lanes.enter(WriteColumns { planes: self.planes, z, rows, cols, width, line, to });
    }
}

struct WriteColumns<'a, T, L> {
    planes: &'a Planes<'a, T, L>,
    z: usize,
    rows: Range<usize>,
    cols: Range<usize>,
    width: usize,
    line: usize,
    to: &'a mut [T],
}

/// Pixels of a line that is to be transposed: a chunk's, and a cache line or two more, so that lines start in different
/// sets.
const STAGED: usize = CHUNK + 16;

impl<T: Float, K: Wide<T>> Work<T> for WriteColumns<'_, T, K> {
    type Output = ();

    #[inline(always)]
    fn run<L: Wide<T>>(self, l: L) {
        let WriteColumns { planes, z, rows, cols, width, line, to } = self;
        let mut staged = T::lanes(|_| [T::default(); STAGED]);
        let staged = staged.as_mut().as_flattened_mut();
        for first in (0..width).step_by(T::LANES) {
            let count = T::LANES.min(cols.len().saturating_sub(first));
            let own = cols.start + first.min(cols.len());
            let filled = rows.len().next_multiple_of(T::LANES);
            if count > 0 {
                planes.write(z, own..own + count, rows.clone(), filled, STAGED, staged);
            }
            for pixel in (0..rows.len()).step_by(T::LANES) {
                let square = l.transpose(T::lanes(|i| {
                    if i < count {
                        l.load(T::first(&staged[i * STAGED + pixel..]).expect("a line's pixels"))
                    } else {
                        l.splat(T::default())
                    }
                }));
                let most = T::LANES.min(rows.len() - pixel);
                for (i, x) in square.into_iter().enumerate().take(most) {
                    let to = &mut to[(pixel + i) * line + first..][..T::LANES.min(width - first)];
                    l.store_first(x, to);
                }
            }
        }
    }
}

/// The transpose of `rows` × `cols` elements.
pub struct Transpose<'a, T> {
    /// Rows without gaps.
    pub from: &'a [T],
    /// The same for the transpose.
    pub to: &'a mut [T],
    /// Rows that there are.
    pub rows: usize,
    /// Columns that there are.
    pub cols: usize,
}

impl<T: Vectors> Work<T> for Transpose<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<L: Wide<T>>(self, l: L) {
        let Transpose { from, to, rows, cols } = self;
        for j in (0..cols).step_by(T::LANES) {
            let width = T::LANES.min(cols - j);
            for i in (0..rows).step_by(T::LANES) {
                let height = T::LANES.min(rows - i);
                if fault!("conv2d_backward_weights.transpose-tail") && height < T::LANES && j > 0 {
                    continue;
                }
                let square = l.transpose(T::lanes(|row| {
                    if row < height {
                        l.load_first(&from[(i + row) * cols + j..][..width])
                    } else {
                        l.splat(T::default())
                    }
                }));
                for (col, x) in square.into_iter().enumerate().take(width) {
                    l.store_first(x, &mut to[(j + col) * rows + i..][..height]);
                }
            }
        }
    }
}

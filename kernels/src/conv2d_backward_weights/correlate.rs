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
use crate::conv2d::lower::{Image, Pixels, Planes};
use crate::conv2d::{Order, Products};
use crate::faults::fault;
use crate::gemm::driver::{self, Lowered, Source, Task};
use crate::gemm::epilogue::{Along, Finish};
use crate::gemm::skinny::Stream;
use crate::isa::wide::{LANES, Wide, Work};
use crate::pool::Pool;
use crate::workspace::Workspace;

/// All of dw.
pub fn correlate<X: Stream<T = f32>, L: Wide>(
    tile: X,
    lanes: L,
    p: &Conv2d,
    x: &[f32],
    dy: &[f32],
    dw: &mut [f32],
    pool: &Pool,
    workspace: &mut Workspace,
) {
    if p.y.is_empty() {
        return dw.fill(0.0);
    }
    let taps = p.rows.taps * p.cols.taps;
    let by_pixels = p.x.layout == ImageLayout::Nhwc;
    if turns(p) {
        let (turned, inner) = workspace.slice_and_inner::<f32>(dw.len());
        products(tile, lanes, p, x, dy, turned, pool, inner);
        let (k, depth) = (p.group_out(), p.depth());
        for (from, to) in turned.chunks_exact(k * depth).zip(dw.chunks_exact_mut(k * depth)) {
            lanes.enter(Transpose { from, to, rows: depth, cols: k });
        }
    } else if by_pixels && taps > 1 {
        let (by_taps, inner) = workspace.slice_and_inner::<f32>(dw.len());
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

/// Pixels for each output channel from which patches are packed as rows: that needs no transposition of theirs, but one of
/// dw and of dy.
const MANY_PIXELS: usize = 4;

/// Whether [`products`] gives products × k instead of k × products.
fn turns(p: &Conv2d) -> bool {
    let pixels = p.y.n * p.y.h * p.y.w;
    p.x.layout == ImageLayout::Nchw && !is_pointwise(p) && pixels >= MANY_PIXELS * p.group_out()
}

/// k × products of each group, or their transpose.
fn products<X: Stream<T = f32>, L: Wide>(
    tile: X,
    lanes: L,
    p: &Conv2d,
    x: &[f32],
    dy: &[f32],
    dw: &mut [f32],
    pool: &Pool,
    workspace: &mut Workspace,
) {
    let (c, k, depth, pixels) = (p.group_in(), p.group_out(), p.depth(), p.y.h * p.y.w);
    let in_place = is_pointwise(p);
    let by_planes = p.x.layout == ImageLayout::Nchw;
    let plane = p.x.h * p.x.w;
    let nothing = Finish { scale: None, bias: None, along: Along::Rows, activation: Activation::None };
    let copied = if by_planes && !in_place { Image::copied(p) } else { 0 };
    let (copy, inner) = workspace.slice_and_inner::<f32>(copied);
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
struct Columns<'a, L> {
    planes: &'a Planes<'a, L>,
}

impl<L: Wide> Lowered<f32> for Columns<'_, L> {
    fn write(&self, z: usize, rows: Range<usize>, cols: Range<usize>, width: usize, line: usize, to: &mut [f32]) {
        self.planes.lanes.enter(WriteColumns { planes: self.planes, z, rows, cols, width, line, to });
    }
}

struct WriteColumns<'a, L> {
    planes: &'a Planes<'a, L>,
    z: usize,
    rows: Range<usize>,
    cols: Range<usize>,
    width: usize,
    line: usize,
    to: &'a mut [f32],
}

/// Pixels of a line that is to be transposed: a chunk's, and a cache line more, so that lines start in different sets.
const STAGED: usize = CHUNK + LANES;

impl<K: Wide> Work for WriteColumns<'_, K> {
    type Output = ();

    #[inline(always)]
    fn run<L: Wide>(self, l: L) {
        let WriteColumns { planes, z, rows, cols, width, line, to } = self;
        let mut staged = [0.0f32; LANES * STAGED];
        for first in (0..width).step_by(LANES) {
            let count = LANES.min(cols.len().saturating_sub(first));
            let own = cols.start + first.min(cols.len());
            let filled = rows.len().next_multiple_of(LANES);
            if count > 0 {
                planes.write(z, own..own + count, rows.clone(), filled, STAGED, &mut staged);
            }
            for pixel in (0..rows.len()).step_by(LANES) {
                let square = l.transpose(std::array::from_fn(|i| {
                    if i < count {
                        l.load(staged[i * STAGED + pixel..].first_chunk().expect("a line's pixels"))
                    } else {
                        l.splat(0.0)
                    }
                }));
                let most = LANES.min(rows.len() - pixel);
                for (i, x) in square.into_iter().enumerate().take(most) {
                    let to = &mut to[(pixel + i) * line + first..][..LANES.min(width - first)];
                    l.store_first(x, to);
                }
            }
        }
    }
}

/// The transpose of `rows` × `cols` elements.
struct Transpose<'a> {
    from: &'a [f32],
    to: &'a mut [f32],
    rows: usize,
    cols: usize,
}

impl Work for Transpose<'_> {
    type Output = ();

    #[inline(always)]
    fn run<L: Wide>(self, l: L) {
        let Transpose { from, to, rows, cols } = self;
        for j in (0..cols).step_by(LANES) {
            let width = LANES.min(cols - j);
            for i in (0..rows).step_by(LANES) {
                let height = LANES.min(rows - i);
                if fault!("conv2d_backward_weights.transpose-tail") && height < LANES && j > 0 {
                    continue;
                }
                let square = l.transpose(std::array::from_fn(|row| {
                    if row < height { l.load_first(&from[(i + row) * cols + j..][..width]) } else { l.splat(0.0) }
                }));
                for (col, x) in square.into_iter().enumerate().take(width) {
                    l.store_first(x, &mut to[(j + col) * rows + i..][..height]);
                }
            }
        }
    }
}

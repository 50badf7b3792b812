//! Convolution as a GEMM whose patches are packed from the images, panel by panel: there is no matrix of patches.
//!
//! | images | C | A | B |
//! |---|---|---|---|
//! | NCHW | k × pixels, along the planes of y | weights, k × crs, as they lie | patches, crs × pixels |
//! | NHWC | pixels × k | patches, pixels × rsc | weights, rsc × k, packed |
//!
//! A 1×1 kernel that meets every pixel once reads the images as they lie.

use etalon_reference::ops::conv2d::Conv2d;
use etalon_reference::ops::gemm::{Activation, Gemm, Matrix};

use super::by_planes;
use super::lower::{Filters, Image, Pixels, Planes, copied};
use super::operands::{Operands, Order, Products, finish};
use crate::faults::fault;
use crate::gemm::driver::{self, Source, Task};
use crate::gemm::epilogue::Along;
use crate::gemm::skinny::Stream;
use crate::isa::wide::Wide;
use crate::pool::Pool;
use crate::workspace::Workspace;

/// All outputs, one GEMM a group.
pub fn convolve<X: Stream, L: Wide<X::T>>(
    tile: X,
    lanes: L,
    p: &Conv2d,
    o: Operands<'_, X::T>,
    pool: &Pool,
    workspace: &mut Workspace,
) {
    let in_place = is_pointwise(p);
    if by_planes(p) && !in_place {
        return images(tile, lanes, p, o, pool, workspace);
    }
    // The weights of a 1×1 kernel, or by taps, are the transpose of B; others are packed from a function.
    let transposed = in_place || o.order == Order::TapsFirst;
    let mut gemm = if by_planes(p) { of_planes(p) } else { of_pixels(p, transposed) };
    if o.order == Order::Exchanged {
        // k × c of a group, as they lie.
        let (w, out) = if by_planes(p) { (&mut gemm.a, 1) } else { (&mut gemm.b, p.group_out()) };
        let other = if by_planes(p) { p.group_out() } else { 1 };
        *w = Matrix { row: out, col: other, batch: 0 };
    }
    let (c, k, depth) = (p.group_in(), p.group_out(), p.depth());
    for g in 0..p.groups {
        let of = if fault!("conv2d.third-group") && g == 2 { 1 } else { g };
        let w = &o.w[of * k * depth..][..k * depth];
        if by_planes(p) {
            let b = Source::Plain(&o.x[g * c * p.x.h * p.x.w..]);
            let finish = finish(p, o.scale, o.bias, g, Along::Rows);
            let y = &mut o.y[g * k * p.y.h * p.y.w..];
            driver::gemm(tile, &Task { p: &gemm, a: Source::Plain(w), b, finish }, y, pool, workspace);
        } else {
            let pixels = Pixels { p, x: o.x, channel: g * c };
            let filters = Filters { p, w };
            let a = if in_place { Source::Plain(&o.x[g * c..]) } else { Source::Lowered(&pixels) };
            let b = if transposed { Source::Plain(w) } else { Source::Lowered(&filters) };
            let finish = finish(p, o.scale, o.bias, g, Along::Columns);
            driver::gemm(tile, &Task { p: &gemm, a, b, finish }, &mut o.y[g * k..], pool, workspace);
        }
    }
}

/// One image by planes after the other, each among its zeros: workspace for one.
fn images<X: Stream, L: Wide<X::T>>(
    tile: X,
    lanes: L,
    p: &Conv2d,
    o: Operands<'_, X::T>,
    pool: &Pool,
    workspace: &mut Workspace,
) {
    let gemm = Gemm { batch: 1, ..of_planes(p) };
    let products = Products::new(p, o.order);
    let (c, k, depth) = (p.group_in(), p.group_out(), p.depth());
    let (plane, pixels) = (p.x.h * p.x.w, p.y.h * p.y.w);
    let (copy, inner) = workspace.slice_and_inner::<X::T>(copied(p));
    let x = if fault!("conv2d.fifth-image") { &o.x[..o.x.len().min(4 * p.x.c * plane)] } else { o.x };
    for (x, y) in x.chunks_exact(p.x.c * plane).zip(o.y.chunks_exact_mut(p.y.c * pixels)) {
        let x = Image::new(p, x, copy, pool);
        for g in 0..p.groups {
            let w = &o.w[g * k * depth..][..k * depth];
            let planes = Planes { lanes, p, x, channel: g * c, products };
            let finish = finish(p, o.scale, o.bias, g, Along::Rows);
            let task = Task { p: &gemm, a: Source::Plain(w), b: Source::Lowered(&planes), finish };
            driver::gemm(tile, &task, &mut y[g * k * pixels..], pool, inner);
        }
    }
}

/// Whether the patches are the image.
pub fn is_pointwise(p: &Conv2d) -> bool {
    [&p.rows, &p.cols].iter().all(|w| (w.taps, w.stride, w.before, w.after) == (1, 1, 0, 0))
}

/// The GEMM of a group where planes lie together.
pub fn of_planes(p: &Conv2d) -> Gemm {
    let (pixels, depth) = (p.y.h * p.y.w, p.depth());
    Gemm {
        m: p.group_out(),
        n: pixels,
        k: depth,
        a: Matrix { row: depth, col: 1, batch: 0 },
        b: Matrix { row: pixels, col: 1, batch: p.x.c * p.x.h * p.x.w },
        c: Matrix { row: pixels, col: 1, batch: p.y.c * pixels },
        ..plain(p)
    }
}

/// The GEMM of a group where the channels of a pixel lie together.
fn of_pixels(p: &Conv2d, transposed: bool) -> Gemm {
    let (pixels, depth) = (p.y.h * p.y.w, p.depth());
    let (row, col) = if transposed { (1, depth) } else { (p.group_out(), 1) };
    Gemm {
        m: pixels,
        n: p.group_out(),
        k: depth,
        a: Matrix { row: p.x.c, col: 1, batch: p.x.h * p.x.w * p.x.c },
        b: Matrix { row, col, batch: 0 },
        c: Matrix { row: p.y.c, col: 1, batch: pixels * p.y.c },
        ..plain(p)
    }
}

/// `C = A·B` for each image.
fn plain(p: &Conv2d) -> Gemm {
    let nowhere = Matrix { row: 0, col: 1, batch: 0 };
    Gemm {
        m: 0,
        n: 0,
        k: 0,
        batch: p.x.n,
        a: nowhere,
        b: nowhere,
        c: nowhere,
        alpha: 1.0,
        beta: 0.0,
        bias: false,
        activation: Activation::None,
    }
}

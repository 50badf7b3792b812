//! From operands to tiles: see [`dotted`](crate::dotted). Groups are matrices that lie side by side.

use etalon_reference::ops::conv2d_int8::Conv2dInt8;
use etalon_reference::ops::images::ImageLayout;

use super::pack::Patches;
use super::turn::turn;
use crate::dotted::driver::{self, Cut, Place};
use crate::dotted::{PackedB, Shape, Size};
use crate::isa::dot::Integers;
use crate::matmul_int8::driver::{Columns, OPERATIONS_A_NS, Whole};
use crate::matmul_int8::{Left, Operands, Out};
use crate::pool::Pool;
use crate::workspace::Workspace;

/// The sizes of the products: one per group.
pub fn size(p: &Conv2dInt8) -> Size {
    let conv = &p.conv;
    Size { m: conv.y.count(), n: conv.group_out(), k: conv.depth(), batch: conv.groups, of_b: conv.groups }
}

/// All outputs.
pub fn convolve<D: Integers, A: Left, O: Out>(
    d: D,
    p: &Conv2dInt8,
    x: Operands<'_, A, O>,
    packed: &PackedB,
    pool: &Pool,
    workspace: &mut Workspace,
) {
    by_pixels(p, x, pool, workspace, |x, workspace| pixels(d, p, x, packed, pool, workspace));
}

/// Runs `body` with images and outputs by pixels: as they are, or turned before and turned back behind it.
pub fn by_pixels<A: Left, O: Out>(
    p: &Conv2dInt8,
    x: Operands<'_, A, O>,
    pool: &Pool,
    workspace: &mut Workspace,
    body: impl FnOnce(Operands<'_, A, O>, &mut Workspace),
) {
    if x.out.is_empty() {
        return;
    }
    if p.conv.x.layout == ImageLayout::Nhwc {
        return body(x, workspace);
    }
    let (images, outputs) = (&p.conv.x, &p.conv.y);
    let (a, workspace) = workspace.slice_and_inner::<A>(x.a.len());
    let (y, workspace) = workspace.slice_and_inner::<O>(x.out.len());
    turn(pool, x.a, images.c, images.h * images.w, a);
    body(Operands { a, out: &mut *y, ..x }, workspace);
    turn(pool, y, outputs.h * outputs.w, outputs.c, x.out);
}

/// Of images by pixels.
fn pixels<D: Integers, A: Left, O: Out>(
    d: D,
    p: &Conv2dInt8,
    x: Operands<'_, A, O>,
    packed: &PackedB,
    pool: &Pool,
    workspace: &mut Workspace,
) {
    let size = size(p);
    let cut = Cut::new::<D>(&size, pool.threads_for(size.operations() / OPERATIONS_A_NS));
    let columns = size.batch * Shape::new::<D>(&size).columns();
    let lens = [columns, columns, cut.scratch()];
    let ([constants, zeros, scratch], [scales]) = workspace.slices2::<i32, f32, 3, 1>(lens, [columns]);
    let pad = x.za.first().copied().unwrap_or_default();
    let patches = Patches { p, x: x.a, w: x.b, pad, sums_rows: !x.zb.is_empty() };
    let columns = Columns::new(d, &size, &x, &packed.sums, constants, zeros, scales);
    let finish = Whole::new(&x, p.relu, columns);
    let place = Place { row: p.conv.y.c, batch: size.n };
    driver::tiles(d, &size, &cut, (&patches, &packed.words, &finish), (x.out, place), scratch, (pool, false));
}

//! Weights made f32 while they are packed, and GEMM's tiles: GEMM's canonical order.

use std::ops::Range;

use etalon_reference::ops::gemm::{CHUNK, Gemm, Matrix};
use etalon_reference::ops::matmul_nbits::MatmulNbits;
use etalon_reference::{Element, Threshold};

use super::Operands;
use crate::disjoint::chunks;
use crate::faults::fault;
use crate::gemm::DEPTH;
use crate::gemm::driver::{self, Lowered, Source, Task};
use crate::gemm::epilogue::{Along, Finish};
use crate::gemm::skinny::Stream;
use crate::gemm::widened::{BLOCK, Line, ROWS, Round, Widened};
use crate::isa::arrays;
use crate::isa::narrow::{Convert, Job, Narrow, enter};
use crate::isa::wide::LANES;
use crate::pool::Pool;
use crate::workspace::Workspace;

/// Elements that one task rounds, about.
const ROUNDED: usize = 1 << 14;

/// Blocks of rows, of columns and of the depth, squares, and blocks of a bf16 output.
pub const THRESHOLDS: &[Threshold] = &[
    Threshold::axis("m", driver::mc::<f32>() as i64),
    Threshold::axis("n", driver::nc::<f32>(1) as i64),
    Threshold::axis("n", LANES as i64),
    Threshold::axis("k", LANES as i64),
    Threshold::axis("k", CHUNK as i64),
    Threshold::axis("k", DEPTH as i64),
    Threshold::axis("group", LANES as i64),
    Threshold::bytes("out", size_of::<half::bf16>() * BLOCK),
];

/// The product of f32.
fn product(p: &MatmulNbits) -> Gemm {
    let lines = |cols: usize| Matrix { row: cols.max(1), col: 1, batch: 0 };
    let mut gemm = Gemm::new(p.m, p.n, p.k).expect("the sizes fit");
    (gemm.a, gemm.b, gemm.bias) = (lines(p.k), lines(p.n), p.bias);
    gemm
}

/// All outputs.
pub fn matmul<X: Stream<T = f32>, L: Convert, E: Narrow>(
    (tile, l): (X, L),
    p: &MatmulNbits,
    x: Operands<'_, E, E>,
    pool: &Pool,
    workspace: &mut Workspace,
) {
    if p.m == 0 || p.n == 0 {
        return;
    }
    let whole = product(p);
    let rows = if E::DTYPE == f32::DTYPE { p.m } else { (BLOCK / p.n).max(ROWS).min(p.m) };
    let block = if E::DTYPE == f32::DTYPE { 0 } else { rows * p.n };
    let (scratch, inner) = workspace.slice_and_inner::<f32>(x.bias.len() + block);
    let (bias, block) = scratch.split_at_mut(x.bias.len());
    enter(l, Line { from: x.bias, to: bias });
    let bias = p.bias.then_some(&*bias);
    let finish = Finish { scale: None, bias, along: Along::Columns, activation: whole.activation };
    let weights = Weights { l, p, w: x.w, scale: x.scale, zero: x.zero };
    let b = Source::Lowered(&weights);
    if let (Some(a), Some(c)) =
        (<f32 as Element>::slice(E::erase(x.a)), <f32 as Element>::slice_mut(E::erase_mut(x.out)))
    {
        return driver::gemm(tile, &Task { p: &whole, a: Source::Plain(a), b, finish }, c, pool, inner);
    }
    for top in (0..p.m).step_by(rows) {
        let m = rows.min(p.m - top);
        let part = Gemm { m, ..whole.clone() };
        let (a, c) = (&x.a[top * p.k..], &mut block[..m * p.n]);
        let a = Widened { l, x: a, at: whole.a };
        driver::gemm(tile, &Task { p: &part, a: Source::Lowered(&a), b, finish }, c, pool, inner);
        chunks(pool, &mut x.out[top * p.n..][..m * p.n], ROUNDED, |first, to| {
            enter(l, Round { from: &c[first..][..to.len()], to });
        });
    }
}

/// The weights as f32, k×n.
struct Weights<'a, L, S> {
    l: L,
    p: &'a MatmulNbits,
    w: &'a [u8],
    scale: &'a [S],
    zero: &'a [u8],
}

impl<L: Convert, S: Narrow> Lowered<f32> for Weights<'_, L, S> {
    fn write(&self, _: usize, rows: Range<usize>, cols: Range<usize>, width: usize, line: usize, to: &mut [f32]) {
        enter(self.l, Write { weights: self, rows, cols, width, line, to });
    }
}

struct Write<'a, 'w, L, S> {
    weights: &'a Weights<'w, L, S>,
    rows: Range<usize>,
    cols: Range<usize>,
    width: usize,
    line: usize,
    to: &'a mut [f32],
}

impl<L: Copy, S: Narrow> Job for Write<'_, '_, L, S> {
    type Output = ();

    /// Squares of sixteen rows of weights are transposed.
    #[inline(always)]
    fn run<C: Convert>(self, l: C) {
        let Write { weights, rows, cols, width, line, to } = self;
        for (k, to) in rows.clone().step_by(LANES).zip(to.chunks_mut(LANES * line)) {
            let count = LANES.min(rows.end - k);
            for left in (0..width).step_by(LANES) {
                let square = arrays::from_fn(|j| match cols.start + left + j {
                    j if j < cols.end => l.load(&weights.sixteen(j, k, count)),
                    _ => l.splat(0.0),
                });
                for (x, to) in l.transpose(square).into_iter().zip(to.chunks_mut(line)).take(count) {
                    l.store_first(x, &mut to[left..width.min(left + LANES)]);
                }
            }
        }
    }
}

impl<L, S: Narrow> Weights<'_, L, S> {
    /// `count` neighbours of row `j`, from column `k` on; zeros behind them.
    #[inline(always)]
    fn sixteen(&self, j: usize, k: usize, count: usize) -> [f32; LANES] {
        let (p, groups) = (self.p, self.p.groups());
        let row = &self.w[j * p.line()..][..p.line()];
        let of_group = |g: usize| {
            let at = j * groups + if fault!("matmul_nbits.second-group") && g == 1 { 0 } else { g };
            (self.scale[at].widened(), f32::from(self.zero.get(at).copied().unwrap_or(p.middle())))
        };
        let (first, last) = (k / p.group, (k + count - 1) / p.group);
        if let (4, 0, LANES, true, Some(bytes)) =
            (p.bits, k % 2, count, first == last, row.get(k / 2..).and_then(<[u8]>::first_chunk::<{ LANES / 2 }>))
        {
            let (scale, zero) = of_group(first);
            return arrays::from_fn(|i| (f32::from(bytes[i / 2] >> (4 * (i % 2)) & 15) - zero) * scale);
        }
        arrays::from_fn(|i| match i < count {
            true => {
                let (scale, zero) = of_group((k + i) / p.group);
                (f32::from(p.code(row, k + i)) - zero) * scale
            }
            false => 0.0,
        })
    }
}

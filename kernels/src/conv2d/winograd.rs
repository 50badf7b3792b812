//! Winograd's F(m×m, 3×3) of images by planes: n² products a tile, n = m + 2, instead of 9m², as n² GEMMs.
//!
//! ```text
//! for each block of tiles (its transformed inputs stay in the second cache, or near it):
//!   V[ξ][c][tile] = (Bᵀ·d·B)[ξ]                     sixteen tiles side by side
//!   for each panel of NR output channels:
//!     for each chunk of DEPTH input channels:
//!       U[ξ][c][k] = (G·g·Gᵀ)[ξ]                    sixteen output channels side by side
//!       for each of the n² points ξ:
//!         M[ξ][tile][k] += V[ξ]ᵀ·U[ξ]               the tiles of GEMM: rows are tiles
//!     y = finish(Aᵀ·M·A)                            sixteen output channels side by side
//! ```
//! Weights are transformed anew for each block: that costs less than to read the n²/9 times larger transformed ones.
//!
//! Workspace a thread: [`workspace_elements`].

use std::ops::Range;

use etalon_reference::operator::downcast;
use etalon_reference::ops::conv2d::Conv2d;
use etalon_reference::ops::winograd;
use etalon_reference::{DType, Problem};

use super::operands::{Operands, Order, finish};
use super::transform::{Inputs, Weights, output};
use crate::disjoint::Disjoint;
use crate::gemm::epilogue::{Along, Finish, Fold};
use crate::gemm::skinny::Stream;
use crate::gemm::tile::Block;
use crate::isa::tile::{Ahead, Operands as Tiles};
use crate::isa::wide::{LANES, Wide, Work};
use crate::pool::Pool;
use crate::workspace::Workspace;
use etalon_reference::ops::gemm::Activation;

/// Input channels whose weights are transformed at a time.
pub const DEPTH: usize = 128;
/// Bytes of a block's transformed inputs, about.
const BLOCK_BYTES: usize = 1 << 20;
/// Tiles of a block at least: fewer would not pay for the transformation of the weights.
const FEW_TILES: usize = 48;
/// Elements between the matrices of two points beyond their contents, so that they start in different sets of a cache.
pub const PAD: usize = 16;
/// Direct operations of one thread in a nanosecond, about.
const FLOPS_A_NS: f64 = 200.0;
/// Elements of a row of a tile that are read together.
pub const HALF: usize = LANES / 2;

/// Images by planes, 3×3, stride and dilation 1.
pub fn supports(problem: &dyn Problem, _: DType) -> Result<(), String> {
    super::planes_only(problem)?;
    winograd::fits(downcast(problem)).map_err(Into::into)
}

/// How a problem is cut.
#[derive(Clone, Copy, Debug)]
pub struct Cut {
    /// Tiles across the image.
    pub across: usize,
    /// Tiles of an image.
    pub tiles: usize,
    /// Tiles of a block, a multiple of LANES.
    pub block: usize,
    /// Blocks of an image.
    pub blocks: usize,
    /// Elements of a line of staged input.
    pub line: usize,
    /// Output channels of a panel.
    pub panel: usize,
}

impl Cut {
    fn new<const M: usize, const N: usize>(p: &Conv2d, panel: usize) -> Cut {
        let (down, across) = (p.y.h.div_ceil(M), p.y.w.div_ceil(M));
        let tiles = down * across;
        let fit = BLOCK_BYTES / (N * N * size_of::<f32>() * p.group_in());
        let blocks = tiles.div_ceil(fit.max(FEW_TILES));
        let block = tiles.div_ceil(blocks).next_multiple_of(LANES);
        let line = (across.min(LANES) * M + HALF).next_multiple_of(LANES);
        Cut { across, tiles, block, blocks: tiles.div_ceil(block), line, panel }
    }

    /// Elements of the buffers for V, U, M and staged input rows.
    fn lens<const N: usize>(&self, p: &Conv2d) -> [usize; 4] {
        // Sixteen tiles lie in at most so many rows of tiles.
        let rows = LANES.min(LANES.div_ceil(self.across) + 1);
        [
            N * N * (p.group_in() * self.block + PAD),
            N * N * (DEPTH.min(p.group_in()) * self.panel + PAD),
            N * N * (self.block * self.panel + PAD),
            rows * N * self.line,
        ]
    }
}

/// Elements of workspace a thread: `n²·(c·t + 128·NR + t·NR)` and a few rows of the input, for t tiles: about 1 MiB's worth of
/// inputs, at least 48.
fn workspace_elements<const N: usize>(cut: &Cut, p: &Conv2d) -> usize {
    cut.lens::<N>(p).iter().map(|len| len.next_multiple_of(LANES)).sum()
}

/// All outputs.
pub fn convolve<X: Stream<T = f32>, L: Wide, const M: usize, const N: usize>(
    tile: X,
    lanes: L,
    p: &Conv2d,
    o: Operands<'_, f32>,
    pool: &Pool,
    workspace: &mut Workspace,
) {
    let cut = Cut::new::<M, N>(p, X::NR);
    let flops = 2.0 * p.y.len() as f64 * p.depth() as f64;
    let threads = pool.threads_for((flops / FLOPS_A_NS) as u64);
    let panels = p.group_out().div_ceil(X::NR);
    let pieces = p.x.n * p.groups * cut.blocks;
    // Few blocks: several threads share one, each with some of its output channels.
    let shares = if pieces >= threads { 1 } else { threads.div_ceil(pieces).min(panels) };
    let tasks = pieces * shares;
    let each = workspace_elements::<N>(&cut, p);
    let scratch = Disjoint::new(workspace.slice::<f32>(each * threads.min(tasks)));
    let y = Disjoint::new(o.y);
    let body = |task: usize, worker: usize| {
        let (piece, share) = (task / shares, task % shares);
        let (image, block) = (piece / cut.blocks, piece % cut.blocks);
        let first = block * cut.block;
        // SAFETY: a worker runs one task at a time, and no other worker has its index.
        let scratch = unsafe { scratch.part(worker * each..(worker + 1) * each) };
        let task = Piece {
            p,
            cut: &cut,
            image: image / p.groups,
            group: image % p.groups,
            tiles: first..cut.tiles.min(first + cut.block),
            panels: panels * share / shares..panels * (share + 1) / shares,
            finish: finish(p, o.scale, o.bias, image % p.groups, Along::Rows),
            order: o.order,
        };
        task.compute::<X, L, M, N>(tile, lanes, o.x, o.w, &y, scratch);
    };
    if threads == 1 || tasks == 1 {
        (0..tasks).for_each(|task| body(task, 0));
    } else if tasks >= threads {
        pool.run(tasks, body);
    } else {
        pool.run(tasks, |task, _| body(task, task));
    }
}

/// A block of tiles of a group of an image, and some panels of its output channels.
pub struct Piece<'a> {
    /// The problem.
    pub p: &'a Conv2d,
    /// How it is cut.
    pub cut: &'a Cut,
    /// The image.
    pub image: usize,
    /// The group.
    pub group: usize,
    /// Tiles of the image.
    pub tiles: Range<usize>,
    /// Panels of the group's output channels.
    pub panels: Range<usize>,
    /// What becomes of the sums.
    pub finish: Finish<'a, f32>,
    /// How the weights lie.
    pub order: Order,
}

impl Piece<'_> {
    fn compute<X: Stream<T = f32>, L: Wide, const M: usize, const N: usize>(
        &self,
        tile: X,
        l: L,
        x: &[f32],
        w: &[f32],
        y: &Disjoint<'_, f32>,
        mut scratch: &mut [f32],
    ) {
        let (p, c) = (self.p, self.p.group_in());
        let [v, u, m, staged] = self.cut.lens::<N>(p).map(|len| {
            let (part, rest) = std::mem::take(&mut scratch).split_at_mut(len.next_multiple_of(LANES));
            scratch = rest;
            part
        });
        let plane = p.x.h * p.x.w;
        let x = &x[(self.image * p.x.c + self.group * c) * plane..][..c * plane];
        let block = self.cut.block;
        l.enter(Inputs::<M, N> { piece: self, x, staged, v });
        let nothing = Finish { scale: None, bias: None, along: Along::Rows, activation: Activation::None };
        for panel in self.panels.clone() {
            let k = panel * X::NR..p.group_out().min((panel + 1) * X::NR);
            for c0 in (0..c).step_by(DEPTH) {
                let depth = DEPTH.min(c - c0);
                let w = &w[(self.group * p.group_out() + k.start) * c * 9..][..k.len() * c * 9];
                l.enter(Weights::<M, N> { w, channels: c, order: self.order, chunk: c0..c0 + depth, panel: X::NR, u });
                let fold = Fold { alpha: 1.0, beta: 0.0, first: c0 == 0, last: false, finish: nothing };
                for point in 0..N * N {
                    let v = &v[point * (c * block + PAD) + c0 * block..][..depth * block];
                    let u = &u[point * (DEPTH.min(c) * X::NR + PAD)..][..depth * X::NR];
                    let m = &mut m[point * (block * X::NR + PAD)..][..block * X::NR];
                    let m = Disjoint::new(m);
                    // SAFETY: nothing else reaches M while the tiles write it.
                    let mut out = unsafe { Block::new(&m, 0, X::NR) };
                    for i in (0..self.tiles.len()).step_by(X::MR) {
                        let rows = X::MR.min(self.tiles.len() - i);
                        let operands = Tiles {
                            a: &v[i..],
                            a_row: 1,
                            a_step: block,
                            b: u,
                            b_step: X::NR,
                            k: depth,
                            ahead: Ahead::none(u),
                        };
                        tile.run(operands, rows, X::NR, &mut out.at(i, 0), &fold);
                    }
                }
            }
            if M == 6 {
                l.enter(Outputs::<M, N, 48> { piece: self, k, m, y });
            } else {
                l.enter(Outputs::<M, N, 16> { piece: self, k, m, y });
            }
        }
    }
}

/// Transforms sums to outputs: m² of a tile, in `PIXELS` places, a multiple of sixteen.
struct Outputs<'a, 'y, const M: usize, const N: usize, const PIXELS: usize> {
    piece: &'a Piece<'a>,
    /// Output channels of the group.
    k: Range<usize>,
    m: &'a [f32],
    y: &'a Disjoint<'y, f32>,
}

impl<const M: usize, const N: usize, const PIXELS: usize> Work for Outputs<'_, '_, M, N, PIXELS> {
    type Output = ();

    #[inline(always)]
    fn run<L: Wide>(self, l: L) {
        let Outputs { piece: Piece { p, cut, tiles, image, group, finish, .. }, k, m, y } = self;
        let step = cut.block * cut.panel + PAD;
        let plane = p.y.h * p.y.w;
        let mut lines = [[0.0f32; PIXELS]; LANES];
        for k0 in k.clone().step_by(LANES) {
            let count = LANES.min(k.end - k0);
            let vector = |of: Option<&[f32]>| of.map(|of| l.load_first(&of[k0..k0 + count]));
            let (scale, bias) = (vector(finish.scale), vector(finish.bias));
            let relu = finish.activation == Activation::Relu;
            let channel = (image * p.groups + group) * p.group_out() + k0;
            for (row, tile) in tiles.clone().enumerate() {
                let mut half = [[l.splat(0.0); N]; M];
                for col in 0..N {
                    let column = std::array::from_fn(|r| {
                        let from = &m[(r * N + col) * step + row * cut.panel + k0 - k.start..];
                        l.load(from.first_chunk().expect("sixteen output channels"))
                    });
                    for (half, x) in half.iter_mut().zip(output::<L, M, N>(l, column)) {
                        half[col] = x;
                    }
                }
                let mut pixels = [l.splat(0.0); PIXELS];
                for (pixels, half) in pixels.chunks_exact_mut(M).zip(half) {
                    for (pixel, sum) in pixels.iter_mut().zip(output::<L, M, N>(l, half)) {
                        let y = scale.map_or(sum, |scale| l.mul(sum, scale));
                        let y = bias.map_or(y, |bias| l.add(y, bias));
                        *pixel = if relu { l.relu(y) } else { y };
                    }
                }
                for from in (0..M * M).step_by(LANES) {
                    let square = l.transpose(std::array::from_fn(|i| pixels[from + i]));
                    for (line, x) in lines.iter_mut().zip(square) {
                        l.store(x, line[from..].first_chunk_mut().expect("sixteen pixels"));
                    }
                }
                let (top, left) = (tile / cut.across * M, tile % cut.across * M);
                let (rows, cols) = (M.min(p.y.h - top), M.min(p.y.w - left));
                for a in 0..rows {
                    let start = channel * plane + (top + a) * p.y.w + left;
                    if (count, cols) == (LANES, M) {
                        // SAFETY: a tile's outputs belong to one task.
                        let rows: [_; LANES] = unsafe { y.rows(start, plane, M) };
                        for (to, line) in rows.into_iter().zip(&lines) {
                            let to: &mut [f32; M] = to.first_chunk_mut().expect("a row of the tile");
                            *to = *line[a * M..].first_chunk().expect("a row of the tile");
                        }
                        continue;
                    }
                    for (i, line) in lines.iter().enumerate().take(count) {
                        let start = start + i * plane;
                        // SAFETY: a tile's outputs belong to one task.
                        unsafe { y.part(start..start + cols) }.copy_from_slice(&line[a * M..][..cols]);
                    }
                }
            }
        }
    }
}

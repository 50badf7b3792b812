//! Winograd's F(m×m, 3×3): n² products a tile, n = m + 2, instead of 9m², as n² GEMMs.
//!
//! ```text
//! for each block of tiles (its transformed inputs stay in the second cache, or near it):
//!   V[ξ][c][tile] = (Bᵀ·d·B)[ξ]                     sixteen tiles side by side; by pixels V[ξ][tile][c], sixteen channels
//!   for each panel of NR output channels:
//!     for each chunk of DEPTH input channels:
//!       U[ξ][c][k] = (G·g·Gᵀ)[ξ]                    sixteen output channels side by side
//!       for each of the n² points ξ:
//!         M[ξ][tile][k] += V[ξ]ᵀ·U[ξ]               the tiles of GEMM: rows are tiles
//!     y = finish(Aᵀ·M·A)                            sixteen output channels side by side
//! ```
//! The tiles of all images follow each other: small maps share a block. Weights are transformed anew for each block, or once
//! for several calls, in a plan ([`Transformed`]), which is n²/9 times as large as the weights.
//!
//! Workspace a thread: [`workspace_elements`].

mod inputs;
mod outputs;
mod plan;
mod transform;
mod weights;

use std::ops::Range;

use etalon_reference::operator::downcast;
use etalon_reference::ops::conv2d::Conv2d;
use etalon_reference::ops::winograd;
use etalon_reference::{Problem, Threshold, Types};

use self::outputs::Outputs;
pub use self::plan::{Transformed, panel, plan};
use self::weights::{Filters, Weights};
use super::by_planes;
use super::operands::{Operands, Order, finish};
use crate::disjoint::Disjoint;
use crate::faults::fault;
use crate::gemm::Tiled;
use crate::gemm::epilogue::{Along, Finish, Fold};
use crate::gemm::skinny::Stream;
use crate::gemm::tile::Block;
use crate::isa::tile::{Ahead, Operands as Tiles};
use crate::isa::wide::{LANES, Wide};
use crate::pool::{Pool, WORTH_NS};
use crate::workspace::Workspace;
use etalon_reference::ops::gemm::Activation;

/// Input channels whose weights are transformed at a time.
const DEPTH: usize = 128;
/// Bytes of a block's transformed inputs, about.
const BLOCK_BYTES: usize = 1 << 20;
/// Tiles of a block at least: fewer would not pay for the transformation of the weights.
const FEW_TILES: usize = 48;
/// Tiles of a block at most.
const MOST_TILES: usize = 512;
/// Elements between the matrices of two points beyond their contents, so that they start in different sets of a cache.
const PAD: usize = 16;
/// Direct operations of one thread in a nanosecond, about.
const FLOPS_A_NS: f64 = 200.0;
/// Elements of a row of a tile that are read together.
const HALF: usize = LANES / 2;

/// The sizes at which it takes another path: chunks of input channels, blocks of tiles, panels of outputs, more threads.
pub const THRESHOLDS: &[Threshold] = &[
    Threshold::axis("n", 5),
    Threshold::axis("n", 11),
    Threshold::axis("c", DEPTH as i64),
    Threshold::axis("k", 64),
    // Tiles have two, four or six outputs across.
    Threshold::axis("w", 4 * FEW_TILES as i64),
    Threshold::axis("w", 2 * MOST_TILES as i64),
    Threshold::axis("w", 4 * MOST_TILES as i64),
    Threshold::axis("w", 6 * MOST_TILES as i64),
    Threshold::bytes("x", BLOCK_BYTES / 4),
    Threshold::operations(WORTH_NS as i64 * FLOPS_A_NS as i64),
];

/// 3×3, stride and dilation 1.
pub fn supports(problem: &dyn Problem, _: Types) -> Result<(), String> {
    winograd::fits(downcast(problem)).map_err(Into::into)
}

/// How a problem is cut.
#[derive(Clone, Copy, Debug)]
struct Cut {
    /// Tiles down the image.
    down: usize,
    /// Tiles across the image.
    across: usize,
    /// Tiles of an image.
    tiles: usize,
    /// Tiles of a block, a multiple of LANES.
    block: usize,
    /// Blocks of the images.
    blocks: usize,
    /// Elements of a line of staged input.
    line: usize,
    /// Output channels of a panel.
    panel: usize,
}

impl Cut {
    fn new<const M: usize, const N: usize>(p: &Conv2d, panel: usize, threads: usize) -> Cut {
        let (down, across) = (p.y.h.div_ceil(M), p.y.w.div_ceil(M));
        let tiles = down * across;
        let fit = BLOCK_BYTES / (N * N * size_of::<f32>() * p.group_in());
        let blocks = (p.y.n * tiles).div_ceil(fit.clamp(FEW_TILES, MOST_TILES));
        // A single block is shared by output channels; several are dealt out, as many to each thread.
        let blocks = if blocks == 1 { 1 } else { blocks.next_multiple_of(threads) };
        let block = (p.y.n * tiles).div_ceil(blocks).next_multiple_of(LANES);
        let line = ((across - 1) * M + HALF).max(p.cols.before + p.x.w).next_multiple_of(LANES);
        Cut { down, across, tiles, block, blocks: (p.y.n * tiles).div_ceil(block), line, panel }
    }

    /// Elements of the buffers for V, U, M and staged input rows.
    fn lens<const N: usize>(&self, p: &Conv2d) -> [usize; 4] {
        // The tiles of a block lie in at most so many rows of tiles.
        let rows = (self.block.div_ceil(self.across) + 1).min(p.y.n * self.down);
        [
            N * N * (p.group_in() * self.block + PAD),
            weights::len::<N>(p.group_in(), self.panel),
            N * N * (self.block * self.panel + PAD),
            if by_planes(p) { rows * N * self.line } else { 0 },
        ]
    }
}

/// Elements of workspace a thread: `n²·(c·t + 128·NR + t·NR)` and a few rows of the input, for t tiles: about 1 MiB's worth of
/// inputs, at least 48.
fn workspace_elements<const N: usize>(cut: &Cut, p: &Conv2d) -> usize {
    cut.lens::<N>(p).iter().map(|len| len.next_multiple_of(LANES)).sum()
}

/// A convolution by F(m).
pub struct Step<'a> {
    /// Outputs of a tile in one dimension: 2, 4 or 6.
    pub m: usize,
    /// The problem.
    pub p: &'a Conv2d,
    /// Its operands.
    pub operands: Operands<'a, f32>,
    /// Threads.
    pub pool: &'a Pool,
    /// Memory.
    pub workspace: &'a mut Workspace,
}

impl Tiled<f32> for Step<'_> {
    type Output = ();

    fn run<X: Stream<T = f32>, L: Wide>(self, tile: X, lanes: L) {
        let Step { m, p, operands, pool, workspace } = self;
        match m {
            2 => convolve::<X, L, 2, 4>(tile, lanes, p, operands, pool, workspace),
            4 => convolve::<X, L, 4, 6>(tile, lanes, p, operands, pool, workspace),
            _ => convolve::<X, L, 6, 8>(tile, lanes, p, operands, pool, workspace),
        }
    }
}

/// All outputs.
fn convolve<X: Stream<T = f32>, L: Wide, const M: usize, const N: usize>(
    tile: X,
    lanes: L,
    p: &Conv2d,
    o: Operands<'_, f32>,
    pool: &Pool,
    workspace: &mut Workspace,
) {
    let flops = 2.0 * p.y.len() as f64 * p.depth() as f64;
    let threads = pool.threads_for((flops / FLOPS_A_NS) as u64);
    let cut = Cut::new::<M, N>(p, X::NR, threads);
    let panels = p.group_out().div_ceil(X::NR);
    let pieces = p.groups * cut.blocks;
    // Few blocks: several threads share one, each with some of its output channels.
    let shares = if pieces >= threads { 1 } else { threads.div_ceil(pieces).min(panels) };
    let tasks = pieces * shares;
    let each = workspace_elements::<N>(&cut, p);
    let scratch = Disjoint::new(workspace.slice::<f32>(each * threads.min(tasks)));
    let y = Disjoint::new(o.y);
    let body = |task: usize, worker: usize| {
        let (piece, share) = (task / shares, task % shares);
        let (group, block) = (piece / cut.blocks, piece % cut.blocks);
        let first = block * cut.block;
        if fault!("conv2d.winograd-second-block") && block == 1 {
            return;
        }
        // SAFETY: a worker runs one task at a time, and no other worker has its index.
        let scratch = unsafe { scratch.part(worker * each..(worker + 1) * each) };
        let task = Piece {
            p,
            cut: &cut,
            group,
            tiles: first..(p.y.n * cut.tiles).min(first + cut.block),
            panels: panels * share / shares..panels * (share + 1) / shares,
            finish: finish(p, o.scale, o.bias, group, Along::Rows),
            order: o.order,
        };
        task.compute::<X, L, M, N>(tile, lanes, o.x, o.w, &y, scratch);
    };
    if threads == 1 || tasks == 1 {
        let lost = fault!("conv2d.winograd-inline") && threads < pool.threads() && tasks > 1;
        (0..tasks - usize::from(lost)).for_each(|task| body(task, 0));
    } else if tasks >= threads {
        pool.run(tasks, body);
    } else {
        pool.run(tasks, |task, _| body(task, task));
    }
}

/// A block of tiles of a group of the images, and some panels of its output channels.
struct Piece<'a> {
    /// The problem.
    p: &'a Conv2d,
    /// How it is cut.
    cut: &'a Cut,
    /// The group.
    group: usize,
    /// Tiles, those of an image behind those of the one before.
    tiles: Range<usize>,
    /// Panels of the group's output channels.
    panels: Range<usize>,
    /// What becomes of the sums.
    finish: Finish<'a, f32>,
    /// How the weights lie.
    order: Order,
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
        let block = self.cut.block;
        // From one tile to the next, and from one channel to the next.
        let (row, step) = if by_planes(p) { (1, block) } else { (c, 1) };
        if by_planes(p) {
            l.enter(inputs::Planes::<M, N> { piece: self, x, staged, v });
        } else {
            l.enter(inputs::Pixels::<M, N> { piece: self, x, v });
        }
        let nothing = Finish { scale: None, bias: None, along: Along::Rows, activation: Activation::None };
        let transformed = self.order == Order::Transformed;
        let own = if transformed { &[] } else { &w[self.group * p.group_out() * c * 9..][..p.group_out() * c * 9] };
        let filters = Filters { w: own, channels: c, outputs: p.group_out(), order: self.order };
        for panel in self.panels.clone() {
            let k = panel * X::NR..p.group_out().min((panel + 1) * X::NR);
            for c0 in (0..c).step_by(DEPTH) {
                let depth = DEPTH.min(c - c0);
                let chunk = c0..c0 + depth;
                let u = if transformed {
                    plan::part::<N>(p, w, self.group, k.start, c0, X::NR)
                } else {
                    l.enter(Weights::<M, N> { filters, chunk, first: k.start, panel: X::NR, u: &mut *u });
                    &*u
                };
                let first = c0 == 0 || fault!("conv2d.winograd-second-chunk");
                let fold = Fold { alpha: 1.0, beta: 0.0, first, last: false, finish: nothing };
                for point in 0..N * N {
                    let v = &v[point * (c * block + PAD) + c0 * step..(point + 1) * (c * block + PAD)];
                    let u = &u[point * (DEPTH.min(c) * X::NR + PAD)..][..depth * X::NR];
                    let m = &mut m[point * (block * X::NR + PAD)..][..block * X::NR];
                    let m = Disjoint::new(m);
                    // SAFETY: nothing else reaches M while the tiles write it.
                    let mut out = unsafe { Block::new(&m, 0, X::NR) };
                    for i in (0..self.tiles.len()).step_by(X::MR) {
                        let rows = X::MR.min(self.tiles.len() - i);
                        let operands = Tiles {
                            a: &v[i * row..],
                            a_row: row,
                            a_step: step,
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

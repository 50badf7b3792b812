//! Sums transformed to outputs, sixteen output channels side by side.

use std::ops::Range;

use etalon_reference::ops::gemm::Activation;

use super::transform::output;
use super::{PAD, Piece};
use crate::conv2d::by_planes;
use crate::conv2d::finish::Finish;
use crate::disjoint::Disjoint;
use crate::faults::fault;
use crate::isa::arrays;
use crate::isa::wide::{LANES, Wide, Work};

/// Transforms sums to outputs: m² of a tile, in `PIXELS` places, a multiple of sixteen.
pub struct Outputs<'a, 'y, const M: usize, const N: usize, const PIXELS: usize> {
    /// The block of tiles.
    pub piece: &'a Piece<'a>,
    /// Output channels of the group.
    pub k: Range<usize>,
    /// The sums, by point, tile and output channel.
    pub m: &'a [f32],
    /// The outputs.
    pub y: &'a Disjoint<'y, f32>,
}

/// A tile of the output.
#[derive(Clone, Copy)]
struct Tile {
    image: usize,
    top: usize,
    left: usize,
    rows: usize,
    cols: usize,
}

impl<const M: usize, const N: usize, const PIXELS: usize> Work for Outputs<'_, '_, M, N, PIXELS> {
    type Output = ();

    #[inline(always)]
    fn run<L: Wide>(self, l: L) {
        let Piece { p, cut, tiles, finish, .. } = self.piece;
        let mut lines = [[0.0f32; PIXELS]; LANES];
        for k0 in self.k.clone().step_by(LANES) {
            let count = LANES.min(self.k.end - k0);
            let relu = finish.activation == Activation::Relu;
            let biased = !(fault!("conv2d.winograd4-bias") && M == 4 && k0 >= LANES);
            let (mut scale, mut bias) = (None, None);
            if let Some(of) = finish.scale {
                scale = Some(l.load_first(&of[k0..k0 + count]));
            }
            if let Some(of) = finish.bias.filter(|_| biased) {
                bias = Some(l.load_first(&of[k0..k0 + count]));
            }
            let finish = Finish { scale, bias, relu };
            for (row, tile) in tiles.clone().enumerate() {
                let (image, tile) = (tile / cut.tiles, tile % cut.tiles);
                let (top, left) = (tile / cut.across * M, tile % cut.across * M);
                let tile = Tile { image, top, left, rows: M.min(p.y.h - top), cols: M.min(p.y.w - left) };
                if fault!("conv2d.winograd6-partial-tile") && M == 6 && tile.cols == 5
                    || fault!("conv2d.winograd-eleventh-image") && image >= 10
                {
                    continue;
                }
                let pixels = self.pixels(l, row, k0, finish);
                if by_planes(p) {
                    self.to_planes(l, tile, k0, count, &pixels, &mut lines);
                } else {
                    self.to_pixels(l, tile, k0, count, &pixels);
                }
            }
        }
    }
}

impl<const M: usize, const N: usize, const PIXELS: usize> Outputs<'_, '_, M, N, PIXELS> {
    /// `finish(Aᵀ·M·A)` of tile `row` of the block.
    #[inline(always)]
    fn pixels<L: Wide>(&self, l: L, row: usize, k0: usize, finish: Finish<L::F>) -> [L::F; PIXELS] {
        let cut = self.piece.cut;
        let step = cut.block * cut.panel + PAD;
        let mut half = [[l.splat(0.0); N]; M];
        for col in 0..N {
            let column = arrays::from_fn(|r| {
                let from = &self.m[(r * N + col) * step + row * cut.panel + k0 - self.k.start..];
                l.load(from.first_chunk().expect("sixteen output channels"))
            });
            for (half, x) in half.iter_mut().zip(output::<L, M, N>(l, column)) {
                half[col] = x;
            }
        }
        let mut pixels = [l.splat(0.0); PIXELS];
        for (pixels, half) in pixels.chunks_exact_mut(M).zip(half) {
            for (pixel, sum) in pixels.iter_mut().zip(output::<L, M, N>(l, half)) {
                *pixel = finish.of(l, sum);
            }
        }
        pixels
    }

    /// To images by planes, by way of `lines` of one channel each.
    #[inline(always)]
    fn to_planes<L: Wide>(
        &self,
        l: L,
        tile: Tile,
        k0: usize,
        count: usize,
        pixels: &[L::F; PIXELS],
        lines: &mut [[f32; PIXELS]; LANES],
    ) {
        let Piece { p, group, .. } = self.piece;
        for from in (0..M * M).step_by(LANES) {
            let square = l.transpose(arrays::from_fn(|i| pixels[from + i]));
            for (line, x) in lines.iter_mut().zip(square) {
                l.store(x, line[from..].first_chunk_mut().expect("sixteen pixels"));
            }
        }
        let plane = p.y.h * p.y.w;
        let channel = (tile.image * p.groups + group) * p.group_out() + k0;
        for a in 0..tile.rows {
            let start = channel * plane + (tile.top + a) * p.y.w + tile.left;
            if (count, tile.cols) == (LANES, M) {
                // SAFETY: a tile's outputs belong to one task.
                let rows: [_; LANES] = unsafe { self.y.rows(start, plane, M) };
                for (to, line) in rows.into_iter().zip(&*lines) {
                    let to: &mut [f32; M] = to.first_chunk_mut().expect("a row of the tile");
                    *to = *line[a * M..].first_chunk().expect("a row of the tile");
                }
                continue;
            }
            for (i, line) in lines.iter().enumerate().take(count) {
                let start = start + i * plane;
                // SAFETY: a tile's outputs belong to one task.
                unsafe { self.y.part(start..start + tile.cols) }.copy_from_slice(&line[a * M..][..tile.cols]);
            }
        }
    }

    /// To images by pixels.
    #[inline(always)]
    fn to_pixels<L: Wide>(&self, l: L, tile: Tile, k0: usize, count: usize, pixels: &[L::F; PIXELS]) {
        let Piece { p, group, .. } = self.piece;
        for a in 0..tile.rows {
            for b in 0..tile.cols {
                let pixel = (tile.image * p.y.h + tile.top + a) * p.y.w + tile.left + b;
                let start = pixel * p.y.c + group * p.group_out() + k0;
                // SAFETY: a tile's outputs belong to one task.
                l.store_first(pixels[a * M + b], unsafe { self.y.part(start..start + count) });
            }
        }
    }
}

//! A block's inputs, transformed: sixteen tiles side by side of images by planes, sixteen channels by pixels.

use super::transform::input;
use super::{HALF, MOST_TILES, PAD, Piece};
use crate::conv2d::lower::copy;
use crate::faults::fault;
use crate::isa::arrays;
use crate::isa::wide::{LANES, Wide, Work};

/// Of images by planes.
pub struct Planes<'a, const M: usize, const N: usize> {
    /// The block of tiles.
    pub piece: &'a Piece<'a>,
    /// The images.
    pub x: &'a [f32],
    /// A channel's rows among zeros.
    pub staged: &'a mut [f32],
    /// The transformed inputs, by point, channel and tile.
    pub v: &'a mut [f32],
}

/// Rows of tiles that follow each other in one image, and where their pixels are staged.
struct Run {
    image: usize,
    /// First row of tiles.
    first: usize,
    /// Rows of tiles.
    count: usize,
    /// Staged rows before.
    above: usize,
}

impl<const M: usize, const N: usize> Planes<'_, M, N> {
    /// The runs of the block.
    #[inline(always)]
    fn runs(&self) -> impl Iterator<Item = Run> + use<M, N> {
        let (down, across) = (self.piece.cut.down, self.piece.cut.across);
        let mut rows = self.piece.tiles.start / across..(self.piece.tiles.end - 1) / across + 1;
        let mut above = 0;
        std::iter::from_fn(move || {
            let (image, first) = (rows.start / down, rows.start % down);
            let count = (down - first).min(rows.len());
            let run = Run { image, first, count, above };
            rows.start += count;
            above += count * M + N - M;
            (count > 0).then_some(run)
        })
    }

    /// Where each tile begins among the staged elements; the last one's place stands behind it, too.
    #[inline(always)]
    fn starts(&self) -> [usize; MOST_TILES] {
        let (tiles, cut) = (&self.piece.tiles, self.piece.cut);
        let mut starts = [0; MOST_TILES];
        let (mut at, mut j) = (0, tiles.start % cut.across);
        'runs: for run in self.runs() {
            for row in 0..run.count {
                while j < cut.across {
                    if at == tiles.len() {
                        break 'runs;
                    }
                    starts[at] = (run.above + row * M) * cut.line + j * M;
                    (at, j) = (at + 1, j + 1);
                }
                j = 0;
            }
        }
        let last = starts[at - 1];
        starts[at..at.next_multiple_of(LANES)].fill(last);
        starts
    }

    /// Copies the rows of a channel; zeros around them stay.
    #[inline(always)]
    fn stage<L: Wide>(&mut self, l: L, channel: usize) {
        let (p, line) = (self.piece.p, self.piece.cut.line);
        let plane = p.x.h * p.x.w;
        for run in self.runs() {
            let x = &self.x[(run.image * p.x.c + self.piece.group * p.group_in() + channel) * plane..][..plane];
            // Rows of the padded image, of which some are rows of the image.
            let (top, bottom) = (run.first * M, (run.first + run.count - 1) * M + N);
            let from = top.max(p.rows.before);
            let lost = fault!("conv2d.winograd2-wide-padding") && M == 2 && p.rows.before > 1;
            let to = bottom.min(p.rows.before + p.x.h - usize::from(lost));
            for row in from..to.max(from) {
                let target = &mut self.staged[(run.above + row - top) * line + p.cols.before..];
                copy(l, &x[(row - p.rows.before) * p.x.w..][..p.x.w], &mut target[..p.x.w]);
            }
        }
    }
}

impl<const M: usize, const N: usize> Work for Planes<'_, M, N> {
    type Output = ();

    #[inline(always)]
    fn run<L: Wide>(mut self, l: L) {
        let Piece { p, cut, tiles, .. } = self.piece;
        let (c, line, starts) = (p.group_in(), cut.line, self.starts());
        let rows = self.runs().map(|run| run.count * M + N - M).sum::<usize>();
        self.staged[..rows * line].fill(0.0);
        for channel in 0..c {
            self.stage(l, channel);
            for group in (0..tiles.len()).step_by(LANES) {
                let starts: &[usize; LANES] = starts[group..].first_chunk().expect("sixteen tiles");
                let mut d = [[l.splat(0.0); N]; N];
                for a in (0..N).step_by(2) {
                    let square = arrays::from_fn(|lane| {
                        let low = &self.staged[starts[lane] + a * line..];
                        let high = &self.staged[starts[lane] + (a + 1) * line..];
                        l.halves(low, high)
                    });
                    let square = l.transpose(square);
                    for b in 0..N {
                        (d[a][b], d[a + 1][b]) = (square[b], square[HALF + b]);
                    }
                }
                let at = channel * cut.block + group;
                transform::<L, M, N>(l, d, |point, x| {
                    let to = &mut self.v[point * (c * cut.block + PAD) + at..];
                    l.store(x, to.first_chunk_mut().expect("sixteen tiles"));
                });
            }
        }
    }
}

/// Of images by pixels.
pub struct Pixels<'a, const M: usize, const N: usize> {
    /// The block of tiles.
    pub piece: &'a Piece<'a>,
    /// The images.
    pub x: &'a [f32],
    /// The transformed inputs, by point, tile and channel.
    pub v: &'a mut [f32],
}

impl<const M: usize, const N: usize> Work for Pixels<'_, M, N> {
    type Output = ();

    #[inline(always)]
    fn run<L: Wide>(self, l: L) {
        let Pixels { piece: Piece { p, cut, tiles, group, .. }, x, v } = self;
        let c = p.group_in();
        for (row, tile) in tiles.clone().enumerate() {
            let (image, tile) = (tile / cut.tiles, tile % cut.tiles);
            let x = &x[image * p.x.h * p.x.w * p.x.c + group * c..];
            let (i, j) = (tile / cut.across, tile % cut.across);
            let heights: [_; N] = arrays::from_fn(|a| p.rows.index(i * M + a, 0));
            let widths: [_; N] = arrays::from_fn(|b| p.cols.index(j * M + b, 0));
            for c0 in (0..c).step_by(LANES) {
                let count = LANES.min(c - c0);
                if fault!("conv2d.winograd-nhwc-channels") && c0 > 0 && heights[0].is_none() {
                    continue;
                }
                let d = arrays::from_fn(|a| {
                    arrays::from_fn(|b| match (heights[a], widths[b]) {
                        (Some(h), Some(w)) => {
                            let from = &x[(h * p.x.w + w) * p.x.c + c0..][..count];
                            from.first_chunk().map_or_else(|| l.load_first(from), |from| l.load(from))
                        }
                        _ => l.splat(0.0),
                    })
                });
                let at = row * c + c0;
                transform::<L, M, N>(l, d, |point, x| {
                    let to = &mut v[point * (c * cut.block + PAD) + at..][..count];
                    match to.first_chunk_mut() {
                        Some(to) => l.store(x, to),
                        None => l.store_first(x, to),
                    }
                });
            }
        }
    }
}

/// `Bᵀ·d·B`, given to `store` point by point.
#[inline(always)]
fn transform<L: Wide, const M: usize, const N: usize>(l: L, d: [[L::F; N]; N], mut store: impl FnMut(usize, L::F)) {
    let mut half = [[l.splat(0.0); N]; N];
    for b in 0..N {
        let column = input::<L, M, N>(l, arrays::from_fn(|a| d[a][b]));
        for (half, x) in half.iter_mut().zip(column) {
            half[b] = x;
        }
    }
    for (row, half) in half.into_iter().enumerate() {
        for (col, x) in input::<L, M, N>(l, half).into_iter().enumerate() {
            store(row * N + col, x);
        }
    }
}

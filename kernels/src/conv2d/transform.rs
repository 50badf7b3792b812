//! Winograd's transformations: of one dimension, of a block's inputs, of a chunk's weights.

use std::ops::Range;

use etalon_reference::ops::winograd::{self, Matrices};

use super::lower::{write_row, zero};
use super::operands::Order;
use super::winograd::{DEPTH, HALF, PAD, Piece};
use crate::isa::wide::{LANES, Wide, Work};

/// Transforms a block's inputs.
pub struct Inputs<'a, const M: usize, const N: usize> {
    /// The block of tiles.
    pub piece: &'a Piece<'a>,
    /// The group's planes of the image.
    pub x: &'a [f32],
    /// Rows of the input among zeros.
    pub staged: &'a mut [f32],
    /// The transformed inputs, by point, channel and tile.
    pub v: &'a mut [f32],
}

impl<const M: usize, const N: usize> Work for Inputs<'_, M, N> {
    type Output = ();

    #[inline(always)]
    fn run<L: Wide>(self, l: L) {
        let Inputs { piece: Piece { p, cut, tiles, .. }, x, staged, v } = self;
        let (c, plane, line) = (p.group_in(), p.x.h * p.x.w, cut.line);
        for group in (0..tiles.len()).step_by(LANES) {
            // Where the tiles start among the staged rows; the last one stands for those that are missing.
            let (first, end) = (tiles.start + group, tiles.end.min(tiles.start + group + LANES));
            let (mut starts, mut runs, mut count) = ([0; LANES], [(0, 0, 0); LANES], 0);
            let mut at = first;
            while at < end {
                let (i, j) = (at / cut.across, at % cut.across);
                let len = (cut.across - j).min(end - at);
                runs[count] = (i * M, j * M, (len - 1) * M + HALF.max(N));
                for tile in 0..len {
                    starts[at - first + tile] = count * N * line + tile * M;
                }
                (at, count) = (at + len, count + 1);
            }
            for lane in end - first..LANES {
                starts[lane] = starts[end - first - 1];
            }
            for (channel, x) in x.chunks_exact(plane).enumerate() {
                for (lines, &(top, left, len)) in staged.chunks_exact_mut(N * line).zip(&runs[..count]) {
                    for (a, to) in lines.chunks_exact_mut(line).enumerate() {
                        match (top + a).checked_sub(p.rows.before).filter(|&h| h < p.x.h) {
                            Some(h) => write_row(l, &p.cols, &x[h * p.x.w..][..p.x.w], left, 0, &mut to[..len]),
                            None => zero(l, &mut to[..len]),
                        }
                    }
                }
                let mut d = [[l.splat(0.0); N]; N];
                for a in (0..N).step_by(2) {
                    let square = std::array::from_fn(|lane| {
                        let low = &staged[starts[lane] + a * line..];
                        let high = &staged[starts[lane] + (a + 1) * line..];
                        l.halves(low.first_chunk().expect("a line"), high.first_chunk().expect("a line"))
                    });
                    let square = l.transpose(square);
                    for b in 0..N {
                        (d[a][b], d[a + 1][b]) = (square[b], square[HALF + b]);
                    }
                }
                let mut half = [[l.splat(0.0); N]; N];
                for b in 0..N {
                    let column = input::<L, M, N>(l, std::array::from_fn(|a| d[a][b]));
                    for (half, x) in half.iter_mut().zip(column) {
                        half[b] = x;
                    }
                }
                for (row, half) in half.into_iter().enumerate() {
                    for (col, x) in input::<L, M, N>(l, half).into_iter().enumerate() {
                        let point = row * N + col;
                        let to = &mut v[point * (c * cut.block + PAD) + channel * cut.block + group..];
                        l.store(x, to.first_chunk_mut().expect("sixteen tiles"));
                    }
                }
            }
        }
    }
}

/// Transforms the weights of a panel and a chunk.
pub struct Weights<'a, const M: usize, const N: usize> {
    /// The weights of the panel's output channels.
    pub w: &'a [f32],
    /// Input channels of a group.
    pub channels: usize,
    /// How the weights lie.
    pub order: Order,
    /// Input channels of the chunk.
    pub chunk: Range<usize>,
    /// Output channels of a full panel.
    pub panel: usize,
    /// The transformed weights, by point, input channel and output channel.
    pub u: &'a mut [f32],
}

impl<const M: usize, const N: usize> Work for Weights<'_, M, N> {
    type Output = ();

    #[inline(always)]
    fn run<L: Wide>(self, l: L) {
        let Weights { w, channels, order, chunk, panel, u } = self;
        let filter = channels * 9;
        let step = DEPTH.min(channels) * panel + PAD;
        let mut taps = [[0.0f32; LANES]; 9 * LANES];
        for k in (0..panel).step_by(LANES) {
            for c in chunk.clone().step_by(LANES) {
                let count = LANES.min(chunk.end - c);
                // Sixteen channels are nine squares: nine taps side by side, or one tap each.
                let squares = if order == Order::TapsFirst { 9 } else { (9 * count).div_ceil(LANES) };
                for square in 0..squares {
                    let (from, len) = match order {
                        Order::ChannelsFirst => (c * 9 + square * LANES, LANES.min(9 * count - square * LANES)),
                        Order::TapsFirst => (square * channels + c, count),
                    };
                    let rows = std::array::from_fn(|lane| match w.get((k + lane) * filter..(k + lane + 1) * filter) {
                        Some(filter) => l.load_first(&filter[from..from + len]),
                        None => l.splat(0.0),
                    });
                    for (i, x) in l.transpose(rows).into_iter().enumerate() {
                        let tap = match order {
                            Order::ChannelsFirst => square * LANES + i,
                            Order::TapsFirst => i * 9 + square,
                        };
                        l.store(x, &mut taps[tap]);
                    }
                }
                for (channel, taps) in taps.chunks_exact(9).take(count).enumerate() {
                    let g: [[L::F; 3]; 3] = std::array::from_fn(|r| std::array::from_fn(|s| l.load(&taps[r * 3 + s])));
                    let mut half = [[l.splat(0.0); 3]; N];
                    for s in 0..3 {
                        let column = weight::<L, M, N>(l, [g[0][s], g[1][s], g[2][s]]);
                        for (half, x) in half.iter_mut().zip(column) {
                            half[s] = x;
                        }
                    }
                    let at = (c - chunk.start + channel) * panel + k;
                    for (row, half) in half.into_iter().enumerate() {
                        for (col, x) in weight::<L, M, N>(l, half).into_iter().enumerate() {
                            let to = &mut u[(row * N + col) * step + at..];
                            l.store(x, to.first_chunk_mut().expect("sixteen output channels"));
                        }
                    }
                }
            }
        }
    }
}

/// The points of F(m).
const fn points(m: usize) -> &'static [f64] {
    match m {
        2 => &winograd::POINTS_2,
        4 => &winograd::POINTS_4,
        _ => &winograd::POINTS_6,
    }
}

/// `Σ factors[i]·x[i]` over every second i from `from`; factors 0 and 1 cost nothing.
#[inline(always)]
fn dot<L: Wide, const N: usize>(l: L, factors: &[f64; N], x: &[L::F; N], from: usize) -> L::F {
    let mut sum = None;
    let mut i = from;
    while i < N {
        let factor = factors[i] as f32;
        if factor != 0.0 {
            sum = Some(match sum {
                None if factor == 1.0 => x[i],
                None => l.mul(x[i], l.splat(factor)),
                Some(sum) if factor == 1.0 => l.add(sum, x[i]),
                Some(sum) => l.fma(x[i], l.splat(factor), sum),
            });
        }
        i += 2;
    }
    sum.unwrap_or(l.splat(0.0))
}

/// Rows that come in pairs share their even and their odd part.
#[inline(always)]
fn by_pairs<L: Wide, const N: usize, const W: usize>(l: L, rows: &[[f64; W]; N], x: [L::F; W]) -> [L::F; N] {
    let mut y = [l.splat(0.0); N];
    let mut j = 1;
    while j + 1 < N - 1 {
        let (even, odd) = (dot(l, &rows[j], &x, 0), dot(l, &rows[j], &x, 1));
        y[j] = l.add(even, odd);
        y[j + 1] = l.sub(even, odd);
        j += 2;
    }
    // 0 has even powers alone, and ∞ odd ones, or the highest.
    y[0] = dot(l, &rows[0], &x, 0);
    y[N - 1] = dot(l, &rows[N - 1], &x, (W - 1) % 2);
    y
}

/// `Bᵀ·d`.
#[inline(always)]
fn input<L: Wide, const M: usize, const N: usize>(l: L, d: [L::F; N]) -> [L::F; N] {
    by_pairs(l, const { &Matrices::<M, N>::new(points(M)).bt }, d)
}

/// `G·g`.
#[inline(always)]
fn weight<L: Wide, const M: usize, const N: usize>(l: L, g: [L::F; 3]) -> [L::F; N] {
    by_pairs(l, const { &Matrices::<M, N>::new(points(M)).g }, g)
}

/// `Aᵀ·m`.
#[inline(always)]
pub fn output<L: Wide, const M: usize, const N: usize>(l: L, m: [L::F; N]) -> [L::F; M] {
    let at = const { &Matrices::<M, N>::new(points(M)).at };
    let mut y = [l.splat(0.0); M];
    for (i, (y, row)) in y.iter_mut().zip(at).enumerate() {
        let mut sum = (i == 0).then_some(m[0]);
        let mut j = 1;
        while j + 1 < N - 1 {
            let pair = if i % 2 == 0 { l.add(m[j], m[j + 1]) } else { l.sub(m[j], m[j + 1]) };
            let factor = row[j] as f32;
            sum = Some(match sum {
                None if factor == 1.0 => pair,
                None => l.mul(pair, l.splat(factor)),
                Some(sum) if factor == 1.0 => l.add(sum, pair),
                Some(sum) => l.fma(pair, l.splat(factor), sum),
            });
            j += 2;
        }
        *y = match sum {
            Some(sum) if i == M - 1 => l.add(sum, m[N - 1]),
            Some(sum) => sum,
            None => m[N - 1],
        };
    }
    y
}

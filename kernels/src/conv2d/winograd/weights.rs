//! The weights of a panel, transformed sixteen output channels at a time.

use std::ops::Range;

use super::transform::weight;
use super::{DEPTH, PAD};
use crate::conv2d::operands::Order;
use crate::isa::wide::{LANES, Wide, Work};

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
        for c in chunk.clone().step_by(LANES) {
            for k in (0..panel).step_by(LANES) {
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

//! The weights of a panel, transformed sixteen output channels at a time.

use std::ops::Range;

use super::transform::weight;
use super::{DEPTH, PAD};
use crate::conv2d::operands::Order;
use crate::faults::fault;
use crate::isa::arrays;
use crate::isa::wide::{LANES, Wide, Work};

/// The weights of a group.
#[derive(Clone, Copy)]
pub struct Filters<'a> {
    /// The weights.
    pub w: &'a [f32],
    /// Input channels.
    pub channels: usize,
    /// Output channels.
    pub outputs: usize,
    /// How the weights lie.
    pub order: Order,
}

/// Elements of the transformed weights of a panel and a chunk.
pub const fn len<const N: usize>(channels: usize, panel: usize) -> usize {
    let depth = if channels < DEPTH { channels } else { DEPTH };
    N * N * (depth * panel + PAD)
}

/// Channels that are asked for before they are needed, where they lie far from each other.
const AHEAD: usize = 8;

/// Taps of sixteen channels, of sixteen filters side by side.
type Taps = [[f32; LANES]; 9 * LANES];

impl Filters<'_> {
    /// The taps of `count` channels from `c` of the filters from `k`; 0 for those that are missing.
    #[inline(always)]
    fn turn<L: Wide>(&self, l: L, k: usize, c: usize, count: usize, taps: &mut Taps) {
        let filters = LANES.min(self.outputs.saturating_sub(k));
        // Elements from one filter to the next, and where they begin.
        let (filter, start) = match self.order {
            Order::Exchanged => (9, (c * self.outputs + k) * 9),
            _ => (self.channels * 9, k * self.channels * 9),
        };
        // Sixteen channels are nine squares: nine taps side by side, or one tap each; exchanged, each channel is one.
        let squares = match self.order {
            Order::ChannelsFirst => (9 * count).div_ceil(LANES),
            Order::TapsFirst => 9,
            Order::Exchanged => count,
            Order::Transformed => unreachable!("transformed already"),
        };
        for square in 0..squares {
            let (from, len) = match self.order {
                Order::ChannelsFirst => (c * 9 + square * LANES, LANES.min(9 * count - square * LANES)),
                Order::TapsFirst if fault!("conv2d_backward_data.turned-second-chunk") => {
                    (square * self.channels, count)
                }
                Order::TapsFirst => (square * self.channels + c, count),
                Order::Exchanged | Order::Transformed => (square * self.outputs * 9, 9),
            };
            if self.order == Order::Exchanged {
                // The next channels' weights lie far away.
                for i in 0..9 {
                    l.prefetch(self.w, start + (square + AHEAD) * self.outputs * 9 + i * LANES);
                }
            }
            let rows = arrays::from_fn(|lane| match lane < filters {
                true => l.load_first(&self.w[start + lane * filter + from..][..len]),
                false => l.splat(0.0),
            });
            for (i, x) in l.transpose(rows).into_iter().enumerate() {
                let tap = match self.order {
                    Order::ChannelsFirst => square * LANES + i,
                    Order::TapsFirst => i * 9 + square,
                    Order::Exchanged if fault!("conv2d_backward_data.unturned") && i < 9 && k > 0 => square * 9 + i,
                    Order::Exchanged if i < 9 => square * 9 + 8 - i,
                    Order::Exchanged | Order::Transformed => break,
                };
                l.store(x, &mut taps[tap]);
            }
        }
    }
}

/// Transforms the weights of a panel and a chunk.
pub struct Weights<'a, const M: usize, const N: usize> {
    /// The group's weights.
    pub filters: Filters<'a>,
    /// Input channels of the chunk.
    pub chunk: Range<usize>,
    /// The first output channel.
    pub first: usize,
    /// Output channels of a full panel.
    pub panel: usize,
    /// The transformed weights, by point, input channel and output channel.
    pub u: &'a mut [f32],
}

impl<const M: usize, const N: usize> Work for Weights<'_, M, N> {
    type Output = ();

    #[inline(always)]
    fn run<L: Wide>(self, l: L) {
        let Weights { filters, chunk, first, panel, u } = self;
        let step = DEPTH.min(filters.channels) * panel + PAD;
        let mut taps = [[0.0f32; LANES]; 9 * LANES];
        for c in chunk.clone().step_by(LANES) {
            let count = LANES.min(chunk.end - c);
            for k in (0..panel).step_by(LANES) {
                filters.turn(l, first + k, c, count, &mut taps);
                for (channel, taps) in taps.chunks_exact(9).take(count).enumerate() {
                    let g: [[L::F; 3]; 3] = arrays::from_fn(|r| arrays::from_fn(|s| l.load(&taps[r * 3 + s])));
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

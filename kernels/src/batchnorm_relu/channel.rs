//! The planes of a channel, and the chunks in which they are summed.

use std::ops::Range;

use etalon_reference::ops::batchnorm_relu::Images;

use crate::disjoint::Disjoint;

/// Elements of a chunk at most: it stays in the first cache between the two looks at it.
pub const CHUNK: usize = 4096;
/// Planes of a chunk at most. With four accumulators of sixteen lanes this keeps chains of additions within
/// 64 + 32 = [`CHAIN`](etalon_reference::ops::batchnorm_relu::CHAIN).
const PLANES: usize = 32;

/// Where the planes of a channel lie.
#[derive(Clone, Copy, Debug)]
pub struct Channel {
    first: usize,
    stride: usize,
    /// Planes.
    pub planes: usize,
    /// Elements of a plane.
    pub len: usize,
}

/// Parts of planes that are summed together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chunk {
    /// The planes.
    pub planes: Range<usize>,
    /// Which part of each.
    pub part: Range<usize>,
}

impl Channel {
    /// Channel `c`, planes one behind the other.
    pub fn new(images: &Images, c: usize) -> Channel {
        let len = images.h * images.w;
        Channel { first: c * len, stride: images.c * len, planes: images.n, len }
    }

    /// Where `part` of a plane lies in the buffer.
    #[inline(always)]
    pub fn range(&self, plane: usize, part: &Range<usize>) -> Range<usize> {
        let start = self.first + plane * self.stride;
        start + part.start..start + part.end
    }

    /// The chunks, in the order in which they are merged. It depends on the shape alone.
    #[inline(always)]
    pub fn chunks(self) -> impl Iterator<Item = Chunk> {
        let together = (CHUNK / self.len.max(1)).clamp(1, PLANES);
        (0..self.planes).step_by(together).flat_map(move |first| {
            (0..self.len).step_by(CHUNK).map(move |start| Chunk {
                planes: first..self.planes.min(first + together),
                part: start..self.len.min(start + CHUNK),
            })
        })
    }
}

impl Chunk {
    /// Values.
    pub fn count(&self) -> usize {
        self.planes.len() * self.part.len()
    }
}

/// The planes of one channel of an output.
#[derive(Debug)]
pub struct PlanesMut<'a> {
    buffer: Disjoint<'a, f32>,
    channel: Channel,
}

impl<'a> PlanesMut<'a> {
    /// Of `channel` in `buffer`.
    ///
    /// # Safety
    /// While it lives, nobody else reaches this channel's elements.
    pub unsafe fn new(buffer: Disjoint<'a, f32>, channel: Channel) -> PlanesMut<'a> {
        PlanesMut { buffer, channel }
    }

    /// A plane.
    #[inline(always)]
    pub fn plane(&mut self, plane: usize) -> &mut [f32] {
        // SAFETY: the channel is ours alone, and this borrow of it ends before the next one.
        unsafe { self.buffer.part(self.channel.range(plane, &(0..self.channel.len))) }
    }
}

#[cfg(test)]
mod tests {
    use etalon_reference::ops::batchnorm_relu::{CHAIN, ImageLayout};

    use super::*;

    #[test]
    fn chunks_cover_a_channel_and_keep_chains_short() {
        for (n, hw) in [(1, 1), (1, 5000), (3, 4096), (70, 49), (5, 4095), (100, 1), (33, 129), (32, 3136), (64, 127)] {
            let images = Images::new(n, 2, hw, 1, ImageLayout::Nchw).expect("small");
            let channel = Channel::new(&images, 1);
            let mut seen = vec![0; images.len()];
            for chunk in channel.chunks() {
                assert!(chunk.count() <= CHUNK && chunk.count() > 0);
                assert!(chunk.planes.len() * (chunk.part.len() / 64 + 1) <= CHAIN + 1, "{chunk:?}");
                for plane in chunk.planes.clone() {
                    channel.range(plane, &chunk.part).for_each(|i| seen[i] += 1);
                }
            }
            assert!(seen.iter().enumerate().all(|(i, &s)| s == i / hw % 2), "n {n}, plane {hw}");
        }
    }
}

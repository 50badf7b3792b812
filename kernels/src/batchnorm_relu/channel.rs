//! Channels of NCHW images: groups that are computed together, and the chunks in which they are summed.

use std::ops::Range;

use etalon_reference::ops::batchnorm_relu::Images;

use crate::disjoint::Disjoint;

/// Elements of a chunk of a channel at most: it stays in the first cache between the two looks at it.
pub const CHUNK: usize = 4096;
/// Planes of a chunk at most. With four accumulators of sixteen lanes this keeps chains of additions within
/// 64 + 32 = [`CHAIN`](etalon_reference::ops::batchnorm_relu::CHAIN).
pub const PLANES: usize = 32;
/// Channels of a group at most.
pub const GROUP: usize = 16;
/// Elements that a group has in each image, where planes are small: memory is read in long pieces.
pub const PIECE: usize = 1024;
/// Elements of a task at least.
pub const TASK: usize = 16 * 1024;

/// Neighbouring channels that are computed together. What is computed for each of them does not depend on the others.
#[derive(Clone, Copy, Debug)]
pub struct Group {
    /// The first channel.
    pub first: usize,
    /// Channels, at most [`GROUP`].
    pub channels: usize,
    /// Planes of each.
    pub planes: usize,
    /// Elements of a plane.
    pub len: usize,
    /// Elements of an image.
    image: usize,
    /// How far ahead, in elements, lies what the same task needs next; 0 for nothing.
    pub ahead: usize,
}

/// Parts of planes that are summed together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chunk {
    /// The planes.
    pub planes: Range<usize>,
    /// Which part of each.
    pub part: Range<usize>,
}

/// How channels are split over tasks. Results don't depend on it.
#[derive(Clone, Copy, Debug)]
pub struct Blocks {
    images: Images,
    /// Channels of a task.
    each: usize,
}

impl Blocks {
    /// A few tasks a thread: neighbours are computed by the same one.
    pub fn new(images: &Images, threads: usize) -> Blocks {
        let tasks = if threads == 1 { 1 } else { 4 * threads };
        let least = TASK.div_ceil(images.count().max(1));
        Blocks { images: *images, each: images.c.div_ceil(tasks).max(least) }
    }

    /// Number of tasks.
    pub fn tasks(&self) -> usize {
        self.images.c.div_ceil(self.each)
    }

    /// The groups of a task.
    pub fn groups(&self, task: usize) -> impl Iterator<Item = Group> {
        let Images { n, c, h, w, .. } = self.images;
        let len = h * w;
        let together = (PIECE / len.max(1)).clamp(1, GROUP);
        let end = c.min((task + 1) * self.each);
        (task * self.each..end).step_by(together).map(move |first| {
            let channels = together.min(end - first);
            let ahead = if first + channels < end { channels * len } else { 0 };
            Group { first, channels, planes: n, len, image: c * len, ahead }
        })
    }
}

impl Group {
    /// Where `part` of a plane of the group's channel `g` lies in the buffer.
    #[inline(always)]
    pub fn range(&self, plane: usize, g: usize, part: &Range<usize>) -> Range<usize> {
        let start = plane * self.image + (self.first + g) * self.len;
        start + part.start..start + part.end
    }

    /// Where a whole plane lies.
    #[inline(always)]
    pub fn plane(&self, plane: usize, g: usize) -> Range<usize> {
        self.range(plane, g, &(0..self.len))
    }

    /// The indices of the channels.
    pub fn all(&self) -> Range<usize> {
        self.first..self.first + self.channels
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

    /// The buffer indices of a chunk of channel `g`.
    pub fn indices(&self, g: usize, chunk: &Chunk) -> impl Iterator<Item = usize> + Clone {
        let (group, part) = (*self, chunk.part.clone());
        chunk.planes.clone().flat_map(move |plane| group.range(plane, g, &part))
    }
}

impl Chunk {
    /// Values of a channel.
    pub fn count(&self) -> usize {
        self.planes.len() * self.part.len()
    }
}

/// The planes of a group of an output.
#[derive(Debug)]
pub struct PlanesMut<'a> {
    buffer: Disjoint<'a, f32>,
    group: Group,
}

impl<'a> PlanesMut<'a> {
    /// Of `group` in `buffer`.
    ///
    /// # Safety
    /// While it lives, nobody else reaches the elements of the group's channels.
    pub unsafe fn new(buffer: Disjoint<'a, f32>, group: Group) -> PlanesMut<'a> {
        PlanesMut { buffer, group }
    }

    /// A plane of channel `g` of the group.
    #[inline(always)]
    pub fn plane(&mut self, plane: usize, g: usize) -> &mut [f32] {
        assert!(g < self.group.channels);
        // SAFETY: the channel is ours alone, and this borrow of it ends before the next one.
        unsafe { self.buffer.part(self.group.plane(plane, g)) }
    }
}

#[cfg(test)]
mod tests {
    use etalon_reference::ops::batchnorm_relu::{CHAIN, ImageLayout};

    use super::*;

    #[test]
    fn groups_and_chunks_cover_all_and_keep_chains_short() {
        for (n, hw) in [(1, 1), (1, 5000), (3, 4096), (70, 49), (5, 4095), (100, 1), (33, 129), (32, 3136), (64, 127)] {
            for threads in [1, 3] {
                let images = Images::new(n, 37, hw, 1, ImageLayout::Nchw).expect("small");
                let blocks = Blocks::new(&images, threads);
                let mut seen = vec![0; images.len()];
                for group in (0..blocks.tasks()).flat_map(|task| blocks.groups(task)) {
                    assert!((1..=GROUP).contains(&group.channels));
                    for chunk in group.chunks() {
                        assert!(chunk.count() <= CHUNK && chunk.count() > 0);
                        assert!(chunk.planes.len() * (chunk.part.len() / 64 + 1) <= CHAIN + 1, "{chunk:?}");
                        (0..group.channels).flat_map(|g| group.indices(g, &chunk)).for_each(|i| seen[i] += 1);
                    }
                }
                assert!(seen.iter().all(|&s| s == 1), "n {n}, plane {hw}, {threads} threads");
            }
        }
    }
}

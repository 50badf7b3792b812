//! Images as operators take them: four extents and their order in memory.

use super::gemm::choice_value;
use crate::operator::{elements, size};
use crate::{Layout, Point, ProblemError};

/// How images lie in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ImageLayout {
    /// Planes of a channel.
    Nchw,
    /// All channels of a pixel side by side ("channels last").
    Nhwc,
}

/// Images: their number, channels, rows, columns, and how they lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Images {
    /// Images.
    pub n: usize,
    /// Channels.
    pub c: usize,
    /// Rows.
    pub h: usize,
    /// Columns.
    pub w: usize,
    /// Order in memory.
    pub layout: ImageLayout,
}

impl Images {
    /// Without gaps.
    ///
    /// # Errors
    /// [`ProblemError::Overflow`] if the elements do not fit the address space.
    pub fn new(n: usize, c: usize, h: usize, w: usize, layout: ImageLayout) -> Result<Images, ProblemError> {
        // Strides and counts are products of some of the extents: an extent of 0 does not excuse the others.
        elements("n·c·h·w", &[n.max(1), c.max(1), h.max(1), w.max(1)])?;
        Ok(Images { n, c, h, w, layout })
    }

    /// The images of a point with the axes n, c, h, w, layout.
    pub(super) fn of(point: &Point) -> Result<Images, ProblemError> {
        let layout = if choice_value(point, "layout")? == "nchw" { ImageLayout::Nchw } else { ImageLayout::Nhwc };
        Images::new(size(point, "n")?, size(point, "c")?, size(point, "h")?, size(point, "w")?, layout)
    }

    /// Elements.
    pub fn len(&self) -> usize {
        self.n * self.c * self.h * self.w
    }

    /// Whether there is no element.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Values of a channel.
    pub fn count(&self) -> usize {
        self.n * self.h * self.w
    }

    /// Elements from one image, channel, row and column to the next.
    pub fn strides(&self) -> [usize; 4] {
        let (row, plane) = (self.w * self.c, self.h * self.w);
        match self.layout {
            ImageLayout::Nchw => [self.c * plane, plane, self.w, 1],
            ImageLayout::Nhwc => [self.h * row, 1, row, self.c],
        }
    }

    /// Where the logical n×c×h×w array lies.
    pub fn port_layout(&self) -> Layout {
        let shape = [self.n, self.c, self.h, self.w];
        match self.layout {
            ImageLayout::Nchw => Layout::contiguous(&shape),
            ImageLayout::Nhwc => Layout::strided(&shape, &self.strides()),
        }
    }
}

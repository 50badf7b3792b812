//! What poolings have in common: images, and windows that move over their planes.

use super::gemm::choice_value;
use super::images::{ImageLayout, Images};
use super::window::Window;
use crate::operator::size;
use crate::{Point, ProblemError};

/// Images, the windows over their rows and columns, and one output for each pair of windows.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Pooling {
    pub x: Images,
    pub y: Images,
    pub rows: Window,
    pub cols: Window,
}

/// A size of at least 1.
pub(super) fn positive(point: &Point, axis: &'static str) -> Result<usize, ProblemError> {
    match size(point, axis)? {
        0 => Err(ProblemError::OutOfRange { axis, value: 0, rule: "at least 1" }),
        size => Ok(size),
    }
}

impl Pooling {
    fn new(point: &Point, rows: Window, cols: Window) -> Result<Pooling, ProblemError> {
        let layout = if choice_value(point, "layout")? == "nchw" { ImageLayout::Nchw } else { ImageLayout::Nhwc };
        let (n, c) = (size(point, "n")?, positive(point, "c")?);
        let x = Images::new(n, c, rows.input, cols.input, layout)?;
        Ok(Pooling { x, y: Images::new(n, c, rows.output, cols.output, layout)?, rows, cols })
    }

    /// Of a point with the axes n, c, h, w, r, s, sh, sw, ph, pw, layout and ceil, and taps so far apart.
    pub fn of(point: &Point, [dh, dw]: [usize; 2]) -> Result<Pooling, ProblemError> {
        let get = |axis| positive(point, axis);
        let ceil = choice_value(point, "ceil")? == "yes";
        let rows = Window::pooling("rows", [get("h")?, get("r")?, get("sh")?, dh, size(point, "ph")?], ceil)?;
        let cols = Window::pooling("columns", [get("w")?, get("s")?, get("sw")?, dw, size(point, "pw")?], ceil)?;
        Pooling::new(point, rows, cols)
    }

    /// Of a point with the axes n, c, h, w, oh, ow and layout: so many rows and columns of outputs, whatever the
    /// images' are.
    pub fn adaptive(point: &Point) -> Result<Pooling, ProblemError> {
        let get = |axis| positive(point, axis);
        let rows = Window::adaptive("rows", get("h")?, get("oh")?)?;
        Pooling::new(point, rows, Window::adaptive("columns", get("w")?, get("ow")?)?)
    }
}

/// The elements under the window of output (i, j) in row-major order: row and column.
pub(super) fn under(rows: Window, cols: Window, i: usize, j: usize) -> impl Iterator<Item = (usize, usize)> {
    let ((row, height), (column, width)) = (rows.span(i), cols.span(j));
    let columns = move |row| (0..width).map(move |s| (row, column + s * cols.dilation));
    (0..height).flat_map(move |r| columns(row + r * rows.dilation))
}

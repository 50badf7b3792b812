//! `conv2d`: `y = relu(scale·(x ⋆ w) + bias)` over images, with stride, padding, dilation and groups.
//!
//! `y[n, k, i, j] = act(scale[k] · Σ x[n, c, i·sh + r·dh − pt, j·sw + s·dw − pl] · w[k, c, r, s] + bias[k])` over the input
//! channels c of k's group and the taps (r, s) that fall on the image. The scale is a batch normalisation's that was folded;
//! its shift is the bias. Weights are k×c×r×s in that order whatever the images' layout.
//!
//! **Order of summation** (of the kernels that say so): the products of an output are numbered by (c, r, s) where planes of a
//! channel lie together, by (r, s, c) where the channels of a pixel do, taps outside the image included. They are added in
//! chunks of [`CHUNK`](super::gemm::CHUNK), each by one chain of fused multiply-adds from +0, and the chunks in order; then
//! `fma(scale, sum, bias)` (or `sum + bias`), then the ReLU.

use std::any::Any;

use ndarray::{Array2, Array4, ArrayD, Axis as NdAxis, Ix1, Ix4, Slice};

use super::gemm::{chain, choice_value};
use super::images::{ImageLayout, Images};
use crate::operator::{elements, size};
use crate::{
    Axis, DType, Fill, Layout, Operator, Point, Port, Problem, ProblemError, Tolerance, Work, Workload, tolerance,
};

const CHANNELS: &[i64] = &[1, 2, 3, 4, 7, 8, 15, 16, 17, 31, 32, 33];
const EXTENTS: &[i64] = &[1, 2, 3, 4, 5, 6, 7, 8, 9, 13, 14, 15, 16, 17];
const TAPS: &[i64] = &[1, 2, 3, 5, 7];

pub(super) const AXES: &[Axis] = &[
    Axis::int("n", "images", 1, 3, &[0, 1, 2]),
    Axis::int("c", "input channels of a group", 1, 36, CHANNELS).positive(),
    Axis::int("h", "rows of the input", 8, 18, EXTENTS).positive(),
    Axis::int("w", "columns of the input", 8, 18, EXTENTS).positive(),
    Axis::int("k", "output channels of a group", 1, 36, CHANNELS).positive(),
    Axis::int("r", "rows of the kernel", 1, 7, TAPS).positive(),
    Axis::int("s", "columns of the kernel", 1, 7, TAPS).positive(),
    Axis::int("g", "groups", 1, 5, &[1, 2, 3, 16, 17]).positive(),
    Axis::int("sh", "rows from one output to the next", 1, 4, &[1, 2, 3]).positive(),
    Axis::int("sw", "columns from one output to the next", 1, 4, &[1, 2, 3]).positive(),
    Axis::int("dh", "rows from one tap to the next", 1, 3, &[1, 2]).positive(),
    Axis::int("dw", "columns from one tap to the next", 1, 3, &[1, 2]).positive(),
    Axis::int("pt", "rows of zeros above", 0, 4, &[0, 1, 2, 3]),
    Axis::int("pl", "columns of zeros to the left", 0, 4, &[0, 1, 2, 3]),
    Axis::int("pb", "rows of zeros below", 0, 4, &[0, 1, 2, 3]),
    Axis::int("pr", "columns of zeros to the right", 0, 4, &[0, 1, 2, 3]),
    Axis::choice("layout", "order of the images' axes in memory", &["nchw", "nhwc"]),
    Axis::choice("bias", "a summand of each output channel", &["none", "channel"]),
    Axis::choice("scale", "a factor of each output channel: a folded batch normalisation", &["none", "channel"]),
    Axis::choice("relu", "whether there is a ReLU", &["no", "yes"]),
];

/// A window that moves over one dimension of the input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// Extent of the input.
    pub input: usize,
    /// Taps.
    pub taps: usize,
    /// Input elements from one output to the next, at most the padded input's.
    pub stride: usize,
    /// Input elements from one tap to the next; 1 if there is one tap.
    pub dilation: usize,
    /// Zeros before the input.
    pub before: usize,
    /// Zeros behind it.
    pub after: usize,
    /// Extent of the output.
    pub output: usize,
}

impl Window {
    /// Checked: the output's extent is ⌊(input + before + after − dilation·(taps − 1) − 1) / stride⌋ + 1.
    ///
    /// # Errors
    /// [`ProblemError`] if the stride, the dilation or the taps are 0, if the window is larger than the padded input, or if a
    /// sum overflows.
    pub fn new(
        name: &'static str,
        [input, taps, stride, dilation, before, after]: [usize; 6],
    ) -> Result<Window, ProblemError> {
        if taps == 0 || stride == 0 || dilation == 0 {
            return Err(ProblemError::Conflict(format!("{name}: taps, stride and dilation are at least 1")));
        }
        elements("stride", &[stride])?;
        elements("dilation", &[dilation])?;
        let overflow = ProblemError::Overflow { what: "padded input" };
        let padded = input.checked_add(before).and_then(|sum| sum.checked_add(after)).ok_or(overflow.clone())?;
        let reach = (taps - 1).checked_mul(dilation).and_then(|reach| reach.checked_add(1)).ok_or(overflow)?;
        if reach > padded {
            let message = format!("{name}: the window of {reach} is larger than the padded input of {padded}");
            return Err(ProblemError::Conflict(message));
        }
        let output = (padded - reach) / stride + 1;
        // Steps that are not taken may be of any length; products with them must not overflow.
        let stride = stride.min(padded);
        let dilation = if taps == 1 { 1 } else { dilation };
        Ok(Window { input, taps, stride, dilation, before, after, output })
    }

    /// The input index of a tap of an output, if it falls on the input.
    #[inline]
    pub fn index(&self, output: usize, tap: usize) -> Option<usize> {
        (output * self.stride + tap * self.dilation).checked_sub(self.before).filter(|&i| i < self.input)
    }

    /// Outputs of which a tap falls on the input.
    fn seen(&self) -> usize {
        (0..self.output).filter(|&output| (0..self.taps).any(|tap| self.index(output, tap).is_some())).count()
    }

    /// Extent of the input with its zeros.
    pub fn padded(&self) -> usize {
        self.before + self.input + self.after
    }

    /// The elements of the padded input that a tap meets, one an output.
    fn under(&self, tap: usize) -> Slice {
        let start = (tap * self.dilation) as isize;
        let end = start + ((self.output - 1) * self.stride) as isize + 1;
        Slice::new(start, Some(end), self.stride as isize)
    }
}

/// A validated convolution.
#[derive(Clone, Debug, PartialEq)]
pub struct Conv2d {
    /// The input.
    pub x: Images,
    /// The output.
    pub y: Images,
    /// Groups; input and output channels are split evenly over them.
    pub groups: usize,
    /// Rows.
    pub rows: Window,
    /// Columns.
    pub cols: Window,
    /// Whether there is a bias of y.c elements.
    pub bias: bool,
    /// Whether there is a scale of y.c elements.
    pub scale: bool,
    /// Whether there is a ReLU: `max(y, 0)`, NaN stays NaN.
    pub relu: bool,
}

impl Conv2d {
    /// Input channels of a group.
    pub fn group_in(&self) -> usize {
        self.x.c / self.groups.max(1)
    }

    /// Output channels of a group.
    pub fn group_out(&self) -> usize {
        self.y.c / self.groups.max(1)
    }

    /// Products of an output, taps outside the image included.
    pub fn depth(&self) -> usize {
        self.group_in() * self.rows.taps * self.cols.taps
    }

    /// Shape of the weights.
    pub fn weights(&self) -> [usize; 4] {
        [self.y.c, self.group_in(), self.rows.taps, self.cols.taps]
    }

    /// Reads the axes.
    pub(super) fn of(point: &Point) -> Result<Conv2d, ProblemError> {
        let get = |axis| match size(point, axis)? {
            0 if !["n", "pt", "pl", "pb", "pr"].contains(&axis) => {
                Err(ProblemError::OutOfRange { axis, value: 0, rule: "at least 1" })
            }
            size => Ok(size),
        };
        let layout = if choice_value(point, "layout")? == "nchw" { ImageLayout::Nchw } else { ImageLayout::Nhwc };
        let rows = Window::new("rows", [get("h")?, get("r")?, get("sh")?, get("dh")?, get("pt")?, get("pb")?])?;
        let cols = Window::new("columns", [get("w")?, get("s")?, get("sw")?, get("dw")?, get("pl")?, get("pr")?])?;
        let (n, groups) = (get("n")?, get("g")?);
        let (c, k) = (elements("g·c", &[groups, get("c")?])?, elements("g·k", &[groups, get("k")?])?);
        let depth = elements("c·r·s", &[get("c")?.max(1), rows.taps, cols.taps])?;
        elements("weights", &[k.max(1), depth])?;
        Ok(Conv2d {
            x: Images::new(n, c, rows.input, cols.input, layout)?,
            y: Images::new(n, k, rows.output, cols.output, layout)?,
            groups,
            rows,
            cols,
            bias: choice_value(point, "bias")? == "channel",
            scale: choice_value(point, "scale")? == "channel",
            relu: choice_value(point, "relu")? == "yes",
        })
    }

    /// `Σ x·w` for each output: the image, shifted by each tap, times the tap's matrix of weights.
    fn sums(&self, x: &ArrayD<f64>, w: &ArrayD<f64>) -> Array4<f64> {
        let (x, w) = (self.padded(x), w.view().into_dimensionality::<Ix4>().expect("k×c×r×s"));
        let (c, k, pixels) = (self.group_in(), self.group_out(), self.y.h * self.y.w);
        let mut y = Array4::zeros([self.y.n, self.y.c, self.y.h, self.y.w]);
        for (mut y, x) in y.outer_iter_mut().zip(x.outer_iter()) {
            for g in 0..self.groups {
                let mut sum = Array2::<f64>::zeros([k, pixels]);
                for (r, s) in ndarray::indices([self.rows.taps, self.cols.taps]) {
                    let weights = w.slice_axis(NdAxis(0), Slice::from(g * k..(g + 1) * k));
                    let weights = weights.index_axis_move(NdAxis(3), s).index_axis_move(NdAxis(2), r).to_owned();
                    let shifted = x.slice_each_axis(|axis| match axis.axis.index() {
                        0 => Slice::from(g * c..(g + 1) * c),
                        1 => self.rows.under(r),
                        _ => self.cols.under(s),
                    });
                    sum +=
                        &weights.dot(&shifted.to_owned().into_shape_with_order([c, pixels]).expect("as many elements"));
                }
                let shape = [k, self.y.h, self.y.w];
                y.slice_axis_mut(NdAxis(0), Slice::from(g * k..(g + 1) * k))
                    .assign(&sum.into_shape_with_order(shape).expect("pixels"));
            }
        }
        y
    }

    /// The images among their zeros.
    pub(super) fn padded(&self, x: &ArrayD<f64>) -> Array4<f64> {
        let x = x.view().into_dimensionality::<Ix4>().expect("n×c×h×w");
        let (rows, cols) = (&self.rows, &self.cols);
        let mut padded = Array4::zeros([self.x.n, self.x.c, rows.padded(), cols.padded()]);
        let inside = padded.slice_each_axis_mut(|axis| match axis.axis.index() {
            2 => Slice::from(rows.before..rows.before + rows.input),
            3 => Slice::from(cols.before..cols.before + cols.input),
            _ => Slice::from(..),
        });
        inside.into_dimensionality::<Ix4>().expect("four dimensions").assign(&x);
        padded
    }

    /// `scale·sum + bias`.
    pub(super) fn scaled(&self, mut sums: Array4<f64>, scale: &ArrayD<f64>, bias: &ArrayD<f64>) -> Array4<f64> {
        let vector = |v: &ArrayD<f64>| v.view().into_dimensionality::<Ix1>().expect("a vector").to_owned();
        let (scale, bias) = (vector(scale), vector(bias));
        for ((_, k, _, _), y) in sums.indexed_iter_mut() {
            let scaled = if self.scale { *y * scale[k] } else { *y };
            *y = if self.bias { scaled + bias[k] } else { scaled };
        }
        sums
    }
}

impl Problem for Conv2d {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn inputs(&self, dtype: DType) -> Vec<Port> {
        let vector = |name, present| Port::optional(name, dtype, Layout::contiguous(&[self.y.c]), present);
        vec![
            Port::new("x", dtype, self.x.port_layout()),
            Port::new("w", dtype, Layout::contiguous(&self.weights())).finite(),
            // Infinite factors of sums near 0 would turn a rounding into a sign.
            vector("scale", self.scale).factor(),
            vector("bias", self.bias),
        ]
    }

    fn outputs(&self, dtype: DType) -> Vec<Port> {
        vec![Port::new("y", dtype, self.y.port_layout())]
    }

    fn reference(&self, inputs: &[ArrayD<f64>]) -> Vec<ArrayD<f64>> {
        let [x, w, scale, bias] = inputs else { panic!("four inputs") };
        let mut y = self.scaled(self.sums(x, w), scale, bias);
        if self.relu {
            y.mapv_inplace(|y| if y < 0.0 { 0.0 } else { y });
        }
        vec![y.into_dyn()]
    }

    fn tolerance(&self, dtype: DType, fill: Fill, inputs: &[ArrayD<f64>], expected: &[ArrayD<f64>]) -> Vec<Tolerance> {
        if fill == Fill::Exact {
            return vec![Tolerance::Exact];
        }
        let [x, w, scale, bias] =
            inputs.iter().map(|input| input.mapv(f64::abs)).collect::<Vec<_>>().try_into().expect("four inputs");
        let u = dtype.unit_roundoff();
        let sides = if dtype == DType::F64 { 2.0 } else { 1.0 };
        // The scale and the bias round once each.
        let steps = chain(self.depth()) + 2;
        let mut bound = self.scaled(self.sums(&x, &w), &scale, &bias);
        bound.mapv_inplace(|s| sides * (tolerance::gamma(steps, u) * s + steps as f64 * dtype.underflow()));
        let y = expected[0].view().into_dimensionality::<Ix4>().expect("n×k×h×w");
        ndarray::Zip::from(&mut bound).and(&y).for_each(|b, y| {
            *b += if y.is_finite() { u * y.abs() + dtype.underflow() } else { 0.0 };
        });
        let formula = "γ(min(crs,256)+⌈crs/256⌉+2)·(|scale|Σ|x||w| + |bias|) + u|y|";
        vec![Tolerance::Bound { formula, bound: bound.into_dyn() }]
    }

    fn work(&self, dtype: DType) -> Work {
        let (outputs, weights) = (self.y.len() as f64, self.weights().iter().product::<usize>() as f64);
        let vectors = [self.bias, self.scale].iter().filter(|there| **there).count() as f64 * self.y.c as f64;
        Work {
            flops: 2.0 * outputs * self.depth() as f64,
            bytes: (self.x.len() as f64 + weights + vectors + outputs) * dtype.size() as f64,
        }
    }

    fn differentiable(&self) -> Vec<usize> {
        let optional = [(2, self.scale), (3, self.bias)];
        [0, 1].into_iter().chain(optional.into_iter().filter(|(_, there)| *there).map(|(input, _)| input)).collect()
    }

    fn degenerate(&self) -> bool {
        // Few products and a ReLU leave little but zeros, as do windows on the padding alone.
        let seen = self.rows.seen() * self.cols.seen();
        self.depth() <= 1 || self.x.h * self.x.w < self.rows.taps * self.cols.taps || 2 * seen < self.y.h * self.y.w
    }
}

/// The operator `conv2d`.
pub struct Conv2dOperator;

impl Operator for Conv2dOperator {
    fn name(&self) -> &'static str {
        "conv2d"
    }

    fn summary(&self) -> &'static str {
        "y = relu(scale·(x ⋆ w) + bias), with stride, padding, dilation and groups"
    }

    fn axes(&self) -> &'static [Axis] {
        AXES
    }

    fn dtypes(&self) -> &'static [DType] {
        &[DType::F32, DType::F64]
    }

    fn problem(&self, point: &Point) -> Result<Box<dyn Problem>, ProblemError> {
        Ok(Box::new(Conv2d::of(point)?))
    }

    fn workloads(&self) -> &'static [Workload] {
        super::conv_workloads::FORWARD
    }

    fn special_values(&self) -> &'static str {
        "NaN and ∞ of x, scale and bias follow the formula; weights are finite, as a kernel may multiply them with the zeros of \
         the padding; ReLU keeps NaN"
    }

    fn batch_axis(&self) -> Option<&'static str> {
        Some("n")
    }
}

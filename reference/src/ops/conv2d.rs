//! `conv2d`: `y = relu(scale·(x ⋆ w) + bias)` over images, with stride, padding, dilation and groups.
//!
//! `y[n, k, i, j] = act(scale[k] · Σ x[n, c, i·sh + r·dh − pt, j·sw + s·dw − pl] · w[k, c, r, s] + bias[k])` over the input
//! channels c of k's group and the taps (r, s) that fall on the image. The scale is a batch normalisation's that was folded;
//! its shift is the bias. Weights are k×c×r×s in that order whatever the images' layout.
//!
//! **Order of summation** (of the kernels that say so): the products of an output are numbered by (c, r, s) where planes of a
//! channel lie together, by (r, s, c) where the channels of a pixel do, taps outside the image included. They are added in
//! chunks of [`CHUNK`](super::gemm::CHUNK), each by one chain of fused multiply-adds from +0, and the chunks in order; then
//! `sum·scale + bias`, each step rounded, then the ReLU.
//!
//! **Error.** [`gemm`](super::gemm)'s bound with k = c·r·s products: γ(min(k, 256) + ⌈k/256⌉ + 2)·(|scale|·Σ|x||w| +
//! |bias|) + u·|y|. Weights are finite by contract: kernels may multiply them with the zeros of the padding.
//! Winograd's algorithms bring their own tolerance: see [`winograd`](super::winograd).

use ndarray::{Array4, ArrayD, Ix1};

use super::gemm::{chain, choice_value};
use super::images::{ImageLayout, Images};
use super::window::Window;
use crate::operator::{elements, size};
use crate::{
    Axis, Fill, Layout, Operator, Point, Port, Problem, ProblemError, Tolerance, Types, Unit, Witness, tolerance,
};

const CHANNELS: &[i64] = &[1, 2, 3, 4, 7, 8, 15, 16, 17, 31, 32, 33];
const EXTENTS: &[i64] = &[1, 2, 3, 4, 5, 6, 7, 8, 9, 13, 14, 15, 16, 17];
const TAPS: &[i64] = &[1, 2, 3, 5, 7];

/// The axes of the geometry and of a bias, which gradients share.
pub(super) const GEOMETRY_AND_BIAS: &[Axis] = AXES.split_at(18).0;
/// The axes of the geometry alone.
pub(super) const GEOMETRY: &[Axis] = AXES.split_at(17).0;

pub(super) const AXES: &[Axis] = &[
    Axis::int("n", "images", 1, 5, &[0, 1, 2, 4, 5, 11, 33]),
    Axis::int("c", "input channels of a group", 1, 36, CHANNELS).positive(),
    Axis::int("h", "rows of the input", 8, 18, EXTENTS).positive(),
    Axis::int("w", "columns of the input", 8, 18, EXTENTS).positive(),
    Axis::int("k", "output channels of a group", 1, 36, CHANNELS).positive(),
    Axis::int("r", "rows of the kernel", 1, 7, TAPS).positive().bounded(),
    Axis::int("s", "columns of the kernel", 1, 7, TAPS).positive().bounded(),
    Axis::int("g", "groups", 1, 5, &[1, 2, 3, 16, 17]).positive(),
    Axis::int("sh", "rows from one output to the next", 1, 4, &[1, 2, 3]).positive().bounded(),
    Axis::int("sw", "columns from one output to the next", 1, 4, &[1, 2, 3]).positive().bounded(),
    Axis::int("dh", "rows from one tap to the next", 1, 3, &[1, 2]).positive().bounded(),
    Axis::int("dw", "columns from one tap to the next", 1, 3, &[1, 2]).positive().bounded(),
    Axis::int("pt", "rows of zeros above", 0, 4, &[0, 1, 2, 3]),
    Axis::int("pl", "columns of zeros to the left", 0, 4, &[0, 1, 2, 3]),
    Axis::int("pb", "rows of zeros below", 0, 4, &[0, 1, 2, 3]),
    Axis::int("pr", "columns of zeros to the right", 0, 4, &[0, 1, 2, 3]),
    Axis::choice("layout", "order of the images' axes in memory", &["nchw", "nhwc"]),
    Axis::choice("bias", "a summand of each output channel", &["none", "channel"]),
    Axis::choice("scale", "a factor of each output channel: a folded batch normalisation", &["none", "channel"]),
    Axis::choice("relu", "whether there is a ReLU", &["no", "yes"]),
];

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

    /// Products that an element of x takes part in at most: all taps of all output channels of its group.
    pub fn spread_depth(&self) -> usize {
        self.group_out() * self.rows.taps * self.cols.taps
    }

    /// Whether few elements of x are met by a tap, or by few: the adjoint leaves little but zeros then.
    pub(super) fn spread_is_sparse(&self) -> bool {
        let met = self.rows.met() * self.cols.met();
        self.spread_depth() <= 1 || 2 * met < self.x.h * self.x.w
    }

    /// Whether few taps meet the image, or few outputs.
    pub(super) fn correlated_is_sparse(&self) -> bool {
        let useful = self.rows.useful() * self.cols.useful();
        self.y.h * self.y.w <= 1 || 2 * useful < self.rows.taps * self.cols.taps
    }

    /// Shape of the weights.
    pub fn weights(&self) -> [usize; 4] {
        [self.y.c, self.group_in(), self.rows.taps, self.cols.taps]
    }

    /// Without scale, bias and ReLU, of a point that may lack their axes.
    pub(super) fn plain(point: &Point) -> Result<Conv2d, ProblemError> {
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
            bias: false,
            scale: false,
            relu: false,
        })
    }

    /// Reads the axes.
    pub(super) fn of(point: &Point) -> Result<Conv2d, ProblemError> {
        Ok(Conv2d {
            bias: choice_value(point, "bias")? == "channel",
            scale: choice_value(point, "scale")? == "channel",
            relu: choice_value(point, "relu")? == "yes",
            ..Conv2d::plain(point)?
        })
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

/// The convolution's point with the geometry of another operator's.
pub(super) fn with_geometry_of(point: &Point) -> Point {
    let copy = |to: Point, axis: &Axis| to.with(axis.name, point.get(axis.name));
    GEOMETRY.iter().fold(Point::default_of(AXES), copy)
}

impl Problem for Conv2d {
    fn inputs(&self, types: Types) -> Vec<Port> {
        let vector = |name, present| Port::optional(name, types, Layout::contiguous(&[self.y.c]), present);
        vec![
            Port::new("x", types, self.x.port_layout()),
            Port::new("w", types, Layout::contiguous(&self.weights())).finite().weights(),
            // Infinite factors of sums near 0 would turn a rounding into a sign.
            vector("scale", self.scale).factor().weights(),
            vector("bias", self.bias).weights(),
        ]
    }

    fn outputs(&self, types: Types) -> Vec<Port> {
        vec![Port::new("y", types, self.y.port_layout())]
    }

    fn reference(&self, inputs: &[ArrayD<f64>]) -> Vec<ArrayD<f64>> {
        let [x, w, scale, bias] = inputs else { panic!("four inputs") };
        let mut y = self.scaled(self.sums(x, w), scale, bias);
        if self.relu {
            y.mapv_inplace(|y| if y < 0.0 { 0.0 } else { y });
        }
        vec![y.into_dyn()]
    }

    fn tolerance(&self, types: Types, fill: Fill, inputs: &[ArrayD<f64>], expected: &[ArrayD<f64>]) -> Vec<Tolerance> {
        if fill == Fill::Exact {
            return vec![Tolerance::Exact];
        }
        let [x, w, scale, bias] =
            inputs.iter().map(|input| input.mapv(f64::abs)).collect::<Vec<_>>().try_into().expect("four inputs");
        // The scale and the bias round once each.
        let steps = chain(self.depth()) + 2;
        let magnitude = self.scaled(self.sums(&x, &w), &scale, &bias).into_dyn();
        let bound = tolerance::of_chains(steps, &magnitude, types, &expected[0]);
        let formula = "γ(min(crs,256)+⌈crs/256⌉+2)·(|scale|Σ|x||w| + |bias|) + u|y|";
        vec![if self.relu {
            Tolerance::bound_behind_zero(formula, bound, &expected[0])
        } else {
            Tolerance::bound(formula, bound, &expected[0])
        }]
    }

    fn operations(&self) -> (f64, Unit) {
        (2.0 * self.y.len() as f64 * self.depth() as f64, Unit::Fma)
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
pub static CONV2D: Operator = Operator {
    name: "conv2d",
    summary: "y = relu(scale·(x ⋆ w) + bias), with stride, padding, dilation and groups",
    axes: AXES,
    types: &[Types::F32, Types::F64],
    make: |point| Ok(Box::new(Conv2d::of(point)?)),
    workloads: super::conv_workloads::FORWARD,
    special_values: "NaN and ∞ of x, scale and bias follow the formula; weights are finite, as a kernel may multiply them with the zeros of \
 the padding; ReLU keeps NaN",
    domains: super::conv_domains::DOMAINS,
    gradient: None,
    witness: Witness::Libtorch,
    batch: Some("n"),
};

//! `conv_transpose2d`: the adjoint of a convolution as a layer of its own, with a bias.
//!
//! `y[n, k, i, j] = Σ x[n, c, h, v] · w[c, k, r, s] + bias[k]` over the inputs (h, v) and taps (r, s) with
//! `i = h·sh + r·dh − pt`, `j = v·sw + s·dw − pl`, and the input channels c of k's group. The output has
//! `(h − 1)·sh − pt − pb + (r − 1)·dh + oh + 1` rows. Weights are c×(k/groups)×r×s in that order whatever the images' layout,
//! the weights of the convolution whose adjoint this is.
//!
//! **Order of summation** (of the kernels that say so): that of
//! [`conv2d_backward_data`](super::conv2d_backward_data), then `+ bias`.
//!
//! **Error.** That of [`conv2d_backward_data`](super::conv2d_backward_data), with one more rounding for the bias.

use ndarray::{ArrayD, Axis as NdAxis};

use super::conv_gradient_workloads as workloads;
use super::conv2d::{Conv2d, GEOMETRY};
use super::gemm::{chain, choice_value};
use super::images::{ImageLayout, Images};
use super::window::Window;
use crate::operator::{elements, size};
use crate::{
    Axis, Fill, Layout, Operator, Point, Port, Problem, ProblemError, Tolerance, Types, Unit, Witness, tolerance,
};

const OWN: [Axis; 3] = [
    Axis::int("oh", "rows added below the output, fewer than the stride", 0, 3, &[0, 1]),
    Axis::int("ow", "columns added right of the output, fewer than the stride", 0, 3, &[0, 1]),
    Axis::choice("bias", "a summand of each output channel", &["none", "channel"]),
];

pub(super) const AXES: &[Axis] = &{
    let mut axes = [OWN[0]; GEOMETRY.len() + OWN.len()];
    let mut i = 0;
    while i < axes.len() {
        axes[i] = if i < GEOMETRY.len() { GEOMETRY[i] } else { OWN[i - GEOMETRY.len()] };
        i += 1;
    }
    // The zeros around the images of a convolution are what its adjoint leaves out.
    axes[12].help = "rows left out above";
    axes[13].help = "columns left out to the left";
    axes[14].help = "rows left out below";
    axes[15].help = "columns left out to the right";
    axes
};

/// A validated transposed convolution.
#[derive(Clone, Debug, PartialEq)]
pub struct ConvTranspose2d {
    /// The convolution whose adjoint it is: its y is our x, its x is our y. Without scale, bias and ReLU.
    pub conv: Conv2d,
    /// Rows and columns that no tap of the last input reaches, added to the output.
    pub added: [usize; 2],
    /// Whether there is a bias of y.c elements.
    pub bias: bool,
}

impl ConvTranspose2d {
    /// Reads the axes.
    pub(super) fn of(point: &Point) -> Result<ConvTranspose2d, ProblemError> {
        let get = |axis| match size(point, axis)? {
            0 if !["n", "pt", "pl", "pb", "pr", "oh", "ow"].contains(&axis) => {
                Err(ProblemError::OutOfRange { axis, value: 0, rule: "at least 1" })
            }
            size => Ok(size),
        };
        let layout = if choice_value(point, "layout")? == "nchw" { ImageLayout::Nchw } else { ImageLayout::Nhwc };
        let [rows, cols] = [
            window("rows", ["h", "r", "sh", "dh", "pt", "pb", "oh"].map(get))?,
            window("columns", ["w", "s", "sw", "dw", "pl", "pr", "ow"].map(get))?,
        ];
        let (n, groups) = (get("n")?, get("g")?);
        let (c, k) = (elements("g·c", &[groups, get("c")?])?, elements("g·k", &[groups, get("k")?])?);
        elements("weights", &[c, get("k")?, rows.taps, cols.taps])?;
        let conv = Conv2d {
            x: Images::new(n, k, rows.input, cols.input, layout)?,
            y: Images::new(n, c, rows.output, cols.output, layout)?,
            groups,
            rows,
            cols,
            bias: false,
            scale: false,
            relu: false,
        };
        Ok(ConvTranspose2d { conv, added: [get("oh")?, get("ow")?], bias: choice_value(point, "bias")? == "channel" })
    }

    /// With the bias.
    fn biased(&self, mut y: ArrayD<f64>, bias: &ArrayD<f64>) -> ArrayD<f64> {
        if self.bias {
            for (mut y, &bias) in y.axis_iter_mut(NdAxis(1)).zip(bias) {
                y += bias;
            }
        }
        y
    }
}

/// The window of the convolution, from the extent of its output.
fn window(name: &'static str, sizes: [Result<usize, ProblemError>; 7]) -> Result<Window, ProblemError> {
    let [input, taps, stride, dilation, before, after, added] = sizes;
    let (input, taps, stride, dilation, before, after, added) =
        (input?, taps?, stride?, dilation?, before?, after?, added?);
    if added >= stride {
        let message = format!("{name}: {added} added to the output are not fewer than the stride of {stride}");
        return Err(ProblemError::Conflict(message));
    }
    elements("stride", &[stride])?;
    elements("dilation", &[dilation])?;
    let overflow = || ProblemError::Overflow { what: "output" };
    let steps = (input - 1).checked_mul(stride).ok_or_else(overflow)?;
    let reach = (taps - 1).checked_mul(dilation).ok_or_else(overflow)?;
    let full = [reach, added, 1].into_iter().try_fold(steps, usize::checked_add).ok_or_else(overflow)?;
    let left_out = before.checked_add(after).ok_or_else(overflow)?;
    let Some(output) = full.checked_sub(left_out).filter(|&output| output > 0) else {
        let message = format!("{name}: {left_out} left out of {full} leave no output");
        return Err(ProblemError::Conflict(message));
    };
    let window = Window::new(name, [output, taps, stride, dilation, before, after])?;
    debug_assert_eq!(window.output, input, "{window:?}");
    Ok(window)
}

impl Problem for ConvTranspose2d {
    fn inputs(&self, types: Types) -> Vec<Port> {
        vec![
            Port::new("x", types, self.conv.y.port_layout()),
            Port::new("w", types, Layout::contiguous(&self.conv.weights())).finite().weights(),
            Port::optional("bias", types, Layout::contiguous(&[self.conv.x.c]), self.bias).weights(),
        ]
    }

    fn outputs(&self, types: Types) -> Vec<Port> {
        vec![Port::new("y", types, self.conv.x.port_layout())]
    }

    fn reference(&self, inputs: &[ArrayD<f64>]) -> Vec<ArrayD<f64>> {
        let [x, w, bias] = inputs else { panic!("three inputs") };
        vec![self.biased(self.conv.spread(x, w).into_dyn(), bias)]
    }

    fn tolerance(&self, types: Types, fill: Fill, inputs: &[ArrayD<f64>], expected: &[ArrayD<f64>]) -> Vec<Tolerance> {
        if fill == Fill::Exact {
            return vec![Tolerance::Exact];
        }
        let [x, w, bias] = [0, 1, 2].map(|input| inputs[input].mapv(f64::abs));
        let magnitude = self.biased(self.conv.spread(&x, &w).into_dyn(), &bias);
        // The bias rounds once; no output meets more than all taps.
        let steps = chain(self.conv.spread_depth()) + 1;
        let bound = tolerance::of_chains(steps, &magnitude, types, &expected[0]);
        vec![Tolerance::bound("γ(min(crs,256)+⌈crs/256⌉+1)·(Σ|x||w| + |bias|) + u|y|", bound, &expected[0])]
    }

    fn operations(&self) -> (f64, Unit) {
        self.conv.operations()
    }

    fn differentiable(&self) -> Vec<usize> {
        if self.bias { vec![0, 1, 2] } else { vec![0, 1] }
    }

    fn degenerate(&self) -> bool {
        self.conv.spread_is_sparse()
    }
}

/// The operator `conv_transpose2d`.
pub static CONV_TRANSPOSE2D: Operator = Operator {
    name: "conv_transpose2d",
    summary: "y = the adjoint of a convolution, applied to x, + bias",
    axes: AXES,
    types: &[Types::F32, Types::F64],
    make: |point| Ok(Box::new(ConvTranspose2d::of(point)?)),
    workloads: workloads::TRANSPOSED,
    special_values: "NaN and ∞ of x and bias follow the formula; weights are finite, as a kernel may multiply them with zeros around x",
    domains: super::conv_domains::DOMAINS,
    gradient: None,
    witness: Witness::Libtorch,
    batch: Some("n"),
};

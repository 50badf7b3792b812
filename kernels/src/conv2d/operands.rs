//! Operands with names, and how they lie.

use etalon_reference::Element;
use etalon_reference::ops::conv2d::Conv2d;
use etalon_reference::ops::images::ImageLayout;

use crate::call::{Call, elements};
use crate::gemm::Float;
use crate::gemm::epilogue::{Along, Finish};
use crate::workspace::Workspace;
use etalon_reference::ops::gemm::Activation;

/// How weights lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// k×(c/groups)×r×s, as the operator has them.
    ChannelsFirst,
    /// k×r×s×(c/groups). The products of an output are then numbered by (r, s, c) whatever the images' layout.
    TapsFirst,
    /// c×(k/groups)×r×s with the taps in reverse, as the convolution has them to which this one is the adjoint. The products
    /// are numbered by (r, s, c). Only some algorithms read them.
    Exchanged,
    /// As the plan of one of Winograd's kernels holds them. Only that kernel reads them.
    Transformed,
}

/// Operands of a convolution, of its lengths. Images lie as the problem says.
#[derive(Debug)]
pub struct Operands<'a, T> {
    /// Images.
    pub x: &'a [T],
    /// Weights.
    pub w: &'a [T],
    /// How they lie.
    pub order: Order,
    /// A factor per output channel; empty where the problem has none.
    pub scale: &'a [T],
    /// A summand per output channel; empty where the problem has none.
    pub bias: &'a [T],
    /// Images, written.
    pub y: &'a mut [T],
}

impl<'a, T: Element> Operands<'a, T> {
    /// Those of a call, and its workspace.
    pub fn of(call: &'a mut Call<'_>) -> (Operands<'a, T>, &'a mut Workspace) {
        let [x, w, scale, bias] = [0, 1, 2, 3].map(|i| call.input::<T>(i));
        let ([y], workspace) = call.outputs();
        (Operands { x, w, order: Order::ChannelsFirst, scale, bias, y: elements(y) }, workspace)
    }
}

/// How the products of an output are numbered.
#[derive(Clone, Copy, Debug)]
pub struct Products {
    channels: usize,
    taps: [usize; 2],
    taps_first: bool,
}

impl Products {
    /// Those of a convolution with weights in this order.
    pub fn new(p: &Conv2d, order: Order) -> Products {
        let taps_first = order != Order::ChannelsFirst || p.x.layout == ImageLayout::Nhwc;
        Products { channels: p.group_in(), taps: [p.rows.taps, p.cols.taps], taps_first }
    }

    /// Channel and tap of product `q`.
    #[inline]
    pub fn at(&self, q: usize) -> (usize, usize, usize) {
        let [rows, cols] = self.taps;
        let (c, tap) = if self.taps_first {
            (q % self.channels, q / self.channels)
        } else {
            (q / (rows * cols), q % (rows * cols))
        };
        (c, tap / cols, tap % cols)
    }

    /// Channel and tap of the product behind the one of (c, r, s).
    #[inline]
    pub fn next(&self, (mut c, mut r, mut s): (usize, usize, usize)) -> (usize, usize, usize) {
        let [rows, cols] = self.taps;
        if self.taps_first {
            c += 1;
            if c < self.channels {
                return (c, r, s);
            }
            c = 0;
        }
        s += 1;
        if s == cols {
            (s, r) = (0, r + 1);
            if r == rows {
                (r, c) = (0, c + 1);
            }
        }
        (c, r, s)
    }
}

/// What becomes of the sums of the group's output channels, which are rows or columns.
pub fn finish<'a, T: Float>(p: &Conv2d, scale: &'a [T], bias: &'a [T], group: usize, along: Along) -> Finish<'a, T> {
    let channels = group * p.group_out()..(group + 1) * p.group_out();
    let of = |vector: &'a [T]| (!vector.is_empty()).then(|| &vector[channels.clone()]);
    let activation = if p.relu { Activation::Relu } else { Activation::None };
    Finish { scale: of(scale), bias: of(bias), along, activation }
}

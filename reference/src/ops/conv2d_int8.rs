//! `conv2d_int8`: a convolution of 8-bit integers, summed in 32 bits, as it is or brought back to 8 bits.
//!
//! `s[n, k, i, j] = Σ (x[n, c, i·sh + r·dh − pt, j·sw + s·dw − pl] − zx)·(w[k, c, r, s] − zw[k]) + bias[k]`, in integers,
//! over the input channels c of k's group and the taps (r, s) that fall on the image. A tap on the padding contributes
//! exactly 0: the padding holds zx, which stands for 0. Geometry and layouts are those of [`conv2d`](super::conv2d).
//!
//! x is of u8 or s8, w of s8, k×c×r×s in that order whatever the images' layout. `zx` is one number of x's type, `zw` one
//! number or one per output channel, `bias` is i32. Any of the three may be absent.
//!
//! **Types, wrapping and requantization** are those of [`matmul_int8`](super::matmul_int8), with an output channel for a
//! column: `u8s8s32` and `s8s8s32` give s, with ReLU `max(s, 0)`; `u8s8u8`, `u8s8s8` and `s8s8s8` give
//! `saturate(rint(f32(s)·scale[k]) + zy)`. Sums wrap modulo 2³². So there is one right answer, bit for bit. Sums do not
//! wrap where c·r·s ≤ 33,025, unless a bias makes them.

use ndarray::{Array4, ArrayD, Axis as Dimension};

use super::conv2d::{Conv2d, GEOMETRY};
use super::gemm::choice_value;
use super::matmul_int8::{Per, TYPES, requantized, wrapped};
use crate::tensor::Values;
use crate::{
    Axis, DType, Domain, Fill, Layout, Operator, Point, Port, Problem, ProblemError, Tolerance, Types, Unit, Witness,
    Workload,
};

const OWN: [Axis; 5] = [
    Axis::choice("zx", "zero point of the images", &["none", "tensor"]),
    Axis::choice("zw", "zero points of the weights: none, one, one per output channel", &["none", "tensor", "channel"]),
    Axis::choice("bias", "a summand of each output channel", &["none", "channel"]),
    Axis::choice("scale", "scales of requantization: one per output channel, one", &["channel", "tensor"]),
    Axis::choice("act", "activation", &["none", "relu"]),
];

const AXES: &[Axis] = &{
    let mut all = [OWN[0]; GEOMETRY.len() + OWN.len()];
    let mut i = 0;
    while i < all.len() {
        all[i] = if i < GEOMETRY.len() { GEOMETRY[i] } else { OWN[i - GEOMETRY.len()] };
        i += 1;
    }
    all
};

/// What kernels tell apart: whole rows of taps, pixels as they are, and groups of one channel.
const DOMAINS: &[Domain] = &[
    Domain { name: "3x3", fixed: &[("r", &[3]), ("s", &[3]), ("dh", &[1]), ("dw", &[1]), ("layout", &[1])] },
    Domain {
        name: "1x1",
        fixed: &[
            ("r", &[1]),
            ("s", &[1]),
            ("sh", &[1]),
            ("sw", &[1]),
            ("pt", &[0]),
            ("pl", &[0]),
            ("pb", &[0]),
            ("pr", &[0]),
        ],
    },
    Domain { name: "many channels", fixed: &[("c", &[32, 33, 40]), ("k", &[32, 35, 48]), ("g", &[1]), ("r", &[1, 3])] },
    Domain {
        name: "depthwise",
        fixed: &[("c", &[1]), ("k", &[1]), ("g", &[2, 3, 8, 15, 16, 17, 33]), ("r", &[1, 2, 3, 5]), ("s", &[2, 3, 5])],
    },
    Domain {
        name: "depthwise by pixels",
        fixed: &[("c", &[1]), ("k", &[1]), ("g", &[7, 16, 19, 40]), ("r", &[1, 3]), ("s", &[1, 3]), ("layout", &[1])],
    },
    Domain { name: "by pixels", fixed: &[("layout", &[1])] },
];

/// A validated convolution.
#[derive(Clone, Debug, PartialEq)]
pub struct Conv2dInt8 {
    /// Images, outputs, windows and groups, without scale, bias and ReLU.
    pub conv: Conv2d,
    /// Whether x has a zero point.
    pub zx: bool,
    /// Zero points of w.
    pub zw: Per,
    /// Whether there is a bias.
    pub bias: bool,
    /// Scales of requantization, where the types have it.
    pub scale: Per,
    /// Whether negative results become 0.
    pub relu: bool,
}

impl Conv2dInt8 {
    /// The sums before ReLU, each exact, then wrapped.
    fn sums(&self, inputs: &[ArrayD<f64>]) -> Array4<f64> {
        let (mut x, mut w) = (inputs[0].clone(), inputs[1].clone());
        if self.zx {
            x -= inputs[2][[0]];
        }
        if self.zw != Per::None {
            w.outer_iter_mut().zip(&inputs[3]).for_each(|(mut filter, zero)| filter -= *zero);
        }
        // Below 2⁵³, so that f64 has every sum of integers. Zeros around x − zx are zx around x.
        let mut sums = self.conv.sums(&x, &w);
        if self.bias {
            let channels = sums.axis_iter_mut(Dimension(1));
            channels.zip(&inputs[4]).for_each(|(mut channel, bias)| channel += *bias);
        }
        sums.mapv(wrapped)
    }
}

impl Problem for Conv2dInt8 {
    fn inputs(&self, types: Types) -> Vec<Port> {
        let (channels, depth) = (self.conv.y.c, self.conv.depth());
        let requantizes = types.of("y") != DType::I32;
        let scale = if requantizes { self.scale } else { Per::None }.layout(channels);
        let one = || Layout::contiguous(&[1]);
        let bias = Port::optional("bias", types, Layout::contiguous(&[channels]), self.bias);
        vec![
            Port::new("x", types, self.conv.x.port_layout()),
            Port::new("w", types, Layout::contiguous(&self.conv.weights())).weights(),
            Port::optional("zx", types, one(), self.zx).drawn(Values::ZeroPoint),
            Port::new("zw", types, self.zw.layout(channels)).drawn(Values::ZeroPoint).weights(),
            bias.drawn(Values::Sum(depth)).weights(),
            Port::new("scale", types, scale).drawn(Values::Rescale(depth)).weights(),
            Port::optional("zy", types, one(), requantizes).drawn(Values::ZeroPoint),
        ]
    }

    fn outputs(&self, types: Types) -> Vec<Port> {
        vec![Port::new("y", types, self.conv.y.port_layout())]
    }

    fn reference(&self, inputs: &[ArrayD<f64>]) -> Vec<ArrayD<f64>> {
        let mut y = self.sums(inputs);
        let (scale, zero) = (&inputs[5], inputs[6].first());
        match zero {
            None if self.relu => y.mapv_inplace(|s| s.max(0.0)),
            None => {}
            Some(&zero) => {
                for (mut channel, &scale) in y.axis_iter_mut(Dimension(1)).zip(scale) {
                    channel.mapv_inplace(|s| requantized(s as i32, scale as f32, zero, self.relu));
                }
            }
        }
        vec![y.into_dyn()]
    }

    fn tolerance(&self, _: Types, _: Fill, _: &[ArrayD<f64>], _: &[ArrayD<f64>]) -> Vec<Tolerance> {
        // Integers are exact, and both roundings of requantization are part of the definition.
        vec![Tolerance::Exact]
    }

    fn operations(&self) -> (f64, Unit) {
        (2.0 * self.conv.y.len() as f64 * self.conv.depth() as f64, Unit::DotBytes)
    }

    fn degenerate(&self) -> bool {
        // As for `matmul_int8`: few scales, zero points or channels may decide the sign of all results.
        let channels = self.conv.y.c;
        let few = channels <= 2 || channels < 33 && (self.relu || self.zw != Per::None);
        self.conv.degenerate() || few || self.scale != Per::Column || self.zw == Per::Tensor
    }
}

/// The problem at a point.
fn make(point: &Point) -> Result<Box<dyn Problem>, ProblemError> {
    Ok(Box::new(Conv2dInt8 {
        conv: Conv2d::plain(point)?,
        zx: choice_value(point, "zx")? == "tensor",
        zw: Per::of(point, "zw")?,
        bias: choice_value(point, "bias")? == "channel",
        scale: Per::of(point, "scale")?,
        relu: choice_value(point, "act")? == "relu",
    }))
}

const TB: &str = "TorchBench operator logs";
const TV: &str = "torchvision, model definitions";
const HOWARD: &str = "Howard et al. 2017, MobileNets";
const COMPOSED: &str = "composed for the suite";

const fn w(name: &'static str, point: &'static str, source: &'static str) -> Workload {
    Workload::new(name, point, source)
}

/// Layers of `conv2d`'s networks under the same names, by pixels, as integers are usually convolved.
static WORKLOADS: &[Workload] = &[
    w("resnet50v1.5.conv1", "c=3,h=224,w=224,k=64,r=7,s=7,sh=2,sw=2,pt=3,pl=3,pb=3,pr=3,layout=nhwc,zx=tensor", TB),
    w("resnet50.res2x_2b", "c=64,h=56,w=56,k=64,r=3,s=3,pt=1,pl=1,pb=1,pr=1,layout=nhwc", TB),
    w("resnet50.res3b_2b", "c=128,h=28,w=28,k=128,r=3,s=3,pt=1,pl=1,pb=1,pr=1,layout=nhwc", TB),
    w("resnet50.res4b_2b", "c=256,h=14,w=14,k=256,r=3,s=3,pt=1,pl=1,pb=1,pr=1,layout=nhwc", TB).smoke(),
    w("resnet50.res4b_2b_nchw", "c=256,h=14,w=14,k=256,r=3,s=3,pt=1,pl=1,pb=1,pr=1", TB),
    w("resnet50.res5b_2b", "c=512,h=7,w=7,k=512,r=3,s=3,pt=1,pl=1,pb=1,pr=1,layout=nhwc", TB),
    w("resnet50.res4a_2b_s2", "c=256,h=28,w=28,k=256,r=3,s=3,sh=2,sw=2,pt=1,pl=1,pb=1,pr=1,layout=nhwc", TV),
    w("resnet50.res2a_2a", "c=64,h=56,w=56,k=64,layout=nhwc", TB),
    w("resnet50.res2x_2c", "c=64,h=56,w=56,k=256,layout=nhwc", TB),
    w("resnet50.res3x_2c", "c=128,h=28,w=28,k=512,layout=nhwc", TB),
    w("resnet50.res4x_2c", "c=256,h=14,w=14,k=1024,layout=nhwc", TB),
    w("resnet50.res4b_2a", "c=1024,h=14,w=14,k=256,layout=nhwc", TB),
    w("resnet50.res5x_2c", "c=512,h=7,w=7,k=2048,layout=nhwc", TB),
    w("mobilenet_v2.expand_24_144", "c=24,h=56,w=56,k=144,layout=nhwc,zx=tensor,bias=channel,act=relu", TB),
    w("mobilenet_v2.project_144_24", "c=144,h=56,w=56,k=24,layout=nhwc,zx=tensor,bias=channel", TB),
    w("mobilenet_v1.dw5_1_nhwc", "c=1,h=14,w=14,k=1,r=3,s=3,g=512,pt=1,pl=1,pb=1,pr=1,layout=nhwc,zx=tensor", HOWARD),
    w(
        "composed.n5_nhwc_g3",
        "n=5,c=20,h=19,w=21,k=24,r=3,s=3,g=3,sh=2,pt=1,pl=1,pb=1,layout=nhwc,zx=tensor,zw=channel,bias=channel,act=relu",
        COMPOSED,
    )
    .smoke(),
    w("tiny.c8_h8_k8", "c=8,h=8,w=8,k=8,r=3,s=3,pt=1,pl=1,pb=1,pr=1,layout=nhwc,zx=tensor", COMPOSED).smoke(),
];

/// The operator `conv2d_int8`.
pub static CONV2D_INT8: Operator = Operator {
    name: "conv2d_int8",
    summary: "convolution of 8-bit integers with zero points and bias, in i32 or requantized to 8 bits",
    axes: AXES,
    types: TYPES,
    make,
    workloads: WORKLOADS,
    special_values: "sums wrap modulo 2³²; requantization saturates, and a NaN (of a scale, or of 0·∞) counts as −∞",
    domains: DOMAINS,
    gradient: None,
    witness: Witness::Libtorch,
    batch: Some("n"),
};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::axis::Point;

    fn answer(point: &str, x: Vec<f64>, w: Vec<f64>, rest: [&[f64]; 5]) -> Vec<f64> {
        let point = Point::parse(AXES, point).expect("a point");
        let problem = make(&point).expect("a problem");
        let ports = problem.inputs(super::super::matmul_int8::U8S8S32);
        let shaped =
            |i: usize, x: Vec<f64>| ArrayD::from_shape_vec(ports[i].layout.shape.clone(), x).expect("its shape");
        let vectors = rest.map(|v| ArrayD::from_shape_vec(vec![v.len()], v.to_vec()).expect("a vector"));
        let inputs: Vec<_> = [shaped(0, x), shaped(1, w)].into_iter().chain(vectors).collect();
        problem.reference(&inputs)[0].iter().copied().collect()
    }

    #[test]
    fn padding_contributes_nothing() {
        // With a zero point, an image of nothing but the zero point gives 0 everywhere, up to its borders.
        let all = answer(
            "h=3,w=3,r=3,s=3,pt=1,pl=1,pb=1,pr=1,zx=tensor",
            vec![7.0; 9],
            vec![5.0; 9],
            [&[7.0], &[], &[], &[], &[]],
        );
        assert_eq!(all, [0.0; 9]);
        // Taps that meet the image, counted.
        let all = answer(
            "h=3,w=3,r=3,s=3,pt=1,pl=1,pb=1,pr=1,zx=tensor",
            vec![8.0; 9],
            vec![1.0; 9],
            [&[7.0], &[], &[], &[], &[]],
        );
        assert_eq!(all, [4.0, 6.0, 4.0, 6.0, 9.0, 6.0, 4.0, 6.0, 4.0]);
    }

    #[test]
    fn extremes_do_not_saturate() {
        let all = answer("c=2,h=1,w=1", vec![255.0; 2], vec![127.0; 2], [&[]; 5]);
        assert_eq!(all, [64770.0]);
        let all = answer("c=174,h=3,w=3,r=3,s=3", vec![255.0; 1566], vec![-128.0; 1566], [&[]; 5]);
        assert_eq!(all, [-51_114_240.0]);
    }

    #[test]
    fn each_output_channel_has_its_numbers() {
        let rest: [&[f64]; 5] = [&[1.0], &[1.0, -1.0], &[100.0, -100.0], &[0.5, 2.0], &[3.0]];
        let all = answer("c=1,h=1,w=2,k=2,zx=tensor,zw=channel,bias=channel", vec![3.0, 5.0], vec![2.0, 4.0], rest);
        // (x − 1)·(2 − 1) + 100 and (x − 1)·(4 + 1) − 100, times ½ and 2, plus 3.
        assert_eq!(all, [54.0, 55.0, -177.0, -157.0]);
    }
}

//! `pair_loss_backward`: the gradients of [`pair_loss`](super::pair_loss) with respect to x and, if wanted, to t.
//!
//! With the upstream gradient g of an element's loss, which is dloss, over the divisor of a mean:
//!
//! ```text
//! dx = g·∂ℓ/∂x,   dt = g·∂ℓ/∂t
//! ```
//! x, t, dx and dt are n×c; dloss has as many elements as the loss. What is data (t of `kl`, `kl_log` and `bce`, the
//! weights) has no gradient, and dt is then absent.
//!
//! # Derivation of the bounds
//! A derivative is off by γ(roundings)·size, as [`pair_loss_functions`](super::pair_loss_functions) says; g is rounded
//! twice and the product once, so that dx is off by |g|·γ(roundings + 3)·size. In f64 the reference rounds, too, and
//! errors count twice.

use ndarray::ArrayD;

use super::gemm::choice_value;
use super::layer_norm::rounding;
use super::pair_loss::{AXES as FORWARD, PAIR_LOSS, PairLoss, Reduction};
use super::pair_loss_functions::{Formula, WEIGHTED};
use super::recurrent::{kept, or_none};
use crate::operator::downcast;
use crate::{
    Axis, Domain, Fill, Gradient, Operator, Point, Port, Problem, Takes, Tolerance, Types, Unit, Witness, Workload,
};

const AXES: &[Axis] = &[
    FORWARD[0],
    FORWARD[1],
    FORWARD[2],
    FORWARD[3],
    FORWARD[4],
    FORWARD[5],
    Axis::choice("also", "the gradient that is wanted besides that of x", &["none", "target"]),
];

/// A validated gradient.
#[derive(Clone, Debug)]
pub struct PairLossBackward {
    /// The forward pass.
    pub forward: PairLoss,
    /// Whether the gradient with respect to t is wanted, and there is one.
    pub both: bool,
}

impl PairLossBackward {
    fn formulas(&self) -> [Formula; 2] {
        let by_x = self.forward.function.by_x;
        [by_x, self.forward.function.by_t.unwrap_or(by_x)]
    }

    /// Each element's index, upstream gradient, x, t and parameter.
    fn each(&self, inputs: &[ArrayD<f64>], mut one: impl FnMut([usize; 2], f64, [f64; 3])) {
        let p = &self.forward;
        let divisor = p.divisor();
        p.each(&inputs[1..], |at, x, t, a| {
            let dloss = if p.reduction == Reduction::None { inputs[0][at] } else { inputs[0][[0]] };
            one(at, dloss / divisor, [x, t, a]);
        });
    }
}

impl Problem for PairLossBackward {
    fn inputs(&self, types: Types) -> Vec<Port> {
        // Never infinite: a derivative that underflows would decide between ∞ and NaN.
        let mut ports = vec![self.forward.losses("dloss", types).factor()];
        ports.extend(self.forward.operands(types));
        ports
    }

    fn outputs(&self, types: Types) -> Vec<Port> {
        let of = |name| Port::new(name, types, self.forward.layout());
        vec![of("dx"), kept(of("dtarget"), self.both)]
    }

    fn reference(&self, inputs: &[ArrayD<f64>]) -> Vec<ArrayD<f64>> {
        let shape = vec![self.forward.rows, self.forward.columns];
        let mut outputs = [ArrayD::zeros(shape.clone()), ArrayD::zeros(shape)];
        self.each(inputs, |at, g, [x, t, a]| {
            for (output, of) in outputs.iter_mut().zip(self.formulas()) {
                output[at] = g * (of.value)(x, t, a);
            }
        });
        let [dx, dt] = outputs;
        vec![dx, or_none(dt, self.both)]
    }

    fn tolerance(&self, types: Types, _: Fill, inputs: &[ArrayD<f64>], expected: &[ArrayD<f64>]) -> Vec<Tolerance> {
        let (u, eta) = rounding(types);
        let shape = vec![self.forward.rows, self.forward.columns];
        let mut bounds = [ArrayD::zeros(shape.clone()), ArrayD::zeros(shape)];
        self.each(inputs, |at, g, [x, t, a]| {
            for (bound, of) in bounds.iter_mut().zip(self.formulas()) {
                let size = (of.size)(x, t, a);
                bound[at] = g.abs() * of.off(u, eta, x, t, a, 3)
                    + 2.0 * eta * (1.0 + if size.is_finite() { size } else { 0.0 });
            }
        });
        let [dx, dt] = bounds;
        let bounds = [dx, or_none(dt, self.both)];
        let formula = "|g|·γ(roundings + 3)·size, of the function's row";
        bounds.into_iter().zip(expected).map(|(bound, y)| Tolerance::bound(formula, bound, y)).collect()
    }

    fn operations(&self) -> (f64, Unit) {
        (self.forward.len() as f64, Unit::Transcendental)
    }

    fn degenerate(&self) -> bool {
        self.forward.degenerate()
    }
}

const fn w(name: &'static str, point: &'static str, source: &'static str) -> Workload {
    Workload::new(name, point, source)
}

/// One of each function.
static WORKLOADS: &[Workload] = &[
    w("pix2pix.images-l1", "f=l1,n=1,c=196608", "pix2pix (Isola et al. 2017): an image of 3×256×256"),
    w("denoising.images-mse", "f=mse,n=32,c=196608", "32 images of 3×256×256"),
    w(
        "fast-rcnn.boxes-smooth-l1",
        "f=smooth_l1,n=512,c=84,reduction=sum",
        "Fast R-CNN: 512 regions, 21 classes of VOC",
    )
    .smoke(),
    w("dqn.errors-huber", "f=huber,n=1024,c=18", "DQN (Mnih et al. 2015): 18 actions, 1024 transitions").smoke(),
    w("labels.1000-kl", "f=kl,n=256,c=1000,reduction=batchmean", "the classes of ImageNet"),
    w("gpt2.vocabulary-kl", "f=kl_log,n=32,c=50257,reduction=batchmean", "GPT-2's vocabulary"),
    w("coco.labels-bce", "f=bce,n=256,c=80,weights=yes", "the classes of COCO, several per image").smoke(),
    w("vae.mnist-bce", "f=bce,n=128,c=784,reduction=sum", "the VAE of PyTorch's examples, MNIST"),
    w(
        "dcgan.patches-discriminator",
        "f=gan_discriminator,n=16,c=900,also=target",
        "pix2pix: patches of 30×30, 16 images",
    ),
    w("dcgan.patches-generator", "f=gan_generator,n=16,c=900", "pix2pix: patches of 30×30, 16 images"),
    w(
        "vae.latent-gaussian-kl",
        "f=gaussian_kl,n=128,c=20,reduction=sum,also=target",
        "the VAE of PyTorch's examples, MNIST",
    )
    .smoke(),
];

/// Weights, which few points have.
const DOMAINS: &[Domain] = &[Domain {
    name: "weights",
    fixed: &[("f", &[WEIGHTED]), ("weights", &[1]), ("c", &[1, 3, 16, 17, 65, 130]), ("n", &[1, 2, 5, 33])],
}];

/// The operator `pair_loss_backward`.
pub static PAIR_LOSS_BACKWARD: Operator = Operator {
    name: "pair_loss_backward",
    summary: "gradients of pair_loss with respect to both operands",
    axes: AXES,
    types: &[Types::F32, Types::F64],
    make: |point| {
        let forward = PairLoss::of(&forward_point(point))?;
        let both = choice_value(point, "also")? == "target" && forward.function.by_t.is_some();
        Ok(Box::new(PairLossBackward { forward, both }))
    },
    workloads: WORKLOADS,
    special_values: "NaN stays; where x is infinite the limit of the derivative counts; at x = t the slope of `l1` is 0",
    domains: DOMAINS,
    gradient: Some(&GRADIENT),
    witness: Witness::Libtorch,
    batch: None,
};

/// The forward problem's point.
fn forward_point(point: &Point) -> Point {
    FORWARD.iter().fold(Point::default_of(FORWARD), |forward, axis| forward.with(axis.name, point.get(axis.name)))
}

static GRADIENT: Gradient = Gradient {
    forward: &PAIR_LOSS,
    point: forward_point,
    takes: &[Takes::Upstream(0), Takes::Input(0), Takes::Input(1), Takes::Input(2)],
    gives: &[(0, 0), (1, 1)],
    linear: |_| &[],
    autograd: Some(|problem| Box::new(downcast::<PairLossBackward>(problem).forward.clone())),
    near_kink: |problem, inputs, eps| {
        let p = downcast::<PairLoss>(problem);
        p.function.kink && inputs[0].iter().zip(&inputs[1]).any(|(x, t)| (x - t).abs() <= 4.0 * eps)
    },
};

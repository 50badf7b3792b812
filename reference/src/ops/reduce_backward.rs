//! `reduce_backward`: the gradients of [`reduce`](super::reduce).
//!
//! ```text
//! sum: dx = dy    mean: dx = dy/c    l1: dx = dy·sign x    l2: dx = dy·(x/y), 0 where y is 0
//! max, min: dx = dy at the place of the largest or smallest, 0 elsewhere
//! ```
//! dx is n×c×s, dy n×s; x is taken by the norms, y by `l2`, places by `max` and `min`.
//!
//! # Derivation of the bounds
//! Copies and signs are exact, dy/c is one rounding, or two as a product with 1/c, dy·(x/y) two. In f64 the reference
//! rounds, too, and errors count twice.

use ndarray::{Array3, ArrayD, Axis as NdAxis, Ix3};

use super::gemm::choice_value;
use super::layer_norm::rounding;
use super::recurrent::kept;
use super::reduce::{C, N, Of, REDUCE, Reduce, S};
use crate::operator::downcast;
use crate::tensor::Values;
use crate::{
    Axis, DType, Data, Fill, Gradient, Operator, Point, Port, Problem, Takes, Tolerance, Types, Unit, Witness, Workload,
};

/// Functions have the same positions as in the forward operator.
const AXES: &[Axis] =
    &[Axis::choice("f", "what became of the elements", &["sum", "mean", "max", "min", "l1", "l2"]).variant(), N, C, S];

/// A validated gradient.
#[derive(Clone, Debug, PartialEq)]
pub struct ReduceBackward {
    /// The forward pass, whose places are an output.
    pub forward: Reduce,
}

impl ReduceBackward {
    /// Each element's index, x, y, place (0 where they are not there) and dy.
    fn each(&self, inputs: &[ArrayD<f64>], mut one: impl FnMut([usize; 3], [f64; 4])) {
        let p = &self.forward;
        let of = |input: &ArrayD<f64>, index: &[usize]| if input.is_empty() { 0.0 } else { input[index] };
        for i in 0..p.extents.n {
            for j in 0..p.extents.c {
                for k in 0..p.extents.s {
                    let at = [i, k];
                    let kept = [of(&inputs[1], &[i, j, k]), of(&inputs[2], &at), of(&inputs[3], &at)];
                    one([i, j, k], [kept[0], kept[1], kept[2], inputs[0][at]]);
                }
            }
        }
    }
}

impl Problem for ReduceBackward {
    fn inputs(&self, types: Types) -> Vec<Port> {
        let p = &self.forward;
        let places = kept(p.reduced("index", types), p.places).typed(DType::I64).drawn(Values::Below(p.extents.c));
        vec![
            // Never infinite: a quotient that is 0 would decide between 0 and NaN.
            p.reduced("dy", types).factor(),
            kept(p.full("x", types), matches!(p.of, Of::L1 | Of::L2)),
            kept(p.reduced("y", types), p.of == Of::L2),
            places,
        ]
    }

    fn outputs(&self, types: Types) -> Vec<Port> {
        vec![self.forward.full("dx", types)]
    }

    /// Norms and places are those of x.
    fn draw(&self, types: Types, fill: Fill, seed: u64) -> Vec<Data> {
        GRADIENT.draw(self, &self.forward, types, fill, seed)
    }

    fn reference(&self, inputs: &[ArrayD<f64>]) -> Vec<ArrayD<f64>> {
        let extents = self.forward.extents;
        let mut dx = Array3::zeros((extents.n, extents.c, extents.s));
        self.each(inputs, |at, [x, y, place, dy]| {
            dx[at] = match self.forward.of {
                Of::Sum | Of::Argmax => dy,
                Of::Mean => dy / extents.c as f64,
                Of::Max | Of::Min => {
                    if at[1] as f64 == place {
                        dy
                    } else {
                        0.0
                    }
                }
                Of::L1 => dy * if x == 0.0 || x.is_nan() { x } else { x.signum() },
                Of::L2 => {
                    if y == 0.0 {
                        0.0
                    } else {
                        dy * (x / y)
                    }
                }
            };
        });
        vec![dx.into_dyn()]
    }

    fn tolerance(&self, types: Types, _: Fill, inputs: &[ArrayD<f64>], expected: &[ArrayD<f64>]) -> Vec<Tolerance> {
        let (u, eta) = rounding(types);
        let mut bound = ArrayD::zeros(expected[0].raw_dim());
        let of = |dy: f64, quotient: f64| dy.abs() * (3.0 * u * quotient.abs() + eta) + eta;
        match self.forward.of {
            Of::Mean => self.each(inputs, |at, [_, _, _, dy]| bound[at] = of(dy, 1.0 / self.forward.extents.c as f64)),
            Of::L2 => self.each(inputs, |at, [x, y, _, dy]| bound[at] = if y == 0.0 { 0.0 } else { of(dy, x / y) }),
            _ => return vec![Tolerance::Exact],
        }
        vec![Tolerance::bound("3u|dx|", bound, &expected[0])]
    }

    fn operations(&self) -> (f64, Unit) {
        self.forward.operations()
    }

    /// One element of each sum has a gradient, or all have the same.
    fn degenerate(&self) -> bool {
        let Reduce { of, extents, .. } = self.forward;
        extents.c > 8 && matches!(of, Of::Max | Of::Min) || extents.n * extents.s < 2
    }
}

const fn w(name: &'static str, point: &'static str, source: &'static str) -> Workload {
    Workload::new(name, point, source)
}

const COMPOSED: &str = "composed for the suite";

static WORKLOADS: &[Workload] = &[
    w("small.ci", "f=mean,n=8,c=64", COMPOSED).smoke(),
    w("small.planes", "f=l2,n=2,c=10,s=50", COMPOSED).smoke(),
    w("rows1024x4096_sum", "f=sum,n=1024,c=4096", COMPOSED),
    w("rows1024x4096_mean", "f=mean,n=1024,c=4096", COMPOSED),
    w("rows1024x4096_max", "f=max,n=1024,c=4096", COMPOSED),
    w("rows1024x4096_min", "f=min,n=1024,c=4096", COMPOSED),
    w("rows1024x4096_l1", "f=l1,n=1024,c=4096", COMPOSED),
    w("rows1024x4096_l2", "f=l2,n=1024,c=4096", COMPOSED),
    w("resnet50.pool", "f=mean,n=65536,c=49", "ResNet-50's last pooling, 32 images of 2048×7×7"),
];

/// The operator `reduce_backward`.
pub static REDUCE_BACKWARD: Operator = Operator {
    name: "reduce_backward",
    summary: "gradients of reduce",
    axes: AXES,
    types: &[Types::F32, Types::F64],
    make: |point| Ok(Box::new(ReduceBackward { forward: Reduce::of(choice_value(point, "f")?, point, true)? })),
    workloads: WORKLOADS,
    special_values: "NaN of dy goes where dy goes, NaN of x stays in the norms' gradients; the slope of |x| at 0 is 0, and so \
 is that of the L2 norm at 0",
    domains: &[],
    gradient: Some(&GRADIENT),
    witness: Witness::Libtorch,
    batch: Some("n"),
};

static GRADIENT: Gradient = Gradient {
    forward: &REDUCE,
    point: |point: &Point| {
        let forward = Point::default_of(REDUCE.axes).with("keep", 1);
        AXES.iter().fold(forward, |forward, axis| forward.with(axis.name, point.get(axis.name)))
    },
    takes: &[Takes::Upstream(0), Takes::Input(0), Takes::Output(0), Takes::Output(1)],
    gives: &[(0, 0)],
    linear: |problem| if matches!(downcast::<Reduce>(problem).of, Of::Sum) { &[0] } else { &[] },
    // Places and norms are kept, and libtorch takes them, too.
    autograd: None,
    near_kink: |problem, inputs, eps| {
        let p = downcast::<Reduce>(problem);
        let x = inputs[0].view().into_dimensionality::<Ix3>().expect("n×c×s");
        x.lanes(NdAxis(1)).into_iter().any(|x| match p.of {
            Of::L1 => x.iter().any(|x| x.abs() <= 4.0 * eps),
            Of::L2 => x.dot(&x).sqrt() <= 1000.0 * eps,
            Of::Max | Of::Min => {
                let sign = if p.of == Of::Min { -1.0 } else { 1.0 };
                let mut sorted: Vec<f64> = x.iter().map(|x| sign * x).collect();
                sorted.sort_by(f64::total_cmp);
                matches!(sorted[..], [.., a, b] if b - a <= 4.0 * eps)
            }
            _ => false,
        })
    },
};

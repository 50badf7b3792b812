//! `activation_backward`: the gradients of [`activation`](super::activation).
//!
//! `dx = dy·f′`, of x, or of y where the derivative is one of the result (sigmoid, tanh): what a training step keeps.
//! PReLU also gives `dα = Σ dy·x` over the elements of each channel with x not above 0. `guided_relu` is no derivative:
//! it passes what ReLU passes and is above 0 itself (guided backpropagation).

use ndarray::{ArrayD, Ix3};

use super::activation::{ACTIVATION, ALPHA, C, Extents, N, S, allowed, alpha_of, number};
use super::activation_functions::{Alpha, Function, GRADIENT_NAMES, find};
use super::gemm::choice_value;
use crate::operator::downcast;
use crate::{
    Axis, Fill, Gradient, Layout, Operator, Point, Port, Problem, ProblemError, Takes, Tolerance, Types, Unit, Witness,
    tolerance,
};

/// Products of dα are added in f32 in chains of at most this many, whose results are added in f64: 64 vectors, four
/// halvings of a vector, and the product itself.
pub const CHAIN: usize = 64 + 4 + 1;

const AXES: &[Axis] = &[Axis::choice("f", "function", GRADIENT_NAMES).variant(), N, C, S, ALPHA];

/// A validated gradient of an activation.
#[derive(Clone, Debug)]
pub struct ActivationBackward {
    /// The function.
    pub function: &'static Function,
    /// Of dy, x, y and dx.
    pub extents: Extents,
    /// α, for functions that take a number.
    pub alpha: f64,
}

impl ActivationBackward {
    fn channels(&self) -> bool {
        self.function.alpha == Alpha::Channels
    }
}

/// Whether an element counts in dα: it is not above 0.
fn counts(x: f64) -> bool {
    x <= 0.0 || x.is_nan()
}

impl Problem for ActivationBackward {
    fn inputs(&self, types: Types) -> Vec<Port> {
        let (layout, of_output) = (|| self.extents.layout(), self.function.of_output());
        vec![
            // Never infinite: a derivative that underflows would decide between ∞ and NaN.
            Port::new("dy", types, layout()).factor(),
            Port::optional("x", types, layout(), !of_output).spread(),
            Port::optional("alpha", types, Layout::contiguous(&[self.extents.c]), self.channels()).weights(),
            Port::optional("y", types, layout(), of_output),
        ]
    }

    fn outputs(&self, types: Types) -> Vec<Port> {
        vec![
            Port::new("dx", types, self.extents.layout()),
            Port::optional("dalpha", types, Layout::contiguous(&[self.extents.c]), self.channels()),
        ]
    }

    fn reference(&self, inputs: &[ArrayD<f64>]) -> Vec<ArrayD<f64>> {
        let [dy, x, alpha, y] = inputs else { panic!("four inputs") };
        let value = if self.function.of_output() { y } else { x };
        let alpha = alpha_of(self.function, self.alpha, alpha);
        let mut dx = dy.clone().into_dimensionality::<Ix3>().expect("n×c×s");
        let mut dalpha = ArrayD::zeros(vec![if self.channels() { self.extents.c } else { 0 }]);
        for ((n, c, s), dx) in dx.indexed_iter_mut() {
            let (dy, value) = (*dx, value[[n, c, s]]);
            *dx = self.function.gradient_of(dy, value, alpha(c));
            if self.channels() && counts(value) {
                dalpha[[c]] += dy * value;
            }
        }
        vec![dx.into_dyn(), dalpha]
    }

    /// dx: the function's budget, of |dy|. dα: chains of f32, each term a product:
    /// γ([`CHAIN`])·Σ|dy·x| + u|dα|.
    fn tolerance(&self, types: Types, fill: Fill, inputs: &[ArrayD<f64>], expected: &[ArrayD<f64>]) -> Vec<Tolerance> {
        if fill == Fill::Exact && self.function.exact {
            return vec![Tolerance::Exact; 2];
        }
        let [dy, x, _, y] = inputs else { panic!("four inputs") };
        let value = if self.function.of_output() { y } else { x };
        let largest = value.iter().copied().filter(|x| x.is_finite()).fold(0.0, |most: f64, x| most.max(x.abs()));
        let dx = allowed(self.function.gradient_budget, types.element, &expected[0], dy, |dy| {
            (1.0 + dy.abs()) * (1.0 + largest)
        });
        let mut sums: ArrayD<f64> = ArrayD::zeros(expected[1].raw_dim());
        let mut count = 0.0;
        if self.channels() {
            let terms = dy * x;
            for ((n, c, s), term) in terms.into_dimensionality::<Ix3>().expect("n×c×s").indexed_iter() {
                if counts(x[[n, c, s]]) {
                    sums[[c]] += term.abs();
                }
            }
            count = (self.extents.n * self.extents.s) as f64;
        }
        let (u, tiny) = (types.element.unit_roundoff(), types.element.underflow());
        let sums = ndarray::Zip::from(&sums)
            .and(&expected[1])
            .map_collect(|sum, dalpha| tolerance::gamma(CHAIN, u) * sum + count * tiny + u * dalpha.abs() + tiny);
        vec![
            Tolerance::bound(
                "ulps·ulp(dx) + absolute·u|dy| + η(1 + |dy|)(1 + max|x|), of the function's budget",
                dx,
                &expected[0],
            ),
            Tolerance::bound("γ(69)·Σ|dy·x| + u|dα|", sums, &expected[1]),
        ]
    }

    fn operations(&self) -> (f64, Unit) {
        let each = if self.channels() { 3.0 } else { 1.0 };
        (each * self.extents.len() as f64, Unit::Transcendental)
    }
}

/// The operator `activation_backward`.
pub static ACTIVATION_BACKWARD: Operator = Operator {
    name: "activation_backward",
    summary: "gradients of activation: dx, and dα of PReLU; guided backpropagation of ReLU",
    axes: AXES,
    types: &[Types::F32],
    make,
    workloads: super::activation_workloads::BACKWARD,
    special_values: "NaN in dy stays; where x is NaN, ReLU, ELU and hard swish pass dy, leaky and PReLU pass α·dy, and others \
 give NaN; at x = 0 the slope is that from below, at 3 of hard swish it is 1; an infinite dy is not defined, as the rounding \
 of a derivative decides between ∞ and NaN",
    domains: &[],
    gradient: Some(&GRADIENT),
    witness: Witness::Libtorch,
    batch: None,
};

/// The problem at a point.
fn make(point: &Point) -> Result<Box<dyn Problem>, ProblemError> {
    let function = find(choice_value(point, "f")?).expect("a name of the list");
    Ok(Box::new(ActivationBackward { function, extents: Extents::of(point)?, alpha: number(point)? }))
}

static GRADIENT: Gradient = Gradient {
    forward: &ACTIVATION,
    // The functions have the same positions on both axes. What has no value makes no forward problem.
    point: |point| {
        let forward = Point::default_of(ACTIVATION.axes);
        ["f", "n", "c", "s", "alpha"].into_iter().fold(forward, |p, axis| p.with(axis, point.get(axis)))
    },
    takes: &[Takes::Upstream(0), Takes::Input(0), Takes::Input(1), Takes::Output(0)],
    gives: &[(0, 0), (1, 1)],
    linear: |_| &[],
    autograd: None,
    near_kink: |forward, inputs, eps| {
        let kinks = downcast::<super::activation::Activation>(forward).function.kinks;
        inputs[0].iter().any(|x| kinks.iter().any(|kink| (x - kink).abs() <= 2.0 * eps))
    },
};

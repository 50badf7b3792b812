//! `activation`: a function of each element.
//!
//! x and y are n×c×s without gaps: n images or rows, c channels, s elements of a channel side by side. Images in NCHW
//! order have s = h·w; with channels last, and for rows of features, s = 1. The axis `f` names the function, a row of
//! [`FUNCTIONS`](super::activation_functions::FUNCTIONS). PReLU's α is an operand with a number for each channel; one α
//! for all is c = 1.

use ndarray::{ArrayD, Ix3};

use super::activation_functions::{Alpha, Budget, Function, NAMES, find};
use super::gemm::choice_value;
use crate::compare::ulp;
use crate::operator::{elements, size};
use crate::{Axis, DType, Fill, Layout, Operator, Point, Port, Problem, ProblemError, Tolerance, Types, Unit, Witness};

pub(super) const N: Axis = Axis::int("n", "images or rows", 1, 9, &[0, 1, 2, 3, 4, 5, 7, 11, 33, 65, 129]);
pub(super) const C: Axis = Axis::int("c", "channels", 1, 150, &[0, 1, 2, 3, 15, 16, 17, 31, 33, 64, 127, 129]);
pub(super) const S: Axis = Axis::int(
    "s",
    "elements of a channel side by side",
    1,
    300,
    &[0, 1, 2, 3, 15, 16, 17, 31, 33, 49, 64, 65, 196, 1023, 1024, 1025],
);
pub(super) const ALPHA: Axis =
    Axis::choice("alpha", "slope of `leaky` below 0, limit of −`elu`", &["0.01", "1", "0.1", "0.2", "0.25"]);

const AXES: &[Axis] = &[Axis::choice("f", "function", NAMES).variant(), N, C, S, ALPHA];

/// The extents of x and y.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extents {
    /// Images or rows.
    pub n: usize,
    /// Channels.
    pub c: usize,
    /// Elements of a channel side by side.
    pub s: usize,
}

impl Extents {
    /// Checked.
    ///
    /// # Errors
    /// [`ProblemError::Overflow`] if the elements do not fit the address space.
    pub fn new(n: usize, c: usize, s: usize) -> Result<Extents, ProblemError> {
        // Strides are products of some of the extents: an extent of 0 does not excuse the others.
        elements("n·c·s", &[n.max(1), c.max(1), s.max(1)])?;
        Ok(Extents { n, c, s })
    }

    /// Those of a point.
    pub(super) fn of(point: &Point) -> Result<Extents, ProblemError> {
        Extents::new(size(point, "n")?, size(point, "c")?, size(point, "s")?)
    }

    /// Elements.
    pub fn len(&self) -> usize {
        self.n * self.c * self.s
    }

    /// Whether there is no element.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Where the logical n×c×s array lies.
    pub(super) fn layout(&self) -> Layout {
        Layout::contiguous(&[self.n, self.c, self.s])
    }
}

/// A validated activation.
#[derive(Clone, Debug)]
pub struct Activation {
    /// The function.
    pub function: &'static Function,
    /// Of x and y.
    pub extents: Extents,
    /// α, for functions that take a number.
    pub alpha: f64,
}

impl Activation {
    /// Of the function of this name, with α = 0.01.
    ///
    /// # Errors
    /// [`ProblemError`] if there is no such function, or the elements do not fit the address space.
    pub fn new(function: &str, extents: Extents) -> Result<Activation, ProblemError> {
        let known = find(function).filter(|function| function.value.is_some());
        let function = known.ok_or_else(|| ProblemError::Conflict(format!("no function `{function}`")))?;
        let Extents { n, c, s } = extents;
        Ok(Activation { function, extents: Extents::new(n, c, s)?, alpha: 0.01 })
    }
}

/// α of each element: an operand's by channel, or the same for all.
pub(super) fn alpha_of(function: &Function, number: f64, operand: &ArrayD<f64>) -> impl Fn(usize) -> f64 {
    let channels = (function.alpha == Alpha::Channels).then(|| operand.clone());
    move |c| channels.as_ref().map_or(number, |alpha| alpha[[c]])
}

/// `ulps·ulp(ŷ) + absolute·u·|argument| + η·scale` for each element. A factor that is subnormal is off by η, which is
/// half the smallest subnormal number; `scale` bounds what it is multiplied by. Where an argument is infinite, so is
/// the function, or it is at its limit, without a rounding.
pub(super) fn allowed(
    budget: Budget,
    dtype: DType,
    expected: &ArrayD<f64>,
    argument: &ArrayD<f64>,
    scale: impl Fn(f64) -> f64,
) -> ArrayD<f64> {
    let finite = |x: f64| if x.is_finite() { x } else { 0.0 };
    ndarray::Zip::from(expected).and(argument).map_collect(|&y, &x| {
        if budget.ulps == 0.0 || !y.is_finite() {
            return 0.0;
        }
        let absolute = budget.absolute * dtype.unit_roundoff() * finite(x.abs());
        budget.ulps * ulp(dtype, y) + absolute + dtype.underflow() * finite(scale(x))
    })
}

impl Problem for Activation {
    fn inputs(&self, types: Types) -> Vec<Port> {
        let channels = self.function.alpha == Alpha::Channels;
        vec![
            Port::new("x", types, self.extents.layout()).spread(),
            Port::optional("alpha", types, Layout::contiguous(&[self.extents.c]), channels).weights(),
        ]
    }

    fn outputs(&self, types: Types) -> Vec<Port> {
        vec![Port::new("y", types, self.extents.layout())]
    }

    fn reference(&self, inputs: &[ArrayD<f64>]) -> Vec<ArrayD<f64>> {
        let value = self.function.value.expect("a function of the axis");
        let alpha = alpha_of(self.function, self.alpha, &inputs[1]);
        let mut y = inputs[0].clone().into_dimensionality::<Ix3>().expect("n×c×s");
        for ((_, c, _), y) in y.indexed_iter_mut() {
            *y = value(*y, alpha(c));
        }
        vec![y.into_dyn()]
    }

    /// The function's [`Budget`]. `ulp` is the distance between neighbours at the exact value.
    fn tolerance(&self, types: Types, fill: Fill, inputs: &[ArrayD<f64>], expected: &[ArrayD<f64>]) -> Vec<Tolerance> {
        if fill == Fill::Exact && self.function.exact {
            return vec![Tolerance::Exact];
        }
        let bound = allowed(self.function.budget, types.element, &expected[0], &inputs[0], |x| 1.0 + x.abs());
        vec![Tolerance::bound(
            "ulps·ulp(y) + absolute·u|x| + η(1 + |x|), of the function's budget",
            bound,
            &expected[0],
        )]
    }

    /// One operation for each element: the number of those inside a function is the kernel's affair.
    fn operations(&self) -> (f64, Unit) {
        (self.extents.len() as f64, Unit::Transcendental)
    }

    fn differentiable(&self) -> Vec<usize> {
        if self.function.alpha == Alpha::Channels { vec![0, 1] } else { vec![0] }
    }
}

/// The operator `activation`.
pub static ACTIVATION: Operator = Operator {
    name: "activation",
    summary: "y = f(x), element by element: sigmoid, tanh, ReLU and its kin, GELU, SiLU, softplus, hard swish",
    axes: AXES,
    types: &[Types::F32],
    make,
    workloads: super::activation_workloads::FORWARD,
    special_values: "NaN stays NaN; at ±∞ the limit, 0 for GELU, SiLU and hard swish at −∞; ReLU keeps −0",
    domains: &[],
    gradient: None,
    witness: Witness::Libtorch,
    batch: Some("n"),
};

/// The problem at a point.
fn make(point: &Point) -> Result<Box<dyn Problem>, ProblemError> {
    let function = find(choice_value(point, "f")?).expect("a name of the list");
    Ok(Box::new(Activation { function, extents: Extents::of(point)?, alpha: number(point)? }))
}

/// α of a point.
pub(super) fn number(point: &Point) -> Result<f64, ProblemError> {
    choice_value(point, "alpha").map(|text| text.parse().expect("the choices are numbers"))
}

#[cfg(test)]
mod tests {
    use super::super::activation_functions::FUNCTIONS;
    use super::*;

    /// Where a value is known without computing.
    #[test]
    fn values_are_those_of_tables() {
        let of = |name: &str, x: f64| find(name).and_then(|f| f.value).expect("a function")(x, 0.25);
        let table = [
            ("sigmoid", 0.0, 0.5),
            ("tanh", 0.5, 0.462_117_157_260_009_75),
            ("relu", -1.0, 0.0),
            ("leaky", -4.0, -1.0),
            ("prelu", -4.0, -1.0),
            ("elu", -1.0, 0.25 * (1.0 / std::f64::consts::E - 1.0)),
            ("gelu_erf", 1.0, 0.841_344_746_068_542_9),
            ("gelu_tanh", 1.0, 0.841_191_990_608_300_6),
            ("silu", 1.0, 0.731_058_578_630_004_9),
            ("softplus", 0.0, std::f64::consts::LN_2),
            ("hard_swish", 1.0, 2.0 / 3.0),
        ];
        assert_eq!(table.map(|(name, ..)| name), NAMES);
        for (name, x, y) in table {
            assert!((of(name, x) - y).abs() < 1e-12, "{name}({x}) = {}, not {y}", of(name, x));
        }
    }

    #[test]
    fn limits_are_taken_and_nan_stays() {
        let infinity = f64::INFINITY;
        for function in FUNCTIONS {
            let Some(value) = function.value else { continue };
            assert!(value(f64::NAN, 0.5).is_nan(), "{function:?}");
            let limits = match function.name {
                "sigmoid" => (0.0, 1.0),
                "tanh" => (-1.0, 1.0),
                "elu" => (-0.5, infinity),
                "leaky" | "prelu" => (-infinity, infinity),
                _ => (0.0, infinity),
            };
            assert_eq!((value(-infinity, 0.5), value(infinity, 0.5)), limits, "{function:?}");
        }
    }

    #[test]
    fn huge_sizes_are_errors() {
        let point = Point::default_of(AXES).with("n", 1 << 31).with("c", 1 << 31);
        assert!(matches!(ACTIVATION.problem(&point), Err(ProblemError::Overflow { .. })));
        assert!(Activation::new("guided_relu", Extents::new(1, 2, 3).expect("small")).is_err());
    }
}

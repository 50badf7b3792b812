//! `reduce`: the sum, mean, largest or smallest element, its place, or the norm along one dimension.
//!
//! x is n×c×s without gaps; the dimension of c elements disappears: s = 1 if it is the last one, n = 1 if it is the
//! first.
//!
//! ```text
//! sum: y = Σx    mean: y = Σx/c    l1: y = Σ|x|    l2: y = √Σx²
//! max, min: y = the largest or smallest x, and if wanted its place;   argmax: the place of the largest x alone
//! ```
//! y and places are n×s. A NaN is larger and smaller than any number; of equal elements, the first one is taken. The
//! sum and the norms of no element are 0, its mean is NaN; `max`, `min` and `argmax` need an element.
//!
//! **Order of summation**: with s = 1, in pieces of [`PIECE`] elements: four vectors of 64 bytes side by side, added in
//! pairs, then lanes by halves. With s > 1, one chain for each of s, in pieces of [`LINES`] elements. Pieces are added
//! in order, in f64, and the result is divided and rounded once.
//!
//! # Derivation of the bounds
//! A term passes k roundings: those of a piece's chain, in f64 those of the pieces, and one of a square. The sum is off
//! by γ(k)·Σ|x|, the mean by that over c and two roundings. With S = Σx², e(S) = γ(k)·S + (c + k)·η; the norm is off by
//! min(e(S)/√S, √e(S)) and two roundings. In f64 the reference rounds, too, and errors count twice.

use ndarray::{ArrayD, ArrayView1, Axis as NdAxis, Ix3};

use super::activation::Extents;
use super::gemm::choice_value;
use super::layer_norm::rounding;
use super::recurrent::{kept, or_none};
use crate::tolerance::{Sum, gamma};
use crate::{
    Axis, DType, Fill, Layout, Operator, Point, Port, Problem, ProblemError, Tolerance, Types, Unit, Witness, Workload,
};

/// Elements that are added at a time where they lie side by side.
pub const PIECE: usize = 4096;
/// Elements that are added at a time where they do not.
pub const LINES: usize = 256;

pub(super) const N: Axis = Axis::int("n", "lines before the dimension", 1, 9, &[0, 1, 2, 3, 4, 5, 7, 33, 65]);
pub(super) const C: Axis = Axis::int(
    "c",
    "elements that become one",
    10,
    300,
    &[0, 1, 2, 15, 16, 17, 31, 32, 33, 63, 64, 65, 127, 129, 255, 256, 257],
);
pub(super) const S: Axis = Axis::int("s", "elements behind the dimension", 1, 40, &[0, 1, 2, 15, 16, 17, 31, 33, 65]);

const AXES: &[Axis] = &[
    Axis::choice("f", "what becomes of the elements", &["sum", "mean", "max", "min", "l1", "l2", "argmax"]).variant(),
    N,
    C,
    S,
    Axis::choice("keep", "whether places of the largest or smallest are an output, too", &["no", "yes"]),
];

/// The position of `argmax` on the axis `f`.
pub const ARGMAX: i64 = 6;

/// What becomes of the elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Of {
    /// Their sum.
    Sum,
    /// Their mean.
    Mean,
    /// The largest.
    Max,
    /// The smallest.
    Min,
    /// The sum of their magnitudes.
    L1,
    /// The root of the sum of their squares.
    L2,
    /// The place of the largest.
    Argmax,
}

/// A validated reduction.
#[derive(Clone, Debug, PartialEq)]
pub struct Reduce {
    /// What becomes of the elements.
    pub of: Of,
    /// Extents; those of c become one.
    pub extents: Extents,
    /// Whether places are an output.
    pub places: bool,
}

impl Reduce {
    /// Of a point's function and extents.
    pub(super) fn of(f: &str, point: &Point, keep: bool) -> Result<Reduce, ProblemError> {
        let of = match f {
            "sum" => Of::Sum,
            "mean" => Of::Mean,
            "max" => Of::Max,
            "min" => Of::Min,
            "l1" => Of::L1,
            "l2" => Of::L2,
            _ => Of::Argmax,
        };
        let extents = Extents::of(point)?;
        let of_one = matches!(of, Of::Max | Of::Min | Of::Argmax);
        if of_one && extents.c == 0 {
            return Err(ProblemError::OutOfRange { axis: "c", value: 0, rule: "at least 1 for max, min and argmax" });
        }
        Ok(Reduce { of, extents, places: of == Of::Argmax || keep && of_one })
    }

    pub(super) fn full(&self, name: &'static str, types: Types) -> Port {
        let Extents { n, c, s } = self.extents;
        Port::new(name, types, Layout::contiguous(&[n, c, s]))
    }

    pub(super) fn reduced(&self, name: &'static str, types: Types) -> Port {
        Port::new(name, types, Layout::contiguous(&[self.extents.n, self.extents.s]))
    }

    /// Where the largest or smallest element is.
    fn place(&self, x: ArrayView1<'_, f64>) -> usize {
        let beats = |x: f64, y: f64| if self.of == Of::Min { x < y } else { x > y };
        let mut best = 0;
        for (place, &x_here) in x.iter().enumerate() {
            if !x[best].is_nan() && (beats(x_here, x[best]) || x_here.is_nan()) {
                best = place;
            }
        }
        best
    }

    fn value(&self, x: ArrayView1<'_, f64>) -> f64 {
        match self.of {
            Of::Sum => x.sum(),
            Of::Mean => x.sum() / x.len() as f64,
            Of::Max | Of::Min | Of::Argmax => x[self.place(x)],
            Of::L1 => x.iter().map(|x| x.abs()).sum(),
            Of::L2 => x.dot(&x).sqrt(),
        }
    }

    /// The longest chain of a sum.
    fn steps(&self, types: Types) -> usize {
        let c = self.extents.c;
        let double = types.accumulator == DType::F64;
        let (chain, pieces) = if self.extents.s == 1 {
            (c.min(PIECE).div_ceil(if double { 32 } else { 64 }) + 8, c.div_ceil(PIECE))
        } else {
            (c.min(LINES) + 2, c.div_ceil(LINES))
        };
        chain + if double { pieces } else { 1 }
    }

    /// How far `y` of these elements may be off.
    pub(super) fn off(&self, x: ArrayView1<'_, f64>, y: f64, types: Types) -> f64 {
        let (u, eta) = rounding(types);
        let (steps, count) = (self.steps(types), x.len() as f64);
        let size: f64 = x.iter().map(|x| x.abs()).sum();
        match self.of {
            Of::Sum | Of::L1 => gamma(steps, u) * size + u * y.abs(),
            Of::Mean => gamma(steps, u) * size / count + 2.0 * u * y.abs() + eta,
            Of::L2 => {
                let of_sum = gamma(steps, u) * y * y + (count + steps as f64) * eta;
                let root = if y > 0.0 { (of_sum / y).min(of_sum.sqrt()) } else { of_sum.sqrt() };
                root + 2.0 * u * (y + root)
            }
            Of::Max | Of::Min | Of::Argmax => 0.0,
        }
    }
}

impl Problem for Reduce {
    fn inputs(&self, types: Types) -> Vec<Port> {
        vec![self.full("x", types)]
    }

    fn outputs(&self, types: Types) -> Vec<Port> {
        let places = kept(self.reduced("index", types), self.places).typed(DType::I64);
        vec![kept(self.reduced("y", types), self.of != Of::Argmax), places]
    }

    fn reference(&self, inputs: &[ArrayD<f64>]) -> Vec<ArrayD<f64>> {
        let x = inputs[0].view().into_dimensionality::<Ix3>().expect("n×c×s");
        let along = || x.lanes(NdAxis(1)).into_iter();
        let collect = |values: Vec<f64>, present: bool| {
            let shape = vec![self.extents.n, self.extents.s];
            let values = if present { values } else { vec![0.0; self.extents.n * self.extents.s] };
            or_none(ArrayD::from_shape_vec(shape, values).expect("n×s"), present)
        };
        let y = along().map(|x| self.value(x)).collect();
        let places = if self.places { along().map(|x| self.place(x) as f64).collect() } else { Vec::new() };
        vec![collect(y, self.of != Of::Argmax), collect(places, self.places)]
    }

    fn sums(&self) -> Vec<Sum> {
        vec![Sum::new(self.extents.c.max(1), self.steps(Types::F32), "of elements")]
    }

    /// Largest and smallest elements and their places are exact, and so are sums of small integers.
    fn tolerance(&self, types: Types, fill: Fill, inputs: &[ArrayD<f64>], expected: &[ArrayD<f64>]) -> Vec<Tolerance> {
        let of_one = matches!(self.of, Of::Max | Of::Min | Of::Argmax);
        if of_one || fill == Fill::Exact && matches!(self.of, Of::Sum | Of::L1) {
            return vec![Tolerance::Exact; 2];
        }
        let x = inputs[0].view().into_dimensionality::<Ix3>().expect("n×c×s");
        let off: Vec<f64> =
            x.lanes(NdAxis(1)).into_iter().zip(&expected[0]).map(|(x, &y)| self.off(x, y, types)).collect();
        let off = ArrayD::from_shape_vec(expected[0].raw_dim(), off).expect("n×s");
        vec![Tolerance::bound("γ(k)·Σ|x|, over c; γ(k)·√Σx²", off, &expected[0]), Tolerance::Exact]
    }

    fn operations(&self) -> (f64, Unit) {
        (self.extents.len() as f64, Unit::Fma)
    }

    fn differentiable(&self) -> Vec<usize> {
        if self.of == Of::Argmax { Vec::new() } else { vec![0] }
    }

    /// Of many small integers, the largest is always the same.
    fn degenerate(&self) -> bool {
        self.extents.c < 2 || self.extents.c > 8 && matches!(self.of, Of::Max | Of::Min)
    }
}

const fn w(name: &'static str, point: &'static str, source: &'static str) -> Workload {
    Workload::new(name, point, source)
}

const COMPOSED: &str = "composed for the suite";

static WORKLOADS: &[Workload] = &[
    w("small.ci", "f=sum,n=8,c=64", COMPOSED).smoke(),
    w("small.planes", "f=max,n=2,c=10,s=50,keep=yes", COMPOSED).smoke(),
    w("rows1024x4096_sum", "f=sum,n=1024,c=4096", COMPOSED),
    w("rows1024x4096_mean", "f=mean,n=1024,c=4096", COMPOSED),
    w("rows1024x4096_max", "f=max,n=1024,c=4096", COMPOSED),
    w("rows1024x4096_min", "f=min,n=1024,c=4096,keep=yes", COMPOSED),
    w("rows1024x4096_l1", "f=l1,n=1024,c=4096", COMPOSED),
    w("rows1024x4096_l2", "f=l2,n=1024,c=4096", COMPOSED),
    w("gpt2.next_token", "f=argmax,n=32,c=50257", "GPT-2's vocabulary, greedy decoding"),
    w("linear.bias_gradient", "f=sum,n=1,c=1024,s=4096", "the gradient of a bias: a sum over 1024 rows"),
    w("segmentation.labels", "f=argmax,n=8,c=21,s=4096", "21 classes of 64×64 pixels"),
    w("resnet50.pool", "f=mean,n=65536,c=49", "ResNet-50's last pooling, 32 images of 2048×7×7"),
];

/// The operator `reduce`.
pub static REDUCE: Operator = Operator {
    name: "reduce",
    summary: "sum, mean, largest, smallest, place of the largest, L1 and L2 norm along any dimension",
    axes: AXES,
    types: &[Types::F32, Types::F64],
    make: |point| {
        let keep = choice_value(point, "keep")? == "yes";
        Ok(Box::new(Reduce::of(choice_value(point, "f")?, point, keep)?))
    },
    workloads: WORKLOADS,
    special_values: "NaN stays, and its first place is that of the largest and of the smallest; ∞ follows the formula",
    domains: &[],
    gradient: None,
    witness: Witness::Libtorch,
    batch: Some("n"),
};

#[cfg(test)]
mod tests {
    use super::*;

    fn outputs(point: &str, x: &[f64]) -> [Vec<f64>; 2] {
        let problem = REDUCE.problem(&Point::parse(AXES, point).expect("a point")).expect("a problem");
        let x = ArrayD::from_shape_vec(problem.inputs(Types::F64)[0].layout.shape.clone(), x.to_vec()).expect("all");
        let mut outputs = problem.reference(&[x]).into_iter().map(|output| output.into_iter().collect());
        [(); 2].map(|()| outputs.next().expect("two outputs"))
    }

    #[test]
    fn any_dimension_is_reduced() {
        let x = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0];
        assert_eq!(outputs("f=sum,n=2,c=3", &x)[0], [6.0, 15.0]);
        assert_eq!(outputs("f=mean,c=2,s=3", &x)[0], [2.5, 3.5, 4.5]);
        assert_eq!(outputs("f=l1,n=3,c=2,s=1", &x.map(|x| -x))[0], [3.0, 7.0, 11.0]);
        assert_eq!(outputs("f=l2,n=1,c=2", &[3.0, -4.0])[0], [5.0]);
    }

    #[test]
    fn the_first_of_equals_and_the_first_nan_are_taken() {
        assert_eq!(outputs("f=argmax,n=1,c=4", &[1.0, 3.0, 3.0, 2.0]), [vec![], vec![1.0]]);
        assert_eq!(outputs("f=min,n=1,c=4,keep=yes", &[2.0, 1.0, 3.0, 1.0]), [[1.0], [1.0]]);
        let [y, place] = outputs("f=max,n=1,c=4,keep=yes", &[2.0, f64::NAN, f64::INFINITY, f64::NAN]);
        assert!(y[0].is_nan() && place == [1.0]);
        assert_eq!(outputs("f=argmax,n=1,c=2", &[f64::NEG_INFINITY; 2])[1], [0.0]);
    }

    #[test]
    fn of_nothing() {
        assert_eq!(outputs("f=sum,n=1,c=0", &[])[0], [0.0]);
        assert_eq!(outputs("f=l2,n=1,c=0", &[])[0], [0.0]);
        assert!(outputs("f=mean,n=1,c=0", &[])[0][0].is_nan());
        for f in ["max", "min", "argmax"] {
            let point = Point::parse(AXES, &format!("f={f},c=0")).expect("a point");
            assert!(matches!(REDUCE.problem(&point), Err(ProblemError::OutOfRange { axis: "c", .. })));
        }
    }
}

//! `gemm_backward`: the gradients of [`gemm`](super::gemm).
//!
//! With `z = α·A·B + β·C + bias` and `y = act(z)`: from `dy` (and z, where the activation needs it)
//! `dz = dy·act′(z)`, `dA = α·dz·Bᵀ`, `dB = α·Aᵀ·dz`, `dbias = Σ rows of dz`. The gradient with respect to C is β·dz.
//! All operands are contiguous. The sums of dA run over n and those of dB over m in the canonical order of `gemm`; those
//! of dbias run over all rows in order.

use ndarray::{ArrayD, Axis as NdAxis, Ix3};

use super::gemm::{Activation, GEMM, Gemm, activation, chain, choice_value, factor, gelu_derivative, magnitude};
use crate::operator::{downcast, elements, size};
use crate::{
    Axis, DType, Fill, Gradient, Layout, Operator, Point, Port, Problem, ProblemError, Takes, Tolerance, Types, Unit,
    Witness, Workload, tolerance,
};

const SIZES: &[i64] = &[0, 1, 2, 3, 7, 8, 9, 13, 14, 15, 16, 17, 31, 32, 33, 63, 64, 65, 127, 128, 129];

const AXES: &[Axis] = &[
    Axis::int("m", "rows of A and C", 1, 130, SIZES),
    Axis::int("n", "columns of B and C", 1, 130, SIZES),
    Axis::int("k", "columns of A, rows of B", 1, 130, SIZES),
    Axis::int("batch", "matrices", 1, 5, &[0, 1, 2, 3, 4, 5, 33]),
    Axis::choice("alpha", "factor of the product", &["1", "0", "-1", "2", "0.5"]),
    Axis::choice("bias", "whether the gradient of a bias is wanted", &["none", "row"]),
    Axis::choice("act", "activation", &["none", "relu", "gelu"]),
];

/// A validated gradient of a GEMM.
#[derive(Clone, Debug, PartialEq)]
pub struct GemmBackward {
    /// Rows of A and C.
    pub m: usize,
    /// Columns of B and C.
    pub n: usize,
    /// Columns of A and rows of B.
    pub k: usize,
    /// Matrices.
    pub batch: usize,
    /// Factor of the product.
    pub alpha: f64,
    /// Whether dbias is wanted.
    pub bias: bool,
    /// Activation.
    pub activation: Activation,
}

impl GemmBackward {
    /// Derivative of the activation times `dy`: 0 where ReLU's z ≤ 0, `dy` where z is NaN.
    fn dz(&self, dy: &ArrayD<f64>, z: &ArrayD<f64>) -> ArrayD<f64> {
        match self.activation {
            Activation::None => dy.clone(),
            Activation::Relu => ndarray::Zip::from(dy).and(z).map_collect(|&g, &z| if z <= 0.0 { 0.0 } else { g }),
            Activation::Gelu => ndarray::Zip::from(dy).and(z).map_collect(|&g, &z| g * gelu_derivative(z)),
        }
    }
}

/// `α·x·y`, batched; nothing is formed if α = 0 or the inner size is 0.
fn product(alpha: f64, x: &ArrayD<f64>, y: &ArrayD<f64>) -> ArrayD<f64> {
    let (batch, rows, inner, cols) = (x.shape()[0], x.shape()[1], x.shape()[2], y.shape()[2]);
    let mut gemm = Gemm::new(rows, cols, inner).expect("sizes were checked");
    (gemm.batch, gemm.alpha) = (batch, alpha);
    let none = ArrayD::zeros(vec![batch, rows, cols]);
    gemm.preactivation(&[x.clone(), y.clone(), none])
}

/// The last two dimensions exchanged.
fn transposed(x: &ArrayD<f64>) -> ArrayD<f64> {
    let mut x = x.clone();
    x.swap_axes(1, 2);
    x.as_standard_layout().into_owned()
}

impl Problem for GemmBackward {
    fn inputs(&self, types: Types) -> Vec<Port> {
        let of = |rows, cols| Layout::contiguous(&[self.batch, rows, cols]);
        vec![
            Port::new("dy", types, of(self.m, self.n)),
            Port::new("a", types, of(self.m, self.k)).factor_or_weights(),
            Port::new("b", types, of(self.k, self.n)).factor_or_weights(),
            Port::optional("z", types, of(self.m, self.n), self.activation != Activation::None),
        ]
    }

    fn outputs(&self, types: Types) -> Vec<Port> {
        let of = |rows, cols| Layout::contiguous(&[self.batch, rows, cols]);
        vec![
            Port::new("dz", types, of(self.m, self.n)),
            Port::new("da", types, of(self.m, self.k)),
            Port::new("db", types, of(self.k, self.n)),
            Port::optional("dbias", types, Layout::contiguous(&[self.n]), self.bias),
        ]
    }

    fn reference(&self, inputs: &[ArrayD<f64>]) -> Vec<ArrayD<f64>> {
        let [dy, a, b, z] = inputs else { panic!("four inputs") };
        let dz = self.dz(dy, z);
        let da = product(self.alpha, &dz, &transposed(b));
        let db = product(self.alpha, &transposed(a), &dz);
        let dbias = if self.bias { dz.sum_axis(NdAxis(0)).sum_axis(NdAxis(0)) } else { ArrayD::zeros(vec![0]) };
        vec![dz, da, db, dbias]
    }

    fn tolerance(&self, types: Types, fill: Fill, inputs: &[ArrayD<f64>], expected: &[ArrayD<f64>]) -> Vec<Tolerance> {
        let gelu = self.activation == Activation::Gelu;
        if fill == Fill::Exact && !gelu {
            return vec![Tolerance::Exact; 4];
        }
        let (u, dtype) = (types.accumulator.unit_roundoff(), types.accumulator);
        let sides = if dtype == DType::F64 { 2.0 } else { 1.0 };
        // GELU's derivative is at most 1.13 and is evaluated within 16u absolutely: erf, exp, two products and a sum,
        // where |z|·exp(−z²/2) amplifies the rounding of z² by at most z² · |z|·exp(−z²/2) < 1.2.
        let (slope, own) = if gelu { (1.13, 16.0) } else { (1.0, 0.0) };
        // What a sum meets is |dz|. GELU's is bounded by |dy|; ReLU's is 0 where dy is not looked at, whatever it is.
        let dz = if gelu { &inputs[0] } else { &expected[0] }.mapv(f64::abs);
        let rows = self.batch * self.m;
        let finish = |mut bound: ArrayD<f64>, expected: &ArrayD<f64>| {
            ndarray::Zip::from(&mut bound).and(expected).for_each(|b, y| *b += u * y.abs() + dtype.underflow());
            bound
        };
        let sum = |steps: usize, magnitude: ArrayD<f64>, factor: f64| {
            // No product is formed, whatever the operands hold.
            if factor == 0.0 {
                return ArrayD::zeros(magnitude.raw_dim());
            }
            let steps = steps + 1;
            magnitude.mapv(|s| {
                factor * sides * ((slope * tolerance::gamma(steps, u) + own * u) * s + steps as f64 * dtype.underflow())
            })
        };
        let formed = |inner: usize| if inner == 0 { 0.0 } else { self.alpha.abs() };
        let da = magnitude(&dz, &transposed(&inputs[2])).into_dyn();
        let db = magnitude(&transposed(&inputs[1]), &dz).into_dyn();
        let dbias = dz.view().into_dimensionality::<Ix3>().expect("batch×m×n").sum_axis(NdAxis(0)).sum_axis(NdAxis(0));
        let dbias = if self.bias { dbias.into_dyn() } else { ArrayD::zeros(vec![0]) };
        // Without GELU, dz is dy or 0.
        let of_dz = if gelu { finish(dz.mapv(|g| own * u * g * sides), &expected[0]) } else { dz.mapv(|_| 0.0) };
        let bounds = [
            ("γ(chain(n)+1)·|α|Σ|dz||b| + u|dA| (GELU: 1.13× + 16u·Σ)", sum(chain(self.n), da, formed(self.n))),
            ("γ(chain(m)+1)·|α|Σ|a||dz| + u|dB| (GELU: 1.13× + 16u·Σ)", sum(chain(self.m), db, formed(self.m))),
            ("γ(batch·m)·Σ|dz| + u|dbias| (GELU: 1.13× + 16u·Σ)", sum(rows, dbias, 1.0)),
        ];
        let sums = bounds.into_iter().zip(&expected[1..]);
        std::iter::once(Tolerance::bound("16u|dy| + u|dz| for GELU, 0 otherwise", of_dz, &expected[0]))
            .chain(sums.map(|((formula, bound), y)| Tolerance::bound(formula, finish(bound, y), y)))
            .collect()
    }

    fn operations(&self) -> (f64, Unit) {
        let [m, n, k, batch] = [self.m, self.n, self.k, self.batch].map(|x| x as f64);
        (4.0 * batch * m * n * k, Unit::Fma)
    }

    fn degenerate(&self) -> bool {
        self.alpha == 0.0 || self.m <= 1 || self.n <= 1 || self.k == 0
    }
}

/// The operator `gemm_backward`.
pub static GEMM_BACKWARD: Operator = Operator {
    name: "gemm_backward",
    summary: "gradients of gemm: dz, dA, dB, dbias",
    axes: AXES,
    types: &[Types::F32, Types::F64],
    make,
    workloads: WORKLOADS,
    special_values: "NaN and ∞ follow the formula; ReLU passes dy where z is NaN; α = 0 or an empty sum forms no product",
    domains: &[],
    gradient: Some(&GRADIENT),
    witness: Witness::Libtorch,
    batch: None,
};

/// The problem at a point.
fn make(point: &Point) -> Result<Box<dyn Problem>, ProblemError> {
    let [m, n, k, batch] = [size(point, "m")?, size(point, "n")?, size(point, "k")?, size(point, "batch")?];
    elements("m·n·batch", &[m, n, batch])?;
    elements("m·k·batch", &[m, k, batch])?;
    elements("k·n·batch", &[k, n, batch])?;
    Ok(Box::new(GemmBackward {
        m,
        n,
        k,
        batch,
        alpha: factor(point, "alpha")?,
        bias: choice_value(point, "bias")? == "row",
        activation: activation(point)?,
    }))
}

const COMPOSED: &str = "composed for the suite";
const fn w(name: &'static str, point: &'static str) -> Workload {
    Workload::new(name, point, "TorchBench operator logs")
}
static WORKLOADS: &[Workload] = &[
    w("square.64", "m=64,n=64,k=64").smoke(),
    w("square.512", "m=512,n=512,k=512"),
    w("bert.512x3072x768-gelu", "m=512,n=3072,k=768,bias=row,act=gelu"),
    Workload::new("composed.batch5-relu", "m=48,n=130,k=65,batch=5,alpha=0.5,bias=row,act=relu", COMPOSED).smoke(),
];

static GRADIENT: Gradient = Gradient {
    forward: &GEMM,
    point: |point| {
        let forward = Point::default_of(GEMM.axes).with("beta", 1);
        ["m", "n", "k", "batch", "alpha", "bias", "act"]
            .into_iter()
            .fold(forward, |p, axis| p.with(axis, point.get(axis)))
    },
    takes: &[
        Takes::Upstream(0),
        Takes::Input(0),
        Takes::Input(1),
        Takes::Computed(|forward, inputs| downcast::<Gemm>(forward).preactivation(inputs)),
    ],
    // With β = 1, the gradient with respect to C is dz.
    gives: &[(1, 0), (2, 1), (0, 2), (3, 3)],
    linear: |forward| match downcast::<Gemm>(forward).activation {
        Activation::None => &[0, 1, 2],
        _ => &[],
    },
    autograd: None,
    near_kink: |forward, inputs, eps| {
        let forward: &Gemm = downcast(forward);
        // A difference of eps in one input moves z by at most eps times the largest factor.
        let reach = eps * inputs.iter().flat_map(|x| x.iter()).fold(2.0, |m: f64, x| m.max(2.0 * x.abs()));
        forward.activation == Activation::Relu && forward.preactivation(inputs).iter().any(|z| z.abs() <= reach)
    },
};

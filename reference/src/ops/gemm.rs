//! `gemm`: `out = act(α·A·B + β·C + bias)`, for a batch of matrices.
//!
//! A is m×k, B is k×n, C and out are m×n, row-major; A and B have any row and column stride (a transposed operand is one
//! whose strides are exchanged), C has a leading dimension. C is updated in place.
//!
//! **Order of summation** (part of the definition for f32 and f64, so that kernels agree bit for bit): the k products of an
//! output are added in chunks of [`CHUNK`]; within a chunk by one chain of fused multiply-adds over ascending k that starts
//! from +0; with `t = β·c` (0 if β = 0, c itself if β = 1), each chunk's sum s is added in order as `t = fma(α, s, t)`.
//! Then `t + bias`, then the activation.
//!
//! **Error.** A product passes at most min(k, 256) roundings within its chunk and one for each chunk after it. α·s is
//! fused; β·c, the bias and the last addition round once each:
//!
//! `|y − ŷ| ≤ γ(min(k, 256) + ⌈k/256⌉ + 3)·(|α|·Σ|aᵢ||bᵢ| + |β||c| + |bias|) + u·|ŷ| + underflow`
//!
//! The underflow term is half the smallest subnormal for each rounding. ReLU is 1-Lipschitz and rounds nothing. The
//! slope of GELU is at most 1.13, and its evaluation adds at most 8u·|x|: erf is within 2u absolutely, and four more
//! roundings follow. The same bound applies to kernels that sum in another order and to libtorch. Their chains are
//! cut by their own blocks; the observed errors, which are published, show how much room is left.
//!
//! **Short types.** Operands of bf16, f16 and 8-bit floats are f32 exactly; everything above is computed in f32, the
//! canonical order, too. `bf16` and `f16` round out once more, to their own type, with unit roundoff v and an underflow of
//! their own: that adds `v·(|ŷ| + bound)`. `bf16f32`, `f16f32`, `e4m3f32` and `e5m2f32` have C, bias and out in f32.

use ndarray::{Array2, Array3, ArrayD, Axis as NdAxis, Ix1, Ix3};

use crate::operator::{elements, size};
use crate::{
    Axis, DType, Domain, Fill, Layout, Operator, Point, Port, Problem, ProblemError, Tolerance, Types, Unit, Witness,
    Work, tolerance,
};

/// Length of a chunk of the sum over k.
pub const CHUNK: usize = 256;

/// bf16 throughout, added in f32.
pub const BF16: Types = Types::all(DType::Bf16);
/// f16 throughout, added in f32.
pub const F16: Types = Types::all(DType::F16);
/// A and B in bf16.
pub const BF16F32: Types = of_short("bf16f32", &[("a", DType::Bf16), ("b", DType::Bf16)]);
/// A and B in f16.
pub const F16F32: Types = of_short("f16f32", &[("a", DType::F16), ("b", DType::F16)]);
/// A and B in e4m3.
pub const E4M3F32: Types = of_short("e4m3f32", &[("a", DType::E4m3), ("b", DType::E4m3)]);
/// A and B in e5m2.
pub const E5M2F32: Types = of_short("e5m2f32", &[("a", DType::E5m2), ("b", DType::E5m2)]);

/// All types, widest first.
pub const TYPES: &[Types] = &[Types::F32, Types::F64, BF16, BF16F32, F16, F16F32, E4M3F32, E5M2F32];

/// Short operands; everything else is f32.
const fn of_short(name: &'static str, ports: &'static [(&'static str, DType)]) -> Types {
    Types::mixed(name, DType::F32, ports, DType::F32)
}

const SIZES: &[i64] = &[
    0, 1, 2, 3, 5, 6, 7, 8, 11, 12, 13, 14, 15, 16, 17, 27, 28, 29, 31, 32, 33, 47, 48, 49, 63, 64, 65, 97, 127, 128,
    129,
];
const DEPTHS: &[i64] = &[0, 1, 2, 3, 4, 7, 8, 9, 15, 16, 17, 31, 33, 64, 127, 255, 256, 257, 511, 512, 513, 1024];

const NARROW: &[i64] = &[1, 2, 3, 4, 7, 8];

/// Products with a vector or a few of them, by how the wide operand lies.
const DOMAINS: &[Domain] = &[
    Domain { name: "few rows", fixed: &[("m", NARROW), ("n", &[33, 64, 130, 257]), ("b", &[0])] },
    Domain { name: "few rows, products side by side", fixed: &[("m", NARROW), ("n", &[17, 64, 130]), ("b", &[1])] },
    Domain { name: "few columns", fixed: &[("n", NARROW), ("m", &[33, 64, 130]), ("a", &[0, 1])] },
    Domain { name: "many small matrices", fixed: &[("batch", &[4, 5, 33]), ("m", &[1, 3, 8]), ("n", &[2, 5, 17])] },
];

const AXES: &[Axis] = &[
    Axis::int("m", "rows of A and C", 1, 130, SIZES),
    Axis::int("n", "columns of B and C", 1, 130, SIZES),
    Axis::int("k", "columns of A, rows of B", 1, 600, DEPTHS),
    Axis::int("batch", "matrices", 1, 5, &[0, 1, 2, 3, 4, 5, 33]),
    Axis::choice("a", "how A lies: row-major, transposed, every second column", &["n", "t", "s"]),
    Axis::choice("b", "how B lies: row-major, transposed, every second column", &["n", "t", "s"]),
    Axis::int("lda", "elements that each row of A (column, if transposed) is longer than its contents", 0, 9, &[0, 1]),
    Axis::int("ldb", "the same for B", 0, 9, &[0, 1]),
    Axis::int("ldc", "the same for C", 0, 9, &[0, 1]),
    Axis::choice("share", "operand that all matrices of the batch share (stride 0)", &["none", "a", "b"]),
    Axis::choice("alpha", "factor of the product", &["1", "0", "-1", "2", "0.5"]),
    Axis::choice("beta", "factor of C", &["0", "1", "-1", "2", "0.5"]),
    Axis::choice("bias", "vector of n added to each row", &["none", "row"]),
    Axis::choice("act", "activation", &["none", "relu", "gelu"]),
];

/// What happens to the sum last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// Nothing.
    None,
    /// `max(x, 0)`; NaN stays NaN.
    Relu,
    /// `x·Φ(x)` with the normal distribution function (erf form).
    Gelu,
}

/// Where a matrix of a batch lies: strides in elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Matrix {
    /// Between rows.
    pub row: usize,
    /// Between columns.
    pub col: usize,
    /// Between matrices of the batch; 0 if they are one.
    pub batch: usize,
}

impl Matrix {
    /// Elements from the first to one past the last of a valid batch of `rows`×`cols` matrices.
    fn span(&self, rows: usize, cols: usize, batch: usize) -> usize {
        if rows == 0 || cols == 0 || batch == 0 {
            return 0;
        }
        (rows - 1) * self.row + (cols - 1) * self.col + (batch - 1) * self.batch + 1
    }
}

/// A validated GEMM.
#[derive(Clone, Debug, PartialEq)]
pub struct Gemm {
    /// Rows of A and C.
    pub m: usize,
    /// Columns of B and C.
    pub n: usize,
    /// Columns of A and rows of B.
    pub k: usize,
    /// Matrices.
    pub batch: usize,
    /// Where A (m×k) lies.
    pub a: Matrix,
    /// Where B (k×n) lies.
    pub b: Matrix,
    /// Where C (m×n) lies; its column stride is 1.
    pub c: Matrix,
    /// Factor of the product.
    pub alpha: f64,
    /// Factor of C; with 0, C is not read.
    pub beta: f64,
    /// Whether a bias of n elements is added to each row.
    pub bias: bool,
    /// Activation.
    pub activation: Activation,
}

impl Gemm {
    /// `C = A·B`, all row-major and without gaps.
    ///
    /// # Errors
    /// [`ProblemError::Overflow`] if a buffer does not fit the address space.
    pub fn new(m: usize, n: usize, k: usize) -> Result<Gemm, ProblemError> {
        let plain = |cols: usize, batch: usize| Matrix { row: cols.max(1), col: 1, batch };
        Gemm {
            m,
            n,
            k,
            batch: 1,
            a: plain(k, 0),
            b: plain(n, 0),
            c: plain(n, 0),
            alpha: 1.0,
            beta: 0.0,
            bias: false,
            activation: Activation::None,
        }
        .validated()
    }

    /// Checks strides and sizes; call after changing fields.
    ///
    /// # Errors
    /// [`ProblemError`] if rows of C overlap, C's column stride is not 1, or a buffer does not fit the address space.
    pub fn validated(self) -> Result<Gemm, ProblemError> {
        let (m, n, k, batch) = (self.m, self.n, self.k, self.batch);
        if self.c.col != 1 || (m > 1 && self.c.row < n) {
            return Err(ProblemError::Conflict("C must be row-major with a leading dimension of at least n".into()));
        }
        elements("m·n·batch", &[m, n, batch])?;
        elements("m·k·batch", &[m, k, batch])?;
        elements("k·n·batch", &[k, n, batch])?;
        span("A", &self.a, m, k, batch)?;
        span("B", &self.b, k, n, batch)?;
        let rows = span("C", &self.c, m, n, 1)?;
        if batch > 1 && self.c.batch < rows {
            return Err(ProblemError::Conflict("matrices of C must not overlap".into()));
        }
        span("C", &self.c, m, n, batch)?;
        Ok(self)
    }

    /// Elements the buffer of A has at least.
    pub fn a_len(&self) -> usize {
        self.a.span(self.m, self.k, self.batch)
    }

    /// Elements the buffer of B has at least.
    pub fn b_len(&self) -> usize {
        self.b.span(self.k, self.n, self.batch)
    }

    /// Elements the buffer of C has at least.
    pub fn c_len(&self) -> usize {
        self.c.span(self.m, self.n, self.batch)
    }

    fn layout(&self, matrix: &Matrix, rows: usize, cols: usize) -> Layout {
        Layout::strided(&[self.batch, rows, cols], &[matrix.batch, matrix.row, matrix.col])
    }

    /// The product plus βC and bias: what the activation is applied to.
    pub fn preactivation(&self, inputs: &[ArrayD<f64>]) -> ArrayD<f64> {
        let [a, b, c] = [0, 1, 2].map(|i| inputs[i].view().into_dimensionality::<Ix3>());
        let (a, b) = (a.expect("batch×m×k"), b.expect("batch×k×n"));
        let mut out = Array3::zeros((self.batch, self.m, self.n));
        // Without products there is nothing that α could scale; with α = 0 the product is not formed.
        if self.k > 0 && self.alpha != 0.0 {
            for (mut out, (a, b)) in out.outer_iter_mut().zip(a.outer_iter().zip(b.outer_iter())) {
                out.assign(&(a.dot(&b) * self.alpha));
            }
        }
        if self.beta != 0.0 {
            out += &(c.expect("batch×m×n").to_owned() * self.beta);
        }
        if self.bias {
            out += &inputs[3].view().into_dimensionality::<Ix1>().expect("n");
        }
        out.into_dyn()
    }
}

impl Gemm {
    /// A formula and its value for each element, behind the activation.
    ///
    /// # Panics
    /// If the shapes differ.
    pub fn bounded(&self, formula: &'static str, bound: ArrayD<f64>, expected: &ArrayD<f64>) -> Tolerance {
        match self.activation {
            Activation::None => Tolerance::bound(formula, bound, expected),
            Activation::Relu | Activation::Gelu => Tolerance::bound_behind_zero(formula, bound, expected),
        }
    }

    /// How far each output may be off if a product passes `chain` roundings until the sums are complete.
    ///
    /// # Panics
    /// If the arrays are not the problem's.
    pub fn bound(&self, chain: usize, types: Types, inputs: &[ArrayD<f64>], expected: &[ArrayD<f64>]) -> ArrayD<f64> {
        let (u, dtype) = (types.accumulator.unit_roundoff(), types.accumulator);
        // The reference makes as many roundings as the kernel when both compute in f64.
        let sides = if dtype == DType::F64 { 2.0 } else { 1.0 };
        // One rounding each for α, β·c, the bias.
        let steps = chain + 3;
        let mut sum = magnitude(&inputs[0], &inputs[1]) * self.alpha.abs();
        // No product is formed, whatever the operands hold.
        if self.k == 0 || self.alpha == 0.0 {
            sum.fill(0.0);
        }
        if self.beta != 0.0 {
            sum += &(inputs[2].mapv(f64::abs).into_dimensionality::<Ix3>().expect("batch×m×n") * self.beta.abs());
        }
        if self.bias {
            sum += &inputs[3].mapv(f64::abs).into_dimensionality::<Ix1>().expect("n");
        }
        let (slope, own) = activation_error(self.activation);
        let relative = slope * sides * tolerance::gamma(steps, u) + own * u;
        let mut bound = sum.mapv(|s| relative * s + slope * sides * steps as f64 * dtype.underflow());
        ndarray::Zip::from(&mut bound)
            .and(&expected[0].view().into_dimensionality::<Ix3>().expect("batch×m×n"))
            .for_each(|b, y| {
                *b += u * y.abs() + dtype.underflow();
                if types.of("out") != dtype {
                    let out = types.of("out");
                    *b += out.unit_roundoff() * (y.abs() + *b) + out.underflow();
                }
            });
        bound.into_dyn()
    }
}

/// Elements from the first to one past the last.
fn span(what: &'static str, x: &Matrix, rows: usize, cols: usize, batch: usize) -> Result<usize, ProblemError> {
    if rows == 0 || cols == 0 || batch == 0 {
        return Ok(0);
    }
    let reach = |n: usize, stride: usize| (n - 1).checked_mul(stride);
    (|| reach(rows, x.row)?.checked_add(reach(cols, x.col)?)?.checked_add(reach(batch, x.batch)?)?.checked_add(1))()
        .filter(|&span| span <= isize::MAX as usize / 8)
        .ok_or(ProblemError::Overflow { what })
}

/// The activation of one value.
pub fn activate(activation: Activation, x: f64) -> f64 {
    match activation {
        Activation::None => x,
        Activation::Relu => {
            if x < 0.0 {
                0.0
            } else {
                x
            }
        }
        Activation::Gelu => gelu(x),
    }
}

/// `x·Φ(x)`. The limit at −∞ is 0.
pub fn gelu(x: f64) -> f64 {
    if x == f64::NEG_INFINITY { 0.0 } else { 0.5 * x * libm::erfc(-x / std::f64::consts::SQRT_2) }
}

/// Derivative of [`gelu`].
pub fn gelu_derivative(x: f64) -> f64 {
    let density = (-0.5 * x * x).exp() / (2.0 * std::f64::consts::PI).sqrt();
    0.5 * libm::erfc(-x / std::f64::consts::SQRT_2) + if density == 0.0 { 0.0 } else { x * density }
}

/// Length of the longest chain of roundings behind a sum of `k` products in the canonical order.
pub fn chain(k: usize) -> usize {
    k.min(CHUNK) + k.div_ceil(CHUNK)
}

/// `Σ|aᵢ||bᵢ|` for each output.
pub fn magnitude(a: &ArrayD<f64>, b: &ArrayD<f64>) -> Array3<f64> {
    let a = a.mapv(f64::abs).into_dimensionality::<Ix3>().expect("batch×m×k");
    let b = b.mapv(f64::abs).into_dimensionality::<Ix3>().expect("batch×k×n");
    let mut out = Array3::zeros((a.shape()[0], a.shape()[1], b.shape()[2]));
    for (z, mut out) in out.axis_iter_mut(NdAxis(0)).enumerate() {
        let product: Array2<f64> = a.index_axis(NdAxis(0), z).dot(&b.index_axis(NdAxis(0), z));
        out.assign(&product);
    }
    out
}

/// How much the activation can widen an error, and the errors of its own evaluation in units of u·|x|. GELU's slope is at
/// most 1.13; its kernels evaluate erf with an absolute error below 2u and make four more roundings.
pub fn activation_error(activation: Activation) -> (f64, f64) {
    match activation {
        Activation::None | Activation::Relu => (1.0, 0.0),
        Activation::Gelu => (1.13, 8.0),
    }
}

impl Problem for Gemm {
    fn inputs(&self, types: Types) -> Vec<Port> {
        let c = self.layout(&self.c, self.m, self.n);
        vec![
            Port::new("a", types, self.layout(&self.a, self.m, self.k)).factor_or_weights(),
            Port::new("b", types, self.layout(&self.b, self.k, self.n)).factor_or_weights(),
            Port::new("c", types, c),
            Port::optional("bias", types, Layout::contiguous(&[self.n]), self.bias).weights(),
        ]
    }

    fn outputs(&self, types: Types) -> Vec<Port> {
        let layout = self.layout(&self.c, self.m, self.n);
        let out = Port::new("out", types, layout);
        // With β = 0, C is not read: it starts poisoned.
        vec![if self.beta == 0.0 { out } else { out.from_input(2) }]
    }

    fn reference(&self, inputs: &[ArrayD<f64>]) -> Vec<ArrayD<f64>> {
        vec![self.preactivation(inputs).mapv(|x| activate(self.activation, x))]
    }

    fn tolerance(&self, types: Types, fill: Fill, inputs: &[ArrayD<f64>], expected: &[ArrayD<f64>]) -> Vec<Tolerance> {
        if fill == Fill::Exact && self.activation != Activation::Gelu {
            return vec![Tolerance::Exact];
        }
        let bound = self.bound(chain(self.k), types, inputs, expected);
        let formula =
            "γ(min(k,256)+⌈k/256⌉+3)·(|α|Σ|a||b| + |β||c| + |bias|) + u|y| (GELU: 1.13× + 8u·Σ; short: + v|y|)";
        vec![self.bounded(formula, bound, &expected[0])]
    }

    fn operations(&self) -> (f64, Unit) {
        let [m, n, k, batch] = [self.m, self.n, self.k, self.batch].map(|x| x as f64);
        (2.0 * batch * m * n * k, Unit::Fma)
    }

    fn work(&self, types: Types) -> Work {
        let (operations, unit) = self.operations();
        // There are instructions for the products of bf16.
        let unit = if types.of("a") == DType::Bf16 { Unit::DotBf16 } else { unit };
        Work::of((operations, unit), &self.inputs(types), &self.unread_inputs(), &self.outputs(types))
    }

    fn differentiable(&self) -> Vec<usize> {
        let mut inputs = vec![0, 1];
        if self.beta != 0.0 {
            inputs.push(2);
        }
        if self.bias {
            inputs.push(3);
        }
        inputs
    }

    fn unread_inputs(&self) -> Vec<usize> {
        // β·C is read from the output's buffer.
        vec![2]
    }

    fn degenerate(&self) -> bool {
        // All outputs may be equal: no product is formed, or only one column or depth of zeros is likely.
        self.k <= 1 || self.alpha == 0.0
    }
}

/// Reads the axes that `gemm` and its gradient share.
pub(super) fn choice_value(point: &Point, axis: &'static str) -> Result<&'static str, ProblemError> {
    point.choice(axis).ok_or(ProblemError::OutOfRange { axis, value: point.get(axis), rule: "not among the choices" })
}

pub(super) fn factor(point: &Point, axis: &'static str) -> Result<f64, ProblemError> {
    choice_value(point, axis).map(|text| text.parse().expect("the choices are numbers"))
}

pub(super) fn activation(point: &Point) -> Result<Activation, ProblemError> {
    Ok(match choice_value(point, "act")? {
        "none" => Activation::None,
        "relu" => Activation::Relu,
        _ => Activation::Gelu,
    })
}

/// Strides of an operand of `rows`×`cols` whose lines are `pad` elements longer than their contents.
fn matrix(how: &str, rows: usize, cols: usize, pad: usize, batch: usize) -> Result<Matrix, ProblemError> {
    let what = "leading dimension";
    let line = |length: usize| length.checked_add(pad).map(|l| l.max(1)).ok_or(ProblemError::Overflow { what });
    let (row, col, lines) = match how {
        "n" => (line(cols)?, 1, rows),
        "t" => (1, line(rows)?, cols),
        _ => (elements(what, &[line(cols)?, 2])?, 2, rows),
    };
    let stride = elements("batch stride", &[row.max(col), lines])?;
    Ok(Matrix { row, col, batch: if batch == 0 { 0 } else { stride } })
}

/// The operator `gemm`.
pub static GEMM: Operator = Operator {
    name: "gemm",
    summary: "out = act(α·A·B + β·C + bias), batched",
    axes: AXES,
    types: TYPES,
    make,
    workloads: super::gemm_workloads::WORKLOADS,
    special_values: "NaN and ∞ follow the formula, NaN·0 included; β = 0 does not read C; α = 0 or k = 0 forms no product; ReLU keeps NaN",
    domains: DOMAINS,
    gradient: None,
    witness: Witness::Libtorch,
    batch: Some("batch"),
};

/// The problem at a point.
fn make(point: &Point) -> Result<Box<dyn Problem>, ProblemError> {
    let [m, n, k, batch] = [size(point, "m")?, size(point, "n")?, size(point, "k")?, size(point, "batch")?];
    let share = choice_value(point, "share")?;
    let own = |name: &str| if share == name { 0 } else { 1 };
    let gemm = Gemm {
        m,
        n,
        k,
        batch,
        a: matrix(choice_value(point, "a")?, m, k, size(point, "lda")?, own("a"))?,
        b: matrix(choice_value(point, "b")?, k, n, size(point, "ldb")?, own("b"))?,
        c: matrix("n", m, n, size(point, "ldc")?, 1)?,
        alpha: factor(point, "alpha")?,
        beta: factor(point, "beta")?,
        bias: choice_value(point, "bias")? == "row",
        activation: activation(point)?,
    };
    Ok(Box::new(gemm.validated()?))
}

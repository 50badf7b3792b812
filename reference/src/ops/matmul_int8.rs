//! `matmul_int8`: a product of 8-bit integers, summed in 32 bits, as it is or brought back to 8 bits.
//!
//! `s[i, j] = Σₖ (a[i, k] − za)·(b[k, j] − zb[j]) + bias[j]`, in integers. A is m×k, of u8 or s8, row-major; B is k×n,
//! of s8, row-major or transposed (n×k, as layers keep their weights). `za` is one number, `zb` one number or one per
//! column (as ONNX's MatMulInteger has it), of their operands' dtypes; `bias` is i32. Any of the three may be absent.
//!
//! **Sums wrap** modulo 2³², as the instructions do: intermediate sums may overflow, and the result is the same in any
//! order. It is the mathematical one where that fits i32, for which k ≤ 33,025 is enough without a bias (255·255·k <
//! 2³¹), and k ≤ 65,793 without zero points (255·128·k < 2³¹).
//!
//! **Types.** `u8s8s32` and `s8s8s32` give `out = s`, with ReLU `max(s, 0)`. `u8s8u8`, `u8s8s8` and `s8s8s8`
//! requantize: `p = f32(s)·scale[j]`, `out = saturate(rint(p) + zo)`: s is rounded once to f32, the product once,
//! `rint` rounds to the nearest integer, ties to even; `zo` is one number of the output's dtype. With ReLU, `max(p, 0)`
//! is rounded. A NaN counts as −∞. So there is one right answer, bit for bit.

use ndarray::{Array2, ArrayD, Ix1, Ix2, Zip};

use super::gemm::choice_value;
use crate::Cache::ColdWeights;
use crate::operator::{elements, size};
use crate::tensor::Values;
use crate::{
    Axis, DType, Domain, Fill, Layout, Operator, Point, Port, Problem, ProblemError, Tolerance, Types, Unit, Witness,
    Workload,
};

const SIZES: &[i64] =
    &[0, 1, 2, 3, 5, 6, 7, 8, 11, 12, 13, 15, 16, 17, 24, 25, 31, 32, 33, 48, 49, 63, 64, 65, 97, 129];
const DEPTHS: &[i64] = &[0, 1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 33, 63, 64, 65, 127, 129, 255, 257, 512, 1567];

const AXES: &[Axis] = &[
    Axis::int("m", "rows of A and of the output", 1, 130, SIZES),
    Axis::int("n", "columns of B and of the output", 1, 130, SIZES),
    Axis::int("k", "columns of A, rows of B", 1, 600, DEPTHS),
    Axis::choice("b", "how B lies: row-major, transposed", &["n", "t"]),
    Axis::choice("za", "zero point of A", &["none", "tensor"]),
    Axis::choice("zb", "zero points of B: none, one, one per column", &["none", "tensor", "column"]),
    Axis::choice("bias", "vector of n added to each row", &["none", "row"]),
    Axis::choice("scale", "scales of requantization: one per column, one", &["column", "tensor"]),
    Axis::choice("act", "activation", &["none", "relu"]),
];

/// Products that kernels compute on paths of their own.
const DOMAINS: &[Domain] = &[
    Domain { name: "few rows", fixed: &[("m", &[1, 2, 3, 6, 8]), ("n", &[33, 64, 130, 257])] },
    Domain { name: "deep", fixed: &[("k", &[1024, 1567, 2876])] },
];

/// Accumulated in i32; the scales are f32 throughout.
const fn types(name: &'static str, ports: &'static [(&'static str, DType)]) -> Types {
    Types::mixed(name, DType::I32, ports, DType::I32)
}

macro_rules! ports {
    ($a:ident, $out:ident) => {
        &[
            ("a", DType::$a),
            ("b", DType::I8),
            ("za", DType::$a),
            ("zb", DType::I8),
            ("scale", DType::F32),
            ("zo", DType::$out),
            ("out", DType::$out),
            // A convolution's names of the same operands.
            ("x", DType::$a),
            ("w", DType::I8),
            ("zx", DType::$a),
            ("zw", DType::I8),
            ("zy", DType::$out),
            ("y", DType::$out),
        ]
    };
}

/// u8 × s8 → i32.
pub const U8S8S32: Types = types("u8s8s32", ports!(U8, I32));
/// s8 × s8 → i32.
pub const S8S8S32: Types = types("s8s8s32", ports!(I8, I32));
/// u8 × s8 → u8.
pub const U8S8U8: Types = types("u8s8u8", ports!(U8, U8));
/// u8 × s8 → s8.
pub const U8S8S8: Types = types("u8s8s8", ports!(U8, I8));
/// s8 × s8 → s8.
pub const S8S8S8: Types = types("s8s8s8", ports!(I8, I8));

/// Every combination of dtypes.
pub const TYPES: &[Types] = &[U8S8S32, S8S8S32, U8S8U8, U8S8S8, S8S8S8];

/// How many numbers an operand of a column's numbers has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Per {
    /// It is absent.
    None,
    /// One for all columns.
    Tensor,
    /// One for each column.
    Column,
}

impl Per {
    /// Where the numbers of `n` columns lie.
    pub(super) fn layout(self, n: usize) -> Layout {
        match self {
            Per::None => Layout::absent(),
            Per::Tensor => Layout::strided(&[n], &[0]),
            Per::Column => Layout::contiguous(&[n]),
        }
    }

    /// The choice on an axis: `none`, `tensor`, or a name for one per column.
    pub(super) fn of(point: &Point, axis: &'static str) -> Result<Per, ProblemError> {
        Ok(match choice_value(point, axis)? {
            "none" => Per::None,
            "tensor" => Per::Tensor,
            _ => Per::Column,
        })
    }
}

/// A validated product.
#[derive(Clone, Debug, PartialEq)]
pub struct MatmulInt8 {
    /// Rows of A and of the output.
    pub m: usize,
    /// Columns of B and of the output.
    pub n: usize,
    /// Columns of A and rows of B.
    pub k: usize,
    /// Whether B lies as n×k.
    pub transposed: bool,
    /// Whether A has a zero point.
    pub za: bool,
    /// Zero points of B.
    pub zb: Per,
    /// Whether there is a bias.
    pub bias: bool,
    /// Scales of requantization, where the types have it.
    pub scale: Per,
    /// Whether negative results become 0.
    pub relu: bool,
}

impl MatmulInt8 {
    /// `out = A·B`, both row-major, without zero points, bias and activation; requantization has a scale per column.
    ///
    /// # Errors
    /// [`ProblemError::Overflow`] if a buffer does not fit the address space.
    pub fn new(m: usize, n: usize, k: usize) -> Result<MatmulInt8, ProblemError> {
        for (what, sides) in [("m·n", [m, n]), ("m·k", [m, k]), ("k·n", [k, n])] {
            elements(what, &sides)?;
        }
        let scale = Per::Column;
        Ok(MatmulInt8 { m, n, k, transposed: false, za: false, zb: Per::None, bias: false, scale, relu: false })
    }

    /// Where a vector of a number per column lies.
    fn columns(&self, per: Per) -> Layout {
        per.layout(self.n)
    }

    /// Elements that the buffer of such a vector has at least.
    pub fn columns_len(&self, per: Per) -> usize {
        match per {
            Per::None => 0,
            Per::Tensor => self.n.min(1),
            Per::Column => self.n,
        }
    }

    /// The sums before ReLU, each exact, then wrapped.
    fn sums(&self, inputs: &[ArrayD<f64>]) -> Array2<f64> {
        let matrix = |i: usize| inputs[i].view().into_dimensionality::<Ix2>().expect("a matrix").to_owned();
        let vector = |i: usize| inputs[i].view().into_dimensionality::<Ix1>().expect("a vector");
        let (mut a, mut b) = (matrix(0), matrix(1));
        if self.za {
            a -= inputs[2][[0]];
        }
        if self.zb != Per::None {
            b -= &vector(3);
        }
        // Below 2⁵³, so that f64 has every sum of integers.
        let mut sums = a.dot(&b);
        if self.bias {
            sums += &vector(4);
        }
        sums.mapv(wrapped)
    }
}

/// An integer modulo 2³².
pub(super) fn wrapped(sum: f64) -> f64 {
    f64::from(sum as i64 as i32)
}

/// Requantized, but for saturation: an integer, ±∞, or −∞ for NaN.
pub fn requantized(sum: i32, scale: f32, zero: f64, relu: bool) -> f64 {
    let product = sum as f32 * scale;
    if product.is_nan() {
        return if relu { zero } else { f64::NEG_INFINITY };
    }
    let product = if relu { product.max(0.0) } else { product };
    f64::from(product).round_ties_even() + zero
}

impl Problem for MatmulInt8 {
    fn inputs(&self, types: Types) -> Vec<Port> {
        let (m, n, k) = (self.m, self.n, self.k);
        let b = if self.transposed { Layout::strided(&[k, n], &[1, k.max(1)]) } else { Layout::contiguous(&[k, n]) };
        let requantizes = types.of("out") != DType::I32;
        let scale = self.columns(if requantizes { self.scale } else { Per::None });
        let one = || Layout::contiguous(&[1]);
        vec![
            Port::new("a", types, Layout::contiguous(&[m, k])).factor_or_weights(),
            Port::new("b", types, b).factor_or_weights(),
            Port::optional("za", types, one(), self.za).drawn(Values::ZeroPoint),
            Port::new("zb", types, self.columns(self.zb)).drawn(Values::ZeroPoint),
            Port::optional("bias", types, Layout::contiguous(&[n]), self.bias).drawn(Values::Sum(k)).weights(),
            Port::new("scale", types, scale).drawn(Values::Rescale(k)).weights(),
            Port::optional("zo", types, one(), requantizes).drawn(Values::ZeroPoint),
        ]
    }

    fn outputs(&self, types: Types) -> Vec<Port> {
        vec![Port::new("out", types, Layout::contiguous(&[self.m, self.n]))]
    }

    fn reference(&self, inputs: &[ArrayD<f64>]) -> Vec<ArrayD<f64>> {
        let sums = self.sums(inputs);
        let (scale, zero) = (&inputs[5], &inputs[6]);
        let Some(&zero) = zero.first() else {
            return vec![sums.mapv(|s| if self.relu { s.max(0.0) } else { s }).into_dyn()];
        };
        let mut out = sums;
        for mut row in out.rows_mut() {
            Zip::from(&mut row).and(scale.view().into_dimensionality::<Ix1>().expect("n")).for_each(|s, scale| {
                *s = requantized(*s as i32, *scale as f32, zero, self.relu);
            });
        }
        vec![out.into_dyn()]
    }

    fn tolerance(&self, _: Types, _: Fill, _: &[ArrayD<f64>], _: &[ArrayD<f64>]) -> Vec<Tolerance> {
        // Integers are exact, and both roundings of requantization are part of the definition.
        vec![Tolerance::Exact]
    }

    fn operations(&self) -> (f64, Unit) {
        (2.0 * self.m as f64 * self.n as f64 * self.k as f64, Unit::DotBytes)
    }

    fn degenerate(&self) -> bool {
        // One product is often 0. One scale may rightly be 0, or so large that everything saturates. One zero point of
        // B may decide the sign of all sums, and a column's weights that of its sums.
        let few = self.n <= 2 || self.n < 16 && (self.relu || self.zb != Per::None);
        self.k <= 1 || few || self.scale != Per::Column || self.zb == Per::Tensor
    }
}

/// The problem at a point.
fn make(point: &Point) -> Result<Box<dyn Problem>, ProblemError> {
    Ok(Box::new(MatmulInt8 {
        transposed: choice_value(point, "b")? == "t",
        za: choice_value(point, "za")? == "tensor",
        zb: Per::of(point, "zb")?,
        bias: choice_value(point, "bias")? == "row",
        scale: Per::of(point, "scale")?,
        relu: choice_value(point, "act")? == "relu",
        ..MatmulInt8::new(size(point, "m")?, size(point, "n")?, size(point, "k")?)?
    }))
}

const FBGEMM: &str = "FBGEMM PackedRequantizeAcc32Benchmark";
const BENCHDNN: &str = "oneDNN benchdnn inputs";
/// The sizes that `gemm` has in every type.
const SWEEP: &str = "size sweep";
const LLAMA: &str = "TorchBench LLaMA-7B";

static WORKLOADS: &[Workload] = &[
    Workload::new("fbgemm.tall_n8", "m=156800,n=8,k=36", FBGEMM),
    Workload::new("fbgemm.m1_128x512", "n=128,k=512", FBGEMM),
    Workload::new("fbgemm.m1_4096x1024", "n=4096,k=1024", FBGEMM),
    Workload::new("fbgemm.m6_256x1024", "m=6,n=256,k=1024", FBGEMM),
    Workload::new("fbgemm.m10_4096x1024", "m=10,n=4096,k=1024", FBGEMM),
    Workload::new("fbgemm.m102_2323x256", "m=102,n=2323,k=256", FBGEMM),
    Workload::new("fbgemm.m16_256x1567", "m=16,n=256,k=1567", FBGEMM).smoke(),
    Workload::new("fbgemm.m1_128x2876", "n=128,k=2876", FBGEMM),
    Workload::new("benchdnn.doc", "m=10,n=20,k=30,za=tensor", BENCHDNN).smoke(),
    Workload::new("bert.attention", "m=1536,n=128,k=64,b=t", BENCHDNN),
    Workload::new("square.64", "m=64,n=64,k=64", SWEEP),
    Workload::new("square.128", "m=128,n=128,k=128", SWEEP),
    Workload::new("square.1024", "m=1024,n=1024,k=1024", SWEEP),
    Workload::new("bert.512x3072x768", "m=512,n=3072,k=768", "TorchBench operator logs"),
    Workload::new("llama7b.wo_decode", "n=4096,k=4096,b=t", LLAMA).met(ColdWeights),
    Workload::new("llama7b.w2_decode", "n=4096,k=11008,b=t", LLAMA).met(ColdWeights),
    Workload::new("square.512", "m=512,n=512,k=512", "rten bench_gemm_mix").smoke(),
    Workload::new("linear.square_512", "m=512,n=512,k=512,b=t,za=tensor,bias=row,act=relu", "composed for the suite"),
];

/// The operator `matmul_int8`.
pub static MATMUL_INT8: Operator = Operator {
    name: "matmul_int8",
    summary: "product of 8-bit integers with zero points and bias, in i32 or requantized to 8 bits",
    axes: AXES,
    types: TYPES,
    make,
    workloads: WORKLOADS,
    special_values: "sums wrap modulo 2³²; requantization saturates, and a NaN (of a scale, or of 0·∞) counts as −∞",
    domains: DOMAINS,
    gradient: None,
    witness: Witness::Libtorch,
    batch: Some("m"),
};

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::arr2;

    fn reference(p: &MatmulInt8, a: Array2<f64>, b: Array2<f64>, rest: [&[f64]; 5]) -> Vec<f64> {
        let vectors = rest.map(|v| ArrayD::from_shape_vec(vec![v.len()], v.to_vec()).expect("a vector"));
        let inputs: Vec<_> = [a.into_dyn(), b.into_dyn()].into_iter().chain(vectors).collect();
        p.reference(&inputs)[0].iter().copied().collect()
    }

    fn plain(m: usize, n: usize, k: usize) -> MatmulInt8 {
        MatmulInt8::new(m, n, k).expect("a problem")
    }

    #[test]
    fn extremes_do_not_saturate() {
        let none: [&[f64]; 5] = [&[]; 5];
        let pair = reference(&plain(1, 1, 2), arr2(&[[255.0, 255.0]]), arr2(&[[127.0], [127.0]]), none);
        assert_eq!(pair, [64770.0]);
        let (a, b) = (Array2::from_elem((1, 32), -1.0), Array2::from_elem((32, 1), -128.0));
        assert_eq!(reference(&plain(1, 1, 32), a, b, none), [4096.0]);
        let (a, b) = (Array2::from_elem((1, 1567), 255.0), Array2::from_elem((1567, 1), -128.0));
        assert_eq!(reference(&plain(1, 1, 1567), a, b, none), [-51_146_880.0]);
    }

    #[test]
    fn zero_points_on_both_sides() {
        let p = MatmulInt8 { za: true, zb: Per::Column, ..plain(3, 3, 3) };
        let a = arr2(&[[238.0, 115.0, 94.0], [245.0, 111.0, 102.0], [158.0, 225.0, 48.0]]);
        let b = arr2(&[[25.0, 36.0, 125.0], [42.0, -123.0, 76.0], [-81.0, -86.0, 35.0]]);
        let out = reference(&p, a, b, [&[42.0], &[-26.0; 3], &[], &[], &[]]);
        assert_eq!(out, [12100.0, 1951.0, 40214.0, 11745.0, 2293.0, 41351.0, 18030.0, -10919.0, 36548.0]);
    }

    #[test]
    fn sums_wrap() {
        let p = MatmulInt8 { bias: true, ..plain(1, 1, 1) };
        let bias = f64::from(i32::MAX);
        let out = reference(&p, arr2(&[[1.0]]), arr2(&[[1.0]]), [&[], &[], &[bias], &[], &[]]);
        assert_eq!(out, [f64::from(i32::MIN)]);
    }

    #[test]
    fn requantization_rounds_ties_to_even_and_saturates() {
        let u8_of = |sum, scale, zero, relu| DType::U8.round(requantized(sum, scale, zero, relu));
        let s8_of = |sum, scale, zero, relu| DType::I8.round(requantized(sum, scale, zero, relu));
        // 30/0.1 and −0.1/0.1.
        assert_eq!((u8_of(30, 10.0, 0.0, false), u8_of(-1, 1.0, 0.0, false)), (255.0, 0.0));
        assert_eq!([1, 3, 5, -1, -3].map(|sum| s8_of(sum, 0.5, 0.0, false)), [0.0, 2.0, 2.0, 0.0, -2.0]);
        assert_eq!((s8_of(-200, 1.0, 100.0, false), s8_of(-200, 1.0, 100.0, true)), (-100.0, 100.0));
        assert_eq!((s8_of(1, f32::NAN, 3.0, false), s8_of(1, f32::NAN, 3.0, true)), (-128.0, 3.0));
        assert_eq!((u8_of(0, f32::INFINITY, 9.0, false), u8_of(1, f32::INFINITY, 9.0, true)), (0.0, 255.0));
        // The sum is rounded to f32 first: 2²⁴ + 1 is a tie.
        assert_eq!(requantized((1 << 24) + 1, 1.0, 0.0, false), f64::from(1 << 24));
    }
}

//! `matmul_int4`: a product with weights of 4 bits, `out[i, j] = Σₖ a[i, k]·w[j, k] + bias[j]`.
//!
//! A is m×k, row-major. The weights lie as layers keep them: n rows of k codes from 0 to 15, two to a byte, the first in
//! the lower half; a row begins with a byte of its own. A group is `group` neighbours of a row, the last one maybe
//! fewer; it has a scale, and a zero point from 0 to 15, which is 8 where none are given:
//! `w[j, k] = (code − zero)·scale`, scales and zero points n×⌈k/group⌉.
//!
//! **Order of summation** (of the kernels that say so): within a group one chain of fused multiply-adds of
//! `a·(code − zero)` over ascending k, which starts from +0; with t = 0, each group's sum s is added in order as
//! `t = fma(scale, s, t)`. Then `t + bias`. All in f32; `bf16u4` has A, bias and out in bf16, and rounds once more.
//!
//! **Error.** A product passes at most min(k, group) roundings in its group and one for each group after it; kernels may
//! round weights, or sum codes and zero points apart:
//! `γ(max(min(k, group), 256) + ⌈k/min(group, 256)⌉ + 4)·(Σ|a|(code + zero)|scale| + |bias|) + u|ŷ|`, and as for
//! [`gemm`](super::gemm) for the rounding to bf16.

use ndarray::{Array2, ArrayD, Ix1, Ix2, Zip};

use super::gemm::choice_value;
use crate::operator::{elements, size};
use crate::tensor::Values;
use crate::{
    Axis, DType, Domain, Fill, Layout, Operator, Point, Port, Problem, ProblemError, Tolerance, Types, Unit, Witness,
    Workload, tolerance,
};

const SIZES: &[i64] = &[0, 1, 2, 3, 5, 6, 7, 8, 11, 12, 13, 15, 16, 17, 31, 32, 33, 48, 49, 64, 65, 97];
const DEPTHS: &[i64] = &[0, 1, 2, 3, 15, 16, 17, 31, 32, 33, 63, 64, 65, 96, 127, 128, 129, 257, 512];

const AXES: &[Axis] = &[
    Axis::int("m", "rows of A and of the output", 1, 70, SIZES),
    Axis::int("n", "rows of weights, columns of the output", 1, 100, SIZES),
    Axis::int("k", "columns of A", 1, 400, DEPTHS),
    Axis::int("group", "codes of a group", 32, 140, &[1, 2, 3, 16, 17, 32, 64, 128]).positive(),
    Axis::choice("zero", "zero points of groups; 8 without", &["none", "given"]),
    Axis::choice("bias", "vector of n added to each row", &["none", "row"]),
];

const DOMAINS: &[Domain] = &[
    Domain { name: "few rows", fixed: &[("m", &[1, 2, 3, 4, 8]), ("group", &[32, 64, 128]), ("n", &[16, 33, 65, 97])] },
    Domain { name: "usual groups", fixed: &[("group", &[32, 64, 128]), ("k", &[32, 96, 129, 257, 512])] },
    Domain { name: "short groups", fixed: &[("group", &[1, 3, 17])] },
];

/// Codes of 4 bits with f32.
pub const F32U4: Types = Types::mixed("f32u4", DType::F32, &[("w", DType::U8), ("zero", DType::U8)], DType::F32);
/// Codes of 4 bits with bf16.
pub const BF16U4: Types = Types::mixed(
    "bf16u4",
    DType::Bf16,
    &[("w", DType::U8), ("zero", DType::U8), ("scale", DType::F32)],
    DType::F32,
);

/// Every combination.
pub const TYPES: &[Types] = &[F32U4, BF16U4];

/// The zero point where none is given.
pub const MIDDLE: u8 = 8;

/// A validated product.
#[derive(Clone, Debug, PartialEq)]
pub struct MatmulInt4 {
    /// Rows of A and of the output.
    pub m: usize,
    /// Rows of weights, columns of the output.
    pub n: usize,
    /// Columns of A.
    pub k: usize,
    /// Codes of a group.
    pub group: usize,
    /// Whether groups have zero points.
    pub zeros: bool,
    /// Whether there is a bias.
    pub bias: bool,
}

impl MatmulInt4 {
    /// Bytes of a row of weights.
    pub fn line(&self) -> usize {
        self.k.div_ceil(2)
    }

    /// Groups of a row.
    pub fn groups(&self) -> usize {
        self.k.div_ceil(self.group)
    }

    /// `f(code, zero, scale)` of each weight, as k×n.
    fn weights(&self, inputs: &[ArrayD<f64>], f: impl Fn(f64, f64, f64) -> f64) -> Array2<f64> {
        let [w, scale, zero] = [1, 2, 3].map(|i| inputs[i].view());
        Array2::from_shape_fn((self.k, self.n), |(k, j)| {
            let byte = w[[j, k / 2].as_slice()] as u8;
            let (code, at) = (byte >> (4 * (k % 2)) & 15, [j, k / self.group]);
            let zero = if self.zeros { zero[at.as_slice()] } else { f64::from(MIDDLE) };
            f(code.into(), zero, scale[at.as_slice()])
        })
    }

    fn plus_bias(&self, mut out: Array2<f64>, bias: &ArrayD<f64>) -> Array2<f64> {
        if self.bias {
            out += &bias.view().into_dimensionality::<Ix1>().expect("n");
        }
        out
    }
}

impl Problem for MatmulInt4 {
    fn inputs(&self, types: Types) -> Vec<Port> {
        let groups = || Layout::contiguous(&[self.n, self.groups()]);
        vec![
            Port::new("a", types, Layout::contiguous(&[self.m, self.k])),
            Port::new("w", types, Layout::contiguous(&[self.n, self.line()])).drawn(Values::Bytes).weights(),
            Port::new("scale", types, groups()).positive().weights(),
            Port::optional("zero", types, groups(), self.zeros).drawn(Values::Below(16)).weights(),
            Port::optional("bias", types, Layout::contiguous(&[self.n]), self.bias).weights(),
        ]
    }

    fn outputs(&self, types: Types) -> Vec<Port> {
        vec![Port::new("out", types, Layout::contiguous(&[self.m, self.n]))]
    }

    fn reference(&self, inputs: &[ArrayD<f64>]) -> Vec<ArrayD<f64>> {
        let a = inputs[0].view().into_dimensionality::<Ix2>().expect("m×k");
        let w = self.weights(inputs, |code, zero, scale| (code - zero) * scale);
        vec![self.plus_bias(a.dot(&w), &inputs[4]).into_dyn()]
    }

    fn tolerance(&self, types: Types, fill: Fill, inputs: &[ArrayD<f64>], expected: &[ArrayD<f64>]) -> Vec<Tolerance> {
        if fill == Fill::Exact {
            return vec![Tolerance::Exact];
        }
        let dtype = types.accumulator;
        let (u, eta) = (dtype.unit_roundoff(), dtype.underflow());
        let steps = self.k.min(self.group).max(256.min(self.k)) + self.k.div_ceil(self.group.min(256)) + 4;
        let a = inputs[0].mapv(f64::abs).into_dimensionality::<Ix2>().expect("m×k");
        let w = self.weights(inputs, |code, zero, scale| (code + zero) * scale.abs());
        let sums = self.plus_bias(a.dot(&w), &inputs[4].mapv(f64::abs));
        // A sum that underflows is multiplied with a scale.
        let largest = inputs[2].iter().fold(1.0f64, |most, x| if x.is_finite() { most.max(x.abs()) } else { most });
        let mut bound = sums.mapv(|s| tolerance::gamma(steps, u) * s + steps as f64 * eta * largest).into_dyn();
        let out = types.of("out");
        Zip::from(&mut bound).and(&expected[0]).for_each(|b, y| {
            *b += u * y.abs() + eta;
            if out != dtype {
                *b += out.unit_roundoff() * (y.abs() + *b) + out.underflow();
            }
        });
        let formula = "γ(max(min(k,g),256)+⌈k/min(g,256)⌉+4)·(Σ|a|(code+zero)|scale| + |bias|) + u|y| (short: + v|y|)";
        vec![Tolerance::bound(formula, bound, &expected[0])]
    }

    fn operations(&self) -> (f64, Unit) {
        (2.0 * self.m as f64 * self.n as f64 * self.k as f64, Unit::Fma)
    }

    fn degenerate(&self) -> bool {
        self.k <= 2
    }
}

/// The problem at a point.
fn make(point: &Point) -> Result<Box<dyn Problem>, ProblemError> {
    let [m, n, k, group] = [size(point, "m")?, size(point, "n")?, size(point, "k")?, size(point, "group")?];
    for (what, sides) in [("m·n", [m, n]), ("m·k", [m, k]), ("n·k", [n, k])] {
        elements(what, &sides)?;
    }
    if group == 0 {
        return Err(ProblemError::OutOfRange { axis: "group", value: 0, rule: "above 0" });
    }
    let (zeros, bias) = (choice_value(point, "zero")? == "given", choice_value(point, "bias")? == "row");
    Ok(Box::new(MatmulInt4 { m, n, k, group, zeros, bias }))
}

const LLAMA: &str = "TorchBench LLaMA-7B";

static WORKLOADS: &[Workload] = &[
    Workload::new("llama7b.wo_decode_g128", "n=4096,k=4096,group=128", LLAMA).met(crate::Cache::ColdWeights),
    Workload::new("llama7b.wo_decode_g32", "n=4096,k=4096,zero=given", LLAMA).met(crate::Cache::ColdWeights),
    Workload::new("llama7b.w2_decode_g64", "n=4096,k=11008,group=64", LLAMA).met(crate::Cache::ColdWeights),
    Workload::new("llama7b.wo_decode4_g128", "m=4,n=4096,k=4096,group=128", LLAMA).met(crate::Cache::ColdWeights),
    Workload::new("llama7b.wo_prefill128_g128", "m=128,n=4096,k=4096,group=128", LLAMA),
    Workload::new("candle.1024_g32", "n=1024,k=1024", "candle bench"),
    Workload::new("bert.ffn_up_g64", "m=128,n=3072,k=768,group=64,bias=row", "oneDNN benchdnn inputs"),
    Workload::new("odd.33x65x1567_g17", "m=33,n=65,k=1567,group=17,zero=given", "composed for the suite").smoke(),
];

/// The operator `matmul_int4`.
pub static MATMUL_INT4: Operator = Operator {
    name: "matmul_int4",
    summary: "product with weights of 4 bits, scaled by groups",
    axes: AXES,
    types: TYPES,
    make,
    workloads: WORKLOADS,
    special_values: "NaN and ∞ of A, scales and bias follow the formula",
    domains: DOMAINS,
    gradient: None,
    witness: Witness::Libtorch,
    batch: Some("m"),
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_of_public_reports() {
        let p = MatmulInt4 { m: 1, n: 4, k: 2048, group: 512, zeros: true, bias: false };
        let filled = |shape: &[usize], x: f64| ArrayD::from_elem(shape.to_vec(), x);
        let inputs = [
            filled(&[1, 2048], 1.0),
            filled(&[4, 1024], f64::from(0x22)),
            filled(&[4, 4], 0.5),
            filled(&[4, 4], 3.0),
            filled(&[0], 0.0),
        ];
        assert!(p.reference(&inputs)[0].iter().all(|&out| out == -1024.0));
    }

    #[test]
    fn the_first_code_is_the_lower_half_of_a_byte() {
        let p = MatmulInt4 { m: 1, n: 1, k: 3, group: 2, zeros: false, bias: true };
        let row = |x: &[f64]| ArrayD::from_shape_vec(vec![1, x.len()], x.to_vec()).expect("a row");
        let bias = ArrayD::from_elem(vec![1], 0.5);
        // Codes 1, 2 | 15; the upper half of the last byte is nothing's.
        let inputs = [row(&[1.0, 10.0, 100.0]), row(&[f64::from(0x21), f64::from(0xaf)]), row(&[1.0, 2.0]), row(&[]), bias];
        assert_eq!(p.reference(&inputs)[0].iter().copied().collect::<Vec<_>>(), [-7.0 - 60.0 + 1400.0 + 0.5]);
    }
}

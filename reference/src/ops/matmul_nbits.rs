//! `matmul_nbits`: a product with weights of 4 or 2 bits, `out[i, j] = Σₖ a[i, k]·w[j, k] + bias[j]`.
//!
//! A is m×k, row-major. The weights lie as layers keep them: n rows of k codes, two or four to a byte, the first in the
//! lowest bits; a row begins with a byte of its own. A group is `group` neighbours of a row, the last one maybe fewer; it
//! has a scale, and a zero point, which is 8 for 4 bits and 1 for 2 bits where none are given:
//! `w[j, k] = (code − zero)·scale`, scales and zero points n×⌈k/group⌉. So codes 0, 1, 2 of 2 bits are ternary weights.
//!
//! `f32` has A, scales, bias and out in f32. `bf16` has them in bf16, and rounds once more. `s8f32` has A in s8, with a
//! scale for each row (int8-dynamic: [`quantize`](super::quantize) makes it), all else in f32, and out is
//! `a_scale[i]·Σₖ a[i, k]·w[j, k] + bias[j]`.
//!
//! **Order of summation.** Real numbers, where kernels promise it: w is rounded to f32, then as for [`gemm`](super::gemm).
//! `s8f32`, all kernels: for each group `s = fma(−zero, Σa, Σa·code)`, whose sums are those of integers, rounded to f32; with
//! t = 0, each group is added in order as `t = fma(scale, s, t)`; then `t·a_scale`, then the bias is added.
//!
//! **Error.** Kernels may add codes and elements apart, as above, so that Σ|a|·(code + zero)·|scale| is what roundings are
//! relative to. A product passes at most min(k, group) roundings in its group, or min(k, 256) in a chunk, one for each
//! group or chunk after it, one for the weight, five where partial sums are joined and zero points subtracted, two for
//! a's scale and the bias:
//! `γ(min(k, max(group, 256)) + ⌈k/min(group, 256)⌉ + 8)·(Σ|a|(code + zero)|scale| + |bias|) + u|ŷ|`, and as for `gemm`
//! for the rounding to bf16.

use ndarray::{Array2, ArrayD, ArrayView2, Ix1, Ix2, Zip};

use super::gemm::choice_value;
use crate::operator::{elements, size};
use crate::tensor::Values;
use crate::{
    Axis, DType, Domain, Fill, Layout, Operator, Point, Port, Problem, ProblemError, Tolerance, Types, Unit, Witness,
    Work, Workload, tolerance,
};

const SIZES: &[i64] = &[0, 1, 2, 3, 5, 6, 7, 8, 11, 12, 13, 15, 16, 17, 31, 32, 33, 48, 49, 64, 65, 97];
const DEPTHS: &[i64] = &[0, 1, 2, 3, 15, 16, 17, 31, 32, 33, 63, 64, 65, 96, 127, 128, 129, 257, 512];

const AXES: &[Axis] = &[
    Axis::int("m", "rows of A and of the output", 1, 70, SIZES),
    Axis::int("n", "rows of weights, columns of the output", 1, 100, SIZES),
    Axis::int("k", "columns of A", 1, 400, DEPTHS),
    Axis::int("group", "codes of a group", 32, 140, &[1, 2, 3, 16, 17, 32, 64, 128]).positive(),
    Axis::choice("bits", "bits of a code", &["4", "2"]),
    Axis::choice("zero", "zero points of groups; 8 or 1 without", &["none", "given"]),
    Axis::choice("bias", "vector of n added to each row", &["none", "row"]),
];

const DOMAINS: &[Domain] = &[
    Domain { name: "few rows", fixed: &[("m", &[1, 2, 3, 4, 8]), ("group", &[32, 64, 128]), ("n", &[16, 33, 65, 97])] },
    Domain { name: "usual groups", fixed: &[("group", &[32, 64, 128]), ("k", &[32, 96, 129, 257, 512])] },
    Domain { name: "short groups", fixed: &[("group", &[1, 3, 17])] },
    Domain { name: "ternary", fixed: &[("bits", &[1]), ("group", &[32, 100, 512]), ("zero", &[0])] },
];

/// A of bf16.
pub const BF16: Types = Types::all(DType::Bf16);
/// A of s8, with a scale for each row.
pub const S8F32: Types = Types::mixed("s8f32", DType::F32, &[("a", DType::I8)], DType::F32);

/// Every combination.
pub const TYPES: &[Types] = &[Types::F32, BF16, S8F32];

/// A validated product.
#[derive(Clone, Debug, PartialEq)]
pub struct MatmulNbits {
    /// Rows of A and of the output.
    pub m: usize,
    /// Rows of weights, columns of the output.
    pub n: usize,
    /// Columns of A.
    pub k: usize,
    /// Codes of a group.
    pub group: usize,
    /// Bits of a code: 4 or 2.
    pub bits: usize,
    /// Whether groups have zero points.
    pub zeros: bool,
    /// Whether there is a bias.
    pub bias: bool,
}

impl MatmulNbits {
    /// Codes of a byte.
    pub fn of_byte(&self) -> usize {
        8 / self.bits
    }

    /// Bytes of a row of weights.
    pub fn line(&self) -> usize {
        self.k.div_ceil(self.of_byte())
    }

    /// Code `k` of a row of weights.
    #[inline(always)]
    pub fn code(&self, row: &[u8], k: usize) -> u8 {
        row[k / self.of_byte()] >> (self.bits * (k % self.of_byte())) & ((1 << self.bits) - 1)
    }

    /// The zero point where none is given: in the middle of 0 to 16, or of 0 to 2.
    pub fn middle(&self) -> u8 {
        if self.bits == 4 { 8 } else { 1 }
    }

    /// Groups of a row.
    pub fn groups(&self) -> usize {
        self.k.div_ceil(self.group)
    }

    /// `f(code, zero, scale)` of each weight, as n×k.
    fn weights(&self, inputs: &[ArrayD<f64>], f: impl Fn(f64, f64, f64) -> f64) -> Array2<f64> {
        let [w, scale, zero] = [1, 2, 3].map(|i| inputs[i].as_slice().expect("the layout's order"));
        let mut out = Vec::with_capacity(self.n * self.k);
        for j in 0..self.n {
            let row = &w[j * self.line()..];
            for k in 0..self.k {
                let (code, at) = (self.code(&[row[k / self.of_byte()] as u8], k % self.of_byte()), k / self.group);
                let at = j * self.groups() + at;
                let zero = if self.zeros { zero[at] } else { f64::from(self.middle()) };
                out.push(f(code.into(), zero, scale[at]));
            }
        }
        Array2::from_shape_vec((self.n, self.k), out).expect("n rows of k")
    }

    /// `a·wᵀ`, times the scales of A, plus the bias.
    fn product(
        &self,
        a: ArrayView2<'_, f64>,
        w: &Array2<f64>,
        a_scale: &ArrayD<f64>,
        bias: &ArrayD<f64>,
    ) -> Array2<f64> {
        let mut out = a.dot(&w.t());
        if !a_scale.is_empty() {
            let rows = a_scale.view().into_dimensionality::<Ix1>().expect("m");
            Zip::from(out.rows_mut()).and(rows).for_each(|mut row, &scale| row *= scale);
        }
        if self.bias {
            out += &bias.view().into_dimensionality::<Ix1>().expect("n");
        }
        out
    }

    /// The bound of kernels that take elements below `least` for 0.
    pub fn flushing(
        &self,
        types: Types,
        inputs: &[ArrayD<f64>],
        expected: &[ArrayD<f64>],
        least: f64,
    ) -> Vec<Tolerance> {
        let dtype = types.accumulator;
        let (u, eta) = (dtype.unit_roundoff(), dtype.underflow());
        let steps = self.k.min(self.group.max(256)) + self.k.div_ceil(self.group.min(256)) + 8;
        let absolute = |x: &ArrayD<f64>| x.mapv(f64::abs);
        let a = absolute(&inputs[0]).into_dimensionality::<Ix2>().expect("m×k");
        let w = self.weights(inputs, |code, zero, scale| (code + zero) * scale.abs());
        let sums = self.product(a.view(), &w, &absolute(&inputs[4]), &absolute(&inputs[5]));
        // A sum that underflows is multiplied with both scales.
        let largest = |x: &ArrayD<f64>| x.iter().filter(|x| x.is_finite()).fold(1.0f64, |most, x| most.max(x.abs()));
        let factor = largest(&inputs[2]) * largest(&inputs[4]);
        let mut bound =
            sums.mapv(|s| tolerance::gamma(steps, u) * s + steps as f64 * (eta + least) * factor).into_dyn();
        if least > 0.0 && self.k > 0 {
            let lost = a.mapv(|x| if x < least { x } else { 0.0 });
            // A subnormal times ∞ is NaN in the expected output, too, or is not looked at.
            let lost = lost.dot(&w.t()).mapv(|x| if x.is_nan() { 0.0 } else { x });
            bound += &lost.into_dyn();
        }
        let out = types.of("out");
        Zip::from(&mut bound).and(&expected[0]).for_each(|b, y| {
            *b += u * y.abs() + eta;
            if out != dtype {
                *b += out.unit_roundoff() * (y.abs() + *b) + out.underflow();
            }
        });
        let formula = "γ(min(k,max(g,256))+⌈k/min(g,256)⌉+8)·(Σ|a|(code+zero)|scale| + |bias|) + u|y| (bf16: + v|y| + |subnormal|)";
        vec![Tolerance::bound(formula, bound, &expected[0])]
    }
}

impl Problem for MatmulNbits {
    fn inputs(&self, types: Types) -> Vec<Port> {
        let groups = || Layout::contiguous(&[self.n, self.groups()]);
        vec![
            Port::new("a", types, Layout::contiguous(&[self.m, self.k])),
            Port::new("w", types, Layout::contiguous(&[self.n, self.line()]))
                .typed(DType::U8)
                .drawn(Values::Bytes)
                .weights(),
            Port::new("scale", types, groups()).finite().weights(),
            Port::optional("zero", types, groups(), self.zeros)
                .typed(DType::U8)
                .drawn(Values::Below(1 << self.bits))
                .weights(),
            Port::optional("a_scale", types, Layout::contiguous(&[self.m]), types.of("a") == DType::I8)
                .typed(DType::F32)
                .finite(),
            Port::optional("bias", types, Layout::contiguous(&[self.n]), self.bias).weights(),
        ]
    }

    fn outputs(&self, types: Types) -> Vec<Port> {
        vec![Port::new("out", types, Layout::contiguous(&[self.m, self.n]))]
    }

    fn reference(&self, inputs: &[ArrayD<f64>]) -> Vec<ArrayD<f64>> {
        let a = inputs[0].view().into_dimensionality::<Ix2>().expect("m×k");
        let w = self.weights(inputs, |code, zero, scale| (code - zero) * scale);
        vec![self.product(a, &w, &inputs[4], &inputs[5]).into_dyn()]
    }

    fn tolerance(&self, types: Types, fill: Fill, inputs: &[ArrayD<f64>], expected: &[ArrayD<f64>]) -> Vec<Tolerance> {
        if fill == Fill::Exact {
            return vec![Tolerance::Exact];
        }
        self.flushing(types, inputs, expected, 0.0)
    }

    fn work(&self, types: Types) -> Work {
        let (operations, unit) = self.operations();
        // There are instructions for the products of bf16 and of bytes.
        let unit = match types.of("a") {
            DType::I8 => Unit::DotBytes,
            DType::Bf16 => Unit::DotBf16,
            _ => unit,
        };
        Work::of((operations, unit), &self.inputs(types), &self.unread_inputs(), &self.outputs(types))
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
    elements("group", &[group])?;
    if group == 0 {
        return Err(ProblemError::OutOfRange { axis: "group", value: 0, rule: "above 0" });
    }
    let bits = if choice_value(point, "bits")? == "4" { 4 } else { 2 };
    let (zeros, bias) = (choice_value(point, "zero")? == "given", choice_value(point, "bias")? == "row");
    Ok(Box::new(MatmulNbits { m, n, k, group, bits, zeros, bias }))
}

/// The sizes that `gemm` has in every type.
const SWEEP: &str = "size sweep";
const LLAMA: &str = "TorchBench LLaMA-7B";

static WORKLOADS: &[Workload] = &[
    Workload::new("square.512", "m=512,n=512,k=512,group=128", SWEEP).smoke(),
    Workload::new("square.1024", "m=1024,n=1024,k=1024,group=128", SWEEP),
    Workload::new("bert.512x3072x768", "m=512,n=3072,k=768,group=128", "TorchBench operator logs"),
    Workload::new("llama7b.wo_decode", "n=4096,k=4096,group=128", LLAMA),
    Workload::new("llama7b.wo_decode_g32", "n=4096,k=4096,zero=given", LLAMA),
    Workload::new("llama7b.w2_decode_g64", "n=4096,k=11008,group=64", LLAMA),
    Workload::new("llama7b.wo_decode4_g128", "m=4,n=4096,k=4096,group=128", LLAMA),
    Workload::new("llama7b.wo_prefill128_g128", "m=128,n=4096,k=4096,group=128", LLAMA),
    Workload::new("bitnet.decode_g4096", "n=4096,k=4096,group=4096,bits=2", "BitNet b1.58"),
    Workload::new("ternary.square_1024", "m=1024,n=1024,k=1024,group=1024,bits=2", "composed for the suite"),
    Workload::new("candle.1024_g32", "n=1024,k=1024", "candle bench"),
    Workload::new("bert.ffn_up_g64", "m=128,n=3072,k=768,group=64,bias=row", "oneDNN benchdnn inputs"),
    Workload::new("odd.33x65x1567_g17", "m=33,n=65,k=1567,group=17,zero=given", "composed for the suite").smoke(),
];

/// The operator `matmul_nbits`.
pub static MATMUL_NBITS: Operator = Operator {
    name: "matmul_nbits",
    summary: "product with weights of 4 or 2 bits, scaled by groups",
    axes: AXES,
    types: TYPES,
    make,
    workloads: WORKLOADS,
    special_values: "NaN and ∞ of A and the bias follow the formula; scales are finite",
    domains: DOMAINS,
    gradient: None,
    witness: Witness::Libtorch,
    batch: None,
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_of_public_reports() {
        let p = MatmulNbits { m: 1, n: 4, k: 2048, group: 512, bits: 4, zeros: true, bias: false };
        let filled = |shape: &[usize], x: f64| ArrayD::from_elem(shape.to_vec(), x);
        let inputs = [
            filled(&[1, 2048], 1.0),
            filled(&[4, 1024], f64::from(0x22)),
            filled(&[4, 4], 0.5),
            filled(&[4, 4], 3.0),
            filled(&[0], 0.0),
            filled(&[0], 0.0),
        ];
        assert!(p.reference(&inputs)[0].iter().all(|&out| out == -1024.0));
    }

    #[test]
    fn codes_of_two_bits_are_ternary() {
        let p = MatmulNbits { m: 1, n: 1, k: 5, group: 5, bits: 2, zeros: false, bias: false };
        let row = |x: &[f64]| ArrayD::from_shape_vec(vec![1, x.len()], x.to_vec()).expect("a row");
        // −1, 0, 1, 2 | −1.
        let inputs = [
            row(&[1.0, 10.0, 100.0, 1000.0, 10000.0]),
            row(&[f64::from(0b11_10_01_00), 0.0]),
            row(&[0.5]),
            row(&[]),
            row(&[]),
            row(&[]),
        ];
        assert_eq!(
            p.reference(&inputs)[0].iter().copied().collect::<Vec<_>>(),
            [0.5 * (2000.0 + 100.0 - 1.0 - 10000.0)]
        );
    }

    #[test]
    fn the_first_code_is_the_lower_half_of_a_byte() {
        let p = MatmulNbits { m: 1, n: 1, k: 3, group: 2, bits: 4, zeros: false, bias: true };
        let row = |x: &[f64]| ArrayD::from_shape_vec(vec![1, x.len()], x.to_vec()).expect("a row");
        let bias = ArrayD::from_elem(vec![1], 0.5);
        // Codes 1, 2 | 15; the upper half of the last byte is nothing's.
        let inputs = [
            row(&[1.0, 10.0, 100.0]),
            row(&[f64::from(0x21), f64::from(0xaf)]),
            row(&[1.0, 2.0]),
            row(&[]),
            row(&[]),
            bias,
        ];
        assert_eq!(p.reference(&inputs)[0].iter().copied().collect::<Vec<_>>(), [-7.0 - 60.0 + 1400.0 + 0.5]);
    }
}

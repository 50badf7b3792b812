//! `matmul_binary`: a product of matrices of −1 and 1, `out[i, j] = Σₖ a[i, k]·w[j, k]`, in integers.
//!
//! A is m×k, the weights n×k, both row by row, eight elements to a byte, the first in the lowest bit; a row begins with a
//! byte of its own, and what is behind its last element is nothing's. A bit of 1 stands for 1, a bit of 0 for −1. So a
//! product is −1 where bits differ, and `out = k − 2·popcount(a xor w)`, of i32.

use ndarray::{Array2, ArrayD};

use crate::operator::{elements, size};
use crate::tensor::Values;
use crate::{
    Axis, DType, Domain, Fill, Layout, Operator, Point, Port, Problem, ProblemError, Tolerance, Types, Unit, Witness,
    Workload,
};

const SIZES: &[i64] = &[0, 1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 32, 33, 65];
const DEPTHS: &[i64] = &[0, 1, 7, 8, 9, 31, 32, 33, 63, 64, 65, 255, 256, 257, 992, 993, 1024, 1025];

const AXES: &[Axis] = &[
    Axis::int("m", "rows of A and of the output", 1, 70, SIZES),
    Axis::int("n", "rows of weights, columns of the output", 1, 100, SIZES),
    Axis::int("k", "columns of A and of the weights", 1, 1200, DEPTHS),
];

const DOMAINS: &[Domain] = &[
    Domain { name: "few rows", fixed: &[("m", &[1, 2, 3]), ("n", &[16, 33, 65, 97])] },
    Domain { name: "deep", fixed: &[("k", &[2049, 4096])] },
];

/// Bits, in bytes, and sums of i32.
pub const B1S32: Types = Types::mixed("b1s32", DType::I32, &[("a", DType::U8), ("w", DType::U8)], DType::I32);

/// A validated product.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MatmulBinary {
    /// Rows of A and of the output.
    pub m: usize,
    /// Rows of weights, columns of the output.
    pub n: usize,
    /// Columns of both.
    pub k: usize,
}

impl MatmulBinary {
    /// Bytes of a row.
    pub fn line(&self) -> usize {
        self.k.div_ceil(8)
    }

    /// −1 and 1 of rows of bytes, rows×k.
    fn signs(&self, bytes: &ArrayD<f64>, rows: usize) -> Array2<f64> {
        let bytes = bytes.as_slice().expect("the layout's order");
        Array2::from_shape_fn((rows, self.k), |(i, k)| {
            let byte = bytes[i * self.line() + k / 8] as u8;
            if byte >> (k % 8) & 1 == 1 { 1.0 } else { -1.0 }
        })
    }
}

impl Problem for MatmulBinary {
    fn inputs(&self, types: Types) -> Vec<Port> {
        let bytes = |name, rows| Port::new(name, types, Layout::contiguous(&[rows, self.line()])).drawn(Values::Bytes);
        vec![bytes("a", self.m), bytes("w", self.n).weights()]
    }

    fn outputs(&self, types: Types) -> Vec<Port> {
        vec![Port::new("out", types, Layout::contiguous(&[self.m, self.n]))]
    }

    fn reference(&self, inputs: &[ArrayD<f64>]) -> Vec<ArrayD<f64>> {
        vec![self.signs(&inputs[0], self.m).dot(&self.signs(&inputs[1], self.n).t()).into_dyn()]
    }

    fn tolerance(&self, _: Types, _: Fill, _: &[ArrayD<f64>], _: &[ArrayD<f64>]) -> Vec<Tolerance> {
        vec![Tolerance::Exact]
    }

    fn operations(&self) -> (f64, Unit) {
        (2.0 * self.m as f64 * self.n as f64 * self.k as f64, Unit::Integer)
    }

    fn degenerate(&self) -> bool {
        // Sums of few are often equal, or 0.
        self.k < 64
    }
}

/// The problem at a point.
fn make(point: &Point) -> Result<Box<dyn Problem>, ProblemError> {
    let [m, n, k] = [size(point, "m")?, size(point, "n")?, size(point, "k")?];
    for (what, sides) in [("m·n", [m, n]), ("m·k", [m, k]), ("n·k", [n, k])] {
        elements(what, &sides)?;
    }
    if k > i32::MAX as usize {
        return Err(ProblemError::OutOfRange { axis: "k", value: k as i64, rule: "sums must fit i32" });
    }
    Ok(Box::new(MatmulBinary { m, n, k }))
}

const COMPOSED: &str = "composed for the suite";

static WORKLOADS: &[Workload] = &[
    Workload::new("square.1024", "m=1024,n=1024,k=1024", COMPOSED),
    Workload::new("square.512", "m=512,n=512,k=512", COMPOSED),
    Workload::new("square.256", "m=256,n=256,k=256", COMPOSED).smoke(),
    Workload::new("llama7b.wo_decode", "n=4096,k=4096", COMPOSED),
    Workload::new("odd.33x65x1567", "m=33,n=65,k=1567", COMPOSED).smoke(),
];

/// The operator `matmul_binary`.
pub static MATMUL_BINARY: Operator = Operator {
    name: "matmul_binary",
    summary: "product of matrices of −1 and 1, eight elements to a byte",
    axes: AXES,
    types: &[B1S32],
    make,
    workloads: WORKLOADS,
    special_values: "none: every bit is a number",
    domains: DOMAINS,
    gradient: None,
    witness: Witness::Libtorch,
    batch: Some("m"),
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_are_signs() {
        let p = MatmulBinary { m: 1, n: 2, k: 10 };
        let rows = |rows: usize, bytes: &[f64]| ArrayD::from_shape_vec(vec![rows, 2], bytes.to_vec()).expect("rows");
        // Bits behind the tenth are nothing's.
        let a = rows(1, &[f64::from(0b1111_0000), f64::from(0b1111_1101)]);
        let w = rows(2, &[f64::from(0b1111_0000), f64::from(0b0000_0001), f64::from(0b0000_1111), 2.0]);
        assert_eq!(p.reference(&[a, w])[0].iter().copied().collect::<Vec<_>>(), [10.0, -10.0]);
    }
}

//! `quantize`: real numbers as 8-bit integers, `q = saturate(rint(x/scale) + zero)`.
//!
//! x is a matrix of rows×cols, row-major. The scale is one number, one per row (a channel), or one per group of `group`
//! neighbours in a row, of which the last may be shorter. The zero points, of the output's type, are as many; without
//! them (a symmetric scheme) all are 0.
//!
//! **There is one right answer**: x and the scale are f32 (f16 is widened), the quotient is rounded once to f32, `rint`
//! rounds to the nearest integer, ties to even, the sum saturates at both ends. A NaN counts as −∞, whether x, the scale
//! or 0/0 makes it. A scale of 0 or below is divided by as it is; who chooses ranges avoids it.

use ndarray::ArrayD;

use super::gemm::choice_value;
use crate::compare::{Comparison, compare};
use crate::operator::{elements, size};
use crate::tensor::Values;
use crate::{
    Axis, DType, Domain, Fill, Layout, Operator, Point, Port, Problem, ProblemError, Tolerance, Types, Unit, Witness,
    Workload,
};

const SIZES: &[i64] = &[0, 1, 2, 3, 5, 8, 15, 16, 17, 31, 32, 33, 63, 64, 65, 127, 129];

/// The axes of the extents alone.
pub(super) const EXTENTS: &[Axis] = AXES.split_at(4).0;

/// What `quantize` and `dequantize` share.
pub(super) const AXES: &[Axis] = &[
    Axis::int("rows", "rows: channels", 1, 40, SIZES),
    Axis::int("cols", "elements of a row", 1, 300, SIZES),
    Axis::choice("per", "what has a scale of its own", &["tensor", "row", "group"]),
    Axis::int("group", "elements of a group", 32, 140, &[1, 2, 3, 16, 17, 32, 64, 128]).positive(),
    Axis::choice("zero", "zero points", &["none", "given"]),
];

/// Where rows, groups and vectors end differently.
pub(super) const DOMAINS: &[Domain] = &[
    Domain { name: "groups", fixed: &[("per", &[2]), ("group", &[32, 64, 128]), ("cols", &[31, 32, 33, 129, 300])] },
    Domain { name: "short groups", fixed: &[("per", &[2]), ("group", &[1, 3, 17])] },
];

/// f32 to u8.
pub const F32U8: Types = types("f32u8", DType::F32, DType::U8);
/// f32 to s8.
pub const F32S8: Types = types("f32s8", DType::F32, DType::I8);
/// f16 to s8.
pub const F16S8: Types = types("f16s8", DType::F16, DType::I8);

/// Every combination.
pub const TYPES: &[Types] = &[F32U8, F32S8, F16S8];

const fn types(name: &'static str, real: DType, integer: DType) -> Types {
    const fn ports(integer: DType, real: DType) -> &'static [(&'static str, DType)] {
        match (real, integer) {
            (DType::F16, _) => {
                &[("x", DType::F16), ("y", DType::F16), ("scale", DType::F16), ("zero", DType::I8), ("q", DType::I8)]
            }
            (_, DType::U8) => &[("zero", DType::U8), ("q", DType::U8)],
            _ => &[("zero", DType::I8), ("q", DType::I8)],
        }
    }
    Types::mixed(name, DType::F32, ports(integer, real), DType::F32)
}

/// What has a scale of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Per {
    /// All elements together.
    Tensor,
    /// Each row.
    Row,
    /// Each group of so many neighbours in a row.
    Group(usize),
}

/// The extents of a matrix and of its scales.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scheme {
    /// Rows.
    pub rows: usize,
    /// Elements of a row.
    pub cols: usize,
    /// What has a scale.
    pub per: Per,
    /// Whether there are zero points.
    pub zeros: bool,
}

impl Scheme {
    /// At a point of `quantize` or `dequantize`.
    ///
    /// # Errors
    /// [`ProblemError`] if a group has no elements or a buffer does not fit the address space.
    pub fn of(point: &Point) -> Result<Scheme, ProblemError> {
        Ok(Scheme { zeros: choice_value(point, "zero")? == "given", ..Scheme::extents(point)? })
    }

    /// Without zero points, at a point that may lack their axis.
    pub(super) fn extents(point: &Point) -> Result<Scheme, ProblemError> {
        let (rows, cols, group) = (size(point, "rows")?, size(point, "cols")?, size(point, "group")?);
        elements("rows·cols", &[rows, cols])?;
        // Without columns, rows have scales all the same.
        elements("rows", &[rows])?;
        elements("group", &[group])?;
        let per = match choice_value(point, "per")? {
            "tensor" => Per::Tensor,
            "row" => Per::Row,
            _ if group == 0 => {
                return Err(ProblemError::OutOfRange { axis: "group", value: 0, rule: "above 0" });
            }
            _ => Per::Group(group),
        };
        Ok(Scheme { rows, cols, per, zeros: false })
    }

    /// Scales of a row.
    pub fn scales_of_row(&self) -> usize {
        match self.per {
            Per::Group(group) => self.cols.div_ceil(group),
            _ => 1,
        }
    }

    /// Shape of the scales.
    pub(super) fn scales(&self) -> Vec<usize> {
        match self.per {
            Per::Tensor => vec![1, 1],
            Per::Row => vec![self.rows, 1],
            Per::Group(_) => vec![self.rows, self.scales_of_row()],
        }
    }

    /// Where element (i, j) finds its scale.
    pub(super) fn place(&self, i: usize, j: usize) -> [usize; 2] {
        match self.per {
            Per::Tensor => [0, 0],
            Per::Row => [i, 0],
            Per::Group(group) => [i, j / group],
        }
    }

    /// The matrix.
    pub(super) fn layout(&self) -> Layout {
        Layout::contiguous(&[self.rows, self.cols])
    }

    /// Scales and zero points.
    pub(super) fn ports(&self, types: Types) -> [Port; 2] {
        let layout = || Layout::contiguous(&self.scales());
        [
            Port::new("scale", types, layout()).drawn(Values::Positive).weights(),
            Port::optional("zero", types, layout(), self.zeros).drawn(Values::ZeroPoint),
        ]
    }

    /// `f(x, scale, zero)` of each element.
    pub(super) fn map(&self, inputs: &[ArrayD<f64>], f: impl Fn(f64, f64, f64) -> f64) -> ArrayD<f64> {
        let [x, scale, zero] = [0, 1, 2].map(|i| inputs[i].as_slice().expect("the layout's order"));
        let each = self.scales_of_row();
        let mut out = Vec::with_capacity(x.len());
        for (i, row) in x.chunks(self.cols.max(1)).enumerate() {
            for (j, &x) in row.iter().enumerate() {
                let [row, group] = self.place(i, j);
                let at = row * each + group;
                out.push(f(x, scale[at], if self.zeros { zero[at] } else { 0.0 }));
            }
        }
        ArrayD::from_shape_vec(vec![self.rows, self.cols], out).expect("rows of cols")
    }
}

/// A validated quantization.
#[derive(Clone, Debug, PartialEq)]
pub struct Quantize {
    /// Extents.
    pub scheme: Scheme,
}

/// Before saturation: an integer, ±∞, or −∞ for NaN. The operands are f32.
pub fn quantized(x: f64, scale: f64, zero: f64) -> f64 {
    let quotient = x as f32 / scale as f32;
    if quotient.is_nan() { f64::NEG_INFINITY } else { f64::from(quotient).round_ties_even() + zero }
}

impl Problem for Quantize {
    fn inputs(&self, types: Types) -> Vec<Port> {
        let [scale, zero] = self.scheme.ports(types);
        vec![Port::new("x", types, self.scheme.layout()).spread(), scale, zero]
    }

    fn outputs(&self, types: Types) -> Vec<Port> {
        vec![Port::new("q", types, self.scheme.layout())]
    }

    fn reference(&self, inputs: &[ArrayD<f64>]) -> Vec<ArrayD<f64>> {
        vec![self.scheme.map(inputs, quantized)]
    }

    fn tolerance(&self, _: Types, _: Fill, _: &[ArrayD<f64>], _: &[ArrayD<f64>]) -> Vec<Tolerance> {
        vec![Tolerance::Exact]
    }

    /// What is beyond the ends is compared as it is saturated.
    fn judge(
        &self,
        types: Types,
        _: &[ArrayD<f64>],
        expected: &[ArrayD<f64>],
        tolerances: &[Tolerance],
        got: &[ArrayD<f64>],
    ) -> Vec<Comparison> {
        let of = types.of("q");
        vec![compare(of, &expected[0].mapv(|q| of.round(q)), &tolerances[0], &got[0])]
    }

    /// libtorch multiplies with 1/scale: two roundings more, which may decide otherwise near a tie.
    fn witness_tolerance(&self, types: Types, _: Fill, inputs: &[ArrayD<f64>], _: &[ArrayD<f64>]) -> Vec<Tolerance> {
        let slack = 4.0 * types.accumulator.unit_roundoff();
        let bound = self.scheme.map(inputs, |x, scale, _| {
            let quotient = x / scale;
            let near = (quotient - quotient.floor() - 0.5).abs() <= slack * quotient.abs();
            // Where the reciprocal overflows or underflows, nothing is said.
            if near || !(1e-30..1e30).contains(&scale.abs()) { 256.0 } else { 0.0 }
        });
        vec![Tolerance::Bound { formula: "equal, but for x/scale within 4u of a tie", bound }]
    }

    fn operations(&self) -> (f64, Unit) {
        (self.scheme.rows as f64 * self.scheme.cols as f64, Unit::Integer)
    }

    fn degenerate(&self) -> bool {
        // Few numbers may all saturate, or all become 0.
        self.scheme.rows * self.scheme.cols < 24
    }
}

const COMPOSED: &str = "composed for the suite";

pub(super) static WORKLOADS: &[Workload] = &[
    Workload::new("activations.128x4096", "rows=128,cols=4096,zero=given", COMPOSED).smoke(),
    Workload::new("weights.4096x4096_row", "rows=4096,cols=4096,per=row", "TorchBench LLaMA-7B"),
    Workload::new("weights.4096x4096_group32", "rows=4096,cols=4096,per=group,group=32", "TorchBench LLaMA-7B"),
    Workload::new("weights.768x3072_group128", "rows=768,cols=3072,per=group,group=128", "oneDNN benchdnn inputs"),
    Workload::new("odd.65x1567_group17", "rows=65,cols=1567,per=group,group=17,zero=given", COMPOSED),
    Workload::new("small.8x64", "rows=8,cols=64,per=row,zero=given", COMPOSED),
];

/// The operator `quantize`.
pub static QUANTIZE: Operator = Operator {
    name: "quantize",
    summary: "real numbers as 8-bit integers, per tensor, row or group",
    axes: AXES,
    types: TYPES,
    make: |point| Ok(Box::new(Quantize { scheme: Scheme::of(point)? })),
    workloads: WORKLOADS,
    special_values: "saturates at both ends, ±∞ included; a NaN counts as −∞",
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
        let u8_of = |x, scale, zero| DType::U8.round(quantized(x, scale, zero));
        let s8_of = |x, scale, zero| DType::I8.round(quantized(x, scale, zero));
        assert_eq!((u8_of(30.0, 0.1, 0.0), u8_of(-0.1, 0.1, 0.0)), (255.0, 0.0));
        let x = 0.050018310546875;
        assert_eq!((s8_of(x, 0.0999755859375, 0.0), s8_of(-x, 0.0999755859375, 0.0)), (1.0, -1.0));
        // Ties, ends, and what is no number.
        assert_eq!([0.5, 1.5, 2.5, -0.5, -1.5].map(|x| s8_of(x, 1.0, 0.0)), [0.0, 2.0, 2.0, 0.0, -2.0]);
        assert_eq!((s8_of(f64::INFINITY, 1.0, 5.0), s8_of(f64::NEG_INFINITY, 1.0, 5.0)), (127.0, -128.0));
        assert_eq!((s8_of(f64::NAN, 1.0, 5.0), u8_of(0.0, 0.0, 5.0)), (-128.0, 0.0));
        assert_eq!((u8_of(1.0, 0.0, 5.0), u8_of(100.0, 1.0, 250.0)), (255.0, 255.0));
    }

    #[test]
    fn a_group_may_be_shorter_than_the_others() {
        let scheme = Scheme { rows: 1, cols: 5, per: Per::Group(2), zeros: true };
        let inputs = [vec![1.0; 5], vec![1.0, 0.5, 0.25], vec![0.0, 1.0, 2.0]];
        let inputs = inputs.map(|x| ArrayD::from_shape_vec(vec![1, x.len()], x).expect("a row"));
        let q = Quantize { scheme }.reference(&inputs);
        assert_eq!(q[0].iter().copied().collect::<Vec<_>>(), [1.0, 1.0, 3.0, 3.0, 6.0]);
    }
}

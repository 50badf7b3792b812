//! `quantization_range`: the scale and the zero point that [`quantize`](super::quantize) needs, from the data.
//!
//! x is a matrix of rows×cols, row-major, of f32, f16 or bf16. All of it, each row, or each group of `group` neighbours
//! in a row (the last may be shorter) gets a scale of f32 and a zero point of u8 or s8.
//!
//! **Range.** Only finite elements count, m of them; NaN and ±∞ are left out. Of their sorted list, each end leaves out
//! the same number t = ⌊m·cut/10,000⌋: `cut = 0` is the min–max range, `cut = 10` ends at the percentiles 0.1 and 99.9 by
//! nearest rank. No element is interpolated, so that one right answer exists.
//! - *affine*: `low = min(x₍ₜ₎, 0)` and `high = max(x₍ₘ₋₁₋ₜ₎, 0)` (0 must be representable); `scale = (high − low)/255`,
//!   `zero = least + rint(255·(−low)/(high − low))`, with the least integer of the type.
//! - *symmetric*: `a` is element m − 1 − t of the sorted magnitudes; `scale = a/127`, and `zero` is 0 for s8, 128 for u8.
//!
//! **Rounding.** Every step is one of f64, `rint` rounds ties to even, and the scale is rounded to f32 at the end.
//!
//! **A range without width** has scale 1, and the zero point of `low = 0`: where no element is finite, where all are 0,
//! and where the scale would be below 2⁻¹²⁶, the least normal number of f32.

use ndarray::{ArrayD, IxDyn};

use super::gemm::choice_value;
use super::quantize::{DOMAINS, EXTENTS, Scheme};
use crate::operator::size;
use crate::{
    Axis, DType, Fill, Layout, Operator, Point, Port, Problem, ProblemError, Tolerance, Types, Unit, Witness, Workload,
};

/// What `cut` counts in.
pub const WHOLE: usize = 10_000;

const OWN: [Axis; 3] = [
    Axis::choice("scheme", "whether zero is where the data put it, or in the middle", &["affine", "symmetric"]),
    Axis::choice("to", "type of the integers", &["s8", "u8"]),
    Axis::int("cut", "elements of 10,000 that each end leaves out; 0: min–max", 0, 4999, &[0, 1, 10, 100, 2500, 4999]),
];

const AXES: &[Axis] = &{
    let mut all = [OWN[0]; EXTENTS.len() + OWN.len()];
    let mut i = 0;
    while i < all.len() {
        all[i] = if i < EXTENTS.len() { EXTENTS[i] } else { OWN[i - EXTENTS.len()] };
        i += 1;
    }
    all
};

/// The types of x.
pub const TYPES: &[Types] = &[Types::F32, Types::all(DType::F16), Types::all(DType::Bf16)];

/// A validated choice of ranges.
#[derive(Clone, Debug, PartialEq)]
pub struct QuantizationRange {
    /// Extents, and what has a scale.
    pub scheme: Scheme,
    /// Whether the range is as long on both sides of 0.
    pub symmetric: bool,
    /// Whether the integers are s8, not u8.
    pub signed: bool,
    /// Elements of [`WHOLE`] that each end leaves out.
    pub cut: usize,
}

impl QuantizationRange {
    /// How many of `m` elements each end leaves out: fewer than half.
    pub fn left_out(&self, m: usize) -> usize {
        (m as u128 * self.cut as u128 / WHOLE as u128) as usize
    }

    /// The zero point of `low = 0`.
    pub fn zero_of_zero(&self) -> f64 {
        match (self.symmetric, self.signed) {
            (true, true) => 0.0,
            (true, false) => 128.0,
            (false, true) => -128.0,
            (false, false) => 0.0,
        }
    }

    /// Scale and zero point of some elements.
    fn of(&self, x: &[f64]) -> (f64, f64) {
        let kept = x.iter().filter(|x| x.is_finite());
        let mut kept: Vec<f64> = kept.map(|&x| if self.symmetric { x.abs() } else { x }).collect();
        kept.sort_by(f64::total_cmp);
        let out = self.left_out(kept.len());
        let [first, last] = match kept.len() {
            0 => [0.0, 0.0],
            m => [kept[out], kept[m - 1 - out]],
        };
        let (low, high) = (first.min(0.0), last.max(0.0));
        let scale = if self.symmetric { high / 127.0 } else { (high - low) / 255.0 };
        if scale < f64::from(f32::MIN_POSITIVE) {
            return (1.0, self.zero_of_zero());
        }
        let above = if self.symmetric { 0.0 } else { (255.0 * -low / (high - low)).round_ties_even() };
        (scale, self.zero_of_zero() + above)
    }
}

impl Problem for QuantizationRange {
    fn inputs(&self, types: Types) -> Vec<Port> {
        vec![Port::new("x", types, self.scheme.layout()).spread()]
    }

    fn outputs(&self, types: Types) -> Vec<Port> {
        let layout = || Layout::contiguous(&self.scheme.scales());
        let integer = if self.signed { DType::I8 } else { DType::U8 };
        vec![Port::new("scale", types, layout()).typed(DType::F32), Port::new("zero", types, layout()).typed(integer)]
    }

    fn reference(&self, inputs: &[ArrayD<f64>]) -> Vec<ArrayD<f64>> {
        let shape = self.scheme.scales();
        let mut groups = vec![Vec::new(); shape.iter().product()];
        for (at, &x) in inputs[0].indexed_iter() {
            let [row, group] = self.scheme.place(at[0], at[1]);
            groups[row * shape[1] + group].push(x);
        }
        let (scale, zero) = groups.iter().map(|x| self.of(x)).unzip();
        [scale, zero].map(|x| ArrayD::from_shape_vec(IxDyn(&shape), x).expect("one per group")).into()
    }

    fn tolerance(&self, _: Types, _: Fill, _: &[ArrayD<f64>], expected: &[ArrayD<f64>]) -> Vec<Tolerance> {
        // As equal as equal bits: an error of at most that of rounding to the type is rounding. Numbers that are all alike
        // are no reason to mistrust them: zero points of a symmetric range are, and so are ranges of small integers.
        let rounding = |dtype: DType, y: &ArrayD<f64>| y.mapv(|y| (dtype.round(y) - y).abs());
        let scale = rounding(DType::F32, &expected[0]);
        let zero = ArrayD::zeros(expected[1].shape());
        vec![
            Tolerance::Bound { formula: "rounded once", bound: scale },
            Tolerance::Bound { formula: "equal", bound: zero },
        ]
    }

    fn operations(&self) -> (f64, Unit) {
        (2.0 * self.scheme.rows as f64 * self.scheme.cols as f64, Unit::Integer)
    }
}

fn make(point: &Point) -> Result<Box<dyn Problem>, ProblemError> {
    let cut = size(point, "cut")?;
    if 2 * (cut as u128) >= WHOLE as u128 {
        let rule = "each end leaves out less than half: below 5000";
        return Err(ProblemError::OutOfRange { axis: "cut", value: point.get("cut"), rule });
    }
    Ok(Box::new(QuantizationRange {
        scheme: Scheme::extents(point)?,
        symmetric: choice_value(point, "scheme")? == "symmetric",
        signed: choice_value(point, "to")? == "s8",
        cut,
    }))
}

const COMPOSED: &str = "composed for the suite";
const LLAMA: &str = "TorchBench LLaMA-7B";

static WORKLOADS: &[Workload] = &[
    Workload::new("activations.128x4096", "rows=128,cols=4096,to=u8", COMPOSED).smoke(),
    Workload::new("activations.128x4096_row", "rows=128,cols=4096,per=row,to=u8", COMPOSED),
    Workload::new("activations.128x4096_p999", "rows=128,cols=4096,to=u8,cut=10", COMPOSED),
    Workload::new("weights.4096x4096_row", "rows=4096,cols=4096,per=row,scheme=symmetric", LLAMA),
    Workload::new("weights.4096x4096_row_p999", "rows=4096,cols=4096,per=row,scheme=symmetric,cut=10", LLAMA),
    Workload::new("weights.4096x4096_group32", "rows=4096,cols=4096,per=group,group=32,scheme=symmetric", LLAMA),
    Workload::new("weights.768x3072_group128", "rows=768,cols=3072,per=group,group=128", "oneDNN benchdnn inputs"),
    Workload::new("odd.65x1567_group17", "rows=65,cols=1567,per=group,group=17,cut=100", COMPOSED),
    Workload::new("small.8x64", "rows=8,cols=64,per=row", COMPOSED).smoke(),
];

/// The operator `quantization_range`.
pub static QUANTIZATION_RANGE: Operator = Operator {
    name: "quantization_range",
    summary: "scale and zero point from data: min–max or percentile range, affine or symmetric, per tensor, row or group",
    axes: AXES,
    types: TYPES,
    make,
    workloads: WORKLOADS,
    special_values: "NaN and ±∞ are left out; a range without width has scale 1",
    domains: DOMAINS,
    gradient: None,
    witness: Witness::Libtorch,
    batch: None,
};

#[cfg(test)]
mod tests {
    use super::*;

    fn of(point: &str, x: &[f64]) -> (f64, f64) {
        let point = Point::parse(AXES, &format!("cols={},{point}", x.len())).expect("a point");
        let x = ArrayD::from_shape_vec(IxDyn(&[1, x.len()]), x.to_vec()).expect("a row");
        let all = make(&point).expect("a problem").reference(&[x]);
        (all[0][[0, 0]], all[1][[0, 0]])
    }

    #[test]
    fn ends_of_the_data() {
        assert_eq!(of("to=u8", &[-1.0, 0.5, 1.55]), (2.55 / 255.0, 100.0));
        assert_eq!(of("to=s8", &[-1.0, 0.5, 1.55]), (2.55 / 255.0, -28.0));
        // The range holds 0.
        assert_eq!(of("to=u8", &[51.0, 102.0]), (0.4, 0.0));
        assert_eq!(of("to=u8", &[-51.0, -102.0]), (0.4, 255.0));
        assert_eq!(of("scheme=symmetric", &[-254.0, 3.0]), (2.0, 0.0));
        assert_eq!(of("scheme=symmetric,to=u8", &[-254.0, 3.0]), (2.0, 128.0));
    }

    #[test]
    fn percentiles_by_nearest_rank() {
        let x: Vec<f64> = (-5..=994).map(f64::from).collect();
        // Of 1,000 elements, ten at each end are left out.
        assert_eq!(of("to=u8,cut=100", &x), (984.0 / 255.0, 0.0));
        assert_eq!(of("to=u8,cut=0", &x), (999.0 / 255.0, 1.0));
        // Of nine, none; of magnitudes, the largest ten.
        assert_eq!(of("to=u8,cut=1000", &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 255.0]), (1.0, 0.0));
        assert_eq!(of("scheme=symmetric,cut=100", &x), (984.0 / 127.0, 0.0));
    }

    #[test]
    fn what_has_no_width_has_scale_one() {
        for x in [&[0.0, 0.0][..], &[f64::NAN, f64::INFINITY], &[1e-40, -1e-40], &[]] {
            assert_eq!(of("to=u8", x), (1.0, 0.0), "{x:?}");
            assert_eq!(of("to=s8", x), (1.0, -128.0), "{x:?}");
            assert_eq!(of("scheme=symmetric,to=u8", x), (1.0, 128.0), "{x:?}");
        }
        // The longest range has a scale, too.
        let most = f64::from(f32::MAX);
        assert_eq!(of("to=u8", &[-most, most]), (2.0 * most / 255.0, 128.0));
    }

    #[test]
    fn what_is_no_finite_number_is_left_out() {
        assert_eq!(of("to=u8", &[f64::NAN, 255.0, f64::NEG_INFINITY]), (1.0, 0.0));
    }

    #[test]
    fn bad_input_is_named() {
        let of = |cut: i64| make(&Point::default_of(AXES).with("cut", cut)).map(drop);
        assert_eq!((of(4999), of(0)), (Ok(()), Ok(())));
        for cut in [-1, 5000, i64::MAX] {
            assert!(matches!(of(cut), Err(ProblemError::OutOfRange { axis: "cut", .. })), "{cut}");
        }
        let of_groups = Point::parse(AXES, "per=group,group=0").expect("a point");
        assert!(matches!(make(&of_groups), Err(ProblemError::OutOfRange { axis: "group", value: 0, .. })));
    }
}

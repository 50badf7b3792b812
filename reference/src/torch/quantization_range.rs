//! `quantization_range`: by sorting, as no function of libtorch has these ranges; the min–max one by `aminmax`.

use tch::{Kind, TchError, Tensor};

use super::{Operands, Twin, Way};
use crate::Problem;
use crate::operator::downcast;
use crate::ops::quantization_range::{QuantizationRange, WHOLE};
use crate::ops::quantize::Per;

pub(super) const QUANTIZATION_RANGE: Twin = Twin { op: "quantization_range", forward, slack: |_| 1.0, ways };

/// The elements of each group along the last of three dimensions, `filler` behind the shorter ones.
fn grouped(p: &QuantizationRange, x: &Tensor, filler: f64) -> Result<Tensor, TchError> {
    let x = x.f_to_kind(Kind::Float)?;
    let (rows, cols) = (p.scheme.rows as i64, p.scheme.cols as i64);
    match p.scheme.per {
        Per::Tensor => x.f_reshape([1, 1, rows * cols]),
        Per::Row => x.f_reshape([rows, 1, cols]),
        Per::Group(group) => {
            // A group that is longer than a row is the row.
            let (group, groups) = (group.min(cols.max(1) as usize) as i64, p.scheme.scales_of_row() as i64);
            x.f_pad([0, groups * group - cols], "constant", filler)?.f_reshape([rows, groups, group])
        }
    }
}

/// The least and the largest element of those that count.
fn kept(p: &QuantizationRange, x: &Tensor) -> Result<[Tensor; 2], TchError> {
    let x = grouped(p, x, f64::NAN)?;
    let finite = x.f_isfinite()?;
    let x = if p.symmetric { x.f_abs()? } else { x };
    let (sorted, _) =
        x.f_where_self(&finite, &Tensor::from(f64::INFINITY).f_to_kind(Kind::Float)?)?.f_sort(-1, false)?;
    let m = finite.f_sum_dim_intlist([-1i64].as_slice(), true, Kind::Int64)?;
    let out = m.f_mul_scalar(p.cut as i64)?.f_floor_divide_scalar(WHOLE as i64)?;
    let last = m.f_sub_scalar(1)?.f_sub(&out)?.f_clamp_min(0)?;
    let none = m.f_eq(0)?;
    let at = |place: &Tensor| sorted.f_gather(-1, place, false)?.f_masked_fill(&none, 0.0)?.f_squeeze_dim(-1);
    Ok([at(&out)?, at(&last)?])
}

/// Scales and zero points of ranges.
fn finished(p: &QuantizationRange, [low, high]: [Tensor; 2]) -> Result<Vec<Tensor>, TchError> {
    let low = low.f_to_kind(Kind::Double)?.f_clamp_max(0)?;
    let high = high.f_to_kind(Kind::Double)?.f_clamp_min(0)?;
    let (scale, above) = if p.symmetric {
        let most = high.f_maximum(&low.f_neg()?)?;
        (most.f_div_scalar(127)?, most.f_zeros_like()?)
    } else {
        let width = high.f_sub(&low)?;
        (width.f_div_scalar(255)?, low.f_mul_scalar(-255)?.f_div(&width)?.f_round()?)
    };
    let none = scale.f_lt(f64::from(f32::MIN_POSITIVE))?;
    let kind = if p.signed { Kind::Int8 } else { Kind::Uint8 };
    let zero = above.f_masked_fill(&none, 0.0)?.f_add_scalar(p.zero_of_zero())?.f_to_kind(kind)?;
    Ok(vec![scale.f_masked_fill(&none, 1.0)?.f_to_kind(Kind::Float)?, zero])
}

/// Ranges of nothing.
fn of_nothing(p: &QuantizationRange) -> Result<Vec<Tensor>, TchError> {
    let (rows, groups) = match p.scheme.per {
        Per::Tensor => (1, 1),
        Per::Row => (p.scheme.rows as i64, 1),
        Per::Group(_) => (p.scheme.rows as i64, p.scheme.scales_of_row() as i64),
    };
    let none = || Tensor::f_zeros([rows, groups], (Kind::Float, tch::Device::Cpu));
    finished(p, [none()?, none()?])
}

fn forward(problem: &dyn Problem, inputs: &[Tensor]) -> Result<Vec<Tensor>, TchError> {
    let p: &QuantizationRange = downcast(problem);
    if inputs[0].numel() == 0 {
        return of_nothing(p);
    }
    finished(p, kept(p, &inputs[0])?)
}

fn ways(problem: &dyn Problem, operands: &Operands<'_>) -> Result<Vec<Way>, TchError> {
    let p: &QuantizationRange = downcast(problem);
    let (p, x) = (p.clone(), operands.inputs[0].shallow_clone());
    if p.cut > 0 || x.numel() == 0 {
        return Ok(vec![Way::fresh("sort", move || forward(&p, std::slice::from_ref(&x))).tried()?]);
    }
    // 0 is within every range.
    let way = Way::fresh("aminmax", move || {
        let (low, high) = grouped(&p, &x, 0.0)?.f_aminmax(-1, false)?;
        finished(&p, [low, high])
    });
    Ok(vec![way.tried()?])
}

//! What losses with a number for each row share: their reduction, and its bound.

use ndarray::{Array1, ArrayD};

use super::cross_entropy::Reduction;
use super::gemm::choice_value;
use crate::tolerance::gamma;
use crate::{Axis, Layout, Point, Port, ProblemError, Types};

/// The axis.
pub(super) const REDUCTION: Axis =
    Axis::choice("reduction", "what becomes of the rows' losses", &["mean", "sum", "none"]);

pub(super) fn reduction(point: &Point) -> Result<Reduction, ProblemError> {
    Ok(match choice_value(point, "reduction")? {
        "mean" => Reduction::Mean,
        "sum" => Reduction::Sum,
        _ => Reduction::None,
    })
}

/// One for each row, or one.
pub(super) fn port(name: &'static str, types: Types, rows: usize, reduction: Reduction) -> Port {
    Port::new(name, types, Layout::contiguous(&[if reduction == Reduction::None { rows } else { 1 }]))
}

/// What a sum over rows is divided by: for a mean, their number.
pub(super) fn divisor(rows: usize, reduction: Reduction) -> f64 {
    if reduction == Reduction::Mean { rows as f64 } else { 1.0 }
}

/// The losses, or their sum over the divisor: 0/0 over no row.
pub(super) fn reduced(losses: Vec<f64>, reduction: Reduction, divisor: f64) -> ArrayD<f64> {
    let losses = match reduction {
        Reduction::None => losses,
        _ => vec![losses.iter().sum::<f64>() / divisor],
    };
    Array1::from(losses).into_dyn()
}

/// How far that may be off, of the rows' errors and sizes. A sum over rows is one chain: it is off by their errors and
/// γ(n + 4) of their sizes.
pub(super) fn off(
    errors: Vec<f64>,
    sizes: &[f64],
    reduction: Reduction,
    divisor: f64,
    u: f64,
    eta: f64,
) -> ArrayD<f64> {
    let off = match reduction {
        Reduction::None => errors,
        _ => {
            let all = errors.iter().sum::<f64>() + gamma(sizes.len() + 4, u) * sizes.iter().sum::<f64>();
            vec![if divisor > 0.0 { all / divisor } else { 0.0 } + eta]
        }
    };
    Array1::from(off).into_dyn()
}

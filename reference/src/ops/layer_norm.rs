//! `layer_norm`: rows brought to mean 0 and deviation 1, or to a mean square of 1 (RMS norm).
//!
//! x and y are n×c. For each row, with ε = 10⁻⁵:
//!
//! ```text
//! layer:  μ = Σx/c,   r = 1/√(Σ(x − μ)²/c + ε)
//! rms:    μ = 0,      r = 1/√(Σx²/c + ε)
//! y = (x − μ)·r·γ + β
//! ```
//! γ and β have c elements each, or are not there: γ alone, or both. What the gradient needs are outputs, too, if wanted:
//! μ (of `layer` alone) and r, n elements each.
//!
//! **Order of summation**: four vectors side by side, in f32 of 16 lanes each, in f64 of one; each lane is a chain of
//! every fourth vector. They are added in pairs, lanes by halves. Squares are added by fused multiply-adds.
//!
//! # Derivation of the bounds
//! μ is off by e(μ) = γ(c + 1)·Σ|x|/c + u|μ|, a difference d by f = e(μ) + u(|d| + e(μ)). Around another mean, squares add
//! up to c·e(μ)² more, so that the variance is off by e(σ²) = e(μ)² + γ(c + 4)·(σ² + e(μ)²). With v = σ² + ε, r is off
//! by 1/√max(v − e(σ²) − uv, ε) − r and two roundings; with g that, y by |γ|·((|d| + f)(r + g) − |d|r), and three
//! roundings. In f64 the reference rounds, too, and errors count twice.

use ndarray::{Array1, ArrayD, ArrayView1, Ix1, Ix2};

use super::gemm::choice_value;
use super::recurrent::{kept, or_none};
use crate::operator::{elements, size};
use crate::tolerance::{Sum, gamma};
use crate::{
    Axis, DType, Fill, Layout, Operator, Point, Port, Problem, ProblemError, Tolerance, Types, Unit, Witness, Workload,
};

/// ε.
pub const EPSILON: f64 = 1e-5;

const ROWS: &[i64] = &[0, 1, 2, 3, 4, 5, 7, 33, 65, 129];
const COLUMNS: &[i64] = &[1, 2, 3, 15, 16, 17, 31, 33, 63, 64, 65, 127, 129];

/// The axes that the gradient shares.
pub(super) const SHARED: &[Axis] = AXES.split_at(4).0;

const AXES: &[Axis] = &[
    Axis::choice("f", "layer norm, or RMS norm", &["layer", "rms"]).variant(),
    Axis::int("n", "rows", 1, 40, ROWS),
    Axis::int("c", "elements of a row", 10, 300, COLUMNS).positive(),
    Axis::choice("affine", "factors and summands of the columns", &["none", "gain", "both"]),
    Axis::choice("keep", "whether means and factors of the rows are outputs, too", &["no", "yes"]),
];

/// Which of both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Of {
    /// Layer norm.
    Layer,
    /// RMS norm.
    Rms,
}

/// A validated norm.
#[derive(Clone, Debug, PartialEq)]
pub struct LayerNorm {
    /// Which of both.
    pub of: Of,
    /// Rows.
    pub rows: usize,
    /// Elements of a row.
    pub columns: usize,
    /// Whether there is a γ.
    pub gain: bool,
    /// Whether there is a β.
    pub bias: bool,
    /// Whether means and factors are outputs.
    pub keep: bool,
}

/// What belongs to a row.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moments {
    pub mean: f64,
    pub variance: f64,
    pub factor: f64,
}

/// How far they are off.
#[derive(Clone, Copy, Debug)]
pub(super) struct Off {
    pub mean: f64,
    pub factor: f64,
}

impl LayerNorm {
    /// Of a point; `keep` is left to the caller.
    pub(super) fn of(point: &Point) -> Result<LayerNorm, ProblemError> {
        let of = if choice_value(point, "f")? == "layer" { Of::Layer } else { Of::Rms };
        let affine = choice_value(point, "affine")?;
        LayerNorm {
            of,
            rows: size(point, "n")?,
            columns: size(point, "c")?,
            gain: affine != "none",
            bias: affine == "both",
            keep: false,
        }
        .validated()
    }

    /// The same, if its sizes are possible.
    ///
    /// # Errors
    /// [`ProblemError`] if a buffer does not fit the address space, or rows have no element.
    pub fn validated(self) -> Result<LayerNorm, ProblemError> {
        if self.columns == 0 {
            return Err(ProblemError::OutOfRange { axis: "c", value: 0, rule: "at least 1" });
        }
        elements("n·c", &[self.rows.max(1), self.columns])?;
        Ok(self)
    }

    pub(super) fn matrix(&self, name: &'static str, types: Types) -> Port {
        Port::new(name, types, Layout::contiguous(&[self.rows, self.columns]))
    }

    pub(super) fn vector(&self, name: &'static str, types: Types, present: bool) -> Port {
        Port::optional(name, types, Layout::contiguous(&[self.columns]), present)
    }

    /// Of each row.
    pub(super) fn of_rows(&self, name: &'static str, types: Types, present: bool) -> Port {
        kept(Port::new(name, types, Layout::contiguous(&[self.rows])), present)
    }

    /// γ, or ones.
    pub(super) fn gains(&self, gain: &ArrayD<f64>) -> Array1<f64> {
        let ones = || Array1::ones(self.columns);
        if self.gain { gain.clone().into_dimensionality::<Ix1>().expect("c") } else { ones() }
    }

    pub(super) fn moments(&self, x: ArrayView1<'_, f64>) -> Moments {
        let count = self.columns as f64;
        let mean = if self.of == Of::Layer { x.sum() / count } else { 0.0 };
        let variance = x.iter().map(|x| (x - mean) * (x - mean)).sum::<f64>() / count;
        Moments { mean, variance, factor: 1.0 / (variance + EPSILON).sqrt() }
    }

    /// How far the moments of a row are off, with a variance that is off by so many u of itself more, and
    /// a mean by so many roundings that underflow.
    pub(super) fn off(&self, x: ArrayView1<'_, f64>, m: Moments, types: Types, (more, small): (f64, f64)) -> Off {
        let (u, eta) = rounding(types);
        let count = self.columns as f64;
        let size = x.iter().map(|x| x.abs()).sum::<f64>() / count;
        let mean = if self.of == Of::Layer {
            gamma(self.columns + 1, u) * size + u * m.mean.abs() + (1.0 + small) * eta
        } else {
            0.0
        };
        let square = mean * mean;
        let variance =
            square + gamma(self.columns + 4, u) * (m.variance + square) + count * eta + more * u * m.variance;
        let v = m.variance + EPSILON;
        let least = (v - variance - u * v).max(EPSILON * (1.0 - 2.0 * u));
        let factor = 1.0 / least.sqrt() - m.factor;
        Off { mean, factor: factor + 2.0 * u * (m.factor + factor) }
    }
}

impl LayerNorm {
    /// The bounds where the variance of a row may be off by `lost` u of itself more.
    fn bounds(
        &self,
        types: Types,
        inputs: &[ArrayD<f64>],
        expected: &[ArrayD<f64>],
        lost: impl Fn(Moments) -> f64,
        small: f64,
    ) -> Vec<Tolerance> {
        let (u, eta) = rounding(types);
        let x = inputs[0].view().into_dimensionality::<Ix2>().expect("n×c");
        let gains = self.gains(&inputs[1]);
        let mut of_y = expected[0].clone().into_dimensionality::<Ix2>().expect("n×c");
        let (mut of_means, mut of_factors) = (Vec::new(), Vec::new());
        for (x, mut of_y) in x.rows().into_iter().zip(of_y.rows_mut()) {
            let m = self.moments(x);
            let off = self.off(x, m, types, (lost(m), small));
            for ((of_y, x), gain) in of_y.iter_mut().zip(x).zip(&gains) {
                let d = (x - m.mean).abs();
                let f = off.mean + u * (d + off.mean);
                let scaled = (d + f) * (m.factor + off.factor);
                let moved = gain.abs() * (scaled - d * m.factor);
                *of_y = moved + u * (2.0 * gain.abs() * scaled + of_y.abs() + moved) + 3.0 * eta * (1.0 + gain.abs());
            }
            of_means.push(off.mean);
            of_factors.push(off.factor);
        }
        let of_rows = |values: Vec<f64>, present| or_none(Array1::from(values).into_dyn(), present);
        let bounds =
            [of_y.into_dyn(), of_rows(of_means, self.keep && self.of == Of::Layer), of_rows(of_factors, self.keep)];
        let formulas =
            ["|γ|·((|d| + f)(r + g) − |d|r), and roundings", "γ(c + 1)·Σ|x|/c + u|μ|", "g: 1/√(v − e(σ²)) − r"];
        formulas.into_iter().zip(bounds).zip(expected).map(|((f, bound), y)| Tolerance::bound(f, bound, y)).collect()
    }
}

/// u and η, twice in f64.
pub(super) fn rounding(types: Types) -> (f64, f64) {
    let sides = if types.accumulator == DType::F64 { 2.0 } else { 1.0 };
    (sides * types.accumulator.unit_roundoff(), sides * types.accumulator.underflow())
}

impl Problem for LayerNorm {
    fn inputs(&self, types: Types) -> Vec<Port> {
        let weights = |name, present| self.vector(name, types, present).weights();
        // Never infinite: a difference of 0 times ∞ would hang on a rounding.
        vec![self.matrix("x", types), weights("gamma", self.gain).factor(), weights("beta", self.bias)]
    }

    fn outputs(&self, types: Types) -> Vec<Port> {
        vec![
            self.matrix("y", types),
            self.of_rows("mean", types, self.keep && self.of == Of::Layer),
            self.of_rows("factor", types, self.keep),
        ]
    }

    fn reference(&self, inputs: &[ArrayD<f64>]) -> Vec<ArrayD<f64>> {
        let x = inputs[0].view().into_dimensionality::<Ix2>().expect("n×c");
        let gains = self.gains(&inputs[1]);
        let mut y = x.to_owned();
        let (mut means, mut factors) = (Vec::new(), Vec::new());
        for (x, mut y) in x.rows().into_iter().zip(y.rows_mut()) {
            let Moments { mean, factor, .. } = self.moments(x);
            for (y, gain) in y.iter_mut().zip(&gains) {
                *y = (*y - mean) * factor * gain;
            }
            if self.bias {
                y += &inputs[2].view().into_dimensionality::<Ix1>().expect("c");
            }
            means.push(mean);
            factors.push(factor);
        }
        let of_rows = |values: Vec<f64>, present| or_none(Array1::from(values).into_dyn(), present);
        vec![y.into_dyn(), of_rows(means, self.keep && self.of == Of::Layer), of_rows(factors, self.keep)]
    }

    fn sums(&self) -> Vec<Sum> {
        vec![Sum::new(self.columns, self.columns, "of a row")]
    }

    fn tolerance(&self, types: Types, _: Fill, inputs: &[ArrayD<f64>], expected: &[ArrayD<f64>]) -> Vec<Tolerance> {
        self.bounds(types, inputs, expected, |_| 0.0, 0.0)
    }

    /// libtorch updates mean and variance together, which loses c·√(1 + μ²/σ²) units of the variance at most (Chan, Golub
    /// and LeVeque, *Algorithms for computing the sample variance*, 1983).
    fn witness_tolerance(
        &self,
        types: Types,
        _: Fill,
        inputs: &[ArrayD<f64>],
        expected: &[ArrayD<f64>],
    ) -> Vec<Tolerance> {
        let lost = |m: Moments| match self.of {
            Of::Layer if m.variance > 0.0 => (self.columns + 8) as f64 * (1.0 + m.mean * m.mean / m.variance).sqrt(),
            _ => 0.0,
        };
        self.bounds(types, inputs, expected, lost, (self.columns + 4) as f64)
    }

    fn operations(&self) -> (f64, Unit) {
        (8.0 * self.rows as f64 * self.columns as f64, Unit::Fma)
    }

    fn differentiable(&self) -> Vec<usize> {
        let there = [true, self.gain, self.bias];
        (0..3).filter(|&input| there[input]).collect()
    }

    fn degenerate(&self) -> bool {
        self.columns < 4
    }
}

const fn w(name: &'static str, point: &'static str, source: &'static str) -> Workload {
    Workload::new(name, point, source)
}

const COMPOSED: &str = "composed for the suite";

/// Of `layer_norm`.
static WORKLOADS: &[Workload] = &[
    w("small.15x3", "f=layer,n=15,c=3,affine=both", "oneDNN benchdnn lnorm inputs").smoke(),
    w("small.30x300", "f=rms,n=30,c=300,affine=gain", "oneDNN benchdnn lnorm inputs").smoke(),
    w("bert.256x768", "f=layer,n=256,c=768,affine=both", "oneDNN benchdnn lnorm inputs"),
    w("bert.512x768", "f=layer,n=512,c=768,affine=both", COMPOSED),
    w("gpt2.2048x768", "f=layer,n=2048,c=768,affine=both", "4×512 rows of GPT-2"),
    w("rows1024x4096", "f=layer,n=1024,c=4096,affine=both", COMPOSED),
    w("llama.512x4096", "f=rms,n=512,c=4096,affine=gain", "Llama 2 7B"),
    w("rms512x768", "f=rms,n=512,c=768,affine=gain", COMPOSED),
    w("rms1024x4096", "f=rms,n=1024,c=4096,affine=gain", COMPOSED),
];

/// The operator `layer_norm`.
pub static LAYER_NORM: Operator = Operator {
    name: "layer_norm",
    summary: "rows brought to mean 0 and deviation 1, or (RMS norm) to a mean square of 1, times γ, + β",
    axes: AXES,
    types: &[Types::F32, Types::F64],
    make: |point| {
        let keep = choice_value(point, "keep")? == "yes";
        Ok(Box::new(LayerNorm { keep, ..LayerNorm::of(point)? }))
    },
    workloads: WORKLOADS,
    special_values: "NaN or ∞ makes its whole row NaN; with RMS norm, ∞ leaves 0 of what is finite",
    domains: &[],
    gradient: None,
    witness: Witness::Libtorch,
    batch: Some("n"),
};

#[cfg(test)]
mod tests {
    use super::*;

    fn outputs(point: &str, inputs: [&[f64]; 3]) -> Vec<ArrayD<f64>> {
        let problem = LAYER_NORM.problem(&Point::parse(AXES, point).expect("a point")).expect("a problem");
        let arrays: Vec<ArrayD<f64>> = (problem.inputs(Types::F64).iter().zip(inputs))
            .map(|(port, values)| ArrayD::from_shape_vec(port.layout.shape.clone(), values.to_vec()).expect("all"))
            .collect();
        problem.reference(&arrays)
    }

    /// Elements of f32 beside a large mean: their own rounding shows, and no more.
    #[test]
    fn a_large_mean_costs_no_digits() {
        for (mean, wanted) in [(0.0, -1.34164), (100.0, -1.34153), (1000.0, -1.34151), (10000.0, -1.33133)] {
            let x: Vec<f64> = (0..16).map(|i| f64::from(mean as f32 + i as f32 * 1e-3)).collect();
            let y = outputs("f=layer,c=16", [&x, &[], &[]])[0][[0, 0]];
            assert!((y - wanted).abs() < 1e-4, "{mean}: {y}");
        }
    }

    #[test]
    fn rms_keeps_the_mean() {
        let found = outputs(
            "f=rms,c=4,affine=both,keep=yes",
            [&[2.0, -2.0, 2.0, 2.0], &[1.0, 1.0, 2.0, 0.0], &[0.0, 0.0, 1.0, 5.0]],
        );
        let close = found[0].iter().zip([1.0, -1.0, 3.0, 5.0]).all(|(y, wanted)| (y - wanted).abs() < 1e-5);
        assert!(close && found[1].is_empty() && (found[2][[0]] - 0.5).abs() < 1e-6, "{found:?}");
    }

    #[test]
    fn rows_without_elements_are_an_error() {
        let point = Point::parse(AXES, "f=layer,c=0").expect("a point");
        assert!(matches!(LAYER_NORM.problem(&point), Err(ProblemError::OutOfRange { axis: "c", .. })));
    }
}

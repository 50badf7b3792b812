//! `layer_norm_backward`: the gradients of [`layer_norm`](super::layer_norm), of its means and factors.
//!
//! With x̂ = (x − μ)·r and a = dy·γ, for each row of c elements:
//!
//! ```text
//! layer:  dx = r·(a − Σa/c − x̂·Σa·x̂/c)
//! rms:    dx = r·(a − x̂·Σa·x̂/c)
//! dγ = Σ dy·x̂,   dβ = Σ dy                        over all rows
//! ```
//! Shapes are those of `layer_norm`; dγ and dβ are there where γ and β are. **Order of summation**: in a row, as there.
//! Over rows, chains of 64, added in order.
//!
//! # Derivation of the bounds
//! x̂ passes two roundings, a one, a mean over a row c + 8 with its terms. With S₁ = Σ|a|/c and S₂ = Σ|a||x̂|/c, the bracket
//! is off by γ(c + 8)·(S₁ + |x̂|S₂) + γ(8)·(|a| + S₁ + |x̂|S₂), and dx by r times that and a rounding. Sums over n rows are
//! off by γ(n + 8) times their magnitudes. In f64 the reference rounds, too, and errors count twice.

use ndarray::{Array1, Array2, ArrayD, Axis as NdAxis, Ix1, Ix2};

use super::layer_norm::{LAYER_NORM, LayerNorm, Of, SHARED, rounding};
use super::recurrent::or_none;
use crate::gradient::{SMOOTH, keeping};
use crate::tolerance::{Sum, gamma};
use crate::{Data, Fill, Gradient, Operator, Port, Problem, Takes, Tolerance, Types, Unit, Witness, Workload};

/// Rows of a chain of dγ and dβ.
pub const CHAIN: usize = 64;

/// A validated gradient.
#[derive(Clone, Debug, PartialEq)]
pub struct LayerNormBackward {
    /// The forward pass, whose means and factors are outputs.
    pub norm: LayerNorm,
}

/// A row: a, x̂, and the means of a and a·x̂, of values or of magnitudes.
struct Row {
    a: Array1<f64>,
    scaled: Array1<f64>,
    factor: f64,
    means: [f64; 2],
    sizes: [f64; 2],
}

impl LayerNormBackward {
    /// Each row in turn.
    fn each_row(&self, inputs: &[ArrayD<f64>], mut row: impl FnMut(usize, ndarray::ArrayView1<'_, f64>, Row)) {
        let two = |i: usize| inputs[i].view().into_dimensionality::<Ix2>().expect("n×c");
        let one = |i: usize| inputs[i].view().into_dimensionality::<Ix1>().expect("n");
        let (dy, x, gains) = (two(0), two(1), self.norm.gains(&inputs[2]));
        let count = self.norm.columns as f64;
        for (i, (dy, x)) in dy.rows().into_iter().zip(x.rows()).enumerate() {
            let mean = if self.norm.of == Of::Layer { one(3)[i] } else { 0.0 };
            let factor = one(4)[i];
            let a = &dy * &gains;
            let scaled = x.mapv(|x| (x - mean) * factor);
            let means = [if self.norm.of == Of::Layer { a.sum() / count } else { 0.0 }, a.dot(&scaled) / count];
            let (of_a, of_both) = (a.mapv(f64::abs), (&a * &scaled).mapv(f64::abs));
            let sizes = [if self.norm.of == Of::Layer { of_a.sum() / count } else { 0.0 }, of_both.sum() / count];
            row(i, dy, Row { a, scaled, factor, means, sizes });
        }
    }

    /// The bounds where x̂ may be off by `cancelled`·u(|x| + |μ|)r more. If so, the slope Σ|a||x̂|/c meets x and μ one by
    /// one, with what it is off by, and with so many underflows.
    fn bounds(&self, types: Types, inputs: &[ArrayD<f64>], expected: &[ArrayD<f64>], cancelled: f64) -> Vec<Tolerance> {
        let (u, eta) = rounding(types);
        let columns = self.norm.columns;
        let (of_row, of_all) = (gamma(columns + 8, u), gamma(self.norm.rows + 8, u));
        let mut dx = Array2::zeros((self.norm.rows, columns));
        let (mut of_gain, mut of_bias) = (Array1::zeros(columns), Array1::zeros(columns));
        self.each_row(inputs, |i, dy, row| {
            let [mean, product] = row.sizes;
            let centre = if self.norm.of == Of::Layer { inputs[3][[i]].abs() } else { 0.0 };
            let apart: Vec<f64> = (0..columns)
                .map(|j| cancelled * u * (inputs[1][[i, j]].abs() + centre) * row.factor.abs() + 2.0 * eta)
                .collect();
            let of_product: f64 = row.a.iter().zip(&apart).map(|(a, off)| a.abs() * off).sum::<f64>() / columns as f64;
            let bracket = |a: f64, scaled: f64| {
                let all = mean + scaled.abs() * product;
                of_row * all + gamma(8, u) * (a.abs() + all)
            };
            let of_row = dx.index_axis_mut(NdAxis(0), i).into_iter();
            for (j, (((dx, &a), &scaled), &apart)) in of_row.zip(&row.a).zip(&row.scaled).zip(&apart).enumerate() {
                let off = bracket(a, scaled)
                    + apart * (product + of_product)
                    + scaled.abs() * (of_product + 3.0 * eta)
                    + 3.0 * eta;
                let size = a.abs() + row.means[0].abs() + (scaled * row.means[1]).abs() + off;
                let lever = if cancelled > 0.0 { inputs[1][[i, j]].abs() + centre } else { 0.0 };
                let small = 8.0 * (1.0 + row.factor.abs()) + cancelled * lever;
                let off = off + lever * row.factor.abs() * of_product;
                *dx = row.factor.abs() * (off + 2.0 * u * size) + small * eta;
            }
            of_gain += &(&dy * &row.scaled).mapv(|x| of_all * x.abs() + eta);
            of_gain += &(dy.mapv(f64::abs) * Array1::from(apart));
            of_bias += &dy.mapv(|x| of_all * x.abs() + eta);
        });
        let formulas = ["r·(γ(c + 8)·(S₁ + |x̂|S₂) + γ(8)·(|a| + S₁ + |x̂|S₂))", "γ(n + 8)·Σ|dy||x̂|", "γ(n + 8)·Σ|dy|"];
        let bounds = self.present(dx, of_gain, of_bias);
        formulas.into_iter().zip(bounds).zip(expected).map(|((f, bound), y)| Tolerance::bound(f, bound, y)).collect()
    }

    fn present(&self, dx: Array2<f64>, of_gain: Array1<f64>, of_bias: Array1<f64>) -> Vec<ArrayD<f64>> {
        vec![dx.into_dyn(), or_none(of_gain.into_dyn(), self.norm.gain), or_none(of_bias.into_dyn(), self.norm.bias)]
    }
}

impl Problem for LayerNormBackward {
    fn inputs(&self, types: Types) -> Vec<Port> {
        // Never infinite: a product of 0 and ∞ would hang on a rounding.
        vec![
            self.norm.matrix("dy", types).factor(),
            self.norm.matrix("x", types).factor(),
            self.norm.vector("gamma", types, self.norm.gain).factor().weights(),
            self.norm.of_rows("mean", types, self.norm.of == Of::Layer),
            self.norm.of_rows("factor", types, true),
        ]
    }

    fn outputs(&self, types: Types) -> Vec<Port> {
        vec![
            self.norm.matrix("dx", types),
            self.norm.vector("dgamma", types, self.norm.gain),
            self.norm.vector("dbeta", types, self.norm.bias),
        ]
    }

    /// Means and factors are those of the rows.
    fn draw(&self, types: Types, fill: Fill, seed: u64) -> Vec<Data> {
        GRADIENT.draw(self, &self.norm, types, fill, seed)
    }

    fn reference(&self, inputs: &[ArrayD<f64>]) -> Vec<ArrayD<f64>> {
        let columns = self.norm.columns;
        let mut dx = Array2::zeros((self.norm.rows, columns));
        let (mut of_gain, mut of_bias) = (Array1::zeros(columns), Array1::zeros(columns));
        self.each_row(inputs, |i, dy, row| {
            let [mean, product] = row.means;
            let of_row = (&row.a - mean - &row.scaled * product) * row.factor;
            dx.index_axis_mut(NdAxis(0), i).assign(&of_row);
            of_gain += &(&dy * &row.scaled);
            of_bias += &dy;
        });
        self.present(dx, of_gain, of_bias)
    }

    fn sums(&self) -> Vec<Sum> {
        let rows = self.norm.rows.max(1);
        vec![
            Sum::new(self.norm.columns, self.norm.columns, "of a row"),
            Sum::new(rows, rows.min(CHAIN) + rows.div_ceil(CHAIN), "over rows"),
        ]
    }

    fn tolerance(&self, types: Types, _: Fill, inputs: &[ArrayD<f64>], expected: &[ArrayD<f64>]) -> Vec<Tolerance> {
        self.bounds(types, inputs, expected, 0.0)
    }

    /// libtorch multiplies x and μ by r before it subtracts: x̂ is off by 3u(|x| + |μ|)r more.
    fn witness_tolerance(
        &self,
        types: Types,
        _: Fill,
        inputs: &[ArrayD<f64>],
        expected: &[ArrayD<f64>],
    ) -> Vec<Tolerance> {
        // Its factor is its own, of a variance that is off by (c + 8)·√(1 + μ²/σ²) units.
        self.bounds(types, inputs, expected, 3.0 + (self.norm.columns + 8) as f64)
    }

    fn operations(&self) -> (f64, Unit) {
        (14.0 * self.norm.rows as f64 * self.norm.columns as f64, Unit::Fma)
    }

    fn degenerate(&self) -> bool {
        self.norm.columns < 4
    }
}

const fn w(name: &'static str, point: &'static str, source: &'static str) -> Workload {
    Workload::new(name, point, source)
}

const COMPOSED: &str = "composed for the suite";

static WORKLOADS: &[Workload] = &[
    w("small.15x3", "f=layer,n=15,c=3,affine=both", "oneDNN benchdnn lnorm inputs").smoke(),
    w("small.30x300", "f=rms,n=30,c=300,affine=gain", "oneDNN benchdnn lnorm inputs").smoke(),
    w("bert.512x768", "f=layer,n=512,c=768,affine=both", COMPOSED),
    w("rows1024x4096", "f=layer,n=1024,c=4096,affine=both", COMPOSED),
    w("rms512x768", "f=rms,n=512,c=768,affine=gain", COMPOSED),
    w("rms1024x4096", "f=rms,n=1024,c=4096,affine=gain", COMPOSED),
];

/// The operator `layer_norm_backward`.
pub static LAYER_NORM_BACKWARD: Operator = Operator {
    name: "layer_norm_backward",
    summary: "gradients of layer norm or RMS norm: dx, dγ, dβ",
    axes: SHARED,
    types: &[Types::F32, Types::F64],
    make: |point| Ok(Box::new(LayerNormBackward { norm: LayerNorm { keep: true, ..LayerNorm::of(point)? } })),
    workloads: WORKLOADS,
    special_values: "NaN makes its whole row of dx NaN, and its column of dγ and dβ",
    domains: &[],
    gradient: Some(&GRADIENT),
    witness: Witness::Libtorch,
    batch: None,
};

static GRADIENT: Gradient = Gradient {
    forward: &LAYER_NORM,
    point: |point| keeping(LAYER_NORM.axes, point),
    takes: &[Takes::Upstream(0), Takes::Input(0), Takes::Input(1), Takes::Output(1), Takes::Output(2)],
    gives: &[(0, 0), (1, 1), (2, 2)],
    linear: |_| &[],
    // Means and factors are kept, and libtorch takes them, too.
    autograd: None,
    near_kink: SMOOTH,
};

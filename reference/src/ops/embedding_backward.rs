//! `embedding_backward`: the gradient of [`embedding`](super::embedding) with respect to the table.
//!
//! ```text
//! dtable[r] = Σ dy[i] over the i whose number is r, in ascending order;   0 for padding, and where there is none
//! ```
//! dy is n×d, dtable v×d. **Order of summation**: one chain for each element of the table, which begins with the first
//! of its terms.
//!
//! # Derivation of the bounds
//! A sum of m terms is off by γ(m)·Σ|dy|. In f64 the reference rounds, too, and errors count twice.

use ndarray::{Array2, ArrayD, Axis as NdAxis, Ix2};

use super::embedding::{AXES, EMBEDDING, Embedding, WORKLOADS};
use super::layer_norm::rounding;
use crate::gradient::SMOOTH;
use crate::tolerance::{Sum, gamma};
use crate::{Fill, Gradient, Operator, Port, Problem, Takes, Tolerance, Types, Unit, Witness};

/// A validated gradient.
#[derive(Clone, Debug, PartialEq)]
pub struct EmbeddingBackward {
    /// The forward pass.
    pub forward: Embedding,
}

impl EmbeddingBackward {
    /// The sums of `dy`, and the number of terms of each row.
    fn sums_of(&self, dy: &ArrayD<f64>, index: &ArrayD<f64>) -> (Array2<f64>, Vec<usize>) {
        let dy = dy.view().into_dimensionality::<Ix2>().expect("n×d");
        let mut sums = Array2::zeros((self.forward.rows, self.forward.width));
        let mut counts = vec![0; self.forward.rows];
        for (dy, &number) in dy.rows().into_iter().zip(index) {
            if let Some(row) = self.forward.row(number as usize) {
                let mut sum = sums.index_axis_mut(NdAxis(0), row);
                sum += &dy;
                counts[row] += 1;
            }
        }
        (sums, counts)
    }
}

impl Problem for EmbeddingBackward {
    fn inputs(&self, types: Types) -> Vec<Port> {
        vec![self.forward.chosen("dy", types), self.forward.index(types)]
    }

    fn outputs(&self, types: Types) -> Vec<Port> {
        vec![self.forward.table("dtable", types)]
    }

    fn reference(&self, inputs: &[ArrayD<f64>]) -> Vec<ArrayD<f64>> {
        vec![self.sums_of(&inputs[0], &inputs[1]).0.into_dyn()]
    }

    fn sums(&self) -> Vec<Sum> {
        vec![Sum::new(self.forward.count.max(1), self.forward.count.max(1), "γ(m)·Σ|dy|")]
    }

    fn tolerance(&self, types: Types, fill: Fill, inputs: &[ArrayD<f64>], expected: &[ArrayD<f64>]) -> Vec<Tolerance> {
        if fill == Fill::Exact {
            return vec![Tolerance::Exact];
        }
        let (u, _) = rounding(types);
        let (mut sizes, counts) = self.sums_of(&inputs[0].mapv(f64::abs), &inputs[1]);
        for (mut sizes, count) in sizes.rows_mut().into_iter().zip(counts) {
            sizes.mapv_inplace(|size| gamma(count, u) * size);
        }
        vec![Tolerance::bound("γ(m)·Σ|dy|", sizes.into_dyn(), &expected[0])]
    }

    fn operations(&self) -> (f64, Unit) {
        (self.forward.count as f64 * self.forward.width as f64, Unit::Fma)
    }

    /// Most rows may have no number.
    fn degenerate(&self) -> bool {
        self.forward.count < 4 * self.forward.rows || self.forward.width < 2
    }
}

/// The operator `embedding_backward`.
pub static EMBEDDING_BACKWARD: Operator = Operator {
    name: "embedding_backward",
    summary: "gradient of embedding with respect to the table: rows are added in the order of their numbers",
    axes: AXES,
    types: &[Types::F32, Types::F64],
    make: |point| Ok(Box::new(EmbeddingBackward { forward: Embedding::of(point)? })),
    workloads: WORKLOADS,
    special_values: "NaN and ∞ follow the formula; rows of padding count nowhere",
    domains: &[],
    gradient: Some(&GRADIENT),
    witness: Witness::Libtorch,
    batch: None,
};

static GRADIENT: Gradient = Gradient {
    forward: &EMBEDDING,
    point: Clone::clone,
    takes: &[Takes::Upstream(0), Takes::Input(1)],
    gives: &[(0, 0)],
    linear: |_| &[0],
    // libtorch has a function of its own.
    autograd: None,
    near_kink: SMOOTH,
};

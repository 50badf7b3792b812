//! What the queries of [`attention`](super::attention) see: their keys and scores, row after row.

use ndarray::{Array2, ArrayD, ArrayView2, ArrayView4, Axis as NdAxis, Ix4, Slice};

use super::attention::{Attention, Mask};

impl Attention {
    /// Keys from the first that query `i` of sequence `b` may see, for all that diagonal and length say.
    fn limit(&self, inputs: &[ArrayD<f64>], b: usize, i: usize) -> usize {
        let length = if self.lengths { inputs[4][[b]] as usize } else { self.keys };
        self.before_diagonal(i).min(length)
    }

    /// What is added to the score of a key, if the query may see it.
    fn added(&self, inputs: &[ArrayD<f64>], i: usize, j: usize) -> Option<f64> {
        match self.mask {
            Mask::No => Some(0.0),
            Mask::Bool => (inputs[3][[i, j]] != 0.0).then_some(0.0),
            Mask::Add => Some(inputs[3][[i, j]]).filter(|x| *x != f64::NEG_INFINITY),
        }
    }

    /// Calls `row` for each query with the keys that it sees: each with its number, what is added to its score, and the
    /// score.
    pub(super) fn each_row(&self, inputs: &[ArrayD<f64>], mut row: impl FnMut(At<'_>, &[Seen])) {
        let [q, k, v] = [0, 1, 2].map(|i| inputs[i].view().into_dimensionality::<Ix4>().expect("four dimensions"));
        // So many rows of scores at a time.
        const ROWS: usize = 64;
        let mut seen = Vec::with_capacity(self.keys);
        for (b, h) in ndarray::indices((self.batch, self.query_heads())) {
            let of = h / self.group;
            let (q, k, v) = (head(&q, b, h), head(&k, b, of), head(&v, b, of));
            for first in (0..self.queries).step_by(ROWS) {
                let q = q.slice_axis(NdAxis(0), Slice::from(first..self.queries.min(first + ROWS)));
                let (scores, sizes) = (products(q, k), products(q.mapv(f64::abs).view(), k.mapv(f64::abs).view()));
                for (of_row, scores) in scores.rows().into_iter().enumerate() {
                    let i = first + of_row;
                    seen.clear();
                    for j in 0..self.limit(inputs, b, i) {
                        if let Some(added) = self.added(inputs, i, j) {
                            let (score, size) = (self.scale * scores[j] + added, self.scale * sizes[[of_row, j]]);
                            seen.push(Seen { key: j, added, score, size });
                        }
                    }
                    row(At { b, h, i, v }, &seen);
                }
            }
        }
    }
}

/// A row of all queries.
pub(super) struct At<'a> {
    pub b: usize,
    pub h: usize,
    pub i: usize,
    /// The values of its keys, Sk×Dv.
    pub v: ArrayView2<'a, f64>,
}

/// A key that a query sees.
pub(super) struct Seen {
    pub key: usize,
    /// What is added to its score.
    pub added: f64,
    pub score: f64,
    /// scale·Σ|q||k|.
    pub size: f64,
}

/// The rows of a head.
fn head<'a>(of: &ArrayView4<'a, f64>, b: usize, h: usize) -> ArrayView2<'a, f64> {
    (*of).index_axis_move(NdAxis(0), b).index_axis_move(NdAxis(0), h)
}

fn products(q: ArrayView2<'_, f64>, k: ArrayView2<'_, f64>) -> Array2<f64> {
    q.dot(&k.t())
}

/// The largest score; NaN does not count.
pub(super) fn largest(seen: &[Seen]) -> f64 {
    seen.iter().map(|seen| seen.score).fold(f64::NEG_INFINITY, f64::max)
}

/// Whether a query sees nothing but −∞.
pub(super) fn sees_nothing(seen: &[Seen]) -> bool {
    seen.iter().all(|seen| seen.score == f64::NEG_INFINITY)
}

//! Which steps the sequences of a [recurrent layer](super::recurrent) have, and in which order.

use ndarray::{Array2, Array3, ArrayD};

use super::recurrent::{Layer, STEPS};

/// The steps of each sequence. Those that it does not have are at its end.
#[derive(Clone, Debug)]
pub(super) struct Walk {
    steps: usize,
    reverse: bool,
    lengths: Vec<usize>,
}

impl Walk {
    /// Of a layer, given the numbers of steps if it has that operand.
    pub(super) fn new(layer: &Layer, lengths: Option<&ArrayD<f64>>) -> Walk {
        let lengths = match lengths {
            Some(lengths) if layer.lengths => lengths.iter().map(|&length| length as usize).collect(),
            _ => vec![layer.steps; layer.batch],
        };
        Walk { steps: layer.steps, reverse: layer.reverse, lengths }
    }

    /// All steps in their order.
    pub(super) fn order(&self) -> impl DoubleEndedIterator<Item = usize> + use<> {
        let (steps, reverse) = (self.steps, self.reverse);
        (0..steps).map(move |step| if reverse { steps - 1 - step } else { step })
    }

    /// Whether sequence `n` has step `t`.
    pub(super) fn has(&self, t: usize, n: usize) -> bool {
        t < self.lengths[n]
    }

    /// The step of sequence `n` before its step `t`, unless that is its first.
    fn before(&self, t: usize, n: usize) -> Option<usize> {
        let before = if self.reverse { t + 1 } else { t.checked_sub(1)? };
        self.has(before, n).then_some(before)
    }

    /// Of `states`, those before step `t`; what a sequence that lacks the step has means nothing.
    pub(super) fn states_before(&self, states: &Array3<f64>, initial: &Array2<f64>, t: usize) -> Array2<f64> {
        let state = |(n, j): (usize, usize)| self.before(t, n).map_or(initial[[n, j]], |t| states[[t, n, j]]);
        Array2::from_shape_fn(initial.raw_dim(), state)
    }

    /// Those before each step, and zeros where a sequence lacks it.
    pub(super) fn all_before(&self, states: &Array3<f64>, initial: &Array2<f64>) -> Array3<f64> {
        let mut all = Array3::zeros(states.raw_dim());
        for t in 0..self.steps {
            all.index_axis_mut(STEPS, t).assign(&self.states_before(states, initial, t));
        }
        self.cleared(all)
    }

    /// The states behind the last step of each sequence.
    pub(super) fn last(&self, states: &Array3<f64>, initial: Array2<f64>) -> ArrayD<f64> {
        let mut last = initial;
        for ((n, j), last) in last.indexed_iter_mut() {
            if let Some(end) = self.lengths[n].checked_sub(1) {
                *last = states[[if self.reverse { 0 } else { end }, n, j]];
            }
        }
        last.into_dyn()
    }

    /// Zeros at the steps that a sequence lacks.
    pub(super) fn cleared(&self, mut all: Array3<f64>) -> Array3<f64> {
        for ((t, n, _), x) in all.indexed_iter_mut() {
            if !self.has(t, n) {
                *x = 0.0;
            }
        }
        all
    }

    /// Takes over the rows of the sequences that have step `t`.
    pub(super) fn take<T: Clone>(&self, t: usize, to: &mut Array2<T>, from: &Array2<T>) {
        for (n, (mut to, from)) in to.rows_mut().into_iter().zip(from.rows()).enumerate() {
            if self.has(t, n) {
                to.assign(&from);
            }
        }
    }
}

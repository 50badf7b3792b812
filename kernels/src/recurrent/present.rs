//! Which sequences have a step, where each has a number of steps of its own.

use etalon_reference::ops::recurrent::Layer;

use crate::kernel::KernelError;

/// Of all steps.
#[derive(Clone, Copy, Debug)]
pub struct Present<'a> {
    /// Steps of each sequence; empty if each has all.
    lengths: &'a [i64],
    batch: usize,
}

/// Of one step.
#[derive(Clone, Copy, Debug)]
pub struct At<'a> {
    lengths: &'a [i64],
    t: i64,
}

impl<'a> Present<'a> {
    /// Checked.
    ///
    /// # Errors
    /// If a sequence is longer than the layer, or a number is negative.
    pub fn new(layer: &Layer, lengths: &'a [i64]) -> Result<Present<'a>, KernelError> {
        match lengths.iter().find(|length| !(0..=layer.steps as i64).contains(length)) {
            Some(&found) => Err(KernelError::OutOfRange { operand: "lengths", found, end: layer.steps + 1 }),
            None => Ok(Present { lengths, batch: layer.batch }),
        }
    }

    /// Whether each sequence has every step.
    pub fn all(&self) -> bool {
        self.lengths.is_empty()
    }

    /// At step `t`.
    pub fn at(&self, t: usize) -> At<'a> {
        At { lengths: self.lengths, t: t as i64 }
    }

    /// The sequences up to the last one that has step `t`.
    pub fn rows(&self, t: usize) -> usize {
        let at = self.at(t);
        (0..self.batch).rev().find(|&n| at.has(n)).map_or(0, |n| n + 1)
    }

    /// Copies the states before each step, `width` elements for each sequence; zeros where a sequence lacks the step.
    pub fn before<T: Copy + Default>(&self, layer: &Layer, (first, states): (&[T], &[T]), width: usize, to: &mut [T]) {
        for (row, to) in to.chunks_exact_mut(width.max(1)).enumerate() {
            let (t, n) = (row / self.batch, row % self.batch);
            let at = |t: usize| &states[(t * self.batch + n) * width..][..width];
            let earlier = if layer.reverse { Some(t + 1) } else { t.checked_sub(1) };
            match earlier.filter(|&earlier| self.at(earlier).has(n) && earlier < layer.steps) {
                _ if !self.at(t).has(n) => to.fill(T::default()),
                Some(earlier) => to.copy_from_slice(at(earlier)),
                None if first.is_empty() => to.fill(T::default()),
                None => to.copy_from_slice(&first[n * width..][..width]),
            }
        }
    }

    /// Zeros where a sequence lacks a step, of T×N×`width` elements.
    pub fn clear<T: Copy + Default>(&self, width: usize, all: &mut [T]) {
        if self.all() || width == 0 {
            return;
        }
        for (row, x) in all.chunks_exact_mut(width).enumerate() {
            if !self.at(row / self.batch).has(row % self.batch) {
                x.fill(T::default());
            }
        }
    }
}

impl At<'_> {
    /// Whether sequence `n` has the step.
    #[inline(always)]
    pub fn has(&self, n: usize) -> bool {
        self.lengths.get(n).is_none_or(|&length| self.t < length)
    }

    /// Whether it is the last one in memory that sequence `n` has, and sequences have numbers of steps.
    #[inline(always)]
    pub fn is_last(&self, n: usize) -> bool {
        self.lengths.get(n).is_some_and(|&length| self.t + 1 == length)
    }
}

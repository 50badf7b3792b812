//! A window that moves over one dimension of an input: the arithmetic of its places.

use ndarray::Slice;

use crate::ProblemError;
use crate::operator::elements;

/// A window that moves over one dimension of the input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// Extent of the input.
    pub input: usize,
    /// Taps.
    pub taps: usize,
    /// Input elements from one output to the next, at most the padded input's.
    pub stride: usize,
    /// Input elements from one tap to the next; 1 if there is one tap.
    pub dilation: usize,
    /// Zeros before the input.
    pub before: usize,
    /// Zeros behind it.
    pub after: usize,
    /// Extent of the output.
    pub output: usize,
}

impl Window {
    /// Checked: the output's extent is ⌊(input + before + after − dilation·(taps − 1) − 1) / stride⌋ + 1.
    ///
    /// # Errors
    /// [`ProblemError`] if the stride, the dilation or the taps are 0, if the window is larger than the padded input, or if a
    /// sum overflows.
    pub fn new(
        name: &'static str,
        [input, taps, stride, dilation, before, after]: [usize; 6],
    ) -> Result<Window, ProblemError> {
        if taps == 0 || stride == 0 || dilation == 0 {
            return Err(ProblemError::Conflict(format!("{name}: taps, stride and dilation are at least 1")));
        }
        elements("stride", &[stride])?;
        elements("dilation", &[dilation])?;
        let overflow = ProblemError::Overflow { what: "padded input" };
        let padded = input.checked_add(before).and_then(|sum| sum.checked_add(after)).ok_or(overflow.clone())?;
        let reach = (taps - 1).checked_mul(dilation).and_then(|reach| reach.checked_add(1)).ok_or(overflow)?;
        if reach > padded {
            let message = format!("{name}: the window of {reach} is larger than the padded input of {padded}");
            return Err(ProblemError::Conflict(message));
        }
        let output = (padded - reach) / stride + 1;
        // Steps that are not taken may be of any length; products with them must not overflow.
        let stride = stride.min(padded);
        let dilation = if taps == 1 { 1 } else { dilation };
        Ok(Window { input, taps, stride, dilation, before, after, output })
    }

    /// The input index of a tap of an output, if it falls on the input.
    #[inline]
    pub fn index(&self, output: usize, tap: usize) -> Option<usize> {
        (output * self.stride + tap * self.dilation).checked_sub(self.before).filter(|&i| i < self.input)
    }

    /// Outputs of which a tap falls on the input.
    pub(super) fn seen(&self) -> usize {
        (0..self.output).filter(|&output| (0..self.taps).any(|tap| self.index(output, tap).is_some())).count()
    }

    /// Elements of the input on which a tap of an output falls.
    pub(super) fn met(&self) -> usize {
        let reaches = |i: usize, tap: usize| {
            let place = (self.before + i).checked_sub(tap * self.dilation);
            place.is_some_and(|place| place.is_multiple_of(self.stride) && place / self.stride < self.output)
        };
        (0..self.input).filter(|&i| (0..self.taps).any(|tap| reaches(i, tap))).count()
    }

    /// Taps that fall on the input for some output.
    pub(super) fn useful(&self) -> usize {
        (0..self.taps).filter(|&tap| (0..self.output).any(|output| self.index(output, tap).is_some())).count()
    }

    /// Extent of the input with its zeros.
    pub fn padded(&self) -> usize {
        self.before + self.input + self.after
    }

    /// The input among the padded input.
    pub(super) fn inside(&self) -> Slice {
        Slice::from(self.before..self.before + self.input)
    }

    /// The elements of the padded input that a tap meets, one an output.
    pub(super) fn under(&self, tap: usize) -> Slice {
        let start = (tap * self.dilation) as isize;
        let end = start + ((self.output - 1) * self.stride) as isize + 1;
        Slice::new(start, Some(end), self.stride as isize)
    }
}

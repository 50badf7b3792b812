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
    /// Input elements from one output to the next, at most the padded input's; 0 if that is not the same for all of
    /// them.
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
    /// [`ProblemError`] if the stride, the dilation or the taps are 0, if the window is larger than the padded input,
    /// or if a sum overflows.
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

    /// Of a pooling, which has as much padding on both sides. Every window falls on the input: the padding is at most
    /// half of the taps, the dilation at most the input. If `ceil`, a window may end behind the padding, where it
    /// begins before it.
    ///
    /// # Errors
    /// As [`new`](Window::new); and if a window may miss the input.
    pub fn pooling(
        name: &'static str,
        [input, taps, stride, dilation, padding]: [usize; 5],
        ceil: bool,
    ) -> Result<Window, ProblemError> {
        let over = if ceil { overhang([input, taps, stride, dilation, padding]) } else { 0 };
        let after = padding.checked_add(over).ok_or(ProblemError::Overflow { what: "padded input" })?;
        let window = Window::new(name, [input, taps, stride, dilation, padding, after])?;
        if padding > taps / 2 {
            let message = format!("{name}: a padding of {padding} is more than half of {taps} taps");
            return Err(ProblemError::Conflict(message));
        }
        if window.dilation > input {
            let message = format!("{name}: taps {dilation} apart may all miss an input of {input}");
            return Err(ProblemError::Conflict(message));
        }
        Ok(window)
    }

    /// So many windows over all of the input: window i from ⌊i·input/output⌋ to ⌈(i + 1)·input/output⌉.
    ///
    /// # Errors
    /// [`ProblemError`] if there is no input or no output, or if their product overflows.
    pub fn adaptive(name: &'static str, input: usize, output: usize) -> Result<Window, ProblemError> {
        if input == 0 || output == 0 {
            return Err(ProblemError::Conflict(format!("{name}: input and output are at least 1")));
        }
        elements("input times output", &[input, output])?;
        let (each, rest) = (input / output, input % output);
        let (taps, stride) = if rest == 0 { (each, each) } else { (each + 2, 0) };
        Ok(Window { input, taps, stride, dilation: 1, before: 0, after: 0, output })
    }

    /// The elements of the input under the window of an output: the first one, and their number. They are the dilation
    /// apart.
    #[inline]
    pub fn span(&self, output: usize) -> (usize, usize) {
        if self.stride == 0 {
            let first = output * self.input / self.output;
            return (first, ((output + 1) * self.input).div_ceil(self.output) - first);
        }
        let start = output * self.stride;
        if self.dilation == 1 {
            let first = start.saturating_sub(self.before);
            return (first, (start + self.taps - self.before).min(self.input) - first);
        }
        // Taps on the padding.
        let missed = self.before.saturating_sub(start).div_ceil(self.dilation);
        let first = start + missed * self.dilation - self.before;
        let there = if first < self.input { 1 + (self.input - 1 - first) / self.dilation } else { 0 };
        (first, there.min(self.taps - missed))
    }

    /// The windows of a pooling, of taps side by side, that an element of the input lies under: the first one, and
    /// their number.
    #[inline]
    pub fn covering(&self, at: usize) -> (usize, usize) {
        let (first, end) = if self.stride == 0 {
            (at * self.output / self.input, ((at + 1) * self.output).div_ceil(self.input))
        } else {
            let place = at + self.before;
            ((place + 1).saturating_sub(self.taps).div_ceil(self.stride), (place / self.stride + 1).min(self.output))
        };
        (first, end.saturating_sub(first))
    }

    /// Windows that an element of the input lies under, at most.
    pub(super) fn shared(&self) -> usize {
        if self.stride == 0 { self.output.div_ceil(self.input) + 1 } else { self.taps.min(self.output) }
    }

    /// Whether there is one window, and all of the input lies under it.
    pub fn is_whole(&self) -> bool {
        self.output == 1 && self.span(0) == (0, self.input)
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

/// How far a last window reaches behind the padding, if it may: it begins on the input or before it.
fn overhang([input, taps, stride, dilation, padding]: [usize; 5]) -> usize {
    let padded = input.saturating_add(padding).saturating_add(padding);
    let reach = taps.saturating_sub(1).saturating_mul(dilation).saturating_add(1);
    let stride = stride.max(1);
    let Some(rest) = padded.checked_sub(reach) else {
        // Already the first one.
        return Some(reach - padded).filter(|&over| over < stride).unwrap_or(0);
    };
    let last = rest.div_ceil(stride).checked_mul(stride).filter(|&start| start < input.saturating_add(padding));
    last.map_or(0, |start| start - rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outputs(sizes: [usize; 5], ceil: bool) -> Option<usize> {
        Window::pooling("rows", sizes, ceil).ok().map(|window| window.output)
    }

    #[test]
    fn a_last_window_may_overhang() {
        let both = |sizes| [outputs(sizes, false), outputs(sizes, true)];
        assert_eq!(both([5, 2, 2, 1, 1]), [Some(3), Some(3)]);
        assert_eq!([6, 7].map(|input| outputs([input, 1, 2, 1, 0], true)), [Some(3), Some(4)]);
        assert_eq!([8, 10].map(|input| outputs([input, 3, 4, 1, 0], true)), [Some(2), Some(3)]);
        assert_eq!(both([5, 2, 2, 1, 0]), [Some(2), Some(3)]);
        assert_eq!(both([5, 2, 1, 1, 0]), [Some(4), Some(4)]);
        // Larger than the input.
        assert_eq!(both([2, 3, 2, 1, 0]), [None, Some(1)]);
        assert_eq!(both([2, 4, 2, 1, 0]), [None, None]);
    }

    /// The windows over an element: the first one and their number. Which one is first of none does not matter.
    fn over(window: &Window, at: usize) -> (usize, usize) {
        let there = |i: &usize| (window.span(*i).0..).take(window.span(*i).1).any(|place| place == at);
        let all: Vec<usize> = (0..window.output).filter(there).collect();
        (all.first().copied().unwrap_or(window.covering(at).0), all.len())
    }

    #[test]
    fn spans_are_the_taps_that_fall_on_the_input() {
        for sizes in ndarray::indices([7, 5, 4, 3, 3]) {
            let (input, taps, stride, dilation, padding) = sizes;
            for ceil in [false, true] {
                let sizes = [input + 1, taps + 1, stride + 1, dilation + 1, padding];
                let Ok(window) = Window::pooling("rows", sizes, ceil) else { continue };
                for output in 0..window.output {
                    let met: Vec<usize> = (0..window.taps).filter_map(|tap| window.index(output, tap)).collect();
                    assert_eq!(window.span(output), (met[0], met.len()), "{window:?}: {output}");
                }
                if window.dilation == 1 {
                    (0..window.input)
                        .for_each(|at| assert_eq!(window.covering(at), over(&window, at), "{window:?}: {at}"));
                }
            }
        }
    }

    #[test]
    fn adaptive_windows_cover_the_input() {
        for (input, output) in (1..12).flat_map(|input| (1..12).map(move |output| (input, output))) {
            let window = Window::adaptive("rows", input, output).expect("a window");
            let mut covered = 0;
            for i in 0..output {
                let (first, count) = window.span(i);
                assert!(first <= covered && count >= 1 && count <= window.taps, "{window:?}: {i}");
                covered = first + count;
            }
            assert_eq!(covered, input);
            for at in 0..input {
                assert_eq!(window.covering(at), over(&window, at), "{window:?}: {at}");
                assert!(window.covering(at).1 <= window.shared(), "{window:?}");
            }
        }
    }
}

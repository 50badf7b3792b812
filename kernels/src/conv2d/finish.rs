//! What becomes of the sums of an output channel, in registers.

use crate::isa::wide::{Vectors, Wide};

/// What becomes of sums of one channel, or of a vector of channels: `relu(sum·scale + bias)`.
#[derive(Clone, Copy)]
pub struct Finish<F> {
    /// Factors.
    pub scale: Option<F>,
    /// Summands.
    pub bias: Option<F>,
    /// Whether ReLU follows.
    pub relu: bool,
}

impl<F: Copy> Finish<F> {
    /// That of one channel, if the vectors are there.
    #[inline(always)]
    pub fn of_channel<T: Vectors, L: Wide<T, F = F>>(
        l: L,
        scale: &[T],
        bias: &[T],
        relu: bool,
        channel: usize,
    ) -> Finish<F> {
        let splat = |vector: &[T]| vector.get(channel).map(|&x| l.splat(x));
        Finish { scale: splat(scale), bias: splat(bias), relu }
    }

    /// Finished sums.
    #[inline(always)]
    pub fn of<T: Vectors, L: Wide<T, F = F>>(&self, l: L, sum: F) -> F {
        let y = self.scale.map_or(sum, |scale| l.mul(sum, scale));
        let y = self.bias.map_or(y, |bias| l.add(y, bias));
        if self.relu { l.relu(y) } else { y }
    }

    /// Finished sums of a chunk. It is added to +0 first, as everywhere: what underflowed to −0 becomes +0.
    #[inline(always)]
    pub fn of_chunk<T: Vectors, L: Wide<T, F = F>>(&self, l: L, sum: F) -> F {
        self.of(l, l.add(l.splat(T::default()), sum))
    }
}

//! What happens to a sum: α, β·C, scale, bias, activation.

use std::ops::Range;

use etalon_reference::ops::gemm::Activation;

use super::Float;
use crate::faults::fault;

/// How a chunk's sums enter C.
#[derive(Clone, Copy, Debug)]
pub struct Fold<'a, T> {
    /// Factor of the sums.
    pub alpha: T,
    /// Factor of C before the first chunk; with 0, C is not read.
    pub beta: T,
    /// This is the first chunk.
    pub first: bool,
    /// This is the last chunk: the finish follows.
    pub last: bool,
    /// What becomes of a sum in the end.
    pub finish: Finish<'a, T>,
}

/// What becomes of a sum in the end: `act(t·scale + bias)`, each step rounded.
#[derive(Clone, Copy, Debug)]
pub struct Finish<'a, T> {
    /// Factors.
    pub scale: Option<&'a [T]>,
    /// Summands.
    pub bias: Option<&'a [T]>,
    /// Which index the two vectors have.
    pub along: Along,
    /// Activation.
    pub activation: Activation,
}

/// An index of C.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Along {
    /// The row's.
    Rows,
    /// The column's.
    Columns,
}

impl<'a, T: Float> Finish<'a, T> {
    /// That of some rows and columns.
    #[inline]
    pub fn part(&self, rows: Range<usize>, cols: Range<usize>) -> Finish<'a, T> {
        let range = if self.along == Along::Rows { rows } else { cols };
        let cut = |vector: Option<&'a [T]>| vector.map(|vector| &vector[range.clone()]);
        Finish { scale: cut(self.scale), bias: cut(self.bias), ..*self }
    }

    /// Whether sums stay as they are.
    pub fn is_nothing(&self) -> bool {
        self.scale.is_none() && self.bias.is_none() && self.activation == Activation::None
    }

    /// What becomes of the sum in row `i`, column `j`.
    #[inline(always)]
    pub fn value(&self, t: T, i: usize, j: usize) -> T {
        let index = if self.along == Along::Rows { i } else { j };
        let t = self.scale.map_or(t, |scale| t * scale[index]);
        let t = self.bias.map_or(t, |bias| t + bias[index]);
        match self.activation {
            Activation::None => t,
            Activation::Relu => {
                let nan = fault!("gemm.relu-drops-nan") && t.partial_cmp(&t).is_none();
                if t < T::default() || nan { T::default() } else { t }
            }
            Activation::Gelu => t.gelu(),
        }
    }
}

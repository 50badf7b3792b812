//! Where the rows of heads lie, and what a query sees.

use etalon_reference::dtype::Flag;
use etalon_reference::operator::downcast;
use etalon_reference::ops::attention::{Attention, Mask};

use crate::call::{Call, elements};
use crate::disjoint::Disjoint;
use crate::faults::fault;
use crate::gemm::Float;
use crate::kernel::KernelError;
use crate::pool::Pool;
use crate::workspace::Workspace;

/// The operands of a call.
pub struct Operands<'a, T> {
    pub p: &'a Attention,
    pub sight: Sight<'a, T>,
    pub q: &'a [T],
    pub k: &'a [T],
    pub v: &'a [T],
    pub y: Disjoint<'a, T>,
    /// Empty if it is not wanted.
    pub lse: Disjoint<'a, T>,
}

/// What queries see, and where rows lie.
#[derive(Clone, Copy)]
pub struct Sight<'a, T> {
    pub p: &'a Attention,
    pub mask: Given<'a, T>,
    pub lengths: &'a [i64],
}

/// A mask, Sq×Sk.
#[derive(Clone, Copy)]
pub enum Given<'a, T> {
    None,
    Flags(&'a [Flag]),
    Added(&'a [T]),
}

/// The rows of one head in memory.
#[derive(Clone, Copy)]
pub struct Rows {
    /// Where the first one starts.
    pub start: usize,
    /// Elements from one to the next.
    pub stride: usize,
}

impl Rows {
    /// Where row `i` starts.
    #[inline]
    pub fn row(&self, i: usize) -> usize {
        self.start + i * self.stride
    }
}

/// Of head `h` of `heads` of sequence `b`: `rows` rows of `width` elements.
fn rows(p: &Attention, (b, h): (usize, usize), heads: usize, rows: usize, width: usize) -> Rows {
    if p.by_rows {
        Rows { start: (b * rows * heads + h) * width, stride: heads * width }
    } else {
        Rows { start: (b * heads + h) * rows * width, stride: width }
    }
}

impl<'a, T: Float> Operands<'a, T> {
    /// Those of a call.
    pub fn of<'c: 'a>(call: &'a mut Call<'c>) -> Result<(Operands<'a, T>, &'c Pool, &'a mut Workspace), KernelError> {
        let p: &Attention = downcast(call.problem());
        let sight = Sight::of(p, call, 3)?;
        let [q, k, v] = [0, 1, 2].map(|i| call.input::<T>(i));
        let pool = call.pool();
        let ([y, lse], workspace) = call.outputs();
        let (y, lse) = (Disjoint::new(elements(y)), Disjoint::new(elements(lse)));
        Ok((Operands { p, sight, q, k, v, y, lse }, pool, workspace))
    }
}

/// The lengths that input `index` of a call holds.
pub fn lengths<'a>(p: &Attention, call: &Call<'a>, index: usize) -> Result<&'a [i64], KernelError> {
    let lengths = call.input::<i64>(index);
    match lengths.iter().find(|length| !(0..=p.keys as i64).contains(length)) {
        Some(&found) => Err(KernelError::OutOfRange { operand: "lengths", found, end: p.keys + 1 }),
        None => Ok(lengths),
    }
}

impl<'a, T: Float> Sight<'a, T> {
    /// Of a call whose input `first` is the mask, and the next one the lengths.
    pub fn of(p: &'a Attention, call: &Call<'a>, first: usize) -> Result<Sight<'a, T>, KernelError> {
        let mask = match p.mask {
            Mask::No => Given::None,
            Mask::Bool => Given::Flags(call.input(first)),
            Mask::Add => Given::Added(call.input(first)),
        };
        Ok(Sight { p, mask, lengths: lengths(p, call, first + 1)? })
    }

    /// The rows of q of head `h` of queries.
    pub fn rows_of_q(&self, b: usize, h: usize) -> Rows {
        rows(self.p, (b, h), self.p.query_heads(), self.p.queries, self.p.depth)
    }

    /// The rows of y.
    pub fn rows_of_y(&self, b: usize, h: usize) -> Rows {
        rows(self.p, (b, h), self.p.query_heads(), self.p.queries, self.p.width)
    }

    /// The rows of k of head `h` of keys.
    pub fn rows_of_k(&self, b: usize, h: usize) -> Rows {
        rows(self.p, (b, h), self.p.heads, self.p.keys, self.p.depth)
    }

    /// The rows of v.
    pub fn rows_of_v(&self, b: usize, h: usize) -> Rows {
        rows(self.p, (b, h), self.p.heads, self.p.keys, self.p.width)
    }

    /// Keys from the first that query `i` of sequence `b` may see, for all that diagonal and length say.
    #[inline]
    pub fn limit(&self, b: usize, i: usize) -> usize {
        let b = if fault!("attention.first-length") { 0 } else { b };
        let length = self.lengths.get(b).map_or(self.p.keys, |&length| length as usize);
        self.p.before_diagonal(i).min(length)
    }

    /// Whether the mask lets query `i` see key `j`.
    #[inline]
    pub fn mask_lets(&self, i: usize, j: usize) -> bool {
        match self.mask {
            Given::None => true,
            Given::Flags(flags) => flags[i * self.p.keys + j].0 != 0,
            Given::Added(added) => added[i * self.p.keys + j] != T::from_f64(f64::NEG_INFINITY),
        }
    }

    /// What scores are multiplied with: they are logarithms to the base 2.
    pub fn alpha(&self) -> T {
        T::from_f64(self.p.scale * std::f64::consts::LOG2_E)
    }
}

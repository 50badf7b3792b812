//! The operands of a call.

use etalon_reference::operator::downcast;
use etalon_reference::ops::attention::Attention;
use etalon_reference::ops::attention_backward::AttentionBackward;

use crate::attention::operands::Sight;
use crate::call::{Call, elements};
use crate::disjoint::Disjoint;
use crate::faults::fault;
use crate::isa::Isa;
use crate::isa::wide::{Wide, Work, with_lanes};
use crate::kernel::KernelError;
use crate::math::{Numbers, Numeric};
use crate::pool::Pool;
use crate::workspace::Workspace;

/// The operands of a call. The gradients are 0 at the start.
pub struct Operands<'a, T> {
    pub p: &'a Attention,
    pub sight: Sight<'a, T>,
    pub dy: &'a [T],
    pub q: &'a [T],
    pub k: &'a [T],
    pub v: &'a [T],
    pub y: &'a [T],
    pub lse: &'a [T],
    pub dq: Disjoint<'a, T>,
    pub dk: Disjoint<'a, T>,
    pub dv: Disjoint<'a, T>,
}

impl<'a, T: Numeric> Operands<'a, T> {
    /// Those of a call.
    pub fn of<'c: 'a>(call: &'a mut Call<'c>) -> Result<(Operands<'a, T>, &'c Pool, &'a mut Workspace), KernelError> {
        let p = &downcast::<AttentionBackward>(call.problem()).forward;
        let sight = Sight::of(p, call, 4)?;
        let [dy, q, k, v, y, lse] = [0, 1, 2, 3, 6, 7].map(|i| call.input::<T>(i));
        let pool = call.pool();
        let (outputs, workspace) = call.outputs();
        let [dq, dk, dv] = outputs.map(|output| {
            let output = elements::<T>(output);
            output.fill(T::default());
            Disjoint::new(output)
        });
        Ok((Operands { p, sight, dy, q, k, v, y, lse, dq, dk, dv }, pool, workspace))
    }

    /// Rows of queries that share a head of keys: those of one head of queries after those of another.
    pub fn rows(&self) -> usize {
        self.p.group * self.p.queries
    }

    /// Head of queries and query of a row of head `h` of keys.
    pub fn of_row(&self, h: usize, row: usize) -> (usize, usize) {
        (h * self.p.group + row / self.p.queries, row % self.p.queries)
    }

    /// The logarithm of a row, to the base 2; 0 where it is −∞, as there are no powers then.
    pub fn base(&self, b: usize, head: usize, query: usize) -> T {
        let lse = self.lse[(b * self.p.query_heads() + head) * self.p.queries + query];
        if lse == T::from_f64(f64::NEG_INFINITY) && !fault!("attention_backward.empty-row") {
            return T::default();
        }
        T::single().mul(lse, T::from_f64(std::f64::consts::LOG2_E))
    }

    /// δ of a row: Σ dy·y.
    pub fn product(&self, isa: Isa, b: usize, head: usize, query: usize) -> T {
        let place = self.sight.rows_of_y(b, head).row(query)..;
        let (dy, y) = (&self.dy[place.clone()][..self.p.width], &self.y[place][..self.p.width]);
        with_lanes(isa, Entered(dy, y)).expect("the kernel has its instructions")
    }
}

/// A sum of products: a chain of vectors, then lanes by halves.
struct Dot<'a, T>(&'a [T], &'a [T]);

/// The same, in a function that has the level's instructions.
struct Entered<'a, T>(&'a [T], &'a [T]);

impl<T: Numeric> Work<T> for Entered<'_, T> {
    type Output = T;

    #[inline(always)]
    fn run<L: Wide<T>>(self, l: L) -> T {
        l.enter(Dot(self.0, self.1))
    }
}

impl<T: Numeric> Work<T> for Dot<'_, T> {
    type Output = T;

    #[inline(always)]
    fn run<L: Wide<T>>(self, l: L) -> T {
        let ((x, x_rest), (y, y_rest)) = (T::chunks(self.0), T::chunks(self.1));
        let mut sum = l.splat(T::default());
        for (x, y) in x.iter().zip(y) {
            sum = l.fma(l.load(x), l.load(y), sum);
        }
        if !x_rest.is_empty() {
            sum = l.fma(l.load_first(x_rest), l.load_first(y_rest), sum);
        }
        l.sum(sum)
    }
}

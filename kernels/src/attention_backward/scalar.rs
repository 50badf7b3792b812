//! One pair after the other, in the operator's order.

use std::ops::Range;

use etalon_reference::ops::attention::BLOCK;
use etalon_reference::ops::gemm::CHUNK;

use super::operands::Operands;
use super::pairs::pair;
use crate::attention::scalar::score;
use crate::disjoint::Disjoint;
use crate::isa::Isa;
use crate::math::{Numbers, Numeric};
use crate::pool::Pool;
use crate::workspace::Workspace;

/// All gradients: a head of keys a task.
pub fn gradients<T: Numeric>(o: &Operands<'_, T>, pool: &Pool, workspace: &mut Workspace) {
    let share = 2 * BLOCK * BLOCK;
    let scratch = Disjoint::new(workspace.slice::<T>(share * pool.threads()));
    pool.run(o.p.batch * o.p.heads, |task, worker| {
        // SAFETY: a worker runs one task at a time, and no other worker has its index.
        let scratch = unsafe { scratch.part(worker * share..(worker + 1) * share) };
        let head = Head { o, b: task / o.p.heads, h: task % o.p.heads };
        for first in (0..o.rows()).step_by(BLOCK) {
            let rows = first..o.rows().min(first + BLOCK);
            for first in (0..o.p.keys).step_by(BLOCK) {
                head.block(rows.clone(), first..o.p.keys.min(first + BLOCK), scratch);
            }
        }
    });
}

struct Head<'a, T> {
    o: &'a Operands<'a, T>,
    b: usize,
    h: usize,
}

impl<T: Numeric> Head<'_, T> {
    fn sees(&self, query: usize, key: usize) -> bool {
        key < self.o.sight.limit(self.b, query) && self.o.sight.mask_lets(query, key)
    }

    /// The pairs of a block of rows and a block of keys.
    fn block(&self, rows: Range<usize>, keys: Range<usize>, scratch: &mut [T]) {
        let (o, n, p) = (self.o, T::single(), self.o.p);
        let (powers, slopes) = scratch.split_at_mut(BLOCK * BLOCK);
        let at = |row: usize, key: usize| (row - rows.start) * BLOCK + key - keys.start;
        for row in rows.clone() {
            let (head, query) = o.of_row(self.h, row);
            let (base, delta) = (o.base(self.b, head, query), o.product(Isa::Scalar, self.b, head, query));
            let q = &o.q[o.sight.rows_of_q(self.b, head).row(query)..][..p.depth];
            let dy = &o.dy[o.sight.rows_of_y(self.b, head).row(query)..][..p.width];
            for key in keys.clone().filter(|&key| self.sees(query, key)) {
                let k = &o.k[o.sight.rows_of_k(self.b, self.h).row(key)..][..p.depth];
                let v = &o.v[o.sight.rows_of_v(self.b, self.h).row(key)..][..p.width];
                let score = score(&o.sight, n, q, k, (query, key));
                let product = dy.chunks(CHUNK).zip(v.chunks(CHUNK)).fold(T::default(), |total, (dy, v)| {
                    total + dy.iter().zip(v).fold(T::default(), |sum, (&dy, &v)| n.fma(v, dy, sum))
                });
                (powers[at(row, key)], slopes[at(row, key)]) = pair(n, score, product, base, delta);
            }
        }
        let of_rows = |key: usize, factors: &[T], x: &[T], start: &dyn Fn(usize, usize) -> usize| {
            let seen = rows.clone().map(|row| (row, o.of_row(self.h, row))).filter(|(_, (_, i))| self.sees(*i, key));
            seen.fold(T::default(), |sum, (row, (head, i))| n.fma(factors[at(row, key)], x[start(head, i)], sum))
        };
        let scale = T::from_f64(p.scale);
        for key in keys.clone() {
            let (dk, dv) = (o.sight.rows_of_k(self.b, self.h).row(key), o.sight.rows_of_v(self.b, self.h).row(key));
            // SAFETY: tasks have different heads, and each task runs once.
            let (dk, dv) = unsafe { (o.dk.part(dk..dk + p.depth), o.dv.part(dv..dv + p.width)) };
            for (c, dv) in dv.iter_mut().enumerate() {
                let start = |head, i| o.sight.rows_of_y(self.b, head).row(i) + c;
                *dv = *dv + of_rows(key, powers, o.dy, &start);
            }
            for (c, dk) in dk.iter_mut().enumerate() {
                let start = |head, i| o.sight.rows_of_q(self.b, head).row(i) + c;
                *dk = n.fma(scale, of_rows(key, slopes, o.q, &start), *dk);
            }
        }
        for row in rows.clone() {
            let (head, query) = o.of_row(self.h, row);
            let dq = o.sight.rows_of_q(self.b, head).row(query);
            // SAFETY: as above.
            let dq = unsafe { o.dq.part(dq..dq + p.depth) };
            for (c, dq) in dq.iter_mut().enumerate() {
                let seen = keys.clone().filter(|&key| self.sees(query, key));
                let k = |key: usize| o.k[o.sight.rows_of_k(self.b, self.h).row(key) + c];
                let sum = seen.fold(T::default(), |sum, key| n.fma(slopes[at(row, key)], k(key), sum));
                *dq = n.fma(scale, sum, *dq);
            }
        }
    }
}

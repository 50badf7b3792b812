//! One query after the other, in the operator's order.

use etalon_reference::ops::attention::BLOCK;
use etalon_reference::ops::gemm::CHUNK;

use super::operands::{Given, Operands, Sight};
use crate::disjoint::Disjoint;
use crate::math::{Beside, Numbers, Numeric, reciprocal};
use crate::pool::Pool;
use crate::workspace::Workspace;

/// All outputs: a head of queries a task.
pub fn attend<T: Numeric>(o: &Operands<'_, T>, pool: &Pool, workspace: &mut Workspace) {
    let (heads, width) = (o.p.query_heads(), o.p.width);
    let scratch = Disjoint::new(workspace.slice::<T>(2 * width * pool.threads()));
    pool.run(o.p.batch * heads, |task, worker| {
        let (b, h) = (task / heads, task % heads);
        // SAFETY: a worker runs one task at a time, and no other worker has its index.
        let (sums, of_block) =
            unsafe { scratch.part(2 * width * worker..2 * width * (worker + 1)) }.split_at_mut(width);
        for i in 0..o.p.queries {
            let (largest, sum) = row(o, T::single(), (b, h, i), sums, of_block);
            let place = o.sight.rows_of_y(b, h).row(i);
            // SAFETY: tasks have different heads, and each task runs once.
            let (y, lse) = unsafe { (o.y.part(place..place + o.p.width), o.lse.part(of_lse(o, task, i))) };
            let (n, zero) = (T::single(), T::default());
            let nothing = sum == zero;
            let inverse = reciprocal(sum);
            for (y, &x) in y.iter_mut().zip(&*sums) {
                *y = if nothing { zero } else { n.mul(x, inverse) };
            }
            lse.fill(n.fma(largest, T::from_f64(std::f64::consts::LN_2), n.log(sum)));
        }
    });
}

/// Where the logarithm of a row stands, if it is wanted.
pub fn of_lse<T>(o: &Operands<'_, T>, head: usize, i: usize) -> std::ops::Range<usize> {
    let place = head * o.p.queries + i;
    if o.p.logarithms { place..place + 1 } else { 0..0 }
}

/// One query: its largest score and the sum of its powers; the sums over v.
fn row<T: Numeric>(
    o: &Operands<'_, T>,
    n: impl Beside<T, V = T>,
    (b, h, i): (usize, usize, usize),
    sums: &mut [T],
    of_block: &mut [T],
) -> (T, T) {
    let (k, v) = (o.sight.rows_of_k(b, h / o.p.group), o.sight.rows_of_v(b, h / o.p.group));
    let q = &o.q[o.sight.rows_of_q(b, h).row(i)..][..o.p.depth];
    let (zero, lowest) = (T::default(), T::from_f64(f64::NEG_INFINITY));
    let (mut largest, mut sum) = (lowest, zero);
    let mut scores = [zero; BLOCK];
    sums.fill(zero);
    let limit = o.sight.limit(b, i);
    for first in (0..limit).step_by(BLOCK) {
        let scores = &mut scores[..BLOCK.min(limit - first)];
        for (j, score) in scores.iter_mut().enumerate() {
            *score = self::score(&o.sight, n, q, &o.k[k.row(first + j)..][..o.p.depth], (i, first + j));
        }
        let before = largest;
        for &score in &*scores {
            largest = n.max(score, largest);
        }
        let base = if largest == lowest { zero } else { largest };
        let correction = n.exp2_below_0(n.sub(before, base));
        let mut powers = zero;
        of_block.fill(zero);
        for (j, &score) in scores.iter().enumerate() {
            let p = n.exp2_below_0(n.sub(score, base));
            powers = powers + p;
            if o.sight.mask_lets(i, first + j) {
                let v = &o.v[v.row(first + j)..][..o.p.width];
                of_block.iter_mut().zip(v).for_each(|(sum, &v)| *sum = n.fma(p, v, *sum));
            }
        }
        sum = n.mul(sum, correction) + powers;
        for (sum, &more) in sums.iter_mut().zip(&*of_block) {
            *sum = n.mul(*sum, correction) + more;
        }
    }
    (largest, sum)
}

/// The score of a key, as a logarithm to the base 2.
pub fn score<T: Numeric>(sight: &Sight<'_, T>, n: impl Numbers<V = T>, q: &[T], k: &[T], (i, j): (usize, usize)) -> T {
    let alpha = sight.alpha();
    let mut score = T::default();
    for (q, k) in q.chunks(CHUNK).zip(k.chunks(CHUNK)) {
        let chunk = q.iter().zip(k).fold(T::default(), |sum, (&q, &k)| n.fma(k, q, sum));
        score = n.fma(alpha, chunk, score);
    }
    match sight.mask {
        _ if !sight.mask_lets(i, j) => T::from_f64(f64::NEG_INFINITY),
        Given::Added(added) => n.fma(added[i * sight.p.keys + j], T::from_f64(std::f64::consts::LOG2_E), score),
        _ => score,
    }
}

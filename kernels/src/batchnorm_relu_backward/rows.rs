//! NHWC: a row holds all channels of a pixel, and a group of rows is a task.
//!
//! ```text
//! for each group, for each chunk of it:  Σg, Σg·(x − μ), channel by channel
//! add the groups in order
//! for each row, the last one first:  dx = γr·g − (γr·dβ/n + (x − μ)·γr²·dγ/n);  dresidual = g
//! ```

use etalon_reference::ops::batchnorm_relu_backward::BatchnormReluBackward;

use super::formula::{Gate, Gradient, Products, products};
use super::operands::{Backward, Coefficients};
use crate::batchnorm_relu::{AHEAD, Cut, Each, Same, map, over_rows, streams};
use crate::disjoint::Disjoint;
use crate::faults::fault;
use crate::isa::arrays;
use crate::isa::wide::{Wide, Work};
use crate::pool::Pool;
use crate::workspace::Workspace;

/// All gradients.
pub fn backward<L: Wide, const RELU: bool>(
    l: L,
    p: &BatchnormReluBackward,
    o: Backward<'_>,
    pool: &Pool,
    workspace: &mut Workspace,
) {
    let c = p.images.c;
    let cut = Cut::new(p.images.count(), c);
    let (groups, threads) = (cut.groups(), pool.threads());
    let ([sums, products], [scratch, params]) =
        workspace.slices2::<f64, f32, 2, 2>([groups * c, groups * c], [threads * 2 * c, 4 * c]);
    let (dy, x, y, mean) = (o.dy, o.x, o.y, o.saved_mean);

    let [all_sums, all_products] = [&mut *sums, &mut *products].map(Disjoint::new);
    let all_scratch = Disjoint::new(scratch);
    pool.run(groups, |g, worker| {
        // SAFETY: a group is a task of its own, and no two tasks of a worker run at once.
        let (sum, product, scratch) = unsafe {
            let own = g * c..(g + 1) * c;
            (all_sums.part(own.clone()), all_products.part(own), all_scratch.part(worker * 2 * c..(worker + 1) * 2 * c))
        };
        l.enter(Group::<RELU> { dy, x, y, mean, cut, g, sum, product, scratch });
    });

    for i in 0..c {
        let wrong = fault!("batchnorm_relu_backward.second-group");
        let total = |of: &[f64]| if wrong { of[i] } else { of[i..].iter().step_by(c).sum::<f64>() };
        let k = Coefficients::new(o.gamma, mean[i], o.saved_rstd[i], i, cut.rows, (total(sums), total(products)));
        for (j, param) in k.params.into_iter().enumerate() {
            params[j * c + i] = param;
        }
        if p.affine {
            (o.dgamma[i], o.dbeta[i]) = (k.dgamma, k.dbeta);
        }
    }

    let (params, tasks, stream) = (&*params, cut.rows.div_ceil(cut.task()), streams(&p.images));
    let [dx, dresidual] = [o.dx, o.dresidual].map(Disjoint::new);
    pool.run(tasks, |task, _| {
        // The last rows are the ones that the caches still hold.
        let task = tasks - 1 - task;
        let range = task * cut.task() * c..cut.rows.min((task + 1) * cut.task()) * c;
        // SAFETY: the tasks' rows do not overlap.
        let (dx, dresidual) = unsafe { (dx.part(range.clone()), p.residual.then(|| dresidual.part(range.clone()))) };
        let (dy, x, y) = (&dy[range.clone()], &x[range.clone()], if RELU { &y[range] } else { y });
        if stream {
            l.enter(Apply::<RELU, true> { dy, x, y, params, dx, dresidual });
        } else {
            l.enter(Apply::<RELU, false> { dy, x, y, params, dx, dresidual });
        }
    });
}

/// `Σg` and `Σg·(x − μ)` of the rows of a group, for each channel.
struct Group<'a, const RELU: bool> {
    dy: &'a [f32],
    x: &'a [f32],
    y: &'a [f32],
    mean: &'a [f32],
    cut: Cut,
    g: usize,
    sum: &'a mut [f64],
    product: &'a mut [f64],
    /// The sums of a chunk.
    scratch: &'a mut [f32],
}

impl<const RELU: bool> Work for Group<'_, RELU> {
    type Output = ();

    #[inline(always)]
    fn run<L: Wide>(self, l: L) {
        let Group { dy, x, y, mean, cut, g, sum, product, scratch } = self;
        let c = cut.channels;
        let (sums, prods) = scratch.split_at_mut(c);
        sum.fill(0.0);
        product.fill(0.0);
        let rows = cut.group_rows(g);
        for start in rows.clone().step_by(cut.chunk) {
            let end = rows.end.min(start + cut.chunk);
            let range = start * c..end * c;
            let (dy, x, y) = (&dy[range.clone()], &x[range.clone()], if RELU { &y[range] } else { y });
            sums.fill(0.0);
            prods.fill(0.0);
            if RELU {
                over_rows(l, Products, [dy, x, y], [mean], [&mut *sums, &mut *prods], c, end - start);
            } else {
                over_rows(l, Products, [dy, x], [mean], [&mut *sums, &mut *prods], c, end - start);
            }
            let finite = sums.iter().chain(prods.iter()).fold(true, |finite, x| finite & x.is_finite());
            for i in 0..c {
                let own = if finite || (sums[i].is_finite() && prods[i].is_finite()) {
                    (f64::from(sums[i]), f64::from(prods[i]))
                } else {
                    let indices = (i..dy.len()).step_by(c);
                    products(indices.map(|j| (dy[j], x[j], RELU.then(|| y[j]))), mean[i])
                };
                (sum[i], product[i]) = (sum[i] + own.0, product[i] + own.1);
            }
        }
    }
}

/// dx and dresidual of some rows.
struct Apply<'a, const RELU: bool, const STREAM: bool> {
    dy: &'a [f32],
    x: &'a [f32],
    y: &'a [f32],
    /// Four vectors, as [`Coefficients::params`].
    params: &'a [f32],
    dx: &'a mut [f32],
    dresidual: Option<&'a mut [f32]>,
}

impl<const RELU: bool, const STREAM: bool> Work for Apply<'_, RELU, STREAM> {
    type Output = ();

    #[inline(always)]
    fn run<L: Wide>(mut self, l: L) {
        let c = self.params.len() / 4;
        let params = Each(arrays::from_fn(|j| &self.params[j * c..(j + 1) * c]));
        for (row, dx) in self.dx.chunks_exact_mut(c.max(1)).enumerate() {
            let range = row * c..(row + 1) * c;
            let (dy, x) = (&self.dy[range.clone()], &self.x[range.clone()]);
            if RELU {
                map::<L, _, 3, 4, STREAM>(l, Gradient, [dy, x, &self.y[range.clone()]], params, dx, [AHEAD; 3]);
            } else {
                map::<L, _, 2, 4, STREAM>(l, Gradient, [dy, x], params, dx, [AHEAD; 2]);
            }
            let Some(dresidual) = &mut self.dresidual else { continue };
            let dresidual = &mut dresidual[range.clone()];
            if RELU {
                map::<L, _, 2, 0, STREAM>(l, Gate, [dy, &self.y[range]], Same([]), dresidual, [0; 2]);
            } else {
                map::<L, _, 1, 0, STREAM>(l, Gate, [dy], Same([]), dresidual, [0]);
            }
        }
        if STREAM {
            l.fence();
        }
    }
}

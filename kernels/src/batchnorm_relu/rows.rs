//! NHWC: a row holds all channels of a pixel, and a group of rows is a task.
//!
//! ```text
//! for each group, for each chunk of it:  m = Σx / rows;  Σ(x − m), Σ(x − m)²;  merge, channel by channel
//! merge the groups in order
//! for each row, those of the last task first:  y = act((x − μ)·γ/σ + β + residual)
//! ```
//! Sums over rows are kept in vectors of all channels; four rows are added before such a vector is touched. A chunk stays
//! in the second cache between its two looks. Planes of one pixel (matrices) take this way too.

use etalon_reference::ops::batchnorm_relu::BatchnormRelu;

use super::formula::{FromMean, Normalise, Values};
use super::map::{Each, map};
use super::moments::{Deviations, Moments, Normalisation, Weights};
use super::operands::{Infer, Train, Vectors, at, running};
use super::sum::over_rows;
use crate::disjoint::Disjoint;
use crate::faults::fault;
use crate::isa::wide::{Wide, Work};
use crate::pool::Pool;
use crate::workspace::Workspace;

/// Elements of a chunk at most, if that leaves enough rows.
pub const CHUNK: usize = 64 * 1024;
/// Chunks of a group.
const CHUNKS: usize = 8;
/// Elements of a task of the last step, about.
const TASK: usize = 32 * 1024;

/// How many elements ahead of the last step the second cache fetches.
pub const AHEAD: usize = 4096;

/// How rows are cut; it depends on the shape alone.
#[derive(Clone, Copy, Debug)]
pub struct Cut {
    /// Rows in all.
    pub rows: usize,
    /// Channels: elements of a row.
    pub channels: usize,
    /// Rows of a chunk.
    pub chunk: usize,
}

impl Cut {
    /// For so many rows of so many channels.
    pub fn new(rows: usize, channels: usize) -> Cut {
        // Four rows at a time: chains of 128/4 + 2 additions.
        Cut { rows, channels, chunk: (CHUNK / channels.max(1)).clamp(8, 128) / 4 * 4 }
    }

    /// Rows of a group.
    pub fn group(&self) -> usize {
        self.chunk * CHUNKS
    }

    /// Groups.
    pub fn groups(&self) -> usize {
        self.rows.div_ceil(self.group())
    }

    /// Rows of group `g`.
    pub fn group_rows(&self, g: usize) -> std::ops::Range<usize> {
        g * self.group()..self.rows.min((g + 1) * self.group())
    }

    /// Rows of a task of the last step.
    pub fn task(&self) -> usize {
        (TASK / self.channels.max(1)).max(1)
    }
}

/// Training.
pub fn train<L: Wide>(l: L, p: &BatchnormRelu, o: Train<'_>, stream: bool, pool: &Pool, workspace: &mut Workspace) {
    let c = p.images.c;
    let mut cut = Cut::new(p.images.count(), c);
    if fault!("batchnorm_relu.cut-by-threads") && pool.threads() > 2 {
        cut.chunk = 8;
    }
    let (groups, threads) = (cut.groups(), pool.threads());
    let ([totals, squares], [scratch, centers, scales, shifts]) =
        workspace.slices2::<f64, f32, 2, 4>([groups * c; 2], [threads * 3 * c, c, c, c]);

    let (all_totals, all_squares, all_scratch) =
        (Disjoint::new(totals), Disjoint::new(squares), Disjoint::new(scratch));
    pool.run(groups, |g, worker| {
        // SAFETY: a group is a task of its own, and no two tasks of a worker run at once.
        let (total, square, scratch) = unsafe {
            let own = g * c..(g + 1) * c;
            (
                all_totals.part(own.clone()),
                all_squares.part(own),
                all_scratch.part(worker * 3 * c..(worker + 1) * 3 * c),
            )
        };
        l.enter(Group { x: o.x, cut, g, total, square, scratch });
    });

    let (total, other_totals) = totals.split_at_mut(c);
    let (square, other_squares) = squares.split_at_mut(c);
    for (g, (totals, squares)) in (1..).zip(other_totals.chunks(c.max(1)).zip(other_squares.chunks(c.max(1)))) {
        let before = if fault!("batchnorm_relu.third-group") { 1 } else { g };
        let weights = Weights::new((before * cut.group()) as f64, cut.group_rows(g).len() as f64);
        for i in 0..c {
            (total[i], square[i]) = weights.merged((total[i], square[i]), (totals[i], squares[i]));
        }
    }
    for i in 0..c {
        let moments = Moments::of(cut.rows as f64, (total[i], square[i]));
        let n = Normalisation::new(moments.mean(), moments.var(), p.eps, at(o.gamma, i, 1.0), at(o.beta, i, 0.0));
        moments.update(p, &mut o.running_mean[i], &mut o.running_var[i]);
        if fault!("batchnorm_relu.running-twice") && groups > 1 {
            moments.update(p, &mut o.running_mean[i], &mut o.running_var[i]);
        }
        (o.saved_mean[i], o.saved_rstd[i]) = (n.center, n.rstd);
        (centers[i], scales[i], shifts[i]) = (n.center, n.scale, n.shift);
    }
    apply(l, p, cut, o.x, o.residual, o.y, Vectors([centers, scales, shifts]), stream, pool);
}

/// Inference.
pub fn infer<L: Wide>(l: L, p: &BatchnormRelu, o: Infer<'_>, stream: bool, pool: &Pool, workspace: &mut Workspace) {
    let vectors = running(p, &o, workspace);
    apply(l, p, Cut::new(p.images.count(), p.images.c), o.x, o.residual, o.y, vectors, stream, pool);
}

/// Sums and squared deviations of the rows of a group, for each channel.
struct Group<'a> {
    x: &'a [f32],
    cut: Cut,
    g: usize,
    total: &'a mut [f64],
    square: &'a mut [f64],
    /// m, `Σ(x − m)`, `Σ(x − m)²`.
    scratch: &'a mut [f32],
}

impl Work for Group<'_> {
    type Output = ();

    #[inline(always)]
    fn run<L: Wide>(self, l: L) {
        let Group { x, cut, g, total, square, scratch } = self;
        let c = cut.channels;
        let (m, rest) = scratch.split_at_mut(c);
        let (sum, squares) = rest.split_at_mut(c);
        let rows = cut.group_rows(g);
        for start in rows.clone().step_by(cut.chunk) {
            let end = rows.end.min(start + cut.chunk);
            let count = end - start;
            let x = &x[start * c..end * c];
            m.fill(0.0);
            over_rows(l, Values, [x], [], [&mut *m], c, count);
            m.iter_mut().for_each(|m| *m *= 1.0 / count as f32);
            sum.fill(0.0);
            squares.fill(0.0);
            over_rows(l, FromMean, [x], [m], [&mut *sum, &mut *squares], c, count);

            let finite = sum.iter().chain(squares.iter()).fold(true, |finite, x| finite & x.is_finite());
            let before = start - rows.start;
            let weights = Weights::new(before.max(1) as f64, count as f64);
            for i in 0..c {
                let deviations = Deviations { count, m: m[i], sum: sum[i], squares: squares[i] };
                let column = || Moments::plain(x[i..].iter().step_by(c).copied()).sums();
                let own = if finite || deviations.are_finite() { deviations.sums() } else { column() };
                (total[i], square[i]) = if before == 0 { own } else { weights.merged((total[i], square[i]), own) };
            }
        }
    }
}

/// Splits the last step over tasks, and chooses the loop.
fn apply<L: Wide>(
    l: L,
    p: &BatchnormRelu,
    cut: Cut,
    x: &[f32],
    residual: &[f32],
    y: &mut [f32],
    vectors: Vectors<'_>,
    stream: bool,
    pool: &Pool,
) {
    let (c, tasks) = (cut.channels, cut.rows.div_ceil(cut.task()));
    let y = Disjoint::new(y);
    pool.run(tasks, |task, _| {
        // The last rows are the ones that the caches still hold.
        let task = tasks - 1 - task;
        let rows = task * cut.task()..cut.rows.min((task + 1) * cut.task());
        let range = rows.start * c..rows.end * c;
        // SAFETY: the tasks' rows do not overlap.
        let y = unsafe { y.part(range.clone()) };
        let (x, residual) = (&x[range.clone()], p.residual.then(|| &residual[range]));
        match (p.relu, stream) {
            (true, true) => l.enter(Apply::<true, true> { x, residual, vectors, y }),
            (true, false) => l.enter(Apply::<true, false> { x, residual, vectors, y }),
            (false, true) => l.enter(Apply::<false, true> { x, residual, vectors, y }),
            (false, false) => l.enter(Apply::<false, false> { x, residual, vectors, y }),
        }
    });
}

/// y of some rows.
struct Apply<'a, const RELU: bool, const STREAM: bool> {
    x: &'a [f32],
    residual: Option<&'a [f32]>,
    vectors: Vectors<'a>,
    y: &'a mut [f32],
}

impl<const RELU: bool, const STREAM: bool> Work for Apply<'_, RELU, STREAM> {
    type Output = ();

    #[inline(always)]
    fn run<L: Wide>(self, l: L) {
        let c = self.vectors.channels();
        let params = Each(self.vectors.0);
        for (row, y) in self.y.chunks_exact_mut(c.max(1)).enumerate() {
            let range = row * c..(row + 1) * c;
            let x = &self.x[range.clone()];
            match self.residual {
                None => map::<L, _, 1, 3, STREAM>(l, Normalise::<RELU>, [x], params, y, [AHEAD]),
                Some(residual) => {
                    map::<L, _, 2, 3, STREAM>(l, Normalise::<RELU>, [x, &residual[range]], params, y, [AHEAD; 2]);
                }
            }
        }
        if STREAM {
            l.fence();
        }
    }
}

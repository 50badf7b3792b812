//! A matrix walked by what shares a scale: for `quantize` and `dequantize`, which differ in one vector's work alone.

use etalon_reference::Element;
use etalon_reference::Threshold;
use etalon_reference::ops::quantize::{Per, Scheme};

use super::Byte;
use crate::disjoint::chunks;
use crate::faults::fault;
use crate::isa::narrow::{Convert, Job, Narrow, enter};
use crate::isa::wide::LANES;
use crate::pool::Pool;

/// Elements of a task, about.
const TASK: usize = 16 * 1024;
/// Where a walk takes another path.
pub const THRESHOLDS: &[Threshold] =
    &[Threshold::axis("cols", LANES as i64), Threshold::axis("group", LANES as i64), Threshold::bytes("q", TASK)];

/// What is done with a vector's elements, which share a scale and a zero point.
pub trait Step: Copy + Sync {
    /// Elements that are read.
    type From: Element;
    /// Elements that are written.
    type To: Element;
    /// Scales.
    type Scale: Narrow;
    /// Zero points.
    type Zero: Byte;

    /// One vector.
    fn vector<L: Convert>(
        self,
        l: L,
        from: &[Self::From; LANES],
        scale: f32,
        zero: Self::Zero,
        to: &mut [Self::To; LANES],
    );
}

/// The whole matrix.
pub struct Walk<'a, S: Step> {
    /// The work.
    pub step: S,
    /// Extents.
    pub scheme: &'a Scheme,
    /// rows×cols.
    pub from: &'a [S::From],
    /// As many as the scheme has.
    pub scale: &'a [S::Scale],
    /// As many, or none: all 0.
    pub zero: &'a [S::Zero],
    /// rows×cols.
    pub to: &'a mut [S::To],
    /// Threads.
    pub pool: &'a Pool,
}

impl<S: Step> Job for Walk<'_, S> {
    type Output = ();
    fn run<L: Convert>(self, l: L) {
        let Walk { step, scheme, from, scale, zero, to, pool } = self;
        if to.is_empty() {
            return;
        }
        let (cols, len) = (scheme.cols, of_row(scheme));
        let rows = (TASK / cols).max(1);
        chunks(pool, to, rows * cols, |start, to| {
            for (i, to) in to.chunks_exact_mut(cols).enumerate() {
                let row = start / cols + i;
                let from = &from[row * cols..][..cols];
                for (group, (from, to)) in from.chunks(len).zip(to.chunks_mut(len)).enumerate() {
                    let of = if fault!("quantize.fifth-group") { group.min(3) } else { group };
                    let at = place(scheme, row, of);
                    let (scale, zero) = (scale[at].widened(), zero.get(at).copied().unwrap_or_default());
                    enter(l, Group { step, from, scale, zero, to });
                }
            }
        });
    }
}

/// Elements of neighbouring places in a row that share a scale.
pub fn of_row(scheme: &Scheme) -> usize {
    if let Per::Group(group) = scheme.per { group } else { scheme.cols.max(1) }
}

/// The number of the scale of group `group` of row `row`.
fn place(scheme: &Scheme, row: usize, group: usize) -> usize {
    match scheme.per {
        Per::Tensor => 0,
        Per::Row => row,
        Per::Group(_) => row * scheme.scales_of_row() + group,
    }
}

/// What shares a scale.
struct Group<'a, S: Step> {
    step: S,
    from: &'a [S::From],
    scale: f32,
    zero: S::Zero,
    to: &'a mut [S::To],
}

impl<S: Step> Job for Group<'_, S> {
    type Output = ();
    #[inline(always)]
    fn run<L: Convert>(self, l: L) {
        let Group { step, from, scale, zero, to } = self;
        for (from, to) in from.as_chunks::<LANES>().0.iter().zip(to.as_chunks_mut::<LANES>().0) {
            step.vector(l, from, scale, zero, to);
        }
        match (from.last_chunk(), to.last_chunk_mut()) {
            _ if from.len().is_multiple_of(LANES) || fault!("quantize.last-of-group") => {}
            // Some of them once more.
            (Some(from), Some(to)) => step.vector(l, from, scale, zero, to),
            _ => {
                let (mut all, mut out) = ([S::From::default(); LANES], [S::To::default(); LANES]);
                all[..from.len()].copy_from_slice(from);
                step.vector(l, &all, scale, zero, &mut out);
                to.copy_from_slice(&out[..from.len()]);
            }
        }
    }
}

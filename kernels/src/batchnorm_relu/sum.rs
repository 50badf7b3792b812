//! Sums of terms over a channel: along its planes (NCHW), or down the rows for all channels side by side (NHWC).
//!
//! The orders depend on the shape alone, and no chain is longer than
//! [`CHAIN`](etalon_reference::ops::batchnorm_relu::CHAIN).

use super::channel::{Chunk, GROUP, Group};
use crate::faults::fault;
use crate::isa::arrays::{self, Elementwise};
use crate::isa::wide::{LANES, Wide};

/// `S` terms of `K` values and `P` parameters of their channel.
pub trait Terms<L: Wide, const K: usize, const P: usize, const S: usize> {
    /// The terms. Implementations are `#[inline(always)]`.
    fn of(lanes: L, inputs: [L::F; K], params: [L::F; P]) -> [L::F; S];
}

/// Accumulators of a sum along planes.
const WAYS: usize = 4;
/// How many elements ahead of a sum the second cache fetches.
const AHEAD: usize = 512;

/// The sums over `chunk` of each channel of `group`, to `sums`; `params` have an element a channel of the group. Vector i of
/// a plane's part goes to accumulator i mod 4, a rest to the last one; then the accumulators are added in pairs, and the
/// lanes halves on halves. Channels take turns image by image, as they lie in memory.
#[inline(always)]
pub fn over_planes<L: Wide, T: Terms<L, K, P, S>, const K: usize, const P: usize, const S: usize>(
    l: L,
    _: T,
    inputs: [&[f32]; K],
    params: [&[f32]; P],
    group: &Group,
    chunk: &Chunk,
    sums: &mut [[f32; S]; GROUP],
) {
    // One channel's accumulators stay in registers.
    if group.channels == 1 {
        sum_group::<L, T, K, P, S, 1>(l, inputs, params, group, chunk, sums);
    } else {
        sum_group::<L, T, K, P, S, GROUP>(l, inputs, params, group, chunk, sums);
    }
}

#[inline(always)]
fn sum_group<L: Wide, T: Terms<L, K, P, S>, const K: usize, const P: usize, const S: usize, const G: usize>(
    l: L,
    inputs: [&[f32]; K],
    params: [&[f32]; P],
    group: &Group,
    chunk: &Chunk,
    sums: &mut [[f32; S]; GROUP],
) {
    let mut ways = [[[l.splat(0.0); S]; WAYS]; G];
    for plane in chunk.planes.clone() {
        for g in 0..group.channels.min(G) {
            let range = group.range(plane, g, &chunk.part);
            let params = params.each(|p| l.splat(p[g]));
            ways[g] = add_plane::<L, T, K, P, S>(l, inputs.each(|input| &input[range.clone()]), params, ways[g]);
        }
    }
    for g in 0..group.channels.min(G) {
        if fault!("batchnorm_relu.sums-by-alignment") && !inputs[0].as_ptr().addr().is_multiple_of(64) {
            ways[g].swap(1, 2);
        }
        let [mut a, b, mut c, d] = ways[g];
        add(l, &mut a, b);
        add(l, &mut c, d);
        add(l, &mut a, c);
        for (sum, a) in sums[g].iter_mut().zip(a) {
            *sum = l.sum(a);
        }
    }
}

/// Adds a part of a plane to the accumulators.
#[inline(always)]
fn add_plane<L: Wide, T: Terms<L, K, P, S>, const K: usize, const P: usize, const S: usize>(
    l: L,
    inputs: [&[f32]; K],
    params: [L::F; P],
    mut sums: [[L::F; S]; WAYS],
) -> [[L::F; S]; WAYS] {
    let len = inputs[0].len();
    let blocks = inputs.each(|input| &input.as_chunks::<{ WAYS * LANES }>().0[..len / (WAYS * LANES)]);
    for i in 0..len / (WAYS * LANES) {
        for (k, sums) in sums.iter_mut().enumerate() {
            for input in inputs {
                l.prefetch(input, (i * WAYS + k) * LANES + AHEAD);
            }
            let vectors = blocks.each(|block| l.load(&block[i].as_chunks::<LANES>().0[k]));
            add(l, sums, T::of(l, vectors, params));
        }
    }
    let rest = inputs.each(|input| &input[len / (WAYS * LANES) * (WAYS * LANES)..]);
    let vectors = rest.each(|rest| &rest.as_chunks::<LANES>().0[..len / LANES % WAYS]);
    for k in 0..WAYS - 1 {
        if k < len / LANES % WAYS {
            add(l, &mut sums[k], T::of(l, vectors.each(|v| l.load(&v[k])), params));
        }
    }
    if !len.is_multiple_of(LANES) {
        let tail = inputs.each(|input| l.load_first(&input[len / LANES * LANES..]));
        add(l, &mut sums[WAYS - 1], T::of(l, tail, params).each(|term| l.first(term, len % LANES)));
    }
    sums
}

#[inline(always)]
fn add<L: Wide, const S: usize>(l: L, sums: &mut [L::F; S], terms: [L::F; S]) {
    for s in 0..S {
        sums[s] = l.add(sums[s], terms[s]);
    }
}

/// Adds to `sums`, a vector of all channels for each term, the terms of the rows of `inputs`. `params` have an element a
/// channel, as have the rows. Four rows are added in pairs first.
#[inline(always)]
pub fn over_rows<L: Wide, T: Terms<L, K, P, S>, const K: usize, const P: usize, const S: usize>(
    l: L,
    _: T,
    inputs: [&[f32]; K],
    params: [&[f32]; P],
    mut sums: [&mut [f32]; S],
    channels: usize,
    rows: usize,
) {
    let whole = rows / 4 * 4;
    for row in (0..whole).step_by(4) {
        let four: [[&[f32]; K]; 4] = arrays::from_fn(|r| row_of(inputs, row + r, channels));
        add_rows::<L, T, K, P, S, 4>(l, four, params, &mut sums, channels);
    }
    for row in whole..rows {
        add_rows::<L, T, K, P, S, 1>(l, [row_of(inputs, row, channels)], params, &mut sums, channels);
    }
}

#[inline(always)]
fn row_of<const K: usize>(inputs: [&[f32]; K], row: usize, channels: usize) -> [&[f32]; K] {
    inputs.each(|input| &input[row * channels..][..channels])
}

/// `R` rows, four or one.
#[inline(always)]
fn add_rows<L: Wide, T: Terms<L, K, P, S>, const K: usize, const P: usize, const S: usize, const R: usize>(
    l: L,
    rows: [[&[f32]; K]; R],
    params: [&[f32]; P],
    sums: &mut [&mut [f32]; S],
    channels: usize,
) {
    let vectors = channels / LANES;
    let row_blocks = rows.each(|row| row.each(|x| &x.as_chunks::<LANES>().0[..vectors]));
    let param_blocks = params.each(|p| &p.as_chunks::<LANES>().0[..vectors]);
    for i in 0..vectors {
        let params = param_blocks.each(|p| l.load(&p[i]));
        let terms = in_pairs(l, row_blocks.each(|row| T::of(l, row.each(|x| l.load(&x[i])), params)));
        for s in 0..S {
            let sum = &mut sums[s].as_chunks_mut::<LANES>().0[i];
            l.store(l.add(l.load(sum), terms[s]), sum);
        }
    }
    let range = vectors * LANES..channels;
    if !range.is_empty() {
        let params = params.each(|p| l.load_first(&p[range.clone()]));
        let terms = rows.each(|row| T::of(l, row.each(|x| l.load_first(&x[range.clone()])), params));
        let terms = in_pairs(l, terms);
        for s in 0..S {
            let sum = &mut sums[s][range.clone()];
            l.store_first(l.add(l.load_first(sum), terms[s]), sum);
        }
    }
}

/// The sum of one or four.
#[inline(always)]
fn in_pairs<L: Wide, const S: usize, const R: usize>(l: L, mut terms: [[L::F; S]; R]) -> [L::F; S] {
    let mut width = R / 2;
    while width > 0 {
        for r in 0..width {
            let other = terms[r + width];
            add(l, &mut terms[r], other);
        }
        width /= 2;
    }
    terms[0]
}

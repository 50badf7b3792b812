//! Element by element: some inputs and parameters, one output, sixteen lanes at a time, past the caches if wanted.

use std::ops::Range;

use crate::faults::fault;
use crate::isa::arrays::Elementwise;
use crate::isa::wide::{LANES, Wide, lines};

/// A function of `K` values and `P` parameters of their channel, the same for each element.
pub trait Map<L: Wide, const K: usize, const P: usize> {
    /// Its value. Implementations are `#[inline(always)]`.
    fn at(lanes: L, inputs: [L::F; K], params: [L::F; P]) -> L::F;
}

/// Where parameters come from. Implementations are `#[inline(always)]`.
pub trait Params<L: Wide, const P: usize>: Copy {
    /// Those of the elements of `range`, at most sixteen.
    fn first(self, l: L, range: Range<usize>) -> [L::F; P];
    /// Those of the elements of `range`, in blocks of sixteen.
    fn blocks(self, range: Range<usize>) -> impl Fn(L, usize) -> [L::F; P];
}

/// One channel: the same for all elements.
#[derive(Clone, Copy, Debug)]
pub struct Same<const P: usize>(pub [f32; P]);

/// An element a channel.
#[derive(Clone, Copy, Debug)]
pub struct Each<'a, const P: usize>(pub [&'a [f32]; P]);

impl<L: Wide, const P: usize> Params<L, P> for Same<P> {
    #[inline(always)]
    fn first(self, l: L, _: Range<usize>) -> [L::F; P] {
        self.0.each(|p| l.splat(p))
    }
    #[inline(always)]
    fn blocks(self, _: Range<usize>) -> impl Fn(L, usize) -> [L::F; P] {
        move |l, _| self.0.each(|p| l.splat(p))
    }
}

impl<L: Wide, const P: usize> Params<L, P> for Each<'_, P> {
    #[inline(always)]
    fn first(self, l: L, range: Range<usize>) -> [L::F; P] {
        self.0.each(|p| l.load_first(&p[range.clone()]))
    }
    #[inline(always)]
    fn blocks(self, range: Range<usize>) -> impl Fn(L, usize) -> [L::F; P] {
        let blocks = self.0.each(|p| p[range.clone()].as_chunks::<LANES>().0);
        move |l, i| blocks.each(|block| l.load(&block[i]))
    }
}

/// `out[i] = map(inputs[0][i], …, params of i)`. The inputs are as long as `out`.
///
/// With `STREAM`, whole cache lines of `out` are written past the caches; a [`Wide::fence`] must follow. `ahead` says for
/// each input how many elements further the second cache is to fetch meanwhile; 0 for none.
#[inline(always)]
pub fn map<L: Wide, M: Map<L, K, P>, const K: usize, const P: usize, const STREAM: bool>(
    l: L,
    _: M,
    inputs: [&[f32]; K],
    params: impl Params<L, P>,
    out: &mut [f32],
    ahead: [usize; K],
) {
    let inputs = inputs.each(|input| &input[..out.len()]);
    if STREAM {
        let (head, middle, tail) = lines(out);
        let (start, end) = (head.len(), head.len() + LANES * middle.len());
        part::<L, M, K, P>(l, inputs, params, 0, head);
        let blocks = inputs.each(|input| &input[start..end].as_chunks::<LANES>().0[..middle.len()]);
        let params_of = params.blocks(start..end);
        for (i, line) in middle.iter_mut().enumerate() {
            for k in 0..K {
                if ahead[k] > 0 {
                    l.prefetch(inputs[k], start + i * LANES + ahead[k]);
                }
            }
            l.stream(M::at(l, blocks.each(|block| l.load(&block[i])), params_of(l, i)), line);
        }
        if fault!("batchnorm_relu.stream-tail") {
            return;
        }
        part::<L, M, K, P>(l, inputs, params, end, tail);
    } else {
        let (body, tail) = out.as_chunks_mut::<LANES>();
        let end = LANES * body.len();
        let blocks = inputs.each(|input| &input[..end].as_chunks::<LANES>().0[..body.len()]);
        let params_of = params.blocks(0..end);
        for (i, out) in body.iter_mut().enumerate() {
            l.store(M::at(l, blocks.each(|block| l.load(&block[i])), params_of(l, i)), out);
        }
        part::<L, M, K, P>(l, inputs, params, end, tail);
    }
}

/// Fewer than sixteen elements, the first of which is element `start`.
#[inline(always)]
fn part<L: Wide, M: Map<L, K, P>, const K: usize, const P: usize>(
    l: L,
    inputs: [&[f32]; K],
    params: impl Params<L, P>,
    start: usize,
    out: &mut [f32],
) {
    if !out.is_empty() {
        let range = start..start + out.len();
        let inputs = inputs.each(|input| l.load_first(&input[range.clone()]));
        l.store_first(M::at(l, inputs, params.first(l, range)), out);
    }
}

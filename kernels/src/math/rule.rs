//! Functions as data: what is computed of some values and a parameter α, on any lanes.

use std::marker::PhantomData;

use crate::batchnorm_relu::Map;
use crate::isa::Isa;
use crate::isa::arithmetic::{Arithmetic, Compute, Math, with_math, with_plain_math};
use crate::isa::arrays::Elementwise;
use crate::isa::wide::{LANES, Line, lines};

/// What is computed of `K` values and α.
pub trait Rule<const K: usize>: Copy + Send + Sync {
    /// Its value. Implementations are `#[inline(always)]`.
    fn at<L: Arithmetic>(l: L, values: [L::V; K], alpha: L::V) -> L::V;
}

/// A rule as a map with α as its parameter.
#[derive(Clone, Copy, Debug)]
pub struct Ruled<R>(pub R);

impl<L: Math, R: Rule<K>, const K: usize> Map<L, K, 1> for Ruled<R> {
    #[inline(always)]
    fn at(l: L, values: [L::F; K], [alpha]: [L::F; 1]) -> L::F {
        R::at(l, values, alpha)
    }
}

/// `out[i] = rule(inputs[0][i], …, α)` on this thread. The inputs are as long as `out`. The plain lanes are compiled
/// with fused instructions where the CPU has them: they give the same bits, many times faster.
///
/// # Errors
/// If the CPU lacks the instructions.
pub fn evaluate<R: Rule<K>, const K: usize>(
    isa: Isa,
    rule: R,
    inputs: [&[f32]; K],
    alpha: f32,
    out: &mut [f32],
) -> Result<(), String> {
    let all = All { rule, inputs, alpha, out };
    if isa == Isa::Scalar { with_plain_math(all) } else { with_math(isa, all) }
}

struct All<'a, R, const K: usize> {
    rule: R,
    inputs: [&'a [f32]; K],
    alpha: f32,
    out: &'a mut [f32],
}

impl<R: Rule<K>, const K: usize> Compute for All<'_, R, K> {
    type Output = ();

    #[inline(always)]
    fn run<L: Math>(self, l: L) {
        each(l, self.rule, self.inputs, self.alpha, self.out, false);
    }
}

/// `out[i] = rule(inputs[0][i], …, α)`, from outside of the level's instructions. The inputs are as long as `out`. With
/// `stream`, whole cache lines are written past the caches.
///
/// The rule is compiled once: what is no whole block is computed in one that is filled with zeros.
#[inline(always)]
pub fn each<L: Math, R: Rule<K>, const K: usize>(
    l: L,
    rule: R,
    inputs: [&[f32]; K],
    alpha: f32,
    out: &mut [f32],
    stream: bool,
) {
    let _ = rule;
    let some = |start: usize, out: &mut [f32]| {
        let filled = inputs.map(|input| {
            let mut block = [0.0; LANES];
            block[..out.len()].copy_from_slice(&input[start..start + out.len()]);
            block
        });
        let mut block = [0.0; LANES];
        let inputs = filled.each_ref().map(std::slice::from_ref);
        l.compute(Blocks { rule: PhantomData::<R>, inputs, alpha, out: Out::Blocks(std::slice::from_mut(&mut block)) });
        out.copy_from_slice(&block[..out.len()]);
    };
    let (head, whole, tail) = if stream {
        let (head, lines, tail) = lines(out);
        (head, Out::Lines(lines), tail)
    } else {
        let (blocks, tail) = out.as_chunks_mut::<LANES>();
        (&mut [][..], Out::Blocks(blocks), tail)
    };
    let (start, end) = (head.len(), head.len() + LANES * whole.len());
    if !head.is_empty() {
        some(0, head);
    }
    if end > start {
        let inputs = inputs.map(|input| input[start..end].as_chunks::<LANES>().0);
        l.compute(Blocks { rule: PhantomData::<R>, inputs, alpha, out: whole });
    }
    if !tail.is_empty() {
        some(end, tail);
    }
}

/// Where results go.
enum Out<'a> {
    /// To memory.
    Blocks(&'a mut [[f32; LANES]]),
    /// Past the caches.
    Lines(&'a mut [Line]),
}

impl Out<'_> {
    fn len(&self) -> usize {
        match self {
            Out::Blocks(blocks) => blocks.len(),
            Out::Lines(lines) => lines.len(),
        }
    }
}

/// Whole blocks.
struct Blocks<'a, R, const K: usize> {
    rule: PhantomData<R>,
    inputs: [&'a [[f32; LANES]]; K],
    alpha: f32,
    out: Out<'a>,
}

impl<R: Rule<K>, const K: usize> Compute for Blocks<'_, R, K> {
    type Output = ();

    #[inline(always)]
    fn run<L: Math>(self, l: L) {
        let Blocks { rule: _, inputs, alpha, mut out } = self;
        let (len, alpha) = (out.len(), l.constant(alpha));
        let inputs = inputs.map(|input| &input[..len]);
        for i in 0..len {
            let value = R::at(l, inputs.each(|input| l.load(&input[i])), alpha);
            match &mut out {
                Out::Blocks(blocks) => l.store(value, &mut blocks[i]),
                Out::Lines(lines) => l.stream(value, &mut lines[i]),
            }
        }
        if let Out::Lines(_) = out {
            l.fence();
        }
    }
}

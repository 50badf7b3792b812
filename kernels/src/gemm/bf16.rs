//! Products of bf16 by `vdpbf16ps`: two products at a time are added to a sum of f32.
//!
//! [`dotted`](crate::dotted) says how they are cut and packed. The sums of each chunk of 512 products stay in registers;
//! with `t = β·c`, each chunk's sum s is added as `t = fma(α, s, t)`, and the result is rounded once.
//!
//! **Error.** The instruction rounds a pair's products and the sum once or twice, so that a product passes at most
//! min(k, 512) roundings in its chunk and one for each chunk after it. It takes subnormal elements for 0, and makes 0 of
//! subnormal sums: what that loses is part of the bound. A subnormal times ∞ is NaN.

use std::ops::Range;

use etalon_reference::operator::downcast;
use etalon_reference::ops::gemm::{Gemm, activation_error, magnitude};
use etalon_reference::{Problem, Threshold, Tolerance, Types};
use half::bf16;
use ndarray::ArrayD;

use super::epilogue::{Along, Finish};
use super::tile::Block;
use super::widened::{Line, Operands, Round};
use crate::dotted::driver::{self, At, Cut, Place, Tiles};
use crate::dotted::{PackedB, ROWS, Shape, Size};
use crate::faults::fault;
use crate::isa::arrays;
use crate::isa::dot::{self, CHUNK, Dot, LINE, VECTORS};
use crate::isa::narrow::{Convert, Job, Narrow};
use crate::isa::wide::{LANES, Wide};
use crate::isa::{Avx512Token, Bf16Token};
use crate::pool::{Pool, WORTH_NS};
use crate::workspace::Workspace;

/// Operations in a nanosecond of one thread, about.
const OPERATIONS_A_NS: u64 = 200;
/// Columns of a panel.
const WIDTH: usize = VECTORS * LANES;
/// Products of a chunk.
pub const PRODUCTS: usize = CHUNK * Bf16Token::PRODUCTS;

/// Tiles, blocks of rows, panels, words and chunks of them, threads.
pub const THRESHOLDS: &[Threshold] = &[
    Threshold::axis("m", Bf16Token::ROWS as i64),
    Threshold::axis("m", ROWS as i64),
    Threshold::axis("n", WIDTH as i64),
    Threshold::axis("k", PRODUCTS as i64),
    Threshold::axis("k", 2 * PRODUCTS as i64),
    Threshold::bytes("b", LARGE_B),
    Threshold::operations((WORTH_NS * OPERATIONS_A_NS) as i64),
];

/// The instructions: dot products, and vectors for everything else.
#[derive(Clone, Copy)]
pub struct Machine {
    pub dot: Bf16Token,
    pub lanes: Avx512Token,
}

/// Vectors of the same sums.
trait Lanes: Convert + Wide<f32, F = <Bf16Token as Dot>::S> {}

impl Lanes for Avx512Token {}

/// The sizes of a problem.
pub fn size(p: &Gemm) -> Size {
    let of_b = if p.b.batch == 0 { p.batch.min(1) } else { p.batch };
    Size { m: p.m, n: p.n, k: p.k, batch: p.batch, of_b }
}

/// B, packed.
pub fn plan(machine: Machine, p: &Gemm, b: &[bf16]) -> PackedB {
    PackedB::new(machine.dot, &size(p), &Pairs { lanes: machine.lanes, p, a: &[], b })
}

/// Everything that `p` says.
pub fn gemm<O: Narrow>(
    machine: Machine,
    p: &Gemm,
    x: Operands<'_, bf16, O>,
    packed: Option<&PackedB>,
    pool: &Pool,
    workspace: &mut Workspace,
) {
    if p.m == 0 || p.n == 0 || p.batch == 0 {
        return;
    }
    let Machine { dot, lanes } = machine;
    let size = size(p);
    let threads = pool.threads_for(size.operations() / OPERATIONS_A_NS);
    let cut = Cut::new::<Bf16Token>(&size, threads);
    let own = if packed.is_some() { 0 } else { Shape::new::<Bf16Token>(&size).words() };
    let ([words, scratch], [bias]) = workspace.slices2::<i32, f32, 2, 1>([own, cut.scratch()], [x.bias.len()]);
    bias.iter_mut().zip(x.bias).for_each(|(to, x)| *to = x.widened());
    let pairs = Pairs { lanes, p, a: x.a, b: x.b };
    let words = match packed {
        Some(packed) => &packed.words[..],
        None => {
            driver::pack_b(dot, &size, &pairs, words, &mut [], (threads > 1).then_some(pool));
            words
        }
    };
    let finish =
        Finish { scale: None, bias: p.bias.then_some(&*bias), along: Along::Columns, activation: p.activation };
    let tiles = Folded { lanes, p, finish, out: std::marker::PhantomData };
    let place = Place { row: p.c.row, batch: p.c.batch };
    driver::tiles(dot, &size, &cut, (&pairs, words, &tiles), (x.c, place), scratch, (pool, false));
}

/// Bytes of B above which its rows are packed some at a time.
const LARGE_B: usize = 256 * 1024;
/// Words of a column that are packed at a time then.
const DEEP: usize = 16;

/// A word of two neighbours along k.
#[inline(always)]
fn word(first: bf16, second: bf16) -> i32 {
    (u32::from(first.to_bits()) | u32::from(second.to_bits()) << 16) as i32
}

/// The words of a line of elements, of which the last may lack its second one.
#[inline(always)]
fn words_of(line: &[bf16], to: &mut [i32]) {
    let (pairs, rest) = line.as_chunks::<2>();
    to.iter_mut().zip(pairs).for_each(|(to, &[first, second])| *to = word(first, second));
    if let &[last] = rest {
        to[pairs.len()] = word(last, bf16::ZERO);
    }
}

/// The operands.
struct Pairs<'a, L> {
    lanes: L,
    p: &'a Gemm,
    a: &'a [bf16],
    b: &'a [bf16],
}

impl<L: Lanes> driver::Operands<Bf16Token> for Pairs<'_, L> {
    fn deep(&self) -> usize {
        let bytes = self.p.k * self.p.n * size_of::<bf16>();
        if self.p.b.col != 1 || bytes <= LARGE_B { usize::MAX } else { DEEP }
    }

    #[inline(always)]
    fn pack_b(
        &self,
        _: Bf16Token,
        z: usize,
        cols: Range<usize>,
        depth: Range<usize>,
        words: &mut [i32],
        _: &mut [i32],
    ) {
        let (k, at) = (self.p.k, self.p.b);
        if fault!("gemm.bf16-second-rows") && depth.start > 0 {
            return;
        }
        let b = &self.b[z * at.batch + cols.start * at.col..];
        let len = cols.len();
        match (at.row, at.col) {
            (row, 1) => {
                for (i, to) in depth.zip(words.chunks_exact_mut(WIDTH)) {
                    let first = &b[2 * i * row..][..len];
                    // An odd k has nothing for the last word's second half.
                    let second = if 2 * i + 1 < k { &b[(2 * i + 1) * row..][..len] } else { &[] };
                    if let (Some(first), Some(second)) = (first.first_chunk(), second.first_chunk::<WIDTH>()) {
                        let first: &[bf16; WIDTH] = first;
                        to.copy_from_slice(&arrays::from_fn::<_, WIDTH>(|j| word(first[j], second[j])));
                        continue;
                    }
                    let second = second.iter().copied().chain(std::iter::repeat(bf16::ZERO));
                    to[..len].iter_mut().zip(first).zip(second).for_each(|((to, &x), y)| *to = word(x, y));
                    to[len..].fill(0);
                }
            }
            (1, col) => self.columns_as_words(b, col, len, words),
            (row, col) => {
                let at = |i: usize, j: usize| if i < k { b[i * row + j * col] } else { bf16::ZERO };
                for (i, to) in words.chunks_exact_mut(WIDTH).enumerate() {
                    to[..len].iter_mut().enumerate().for_each(|(j, to)| *to = word(at(2 * i, j), at(2 * i + 1, j)));
                    to[len..].fill(0);
                }
            }
        }
    }

    #[inline(always)]
    fn pack_a(&self, _: Bf16Token, z: usize, rows: Range<usize>, words: &mut [i32], _: &mut [i32]) {
        let (k, at) = (self.p.k, self.p.a);
        let a = &self.a[z * at.batch + rows.start * at.row..];
        let tile_words = k.div_ceil(PRODUCTS) * Bf16Token::ROWS * LINE;
        for (place, _) in rows.enumerate() {
            let tile = &mut words[place / Bf16Token::ROWS * tile_words..][..tile_words];
            let lines = tile[place % Bf16Token::ROWS * LINE..].chunks_mut(Bf16Token::ROWS * LINE);
            let a = &a[place * at.row..];
            for (line, first) in lines.zip((0..k).step_by(PRODUCTS)) {
                let len = PRODUCTS.min(k - first);
                if at.col == 1 {
                    words_of(&a[first..][..len], line);
                    continue;
                }
                let at = |i: usize| if first + i < k { a[(first + i) * at.col] } else { bf16::ZERO };
                line[..len.div_ceil(2)].iter_mut().enumerate().for_each(|(i, to)| *to = word(at(2 * i), at(2 * i + 1)));
            }
        }
    }
}

impl<L: Lanes> Pairs<'_, L> {
    /// From columns whose elements lie side by side: squares of words are transposed.
    #[inline(always)]
    fn columns_as_words(&self, b: &[bf16], col: usize, len: usize, words: &mut [i32]) {
        let (k, l) = (self.p.k, self.lanes);
        for (first, to) in (0..k).step_by(2 * LANES).zip(words.chunks_mut(LANES * WIDTH)) {
            let deep = (2 * LANES).min(k - first);
            for left in [0, LANES] {
                let square = arrays::from_fn(|j| {
                    let mut line = [0; LANES];
                    if left + j < len {
                        words_of(&b[(left + j) * col + first..][..deep], &mut line);
                    }
                    l.load(&line.map(|word| f32::from_bits(word as u32)))
                });
                for (x, to) in l.transpose(square).into_iter().zip(to.chunks_exact_mut(WIDTH)) {
                    let mut lanes = [0f32; LANES];
                    l.store(x, &mut lanes);
                    to[left..left + LANES].copy_from_slice(&lanes.map(|x| x.to_bits() as i32));
                }
            }
        }
    }
}

/// Sums by chunks, folded into C.
struct Folded<'a, L, O> {
    lanes: L,
    p: &'a Gemm,
    finish: Finish<'a, f32>,
    out: std::marker::PhantomData<O>,
}

impl<L: Lanes, O: Narrow> Tiles<Bf16Token> for Folded<'_, L, O> {
    type T = O;

    #[inline(always)]
    fn tile<const R: usize>(&self, d: Bf16Token, at: At<'_>, out: &mut Block<'_, O>) {
        let (p, l, rows, cols) = (self.p, self.lanes, at.rows.len(), at.cols.len());
        let mut totals = [[[0.0; LANES]; VECTORS]; R];
        if p.beta != 0.0 {
            let beta = l.splat(p.beta as f32);
            for (i, totals) in totals.iter_mut().enumerate().take(rows) {
                Line { from: out.row(i, cols), to: &mut totals.as_flattened_mut()[..cols] }.run(l);
                for t in totals {
                    l.store(l.mul(beta, l.load(t)), t);
                }
            }
        }
        let alpha = l.splat(p.alpha as f32);
        let blocks = at.a.chunks_exact(Bf16Token::ROWS * LINE).zip(at.b.chunks(CHUNK * WIDTH));
        for (chunk, (a, b)) in blocks.enumerate().take(if p.alpha == 0.0 { 0 } else { usize::MAX }) {
            if fault!("gemm.bf16-third-chunk") && chunk == 2 {
                break;
            }
            let sums = dot::sums::<Bf16Token, R>(d, a, b);
            for (totals, sums) in totals.iter_mut().zip(sums) {
                for (t, sum) in totals.iter_mut().zip(sums) {
                    l.store(l.fma(alpha, sum, l.load(t)), t);
                }
            }
        }
        let nothing = self.finish.is_nothing();
        for (i, totals) in totals.iter_mut().enumerate().take(rows) {
            let totals = &mut totals.as_flattened_mut()[..cols];
            if !nothing {
                let finish = self.finish.part(at.rows.clone(), at.cols.clone());
                for (j, t) in totals.iter_mut().enumerate() {
                    *t = finish.value(*t, i, j);
                }
            }
            Round { from: totals, to: out.row(i, cols) }.run(l);
        }
    }
}

/// The bound: see the module.
pub fn tolerance(
    problem: &dyn Problem,
    types: Types,
    inputs: &[ArrayD<f64>],
    expected: &[ArrayD<f64>],
) -> Vec<Tolerance> {
    let p: &Gemm = downcast(problem);
    let chain = p.k.min(PRODUCTS) + p.k.div_ceil(PRODUCTS);
    let mut bound = p.bound(chain, types, inputs, expected);
    let slope = activation_error(p.activation).0 * p.alpha.abs();
    if p.k > 0 && p.alpha != 0.0 {
        // What is taken for 0, and what becomes 0: every sum may.
        let least = f64::from(f32::MIN_POSITIVE);
        let lost = |x: &ArrayD<f64>| x.mapv(|x| if x.abs() < least { x } else { 0.0 });
        let [a, b] = [&inputs[0], &inputs[1]];
        let flushed = magnitude(&lost(a), b) + magnitude(a, &lost(b));
        let flushed = flushed.mapv(|x| if x.is_nan() { 0.0 } else { slope * (x + (chain + 1) as f64 * least) });
        bound += &flushed.into_dyn();
    }
    let formula = "γ(min(k,512)+⌈k/512⌉+3)·(|α|Σ|a||b| + |β||c| + |bias|) + u|y| + Σ|subnormal products| + v|y|";
    vec![p.bounded(formula, bound, &expected[0])]
}

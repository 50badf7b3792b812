//! From operands to tiles: see [`dotted`](crate::dotted). Sums stay in registers over all of k.

use std::ops::Range;

use etalon_reference::ops::matmul_int8::MatmulInt8;

use super::pack::Bytes;
use super::{Left, Operands, Out, rows, tall};
use crate::dotted::driver::{self, At, Cut, Place, Tiles};
use crate::dotted::{PackedB, Shape, Size};
use crate::faults::fault;
use crate::gemm::tile::Block;
use crate::isa::dot::{self, Integers, Job};
use crate::pool::Pool;
use crate::workspace::Workspace;

/// Operations in a nanosecond of one thread, about.
pub const OPERATIONS_A_NS: u64 = 400;

/// The sizes of a problem.
pub fn size(p: &MatmulInt8) -> Size {
    Size { m: p.m, n: p.n, k: p.k, batch: 1, of_b: 1 }
}

/// All outputs.
pub fn matmul<D: Integers, A: Left, O: Out>(
    d: D,
    p: &MatmulInt8,
    x: Operands<'_, A, O>,
    packed: Option<&PackedB>,
    pool: &Pool,
    workspace: &mut Workspace,
) {
    if p.m == 0 || p.n == 0 {
        return;
    }
    if packed.is_none() && rows::are_few(p) {
        return rows::matmul(d, p, x, pool, workspace);
    }
    let size = size(p);
    let shape = Shape::new::<D>(&size);
    let threads = pool.threads_for(size.operations() / OPERATIONS_A_NS);
    let cut = Cut::new::<D>(&size, threads);
    let own = |len: usize| if packed.is_some() { 0 } else { len };
    let columns = shape.columns();
    let lens = [own(shape.words()), own(columns), columns, columns, cut.scratch()];
    let ([words, sums, constants, zeros, scratch], [scales]) = workspace.slices2::<i32, f32, 5, 1>(lens, [columns]);
    let bytes = Bytes { p, a: x.a, b: x.b, sums_rows: !x.zb.is_empty() };
    let (words, sums) = match packed {
        Some(packed) => (&packed.words[..], &packed.sums[..]),
        None => {
            driver::pack_b(d, &size, &bytes, words, sums, (threads > 1).then_some(pool));
            (&*words, &*sums)
        }
    };
    let columns = Columns::new(d, &size, &x, sums, constants, zeros, scales);
    let finish = Whole::new(&x, p.relu, columns);
    if tall::pays::<D>(p) {
        let rows = (x.out, bytes.sums_rows);
        return tall::matmul(d, (p, x.a, words, &finish), rows, (pool, threads));
    }
    let lost = fault!("matmul_int8.inline-tasks") && threads == 1 && threads < pool.threads();
    let place = Place { row: p.n, batch: 0 };
    driver::tiles(d, &size, &cut, (&bytes, words, &finish), (x.out, place), scratch, (pool, lost));
}

/// What each column adds to its sums and multiplies them with, matrix after matrix, each as long as all its panels.
#[derive(Clone, Copy)]
pub struct Columns<'a> {
    /// `bias − za·Σb + k·za·zb`, with za of unsigned elements.
    constants: &'a [i32],
    /// Zero points of B; none if all are 0.
    zeros: Option<&'a [i32]>,
    /// Scales of requantization.
    scales: &'a [f32],
    /// From one matrix to the next.
    each: usize,
}

impl<'a> Columns<'a> {
    /// Those of a batch of products, of the sums of B's columns. The operands have the numbers of all matrices' columns.
    pub fn new<D: Integers, A: Left, O: Out>(
        d: D,
        size: &Size,
        x: &Operands<'_, A, O>,
        sums: &[i32],
        constants: &'a mut [i32],
        zeros: &'a mut [i32],
        scales: &'a mut [f32],
    ) -> Columns<'a> {
        let za = A::SHIFT + x.za.first().map_or(0, |&za| za.into());
        let depth = (size.k as i32).wrapping_mul(za);
        let each = constants.len() / size.batch.max(1);
        for z in 0..size.batch {
            let (at, of) = (z * each..z * each + size.n, z * size.n..(z + 1) * size.n);
            if O::NARROW {
                of_columns(x.scale, of.clone(), 1.0, &mut scales[at.clone()]);
            }
            of_columns(x.zb, of.clone(), 0, &mut zeros[at.clone()]);
            if fault!("matmul_int8.first-zero-point") && size.n > 1 {
                let second = zeros[at.start + 1];
                zeros[at.clone()][1..].fill(second);
            }
            let zeros = (!x.zb.is_empty()).then_some(&zeros[at.clone()]);
            let constants = &mut constants[at.clone()];
            of_columns(x.bias, of, 0, constants);
            d.enter(Constants { za, depth, sums: &sums[at], zeros, constants });
        }
        // What the workspace held behind the last column is computed with, and never stored.
        Columns { constants, zeros: (!x.zb.is_empty()).then_some(zeros), scales, each }
    }

    /// Those of `n` columns whose sums are of products of differences, without zero points any more.
    pub fn of_differences<A: Left, O: Out>(
        x: &Operands<'_, A, O>,
        n: usize,
        constants: &'a mut [i32],
        scales: &'a mut [f32],
    ) -> Columns<'a> {
        let each = constants.len();
        of_columns(x.bias, 0..n, 0, &mut constants[..n]);
        of_columns(x.scale, 0..n, 1.0, &mut scales[..n]);
        Columns { constants, zeros: None, scales, each }
    }
}

/// Columns `of` of a vector that has an element for each column, one for all, or none.
fn of_columns<T: Copy + Into<U>, U: Copy>(x: &[T], of: Range<usize>, none: U, to: &mut [U]) {
    match *x {
        [] => to.fill(none),
        [all] => to.fill(all.into()),
        _ => {
            for (to, &x) in to.iter_mut().zip(&x[of]) {
                *to = x.into();
            }
        }
    }
}

/// `bias − za·Σb + k·za·zb`, over the bias.
struct Constants<'a> {
    za: i32,
    depth: i32,
    sums: &'a [i32],
    zeros: Option<&'a [i32]>,
    constants: &'a mut [i32],
}

impl Job for Constants<'_> {
    #[inline(always)]
    fn run(self) {
        let Constants { za, depth, sums, zeros, constants } = self;
        for (constant, sum) in constants.iter_mut().zip(sums) {
            *constant = constant.wrapping_sub(za.wrapping_mul(*sum));
        }
        for (constant, zero) in constants.iter_mut().zip(zeros.unwrap_or_default()) {
            *constant = constant.wrapping_add(depth.wrapping_mul(*zero));
        }
    }
}

/// Sums over all of k, and what becomes of them.
pub struct Whole<'a, O> {
    columns: Columns<'a>,
    range: dot::Range,
    relu: bool,
    out: std::marker::PhantomData<O>,
}

impl<'a, O: Out> Whole<'a, O> {
    /// What becomes of the sums of a product.
    pub fn new<A>(x: &Operands<'_, A, O>, relu: bool, columns: Columns<'a>) -> Whole<'a, O> {
        let range = O::range(x.zo.first().copied(), relu && !fault!("matmul_int8.relu-below-zero"));
        Whole { columns, range, relu, out: std::marker::PhantomData }
    }

    /// The outputs of a row from column `from` on, of the sums of products and that of A's row: at most a vector.
    #[inline(always)]
    pub fn store<D: Integers>(&self, d: D, from: usize, sum: D::V, row_sum: i32, out: &mut [O]) {
        let mut sum = d.add(sum, d.load(&self.columns.constants[from..]));
        if let Some(zeros) = self.columns.zeros {
            sum = d.sub(sum, d.mul(d.splat(row_sum), d.load(&zeros[from..])));
        }
        if O::NARROW {
            sum = d.requantize(sum, &self.columns.scales[from..], self.range);
        } else if self.relu {
            sum = d.max(sum, d.splat(0));
        }
        O::store(d, sum, out);
    }
}

impl<D: Integers, O: Out> Tiles<D> for Whole<'_, O> {
    type T = O;

    #[inline(always)]
    fn tile<const R: usize>(&self, d: D, at: At<'_>, out: &mut Block<'_, O>) {
        let lost = fault!("matmul_int8.third-chunk");
        let b = if lost { &at.b[..at.b.len().min(4 * dot::CHUNK * D::LANES)] } else { at.b };
        let sums = dot::sums::<D, R>(d, at.a, b);
        for (i, (sums, &row_sum)) in sums.iter().zip(at.row_sums).enumerate() {
            let out = out.row(i, at.cols.len());
            for (v, &sum) in sums.iter().enumerate() {
                let (from, skip) = (at.z * self.columns.each + at.cols.start + v * D::LANES, v * D::LANES);
                if skip >= out.len() {
                    break;
                }
                self.store(d, from, sum, row_sum, &mut out[skip..]);
            }
        }
    }
}

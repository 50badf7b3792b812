//! A few rows of A, and a B that lies transposed: its rows are read once, where they lie.
//!
//! ```text
//! rows of A as words
//! for pairs of columns:  for words along k:  sums += a·b for each row; column sums += b
//! for each row:  finish, store
//! ```
//! An output's products are added lane by lane, then the lanes: integers have no order.

use etalon_reference::ops::matmul_int8::MatmulInt8;

use super::driver::{Columns, OPERATIONS_A_NS, Whole, size};
use super::{Left, Operands, Out};
use crate::disjoint::Disjoint;
use crate::faults::fault;
use crate::isa::dot::{Integers, Job, a_word};
use crate::pool::Pool;
use crate::workspace::Workspace;

/// Rows at most.
pub const ROWS: usize = 4;
/// Columns whose sums are kept in registers at a time.
const COLUMNS: usize = 2;
/// Columns of a task at least.
const TASK: usize = 64;

/// All outputs.
pub fn matmul<D: Integers, A: Left, O: Out>(
    d: D,
    p: &MatmulInt8,
    x: Operands<'_, A, O>,
    pool: &Pool,
    workspace: &mut Workspace,
) {
    let (columns, words) = (p.n.next_multiple_of(D::LANES), p.k.div_ceil(D::PRODUCTS).next_multiple_of(D::LANES));
    let lens = [columns, columns, columns, ROWS * words, ROWS * columns];
    let ([sums, constants, zeros, lines, products], [scales]) = workspace.slices2::<i32, f32, 5, 1>(lens, [columns]);
    let mut row_sums = [0i32; ROWS];
    for (i, (line, sum)) in lines.chunks_exact_mut(words).zip(&mut row_sums).enumerate().take(p.m) {
        let a = &x.a[i * p.k..][..p.k];
        line.fill(0);
        for (to, group) in line.iter_mut().zip(a.chunks(D::PRODUCTS)) {
            *to = a_word::<D>(std::array::from_fn(|i| group.get(i).map_or(0, |x| x.unsigned())));
        }
        *sum = a.iter().fold(0, |sum: i32, x| sum.wrapping_add(x.unsigned().into()));
    }
    let threads = pool.threads_for(size(p).operations() / OPERATIONS_A_NS * u64::from(MEMORY));
    let tasks = if threads == 1 { 1 } else { (4 * threads).min(p.n.div_ceil(TASK)) };
    let each = p.n.div_ceil(tasks).next_multiple_of(COLUMNS);
    {
        let (sums, products, lines) = (Disjoint::new(sums), Disjoint::new(products), &*lines);
        let body = |task: usize| {
            let (start, end) = ((task * each).min(p.n), ((task + 1) * each).min(p.n));
            // SAFETY: tasks have different columns.
            let of_b = unsafe { sums.part(start..end) };
            // SAFETY: as above.
            let rows = std::array::from_fn(|i| unsafe { products.part(i * columns + start..i * columns + end) });
            d.enter(Dots { d, p, b: x.b, first: start, lines, words, sums: of_b, rows });
        };
        if tasks == 1 { body(0) } else { pool.run(tasks, |task, _| body(task)) }
    }
    let finish = Whole::new(&x, p.relu, Columns::new(&size(p), &x, sums, constants, zeros, scales));
    for (i, (out, products)) in x.out.chunks_exact_mut(p.n).zip(products.chunks_exact(columns)).enumerate() {
        d.enter(Line { d, finish: &finish, row_sum: row_sums[i], products, out });
    }
}

/// Reading B takes so many times as long as its products.
const MEMORY: u32 = 8;

/// Sums of products of some columns.
struct Dots<'a, D> {
    d: D,
    p: &'a MatmulInt8,
    b: &'a [i8],
    first: usize,
    lines: &'a [i32],
    words: usize,
    sums: &'a mut [i32],
    rows: [&'a mut [i32]; ROWS],
}

impl<D: Integers> Job for Dots<'_, D> {
    #[inline(always)]
    fn run(self) {
        match self.p.m {
            1 => self.of::<1>(),
            2 => self.of::<2>(),
            3 => self.of::<3>(),
            _ => self.of::<4>(),
        }
    }
}

impl<D: Integers> Dots<'_, D> {
    #[inline(always)]
    fn of<const R: usize>(mut self) {
        let (d, k) = (self.d, self.p.k);
        let bytes = D::LANES * D::PRODUCTS;
        let ones = d.splat(a_word::<D>([1; 4]));
        let count = self.sums.len();
        for at in (0..count).step_by(COLUMNS) {
            // The last column once more, where there is no other.
            let columns: [&[i8]; COLUMNS] =
                std::array::from_fn(|c| &self.b[(self.first + (at + c).min(count - 1)) * k..][..k]);
            let mut of_b = [d.splat(0); COLUMNS];
            let mut products = [[d.splat(0); COLUMNS]; R];
            let mut step = |word: usize, b: [D::V; COLUMNS]| {
                for c in 0..COLUMNS {
                    of_b[c] = d.dot(of_b[c], ones, b[c]);
                }
                for (r, products) in products.iter_mut().enumerate() {
                    let a = d.load(&self.lines[r * self.words + word * D::LANES..]);
                    for c in 0..COLUMNS {
                        products[c] = d.dot(products[c], a, b[c]);
                    }
                }
            };
            let whole = k / bytes;
            for word in 0..whole {
                // The next columns follow in memory.
                for column in columns {
                    d.prefetch(column, COLUMNS * k + word * bytes);
                }
                step(word, std::array::from_fn(|c| d.words(&columns[c][word * bytes..])));
            }
            if !k.is_multiple_of(bytes) && !fault!("matmul_int8.few-rest") {
                let rest = columns.map(|column| {
                    let mut rest = [0i8; 64];
                    rest[..k - whole * bytes].copy_from_slice(&column[whole * bytes..]);
                    rest
                });
                step(whole, std::array::from_fn(|c| d.words(&rest[c])));
            }
            for c in 0..COLUMNS.min(count - at) {
                self.sums[at + c] = total(d, of_b[c]);
                for (row, products) in self.rows.iter_mut().zip(&products) {
                    row[at + c] = total(d, products[c]);
                }
            }
        }
    }
}

/// The sum of the lanes, wrapping.
#[inline(always)]
fn total<D: Integers>(d: D, x: D::V) -> i32 {
    let mut lanes = [0; 16];
    d.store(x, &mut lanes);
    lanes.iter().fold(0i32, |sum, &lane| sum.wrapping_add(lane))
}

/// A row of outputs.
struct Line<'a, 'w, D, O> {
    d: D,
    finish: &'a Whole<'w, O>,
    row_sum: i32,
    products: &'a [i32],
    out: &'a mut [O],
}

impl<D: Integers, O: Out> Job for Line<'_, '_, D, O> {
    #[inline(always)]
    fn run(self) {
        let Line { d, finish, row_sum, products, out } = self;
        for (v, out) in out.chunks_mut(D::LANES).enumerate() {
            finish.store(d, v * D::LANES, d.load(&products[v * D::LANES..]), row_sum, out);
        }
    }
}

//! A few rows of A: B is read once, where it lies.
//!
//! ```text
//! rows of A as words
//! for columns of B, side by side in memory:   sums += a·b along k, for each row; column sums += b
//! or for rows of B, side by side in memory:   a few words deep, from one end of the rows to the other
//! for each row:  finish, store
//! ```
//! Integers have no order: sums are added lane by lane, or in parts that wait in the first cache.

use std::ops::Range;

use etalon_reference::ops::matmul_int8::MatmulInt8;

use super::driver::{Columns, OPERATIONS_A_NS, Whole, size};
use super::{Left, Operands, Out};
use crate::disjoint::Disjoint;
use crate::faults::fault;
use crate::isa::arrays;
use crate::isa::dot::{Integers, Job, a_word};
use crate::pool::Pool;
use crate::workspace::Workspace;

/// Rows at most, where B's columns lie side by side.
pub const ROWS: usize = 4;
/// Rows at most, where B's rows do.
pub const MOST: usize = 8;
/// Columns whose sums are kept in registers at a time.
const COLUMNS: usize = 2;
/// Columns of a task at least, and what a task's columns are a multiple of: a cache line of each row.
const TASK: usize = 64;
/// Words along k that are added at a time where B's rows lie side by side: lines of rows a page apart share a set of the first
/// cache.
pub const DEEP: usize = 4;
/// The same where B stays in the second cache.
const DEEP_NEAR: usize = 64;
/// B of at most so many bytes does.
pub const NEAR: usize = 512 * 1024;

/// Whether it pays: packing B costs more than reading it.
pub fn are_few(p: &MatmulInt8) -> bool {
    p.k > 0 && p.m <= if p.transposed { ROWS } else { MOST }
}

/// All outputs.
pub fn matmul<D: Integers, A: Left, O: Out>(
    d: D,
    p: &MatmulInt8,
    x: Operands<'_, A, O>,
    pool: &Pool,
    workspace: &mut Workspace,
) {
    let (columns, words) = (p.n.next_multiple_of(D::LANES), p.k.div_ceil(D::PRODUCTS).next_multiple_of(D::LANES));
    let lens = [columns, columns, columns, p.m * words, p.m * columns];
    let ([sums, constants, zeros, lines, products], [scales]) = workspace.slices2::<i32, f32, 5, 1>(lens, [columns]);
    let mut row_sums = [0i32; MOST];
    for (i, (line, sum)) in lines.chunks_exact_mut(words).zip(&mut row_sums).enumerate() {
        let a = &x.a[i * p.k..][..p.k];
        line.fill(0);
        for (to, group) in line.iter_mut().zip(a.chunks(D::PRODUCTS)) {
            *to = a_word::<D>(arrays::from_fn(|i| group.get(i).map_or(0, |x| x.unsigned())));
        }
        *sum = a.iter().fold(0, |sum: i32, x| sum.wrapping_add(x.unsigned().into()));
    }
    let threads = pool.threads_for(size(p).operations() / OPERATIONS_A_NS * u64::from(MEMORY));
    {
        let (sums, products, lines) = (Disjoint::new(sums), Disjoint::new(products), &*lines);
        pool.ranges(threads, p.n.div_ceil(TASK), |part| {
            let (start, end) = (part.start * TASK, p.n.min(part.end * TASK));
            // SAFETY: tasks have different columns.
            let of_b = unsafe { sums.part(start..end) };
            let rows = std::array::from_fn(|i| {
                // SAFETY: as above; there are `m` rows.
                if i < p.m { unsafe { products.part(i * columns + start..i * columns + end) } } else { &mut [] }
            });
            d.enter(Dots { d, p, b: x.b, first: start, lines, words, sums: of_b, rows });
        });
    }
    let finish = Whole::new(&x, p.relu, Columns::new(d, &size(p), &x, sums, constants, zeros, scales));
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
    rows: [&'a mut [i32]; MOST],
}

impl<D: Integers> Job for Dots<'_, D> {
    #[inline(always)]
    fn run(mut self) {
        match (self.p.transposed, self.p.m) {
            (true, 1) => self.of_columns::<1>(),
            (true, 2) => self.of_columns::<2>(),
            (true, 3) => self.of_columns::<3>(),
            (true, _) => self.of_columns::<4>(),
            (false, 1) => self.of_rows::<1, 4>(),
            (false, 2) => self.of_rows::<2, 4>(),
            (false, 3..=4) => self.of_rows::<4, 4>(),
            (false, 5..=6) => self.of_rows::<6, 4>(),
            (false, _) => self.of_rows::<MOST, 2>(),
        }
    }
}

impl<D: Integers> Dots<'_, D> {
    /// B's columns lie side by side.
    #[inline(always)]
    fn of_columns<const R: usize>(&mut self) {
        let (d, k) = (self.d, self.p.k);
        let bytes = D::LANES * D::PRODUCTS;
        let ones = d.splat(a_word::<D>([1; 4]));
        let count = self.sums.len();
        for at in (0..count).step_by(COLUMNS) {
            // The last column once more, where there is no other.
            let columns: [&[i8]; COLUMNS] =
                arrays::from_fn(|c| &self.b[(self.first + (at + c).min(count - 1)) * k..][..k]);
            let mut of_b = [d.splat(0); COLUMNS];
            let mut products = [[d.splat(0); COLUMNS]; R];
            let whole = k / bytes;
            let rest = columns.map(|column| {
                let mut rest = [0i8; 64];
                rest[..k - whole * bytes].copy_from_slice(&column[whole * bytes..]);
                rest
            });
            let lacking = !k.is_multiple_of(bytes) && !fault!("matmul_int8.few-rest");
            for word in 0..whole + usize::from(lacking) {
                let mut b = [d.splat(0); COLUMNS];
                for c in 0..COLUMNS {
                    b[c] = if word < whole {
                        // The next columns follow in memory.
                        d.prefetch_second(columns[c], COLUMNS * k + word * bytes);
                        d.words(&columns[c][word * bytes..])
                    } else {
                        d.words(&rest[c])
                    };
                    of_b[c] = d.dot(of_b[c], ones, b[c]);
                }
                for (r, products) in products.iter_mut().enumerate() {
                    let a = d.load(&self.lines[r * self.words + word * D::LANES..]);
                    for c in 0..COLUMNS {
                        products[c] = d.dot(products[c], a, b[c]);
                    }
                }
            }
            for c in 0..COLUMNS.min(count - at) {
                self.sums[at + c] = total(d, of_b[c]);
                for (row, products) in self.rows.iter_mut().zip(&products) {
                    row[at + c] = total(d, products[c]);
                }
            }
        }
    }

    /// B's rows lie side by side. `R` is at least the number of rows of A; `V` vectors of columns are summed at a time.
    #[inline(always)]
    fn of_rows<const R: usize, const V: usize>(&mut self) {
        let count = self.sums.len();
        let wide = count / (V * D::LANES) * (V * D::LANES);
        self.sums.fill(0);
        self.rows.iter_mut().for_each(|row| row.fill(0));
        let whole = self.p.k / D::PRODUCTS;
        let deep = if self.b.len() <= NEAR { DEEP_NEAR } else { DEEP };
        for top in (0..whole).step_by(deep) {
            if fault!("matmul_int8.few-deep") && top >= 2 * deep {
                break;
            }
            let words = top..whole.min(top + deep);
            for at in (0..wide).step_by(V * D::LANES) {
                self.part::<R, V>(words.clone(), at);
            }
            for at in (wide..count).step_by(D::LANES) {
                self.end::<R>(words.clone(), at);
            }
        }
        if !self.p.k.is_multiple_of(D::PRODUCTS) {
            for at in (0..count).step_by(D::LANES) {
                self.end::<R>(whole..whole + 1, at);
            }
        }
    }

    /// Some words of `V` vectors of columns.
    #[inline(always)]
    fn part<const R: usize, const V: usize>(&mut self, words: Range<usize>, at: usize) {
        let (d, n, m) = (self.d, self.p.n, self.p.m);
        let ones = d.splat(a_word::<D>([1; 4]));
        let mut of_b = [ones; V];
        let mut products = [[d.splat(0); V]; R];
        for v in 0..V {
            of_b[v] = d.load(&self.sums[at + v * D::LANES..]);
            for (r, products) in products.iter_mut().enumerate().take(m) {
                products[v] = d.load(&self.rows[r][at + v * D::LANES..]);
            }
        }
        let a: [&[i32]; R] = arrays::from_fn(|r| &self.lines[r.min(m - 1) * self.words + words.start..][..words.len()]);
        for (word, first) in words.clone().enumerate() {
            let rows: [&[i8]; 4] = arrays::from_fn(|i| {
                let row = first * D::PRODUCTS + i % D::PRODUCTS;
                &self.b[row * n + self.first + at..][..V * D::LANES]
            });
            for v in 0..V {
                let b = d.across(arrays::from_fn(|i| &rows[i][v * D::LANES..]));
                of_b[v] = d.dot(of_b[v], ones, b);
                for r in 0..R {
                    products[r][v] = d.dot(products[r][v], d.splat(a[r][word]), b);
                }
            }
        }
        for v in 0..V {
            d.store(of_b[v], &mut self.sums[at + v * D::LANES..]);
            for (r, products) in products.iter().enumerate().take(m) {
                d.store(products[v], &mut self.rows[r][at + v * D::LANES..]);
            }
        }
    }

    /// Some words of at most a vector of columns.
    #[inline(always)]
    fn end<const R: usize>(&mut self, words: Range<usize>, at: usize) {
        let (d, k, n, m) = (self.d, self.p.k, self.p.n, self.p.m);
        let ones = d.splat(a_word::<D>([1; 4]));
        let len = D::LANES.min(self.sums.len() - at);
        let mut of_b = load(d, self.sums, at, len);
        let mut products = [d.splat(0); R];
        for (r, products) in products.iter_mut().enumerate().take(m) {
            *products = load(d, self.rows[r], at, len);
        }
        for word in words {
            // Zeros behind the last row and the last column.
            let mut rows = [[0i8; 16]; 4];
            for (i, to) in rows.iter_mut().enumerate().take(D::PRODUCTS) {
                let row = word * D::PRODUCTS + i;
                if row < k {
                    to[..len].copy_from_slice(&self.b[row * n + self.first + at..][..len]);
                }
            }
            let b = d.across(arrays::from_fn(|i| &rows[i][..]));
            of_b = d.dot(of_b, ones, b);
            for (r, products) in products.iter_mut().enumerate().take(m) {
                *products = d.dot(*products, d.splat(self.lines[r * self.words + word]), b);
            }
        }
        d.store_first(of_b, &mut self.sums[at..][..len]);
        for (r, products) in products.into_iter().enumerate().take(m) {
            d.store_first(products, &mut self.rows[r][at..][..len]);
        }
    }
}

/// Elements from `at` on, zeros behind them.
#[inline(always)]
fn load<D: Integers>(d: D, of: &[i32], at: usize, len: usize) -> D::V {
    let of = &of[at..][..len];
    if len == D::LANES {
        return d.load(of);
    }
    let mut lanes = [0; 16];
    lanes[..len].copy_from_slice(of);
    d.load(&lanes)
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

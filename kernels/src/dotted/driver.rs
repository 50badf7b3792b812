//! From operands to tiles.

use std::ops::Range;

use etalon_reference::Element;

use super::{ROWS, Shape, Size};
use crate::disjoint::{Disjoint, parts};
use crate::gemm::tile::Block;
use crate::isa::dot::{Dot, Job};
use crate::pool::Pool;

/// Tasks per thread at least, where the output has as many blocks.
const TASKS: usize = 4;

/// Operands that can be packed.
pub trait Operands<D: Dot>: Sync {
    /// Words along k that are packed of all panels before the next ones: all, or fewer where B is large and its rows lie side
    /// by side, so that they are read from one end to the other.
    fn deep(&self) -> usize {
        usize::MAX
    }

    /// Packs words `depth` of columns `cols` of matrix `z` of B, at most a panel's and all or [`deep`](Operands::deep) ones,
    /// and adds their sums to `sums`, if anybody asks for them.
    fn pack_b(&self, d: D, z: usize, cols: Range<usize>, depth: Range<usize>, words: &mut [i32], sums: &mut [i32]);

    /// Packs rows of matrix `z` of A and writes their sums, if anybody asks for them.
    fn pack_a(&self, d: D, z: usize, rows: Range<usize>, words: &mut [i32], sums: &mut [i32]);
}

/// What becomes of the products of words.
pub trait Tiles<D: Dot>: Sync {
    /// An output.
    type T: Element;

    /// Computes the rows and columns of a tile, and stores them to `out`, which begins there. `R` is at least the number
    /// of rows.
    fn tile<const R: usize>(&self, d: D, at: At<'_>, out: &mut Block<'_, Self::T>);
}

/// A tile, and what it is made of.
#[derive(Clone, Debug)]
pub struct At<'a> {
    /// Its matrix.
    pub z: usize,
    /// Its rows.
    pub rows: Range<usize>,
    /// Its columns, at most a panel's.
    pub cols: Range<usize>,
    /// Lines of words of A.
    pub a: &'a [i32],
    /// The panel.
    pub b: &'a [i32],
    /// Sums of the rows.
    pub row_sums: &'a [i32],
}

/// Where the outputs are.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    /// Elements from one row to the next.
    pub row: usize,
    /// Elements from one matrix to the next; less than a row where matrices lie side by side.
    pub batch: usize,
}

/// How a product is dealt out to threads.
#[derive(Clone, Copy, Debug)]
pub struct Cut {
    shape: Shape,
    threads: usize,
    /// Blocks of rows.
    down: usize,
    /// Groups of panels.
    across: usize,
    tasks: usize,
    /// Words of scratch memory of a thread: rows of A, and their sums.
    share: usize,
}

impl Cut {
    /// For so many threads at most.
    pub fn new<D: Dot>(size: &Size, threads: usize) -> Cut {
        let shape = Shape::new::<D>(size);
        let down = size.m.div_ceil(ROWS);
        let blocks = (down * size.batch).max(1);
        let across = if threads == 1 { 1 } else { (TASKS * threads).div_ceil(blocks).min(shape.panels) };
        let share = ROWS.min(size.m).div_ceil(D::ROWS) * shape.tile_words + ROWS;
        Cut { shape, threads, down, across, tasks: size.batch * down * across, share }
    }

    /// Words of scratch memory that it takes.
    pub fn scratch(&self) -> usize {
        self.share * self.threads.min(self.tasks)
    }
}

/// Packs all of B, on the threads of `pool`, if there is one.
pub fn pack_b<D: Dot>(
    d: D,
    size: &Size,
    operands: &impl Operands<D>,
    words: &mut [i32],
    sums: &mut [i32],
    pool: Option<&Pool>,
) {
    let shape = Shape::new::<D>(size);
    sums.fill(0);
    if size.k == 0 {
        return;
    }
    let deep = operands.deep().min(shape.depth);
    let (words_each, sums_each) = (shape.panel_words(), shape.width);
    // Panels from `first` on.
    let pack = |first: usize, words: &mut [i32], sums: &mut [i32]| {
        for depth in (0..shape.depth).step_by(deep).map(|top| top..shape.depth.min(top + deep)) {
            for (i, words) in words.chunks_exact_mut(words_each).enumerate() {
                let (z, left) = ((first + i) / shape.panels, (first + i) % shape.panels * shape.width);
                let words = &mut words[depth.start * shape.width..depth.end * shape.width];
                // Nobody may ask for sums.
                let [start, end] = [i, i + 1].map(|i| (i * sums_each).min(sums.len()));
                let (cols, sums) = (left..size.n.min(left + shape.width), &mut sums[start..end]);
                d.enter(PackPanel { d, operands, z, cols, depth: depth.clone(), words, sums });
            }
        }
    };
    match pool {
        Some(pool) => {
            let all = shape.matrices * shape.panels;
            let each = if deep < shape.depth { all.div_ceil(TASKS * pool.threads()) } else { 1 };
            let (words, sums) = ((words, each * words_each), (sums, each * sums_each));
            parts(pool, words, sums, &mut [(); 0], |task, words, sums, _| pack(task * each, words, sums));
        }
        None => pack(0, words, sums),
    }
}

struct PackPanel<'a, D, O> {
    d: D,
    operands: &'a O,
    z: usize,
    cols: Range<usize>,
    depth: Range<usize>,
    words: &'a mut [i32],
    sums: &'a mut [i32],
}

impl<D: Dot, O: Operands<D>> Job for PackPanel<'_, D, O> {
    #[inline(always)]
    fn run(self) {
        self.operands.pack_b(self.d, self.z, self.cols, self.depth, self.words, self.sums);
    }
}

/// All tiles. `words` is B, packed; `lost` is a planted fault: the last task is left out.
pub fn tiles<D: Dot, O: Operands<D>, T: Tiles<D>>(
    d: D,
    size: &Size,
    cut: &Cut,
    (operands, words, tiles): (&O, &[i32], &T),
    (out, place): (&mut [T::T], Place),
    scratch: &mut [i32],
    (pool, lost): (&Pool, bool),
) {
    let &Cut { shape, threads, down, across, tasks, share } = cut;
    let (out, scratch) = (Disjoint::new(out), Disjoint::new(scratch));
    let body = |task: usize, thread: usize| {
        let (z, rest) = (task / (down * across), task % (down * across));
        let rows = rest / across * ROWS..size.m.min((rest / across + 1) * ROWS);
        let panels = part(shape.panels, across, rest % across);
        // SAFETY: a thread runs one task at a time, and no other thread has its index.
        let scratch = unsafe { scratch.part(thread * share..(thread + 1) * share) };
        let of_b = if size.of_b == 1 { 0 } else { z };
        let words = &words[of_b * shape.panels * shape.panel_words()..][..shape.panels * shape.panel_words()];
        // SAFETY: tasks have different matrices, rows or columns, and rows and matrices do not overlap.
        let block = unsafe { Block::new(&out, z * place.batch + rows.start * place.row, place.row) };
        d.enter(Rows { d, size, shape, operands, words, tiles, z, rows, panels, scratch, block });
    };
    if threads == 1 {
        (0..tasks - usize::from(lost && tasks > 1)).for_each(|task| body(task, 0));
    } else if tasks >= threads {
        pool.run(tasks, body);
    } else {
        pool.run(tasks, |task, _| body(task, task));
    }
}

/// Part `index` of `len` things in about equal parts.
fn part(len: usize, parts: usize, index: usize) -> Range<usize> {
    len * index / parts..len * (index + 1) / parts
}

/// One task.
struct Rows<'a, D, O, T: Tiles<D>>
where
    D: Dot,
{
    d: D,
    size: &'a Size,
    shape: Shape,
    operands: &'a O,
    words: &'a [i32],
    tiles: &'a T,
    z: usize,
    rows: Range<usize>,
    panels: Range<usize>,
    scratch: &'a mut [i32],
    block: Block<'a, T::T>,
}

impl<D: Dot, O: Operands<D>, T: Tiles<D>> Job for Rows<'_, D, O, T> {
    #[inline(always)]
    fn run(self) {
        let Rows { d, size, shape, operands, words, tiles, z, rows, panels, scratch, mut block } = self;
        let (sums, lines) = scratch.split_at_mut(ROWS);
        if size.k == 0 {
            sums.fill(0);
        } else {
            operands.pack_a(d, z, rows.clone(), lines, sums);
        }
        for panel in panels {
            let b = &words[panel * shape.panel_words()..][..shape.panel_words()];
            let left = panel * shape.width;
            for (tile, top) in rows.clone().step_by(D::ROWS).enumerate() {
                let height = D::ROWS.min(rows.end - top);
                let at = At {
                    z,
                    rows: top..top + height,
                    cols: left..size.n.min(left + shape.width),
                    a: &lines[tile * shape.tile_words..][..shape.tile_words],
                    b,
                    row_sums: &sums[tile * D::ROWS..][..height],
                };
                let mut out = block.at(top - rows.start, left);
                (0..height).for_each(|i| d.ask_for(out.row(i, at.cols.len())));
                match height {
                    1 => tiles.tile::<1>(d, at, &mut out),
                    2 => tiles.tile::<2>(d, at, &mut out),
                    3..=4 => tiles.tile::<4>(d, at, &mut out),
                    5..=6 => tiles.tile::<6>(d, at, &mut out),
                    7..=8 if D::ROWS > 6 => tiles.tile::<8>(d, at, &mut out),
                    _ if D::ROWS > 6 => tiles.tile::<12>(d, at, &mut out),
                    _ => unreachable!("a tile has at most `D::ROWS` rows"),
                }
            }
        }
    }
}

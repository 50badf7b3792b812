//! Operands as words that the inner loop reads side by side.
//!
//! B: panels of two vectors of columns; a panel holds, for each word of k, one word per column, zeros behind the last
//! column and the last k. A: blocks of lines, a line per row, cut into chunks of [`CHUNK`] words; s8 comes as u8, 128
//! larger.

use std::ops::Range;

use etalon_reference::ops::matmul_int8::MatmulInt8;

use super::Left;
use crate::aligned::AlignedVec;
use crate::isa::dot::{CHUNK, Dot, Job, LINE, VECTORS, a_word, b_word};

/// B, packed once for several calls, and the sums of its columns.
#[derive(Clone, Debug)]
pub struct PackedB {
    /// Panel by panel.
    pub(super) words: AlignedVec<i32>,
    /// One for each column, zeros behind them.
    pub(super) sums: AlignedVec<i32>,
    /// The problem's k and n, the panel's width, the products of a word.
    shape: [usize; 4],
}

impl PackedB {
    /// Packs B, which the caller has found long enough.
    pub(super) fn new<D: Dot>(d: D, p: &MatmulInt8, b: &[i8]) -> PackedB {
        let shape = Shape::new::<D>(p);
        let (mut words, mut sums) = (AlignedVec::zeroed(shape.words()), AlignedVec::zeroed(shape.columns()));
        for panel in 0..shape.panels {
            let words = &mut words[panel * shape.panel_words()..][..shape.panel_words()];
            d.enter(PackPanel { d, p, b, panel, words, sums: &mut sums[panel * shape.width..][..shape.width] });
        }
        PackedB { words, sums, shape: PackedB::shape::<D>(p) }
    }

    /// Whether it was made for such a problem and these instructions.
    pub(super) fn fits<D: Dot>(&self, p: &MatmulInt8) -> bool {
        self.shape == PackedB::shape::<D>(p)
    }

    fn shape<D: Dot>(p: &MatmulInt8) -> [usize; 4] {
        [p.k, p.n, VECTORS * D::LANES, D::PRODUCTS]
    }
}

/// How the operands of a problem are cut.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    /// Columns of a panel.
    pub width: usize,
    /// Panels of B.
    pub panels: usize,
    /// Words of k.
    pub depth: usize,
    /// Words of a tile of rows of A.
    pub tile_words: usize,
}

impl Shape {
    /// For vectors of `D`.
    pub fn new<D: Dot>(p: &MatmulInt8) -> Shape {
        let (width, depth) = (VECTORS * D::LANES, p.k.div_ceil(D::PRODUCTS));
        Shape { width, panels: p.n.div_ceil(width), depth, tile_words: depth.div_ceil(CHUNK) * D::ROWS * LINE }
    }

    /// Words of a panel.
    pub fn panel_words(&self) -> usize {
        self.depth * self.width
    }

    /// Words of all panels.
    pub fn words(&self) -> usize {
        self.panels * self.panel_words()
    }

    /// Columns of all panels, those behind the last one, too.
    pub fn columns(&self) -> usize {
        self.panels * self.width
    }
}

/// Packs one panel and sums its columns.
pub struct PackPanel<'a, D> {
    pub d: D,
    pub p: &'a MatmulInt8,
    pub b: &'a [i8],
    pub panel: usize,
    pub words: &'a mut [i32],
    pub sums: &'a mut [i32],
}

impl<D: Dot> Job for PackPanel<'_, D> {
    #[inline(always)]
    fn run(self) {
        let PackPanel { d, p, b, panel, words, sums } = self;
        let width = VECTORS * D::LANES;
        let cols = panel * width..p.n.min((panel + 1) * width);
        if p.transposed {
            from_columns::<D>(p, b, cols, words)
        } else {
            from_rows::<D>(p, b, cols, words)
        }
        // A product with ones adds all of a word.
        let ones = d.splat(a_word::<D>([1; 4]));
        let mut totals = [d.splat(0); VECTORS];
        for words in words.chunks_exact(width) {
            for (v, total) in totals.iter_mut().enumerate() {
                *total = d.dot(*total, ones, d.load(&words[v * D::LANES..]));
            }
        }
        for (total, sums) in totals.into_iter().zip(sums.chunks_exact_mut(D::LANES)) {
            d.store(total, sums);
        }
    }
}

/// From rows of n.
#[inline(always)]
fn from_rows<D: Dot>(p: &MatmulInt8, b: &[i8], cols: Range<usize>, words: &mut [i32]) {
    let width = VECTORS * D::LANES;
    for (word, to) in words.chunks_exact_mut(width).enumerate() {
        let row = |i: usize| &b[(word * D::PRODUCTS + i) * p.n..][cols.clone()];
        if (word + 1) * D::PRODUCTS <= p.k && cols.len() == width {
            let rows: [&[i8]; 4] = std::array::from_fn(|i| &row(i % D::PRODUCTS)[..width]);
            for (j, to) in to.iter_mut().enumerate() {
                *to = b_word::<D>(std::array::from_fn(|i| rows[i][j]));
            }
            continue;
        }
        to.fill(0);
        let deep = D::PRODUCTS.min(p.k - word * D::PRODUCTS);
        for (j, to) in to[..cols.len()].iter_mut().enumerate() {
            *to = b_word::<D>(std::array::from_fn(|i| if i < deep { row(i)[j] } else { 0 }));
        }
    }
}

/// From columns of k, side by side in memory.
#[inline(always)]
fn from_columns<D: Dot>(p: &MatmulInt8, b: &[i8], cols: Range<usize>, words: &mut [i32]) {
    let width = VECTORS * D::LANES;
    if cols.len() < width {
        words.fill(0);
    }
    for (j, column) in cols.enumerate() {
        let groups = b[column * p.k..][..p.k].chunks(D::PRODUCTS);
        // Without a word, where k is 0, there is no place j.
        for (to, group) in words.iter_mut().skip(j).step_by(width).zip(groups) {
            *to = b_word::<D>(std::array::from_fn(|i| group.get(i).copied().unwrap_or(0)));
        }
    }
}

/// Packs rows of A, and sums them where that is asked for.
#[inline(always)]
pub fn pack_a<D: Dot, A: Left>(k: usize, a: &[A], rows: Range<usize>, words: &mut [i32], sums: &mut [i32], sum: bool) {
    if k == 0 {
        sums[..rows.len()].fill(0);
        return;
    }
    let tile_words = k.div_ceil(D::PRODUCTS).div_ceil(CHUNK) * D::ROWS * LINE;
    for (place, row) in rows.enumerate() {
        let a = &a[row * k..][..k];
        let tile = &mut words[place / D::ROWS * tile_words..][..tile_words];
        let lines = tile[place % D::ROWS * LINE..].chunks_mut(D::ROWS * LINE);
        for (line, a) in lines.zip(a.chunks(CHUNK * D::PRODUCTS)) {
            let (whole, rest) = a.split_at(a.len() / D::PRODUCTS * D::PRODUCTS);
            for (to, group) in line.iter_mut().zip(whole.chunks_exact(D::PRODUCTS)) {
                *to = a_word::<D>(std::array::from_fn(|i| group[i % D::PRODUCTS].unsigned()));
            }
            if !rest.is_empty() {
                let group = std::array::from_fn(|i| rest.get(i).map_or(0, |x| x.unsigned()));
                line[whole.len() / D::PRODUCTS] = a_word::<D>(group);
            }
        }
        if sum {
            sums[place] = a.iter().fold(0i32, |sum, x| sum.wrapping_add(x.unsigned().into()));
        }
    }
}

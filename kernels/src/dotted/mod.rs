//! Products of short elements by words: how they are cut, packed and dealt out, whatever becomes of the sums.
//!
//! ```text
//! pack B in panels                                   once, or in a plan
//! for each matrix, for blocks of ROWS rows, for groups of panels: a task
//!   pack A                                           into memory of the thread
//!   for each panel, for each tile of rows:           the panel stays in the first cache meanwhile
//!     what becomes of the products of its words      Tiles::tile
//! ```
//! A word holds some neighbours along k ([`Dot::PRODUCTS`]). B: panels of two vectors of columns; a panel has, for each
//! word of k, one word per column, zeros behind the last column and the last k. A: blocks of lines, a line per row, cut
//! into chunks of [`dot::CHUNK`](crate::isa::dot::CHUNK) words.

pub mod driver;

use crate::aligned::AlignedVec;
use crate::isa::dot::{CHUNK, Dot, LINE, VECTORS};

/// Rows of a block: whole tiles of every height.
pub const ROWS: usize = 48;

/// The sizes of a batch of products.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// Rows of A and of the output.
    pub m: usize,
    /// Columns of B and of the output.
    pub n: usize,
    /// Columns of A, rows of B.
    pub k: usize,
    /// Matrices of A and of the output.
    pub batch: usize,
    /// Matrices of B: as many, or one for all.
    pub of_b: usize,
}

impl Size {
    /// Operations, at least those of a depth of 1; a product and its addition count two.
    pub fn operations(&self) -> u64 {
        let sizes = [self.batch, self.m, self.n, self.k.max(1)];
        sizes.iter().fold(2, |all, &x| u64::saturating_mul(all, x as u64))
    }
}

/// How B is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Columns of a panel.
    pub width: usize,
    /// Panels of a matrix.
    pub panels: usize,
    /// Words of k.
    pub depth: usize,
    /// Words of a tile of rows of A.
    pub tile_words: usize,
    /// Matrices.
    matrices: usize,
    /// Products in a word.
    products: usize,
}

impl Shape {
    /// For words of `D`.
    pub fn new<D: Dot>(size: &Size) -> Shape {
        let (width, depth) = (VECTORS * D::LANES, size.k.div_ceil(D::PRODUCTS));
        let tile_words = depth.div_ceil(CHUNK) * D::ROWS * LINE;
        let panels = size.n.div_ceil(width);
        Shape { width, panels, depth, tile_words, matrices: size.of_b, products: D::PRODUCTS }
    }

    /// Words of a panel.
    pub fn panel_words(&self) -> usize {
        self.depth * self.width
    }

    /// Words of all panels of all matrices.
    pub fn words(&self) -> usize {
        self.matrices * self.panels * self.panel_words()
    }

    /// Columns of all panels of a matrix, those behind the last one, too.
    pub fn columns(&self) -> usize {
        self.panels * self.width
    }
}

/// B, packed once for several calls, and the sums of its columns.
#[derive(Clone, Debug)]
pub struct PackedB {
    /// Panel by panel.
    pub words: AlignedVec<i32>,
    /// One for each column, zeros behind them.
    pub sums: AlignedVec<i32>,
    /// Rows of B; what else it must fit.
    fits: (usize, Shape),
}

impl PackedB {
    /// Packs B.
    pub fn new<D: Dot>(d: D, size: &Size, operands: &impl driver::Operands<D>) -> PackedB {
        let shape = Shape::new::<D>(size);
        let mut words = AlignedVec::zeroed(shape.words());
        let mut sums = AlignedVec::zeroed(shape.matrices * shape.columns());
        driver::pack_b(d, size, operands, &mut words, &mut sums, None);
        PackedB { words, sums, fits: (size.k, shape) }
    }

    /// Whether it was made for such a product and these instructions.
    pub fn fits<D: Dot>(&self, size: &Size) -> bool {
        self.fits == (size.k, Shape::new::<D>(size))
    }
}

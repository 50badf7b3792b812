//! Weights in the order in which packed products read them.
//!
//! Rows of weights, which are columns of the output, lie sixteen side by side, twice: a panel. For each group and each eight (2 bits: sixteen) of
//! its codes, a panel has two vectors of sixteen words of 32 bits, one a row; word `w` of a group begins, in its lowest bits,
//! with the code of the group's column `8w` (`16w`). So outputs are lanes. A group that ends within a word has zeros
//! behind it, and so does a panel that has fewer rows. Scales, as f32, and zero points follow the same order: 32 for each
//! group of a panel.

use etalon_reference::ops::matmul_nbits::MatmulNbits;

use crate::aligned::AlignedVec;
use crate::isa::narrow::Narrow;
use crate::isa::wide::LANES;

/// Vectors of a panel.
pub const VECTORS: usize = 2;
/// Rows of weights of a panel.
pub const WIDTH: usize = VECTORS * LANES;

/// Weights, packed once for several calls.
#[derive(Clone, Debug)]
pub struct PackedW {
    /// Codes: panels of as many pairs of vectors as a row has words.
    pub words: AlignedVec<i32>,
    /// Scales: panels of as many pairs of vectors as there are groups.
    pub scales: AlignedVec<f32>,
    /// Zero points, as scales; 8 where the problem has none.
    pub zeros: AlignedVec<u8>,
    /// What they were made for.
    shape: Shape,
}

/// How a row of weights is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    n: usize,
    k: usize,
    /// Columns of a group.
    pub group: usize,
    /// Groups.
    pub groups: usize,
    bits: usize,
    zeros: bool,
}

impl Shape {
    /// That of a problem.
    pub fn new(p: &MatmulNbits) -> Shape {
        Shape { n: p.n, k: p.k, group: p.group, groups: p.groups(), bits: p.bits, zeros: p.zeros }
    }

    /// Panels.
    pub fn panels(&self) -> usize {
        self.n.div_ceil(WIDTH)
    }

    /// Columns of group `g`.
    pub fn columns(&self, g: usize) -> std::ops::Range<usize> {
        g * self.group..self.k.min((g + 1) * self.group)
    }

    /// Words of a row, of group `g`.
    pub fn words_of(&self, g: usize) -> usize {
        self.columns(g).len().div_ceil(self.codes())
    }

    /// Words of a row, over all groups.
    pub fn words(&self) -> usize {
        // All groups but the last are whole.
        self.groups.checked_sub(1).map_or(0, |last| last * self.words_of(0) + self.words_of(last))
    }

    /// Codes of a word.
    pub fn codes(&self) -> usize {
        32 / self.bits
    }
}

impl PackedW {
    /// Packs rows as the operator has them, with n×groups scales and zero points.
    pub fn new<S: Narrow>(p: &MatmulNbits, w: &[u8], scale: &[S], zero: &[u8]) -> PackedW {
        let shape = Shape::new(p);
        let (panels, words, groups, line) = (shape.panels(), shape.words(), shape.groups, p.line());
        let mut packed = PackedW {
            words: AlignedVec::zeroed(panels * words * WIDTH),
            scales: AlignedVec::zeroed(panels * groups * WIDTH),
            zeros: AlignedVec::zeroed(panels * groups * WIDTH),
            shape,
        };
        for j in 0..p.n {
            let (panel, lane) = (j / WIDTH, j % WIDTH);
            let mut at = panel * words;
            for g in 0..groups {
                let of = (panel * groups + g) * WIDTH + lane;
                packed.scales[of] = scale[j * groups + g].widened();
                packed.zeros[of] = zero.get(j * groups + g).copied().unwrap_or(p.middle());
                let columns = shape.columns(g);
                for first in columns.clone().step_by(shape.codes()) {
                    let code = |k: usize| u32::from(p.code(&w[j * line..], k));
                    let all = first..columns.end.min(first + shape.codes());
                    let word = all.enumerate().fold(0u32, |word, (i, k)| word | code(k) << (p.bits * i));
                    packed.words[at * WIDTH + lane] = word as i32;
                    at += 1;
                }
            }
        }
        packed
    }

    /// Whether they were made for such a problem.
    pub fn fits(&self, p: &MatmulNbits) -> bool {
        self.shape == Shape::new(p)
    }

    /// How rows are cut.
    pub fn shape(&self) -> Shape {
        self.shape
    }
}

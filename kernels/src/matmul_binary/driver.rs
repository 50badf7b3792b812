//! Counts of sixteen columns at a time.

use std::ops::Range;

use etalon_reference::ops::matmul_binary::MatmulBinary;

use crate::aligned::AlignedVec;
use crate::disjoint::Disjoint;
use crate::dotted::Size;
use crate::faults::fault;
use crate::isa::arrays;
use crate::isa::bits::Bits;
use crate::isa::dot::Job;
use crate::isa::wide::LANES;
use crate::pool::Pool;
use crate::workspace::Workspace;

/// Operations in a nanosecond of one thread, about.
pub const OPERATIONS_A_NS: u64 = 500;
/// Bytes of a word.
const BYTES: usize = 4;

/// Weights, packed once for several calls.
#[derive(Clone, Debug)]
pub struct PackedBits {
    /// Panels of as many vectors as a row has words.
    words: AlignedVec<i32>,
    /// n and k.
    fits: (usize, usize),
}

/// Words of a row.
fn words(p: &MatmulBinary) -> usize {
    p.line().div_ceil(BYTES)
}

/// Word `at` of a row; what is behind the last element is 0.
fn word(p: &MatmulBinary, row: &[u8], at: usize) -> i32 {
    let bytes = &row[at * BYTES..p.line().min((at + 1) * BYTES)];
    let word = bytes.iter().rev().fold(0u32, |word, &byte| word << 8 | u32::from(byte));
    let left = p.k - 32 * at;
    (if left < 32 && !fault!("matmul_binary.last-bits") { word & ((1 << left) - 1) } else { word }) as i32
}

impl PackedBits {
    /// Packs rows of bytes.
    pub fn new(p: &MatmulBinary, w: &[u8]) -> PackedBits {
        let (words, line) = (words(p), p.line());
        let mut packed = AlignedVec::zeroed(p.n.div_ceil(LANES) * words * LANES);
        for j in 0..p.n {
            let row = &w[j * line..][..line];
            for at in 0..words {
                packed[(j / LANES * words + at) * LANES + j % LANES] = word(p, row, at);
            }
        }
        PackedBits { words: packed, fits: (p.n, p.k) }
    }

    /// Whether they were made for such a problem.
    pub fn fits(&self, p: &MatmulBinary) -> bool {
        self.fits == (p.n, p.k)
    }
}

/// All outputs.
pub fn matmul<B: Bits>(
    bits: B,
    p: &MatmulBinary,
    (a, packed): (&[u8], &PackedBits),
    out: &mut [i32],
    pool: &Pool,
    workspace: &mut Workspace,
) {
    if p.m == 0 || p.n == 0 {
        return;
    }
    let words = words(p);
    let lines = workspace.slice::<i32>(p.m * words);
    for i in 0..p.m {
        let row = &a[i * p.line()..][..p.line()];
        lines[i * words..][..words].iter_mut().enumerate().for_each(|(at, to)| *to = word(p, row, at));
    }
    let size = Size { m: p.m, n: p.n, k: p.k, batch: 1, of_b: 1 };
    let threads = pool.threads_for(size.operations() / OPERATIONS_A_NS);
    let (lines, out) = (&*lines, Disjoint::new(out));
    pool.ranges(threads, p.n.div_ceil(LANES), |panels| {
        bits.enter(Panels { bits, p, lines, packed: &packed.words, words, panels, out: &out });
    });
}

/// Some panels, for all rows.
struct Panels<'a, B> {
    bits: B,
    p: &'a MatmulBinary,
    lines: &'a [i32],
    packed: &'a [i32],
    words: usize,
    panels: Range<usize>,
    out: &'a Disjoint<'a, i32>,
}

impl<B: Bits> Job for Panels<'_, B> {
    #[inline(always)]
    fn run(self) {
        for panel in self.panels.clone() {
            let mut top = 0;
            while top < self.p.m {
                top += match self.p.m - top {
                    8.. => self.block::<8>(panel, top),
                    4.. => self.block::<4>(panel, top),
                    2.. => self.block::<2>(panel, top),
                    _ => self.block::<1>(panel, top),
                };
            }
        }
    }
}

impl<B: Bits> Panels<'_, B> {
    /// `R` rows from `top` on; says how many.
    #[inline(always)]
    fn block<const R: usize>(&self, panel: usize, top: usize) -> usize {
        let (bits, words, p) = (self.bits, self.words, self.p);
        let packed = self.packed[panel * words * LANES..][..words * LANES].as_chunks::<LANES>().0;
        let lines: [&[i32]; R] = arrays::from_fn(|r| &self.lines[(top + r) * words..][..words]);
        let mut totals = [bits.splat(0); R];
        for first in (0..words).step_by(B::BATCH.min(words.max(1))) {
            if fault!("matmul_binary.second-batch") && first > 0 {
                break;
            }
            let mut parts = [bits.splat(0); R];
            for at in first..words.min(first.saturating_add(B::BATCH)) {
                let w = bits.load(&packed[at]);
                for r in 0..R {
                    parts[r] = bits.count(parts[r], bits.splat(lines[r][at]), w);
                }
            }
            totals.iter_mut().zip(parts).for_each(|(total, part)| *total = bits.fold(*total, part));
        }
        let columns = panel * LANES..p.n.min((panel + 1) * LANES);
        for (r, total) in totals.into_iter().enumerate() {
            let i = top + r;
            // SAFETY: tasks have different panels, which are columns.
            let out = unsafe { self.out.part(i * p.n + columns.start..i * p.n + columns.end) };
            for (out, count) in out.iter_mut().zip(bits.lanes(total)) {
                *out = (p.k as i32).wrapping_sub(count.wrapping_mul(2));
            }
        }
        R
    }
}

//! Small products: one tile after the other, where the operands lie.
//!
//! Nothing is packed, cut, brought close or summed in several chunks, all of which takes longer than some tiles.

use etalon_reference::Element;
use etalon_reference::ops::gemm::CHUNK;

use super::driver::{FLOPS_A_NS, Task, packs_b};
use super::epilogue::Fold;
use super::pack::wants_copy;
use super::tile::{Block, Tile};
use crate::disjoint::Disjoint;
use crate::faults::fault;
use crate::isa::tile::{Ahead, Operands};
use crate::pool::{Pool, WORTH_NS};

/// Operations at least that are worth a second thread.
const SMALL_FLOPS: u64 = WORTH_NS * FLOPS_A_NS;

/// Whether tiles alone make a product.
pub fn pays<X: Tile>(x: &Task<'_, X::T>, pool: &Pool) -> bool {
    let p = x.p;
    let flops = [2, p.m, p.n, p.k].iter().fold(1u64, |all, &x| all.saturating_mul(x as u64));
    (p.batch == 1 && (1..=CHUNK).contains(&p.k) && flops < SMALL_FLOPS)
        && (p.alpha != 0.0 && !pool.is_eager() && !packs_b::<X>(x, p.m) && !wants_copy::<X::T>(&p.a))
}

/// All outputs, where it [pays].
pub fn gemm<X: Tile>(tile: X, x: &Task<'_, X::T>, (a, b): (&[X::T], &[X::T]), c: &mut [X::T]) {
    let p = x.p;
    let [alpha, beta] = [p.alpha, p.beta].map(X::T::from_f64);
    let out = Disjoint::new(c);
    for j in (0..p.n).step_by(X::NR) {
        if fault!("gemm.small-second-panel") && j > 0 {
            break;
        }
        let (width, b) = (X::NR.min(p.n - j), &b[j..]);
        for i in (0..p.m).step_by(X::MR) {
            let height = X::MR.min(p.m - i);
            let (a, ahead) = (&a[i * p.a.row..], Ahead::none(b));
            let operands = Operands { a, a_row: p.a.row, a_step: p.a.col, b, b_step: p.b.row, k: p.k, ahead };
            let finish = x.finish.part(i..i + height, j..j + width);
            // SAFETY: C's rows do not overlap, and no other part of it is in use.
            let mut block = unsafe { Block::new(&out, i * p.c.row + j, p.c.row) };
            tile.run(operands, height, width, &mut block, &Fold { alpha, beta, first: true, last: true, finish });
        }
    }
}

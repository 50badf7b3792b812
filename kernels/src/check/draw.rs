//! Which cases a question is asked of.
//!
//! For one kernel and one question: points from every domain in which the kernel has a part, points on each side of its
//! thresholds, points with large operands. Each fill, thread count and mode of the pool gets its share.

use etalon_reference::draw::Draw;
use etalon_reference::{Case, DType, Fill, Operator, Point, Problem};

use super::suite::Question;
use crate::kernel::Kernel;

/// Numbers of threads that cases take in turn: one, some, an odd number, and more than 16.
const THREADS: [usize; 5] = [1, 2, 3, 5, 17];

/// Drawn points for each fill from which on both sides of thresholds are asked, too: a quick look at fewer leaves them out.
const ENOUGH: usize = 16;

/// How much is asked.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Quota {
    /// Drawn points for each fill.
    pub drawn: usize,
    /// Whether both sides of each threshold are asked.
    pub thresholds: bool,
    /// Points with operands of more than 1 MiB.
    pub large: usize,
    /// Cost of a drawn problem at most, in operations.
    pub cost: f64,
    /// Cost of a problem beside a threshold or a large one.
    pub far_cost: f64,
}

impl Quota {
    /// The share of a question when agreement is asked of `drawn` points for each fill.
    pub fn of(question: Question, drawn: usize) -> Quota {
        let share = drawn.div_ceil(4).max(1);
        let all = Quota { drawn: share, thresholds: drawn >= ENOUGH, large: 1, cost: 2e6, far_cost: 1e7 };
        let few = Quota { thresholds: false, large: 0, ..all };
        match question {
            Question::Parity => Quota { drawn, large: 3, ..all },
            Question::Threads | Question::Pages | Question::Canonical => all,
            Question::Repeat | Question::Alignment => Quota { large: 1, ..few },
            Question::Batch => few,
            Question::ShortBuffer => Quota { drawn: share.div_ceil(2), ..few },
        }
    }
}

/// The cases of one question, in a fixed order. None if the kernel supports nothing that can be drawn.
pub fn cases(
    operator: &'static dyn Operator,
    kernel: &Kernel,
    dtype: DType,
    question: Question,
    quota: &Quota,
    seed: u64,
) -> Vec<Case> {
    let supports = |problem: &dyn Problem| kernel.applies(problem, dtype).is_ok();
    let mut draw = Draw::new(operator, dtype, &supports, seed ^ (question as u64) << 48);
    let mut cases = Vec::new();
    let mut add = |draw: &mut Draw<'_>, point: Point, fill: Fill| {
        let (turn, seed) = (cases.len(), draw.bits() % (1 << 32));
        // Modes change slower than threads, so that each number of threads meets both.
        let (threads, eager) = (THREADS[turn % THREADS.len()], (turn / THREADS.len()).is_multiple_of(2));
        let (op, kernel) = (operator.name().into(), kernel.name.into());
        cases.push(Case { op, kernel, dtype, point, threads, eager, fill, seed });
    };
    for fill in Fill::ALL {
        for point in draw.points(quota.drawn, quota.cost) {
            add(&mut draw, point, fill);
        }
    }
    // Sums of small integers are the same in any order: where bits are compared, reals show more.
    let fills = if question == Question::Parity { [Fill::Exact, Fill::Real] } else { [Fill::Real; 2] };
    if quota.thresholds {
        for (turn, (_, _, point)) in draw.beside(kernel.thresholds, quota.far_cost).into_iter().enumerate() {
            add(&mut draw, point, fills[turn / 2 % 2]);
        }
    }
    for (turn, point) in draw.large(quota.large, quota.far_cost).into_iter().enumerate() {
        add(&mut draw, point, fills[turn % 2]);
    }
    cases
}

//! Which cases a question is asked of.
//!
//! For one kernel and one question: points from every domain in which the kernel has a part, points on each side of its
//! thresholds and on each of its paths, points with large operands. Each fill, thread count and mode of the pool gets its share.

use etalon_reference::draw::Draw;
use etalon_reference::{Case, Fill, Operator, Point, Problem, Types};

use super::suite::Question;
use crate::kernel::Kernel;

/// Numbers of threads that cases take in turn: one, some, an odd number, and more than 16.
const THREADS: [usize; 5] = [1, 2, 3, 5, 17];

/// Drawn points for each fill from which on both sides of thresholds are asked, too: a quick look at fewer leaves them out.
const ENOUGH: usize = 16;

/// Points on each path of a kernel, where agreement is asked.
const PATH_POINTS: usize = 4;

/// How much is asked.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Quota {
    /// Drawn points for each fill.
    pub drawn: usize,
    /// Whether both sides of each threshold, and each path, are asked.
    pub thresholds: bool,
    /// Points with operands of more than 1 MiB.
    pub large: usize,
    /// Cost of a drawn problem at most, in operations.
    pub cost: f64,
    /// Cost of a problem beside a threshold, on a path, or a large one.
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

/// Draws the cases of one kernel, question by question.
pub struct Drawing<'a> {
    operator: &'static Operator,
    kernel: &'a Kernel,
    types: Types,
    draw: Draw<'a>,
    /// Points beside the kernel's thresholds, drawn when first asked for: every question that asks for them gets the same
    /// points, with inputs of its own.
    beside: Option<(f64, Vec<Point>)>,
}

impl<'a> Drawing<'a> {
    /// `supports` is the kernel's: whether it applies to a problem.
    pub fn new(
        operator: &'static Operator,
        kernel: &'a Kernel,
        types: Types,
        supports: &'a dyn Fn(&dyn Problem) -> bool,
        seed: u64,
    ) -> Drawing<'a> {
        Drawing { operator, kernel, types, draw: Draw::new(operator, types, supports, seed), beside: None }
    }

    /// The cases of one question, in a fixed order. None if the kernel supports nothing that can be drawn.
    pub fn cases(&mut self, question: Question, quota: &Quota) -> Vec<Case> {
        let mut points: Vec<(Point, Fill)> = Vec::new();
        for fill in Fill::ALL {
            points.extend(self.draw.points(quota.drawn, quota.cost).into_iter().map(|point| (point, fill)));
        }
        // Sums of small integers are the same in any order: where bits are compared, reals show more.
        let fills = if question == Question::Parity { [Fill::Exact, Fill::Real] } else { [Fill::Real; 2] };
        if quota.thresholds {
            if self.beside.as_ref().is_none_or(|(cost, _)| *cost != quota.far_cost) {
                let beside = self.draw.beside(self.kernel.thresholds, quota.far_cost);
                self.beside = Some((quota.far_cost, beside.into_iter().map(|(.., point)| point).collect()));
            }
            let beside = self.beside.iter().flat_map(|(_, points)| points.iter().cloned()).enumerate();
            points.extend(beside.map(|(turn, point)| (point, fills[turn / 2 % 2])));
        }
        let each = match question {
            _ if !quota.thresholds => 0,
            Question::Parity => PATH_POINTS,
            _ => 1,
        };
        let paths = self.draw.within(self.kernel.paths, each, quota.far_cost).into_iter().enumerate();
        points.extend(paths.map(|(turn, (_, point))| (point, fills[turn % 2])));
        let large = self.draw.large(quota.large, quota.far_cost).into_iter().enumerate();
        points.extend(large.map(|(turn, point)| (point, fills[turn % 2])));
        points.into_iter().enumerate().map(|(turn, (point, fill))| self.case(turn, point, fill)).collect()
    }

    fn case(&mut self, turn: usize, point: Point, fill: Fill) -> Case {
        // Modes change slower than threads, so that each number of threads meets both.
        let (threads, eager) = (THREADS[turn % THREADS.len()], (turn / THREADS.len()).is_multiple_of(2));
        let (op, kernel) = (self.operator.name.into(), self.kernel.name.into());
        Case { op, kernel, types: self.types, point, threads, eager, fill, seed: self.draw.bits() % (1 << 32) }
    }
}

//! Drawing of points for one kernel: from what it supports, beside its thresholds, and large.
//!
//! A seed decides everything: the same seed draws the same points on every machine.

use proptest::prelude::Rng;
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

use crate::reach::{Side, Threshold, domains, grow};
use crate::strategy::problems_in;
use crate::{DType, Domain, Operator, Point, Problem};

/// Draws from a domain before it counts as one that the kernel has no part in.
const TRIES: usize = 48;
/// Operands of a large point span more than this many bytes.
pub const LARGE: f64 = 1048576.0;

/// Draws points of one operator that a kernel supports.
pub struct Draw<'a> {
    operator: &'static dyn Operator,
    dtype: DType,
    supports: &'a dyn Fn(&dyn Problem) -> bool,
    runner: TestRunner,
}

impl<'a> Draw<'a> {
    /// Points for which `supports` holds, from `seed`.
    pub fn new(
        operator: &'static dyn Operator,
        dtype: DType,
        supports: &'a dyn Fn(&dyn Problem) -> bool,
        seed: u64,
    ) -> Draw<'a> {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&seed.to_le_bytes());
        let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
        let config = Config { failure_persistence: None, ..Config::default() };
        Draw { operator, dtype, supports, runner: TestRunner::new_with_rng(config, rng) }
    }

    /// 64 random bits.
    pub fn bits(&mut self) -> u64 {
        self.runner.rng().next_u64()
    }

    /// `count` points whose check costs at most `most`, from all domains in which the kernel has a part, in turn. Fewer
    /// if no domain gives any. Every fourth one may cost as much, the others a sixteenth, where the domain allows it: most
    /// faults show on small problems, and many small ones are asked in the time of a large one.
    pub fn points(&mut self, count: usize, most: f64) -> Vec<Point> {
        let mut open: Vec<Option<&'static Domain>> = domains(self.operator).collect();
        let mut points = Vec::new();
        let mut turn = 0;
        while points.len() < count && !open.is_empty() {
            turn %= open.len();
            let small = if points.len() % 4 == 3 { most } else { most / 16.0 };
            match self.point(open[turn], small).or_else(|| self.point(open[turn], most)) {
                Some(point) => {
                    points.push(point);
                    turn += 1;
                }
                None => {
                    open.remove(turn);
                }
            }
        }
        points
    }

    /// A point beside each side of each threshold. What no draw brings there is left out.
    pub fn beside(&mut self, thresholds: &[Threshold], most: f64) -> Vec<(Threshold, Side, Point)> {
        let mut points = Vec::new();
        for &threshold in thresholds {
            for side in Side::ALL {
                let (operator, dtype) = (self.operator, self.dtype);
                let place = |start: &Point, choice, most| threshold.place(side, operator, dtype, start, choice, most);
                points.extend(self.moved(most, place).map(|point| (threshold, side, point)));
            }
        }
        points
    }

    /// `count` points whose operands span more than [`LARGE`] bytes.
    pub fn large(&mut self, count: usize, most: f64) -> Vec<Point> {
        let (operator, dtype) = (self.operator, self.dtype);
        let place = |start: &Point, choice, most| grow(operator, dtype, start, choice, LARGE, most);
        (0..count).filter_map(|_| self.moved(most, place)).collect()
    }

    /// A supported point in a domain.
    fn point(&mut self, domain: Option<&'static Domain>, most: f64) -> Option<Point> {
        let drawn = problems_in(self.operator, domain, most);
        (0..TRIES).find_map(|_| {
            let (point, problem) = drawn.new_tree(&mut self.runner).ok()?.current();
            (self.supports)(&*problem).then_some(point)
        })
    }

    /// A drawn point after `place`, which is told the limit of cost, if that is supported, too.
    fn moved(&mut self, most: f64, place: impl Fn(&Point, u64, f64) -> Option<Point>) -> Option<Point> {
        let all: Vec<Option<&'static Domain>> = domains(self.operator).collect();
        // A few operations more or less do not matter here: the other sizes are fitted afterwards.
        let small = 1e5;
        (0..TRIES).find_map(|turn| {
            // The other sizes as small as they can be, if that gives a point.
            let most = if turn < TRIES / 2 { most / 10.0 } else { most };
            let domain = all[self.bits() as usize % all.len()];
            let (start, _) = problems_in(self.operator, domain, small).new_tree(&mut self.runner).ok()?.current();
            let moved = place(&start, self.bits(), most)?;
            let problem = self.operator.problem(&moved).ok()?;
            (self.supports)(&*problem).then_some(moved)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operator::downcast;
    use crate::ops::conv2d::{Conv2d, Conv2dOperator};
    use crate::ops::{gemm::GemmOperator, winograd};

    #[test]
    fn a_kernel_for_few_problems_gets_its_share() {
        let supports = |problem: &dyn Problem| winograd::fits(downcast::<Conv2d>(problem)).is_ok();
        let mut draw = Draw::new(&Conv2dOperator, DType::F32, &supports, 1);
        assert_eq!(draw.points(40, 2e6).len(), 40);
        assert_eq!(draw.large(3, 2e7).len(), 3);
    }

    #[test]
    fn what_no_problem_satisfies_gives_no_point() {
        let mut draw = Draw::new(&GemmOperator, DType::F32, &|_| false, 1);
        assert!(draw.points(4, 1e6).is_empty() && draw.large(1, 1e7).is_empty());
        assert!(draw.beside(&[Threshold::axis("k", 512)], 1e7).is_empty());
    }

    #[test]
    fn a_seed_decides() {
        let points = |seed| Draw::new(&GemmOperator, DType::F32, &|_| true, seed).points(20, 1e6);
        assert_eq!(points(3), points(3));
        assert_ne!(points(3), points(4));
    }

    #[test]
    fn every_side_is_reached() {
        let thresholds = [Threshold::axis("k", 512), Threshold::bytes("b", 1 << 20), Threshold::operations(800_000)];
        let found = Draw::new(&GemmOperator, DType::F32, &|_| true, 1).beside(&thresholds, 2e7);
        assert_eq!(found.len(), 12, "{found:?}");
    }
}

//! Drawing of points for one kernel: from what it supports, beside its thresholds, and large.
//!
//! A seed decides everything: the same seed draws the same points on every machine. Values of axes are distributed as those of
//! [`strategy`](crate::strategy), which shrinks, but takes much longer to draw.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use crate::axis::{Axis, Kind};
use crate::reach::{Side, Threshold, domains, fit, grow};
use crate::{Domain, Operator, Point, Problem, Types};

/// Points before a domain counts as one without problems: of those of all axes, most are none for some operators.
const DRAWS: usize = 1000;
/// Problems of a domain before it counts as one that the kernel has no part in.
const TRIES: usize = 48;
/// Operands of a large point span more than this many bytes.
pub const LARGE: f64 = 1048576.0;

/// Draws points of one operator that a kernel supports.
pub struct Draw<'a> {
    operator: &'static Operator,
    types: Types,
    supports: &'a dyn Fn(&dyn Problem) -> bool,
    /// The domains in which the kernel has a part, as far as is known; of a family, those of each member in turn.
    open: Vec<Place>,
    rng: ChaCha8Rng,
}

impl<'a> Draw<'a> {
    /// Points for which `supports` holds, from `seed`.
    pub fn new(
        operator: &'static Operator,
        types: Types,
        supports: &'a dyn Fn(&dyn Problem) -> bool,
        seed: u64,
    ) -> Draw<'a> {
        let (open, rng) = (places(operator), ChaCha8Rng::seed_from_u64(seed));
        Draw { operator, types, supports, open, rng }
    }

    /// 64 random bits.
    pub fn bits(&mut self) -> u64 {
        self.rng.next_u64()
    }

    /// `count` points whose check costs at most `most`, from all domains in which the kernel has a part, in turn; of a
    /// family, at least a quarter of that for each member. Fewer if no domain gives any. Every fourth one may cost as much, the others a sixteenth, where the domain allows it: most
    /// faults show on small problems, and many small ones are asked in the time of a large one.
    pub fn points(&mut self, count: usize, most: f64) -> Vec<Point> {
        let members = members(self.operator).map_or(1, |(_, count)| count);
        let count = count.max(count.div_ceil(4) * members);
        let mut points = Vec::new();
        let mut turn = 0;
        while points.len() < count && !self.open.is_empty() {
            turn %= self.open.len();
            let place = self.open[turn];
            let small = if points.len() % 4 == 3 { most } else { most / 16.0 };
            match self.point(place, small).or_else(|| self.point(place, most)) {
                Some(point) => {
                    points.push(point);
                    turn += 1;
                }
                None => {
                    self.open.remove(turn);
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
                let (operator, types) = (self.operator, self.types);
                let place = |start: &Point, choice, most| threshold.place(side, operator, types, start, choice, most);
                points.extend(self.moved(most, place).map(|point| (threshold, side, point)));
            }
        }
        points
    }

    /// `each` points in each of `paths`. What no draw brings there is left out.
    pub fn within(&mut self, paths: &'static [Domain], each: usize, most: f64) -> Vec<(&'static Domain, Point)> {
        let turns = paths.iter().flat_map(|path| (0..each).map(move |_| path));
        turns.filter_map(|path| Some((path, self.point(Place::of(path), most)?))).collect()
    }

    /// `count` points whose operands span more than [`LARGE`] bytes.
    pub fn large(&mut self, count: usize, most: f64) -> Vec<Point> {
        let (operator, types) = (self.operator, self.types);
        let place = |start: &Point, choice, most| grow(operator, types, start, choice, LARGE, most);
        (0..count).filter_map(|_| self.moved(most, place)).collect()
    }

    /// A problem of a place, supported or not.
    fn problem(&mut self, place: Place, most: f64) -> Option<(Point, Box<dyn Problem>)> {
        let fixed = |axis: &str| place.domain.is_some_and(|domain| domain.fixes(axis));
        let axes = self.operator.axes;
        (0..DRAWS).find_map(|_| {
            let point = Point::from_values(axes, axes.iter().map(|axis| value(axis, &mut self.rng)).collect());
            fit(self.operator, place.restrict(point), fixed, most)
        })
    }

    /// A supported point of a place.
    fn point(&mut self, place: Place, most: f64) -> Option<Point> {
        (0..TRIES).find_map(|_| {
            let (point, problem) = self.problem(place, most)?;
            (self.supports)(&*problem).then_some(point)
        })
    }

    /// A drawn point after `place`, which is told the limit of cost, if that is supported, too.
    fn moved(&mut self, most: f64, place: impl Fn(&Point, u64, f64) -> Option<Point>) -> Option<Point> {
        if self.open.is_empty() {
            return None;
        }
        // A few operations more or less do not matter here: the other sizes are fitted afterwards.
        let small = 1e5;
        (0..4 * TRIES).find_map(|turn| {
            // The other sizes as small as they can be, if that gives a point.
            let most = if turn < TRIES / 2 { most / 10.0 } else { most };
            let start = self.open[self.rng.next_u64() as usize % self.open.len()];
            let (start, _) = self.problem(start, small)?;
            let moved = place(&start, self.rng.next_u64(), most)?;
            let problem = self.operator.problem(&moved).ok()?;
            (self.supports)(&*problem).then_some(moved)
        })
    }
}

/// Where points are drawn: a domain, all points without one, and the member of a family.
#[derive(Clone, Copy)]
struct Place {
    domain: Option<&'static Domain>,
    member: Option<(&'static str, i64)>,
}

impl Place {
    /// A domain, of any member.
    fn of(domain: &'static Domain) -> Place {
        Place { domain: Some(domain), member: None }
    }

    /// The point moved there.
    fn restrict(&self, point: Point) -> Point {
        let point = self.member.map_or(point.clone(), |(axis, member)| point.with(axis, member));
        self.domain.map_or(point.clone(), |domain| domain.restrict(point))
    }
}

/// The axis that names the members of a family, and their number.
fn members(operator: &Operator) -> Option<(&'static str, usize)> {
    operator.axes.iter().find(|axis| axis.variant).map(|axis| match axis.kind {
        Kind::Choice(names) => (axis.name, names.len()),
        Kind::Int { .. } => (axis.name, 1),
    })
}

/// Every place of an operator, the members of a family taking turns first.
fn places(operator: &Operator) -> Vec<Place> {
    let of = |domain| match members(operator) {
        None => vec![Place { domain, member: None }],
        Some((axis, count)) => (0..count as i64).map(|i| Place { domain, member: Some((axis, i)) }).collect(),
    };
    domains(operator).flat_map(of).collect()
}

/// A value of one axis: of a choice the default half of the time, of an integer a favoured one two times in three. Members of
/// a family are drawn evenly.
fn value(axis: &Axis, rng: &mut ChaCha8Rng) -> i64 {
    let (dice, raw) = (rng.next_u32(), i64::from(rng.next_u32()));
    match axis.kind {
        Kind::Choice(_) if dice.is_multiple_of(2) && !axis.variant => 0,
        Kind::Choice(names) => raw % names.len() as i64,
        Kind::Int { favoured, .. } if !favoured.is_empty() && !dice.is_multiple_of(3) => {
            favoured[raw as usize % favoured.len()]
        }
        Kind::Int { least, tested, .. } => least + raw % (tested + 1 - least),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operator::downcast;
    use crate::ops::conv2d::{CONV2D, Conv2d};
    use crate::ops::{activation::ACTIVATION, gemm::GEMM, winograd};

    #[test]
    fn a_kernel_for_few_problems_gets_its_share() {
        let supports = |problem: &dyn Problem| winograd::fits(downcast::<Conv2d>(problem)).is_ok();
        let mut draw = Draw::new(&CONV2D, Types::F32, &supports, 1);
        assert_eq!(draw.points(40, 2e6).len(), 40);
        assert_eq!(draw.large(3, 2e7).len(), 3);
    }

    #[test]
    fn what_no_problem_satisfies_gives_no_point() {
        let mut draw = Draw::new(&GEMM, Types::F32, &|_| false, 1);
        assert!(draw.points(4, 1e6).is_empty() && draw.large(1, 1e7).is_empty());
        assert!(draw.beside(&[Threshold::axis("k", 512)], 1e7).is_empty());
    }

    #[test]
    fn paths_are_kept_to() {
        const PATHS: &[Domain] = &[
            Domain { name: "long", fixed: &[("k", &[700]), ("b", &[0])] },
            Domain { name: "too long", fixed: &[("m", &[1]), ("n", &[1]), ("batch", &[1]), ("k", &[1 << 22])] },
        ];
        let found = Draw::new(&GEMM, Types::F32, &|_| true, 1).within(PATHS, 3, 1e6);
        assert_eq!(found.len(), 3);
        assert!(found.iter().all(|(path, point)| path.name == "long" && point.get("k") == 700 && point.get("b") == 0));
    }

    #[test]
    fn a_seed_decides() {
        let points = |seed| Draw::new(&GEMM, Types::F32, &|_| true, seed).points(20, 1e6);
        assert_eq!(points(3), points(3));
        assert_ne!(points(3), points(4));
    }

    #[test]
    fn members_of_a_family_take_turns() {
        let points = Draw::new(&ACTIVATION, Types::F32, &|_| true, 1).points(8, 1e5);
        let members = members(&ACTIVATION).expect("a family").1;
        let of = |member: usize| points.iter().filter(|point| point.get("f") == member as i64).count();
        assert!((0..members).all(|member| of(member) == 2), "{points:?}");
    }

    #[test]
    fn every_side_is_reached() {
        let thresholds = [Threshold::axis("k", 512), Threshold::bytes("b", 1 << 20), Threshold::operations(800_000)];
        let found = Draw::new(&GEMM, Types::F32, &|_| true, 1).beside(&thresholds, 2e7);
        assert_eq!(found.len(), 12, "{found:?}");
    }
}

//! Points that drawing each axis by itself hardly reaches: sub-domains, both sides of a threshold, large operands.
//!
//! An operator names its [`Domain`]s, a kernel its [`Threshold`]s. Both are data; [`fit`], [`Threshold::place`] and
//! [`grow`] turn a drawn point into one that lies there.

use crate::axis::Kind;
use crate::{Operator, Point, Port, Problem, Types};

/// Largest value of an axis that is tried to reach a threshold.
const FARTHEST: i64 = 1 << 24;

/// A named part of an operator's points, given by the values that some axes take there. Operators name those that many
/// kernels tell apart; a kernel names those where it alone takes a path of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Domain {
    /// Name, unique within the operator or the kernel: `3x3`, `depthwise`.
    pub name: &'static str,
    /// Axes with their values there.
    pub fixed: &'static [(&'static str, &'static [i64])],
}

impl Domain {
    /// The point moved into the domain. A point of the domain stays where it is.
    ///
    /// # Panics
    /// If the operator lacks one of the axes; a test of the contract asks.
    pub fn restrict(&self, point: Point) -> Point {
        self.fixed.iter().fold(point, |point, &(axis, values)| {
            let value = point.get(axis);
            if values.contains(&value) {
                return point;
            }
            let chosen = values[value.rem_euclid(values.len() as i64) as usize];
            point.with(axis, chosen)
        })
    }

    /// Whether the domain decides the axis.
    pub fn fixes(&self, axis: &str) -> bool {
        self.fixed.iter().any(|(name, _)| *name == axis)
    }
}

/// The domains to draw from in turn: all points, then each that the operator names.
pub fn domains(operator: &Operator) -> impl Iterator<Item = Option<&'static Domain>> {
    std::iter::once(None).chain(operator.domains.iter().map(Some))
}

/// What a threshold is a value of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Measure {
    /// The coordinate on an axis.
    Axis(&'static str),
    /// The bytes that an operand spans.
    Bytes(&'static str),
    /// The bytes that all operands span.
    Operands,
    /// Operations.
    Operations,
}

/// A size at which a kernel takes another path: a block's end, a strip's, a switch to streaming or to more threads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Threshold {
    /// What is measured.
    pub of: Measure,
    /// The size.
    pub at: i64,
}

/// Where a point lies beside a threshold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Side {
    /// One step below it.
    Below,
    /// On it.
    At,
    /// One step above it.
    Above,
    /// One step above twice the threshold: the third block, with a remainder.
    Twice,
}

impl Side {
    /// Every side.
    pub const ALL: [Side; 4] = [Side::Below, Side::At, Side::Above, Side::Twice];
}

impl Threshold {
    /// A coordinate.
    pub const fn axis(name: &'static str, at: i64) -> Threshold {
        Threshold { of: Measure::Axis(name), at }
    }

    /// The bytes of an operand.
    pub const fn bytes(port: &'static str, at: usize) -> Threshold {
        Threshold { of: Measure::Bytes(port), at: at as i64 }
    }

    /// Operations.
    pub const fn operations(at: i64) -> Threshold {
        Threshold { of: Measure::Operations, at }
    }

    /// The point moved beside the threshold; the other sizes are halved until the problem costs at most `most`. Where
    /// several axes move the measure, `choice` says which. `None` if there is no such problem.
    pub fn place(
        &self,
        side: Side,
        operator: &Operator,
        types: Types,
        point: &Point,
        choice: u64,
        most: f64,
    ) -> Option<Point> {
        if let Measure::Axis(axis) = self.of {
            let value = match side {
                Side::Below => self.at - 1,
                Side::At => self.at,
                Side::Above => self.at + 1,
                Side::Twice => 2 * self.at + 1,
            };
            return fit(operator, point.clone().with(axis, value), |name| name == axis, most).map(|(point, _)| point);
        }
        let (at, step) = match side {
            Side::Below => (self.at, -1),
            Side::At => (self.at, 0),
            Side::Above => (self.at, 1),
            Side::Twice => (2 * self.at, 1),
        };
        reach(self.of, at as f64, step, operator, types, point, choice, most)
    }
}

/// The point with one extent made so large that its operands span more than `bytes`.
pub fn grow(operator: &Operator, types: Types, point: &Point, choice: u64, bytes: f64, most: f64) -> Option<Point> {
    let remainder = 1 + (choice >> 32) as i64 % 31;
    reach(Measure::Operands, bytes, remainder, operator, types, point, choice, most)
}

/// The point with its largest sizes, but for those that `keeps` says, halved until the problem costs at most `most`.
/// `None` if the point makes no problem, or none that cheap.
pub fn fit(
    operator: &Operator,
    mut point: Point,
    keeps: impl Fn(&str) -> bool,
    most: f64,
) -> Option<(Point, Box<dyn Problem>)> {
    loop {
        let problem = operator.problem(&point).ok()?;
        if problem.work(operator.types[0]).cost() <= most {
            return Some((point, problem));
        }
        point = halved(point, &keeps)?;
    }
}

/// With the largest size halved that may be; `None` if all are as small as they get.
fn halved(point: Point, keeps: impl Fn(&str) -> bool) -> Option<Point> {
    let sizes = point.axes().iter().zip(point.values()).filter_map(|(axis, &value)| match axis.kind {
        Kind::Int { least, .. } if value > least && !keeps(axis.name) => Some((axis.name, value, least)),
        _ => None,
    });
    let (axis, value, least) = sizes.max_by_key(|(_, value, _)| *value)?;
    Some(point.with(axis, (value / 2).max(least)))
}

/// The point with one extent moved so that the measure is `step` beyond the first value of at least `at`.
fn reach(
    measure: Measure,
    at: f64,
    step: i64,
    operator: &Operator,
    types: Types,
    point: &Point,
    choice: u64,
    most: f64,
) -> Option<Point> {
    let value = |point: &Point| measured(measure, operator, types, point);
    let here = value(point)?;
    let movers: Vec<&'static str> = (point.axes().iter())
        .filter(|axis| axis.extent)
        .map(|axis| axis.name)
        .filter(|axis| value(&point.clone().with(axis, 2 * point.get(axis) + 1)).is_some_and(|more| more > here))
        .collect();
    let axis = *movers.get(choice as usize % movers.len().max(1))?;
    let mut point = point.clone();
    loop {
        let moved = first(&point, axis, |p| value(p).is_some_and(|v| v >= at)).and_then(|edge| {
            let point = point.clone().with(axis, edge + step);
            let problem = operator.problem(&point).ok()?;
            (problem.work(operator.types[0]).cost() <= most).then_some(point)
        });
        if moved.is_some() {
            return moved;
        }
        point = halved(point, |name| name == axis)?;
        // A smaller point may make no problem at all.
        value(&point)?;
    }
}

/// The smallest value of the axis with which `beyond` holds; it then holds for all larger ones.
fn first(point: &Point, axis: &'static str, beyond: impl Fn(&Point) -> bool) -> Option<i64> {
    let holds = |value: i64| beyond(&point.clone().with(axis, value));
    let (mut low, mut high) = (0, 1);
    while !holds(high) {
        (low, high) = (high, high * 2);
        if high > FARTHEST {
            return None;
        }
    }
    while high - low > 1 {
        let middle = low + (high - low) / 2;
        if holds(middle) { high = middle } else { low = middle }
    }
    Some(high)
}

/// The measure's value; `None` if the point makes no problem.
fn measured(measure: Measure, operator: &Operator, types: Types, point: &Point) -> Option<f64> {
    let problem = operator.problem(point).ok()?;
    let bytes = |port: &Port| (port.layout.span() * port.dtype.size()) as f64;
    let ports = || problem.inputs(types).into_iter().chain(problem.outputs(types));
    Some(match measure {
        Measure::Axis(axis) => point.get(axis) as f64,
        Measure::Bytes(name) => ports().filter(|port| port.name == name).map(|port| bytes(&port)).fold(0.0, f64::max),
        Measure::Operands => ports().map(|port| bytes(&port)).sum(),
        Measure::Operations => problem.work(types).operations,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::gemm::GEMM;

    fn point(text: &str) -> Point {
        Point::parse(GEMM.axes, text).expect("a point")
    }

    #[test]
    fn a_domain_moves_what_is_outside_it() {
        let domain = Domain { name: "narrow", fixed: &[("m", &[1, 4]), ("b", &[1])] };
        assert_eq!(domain.restrict(point("m=4,n=9,k=2")), point("m=4,n=9,k=2,b=t"));
        assert_eq!(domain.restrict(point("m=7,n=9,k=2")), point("m=4,n=9,k=2,b=t"));
        assert!(domain.fixes("m") && !domain.fixes("n"));
    }

    #[test]
    fn axes_lie_beside_their_threshold_and_the_others_shrink() {
        let k = Threshold::axis("k", 512);
        let placed = Side::ALL.map(|side| {
            let start = point("m=100,n=100,k=3,beta=1");
            k.place(side, &GEMM, Types::F32, &start, 0, 2e5).expect("a point")
        });
        assert_eq!(placed.clone().map(|p| p.get("k")), [511, 512, 513, 1025]);
        for p in placed {
            assert!(2 * p.get("m") * p.get("n") * p.get("k") <= 200_000 && p.choice("beta") == Some("1"), "{p}");
        }
    }

    #[test]
    fn operands_lie_beside_their_threshold() {
        let b = Threshold::bytes("b", 1 << 20);
        let bytes = |side| {
            let p = b.place(side, &GEMM, Types::F32, &point("m=3,n=17,k=40"), 1, 1e7).expect("a point");
            measured(b.of, &GEMM, Types::F32, &p).expect("a problem")
        };
        let mib = f64::from(1 << 20);
        assert!(bytes(Side::Below) < mib && bytes(Side::At) >= mib && bytes(Side::Above) > mib);
        assert!(bytes(Side::Twice) > 2.0 * mib);
    }

    #[test]
    fn points_grow_beyond_a_size() {
        for choice in 0..9 {
            let grown = grow(&GEMM, Types::F32, &point("m=3,n=17,k=40"), choice, 1048576.0, 1e8);
            let grown = grown.unwrap_or_else(|| panic!("no point with choice {choice}"));
            let bytes = measured(Measure::Operands, &GEMM, Types::F32, &grown).expect("a problem");
            assert!(bytes > 1048576.0 && bytes < 4194304.0, "{grown}: {bytes}");
        }
        assert_eq!(grow(&GEMM, Types::F32, &point("m=0,n=0,k=0,batch=0"), 0, 1e6, 1e7), None);
    }
}

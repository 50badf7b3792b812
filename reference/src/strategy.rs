//! Property-test strategies over the axes.

use std::sync::Arc;

use proptest::prelude::*;

use crate::axis::{Axis, Kind};
use crate::reach::fit;
use crate::{Domain, Operator, Point, Problem};

/// A value of one axis; shrinks towards small values. Favoured values may lie beyond the range that is drawn.
fn value(axis: &Axis) -> BoxedStrategy<i64> {
    match axis.kind {
        Kind::Choice(names) if axis.variant => (0..names.len() as i64).boxed(),
        Kind::Choice(names) => {
            // The default half of the time: several unusual choices at once hide which one matters.
            prop_oneof![1 => Just(0), 1 => 0..names.len() as i64].boxed()
        }
        Kind::Int { least, tested, favoured: [] } => (least..=tested).boxed(),
        Kind::Int { least, tested, favoured } => {
            prop_oneof![2 => proptest::sample::select(favoured), 1 => least..=tested].boxed()
        }
    }
}

/// Points of the operator's tested range, whether they make a problem or not.
pub fn points(operator: &'static Operator) -> BoxedStrategy<Point> {
    let axes = operator.axes;
    axes.iter().map(value).collect::<Vec<_>>().prop_map(move |values| Point::from_values(axes, values)).boxed()
}

/// Points that make a problem whose check costs at most `most`: too large ones are made smaller. Half of them lie in a
/// domain that the operator names; a point whose domain has no problem that cheap stays where it was drawn.
pub fn problems(operator: &'static Operator, most: f64) -> BoxedStrategy<(Point, Arc<dyn Problem>)> {
    let domain: BoxedStrategy<Option<Domain>> = match operator.domains {
        [] => Just(None).boxed(),
        named => proptest::option::of(proptest::sample::select(named)).boxed(),
    };
    (points(operator), domain)
        .prop_filter_map("a valid problem within the limit of work", move |(point, domain)| {
            let inside = domain
                .and_then(|domain| fit(operator, domain.restrict(point.clone()), |axis| domain.fixes(axis), most));
            let (point, problem) = inside.or_else(|| fit(operator, point, |_| false, most))?;
            Some((point, problem.into()))
        })
        .boxed()
}

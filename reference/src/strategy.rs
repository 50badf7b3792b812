//! Property-test strategies over the axes.

use std::sync::Arc;

use proptest::prelude::*;

use crate::axis::{Axis, Kind};
use crate::reach::fit;
use crate::{Domain, Operator, Point, Problem};

/// A value of one axis; shrinks towards small values. Favoured values may lie beyond the range that is drawn.
fn value(axis: &Axis) -> BoxedStrategy<i64> {
    match axis.kind {
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
pub fn points(operator: &'static dyn Operator) -> BoxedStrategy<Point> {
    let axes = operator.axes();
    axes.iter().map(value).collect::<Vec<_>>().prop_map(move |values| Point::from_values(axes, values)).boxed()
}

/// Points in `domain` that make a problem whose check costs at most `most`: too large ones are made smaller.
pub fn problems_in(
    operator: &'static dyn Operator,
    domain: Option<&'static Domain>,
    most: f64,
) -> BoxedStrategy<(Point, Arc<dyn Problem>)> {
    points(operator)
        .prop_filter_map("a valid problem within the limit of work", move |point| {
            let point = domain.map_or(point.clone(), |domain| domain.restrict(point));
            let fixed = |axis: &str| domain.is_some_and(|domain| domain.fixes(axis));
            fit(operator, point, fixed, most).map(|(point, problem)| (point, problem.into()))
        })
        .boxed()
}

/// Points of every domain that make a problem whose check costs at most `most`; half of them of no domain in particular.
pub fn problems(operator: &'static dyn Operator, most: f64) -> BoxedStrategy<(Point, Arc<dyn Problem>)> {
    let anywhere = problems_in(operator, None, most);
    let named: Vec<_> = operator.domains().iter().map(|domain| problems_in(operator, Some(domain), most)).collect();
    if named.is_empty() {
        return anywhere;
    }
    prop_oneof![anywhere, proptest::strategy::Union::new(named)].boxed()
}

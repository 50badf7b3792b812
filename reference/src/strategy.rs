//! Property-test strategies over the axes.

use proptest::prelude::*;

use crate::axis::{Axis, Kind};
use crate::{Operator, Point, Problem};

/// A value of one axis; shrinks towards small values.
fn value(axis: &Axis) -> BoxedStrategy<i64> {
    match axis.kind {
        Kind::Choice(names) => {
            // The default half of the time: several unusual choices at once hide which one matters.
            prop_oneof![1 => Just(0), 1 => 0..names.len() as i64].boxed()
        }
        Kind::Int { least, tested, favoured } => {
            let favoured: Vec<i64> = favoured.iter().copied().filter(|v| *v <= tested).collect();
            if favoured.is_empty() {
                (least..=tested).boxed()
            } else {
                prop_oneof![2 => proptest::sample::select(favoured), 1 => least..=tested].boxed()
            }
        }
    }
}

/// Points of the operator's tested range, whether they make a problem or not.
pub fn points(operator: &'static dyn Operator) -> BoxedStrategy<Point> {
    let axes = operator.axes();
    axes.iter().map(value).collect::<Vec<_>>().prop_map(move |values| Point::from_values(axes, values)).boxed()
}

/// Points that make a problem of at most `flops` operations.
pub fn problems(operator: &'static dyn Operator, flops: f64) -> BoxedStrategy<(Point, std::sync::Arc<dyn Problem>)> {
    points(operator)
        .prop_filter_map("a valid problem within the work limit", move |point| {
            let problem = operator.problem(&point).ok()?;
            (problem.work(operator.dtypes()[0]).flops <= flops).then(|| (point, problem.into()))
        })
        .boxed()
}
